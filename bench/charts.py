# SPDX-License-Identifier: Apache-2.0
"""The report's charts, as SVG: bars by variant, and lines of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.figures import Spread, added, lost, over, spread, wakes
from bench.tables import number, part
from bench.verdicts import two_to_one

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.figures import Found, Resident, Results

OURS, PEER, SERVER, LINE = "#1f6f8b", "#b0b7bd", "#e2b07a", "#444444"
THOUSAND = 1000
ABOVE: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "ncols": 4,
    "frameon": False,
}
Bars = dict[str, Spread]
Beside = dict[str, float]
"""What a server beside Envoy takes, drawn as a bar that goes on."""


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draw all charts into *folder*, and give their file names by what they show."""
    charts = {}
    for name, found in results.scenarios.items():
        for key, text, bars in bars_of(found):
            beside = servers(found) if key == "load-cpu" else {}
            shown, more = bars, beside
            if key.startswith("load"):
                shown = {_marked(found, variant): bar for variant, bar in bars.items()}
                more = {_marked(found, variant): bar for variant, bar in beside.items()}
            charts[f"{name}-{key}"] = _bars(folder / f"{name}-{key}.svg", text, shown, more)
        if found.memory:
            key = f"{name}-memory"
            charts[key] = _lines(folder / f"{key}.svg", found.memory)
    return charts


def bars_of(found: Found) -> Iterator[tuple[str, str, Bars]]:
    """Yield what is drawn as bars: the measure (with a part of it), the axis and the values."""
    counted = {variant: added(found.instructions, variant) for variant in found.instructions}
    bars = {name: _exact(more) for name, more in counted.items() if more is not None}
    if bars:
        yield "instructions", "added instructions per request", _but_bare(bars)
    if found.load:
        bare = found.load["bare"]
        bars = {
            key: over(rounds, bare, lambda one: one.cpu_us) for key, rounds in found.load.items()
        }
        server = ", and of the server beside it" if any(servers(found).values()) else ""
        if not found.computes:
            yield "load-cpu", f"added CPU µs per request of Envoy{server}", _but_bare(bars)
        if found.rate:
            bars = {
                key: spread([one.p99_us for one in rounds]) for key, rounds in found.load.items()
            }
            yield "load-p99", f"p99 µs at {found.rate:,} requests a second", bars
        else:
            bars = {key: spread([one.rate for one in rounds]) for key, rounds in found.load.items()}
            yield "load-rate", "requests a second", bars
    if found.scaling:
        bars = {key: two_to_one(workers) for key, workers in found.scaling.items()}
        yield "scaling", "requests a second with 2 workers / with 1", bars
    if found.idle:
        bars = {key: _exact(wakes(found.idle, key, "after")) for key in found.idle}
        yield "idle", "wake-ups a second, after the first requests", bars


def servers(found: Found) -> Beside:
    """Give the CPU time of the server beside Envoy, for each request."""
    return {
        name: spread([one.server_cpu_us for one in rounds]).median
        for name, rounds in found.load.items()
    }


def _marked(found: Found, variant: str) -> str:
    """Give a variant's name, and what it lost under load, if it did."""
    losing = lost(found, variant)
    return f"{variant} (lost {part(losing)})" if losing else variant


def _exact(value: float) -> Spread:
    return Spread(value, value, value)


def _but_bare(bars: Bars) -> Bars:
    return {name: value for name, value in bars.items() if name != "bare"}


def _plot(height: float) -> tuple[Any, Any, Any]:
    """Give matplotlib's plotting module, a figure and its axes."""
    import matplotlib as mpl  # noqa: PLC0415 (slow to import, and only a report needs it)

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 (after use)

    figure, axes = plt.subplots(figsize=(8, height))
    axes.spines[["top", "right"]].set_visible(False)
    return plt, figure, axes


def _save(plt: Any, figure: Any, path: Path) -> str:
    figure.savefig(path, format=path.suffix[1:], bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return path.name


def _bars(path: Path, label: str, bars: Bars, beside: Beside) -> str:
    """Draw bars, the first on top, with a line from the lowest to the highest of each."""
    names = list(bars)[::-1]
    values = [bars[name].median for name in names]
    errors = [
        [bars[name].median - bars[name].low for name in names],
        [bars[name].high - bars[name].median for name in names],
    ]
    colors = [OURS if name.startswith("ours") else PEER for name in names]
    plt, figure, axes = _plot(0.8 + 0.32 * len(names))
    axes.barh(names, values, xerr=errors, color=colors, ecolor=LINE)
    more = [beside.get(name, 0) for name in names]
    if any(more):
        axes.barh(names, more, left=values, color=SERVER)
        values = [one + other for one, other in zip(values, more, strict=True)]
    _write_numbers(axes, values, [bars[name].high for name in names])
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    if max(values) >= THOUSAND:
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(handles=_legend(plt, colors, bars, server=any(more)), **ABOVE)
    return _save(plt, figure, path)


def _write_numbers(axes: Any, values: list[float], highest: list[float]) -> None:
    """Write each value where its bar ends, and its line to the highest."""
    digits = _digits(max(values))
    for place, (value, high) in enumerate(zip(values, highest, strict=True)):
        where = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(number(value, digits), (max(value, high, 0), place), **where)


def _legend(plt: Any, colors: list[str], bars: Bars, *, server: bool) -> list[Any]:
    """Give what the colors and lines of a chart mean."""
    texts = {OURS: "ours", PEER: "others"}
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=color, label=text)
        for color, text in texts.items()
        if color in colors
    ]
    if server:
        handles.append(plt.Rectangle((0, 0), 1, 1, color=SERVER, label="the server beside Envoy"))
    if any(bar.low < bar.high for bar in bars.values()):
        handles.append(plt.Line2D([], [], color=LINE, label="from the lowest round to the highest"))
    return handles


def _digits(largest: float) -> int:
    """Give how many digits tell the bars apart."""
    return 0 if largest >= 100 else 1 if largest >= 5 else 2  # noqa: PLR2004


def _lines(path: Path, memory: dict[str, list[Resident]]) -> str:
    """Draw a line for each variant, from warm to the end."""
    plt, figure, axes = _plot(4)
    for name, points in memory.items():
        requests = [point.requests for point in points[1:]]
        style = "-" if name.startswith("ours") else "--"
        axes.plot(requests, [point.mib for point in points[1:]], style, marker="o", label=name)
    axes.set_xlabel("requests since it was warm")
    axes.set_ylabel("resident MiB")
    axes.set_ylim(0, 1.1 * max(point.mib for points in memory.values() for point in points))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="lower right")
    return _save(plt, figure, path)
