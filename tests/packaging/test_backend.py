"""A wheel is compiled where it can be and where it is wanted; nothing else is asked for elsewhere."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("backend", PROJECT / "packaging/backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.build_meta, "get_requires_for_build_wheel", lambda _settings: ["wheel"])
    monkeypatch.delenv("KBROKER_COMPILE", raising=False)
    return module


@pytest.mark.parametrize("compiler", ["/bin/false", "no-such-compiler"])
def test_without_a_compiler_nothing_more_is_needed(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert backend.get_requires_for_build_wheel() == ["wheel"]


def test_with_a_compiler_mypyc_is_fetched(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/bin/true")
    assert backend.get_requires_for_build_wheel() == ["wheel", backend.COMPILER]


@pytest.mark.parametrize(("wanted", "compiles"), [("0", False), ("1", True)])
def test_what_is_asked_for_counts_more(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, wanted: str, compiles: bool
) -> None:
    monkeypatch.setenv("CC", "/bin/false" if compiles else "/bin/true")
    monkeypatch.setenv("KBROKER_COMPILE", wanted)
    assert (backend.COMPILER in backend.get_requires_for_build_wheel()) is compiles


def test_the_compiler_is_the_type_checker_that_is_run(backend: ModuleType) -> None:
    checks = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["check"]
    (mypy,) = (one for one in checks if one.startswith("mypy"))
    assert mypy.split("==")[1] == backend.COMPILER.split("==")[1]


def test_every_compiled_module_exists() -> None:
    modules = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["kbroker"]["compiled-modules"]
    assert modules
    assert [name for name in modules if not (PROJECT / (name.replace(".", "/") + ".py")).is_file()] == []
