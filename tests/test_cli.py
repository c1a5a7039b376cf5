import os
import re
import shutil

import mne
import numpy as np
import pytest

from mne_facet import TriggerDetector, __version__, recipe, simulate_raw
from mne_facet._demo import run_demo
from mne_facet._events import annotation_samples, find_annotations, get_runs
from mne_facet._files import write_file
from mne_facet.cli import main

SUFFIXES = {"fif": ".fif", "edf": ".edf", "brainvision": ".vhdr", "eeglab": ".set"}
SFREQ = 1000.0

# MNE's reader takes the electrodes on the head for the points of a sphere around 0
pytestmark = pytest.mark.filterwarnings("ignore:Estimated head radius")


@pytest.fixture(scope="module")
def simulated():
    raw, truth = simulate_raw(
        30, sfreq=SFREQ, lowpass=100, n_eeg=4, clock_ppm=5, pulse=0, seed=3
    )
    raw.info["bads"] = ["C4"]
    return raw, truth


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    """The same recording in all formats."""
    folder = tmp_path_factory.mktemp("recordings")
    for fmt, suffix in SUFFIXES.items():
        write_file(simulated[0], folder / f"sub-1_task-rest_eeg{suffix}", fmt)
    return folder


def triggers(raw):
    return annotation_samples(raw, find_annotations(raw, "R128"))


@pytest.mark.parametrize("fmt", list(SUFFIXES))
def test_correct_round_trip(simulated, folder, tmp_path, capsys, fmt):
    source = folder / f"sub-1_task-rest_eeg{SUFFIXES[fmt]}"
    args = ["--triggers", "R128", "--out", str(tmp_path), "--format", fmt]
    assert main(["correct", str(source), *args]) == 0
    output = tmp_path / f"sub-1_task-rest_desc-facet_eeg{SUFFIXES[fmt]}"
    out, err = capsys.readouterr()
    lines = out.splitlines()[-2:]  # MNE's warnings come first where pytest listens
    assert re.fullmatch(rf"ok      {source} -> {output} \(\d+\.\d s\)", lines[0])
    assert lines[1] == "1 of 1 files corrected."
    assert not err

    raw = mne.io.read_raw(source, preload=True)
    clean = recipe(triggers="R128").fit_transform(raw)
    saved = mne.io.read_raw(output, preload=True)
    ranges = np.ptp(clean.get_data(), axis=1, keepdims=True)
    step = ranges / 65000 if fmt == "edf" else ranges * 2e-7
    assert (np.abs(saved.get_data() - clean.get_data()) <= step).all()
    assert saved.ch_names == clean.ch_names

    truth = simulated[1].eeg[:4, 5000:25000]
    error = 1e6 * np.std(saved.get_data()[:4, 5000:25000] - truth, axis=1)
    assert (error < 8).all()
    assert np.median(error) < 6  # EEG of 12 uV, averaged over 9 volumes

    np.testing.assert_allclose(triggers(saved), triggers(raw), atol=1e-3)
    detector = TriggerDetector("R128", complete=False)  # there is no artifact left
    found = [detector.fit_transform(r) for r in (raw, saved)]
    onsets = [get_runs(r, name="test")[0].onsets for r in found]
    np.testing.assert_allclose(onsets[1], onsets[0], atol=1e-3)
    volumes = annotation_samples(saved, find_annotations(saved, "TR"))
    expected = annotation_samples(clean, find_annotations(clean, "TR"))
    half = 0.5 if fmt == "brainvision" else 1e-3
    np.testing.assert_allclose(volumes, expected, atol=half + 1e-3)
    assert saved.info["bads"] == (["C4"] if fmt == "fif" else [])


def copy_recording(folder, out, suffix):
    out.mkdir(exist_ok=True)
    related = (".vhdr", ".eeg", ".vmrk") if suffix == ".vhdr" else (suffix,)
    for ending in related:
        shutil.copy(folder / f"sub-1_task-rest_eeg{ending}", out)
    return out / f"sub-1_task-rest_eeg{suffix}"


def cut(path, size):
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def cut_half(suffix):
    def make(folder, out):
        path = copy_recording(folder, out, suffix)
        cut(path, path.stat().st_size // 2)
        return path

    return make


def cut_data(size):
    def make(folder, out):
        path = copy_recording(folder, out, ".vhdr")
        cut(path.with_suffix(".eeg"), size)
        return path

    return make


def edit(suffix, pattern, text):
    def make(folder, out):
        path = copy_recording(folder, out, ".vhdr")
        file = path.with_suffix(suffix)
        content = file.read_text("utf-8")
        changed = re.sub(pattern, text, content, flags=re.MULTILINE)
        assert changed != content
        file.write_text(changed, "utf-8")
        return path

    return make


def remove(suffix):
    def make(folder, out):
        path = copy_recording(folder, out, ".vhdr")
        path.with_suffix(suffix).unlink()
        return path

    return make


def write(name, content):
    def make(folder, out):
        (out / name).write_text(content)
        return out / name

    return make


def change(function):
    def make(folder, out):
        raw = mne.io.read_raw(folder / "sub-1_task-rest_eeg.fif", preload=True)
        function(raw)
        raw.save(out / "sub-1_task-rest_eeg.fif")
        return out / "sub-1_task-rest_eeg.fif"

    return make


def flatten(raw):
    raw._data[:] = 0


def break_sample(raw):
    raw._data[1, 12345] = np.nan


def all_misc(raw):
    raw.set_channel_types(dict.fromkeys(raw.ch_names, "misc"), on_unit_change="ignore")


N_BYTES = 30000 * 5 * 4
BAD_FILES = {
    "text as header": (
        write("sub-1_eeg.vhdr", "hello"),
        "sub-1_eeg.vhdr cannot be read",
    ),
    "unknown format": (write("sub-1_eeg.xyz", "hello"), "Unsupported file type"),
    "empty fif": (write("sub-1_eeg.fif", ""), "sub-1_eeg.fif cannot be read"),
    "empty edf": (write("sub-1_eeg.edf", ""), "sub-1_eeg.edf cannot be read"),
    "empty set": (write("sub-1_eeg.set", ""), "sub-1_eeg.set cannot be read"),
    "half a fif": (cut_half(".fif"), "eeg.fif cannot be read: Invalid tag"),
    "half an edf": (cut_half(".edf"), "eeg.edf cannot be read: Number of records"),
    "half a set": (cut_half(".set"), "eeg.set cannot be read"),
    "half a header": (cut_half(".vhdr"), "eeg.vhdr cannot be read"),
    "half the samples": (cut_data(N_BYTES // 2), r"Omitted \d+ annotation"),
    "half a sample": (cut_data(-3), "eeg.eeg is truncated: its 599997 bytes"),
    "no samples": (cut_data(0), "eeg.eeg is truncated: its 0 bytes"),
    "fewer than the header says": (
        edit(".vhdr", "^NumberOfChannels", "DataPoints=30001\nNumberOfChannels"),
        "eeg.eeg is truncated: it has 30000 samples, the header says 30001",
    ),
    "no data": (remove(".eeg"), "eeg.vhdr cannot be read: .*No such file"),
    "no markers": (remove(".vmrk"), "eeg.vhdr cannot be read: .*vmrk"),
    "markers after the end": (
        edit(".vmrk", r"R128,(\d+)", r"R128,9\g<1>0"),
        "Omitted 10 annotation",
    ),
    "another trigger": (
        edit(".vmrk", "R128", "R  7"),
        r"no annotation that matches pattern='R128'.*'Response/R  7' \(10\).*Name",
    ),
    "one volume": (
        edit(".vmrk", r"R128,([6-9]\d{3}|\d{5})", r"R  7,\1"),
        "at least 2 triggers, found 1",
    ),
    "flat": (change(flatten), "all 5 channels are flat"),
    "NaN": (change(break_sample), "NaN or Inf in Fp2"),
    "no EEG": (change(all_misc), "found no EEG, EOG, ECG or EMG channel"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(folder, tmp_path, capsys, name):
    make, message = BAD_FILES[name]
    (tmp_path / "in").mkdir()
    path = make(folder, tmp_path / "in")
    before = {p: p.read_bytes() for p in (tmp_path / "in").iterdir()}
    out = tmp_path / "out"
    args = ["correct", str(path), "--triggers", "R128", "--out", str(out)]
    assert main(args) == 1
    printed, err = capsys.readouterr()
    assert re.search(f"^failed  {path}: .*{message}", printed, re.MULTILINE)
    assert "0 of 1 files corrected." in printed
    assert not err
    assert not list(out.iterdir())
    assert {p: p.read_bytes() for p in (tmp_path / "in").iterdir()} == before


def test_verbose_shows_steps_and_tracebacks(tmp_path, capsys):
    path = write("sub-1_eeg.vhdr", "hello")(None, tmp_path)
    assert main(["correct", str(path), "--out", str(tmp_path), "--verbose"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_good_files_among_bad_ones(folder, tmp_path, capsys):
    bad = write("sub-0_eeg.vhdr", "hello")(None, tmp_path)
    good = folder / "sub-1_task-rest_eeg.vhdr"
    args = ["correct", str(bad), str(good), "--triggers", "R128", "--slices", "20"]
    out = tmp_path / "out"
    assert main([*args, "--tr", "2", "--n-jobs", "2", "--out", str(out)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["failed", "ok", "1"]
    stem = "sub-1_task-rest_desc-facet_eeg"
    written = sorted(path.name for path in out.iterdir())
    assert written == [f"{stem}.fif", f"{stem}.json"]
    again = [*args[:1], *args[2:], "--tr", "2", "--out", str(out)]
    assert main(again) == 0
    assert "skipped" in capsys.readouterr().out
    (out / f"{stem}.fif").write_text("edited")
    assert main(again) == 1
    assert "_eeg.fif exists and was not written by" in capsys.readouterr().out
    assert main([*again, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.vhdr", "--out", "out"], "No file found for 'nowhere.vhdr'"),
        (["a/s_eeg.fif", "b/s_raw.fif", "--out", "out"], "would both be written to"),
        (["a/s_eeg.fif", "--out", "a/s_eeg.fif/out"], "lies below a file"),
        (["a/s_eeg.fif", "--out", "out", "--recipe", "x"], "Recipe 'x' is unknown"),
    ],
)
def test_nothing_to_do(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    for name in ("a/s_eeg.fif", "b/s_raw.fif"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    assert main(["correct", *options]) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("mne-facet: ")
    assert err.count("\n") == 1
    assert not out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "required"),
        (["correct", "a.fif"], "--out"),
        (["correct", "a.fif", "--out", "b", "--format", "x"], "invalid choice: 'x'"),
    ],
)
def test_usage(capsys, args, message):
    with pytest.raises(SystemExit, match="2"):
        main(args)
    assert message in capsys.readouterr().err


def test_version_and_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"mne-facet {__version__}\n"
    for command in ([], ["correct"], ["check"], ["demo"]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
        text = capsys.readouterr().out
        assert f"  mne-facet {''.join(command)}" in text.split("example")[1]
        assert "duration" not in text


def test_check_prints_the_numbers(folder, capsys):
    file = folder / "sub-1_task-rest_eeg.vhdr"
    assert main(["check", str(file), "--triggers", "R128", "--slices", "20"]) == 0
    out = capsys.readouterr().out
    assert f"{file}: 5 channels, 1000 Hz, 30.0 s" in out
    assert "'Response/R128' (10)" in out
    assert re.findall(r"^Volumes +(\d+)$", out, re.MULTILINE) == ["10", "10"]
    rows = re.findall(r"^TR \(s\) +(\d\.\d+)$", out, re.MULTILINE)
    assert rows[0] == "2.0000000"  # triggers are on samples
    assert float(rows[1]) == pytest.approx(2 / (1 + 5e-6), abs=1e-6)
    assert "Repairs:\n  none" in out
    assert "onsets moved by" in out


def test_check_prints_repairs(tmp_path, capsys, folder):
    path = edit(".vmrk", "^.*R128,15.*\n", "")(folder, tmp_path)
    assert main(["check", str(path), "--triggers", "R128"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"the trigger at 15\.\d+ s is missing, restored", out)


def test_check_without_triggers_names_those_there_are(folder, capsys):
    file = folder / "sub-1_task-rest_eeg.edf"
    assert main(["check", str(file), "--triggers", "T 1"]) == 1
    err = capsys.readouterr().err
    assert re.fullmatch(
        rf"mne-facet: {file}: .*pattern='T 1'.*'Response/R128' \(10\).*\n", err
    )


def test_shards_are_all_files_once(folder, tmp_path, capsys):
    files = [str(folder / f"sub-1_task-rest_eeg{s}") for s in (".vhdr", ".edf", ".fif")]
    args = ["correct", *files, "--triggers", "R128", "--out", str(tmp_path), "--plan"]
    planned = []
    for shard in ("1/2", "2/2"):
        assert main([*args, "--shard", shard]) == 0
        lines = capsys.readouterr().out.splitlines()[2:]
        planned += [line.split()[0] for line in lines]
    assert planned == [files[0], files[2], files[1]]
    assert main([*args, "--shard", "4/4"]) == 0
    assert capsys.readouterr().out == "No file for shard 4/4.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_wrong_shard(capsys, shard):
    with pytest.raises(SystemExit, match="2"):
        main(["correct", "a.fif", "--out", "b", "--shard", shard])
    assert "must be I/N with 1 <= I <= N" in capsys.readouterr().err


def test_benchmark(folder, tmp_path, capsys):
    file, picture = str(folder / "sub-1_task-rest_eeg.fif"), tmp_path / "a.png"
    options = ["--triggers", "R128", "--recipe", "aas", "--plot", str(picture)]
    assert main(["benchmark", file, *options]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split()[:3] == ["n_jobs", "seconds", "speed-up"]
    assert [row.split()[-1] for row in rows[1:3]] == ["yes", "yes"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_demo(tmp_path, capsys):
    args = ["demo", "--out", str(tmp_path / "demo"), "--seed", "1", "--duration", "30"]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "gradient and pulse artifact" in out
    before, left, eeg, kept = (
        float(re.search(rf"{name} +([\d.]+) ", out)[1])
        for name in ("Artifacts before", "Artifacts left", "True EEG", "EEG kept")
    )
    assert before > 50 > eeg > left
    assert 97 < kept < 103
    picture = tmp_path / "demo" / "before_after.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"Picture    {picture}" in out


def test_demo_twice_in_one_folder(tmp_path):
    small = {"duration": 20.0, "n_eeg": 8, "sfreq": 1000.0}
    first = run_demo(tmp_path, **small)
    names = sorted(path.name for path in tmp_path.iterdir())
    second = run_demo(tmp_path, **small)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for key in ("before", "left", "eeg", "kept", "correlation"):
        assert first.numbers[key] == second.numbers[key]


def test_report_and_evaluation(folder, tmp_path, capsys):
    source = str(folder / "sub-1_task-rest_eeg.vhdr")
    args = ["--triggers", "R128", "--slices", "20"]
    out = ["--recipe", "aas", "--out", str(tmp_path), "--report"]
    assert main(["correct", source, *args, *out]) == 0
    page = tmp_path / "group_desc-facet_eeg.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"Report  {page}"
    assert "1 of 1 files corrected" in page.read_text()
    output = tmp_path / "sub-1_task-rest_desc-facet_eeg.fif"
    assert "<img" in output.with_suffix(".html").read_text()

    assert main(["evaluate", source, str(output)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Grade +(good|watch|poor)$", text, re.MULTILINE)
    assert re.search(r"^RMS before / after +[\d.]+$", text, re.MULTILINE)
    assert re.search(r"^Not available \(-\): .*'R peak'", text, re.MULTILINE)
    page = tmp_path / "evaluation.html"
    assert main(["evaluate", source, source, *args, "--report", str(page)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Grade +poor$", text, re.MULTILINE)
    assert text.splitlines()[-1] == f"Report  {page}"
    assert "Mean volume" in page.read_text()


def test_evaluation_of_what_does_not_belong_together(folder, tmp_path, capsys):
    source = folder / "sub-1_task-rest_eeg.fif"
    other = tmp_path / "other_eeg.fif"
    raw = mne.io.read_raw(source, preload=True).crop(0, 10)
    write_file(raw, other, "fif")
    assert main(["evaluate", str(source), str(other)]) == 1
    assert "must have the same samples" in capsys.readouterr().err
