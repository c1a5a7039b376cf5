"""Channels, blocks, files and workers in parallel: the same result as one by one."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading

import mne
import numpy as np
import pytest
from joblib import parallel_config
from mne.utils import catch_logging, logger
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_facet import (
    AAS,
    ANC,
    Blockwise,
    ChannelTransformer,
    Filter,
    TriggerDetector,
    _base,
    _plan,
    correct_files,
    estimate_memory,
    plan,
    recipe,
)
from mne_facet._files import read_file, write_file


def chain():
    return make_pipeline(TriggerDetector("R128"), AAS(), Filter(None, 70.0))


def assert_same(raw, other):
    np.testing.assert_array_equal(raw.get_data(), other.get_data())
    assert raw.annotations == other.annotations
    assert raw.info["lowpass"] == other.info["lowpass"]
    assert raw.ch_names == other.ch_names
    assert raw.first_samp == other.first_samp


@pytest.fixture
def annotated(simulated):
    raw, _ = simulated(n_eeg=9)
    raw.annotations.append(7.0, 0.5, "BAD cough")
    raw.info["bads"] = ["Fp1"]
    return raw.crop(1.0)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        # a test fails, rather than waits, if no worker could be started again
        dask.config.set({"distributed.scheduler.no-workers-timeout": "60s"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


@pytest.fixture
def tiny(tmp_path):
    """Make small recordings, in files of given names."""

    def make(*names, n_times=2000):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(len(names))
        files = []
        for name in names:
            info = mne.create_info(3, 200.0, "eeg")
            data = 1e-5 * rng.standard_normal((3, n_times))
            raw = mne.io.RawArray(data, info, verbose="ERROR")
            write_file(raw, folder / name, "fif")
            files.append(folder / name)
        return files

    return make


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_threads(annotated, n_jobs):
    expected = chain().fit_transform(annotated)
    estimator = chain().set_params(aas__n_jobs=n_jobs, filter__n_jobs=n_jobs)
    assert_same(estimator.fit_transform(annotated), expected)


def test_processes(annotated):
    expected = chain().fit_transform(annotated)
    with parallel_config("loky", n_jobs=2):
        assert_same(chain().fit_transform(annotated), expected)


def test_dask(annotated, cluster):
    expected = chain().fit_transform(annotated)
    with parallel_config("dask", n_jobs=-1):
        assert_same(chain().fit_transform(annotated), expected)


@pytest.mark.parametrize(("n_jobs", "block_size"), [(1, None), (2, None), (2, 3)])
def test_blocks(annotated, n_jobs, block_size):
    expected = chain().fit_transform(annotated)
    before = annotated.get_data().copy()
    blockwise = Blockwise(chain(), n_jobs=n_jobs, block_size=block_size)
    assert_same(blockwise.fit_transform(annotated), expected)
    np.testing.assert_array_equal(annotated.get_data(), before)


def test_blocks_of_any_steps(annotated):
    def invert(raw):
        return raw.copy().apply_function(np.negative, picks="all")

    steps = (TriggerDetector("R128"), FunctionTransformer(invert), "passthrough", AAS())
    pipeline = make_pipeline(*steps)
    expected = pipeline.fit_transform(annotated)
    assert_same(Blockwise(pipeline).fit_transform(annotated), expected)


@pytest.mark.parametrize("outer", [Blockwise, ANC])
def test_steps_inside_get_the_jobs(annotated, outer):
    seen = []

    class Seen(AAS):
        def _plan(self, raw, picks):
            seen.append(self.n_jobs)
            return super()._plan(raw, picks)

    raw = TriggerDetector("R128").fit_transform(annotated)
    step = Seen()
    outer(step, n_jobs=2).fit_transform(raw)
    outer(Seen(n_jobs=3)).fit_transform(raw)
    assert seen == [2, 3]
    assert step.n_jobs is None


def test_data_on_disk(annotated, tmp_path):
    write_file(annotated, tmp_path / "a_eeg.fif", "fif")
    expected = chain().fit_transform(read_file(tmp_path / "a_eeg.fif"))
    raw = read_file(tmp_path / "a_eeg.fif", store=tmp_path / "data")
    assert (tmp_path / "data").stat().st_size == raw.get_data().nbytes
    result = Blockwise(chain(), copy=False, n_jobs=2).fit_transform(raw)
    assert result is raw
    assert_same(result, expected)
    stored = np.fromfile(tmp_path / "data").reshape(len(raw.ch_names), -1)
    np.testing.assert_array_equal(stored, expected.get_data())


def test_little_work_is_done_by_one(annotated, monkeypatch):
    monkeypatch.setattr(_base, "_WORTHWHILE", 0.2)
    with catch_logging() as log:
        AAS(n_jobs=2, verbose=True).transform(
            TriggerDetector("R128").transform(annotated)
        )
    assert "1 job, not 2: 10 channel(s) of 39000 samples take 0.0" in log.getvalue()


class Noted(ChannelTransformer):
    def __init__(self, *, picks=None, copy=True, n_jobs=None, verbose=None):
        self.picks = picks
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        return _note


def _note(x):
    return 2 * x, "loud" if np.abs(x).max() > 1 else None


def test_notes_name_their_channels():
    data = np.ones((3, 10)) * [[0.5], [2], [3]] + np.arange(10)[np.newaxis] / 100
    raw = mne.io.RawArray(data, mne.create_info(3, 100.0, "eeg"), verbose="ERROR")
    with catch_logging() as log:
        result = Noted(verbose=True, n_jobs=2).transform(raw)
    np.testing.assert_array_equal(result.get_data(), 2 * data)
    assert "Noted: 1, 2: loud\n" in log.getvalue()


class Threads(Noted):
    def _plan(self, raw, picks):
        return _thread


def _thread(x):
    return x + 1, str(threading.get_ident())


def test_all_cores_are_those_of_this_process(annotated, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    with catch_logging() as log:
        Threads(n_jobs=-1, verbose=True).transform(annotated)
    notes = [line for line in log.getvalue().splitlines() if "Threads: " in line]
    assert len(notes) == 1
    assert notes[0].endswith(f": {threading.get_ident()}")


class Picky(Noted):
    def _plan(self, raw, picks):
        return _refuse


def _refuse(x):
    if x[0] > 1:
        raise ValueError("too large")
    return x.copy()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_error_names_the_channel(backend, tmp_path):
    info = mne.create_info(["a", "b", "c"], 100.0, "eeg")
    data = [[0.5], [2], [0.1]] + np.arange(10)[np.newaxis] / 100
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    raises = pytest.raises(ValueError, match="too large")
    with parallel_config(backend, n_jobs=2), raises as error:
        Picky().transform(raw)
    assert error.value.__notes__ == ["Channel b."]
    write_file(raw, tmp_path / "x_eeg.fif", "fif")
    [result] = correct_files(Picky(), tmp_path / "x_eeg.fif", tmp_path)
    assert result.error == "ValueError: too large Channel b."


def test_threads_leave_the_log_level_as_it_was():
    raw = mne.io.RawArray(np.ones((8, 10)), mne.create_info(8, 100.0, "eeg"))
    raw._data += np.arange(10)
    for _ in range(50):
        Noted(n_jobs=4).transform(raw)
        assert logger.level == logging.WARNING


def outputs(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.fif")}


def test_files_in_processes_and_on_a_cluster(simulated, tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(_plan, "_WORTHWHILE", 0.0)
    files = []
    for seed in range(3):
        files.append(tmp_path / f"sub-{seed}_eeg.fif")
        write_file(simulated(seed=seed)[0], files[-1], "fif")
    reference = correct_files(chain(), files, tmp_path / "serial")
    assert [result.status for result in reference] == ["ok"] * 3
    correct_files(chain(), files, tmp_path / "loky", n_jobs=2)
    with parallel_config("dask", n_jobs=-1):
        results = correct_files(chain(), files, tmp_path / "dask")
    assert [result.source for result in results] == files
    with parallel_config("threading", n_jobs=2):
        correct_files(chain(), files, tmp_path / "threads")
    for backend in ("loky", "dask", "threads"):
        for output in outputs(tmp_path / "serial"):
            assert_same(
                mne.io.read_raw(tmp_path / backend / output),
                mne.io.read_raw(tmp_path / "serial" / output),
            )
    serial, loky = (
        (tmp_path / backend / "sub-1_desc-facet_eeg.json").read_text()
        for backend in ("serial", "loky")
    )
    assert "TriggerDetector: run 1, 15 volumes" in serial
    assert loky == serial


def test_one_file_is_a_task(tiny, tmp_path, cluster):
    from distributed import get_client

    [file] = tiny("a_eeg.fif")
    task = get_client().submit(correct_files, Filter(None, 40.0), file, tmp_path)
    [result] = task.result()
    assert (result.status, result.error) == ("ok", None)
    expected = Filter(None, 40.0).transform(read_file(file)).get_data()
    np.testing.assert_allclose(read_file(result.output).get_data(), expected, rtol=1e-6)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_killed_worker_takes_no_other_file_with_it(
    tiny, tmp_path, backend, request, monkeypatch
):
    monkeypatch.setattr(_plan, "_WORTHWHILE", 0.0)
    if backend == "dask":
        request.getfixturevalue("cluster")
    files = tiny("a_eeg.fif", "bad_eeg.fif", "c_eeg.fif", "d_eeg.fif")

    def die_of_a_bad_file(raw):
        if "bad" in raw.filenames[0].name:
            os.kill(os.getpid(), signal.SIGKILL)
        return raw

    estimator = FunctionTransformer(die_of_a_bad_file)
    with parallel_config(backend, n_jobs=2):
        results = correct_files(estimator, files, tmp_path / "out")
    assert [result.source for result in results] == files
    assert [r.status for r in results] == ["ok", "failed", "ok", "ok"]
    assert "the worker process died" in results[1].error
    assert {path.name for path in (tmp_path / "out").iterdir()} == written("acd")


SCRIPT = """
import os, signal, sys
from sklearn.preprocessing import FunctionTransformer
from mne_facet import _plan, correct_files

_plan._WORTHWHILE = 0.0
how, n_jobs, out, *files = sys.argv[1:]
user = os.getpid()

def act(raw):
    if "b_eeg" in raw.filenames[0].name and how != "go":
        os.kill(user, getattr(signal, how))
    return raw

# no guard: workers must not run this again
results = correct_files(FunctionTransformer(act), files, out, n_jobs=int(n_jobs))
print(*(result.status for result in results))
"""


def command(tmp_path, how, n_jobs, files):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return [sys.executable, script, how, str(n_jobs), tmp_path / "out", *files]


def run_script(*args):
    return subprocess.run(command(*args), capture_output=True, text=True)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGINT to workers", "SIGKILL"])
def test_second_run_completes_an_interrupted_one(tiny, tmp_path, how):
    files = tiny("a_eeg.fif", "b_eeg.fif", "c_eeg.fif")
    n_jobs = 1 + how.endswith("workers")
    interrupted = run_script(tmp_path, how.split()[0], n_jobs, files)
    assert interrupted.returncode != 0
    visible = {p.name for p in (tmp_path / "out").iterdir() if p.name[0] != "."}
    done = [stem for stem in "abc" if f"{stem}_desc-facet_eeg.fif" in visible]
    assert visible == written(done)
    assert n_jobs == 2 or done == ["a"]
    again = run_script(tmp_path, "go", n_jobs, files)
    expected = ["skipped" if stem in done else "ok" for stem in "abc"]
    assert again.stdout.split()[-3:] == expected, again.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == written("abc")


def written(stems):
    ends = ("fif", "json")
    return {f"{stem}_desc-facet_eeg.{end}" for stem in stems for end in ends}


def test_two_runs_at_once(tiny, tmp_path):
    files = tiny(*(f"{stem}_eeg.fif" for stem in "abcdef"))
    line = command(tmp_path, "go", 1, files)
    both = [subprocess.Popen(line, stdout=subprocess.PIPE) for _ in range(2)]
    for process in both:
        statuses = process.communicate()[0].split()[-6:]
        assert set(statuses) <= {b"ok", b"skipped"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == written("abcdef")
    for file, output in zip(
        files, sorted((tmp_path / "out").glob("*.fif")), strict=True
    ):
        np.testing.assert_array_equal(
            mne.io.read_raw(output).get_data(), mne.io.read_raw(file).get_data()
        )


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of file size")
def test_full_disk(tiny, tmp_path):
    [file] = tiny("a_eeg.fif", n_times=100_000)
    code = f"""
    import resource, signal
    from sklearn.preprocessing import FunctionTransformer
    from mne_facet import correct_files
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    [result] = correct_files(FunctionTransformer(), {str(file)!r}, {str(tmp_path)!r})
    print(result.status, result.error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert f"failed OSError: [Errno 27] File too large. Make room in {tmp_path}" in (
        done.stdout
    ), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def small_disk(folder, command):
    """Run a command that finds a disk of 2 MB in a folder."""
    mount = f"mount -t tmpfs -o size=2m none {folder} && exec"
    line = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} "$0" "$@"']
    return subprocess.run([*line, *command], capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a disk of its own")
@pytest.mark.parametrize("on_disk", [False, True])
def test_full_disk_with_data_on_disk_or_not(tiny, tmp_path, on_disk):
    out = tmp_path / "out"
    out.mkdir()
    if shutil.which("unshare") is None or small_disk(out, ["true"]).returncode:
        pytest.skip("no disk can be mounted")
    files = [str(file) for file in tiny("a_eeg.fif", "b_eeg.fif", n_times=500_000)]
    # just enough for the one way
    estimator = Filter(None, 40.0)
    limit = 1 + estimate_memory(estimator, files[0], on_disk=on_disk).total
    [planned] = plan(estimator, files[0], memory_limit=limit).files
    assert planned.on_disk == on_disk
    code = f"""
    from mne_facet import Filter, correct_files
    options = {{"memory_limit": {limit}, "verbose": False}}
    for result in correct_files(Filter(None, 40.0), {files}, {str(out)!r}, **options):
        print(result.error)
    """
    done = small_disk(out, [sys.executable, "-c", textwrap.dedent(code)])
    errors = done.stdout.splitlines()
    assert len(errors) == 2, done.stderr
    for error in errors:
        assert error.startswith("OSError: [Errno 28] No space left on device.")
        assert f"Make room in {out} or choose another output folder." in error


def test_file_that_vanishes(tiny, tmp_path):
    files = tiny("a_eeg.fif", "b_eeg.fif", "c_eeg.fif")

    def read(fname):
        raw = mne.io.read_raw(fname, preload=True)
        files[1].unlink(missing_ok=True)
        return raw

    results = correct_files(FunctionTransformer(), files, tmp_path / "out", reader=read)
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert "b_eeg.fif cannot be read" in results[1].error


def test_two_hundred_files_with_any_name(tiny, tmp_path):
    names = [f"sub-{i:03} Größe é_eeg.fif" for i in range(200)]
    files = tiny(*names, n_times=100)
    results = correct_files(
        FunctionTransformer(),
        str(tmp_path / "in" / "*.fif"),
        tmp_path / "out",
        n_jobs=2,
    )
    assert [result.source for result in results] == files
    assert {result.status for result in results} == {"ok"}
    assert len(outputs(tmp_path / "out")) == 200


def test_recipe_on_blocks_survives_pickling(annotated):
    import pickle

    blockwise = pickle.loads(pickle.dumps(Blockwise(recipe("aas", triggers="R128"))))
    expected = recipe("aas", triggers="R128").fit_transform(annotated)
    assert_same(blockwise.fit_transform(annotated), expected)


def test_import_changes_nothing_for_others():
    code = """
    import logging, multiprocessing, os, random, warnings
    import matplotlib, mne, numpy, sklearn
    def state():
        return (
            multiprocessing.get_start_method(allow_none=True),
            dict(os.environ),
            logging.getLogger("mne").level,
            warnings.filters[:],
            dict(matplotlib.rcParams),
            random.getstate(),
            numpy.random.get_state()[1].tolist(),
            numpy.geterr(),
            sklearn.get_config(),
        )
    before = state()
    import mne_facet
    assert state() == before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
