"""Findings as Markdown: of one measure, and of a whole run.

`python -m bench.report` writes the report of the last full run into docs/performance.md, between its two marks.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.figures import Cell, Findings, Goal, Table, format_cell, read_all
from bench.plots import draw
from bench.sizing import Prices, describe_sizes, read_costs

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
_MARKS = ("<!-- what follows is written by `python -m bench.report` -->\n", "<!-- up to here -->\n")


def describe_findings(findings: Findings) -> str:
    """One measure: its goals, its tables, its notes."""
    parts = [f"### {findings.title}"]
    parts += [describe_goals(findings.goals)] if findings.goals else []
    parts += [describe_table(table) for table in findings.tables]
    parts += findings.notes
    return "\n\n".join(parts) + "\n"


def describe_goals(goals: Sequence[Goal]) -> str:
    """A table: goal, figure, held or not."""
    rows = [
        (
            goal.what,
            f"{'≤' if goal.sense == 'at most' else '≥'} {format_cell(goal.bound)}",
            format_cell(goal.figure),
            "held" if goal.is_held else "**not held**",
            goal.beside,
        )
        for goal in goals
    ]
    return _markdown(("measure", "goal", "figure", "", "beside"), rows)


def describe_table(table: Table) -> str:
    """With its title above."""
    return f"{table.title}:\n\n{_markdown(table.columns, table.rows)}"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    rows = [*rows]
    shown = [[format_cell(cell) for cell in row] for row in rows]
    are_numbers = [all(not isinstance(row[index], str) for row in rows) for index in range(len(columns))]
    rule = ["---:" if is_number else "---" for is_number in are_numbers]
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, rule, *shown])


def describe_run(found: Sequence[Findings], pictures: str) -> str:
    """All of a run. `pictures` is the path from the document to the directory of the plots."""
    machines = {tuple(each.run["machine"].items()) for each in found}
    seconds = sum(each.run["seconds"] for each in found)
    kinds = [(name, value) for machine in sorted(machines)[:1] for name, value in machine]
    scope = found[0].run["scope"]
    parts = [
        f"A {scope} run, {found[0].run['date']}, {seconds / 60:.0f} minutes, seed {found[0].run['seed']}.",
        _markdown(("machine and versions", ""), kinds),
        "## Goals",
        describe_goals([goal for each in found for goal in each.goals]),
        "## Measures",
    ]
    for each in found:
        parts.append(describe_findings(Findings(each.name, each.title, (), each.tables, (), each.notes)))
        parts += [f"![{plot.title}]({pictures}{scope}-{plot.name}.svg)" for plot in each.plots]
    costs = read_costs(found)
    if costs is not None:
        parts += ["## Sizing by these figures", *map(describe_table, describe_sizes(costs, Prices()))]
    return "\n\n".join(parts) + "\n"


def write_report(scope: str) -> Path:
    """The report and the plots of what lies in bench/results for this scope."""
    found = read_all(RESULTS, scope)
    for plot in (plot for each in found for plot in each.plots):
        draw(plot, RESULTS / f"{scope}-{plot.name}.svg")
    path = RESULTS / f"{scope}-report.md"
    path.write_text(f"# What it costs\n\n{describe_run(found, '')}")
    return path


def publish() -> None:
    """The last full run, in docs/performance.md."""
    before, first, rest = DOCUMENT.read_text().partition(_MARKS[0])
    _, last, after = rest.partition(_MARKS[1])
    if not (first and last):
        sys.exit(f"{DOCUMENT} has not the two marks between which the report belongs")
    write_report("full")
    report = describe_run(read_all(RESULTS, "full"), "../bench/results/")
    DOCUMENT.write_text(f"{before}{first}\n{report}\n{last}{after}")


if __name__ == "__main__":
    publish()
