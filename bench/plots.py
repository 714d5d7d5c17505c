"""Plots as SVG, readable without colour: markers, line styles, and a label at the end of each line."""

from pathlib import Path

from bench.figures import Plot

_STYLES = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."))


def draw(plot: Plot, path: Path) -> None:
    """Write one plot."""
    # Here: the rest of the benchmark runs without it.
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "history-sink"  # the same figures make the same file
    from matplotlib import pyplot

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
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
