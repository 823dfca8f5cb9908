"""The page and the pictures of scripts/bench are those of the figures that are kept, and say what they show."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

PERF = Path(__file__).resolve().parents[2] / "perf"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of scripts/bench; those of perf/ find each other by name."""
    monkeypatch.syspath_prepend(str(PERF))
    return importlib.import_module("report")


def test_the_page_tells_the_figures_of_the_baseline(report: ModuleType) -> None:
    measured = json.loads((PERF / "baseline.json").read_text())
    assert report.markdown(measured) in (PERF / "README.md").read_text()
    assert all((PERF / f"plots/{name}.png").is_file() for name in report.draw.TITLES)


def test_figures_have_three_digits_and_a_unit(report: ModuleType) -> None:
    draw = report.draw
    assert [draw._number(value) for value in (0.0501, 8.0, 67658.4, 1_581_295)] == [
        "0.0501",
        "8",
        "67,700",
        "1.58 million",
    ]
    assert [draw._duration(value) for value in (65.1, 1996.0)] == ["65.1 µs", "2 ms"]


def test_a_picture_says_what_was_measured_where_and_when(report: ModuleType) -> None:
    measured = json.loads((PERF / "baseline.json").read_text())
    about = report.draw._about(measured)
    for told in (
        measured["commit"],
        measured["versions"]["kafka"],
        measured["machine"]["cpu"],
        measured["date"].split()[0],
    ):
        assert told in about


def test_pictures_can_be_drawn_anew_and_say_which_way_is_better(
    report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `bench`, which scripts/bench installs")
    from matplotlib.figure import Figure

    texts: dict[str, str] = {}

    def texts_of(canvas: Figure, path: Path, **_: object) -> None:
        found = [text.get_text() for text in canvas.texts]
        for axes in canvas.axes:
            found += [axes.get_xlabel(), axes.get_ylabel(), *(label.get_text() for label in axes.get_yticklabels())]
        texts[path.stem] = "\n".join(found)

    monkeypatch.setattr(Figure, "savefig", texts_of)
    measured = json.loads((PERF / "baseline.json").read_text())
    assert {path.stem for path in report.draw.draw(measured, tmp_path)} == set(texts) == set(report.draw.TITLES)
    for text in texts.values():
        assert "better" in text
        assert "largest" in text, "what whiskers and bands mean"
        assert measured["commit"] in text
    for row in measured["rows"]:
        for one in row["figures"]:
            if one["bar_of"] == "ratio":
                assert f"{row['title']}: {one['label']}" in texts["ratios"]
