import hashlib
import json
import os
import shutil
import sys

import mne
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import FunctionTransformer

from mne_facet import AAS, recipe, simulate_raw
from mne_facet._events import annotation_samples
from mne_facet._files import read_file, write_file
from mne_facet.batch import correct_files

TRIGGERS = "R128"


class Interrupted(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        raise KeyboardInterrupt("stopped")


class Unchanged(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two BrainVision recordings with volumes at 5, 7, ... 23 s."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed in (1, 2):
        raw, _ = simulate_raw(30, sfreq=1000, n_eeg=3, clock_ppm=5, pulse=0, seed=seed)
        write_file(raw, folder / f"sub-{seed}_task-rest_eeg.vhdr", "brainvision")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def small_raw(sfreq=500.0, n_times=2000, first=0):
    data = 1e-5 * np.random.default_rng(0).normal(size=(3, n_times))
    info = mne.create_info(["Cz", "Pz", "EMG"], sfreq, ["eeg", "eeg", "misc"])
    raw = mne.io.RawArray(data, info, first_samp=first, verbose="ERROR")
    return raw.set_meas_date(1577836800.0)


def test_results_come_in_order_and_a_bad_file_stops_nothing(folder, tmp_path):
    good = [folder / f"sub-{seed}_task-rest_eeg.vhdr" for seed in (2, 1)]
    bad = tmp_path / "sub-0_eeg.vhdr"
    bad.write_text("no header")
    files = [good[0], bad, good[1]]
    results = correct_files(recipe("aas", triggers=TRIGGERS), files, tmp_path / "out")
    assert [r.source for r in results] == files
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert "OSError: sub-0_eeg.vhdr cannot be read" in results[1].error
    assert "Traceback" in results[1].traceback
    assert results[1].output is None
    names = [f"sub-{seed}_task-rest_desc-facet_eeg.fif" for seed in (2, 1)]
    assert [results[0].output.name, results[2].output.name] == names
    written = names + [name.replace(".fif", ".json") for name in names]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(written)
    assert results[0].error is results[0].traceback is None


def test_pattern_order_and_inputs_unchanged(folder, tmp_path):
    before = contents(folder)
    pattern = str(folder / "sub-*_eeg.vhdr")
    results = correct_files(
        recipe("aas", triggers=TRIGGERS), pattern, tmp_path, fmt="edf"
    )
    assert [r.source.name[:5] for r in results] == ["sub-1", "sub-2"]
    assert contents(folder) == before


def test_channels_in_parallel_give_the_same_bytes(folder, tmp_path):
    file = folder / "sub-1_task-rest_eeg.vhdr"
    data = []
    for n_jobs in (None, 2):
        out = tmp_path / str(n_jobs)
        estimator = recipe("aas", triggers=TRIGGERS)
        [result] = correct_files(estimator, file, out, fmt="brainvision", n_jobs=n_jobs)
        data.append(result.output.with_suffix(".eeg").read_bytes())
    assert data[0] == data[1]


def test_estimator_and_reader_are_left_alone(folder, tmp_path):
    raw = mne.io.read_raw(folder / "sub-1_task-rest_eeg.vhdr", preload=True)
    raw.info["bads"] = ["Fp2"]
    onsets, data = raw.annotations.onset.copy(), raw.get_data()
    for fmt in ("fif", "brainvision"):
        [result] = correct_files(
            Unchanged(),
            folder / "sub-1_task-rest_eeg.vhdr",
            tmp_path,
            fmt=fmt,
            desc="copy",
            reader=lambda fname: raw,
        )
        assert result.error is None
        assert result.output.name.startswith("sub-1_task-rest_desc-copy_eeg.")
    np.testing.assert_array_equal(raw.annotations.onset, onsets)
    np.testing.assert_array_equal(raw.get_data(), data)
    assert not any(raw.annotations.extras)
    saved = mne.io.read_raw(tmp_path / "sub-1_task-rest_desc-copy_eeg.fif")
    assert saved.info["bads"] == ["Fp2"]


def test_raise_names_the_file(folder, tmp_path):
    file = folder / "sub-1_task-rest_eeg.vhdr"
    with pytest.raises(
        RuntimeError, match=r"sub-1_task-rest_eeg\.vhdr: ValueError: AAS"
    ):
        correct_files(AAS(), file, tmp_path, on_error="raise")
    assert not list(tmp_path.iterdir())


def test_truncation_is_an_error_at_every_log_level(folder, tmp_path):
    raw = mne.io.read_raw(folder / "sub-1_task-rest_eeg.vhdr", preload=True)
    write_file(raw, tmp_path / "a_eeg.edf", "edf")
    os.truncate(tmp_path / "a_eeg.edf", 150_000)
    with (
        mne.use_log_level("ERROR"),
        pytest.raises(OSError, match=r"a_eeg\.edf cannot be read: Number of records"),
    ):
        read_file(tmp_path / "a_eeg.edf")


def test_interrupt_leaves_nothing(folder, tmp_path):
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        correct_files(Interrupted(), folder / "sub-1_task-rest_eeg.vhdr", tmp_path)
    assert not list(tmp_path.iterdir())


def test_interrupt_while_writing_leaves_nothing(tmp_path):
    class Interrupting(mne.io.RawArray):
        def save(self, fname, **kwargs):
            super().save(fname, **kwargs)
            raise KeyboardInterrupt("stopped")

    info = mne.create_info(["Cz"], 500.0, "eeg")
    raw = Interrupting(np.zeros((1, 1000)), info, verbose="ERROR")
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        write_file(raw, tmp_path / "sub-1_eeg.fif", "fif")
    assert not list(tmp_path.iterdir())


def test_existing_output_fails_before_the_work(folder, tmp_path):
    output = tmp_path / "sub-1_task-rest_desc-facet_eeg.eeg"
    output.write_text("precious")
    file = folder / "sub-1_task-rest_eeg.vhdr"
    [result] = correct_files(Interrupted(), file, tmp_path, fmt="brainvision")
    assert result.error == (
        f"FileExistsError: {output} exists and was not written by mne_facet, or was "
        "changed since. Allow overwrite or choose another output folder."
    )
    assert output.read_text() == "precious"
    [result] = correct_files(
        Unchanged(), file, tmp_path, fmt="brainvision", overwrite=True
    )
    assert result.status == "ok"
    assert mne.io.read_raw(result.output).n_times == 30000
    assert len(list(tmp_path.iterdir())) == 4


def statuses(*args, **kwargs):
    return [result.status for result in correct_files(*args, **kwargs)]


def test_only_what_has_changed_is_done_again(folder, tmp_path):
    for path in folder.glob("sub-*"):
        shutil.copy2(path, tmp_path)
    files, out = sorted(tmp_path.glob("*.vhdr")), tmp_path / "out"
    estimator = recipe("aas", triggers=TRIGGERS)
    assert statuses(estimator, files, out) == ["ok", "ok"]
    before = contents(out)
    assert statuses(estimator, files, out) == ["skipped", "skipped"]
    # what the result does not depend on
    other = clone(estimator).set_params(aas__n_jobs=2, aas__verbose=False)
    assert statuses(other, files, out) == ["skipped", "skipped"]
    for path in tmp_path.glob("sub-1*"):
        os.utime(path)
    assert statuses(other, files, out) == ["skipped", "skipped"]
    assert contents(out) == before
    marker = tmp_path / "sub-1_task-rest_eeg.vmrk"
    marker.write_text(marker.read_text() + "; changed\n")
    assert statuses(other, files, out) == ["ok", "skipped"]
    other = recipe("aas", triggers=TRIGGERS, window=10)
    assert statuses(other, files, out) == ["ok", "ok"]
    (out / "sub-2_task-rest_desc-facet_eeg.fif").unlink()
    assert statuses(other, files, out) == ["skipped", "ok"]
    assert statuses(other, files, out, overwrite=True) == ["ok", "ok"]
    sidecar = out / "sub-1_task-rest_desc-facet_eeg.json"
    old = sidecar.read_text().replace(f'"mne": "{mne.__version__}"', '"mne": "1.0"')
    sidecar.write_text(old)
    assert statuses(other, files, out) == ["ok", "skipped"]


def test_functions_are_told_apart_by_their_code(folder, tmp_path):
    file = folder / "sub-1_task-rest_eeg.vhdr"

    def louder(factor):
        if factor == 2:
            return FunctionTransformer(lambda raw: raw.apply_function(lambda x: 2 * x))
        return FunctionTransformer(lambda raw: raw.apply_function(lambda x: 3 * x))

    assert statuses(louder(2), file, tmp_path) == ["ok"]
    assert statuses(louder(2), file, tmp_path) == ["skipped"]
    assert statuses(louder(3), file, tmp_path) == ["ok"]


def test_sidecar_tells_what_was_done(folder, tmp_path):
    file = folder / "sub-1_task-rest_eeg.vhdr"
    estimator = recipe("aas", triggers=TRIGGERS, window=12)
    [result] = correct_files(estimator, file, tmp_path, fmt="edf", progress=False)
    sidecar = json.loads(result.output.with_suffix(".json").read_text())
    names = [source["name"] for source in sidecar["Sources"]]
    assert names[0] == file.name
    assert set(names) == {file.with_suffix(s).name for s in (".vhdr", ".eeg", ".vmrk")}
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    assert sidecar["Sources"][0]["sha256"] == digest
    steps = dict(sidecar["Request"]["estimator"]["steps"])
    assert steps["aas"] == {"class": "AAS", **steps["aas"], "window": 12}
    assert "n_jobs" not in steps["aas"]
    assert sidecar["Triggers"][0]["n_volumes"] == 10
    assert sidecar["Outputs"] == [
        {"name": result.output.name, "size": result.output.stat().st_size}
    ]
    assert any("AAS: 10 volume epochs" in line for line in sidecar["Log"])
    assert sidecar["Metrics"] == result.metrics
    assert result.metrics["n_volumes"] == 10
    assert result.metrics["rms_after"] < result.metrics["rms_before"]
    assert result.cpu_seconds > 0
    assert 1e8 < result.peak_memory < 1e10


def test_bids_folders_and_paths(folder, tmp_path):
    class BIDSPath:
        def __init__(self, fpath):
            self.fpath = fpath

        def __fspath__(self):
            return str(self.fpath)

    files = []
    for session in ("", "ses-a"):
        where = tmp_path / "data" / "sub-1" / session / "eeg"
        where.mkdir(parents=True)
        name = "_".join(filter(None, ["sub-1", session, "task-rest_eeg.fif"]))
        write_file(small_raw(), where / name, "fif")
        files.append(BIDSPath(where / name))
    out = tmp_path / "derivatives"
    results = correct_files(Unchanged(), files, out)
    assert [str(result.output.relative_to(out)) for result in results] == [
        "sub-1/eeg/sub-1_task-rest_desc-facet_eeg.fif",
        "sub-1/ses-a/eeg/sub-1_ses-a_task-rest_desc-facet_eeg.fif",
    ]
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "mne_facet"
    (out / "dataset_description.json").write_text("mine")
    correct_files(Unchanged(), files, out)
    assert (out / "dataset_description.json").read_text() == "mine"


def test_progress_and_log_obey(folder, tmp_path, capsys):
    file = folder / "sub-1_task-rest_eeg.vhdr"
    with mne.use_log_level("INFO"):
        correct_files(Unchanged(), file, tmp_path / "a", verbose=False)
        assert capsys.readouterr() == ("", "")
        correct_files(recipe("aas", triggers=TRIGGERS), file, tmp_path / "b")
        out, err = capsys.readouterr()
    assert "1 file(s) to correct, one file and one channel at a time" in out
    assert "sub-1_task-rest_eeg.vhdr: AAS: 10 volume epochs" in out
    assert "Files" in err


def test_an_input_is_never_an_output(folder, tmp_path):
    for suffix in (".vhdr", ".eeg", ".vmrk"):
        source = folder / f"sub-1_task-rest_eeg{suffix}"
        shutil.copy(source, tmp_path)
        shutil.copy(source, tmp_path / f"sub-1_task-rest_desc-facet_eeg{suffix}")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="is an input and would be the output of"):
        correct_files(
            Unchanged(),
            str(tmp_path / "*.vhdr"),
            tmp_path,
            fmt="brainvision",
            overwrite=True,
        )
    assert contents(tmp_path) == before


def test_two_inputs_with_one_output(folder, tmp_path):
    files = [folder / "sub-1_task-rest_eeg.vhdr"] * 2
    with pytest.raises(ValueError, match="would both be written to"):
        correct_files(Unchanged(), files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"fmt": "mat"}, "fmt='mat' is unknown. Allowed are"),
        ({"on_error": "ignore"}, "on_error='ignore' is unknown"),
        ({"desc": "a_b"}, "desc='a_b' must be letters and digits"),
        ({"files": []}, "files is empty"),
    ],
)
def test_wrong_options(folder, tmp_path, options, match):
    options = {"files": folder / "sub-1_task-rest_eeg.vhdr", **options}
    with pytest.raises(ValueError, match=match):
        correct_files(Unchanged(), options.pop("files"), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_no_file_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file found for 'sub-\*\.nowhere'"):
        correct_files(Unchanged(), "sub-*.nowhere", tmp_path / "out")


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_output_folder_is_no_folder(folder, tmp_path, out):
    (tmp_path / "file").write_text("")
    file = folder / "sub-1_task-rest_eeg.vhdr"
    with pytest.raises(NotADirectoryError, match=f"{out}' is not a folder"):
        correct_files(Unchanged(), file, tmp_path / out)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_is_not_writable(folder, tmp_path):
    out = tmp_path / "locked"
    out.mkdir(mode=0o500)
    file = folder / "sub-1_task-rest_eeg.vhdr"
    with pytest.raises(PermissionError, match="is not writable"):
        correct_files(Unchanged(), file, out)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder for nobody")
def test_output_folder_that_root_cannot_write_to(folder):
    file = folder / "sub-1_task-rest_eeg.vhdr"
    match = "out_dir='/sys/derivatives' is not writable: .*choose another"
    with pytest.raises(OSError, match=match):
        correct_files(Unchanged(), file, "/sys/derivatives")


@pytest.mark.parametrize("first", [0, 12345])
@pytest.mark.parametrize("sfreq", [500.0, 1000 / 3, 512.0])
def test_brainvision_keeps_triggers_on_their_samples(tmp_path, sfreq, first):
    raw = small_raw(sfreq, first=first)
    samples = np.array([0, 1, 7, 999, 1000, 1333, 1999])
    annotations = mne.Annotations(samples / sfreq, 1 / sfreq, "Response/R128")
    raw.set_annotations(annotations)
    write_file(raw, tmp_path / "a_eeg.vhdr", "brainvision")
    saved = mne.io.read_raw(tmp_path / "a_eeg.vhdr")
    found = annotation_samples(saved, np.arange(len(samples)))
    np.testing.assert_allclose(found, samples, atol=1e-3)
    durations = saved.annotations.duration * saved.info["sfreq"]
    np.testing.assert_allclose(durations, 1, atol=1e-2)
    lines = (tmp_path / "a_eeg.vmrk").read_text().splitlines()
    positions = [int(line.split(",")[2]) for line in lines if "R128" in line]
    assert positions == list(samples + 1)


def test_fif_keeps_times_after_hours(tmp_path):
    raw = small_raw(first=500 * 7200)
    samples = np.array([0.0, 3, 1001.25, 1999])
    raw.set_annotations(mne.Annotations(samples / 500, 0, "TR"))
    write_file(raw, tmp_path / "a_eeg.fif", "fif")
    saved = mne.io.read_raw(tmp_path / "a_eeg.fif")
    found = annotation_samples(saved, np.arange(4))
    np.testing.assert_allclose(found, samples, atol=1e-6)


@pytest.mark.parametrize("fmt", ["brainvision", "edf", "eeglab", "fif"])
def test_unusual_recordings_are_written_without_noise(tmp_path, fmt):
    # a flat channel, one without voltage, no date, an end within a second
    raw = small_raw(n_times=1750)
    raw.set_meas_date(None)
    raw._data[0] = 0
    raw._data[2] = 37
    raw.set_annotations(mne.Annotations([1, 3.4], [0, 0.1], ["a, b", "BAD"]))
    raw.annotations.duration[1] = 5  # beyond the end
    suffix = {"brainvision": ".vhdr", "edf": ".edf", "eeglab": ".set", "fif": ".fif"}
    output = tmp_path / f"a_eeg{suffix[fmt]}"
    write_file(raw, output, fmt)
    saved = mne.io.read_raw(output, preload=True, verbose="ERROR")
    np.testing.assert_allclose(saved.get_data()[:, :1750], raw.get_data(), atol=2e-9)
    names = [name.removeprefix("Comment/") for name in saved.annotations.description]
    assert names[:2] == ["a, b", "BAD"]
