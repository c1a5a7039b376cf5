"""Every Python block of a page runs, one after the other, where a user would."""

import re
import textwrap
from pathlib import Path

import pytest

from mne_facet import simulate_raw
from mne_facet._files import write_file

PAGES = [
    page
    for page in sorted((Path(__file__).parent.parent / "doc").glob("*.rst"))
    if ".. code-block:: python" in page.read_text()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for number in (1, 2):
        raw, _ = simulate_raw(40, sfreq=1000, n_eeg=4, lowpass=100, seed=number)
        write_file(raw, tmp_path / f"sub-{number:02}_eeg.fif", "fif")
    pattern = r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)"
    blocks = re.findall(pattern, page.read_text(), re.MULTILINE)
    assert blocks
    space = {"__name__": "page"}
    for block in blocks:
        exec(compile(textwrap.dedent(block), page.name, "exec"), space)
