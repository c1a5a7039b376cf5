"""What the pages say runs, and they say something about everything there is.

Pictures and gallery scripts are run by the build of the pages, see ``.ci/run``.
"""

import ast
import inspect
import json
import re
import shlex
import textwrap
from functools import cache
from glob import glob
from pathlib import Path

import pytest

import mne_facet
from mne_facet import simulate_raw
from mne_facet._files import write_file
from mne_facet.cli import main

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "doc").glob("*.rst"))]
GALLERY = sorted((ROOT / "examples").glob("*.py"))


def blocks_of(page, language):
    """Code blocks of a page, without their indentation."""
    text = page.read_text()
    if page.suffix == ".md":
        return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    pattern = rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)"
    return [textwrap.dedent(x) for x in re.findall(pattern, text, re.MULTILINE)]


def pages_with(language):
    pages = [page for page in PAGES if blocks_of(page, language)]
    assert README in pages
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


@cache
def recordings():
    options = {"sfreq": 1000, "n_eeg": 4, "lowpass": 100}
    return {
        "sub-01_eeg.fif": simulate_raw(40, seed=1, **options)[0],
        "sub-02_eeg.fif": simulate_raw(40, seed=2, **options)[0],
        "sub-01_task-rest_eeg.vhdr": simulate_raw(60, n_slices=32, **options)[0],
    }


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Recordings with the names that the pages use, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name, raw in recordings().items():
        kind = "fif" if name.endswith("fif") else "brainvision"
        write_file(raw, tmp_path / name, kind)


@pages_with("python")
def test_python_blocks_run_one_after_the_other(page, study):
    space = {"__name__": "page"}
    for block in blocks_of(page, "python"):
        exec(compile(block, page.name, "exec"), space)


@pages_with("bash")
def test_commands_run(page, study, capsys):
    lines = "".join(blocks_of(page, "bash")).replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("mne-facet ") and line != "mne-facet demo":  # see test_cli
            words = shlex.split(line)[1:]
            argv = [name for word in words for name in glob(word) or [word]]
            assert main(argv) == 0, capsys.readouterr()


def test_readme_is_short_and_its_links_lead_somewhere():
    text = README.read_text()
    assert len(text.splitlines()) <= 70
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / link).exists(), link


def test_readme_quotes_the_benchmark():
    store = ROOT / "doc" / "benchmark" / "results.json"
    measured = json.loads(store.read_text())["quality"]["results"]["own clock"]
    rows = re.findall(r"^\| (\w.*?) +\| *([-\d.|% ]+)\|$", README.read_text(), re.M)
    assert len(rows) == 4
    for name, cells in rows:
        snr, middle, _, alpha, _ = measured[name]
        quoted = [cell.strip() for cell in cells.split("|")]
        assert quoted == [f"{snr:.1f}", f"{middle:.1f}", f"{alpha:.0f}"], name


def test_reference_names_everything_public():
    listed = re.findall(r"^   ([A-Za-z_.]+)$", (ROOT / "doc/api.rst").read_text(), re.M)
    modules = {path.stem for path in (ROOT / "mne_facet/signal").glob("[!_]*.py")}
    assert set(mne_facet.__all__) <= set(listed)
    modules.remove("kernels")  # twins of functions in the others; needs Numba
    assert {f"signal.{name}" for name in modules} <= set(listed)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", mne_facet.__all__)
def test_public_name_has_an_example(name):
    assert ">>> " in inspect.getdoc(getattr(mne_facet, name))


def test_no_public_name_without_a_test():
    used = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            used |= {getattr(node, "id", None), getattr(node, "attr", None)}
    # tables are made by functions that are tested
    tables = {n for n in mne_facet.__all__ if _is_table(getattr(mne_facet, n))}
    assert set(mne_facet.__all__) - tables <= used


def _is_table(item):
    return isinstance(item, type) and issubclass(item, (list, tuple))


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_gallery_script_is_short_and_says_what_it_is(path):
    text = path.read_text()
    title, rule, *_ = ast.get_docstring(ast.parse(text)).splitlines()
    assert len(text.splitlines()) <= 80
    assert rule == "=" * len(title)
