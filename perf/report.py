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

import draw
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
    lines += ["", *(f"![{title}](plots/{name}.png)" for name, title in draw.TITLES.items())]
    return "\n".join(lines)


def write(measured: Results) -> list[Path]:
    """Write baseline.json, the plots and the page's part between its marks; return the files."""
    BASELINE.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    return [BASELINE, *write_page(measured)]


def write_page(measured: Results) -> list[Path]:
    """Write the plots and the page's part between its marks; return the files."""
    plots = draw.draw(measured, PLOTS)
    text = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN_MARK}\n{END_MARK}\n"
    before, _, rest = text.partition(BEGIN_MARK)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{BEGIN_MARK}\n{markdown(measured)}\n{END_MARK}{after}")
    return [PAGE, *plots]


def _first_line(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""
