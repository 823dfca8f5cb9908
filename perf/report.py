"""What scripts/bench tells: medians and ratios, as JSON, as a table for the terminal, and as a page with plots."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rows import Figure, Row

PROJECT = Path(__file__).resolve().parents[1]
BASELINE = PROJECT / "perf/baseline.json"
PAGE = PROJECT / "perf/README.md"
PLOTS = PROJECT / "perf/plots"
BEGIN_MARK = "<!-- written by scripts/bench: begin -->"
END_MARK = "<!-- written by scripts/bench: end -->"

Results = dict[str, Any]
"""What baseline.json holds."""


def number(value: float | None) -> str:
    """Return a figure with three digits that count, without exponent."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    for limit, form in ((100, ",.0f"), (10, ".1f"), (1, ".2f"), (0.1, ".3f")):
        if abs(value) >= limit:
            return f"{value:{form}}"
    return f"{value:.2g}"


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    fields = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in fields if "model name" in line), platform.machine())
    memory = Path("/proc/meminfo").read_text().split(maxsplit=2)[1]
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_gib": round(int(memory) / 2**20),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "java": _first_line(["java", "-version"]),
        "librdkafka": _first_line(["dpkg-query", "-W", "-f", "${Version}", "librdkafka1"]),
    }


def commit() -> str:
    """Return the commit that was measured, with a mark when the product's files differ from it."""
    head = _first_line(["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"])
    changed = _first_line(["git", "-C", str(PROJECT), "status", "--porcelain", "--", "kbroker"])
    return head + ("-dirty" if changed else "")


def results(
    rows: Sequence[Row],
    values: Mapping[str, Mapping[str, Mapping[str, list[float]]]],
    versions: Mapping[str, str],
    rounds: int,
    scale: float,
    seconds: float,
    load_before: Sequence[float],
) -> Results:
    """
    Return everything measured as JSON-able values.

    values  by row, figure and broker: one value per round
    """
    return {
        "machine": machine(),
        "commit": commit(),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "rounds": rounds,
        "scale": scale,
        "seconds": round(seconds),
        "load_average_before": [round(one, 2) for one in load_before],
        "versions": dict(versions),
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "figures": [_figure(one, values[row.name].get(one.key, {})) for one in row.figures],
            }
            for row in rows
        ],
    }


def _figure(figure: Figure, by_broker: Mapping[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in by_broker.items()}
    ours, theirs = medians.get("kbroker"), medians.get("kafka")
    ratio = ours / theirs if ours is not None and theirs else None
    met = None
    if figure.bar and ours is not None and (ratio is not None or figure.bar.of == "value"):
        met = figure.bar.met_by(ratio or 0.0, ours)
    return {
        "key": figure.key,
        "label": figure.label,
        "unit": figure.unit,
        **{name: {"median": medians[name], "values": list(values)} for name, values in by_broker.items()},
        "ratio": ratio,
        "bar": str(figure.bar) if figure.bar else None,
        "bar_limit": figure.bar.limit if figure.bar else None,
        "bar_kind": figure.bar.kind if figure.bar else None,
        "bar_of": figure.bar.of if figure.bar else None,
        "met": met,
    }


def missed(measured: Results) -> list[str]:
    """Return the figures whose bar is not met."""
    return [
        f"{row['title']}, {one['label']} ({number(_shown(one))}, bar {one['bar']})"
        for row in measured["rows"]
        for one in row["figures"]
        if one["met"] is False
    ]


def _shown(figure: Mapping[str, Any]) -> float:
    """Return what the bar is about: the ratio, or kbroker's own value."""
    value = figure["ratio"] if figure["bar_of"] == "ratio" else figure["kbroker"]["median"]
    return float(value)


def _median(figure: Mapping[str, Any], broker: str) -> str:
    return number(figure[broker]["median"]) if broker in figure else "–"


def _spread(figure: Mapping[str, Any], broker: str) -> str:
    """Return the median with the smallest and largest value of the rounds."""
    if broker not in figure:
        return "–"
    values = figure[broker]["values"]
    text = number(figure[broker]["median"])
    if len(values) > 1:
        text += f" ({number(min(values))}–{number(max(values))})"
    return text


_MET = {True: "pass", False: "FAIL", None: ""}


def text_table(measured: Results) -> str:
    """Return the results as a table for the terminal."""
    lines = [f"{'':<52}{'kbroker':>12}{'Kafka':>12}  {'unit':<7}{'ratio':>7}  {'bar':<18}"]
    for row in measured["rows"]:
        lines.append(row["title"])
        lines += [
            f"  {one['label']:<50}{_median(one, 'kbroker'):>12}{_median(one, 'kafka'):>12}  {one['unit']:<7}"
            f"{number(one['ratio']):>7}  {one['bar'] or '':<18}{_MET[one['met']]}"
            for one in row["figures"]
        ]
    return "\n".join(lines)


def markdown(measured: Results) -> str:
    """Return the part of the page that a run writes."""
    host = measured["machine"]
    versions = measured["versions"]
    about = (
        f"kbroker {versions['kbroker']} at commit `{measured['commit']}` against Apache Kafka {versions['kafka']}, "
        f"{measured['date']}. {host['cores']} × {host['cpu']}, {host['memory_gib']} GiB, kernel {host['kernel']}, "
        f"Python {host['python']}, {host['java']}, librdkafka {host['librdkafka']}. {measured['rounds']} rounds in "
        f"{measured['seconds'] / 60:.0f} minutes; load average before: {measured['load_average_before'][0]}. "
        "Medians, in brackets the smallest and the largest round."
    )
    lines = [about, "", "| | kbroker | Kafka | unit | ratio | bar | |", "|---|---|---|---|---|---|---|"]
    for row in measured["rows"]:
        lines.append(f"| **{row['title']}** | | | | | | |")
        lines += [
            f"| {one['label']} | {_spread(one, 'kbroker')} | {_spread(one, 'kafka')} | {one['unit']} | "
            f"{number(one['ratio'])} | {one['bar'] or ''} | {_MET[one['met']]} |"
            for one in row["figures"]
        ]
    lines += ["", *(f"![{title}](plots/{name}.png)" for name, title in _PLOT_TITLES.items())]
    return "\n".join(lines)


def write(measured: Results) -> list[Path]:
    """Write baseline.json, the plots and the page's part between its marks; return the files."""
    BASELINE.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    plots = draw(measured, PLOTS)
    text = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN_MARK}\n{END_MARK}\n"
    before, _, rest = text.partition(BEGIN_MARK)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{BEGIN_MARK}\n{markdown(measured)}\n{END_MARK}{after}")
    return [BASELINE, PAGE, *plots]


_PLOT_TITLES = {
    "ratios": "kbroker relative to Apache Kafka, per figure that has a bar",
    "throughput": "records per second",
    "latency": "latency",
    "cost": "CPU, memory and start",
}
_COLOURS = {"kbroker": "#1f77b4", "kafka": "#8c8c8c"}
_NAMES = {"kbroker": "kbroker", "kafka": "Apache Kafka"}


def draw(measured: Results, directory: Path) -> list[Path]:
    """Draw the plots of a complete run into a directory; return the files."""
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra

    mpl.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    figures = [(row, one) for row in measured["rows"] for one in row["figures"] if "kbroker" in one and "kafka" in one]
    pairs: dict[str, list[tuple[str, dict[str, Any]]]] = {"throughput": [], "latency": [], "cost": []}
    for row, one in figures:
        if one["label"].startswith("client") or one["unit"] == "×":
            continue
        kind = {"msg/s": "throughput", "1/s": "throughput"}.get(one["unit"], "cost")
        if one["label"].startswith("p"):
            kind = "latency" if one["unit"] == "µs" else kind
        pairs[kind].append((f"{row['title']}\n{one['label']} [{one['unit']}]", one))
    paths = [_draw_ratios([(row, one) for row, one in figures if one["bar"]], directory / "ratios.png")]
    for kind, entries in pairs.items():
        paths.append(_draw_pairs(entries, _PLOT_TITLES[kind], directory / f"{kind}.png"))
    return paths


def _draw_ratios(entries: Sequence[tuple[Any, Any]], path: Path) -> Path:
    """One line per figure with its bar as a mark, on a scale where half and double are equally far from equal."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    canvas, axes = plt.subplots(figsize=(10, 0.36 * len(entries) + 1.6))
    for position, (_, one) in enumerate(entries):
        shown = _shown(one)
        axes.barh(position, shown - 1, left=1, color="#2ca02c" if one["met"] else "#d62728", height=0.6)
        axes.plot([one["bar_limit"]] * 2, [position - 0.4, position + 0.4], color="black", linewidth=2)
        sign = "≤" if one["bar_kind"] == "at most" else "≥"
        axes.annotate(
            f" {number(shown)} ({sign} {one['bar_limit']:g})", (max(shown, 1), position), va="center", fontsize=8
        )
    axes.set_xscale("log", base=2)
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_yticks(range(len(entries)), [f"{row['title']}: {one['label']}" for row, one in entries], fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("kbroker / Apache Kafka; the black mark is the bar")
    axes.set_title(_PLOT_TITLES["ratios"], fontsize=10)
    axes.margins(x=0.15)
    canvas.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(canvas)
    return path


def _draw_pairs(entries: Sequence[tuple[str, Any]], title: str, path: Path) -> Path:
    """One small pair of columns per figure, each with its own scale; whiskers are the rounds' extremes."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    columns = 4
    lines = max(1, -(-len(entries) // columns))
    canvas, grid = plt.subplots(lines, columns, figsize=(13, 2.4 * lines + 0.5), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (label, one) in zip(grid.flat, entries, strict=False):
        axes.set_axis_on()
        for position, broker in enumerate(("kbroker", "kafka")):
            median, values = one[broker]["median"], one[broker]["values"]
            errors = [[median - min(values)], [max(values) - median]]
            axes.bar(position, median, color=_COLOURS[broker], yerr=errors, capsize=4, width=0.65)
            axes.annotate(
                number(median), (position, 0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set_xticks([0, 1], [_NAMES["kbroker"], _NAMES["kafka"]], fontsize=8)
        axes.tick_params(axis="y", labelsize=7)
        axes.margins(y=0.2)
        axes.set_title(label, fontsize=7.5)
    canvas.suptitle(title, fontsize=10)
    canvas.tight_layout()
    canvas.savefig(path, dpi=110)
    plt.close(canvas)
    return path


def _first_line(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""
