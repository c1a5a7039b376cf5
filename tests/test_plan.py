"""Memory: what is expected, what is measured, and what follows from a limit."""

import subprocess
import sys
import textwrap

import mne
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_facet import (
    AAS,
    Filter,
    _memory,
    correct_files,
    estimate_memory,
    plan,
    recipe,
)
from mne_facet._files import write_file
from mne_facet._memory import parse_memory


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """Two recordings of 7 MB and one of 70 MB, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("sizes")
    for name, n_times in (("a", 50_000), ("b", 500_000), ("c", 50_000)):
        info = mne.create_info(18, 1000.0, "eeg")
        raw = mne.io.RawArray(np.ones((18, n_times)), info, verbose="ERROR")
        write_file(raw, folder / f"{name}_eeg.fif", "fif")
    (folder / "d_eeg.fif").write_text("nothing")
    return folder


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4GB", 4e9), (" 1.5 gb", 1.5e9), ("2GiB", 2**31), ("500MB", 5e8), (7e8, 7e8)],
)
def test_memory_limit(text, n_bytes):
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("wrong", ["much", "", "GB", "1.2.3GB", -1, 0, True, "-4GB"])
def test_wrong_memory_limit(wrong):
    with pytest.raises(ValueError, match=r"memory_limit=.* must be a number of bytes"):
        parse_memory(wrong)


def test_free_memory_is_the_limit_of_limits():
    assert 0 < parse_memory(None) < 1e15


@pytest.mark.parametrize(
    ("line", "where", "names", "spare"),
    [
        ("0::/slurm/job_1", "slurm/job_1", ("max", "current"), "inactive_file"),
        (
            "4:memory:/slurm/job_1",
            "memory/slurm/job_1",
            ("limit_in_bytes", "usage_in_bytes"),
            "total_inactive_file",
        ),
    ],
)
def test_limits_of_cluster_jobs(tmp_path, line, where, names, spare):
    own = tmp_path / "own"
    own.write_text(f"3:cpu:/elsewhere\n{line}\n")
    for folder, limit in (
        (tmp_path / where, "max"),
        ((tmp_path / where).parent, "9000"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"memory.{names[0]}").write_text(f"{limit}\n")
        (folder / f"memory.{names[1]}").write_text("5000\n")
        # files in the cache of the system do not count as used
        (folder / "memory.stat").write_text(f"anon 1\n{spare} 3000\nactive_file 7\n")
    assert _memory._left_in_control_groups(tmp_path, own) == [7000.0]


def test_free_memory_where_there_is_no_proc(monkeypatch):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(_memory, "_read_text", lambda fname: "")
    free = psutil.virtual_memory().available
    assert _memory._available_memory() == pytest.approx(free, rel=0.5)


def test_no_limit_is_said_so(sizes):
    assert "; no memory limit\n" in str(how(sizes, 1, np.inf))


def test_estimate_grows_with_jobs_and_shrinks_on_disk():
    info = mne.create_info(32, 1000.0, "eeg")
    raw = mne.io.RawArray(np.ones((32, 10_000)), info, verbose="ERROR")
    pipeline = make_pipeline(AAS(), Filter(None, 70.0))

    def total(n_jobs, **options):
        return estimate_memory(pipeline, raw, n_jobs, **options).total

    assert total(1) < total(2) < total(4)
    assert total(1) - total(1, on_disk=True) == pytest.approx(30 * 80_000)
    assert total(1, fmt="brainvision") > total(1) + 32 * 80_000


def test_unknown_steps_are_expected_to_copy():
    info = mne.create_info(32, 1000.0, "eeg")
    raw = mne.io.RawArray(np.ones((32, 10_000)), info, verbose="ERROR")
    assert estimate_memory(FunctionTransformer(), raw).working == 32 * 80_000


def how(sizes, n_jobs, memory_limit, names="abc", **options):
    files = [sizes / f"{name}_eeg.fif" for name in names]
    return plan(AAS(), files, n_jobs=n_jobs, memory_limit=memory_limit, **options)


def test_small_files_together_large_ones_alone(sizes, monkeypatch):
    monkeypatch.setattr("mne_facet._plan._WORTHWHILE", 0.0)
    result = how(sizes, 2, "600MB")
    assert [file.together for file in result.files] == [True, False, True]
    assert [file.n_jobs for file in result.files] == [1, 2, 1]
    assert result.n_workers == 2
    assert result.reason.startswith("2 files at a time")
    assert "1 large one(s) alone" in str(result)
    for file in result.files:
        share = 2 if file.together else 1
        assert share * file.memory <= 600e6
    assert len(str(result).splitlines()) == 5


def test_fewer_jobs_then_disk(sizes):
    settings = []
    for limit in (390e6, 360e6, 330e6):
        [file] = how(sizes, 2, limit, "b").files
        assert file.memory <= limit
        assert file.error is None
        settings.append((file.n_jobs, file.on_disk))
    assert settings == [(2, False), (1, False), (2, True)]


def test_what_cannot_fit_is_said_with_numbers(sizes, tmp_path):
    file = sizes / "b_eeg.fif"
    [result] = correct_files(AAS(), file, tmp_path, memory_limit="260MB")
    assert result.status == "failed"
    assert result.error == (
        "MemoryError: needs 0.29GB with one channel at a time, memory_limit is 0.26GB. "
        "Raise it."
    )
    [entry] = how(sizes, 1, "340MB", "b", fmt="edf").files
    assert entry.error.endswith("Raise it or use fmt='fif', which takes less.")
    assert not list(tmp_path.iterdir())


def test_few_files_leave_the_jobs_to_channels(sizes, monkeypatch):
    monkeypatch.setattr("mne_facet._plan._WORTHWHILE", 0.0)
    result = how(sizes, 8, "8GB")
    assert result.n_workers == 1
    assert {file.n_jobs for file in result.files} == {8}


def test_reasons(sizes):
    assert "n_jobs is 1" in how(sizes, 1, None).reason
    assert "too little for more" in how(sizes, 2, None).reason
    bad = how(sizes, 2, None, "ad")
    assert "d_eeg.fif cannot be read" in bad.files[1].error
    assert "not at all: d_eeg.fif cannot be read" in str(bad)


PEAK = """
import sys
import mne
from mne_facet import correct_files, estimate_memory, recipe
mne.set_log_level("ERROR")
file, out, n_jobs, limit = sys.argv[1:]
estimator = recipe("aas", triggers="R128", n_slices=20)
[result] = correct_files(
    estimator, file, out, n_jobs=int(n_jobs), memory_limit=limit, progress=False
)
assert result.error is None, result.traceback
print(result.peak_memory)
"""


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory):
    """8 channels of 12 MB."""
    from mne_facet import simulate_raw

    few, _ = simulate_raw(300, n_eeg=2, ecg=False, pulse=0.0)
    info = mne.create_info(8, few.info["sfreq"], "eeg")
    raw = mne.io.RawArray(np.repeat(few.get_data(), 4, axis=0), info, verbose="ERROR")
    raw.set_meas_date(few.info["meas_date"]).set_annotations(few.annotations)
    fname = tmp_path_factory.mktemp("long") / "long_eeg.fif"
    write_file(raw, fname, "fif")
    return fname


@pytest.mark.skipif(sys.platform != "linux", reason="the peak cannot be measured")
@pytest.mark.parametrize(("n_jobs", "limit"), [(2, "2GB"), (1, "440MB")])
def test_measured_peak_is_what_was_expected(long_recording, tmp_path, n_jobs, limit):
    pipeline = recipe("aas", triggers="R128", n_slices=20)
    [expected] = plan(pipeline, long_recording, n_jobs=n_jobs, memory_limit=limit).files
    arguments = [long_recording, tmp_path, str(n_jobs), limit]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK), *arguments],
        capture_output=True,
        text=True,
    )
    peak = float(done.stdout or "nan")
    assert peak <= parse_memory(limit), done.stderr
    assert peak == pytest.approx(expected.memory, rel=0.3)
    assert expected.on_disk == (limit == "440MB")
