"""Plots as SVG, readable without colour: markers, line styles, and a label at the end of each line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.figures import Plot

_STYLES = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."))


def draw(plot: Plot, path: Path) -> None:
    """Write one plot."""
    pyplot = _begin()
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    for (label, points), (marker, style) in zip(plot.lines.items(), _STYLES, strict=False):
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, marker=marker, linestyle=style, color="black", linewidth=1.2)
        axes.annotate(label, (xs[-1], ys[-1]), xytext=(8, 0), textcoords="offset points", va="center")
    if plot.is_log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    axes.margins(x=0.25 if plot.is_log else 0.2)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.grid(visible=True, linewidth=0.3, color="grey")
    _end(pyplot, figure, axes, path)


def draw_shares(shares: Mapping[str, tuple[float, float | None]], path: Path) -> None:
    """Write a plot of shares (of what an older build has) by their names, each with the goal if there is one."""
    pyplot = _begin()
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + 0.28 * len(shares)), layout="constrained")
    for at, (share, goal) in enumerate(shares.values()):
        axes.plot((0, share), (at, at), color="black", linewidth=1.2, marker="o", markevery=[1])
        if goal is not None:
            axes.plot(goal, at, color="black", marker="|", markersize=12)
    axes.axvline(1, color="grey", linestyle=":", linewidth=0.8)
    axes.set_yticks(range(len(shares)), [*shares])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set(title="This build's figures as shares of the older one's (o), and the goals (|)", xlabel="share")
    _end(pyplot, figure, axes, path)


def _begin() -> Any:
    # Here: the rest of the benchmark runs without it.
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "history-sink"  # the same figures make the same file
    from matplotlib import pyplot

    return pyplot


def _end(pyplot: Any, figure: Any, axes: Any, path: Path) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
