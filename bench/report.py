"""Findings as Markdown: of one measure, and of a whole run.

`python -m bench.report` writes into docs/performance.md, between its two marks, what the last `make bench AGAINST=…`
and the last `make bench FULL=1` have found.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.comparison import IN_TURN
from bench.figures import Cell, Findings, Goal, Table, format_cell, read_all
from bench.plots import draw, draw_shares
from bench.sizing import Prices, describe_sizes, read_costs

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
_MARKS = ("<!-- what follows is written by `python -m bench.report` -->\n", "<!-- up to here -->\n")


BUILDS = "against"
"""The scope of what `make bench AGAINST=…` finds."""


def describe_findings(findings: Findings) -> str:
    """One measure: its goals, its tables, its notes."""
    parts = [f"### {findings.title}"]
    parts += [describe_goals(findings.goals)] if findings.goals else []
    parts += [describe_table(table) for table in findings.tables]
    parts += findings.notes
    return "\n\n".join(parts) + "\n"


def describe_goals(goals: Sequence[Goal]) -> str:
    """A table: goal, figure, held or not."""
    rows = []
    for goal in goals:
        bound, verdict = _judge(goal)
        rows.append((goal.what, bound, format_cell(goal.figure), verdict, goal.beside))
    return _markdown(("measure", "goal", "figure", "", "beside"), rows)


def _judge(goal: Goal) -> tuple[str, str]:
    bound = f"{'≤' if goal.sense == 'at most' else '≥'} {format_cell(goal.bound)}"
    return bound, "held" if goal.is_held else "**not held**"


def describe_table(table: Table) -> str:
    """With its title above."""
    return f"{table.title}:\n\n{_markdown(table.columns, table.rows)}"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    rows = [*rows]
    shown = [[format_cell(cell) for cell in row] for row in rows]
    are_numbers = [all(not isinstance(row[index], str) for row in rows) for index in range(len(columns))]
    rule = ["---:" if is_number else "---" for is_number in are_numbers]
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, rule, *shown])


def describe_builds(found: Sequence[Findings], pictures: str) -> str:
    """Both builds: all their figures in one table, with what was asked for; and what else there is."""
    goals = {goal.what: goal for each in found for goal in each.goals}
    shared = [table for each in found for table in each.tables if table.title == IN_TURN]
    rows: list[tuple[Cell, ...]] = []
    for row in (row for table in shared for row in table.rows):
        goal = goals.get(str(row[0]))
        bound, verdict = _judge(goal) if goal else ("", "")
        rows.append((*row, f"{bound} {goal.beside}".strip() if goal else "", verdict))
    parts = [f"Both builds in turn, {_describe_when(found)}"]
    if rows:
        parts += [_markdown((*shared[0].columns, "goal", ""), rows), f"![Shares]({pictures}{BUILDS}-shares.svg)"]
    parts += [describe_table(table) for each in found for table in each.tables if table.title != IN_TURN]
    return "\n\n".join([*parts, *(note for each in found for note in each.notes)]) + "\n"


def draw_builds(found: Sequence[Findings]) -> None:
    """The plot of the same: each figure of this build as a share of the older one's, beside the goal."""
    goals = {goal.what: goal.bound for each in found for goal in each.goals if not goal.beside}
    rows = [row for each in found for table in each.tables if table.title == IN_TURN for row in table.rows]
    shares = {str(what): (float(ratio or 0), goals.get(str(what))) for what, _, _, ratio, *_ in rows}
    if shares:
        draw_shares(shares, RESULTS / f"{BUILDS}-shares.svg")


def _describe_when(found: Sequence[Findings]) -> str:
    seconds, first, last = sum(each.run["seconds"] for each in found), found[0].run, found[-1].run
    load = ", ".join(sorted({each.run["machine"]["load before"] for each in found}, key=float))
    dates = first["date"] if first["date"] == last["date"] else f"{first['date']} to {last['date']}"
    return f"{dates}, {seconds / 60:.0f} minutes, seed {first['seed']}; load before: {load}."


def describe_run(found: Sequence[Findings], pictures: str) -> str:
    """All of a run. `pictures` is the path from the document to the directory of the plots."""
    scope, machine = found[0].run["scope"], found[0].run["machine"]
    parts = [
        f"A {scope} run, {_describe_when(found)}",
        _markdown(("machine and versions", ""), [(name, machine[name]) for name in machine if name != "load before"]),
        "### Goals",
        describe_goals([goal for each in found for goal in each.goals]),
    ]
    for each in found:
        parts.append(describe_findings(Findings(each.name, each.title, (), each.tables, (), each.notes)))
        parts += [f"![{plot.title}]({pictures}{scope}-{plot.name}.svg)" for plot in each.plots]
    costs = read_costs(found)
    if costs is not None:
        parts += ["### Sizing by these figures", *map(describe_table, describe_sizes(costs, Prices()))]
    return "\n\n".join(parts) + "\n"


def write_report(scope: str) -> Path:
    """The report and the plots of what lies in bench/results for this scope."""
    found = read_all(RESULTS, scope)
    for plot in (plot for each in found for plot in each.plots):
        draw(plot, RESULTS / f"{scope}-{plot.name}.svg")
    if scope == BUILDS:
        draw_builds(found)
    path = RESULTS / f"{scope}-report.md"
    describe = describe_builds if scope == BUILDS else describe_run
    path.write_text(f"# What it costs\n\n{describe(found, '')}")
    return path


def publish() -> None:
    """Both builds and the last full run, in docs/performance.md."""
    before, first, rest = DOCUMENT.read_text().partition(_MARKS[0])
    _, last, after = rest.partition(_MARKS[1])
    if not (first and last):
        sys.exit(f"{DOCUMENT} has not the two marks between which the report belongs")
    pictures, builds = "../bench/results/", read_all(RESULTS, BUILDS)
    for scope in ("full", BUILDS) if builds else ("full",):
        write_report(scope)
    compared = f"## Beside an older build\n\n{describe_builds(builds, pictures)}\n" if builds else ""
    report = f"{compared}## A full run\n\n{describe_run(read_all(RESULTS, 'full'), pictures)}"
    DOCUMENT.write_text(f"{before}{first}\n{report}\n{last}{after}")


if __name__ == "__main__":
    publish()
