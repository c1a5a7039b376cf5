"""Heart beats in recordings: annotations in, annotations out."""

import gzip
import json
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_facet import (
    AAS,
    RPeakDetector,
    TriggerDetector,
    _events,
    add_beats,
    beat_report,
    read_physio_beats,
)

SHARED = Path(__file__).parents[2] / "shared" / "data"
SFREQ = 250.0
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")


def _raw(signals, names="ECG", types="ecg", sfreq=SFREQ, first_samp=0):
    signals = np.atleast_2d(signals)
    names = [names] if isinstance(names, str) else names
    info = mne.create_info(names, sfreq, types)
    return mne.io.RawArray(signals, info, first_samp=first_samp)


def _detect(raw, **options):
    return RPeakDetector(**options).fit_transform(raw)


def _times(raw, description="R peak"):
    """Exact times in seconds from the first sample."""
    samples = _events.get_beats(raw, description, name="test")
    return samples / raw.info["sfreq"]


def _inner(raw):
    """Without what is left of a beat before the recording."""
    times = _times(raw)
    return times[times > 0.1]


def _extras(raw, key):
    return [extra[key] for extra in raw.annotations.extras if "kind" in extra]


@pytest.fixture
def ecg(heart):
    """Two minutes of ECG, and its R peaks."""
    x, times, _ = heart()
    return _raw(x), times


def test_peaks_are_annotated_between_samples(ecg):
    raw, times = ecg
    found = _detect(raw)
    np.testing.assert_allclose(_times(found), times, atol=1e-3)
    assert set(found.annotations.description) == {"R peak"}
    assert min(_extras(found, "quality")) > 0.9
    assert set(_extras(found, "kind")) == {"normal"}
    assert not len(raw.annotations)
    np.testing.assert_array_equal(found.get_data(), raw.get_data())


@pytest.mark.parametrize("date", [None, 1577836800.0])
def test_first_sample_and_date_do_not_matter(heart, date, tmp_path):
    x, times, _ = heart()
    raw = _raw(x, first_samp=1234)
    raw.set_meas_date(date)
    found = _detect(raw)
    np.testing.assert_allclose(_times(found), times, atol=1e-3)
    found.save(tmp_path / "x_raw.fif")
    loaded = mne.io.read_raw_fif(tmp_path / "x_raw.fif")
    np.testing.assert_allclose(_times(loaded), _times(found), atol=1e-9)
    cut = found.copy().crop(10.0, 50.0)
    inside = (times > 10.0) & (times < 50.0)
    np.testing.assert_allclose(_times(cut), times[inside] - 10.0, atol=1e-3)


def test_a_second_run_replaces_the_first_but_not_what_others_added(ecg):
    raw, _ = ecg
    raw.set_annotations(mne.Annotations([0.1], 0, "R peak"))
    once = _detect(raw)
    twice = _detect(once)
    assert len(twice.annotations) == len(once.annotations)
    np.testing.assert_array_equal(_times(twice), _times(once))
    assert _times(twice)[0] == pytest.approx(0.1)


def test_edited_beats_are_the_beats(ecg):
    raw, times = ecg
    found = _detect(raw)
    found.annotations.delete(3)
    found.annotations.append(5.0, 0, "R peak")
    expected = np.sort(np.r_[np.delete(times, 3), 5.0])
    np.testing.assert_allclose(_times(found), expected, atol=1e-3)


def test_bad_spans_are_not_looked_at(ecg):
    raw, times = ecg
    raw.set_annotations(mne.Annotations([20.0], [3.0], "BAD_movement"))
    burst = raw.copy()
    start, stop = int(20 * SFREQ), int(23 * SFREQ)
    rng = np.random.default_rng(0)
    burst._data[0, start:stop] += 5e-3 * rng.normal(size=stop - start)
    found, other = _detect(raw), _detect(burst)
    np.testing.assert_array_equal(_times(other), _times(found))
    kinds = np.array(_extras(found, "kind"))
    inside = (_times(found) > 19.95) & (_times(found) < 23.05)
    np.testing.assert_array_equal(kinds == "restored", inside)
    outside = (times < 19.8) | (times > 23.2)
    np.testing.assert_allclose(_times(found)[outside], times[outside], atol=2e-3)


def test_joined_recordings(heart):
    parts = [heart(60.0, seed=seed) for seed in (0, 1)]
    raw = mne.concatenate_raws(
        [_raw(x + 0.01 * k) for k, (x, _, _) in enumerate(parts)]
    )
    times = np.r_[parts[0][1], 60 + parts[1][1]]
    clear = np.abs(times - 60) > 0.1
    found = _times(_detect(raw))
    for time in times[clear]:
        assert np.abs(found - time).min() < 2e-3
    assert np.abs(found.size - times.size) <= 1


def test_without_ecg_from_the_pulse_artifact(simulated, compare):
    raw, truth = simulated(
        duration=120.0, n_eeg=8, gradient=0.0, pulse=1.0, ecg=False, sfreq=500.0
    )
    artifact, eeg = truth.pulse.std(), truth.eeg.std()
    assert artifact > eeg
    with mne.use_log_level("INFO"), mne.utils.catch_logging() as log:
        found = _detect(raw)
    sensitivity, precision, _ = compare(truth.beat_times, _times(found), 0.075, True)
    assert min(sensitivity, precision) > 0.95
    assert "no ECG channel, beats from the pulse artifact" in log.getvalue()
    # so that the artifact is where later steps look for it
    assert np.abs(np.median(_times(found)[1:-1]) - np.median(truth.beat_times)) < 0.5
    later = _times(_detect(raw, delay=0.11))
    np.testing.assert_allclose(later[-50:] - _times(found)[-50:], 0.1, atol=1e-9)


def test_weak_pulse_artifact(simulated, compare):
    raw, truth = simulated(
        duration=120.0, n_eeg=16, gradient=0.0, pulse=0.4, ecg=False, sfreq=500.0
    )
    assert truth.pulse.std() < truth.eeg.std()
    found = _times(_detect(raw))
    sensitivity, precision, _ = compare(truth.beat_times, found, 0.075, True)
    assert min(sensitivity, precision) > 0.95


def test_ecg_is_known_by_type_or_name(heart):
    x, times, _ = heart(60.0)
    noise = 1e-5 * np.random.default_rng(0).normal(size=(2, x.size))
    for name, kind in (("x", "ecg"), ("EKG1", "eeg"), ("ecg", "misc")):
        raw = _raw([noise[0], x, noise[1]], ["Cz", name, "Pz"], ["eeg", kind, "eeg"])
        np.testing.assert_allclose(_times(_detect(raw)), times, atol=2e-3)
        for picks in ([name], [1], np.array([1])):
            picked = _detect(raw, picks=picks)
            np.testing.assert_array_equal(_times(picked), _times(_detect(raw)))


def test_bad_ecg_is_not_used_unless_named(heart):
    x, times, _ = heart(60.0)
    raw = _raw([x, 0 * x], ["ECG1", "ECG2"], ["ecg", "ecg"])
    raw.info["bads"] = ["ECG1"]
    with pytest.raises(ValueError, match="all 1 channels are flat"):
        _detect(raw)
    found = _detect(raw, picks=["ECG1", "ECG2"])
    np.testing.assert_allclose(_times(found), times, atol=2e-3)


def test_scanner_frequencies_are_filtered_out_for_the_search_only(simulated, compare):
    raw, truth = simulated(duration=60.0, gradient=3.0, clip=None)
    data = raw.get_data().copy()
    for n_slices in (20, None):
        found = _detect(TriggerDetector("R128", n_slices=n_slices).fit_transform(raw))
        assert min(compare(truth.beat_times, _inner(found))[:2]) > 0.95
        np.testing.assert_array_equal(found.get_data(), data)
    blind = _detect(found, volumes=None)
    assert min(compare(truth.beat_times, _times(blind))[:2]) < 0.8


def test_after_gradient_correction(simulated, compare):
    raw, truth = simulated(duration=60.0, pulse=1.0)
    clean = AAS(8).fit_transform(TriggerDetector("R128").fit_transform(raw))
    sensitivity, precision, jitter = compare(truth.beat_times, _inner(_detect(clean)))
    assert (sensitivity, precision) == (1, 1)
    assert jitter < 2e-3


def test_one_line_says_what_was_found(ecg):
    with mne.use_log_level("INFO"), mne.utils.catch_logging() as log:
        _detect(ecg[0])
    (line,) = log.getvalue().splitlines()
    assert "130 beats in ECG, every 0.9" in line
    assert "0 ectopic, 0 restored in lost signal" in line


def test_flat_ecg_is_no_ecg(simulated, compare):
    raw, truth = simulated(duration=60.0, n_eeg=8, gradient=0.0, pulse=1.0, sfreq=500.0)
    raw._data[raw.ch_names.index("ECG")] = 0
    found = _times(_detect(raw))
    assert min(compare(truth.beat_times, found, 0.075, True)[:2]) > 0.95


def test_eeg_without_a_pulse_artifact_has_no_beats(simulated):
    raw, _ = simulated(
        duration=60.0, n_eeg=8, gradient=0.0, pulse=0.0, ecg=False, sfreq=250.0
    )
    with pytest.raises(ValueError, match="no ECG, and no pulse artifact in 8 channels"):
        _detect(raw)
    with pytest.warns(RuntimeWarning, match="The recording stays as it is"):
        found = _detect(raw, on_missing="warn")
    assert "R peak" not in found.annotations.description
    found = _detect(raw, on_missing="ignore")
    assert "R peak" not in found.annotations.description


def test_no_channel_to_look_at(ecg):
    raw, _ = ecg
    raw.rename_channels({"ECG": "x"}).set_channel_types({"x": "misc"}, verbose="ERROR")
    with pytest.raises(ValueError, match=r"neither an ECG nor an EEG .*\['misc'\]"):
        _detect(raw)


def test_flat_ecg():
    with pytest.raises(ValueError, match="needs a signal, but all 1 channels are flat"):
        _detect(_raw(np.full(5000, 1e-3)))


def test_too_few_beats(heart):
    x, _, _ = heart(2.5, times=[0.6, 1.5])
    with pytest.raises(ValueError, match=r"found 2 beats in ECG within 2.5 s; 3 are"):
        _detect(_raw(x))
    x, times, _ = heart(3.4, times=[0.6, 1.5, 2.4])
    np.testing.assert_allclose(_times(_detect(_raw(x))), times, atol=2e-3)


def test_all_marked_bad(ecg):
    raw, _ = ecg
    raw.set_annotations(mne.Annotations([0.0], [120.0], "BAD"))
    with pytest.raises(ValueError, match="found 0 beats in ECG"):
        _detect(raw)


def test_no_rhythm():
    noise = np.random.default_rng(0).normal(size=20_000)
    with pytest.warns(RuntimeWarning, match=r"in ECG have hardly a rhythm \(periodic"):
        _detect(_raw(noise))


@pytest.mark.parametrize(("low", "high"), [(10, 5), (0, 20), (120, 200)])
def test_band_must_be_one(ecg, low, high):
    with pytest.raises(ValueError, match=rf"l_freq={low} and h_freq={high} must be"):
        _detect(ecg[0], l_freq=low, h_freq=high)


def test_report(heart):
    x, times, early = heart(240.0, ectopic=0.03)
    raw = _raw(x)
    raw._data[0, 30_000:33_000] = raw._data[0, 30_000]  # 12 s
    raw._data[0, 10_000:10_300] = raw._data[0, 10_000]  # 1.2 s
    report = beat_report(_detect(raw))
    assert abs(report.n_beats - (times.size - 13)) <= 1
    assert report.n_restored in (1, 2)
    assert abs(report.n_ectopic - early.sum()) <= 2
    assert report.rr_median == pytest.approx(np.median(np.diff(times)), rel=0.01)
    assert report.quality > 0.98
    assert report.n_poor == 0
    start, stop = report.gaps[-1]
    assert start < 120 < 132 < stop
    lines = str(report).splitlines()
    assert lines[0].split() == ["Beats", str(report.n_beats)]
    assert lines[-1] == f"  {start:.2f} to {stop:.2f} s"
    assert len({len(line) for line in lines[:9]}) == 1


def test_report_on_beats_from_elsewhere():
    raw = _raw(np.zeros(5000))
    raw.set_annotations(mne.Annotations([1.0, 2.0, 3.1], 0, "R peak"))
    report = beat_report(raw)
    assert (report.n_beats, report.n_ectopic, report.quality) == (3, None, None)
    assert report.gaps == [(pytest.approx(3.1), 20.0)]
    assert "-" in str(report)
    raw.annotations.delete([1, 2])
    assert np.isnan(beat_report(raw).rr_median)
    raw.annotations.delete(0)
    with pytest.raises(ValueError, match="beat_report needs heart beats"):
        beat_report(raw)


@pytest.mark.parametrize("kind", [list, np.float32, int])
def test_known_beats_in_any_order(kind):
    raw = _raw(np.zeros(5000), first_samp=77)
    times = [3, 1, 2, 2, 25, -1]
    times = times if kind is list else np.array(times, kind)
    found = add_beats(raw, times)
    np.testing.assert_allclose(_times(found), [1, 2, 3], atol=1e-9)
    assert not len(raw.annotations)
    again = add_beats(found, [4.0], offset=0.5, copy=False)
    assert again is found
    np.testing.assert_allclose(_times(again), [4.5], atol=1e-9)


def test_known_beats_by_the_clock_of_the_volumes():
    raw = _raw(np.zeros(50_000), first_samp=77)
    volumes = 20.0 + 2.0 * np.arange(50)
    own = 31.5 + 2.0001 * np.arange(50)
    raw.set_annotations(mne.Annotations(own, 0, "TR"))
    beats = np.r_[19.0, 20.0, 50.5, 118.0, 120.0]
    found = add_beats(raw, beats, volumes=volumes)
    expected = 31.5 + (beats - 20.0) * 1.00005
    np.testing.assert_allclose(_times(found), expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"volumes has 49 times, but .* 50 annot"):
        add_beats(raw, beats, volumes=volumes[1:])


def test_known_beats_that_make_no_sense():
    raw = _raw(np.zeros(5000))
    with pytest.raises(ValueError, match="None of the 2 beats in times lies within"):
        add_beats(raw, [30.0, 31.0])
    with pytest.raises(ValueError, match="times holds NaN or Inf"):
        add_beats(raw, [1.0, np.nan])


def _write_log(folder, columns, table, sfreq, start):
    fname = folder / "sub-1_physio.tsv.gz"
    header = {"SamplingFrequency": sfreq, "StartTime": start, "Columns": columns}
    (folder / "sub-1_physio.json").write_text(json.dumps(header))
    rows = ["\t".join("n/a" if v is None else str(v) for v in row) for row in table]
    fname.write_bytes(gzip.compress("\n".join(rows).encode()))
    return fname


@pytest.mark.parametrize("sfreq", [50.0, 400.0])
def test_pulse_wave_of_a_log(tmp_path, sfreq):
    rng = np.random.default_rng(0)
    times = 0.5 + np.cumsum(0.9 + 0.05 * rng.normal(size=60))
    clock = np.arange(int(60 * sfreq)) / sfreq
    lag = clock[:, np.newaxis] - times
    wave = np.exp(-0.5 * (lag / 0.08) ** 2) + 0.3 * np.exp(
        -0.5 * ((lag - 0.3) / 0.08) ** 2
    )
    wave = wave.sum(axis=1) + 0.02 * rng.normal(size=clock.size)
    trigger = ((clock - 3) % 2 < 0.05) & (clock >= 3)
    table = [*zip(wave, clock, trigger.astype(int), strict=True)]
    table[:5] = [(None, None, 0)] * 5
    columns = ["cardiac", "respiratory", "trigger"]
    fname = _write_log(tmp_path, columns, table, sfreq, -3.0)
    beats, volumes = read_physio_beats(fname)
    inside = times[times < 59.5] - 3.0
    error = beats[: inside.size] - inside
    assert np.std(error) < 0.01
    assert abs(np.median(error)) < 0.1
    np.testing.assert_allclose(volumes, 2.0 * np.arange(29), atol=1 / sfreq)


def test_beats_that_a_log_marks(tmp_path):
    marks = np.zeros(1000, int)
    marks[[100, 101, 190, 280]] = 1
    fname = _write_log(tmp_path, ["beat"], marks[:, np.newaxis], 100.0, 5.0)
    beats, volumes = read_physio_beats(fname, column="beat")
    np.testing.assert_allclose(beats, [6.0, 6.9, 7.8])
    assert volumes.size == 0
    with pytest.raises(ValueError, match=r"column='cardiac' is not in .*\['beat'"):
        read_physio_beats(fname)


def _read_mit():
    """MIT-BIH record 100: format 212, and the beats of its experts in seconds."""
    folder = SHARED / "ecg_wfdb_odcby"
    triples = np.fromfile(folder / "100.dat", np.uint8).astype(int).reshape(-1, 3)
    low, middle, high = triples.T
    leads = np.array([low | (middle & 15) << 8, high | (middle >> 4) << 8])
    leads[leads > 2047] -= 4096
    words = np.fromfile(folder / "100.atr", "<u2").astype(int)
    time, beats, k = 0, [], 0
    while words[k]:
        code, value = words[k] >> 10, words[k] & 1023
        if code == 59:  # a long interval follows
            time += (words[k + 1] << 16) + words[k + 2]
            k += 3
            continue
        if code == 63:  # a text of this many bytes follows
            k += 1 + (value + 1) // 2
            continue
        if code < 59:
            time += value
            if 0 < code < 14 or code in (25, 30, 31, 34, 35, 38):
                beats.append((time, code))
        k += 1
    times, codes = np.array(beats).T
    return (leads - 1024) / 200e3, times / 360, codes


@needs_shared
def test_mit_bih(compare):
    leads, times, codes = _read_mit()
    assert times.size == 2273
    for picks in (["ECG1"], ["ECG2"], ["ECG1", "ECG2"]):
        raw = _raw(leads, ["ECG1", "ECG2"], "ecg", 360.0)
        found = _detect(raw, picks=picks)
        sensitivity, precision, _ = compare(times, _times(found), 0.075)
        assert min(sensitivity, precision) > 0.999
    ectopic = _times(found)[np.array(_extras(found, "kind")) == "ectopic"]
    distance = np.abs(ectopic[:, np.newaxis] - times[codes != 1]).min(axis=1)
    assert (distance < 0.075).all()
    assert ectopic.size > 0.9 * np.sum(codes != 1)


@needs_shared
def test_ptb_leads_agree(compare):
    x = np.fromfile(SHARED / "ecg_wfdb_odcby" / "s0010_re.dat", "<i2")
    leads = x.reshape(-1, 12).T / 2e6
    names = [f"ECG{k}" for k in range(12)]
    raw = _raw(leads, names, "ecg", 1000.0)
    together = _times(_detect(raw))
    assert together.size == 52
    scores = [
        compare(together, _times(_detect(raw, picks=[name])), 0.075, offset=True)
        for name in names
    ]
    sensitivity, precision, jitter = np.mean(scores, axis=0)
    assert min(sensitivity, precision) > 0.995
    assert jitter < 1e-3


@needs_shared
@pytest.mark.parametrize("name", ["mini1k", "main1k"])
def test_no_worse_than_the_fmrib_plugin(compare, name):
    truth = np.load(SHARED / "oracle" / "data" / f"{name}_truth.npz")
    data = np.load(SHARED / "oracle" / "data" / f"{name}.npz")
    ecg = 1.0 * truth["eeg_int16"][-1] + truth["bcg_int16"][-1]
    beats = data["r_peak_times_s"]
    ours = _times(_detect(_raw(1e-8 * ecg, sfreq=1000.0)))
    assert compare(beats, ours)[:2] == (1, 1)
    assert compare(beats, ours)[2] < 1e-4
    peaks = np.load(SHARED / "oracle" / "pas" / f"{name}_pas_truth.npz")
    theirs = peaks["qrs_peaks_sample0"] / 1000
    sensitivity, _, jitter = compare(beats, theirs)
    assert sensitivity < 1
    assert jitter > 1e-3


@needs_shared
def test_scanner_logs():
    folder = SHARED / "physio_examples_gpl3"
    beats, volumes = read_physio_beats(
        folder / "sub-control01_task-YOURTASK_run-1_desc-sync_physio.tsv.gz"
    )
    assert volumes.size == 310
    np.testing.assert_allclose(np.diff(volumes), 2.5, atol=0.01)
    assert 915 < beats.size < 930
    assert 0.6 < np.diff(beats).min() < np.diff(beats).max() < 1.4
    beats, volumes = read_physio_beats(
        folder / "sub-s998_task-random_run-99_physio.tsv.gz"
    )
    assert beats.size > 1800
    assert np.median(np.diff(beats)) == pytest.approx(0.7, abs=0.05)
    assert volumes.size == 475


@needs_shared
def test_noisy_and_short_ecgs():
    folder = SHARED / "ecg_other"
    x = np.genfromtxt(folder / "biosppy_ecg_1000Hz_bsd3.txt", comments="#")
    assert _times(_detect(_raw(x, sfreq=1000.0))).size == 15
    x = np.genfromtxt(folder / "peakdet_ECG_1000Hz_apache2.csv")
    assert _times(_detect(_raw(x, sfreq=1000.0))).size == 56
