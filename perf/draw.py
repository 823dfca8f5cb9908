"""
The plots of scripts/bench, drawn from what perf/baseline.json holds.

    .venv/bin/python perf/draw.py   draws them and writes the page's part anew; measures nothing

Each picture says which way is better, what its marks and whiskers mean, and what was measured when on which machine.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Figure = Mapping[str, Any]
"""A figure of a row as baseline.json holds it."""

TITLES = {
    "ratios": "How many times better than Apache Kafka",
    "throughput": "Records per second",
    "latency": "Latency by percentile",
    "cost": "Processor time, memory and start",
}
"""File name → what the picture shows."""

COLOURS = {"kbroker": "#1668b0", "kafka": "#6b6b6b"}
NAMES = {"kbroker": "kbroker", "kafka": "Apache Kafka"}
_MET, _MISSED = "#2a7f3f", "#c4372b"
_FAINT = "#d9d9d9"
_LINE_INCHES = 0.34
_WIDTH_INCHES = 10.5
_PERCENTILES = (("p50_us", 50.0), ("p99_us", 99.0), ("p999_us", 99.9))


class Line(NamedTuple):
    """One line of a picture: a label and, by broker, the values of the rounds."""

    label: str
    values: Mapping[str, Sequence[float]]


def draw(measured: Mapping[str, Any], directory: Path) -> list[Path]:
    """Draw the pictures of a complete run into a directory; return the files."""
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra

    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False})
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in _PICTURES.items():
        path = directory / f"{name}.png"
        picture(measured, path)
        drawn.append(path)
    return drawn


def _number(value: float) -> str:
    """Return a figure with three digits that count, in thousands and millions where it is large."""
    if value >= 1e6:
        return f"{float(f'{value / 1e6:.3g}'):g} million"
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 1000 else f"{float(f'{value:.3g}'):g}"


def _duration(microseconds: float) -> str:
    return f"{_number(microseconds)} µs" if microseconds < 1000 else f"{_number(microseconds / 1000)} ms"


def _about(measured: Mapping[str, Any]) -> str:
    """Return what was measured, on which machine and when, in two lines."""
    host, versions = measured["machine"], measured["versions"]
    java = host["java"].partition('"')[2].partition('"')[0]
    return (
        f"kbroker {versions['kbroker']} at {measured['commit']}, Apache Kafka {versions['kafka']}; one at a time, its "
        f"client beside it; {measured['date'].split()[0]}\n"
        f"{host['cores']} × {host['cpu']}, {host['memory_gib']} GiB, Linux {host['kernel']}, Python {host['python']}, "
        f"Java {java}, librdkafka {host['librdkafka']}; {measured['rounds']} rounds"
    )


def _figures(measured: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Figure]]:
    return [(row, one) for row in measured["rows"] for one in row["figures"] if "kbroker" in one and "kafka" in one]


def _values(figure: Figure, change: Callable[[float], float] = float) -> dict[str, list[float]]:
    return {name: [change(value) for value in figure[name]["values"]] for name in NAMES}


def _finish(canvas: Any, measured: Mapping[str, Any], title: str, note: str, path: Path) -> None:
    """Add the title, what the marks mean and what was measured; write the file."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    height = canvas.get_size_inches()[1]
    canvas.suptitle(title, x=0.02, y=1 - 0.12 / height, ha="left", va="top", fontsize=13, fontweight="bold")
    canvas.text(0.02, 1 - 0.40 / height, note, ha="left", va="top", fontsize=9, color="#333333")
    canvas.text(0.02, 0.10 / height, _about(measured), ha="left", va="bottom", fontsize=7.5, color="#555555")
    canvas.savefig(path, dpi=110, facecolor="white")
    plt.close(canvas)


def _whisker(axes: Any, position: float, values: Sequence[float], colour: str) -> float:
    """Draw the median as a dot and the span of the rounds as a line through it; return the median."""
    median = statistics.median(values)
    axes.plot([min(values), max(values)], [position, position], color=colour, linewidth=1.6, solid_capstyle="butt")
    for end in (min(values), max(values)):
        axes.plot([end, end], [position - 0.13, position + 0.13], color=colour, linewidth=1.1)
    axes.plot([median], [position], "o", color=colour, markersize=7, markeredgecolor="white", markeredgewidth=0.8)
    return median


def _label_axes(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _ratios(measured: Mapping[str, Any], path: Path) -> None:
    """Draw one line per figure that has a bar: how many times better, and what it is held to."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    entries = [(row, one) for row, one in _figures(measured) if one["bar"] and one["bar_of"] == "ratio"]
    height = _LINE_INCHES * len(entries) + 2.35
    canvas, axes = plt.subplots(figsize=(_WIDTH_INCHES, height))
    labels = []
    for position, (row, one) in enumerate(entries):
        less_is_better = one["bar_kind"] == "at most"
        values = _values(one)
        pairs = list(zip(values["kbroker"], values["kafka"], strict=True))
        better = [theirs / ours if less_is_better else ours / theirs for ours, theirs in pairs]
        wanted = 1 / one["bar_limit"] if less_is_better else one["bar_limit"]
        shown = 1 / one["ratio"] if less_is_better else one["ratio"]
        colour = _MET if one["met"] else _MISSED
        axes.plot([min(better), max(better)], [position, position], color=colour, linewidth=1.6)
        for end in (min(better), max(better)):
            axes.plot([end, end], [position - 0.13, position + 0.13], color=colour, linewidth=1.1)
        axes.plot([wanted, wanted], [position - 0.36, position + 0.36], color="black", linewidth=2)
        axes.plot([shown], [position], "o", color=colour, markersize=7.5, markeredgecolor="white", markeredgewidth=0.8)
        end = max(*better, shown, wanted)
        axes.annotate(
            f"{_number(shown)}×", (end, position), xytext=(7, 0), textcoords="offset points", va="center", color=colour
        )
        labels.append(f"{row['title']}: {one['label']}")
    axes.set_xscale("log", base=2)
    axes.axvline(1, color="black", linewidth=0.8)
    _label_axes(axes, labels)
    axes.set_xlim(0.5, 40)
    ticks = [0.5, 1, 2, 4, 8, 16, 32]
    axes.set_xticks(ticks, ["half", "equal", *(f"{tick}×" for tick in ticks[2:])])
    axes.set_xlabel("further right is better   →")
    canvas.subplots_adjust(left=0.48, right=0.97, top=1 - 1.0 / height, bottom=1.0 / height)
    note = (
        "2× is twice the throughput, or half of the time, CPU or memory. Dot: median against median. Whiskers: the\n"
        "smallest and the largest of the rounds. Black mark: what kbroker is held to; green reaches it, red does not."
    )
    _finish(canvas, measured, TITLES["ratios"], note, path)


def _draw_lines(axes: Any, lines: Sequence[Line], *, backwards: bool = False) -> None:
    """Draw both brokers' values of each line on a scale by powers of ten, which runs backwards where less is better."""
    for position, line in enumerate(lines):
        medians = {name: statistics.median(values) for name, values in line.values.items()}
        axes.plot(list(medians.values()), [position] * 2, color=_FAINT, linewidth=4, solid_capstyle="butt", zorder=1)
        for name in ("kafka", "kbroker"):
            _whisker(axes, position, line.values[name], COLOURS[name])
        smaller = min(medians, key=lambda name: medians[name])
        for name, colour in COLOURS.items():
            values = line.values[name]
            left = (name == smaller) != backwards
            axes.annotate(
                _number(medians[name]),
                (min(values) if name == smaller else max(values), position),
                xytext=(-7 if left else 7, 0),
                textcoords="offset points",
                va="center",
                ha="right" if left else "left",
                color=colour,
                fontsize=8.5,
            )
    axes.set_xscale("log")
    _label_axes(axes, [line.label for line in lines])
    smallest = min(min(values) for line in lines for values in line.values.values())
    largest = max(max(values) for line in lines for values in line.values.values())
    limits = (smallest / 3, largest * 3)
    axes.set_xlim(limits[::-1] if backwards else limits)
    axes.xaxis.set_major_formatter(lambda value, _: _number(value))
    axes.minorticks_off()


def _legend(axes: Any) -> None:
    handles = [
        axes.plot([], [], "o", color=colour, markersize=7, label=NAMES[name])[0] for name, colour in COLOURS.items()
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9.5)


_WHISKERS = "Dot: median of the rounds. Whiskers: the smallest and the largest round. Scale by powers of ten."


def _throughput(measured: Mapping[str, Any], path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    lines = [
        Line(f"{row['title']}: {one['label']}", _values(one))
        for row, one in _figures(measured)
        if one["unit"] in {"msg/s", "1/s"}
    ]
    height = _LINE_INCHES * len(lines) + 2.3
    canvas, axes = plt.subplots(figsize=(_WIDTH_INCHES, height))
    _draw_lines(axes, lines)
    _legend(axes)
    axes.set_xlabel("records (or requests) per second; further right is better   →")
    canvas.subplots_adjust(left=0.43, right=0.97, top=1 - 1.0 / height, bottom=1.0 / height)
    _finish(canvas, measured, TITLES["throughput"], _WHISKERS, path)


def _latency(measured: Mapping[str, Any], path: Path) -> None:
    """Draw a curve over the percentiles per workload and broker; the tail gets as much room as the middle."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    styles = {"outstanding": ("-", "o"), "end-to-end": ("--", "s")}
    height = 5.6
    canvas, axes = plt.subplots(figsize=(_WIDTH_INCHES, height))
    places = range(len(_PERCENTILES))
    for row in measured["rows"]:
        if row["name"] not in styles:
            continue
        line, mark = styles[row["name"]]
        by_key = {one["key"]: one for one in row["figures"]}
        for name, colour in COLOURS.items():
            values = [by_key[key][name]["values"] for key, _ in _PERCENTILES]
            medians = [statistics.median(one) for one in values]
            axes.fill_between(
                places, list(map(min, values)), list(map(max, values)), color=colour, alpha=0.15, linewidth=0
            )
            axes.plot(places, medians, line, marker=mark, color=colour, markersize=6)
            for place, median in zip(places, medians, strict=True):
                last = place == len(places) - 1  # to its right stands whose line this is
                axes.annotate(
                    _duration(median),
                    (place, median),
                    xytext=(-7 if last else 0, 7),
                    textcoords="offset points",
                    ha="right" if last else "center",
                    color=colour,
                    fontsize=8.5,
                )
            axes.annotate(
                f"{NAMES[name]}, {row['title']}".replace(" at ", "\nat ").replace("acks=1", "\nacks=1"),
                (len(places) - 1, medians[-1]),
                xytext=(12, 0),
                textcoords="offset points",
                va="center",
                color=colour,
                fontsize=8.5,
            )
    axes.set_yscale("log")
    axes.set_ylim(40, 60_000)
    axes.yaxis.set_major_formatter(lambda value, _: _duration(value))
    axes.set_xlim(-0.15, len(places) - 0.92)
    axes.set_xticks(
        list(places),
        ["50 %: half are\nfaster", "99 %: one in a\nhundred is slower", "99.9 %: one in a\nthousand is slower"],
    )
    axes.grid(axis="y", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylabel("↓   lower is better")
    canvas.subplots_adjust(left=0.10, right=0.74, top=1 - 0.95 / height, bottom=1.0 / height)
    note = (
        "Marks: median of the rounds at three percentiles; the lines only join them. Band: the smallest and the\n"
        "largest round. Scale by powers of ten."
    )
    _finish(canvas, measured, TITLES["latency"], note, path)


_COSTS: Mapping[str, Mapping[tuple[str, str], str]] = {
    "broker's processor time per record or request [µs]": {
        ("outstanding", "cpu_us"): "one outstanding request",
        ("pipelined", "cpu_us"): "1-record requests, 50 in flight",
        ("batch-2", "cpu_s_per_million"): "2-record batches",
        ("batch-16k", "cpu_s_per_million"): "16 KB batches",
        ("batch-16k", "consume_cpu_s_per_million"): "16 KB batches, consumed",
        ("batch-1m", "cpu_s_per_million"): "1 MB batches",
        ("batch-1m", "consume_cpu_s_per_million"): "1 MB batches, consumed",
        ("record-1k", "cpu_s_per_million"): "1 KB records",
        ("lz4", "cpu_s_per_million"): "lz4",
        ("partitions-12", "cpu_s_per_million"): "12 partitions",
        ("producers-4", "cpu_s_per_million"): "4 producers at once",
    },
    "memory of all processes, PSS [MiB]": {
        ("life", "idle_mib"): "idle",
        ("partitions-2000", "memory_mib"): "idle, with 2,000 partitions",
        ("life", "loaded_mib"): "after the load",
    },
    "time [s]": {
        ("life", "start_s"): "start to first answer",
        ("partitions-2000", "start_s"): "start with 2,000 partitions",
        ("partitions-2000", "create_s"): "create a topic of 2,000 partitions",
    },
}
"""What a panel's axis says → the figures on it (row, key) with their labels. Seconds per million are µs for one."""


def _cost(measured: Mapping[str, Any], path: Path) -> None:
    """Draw a panel per unit; the axes run backwards, so that better is to the right here too."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    by_key = {(row["name"], one["key"]): one for row, one in _figures(measured)}
    panels = [
        (axis, [Line(label, _values(by_key[key])) for key, label in labels.items() if key in by_key])
        for axis, labels in _COSTS.items()
    ]
    counts = [len(lines) for _, lines in panels]
    height = _LINE_INCHES * sum(counts) + 0.75 * len(panels) + 1.9
    canvas, grid = plt.subplots(
        len(panels),
        1,
        figsize=(_WIDTH_INCHES, height),
        gridspec_kw={"height_ratios": [count + 0.4 for count in counts]},
    )
    for axes, (axis, lines) in zip(grid, panels, strict=True):
        _draw_lines(axes, lines, backwards=True)
        axes.set_xlabel(f"{axis}; less is better, the scale runs backwards   →")
    _legend(grid[0])
    canvas.subplots_adjust(left=0.27, right=0.97, top=1 - 1.0 / height, bottom=1.0 / height, hspace=0.42)
    _finish(canvas, measured, TITLES["cost"], _WHISKERS, path)


_PICTURES: Mapping[str, Callable[[Mapping[str, Any], Path], None]] = {
    "ratios": _ratios,
    "throughput": _throughput,
    "latency": _latency,
    "cost": _cost,
}


def main() -> int:
    """Draw the pictures and write the page's part from the baseline."""
    import report  # noqa: PLC0415 - it draws with this module

    for path in report.write_page(json.loads(report.BASELINE.read_text())):
        print(f"written {path.relative_to(report.PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
