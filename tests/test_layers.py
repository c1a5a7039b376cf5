"""Who may import whom."""

import ast
from pathlib import Path

import pytest

import mne_facet

STANDARD = {"dataclasses", "functools", "itertools", "os", "typing"}
PACKAGE = Path(mne_facet.__file__).parent
LAYERS = [
    {"_checks", "_events", "_base", "_log", "_pipe", "_workers", "simulate"},
    {"_epochs", "_segments", "motion"},
    {"_event_metrics", "_spectral_metrics"},
    {
        "triggers",
        "gradient",
        "beats",
        "physio",
        "residual",
        "lowrank",
        "pulse",
        "references",
        "filters",
        "blockwise",
        "metrics",
        "_files",
        "_provenance",
    },
    {"recipes", "_memory", "_paths", "testing", "score"},
    {"_plan", "evaluation", "_figures"},
    {"_overviews"},
    {"report"},
    {"_pages"},
    {"batch", "benchmark"},
    {"_demo"},
    {"cli", "__init__"},
]


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            prefix = "." * node.level
            yield prefix + (node.module or ",".join(name.name for name in node.names))
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_every_module_has_a_layer():
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == set.union(*LAYERS)


def test_modules_import_only_from_layers_below():
    below = {"signal"}
    for names in LAYERS:
        for name in names:
            local = {
                part.split(".")[0]
                for module in _imports(PACKAGE / f"{name}.py")
                if module.startswith(".")
                for part in module.lstrip(".").split(",")
            }
            own = {*names, "__version__"} if names & {"cli"} else set()
            assert local <= below | own, name
        below |= names


def test_numerics_know_neither_mne_nor_sklearn():
    for path in (PACKAGE / "signal").glob("*.py"):
        roots = {module.split(".")[0] for module in _imports(path) if module[0] != "."}
        assert roots <= STANDARD | {"numpy", "scipy", "numba"}, path.name


def test_compiled_loops_are_not_imported_with_the_package():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert "kernels" not in ast.unparse(node), path.name


@pytest.mark.parametrize("name", ["matplotlib", "numba", "scipy.signal"])
def test_what_is_slow_or_may_be_missing_is_imported_when_used(name):
    for path in PACKAGE.rglob("*.py"):
        if (path.name, name) == ("kernels.py", "numba"):
            continue  # imported by signal/compiled.py where it is called
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert name not in ast.unparse(node), path.name
