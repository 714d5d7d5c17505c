"""What a measure finds, as plain data: goals, tables and plots. Kept as JSON; the report is made from that alone."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Cell = str | float | int | None


@dataclass(frozen=True)
class Goal:
    """A figure and its bound; `beside` has absolute figures and what it is made from."""

    what: str
    figure: float
    sense: Literal["at most", "at least"]
    bound: float
    beside: str = ""

    @property
    def is_held(self) -> bool:
        return self.figure <= self.bound if self.sense == "at most" else self.figure >= self.bound


@dataclass(frozen=True)
class Table:
    """`rows` have as many cells as there are `columns`; units stand in the columns' names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Plot:
    """`lines` are (x, y) points by the label that stands beside each."""

    name: str
    title: str
    x: str
    y: str
    lines: dict[str, tuple[tuple[float, float], ...]]
    is_log: bool = False


@dataclass(frozen=True)
class Findings:
    """What one measure found."""

    name: str
    title: str
    goals: tuple[Goal, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    """By name, for `bench.sizing`."""
    run: dict[str, Any] = field(default_factory=dict)
    """When, where and how: date, seconds, seed, scope, machine and versions."""


def write_findings(findings: Findings, directory: Path) -> Path:
    """One file a measure; quick runs have names of their own, and are not kept in the repository."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{findings.run['scope']}-{findings.name}.json"
    path.write_text(json.dumps(asdict(findings), indent=1, ensure_ascii=False) + "\n")
    return path


def forget_findings(directory: Path, scope: str) -> None:
    """Those of an earlier run: none of them is to stand for a measure that fails now."""
    for path in directory.glob(f"{scope}-*.json"):
        path.unlink()


def read_findings(path: Path) -> Findings:
    """As `write_findings` wrote them."""
    data = json.loads(path.read_text())
    plots = [
        Plot(**each | {"lines": {label: _pairs(points) for label, points in each["lines"].items()}})
        for each in data.pop("plots")
    ]
    tables = [
        Table(each["title"], tuple(each["columns"]), tuple(tuple(row) for row in each["rows"]))
        for each in data.pop("tables")
    ]
    goals = tuple(Goal(**each) for each in data.pop("goals"))
    notes = tuple(data.pop("notes"))
    return Findings(**data, goals=goals, tables=tuple(tables), plots=tuple(plots), notes=notes)


def _pairs(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in points)


def read_all(directory: Path, scope: str) -> list[Findings]:
    """Those of one scope, in the order in which they were measured."""
    found = [read_findings(path) for path in directory.glob(f"{scope}-*.json")]
    return sorted(found, key=lambda findings: str(findings.run["date"]))


def median(numbers: Sequence[float]) -> float:
    """The one in the middle, or between the two in the middle."""
    return quantile(numbers, 0.5)


def quantile(numbers: Sequence[float], share: float) -> float:
    """Linear in between."""
    ordered = sorted(numbers)
    at = share * (len(ordered) - 1)
    low, high = ordered[int(at)], ordered[min(int(at) + 1, len(ordered) - 1)]
    return low + (high - low) * (at % 1)


def format_cell(cell: Cell) -> str:
    """A number with three digits that count, and thousands apart."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if cell == int(cell) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}" if abs(cell) < 1 else f"{cell:.2f}" if abs(cell) < 10 else f"{cell:.1f}"
