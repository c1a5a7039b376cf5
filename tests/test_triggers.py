"""Triggers found, repaired and refined, on simulated and on real timing."""

import csv
import re
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_facet import AAS, TriggerAligner, TriggerDetector, trigger_report
from mne_facet._epochs import epoch_grids
from mne_facet._events import get_runs

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.exists(), reason="real marker files are not part of the project"
)


def _onsets(raw):
    return [run.onsets for run in get_runs(raw, name="test")]


def _relative_error(onsets, truth, sfreq):
    """Onsets minus truth in samples, without the common offset (harmless)."""
    error = onsets - truth[: len(onsets)] * sfreq
    return error - error.mean()


def _edit(raw, remove=(), add=()):
    """Recording with some of its trigger annotations removed and others added."""
    index = np.flatnonzero(raw.annotations.description == "Response/R128")
    raw.annotations.delete(index[list(remove)])
    for time in add:
        raw.annotations.append(raw.first_time + time, 0, "Response/R128")
    return raw


@pytest.mark.parametrize("how", ["annotations", "stim", "signal", "signal and tr"])
def test_volumes_are_found_by_marker_stim_channel_and_signal(simulated, how):
    if how == "stim":
        raw, truth = simulated(trigger="stim")
        detector = TriggerDetector(stim_channel="STI")
    elif how.startswith("signal"):
        raw, truth = simulated(trigger=None)
        detector = TriggerDetector(tr=2.0 if "tr" in how else None)
    else:
        raw, truth = simulated()
        detector = TriggerDetector("R128")
    raw = TriggerAligner().fit_transform(detector.fit_transform(raw))
    (onsets,) = _onsets(raw)
    assert onsets.size == truth.volume_times.size
    assert np.abs(_relative_error(onsets, truth.volume_times, 1000)).max() < 0.05
    assert abs(onsets[0] - 1000 * truth.volume_times[0]) < 5


def test_slice_triggers_are_grouped_into_volumes(simulated):
    raw, truth = simulated(trigger="slice", volume_gap=0.1)
    found = TriggerDetector("Slice").fit_transform(raw)
    (row,) = trigger_report(found)
    assert row["n_slices"] == 20
    assert row["n_volumes"] == truth.volume_times.size
    assert row["gap"] == pytest.approx(100, abs=1)
    gapless, truth = simulated(trigger="slice")
    (row,) = trigger_report(
        TriggerDetector("Slice", n_slices=20).fit_transform(gapless)
    )
    assert (row["n_volumes"], row["n_slices"]) == (truth.volume_times.size, 20)


def test_fast_multiband_volumes_are_not_taken_for_slices(simulated):
    raw, truth = simulated(tr=0.8, n_slices=48, multiband_factor=4)
    detector = TriggerDetector("R128", n_slices=48, multiband_factor=4)
    (row,) = trigger_report(detector.fit_transform(raw))
    assert (row["n_volumes"], row["n_slices"]) == (truth.volume_times.size, 12)
    assert row["tr"] == pytest.approx(0.8, abs=1e-4)


def test_pause_after_the_last_slice_is_measured_in_the_signal(simulated):
    raw, _ = simulated(volume_gap=0.06)
    (row,) = trigger_report(TriggerDetector("R128", n_slices=20).fit_transform(raw))
    assert row["gap"] == pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    "missing", [[7], [7, 8], [7, 8, 9], [0], [0, 1, 2], [-1], [-2]]
)
def test_lost_triggers_are_restored(simulated, missing):
    raw, truth = simulated()
    found = TriggerDetector("R128").fit_transform(_edit(raw, remove=missing))
    (onsets,) = _onsets(found)
    np.testing.assert_allclose(onsets, truth.volume_times * 1000, atol=1)
    (row,) = trigger_report(found)
    assert row["n_restored"] == len(missing)


def test_lost_triggers_stay_lost_on_request(simulated):
    raw, truth = simulated()
    raw = _edit(raw, remove=[0, 7])
    found = TriggerDetector("R128", complete=False).fit_transform(raw)
    sizes = [onsets.size for onsets in _onsets(found)]
    assert sizes == [6, truth.volume_times.size - 8]


def test_doubled_and_spurious_triggers_are_dropped(simulated):
    raw, truth = simulated()
    third = truth.volume_times[3]
    raw = _edit(raw, add=[third + 0.012, third + 0.9, 1.234])
    found = TriggerDetector("R128").fit_transform(raw)
    (onsets,) = _onsets(found)
    np.testing.assert_allclose(onsets, truth.volume_times * 1000, atol=1)
    assert trigger_report(found)[0]["n_dropped"] >= 2


def test_triggers_without_artifact_are_left_out(simulated):
    raw, truth = simulated()
    before = truth.volume_times[0] - np.array([2.0, 4.0])
    found = TriggerDetector("R128").fit_transform(_edit(raw, add=before))
    (onsets,) = _onsets(found)
    np.testing.assert_allclose(onsets, truth.volume_times * 1000, atol=1)


@pytest.mark.parametrize(
    ("n_slices", "options", "message"),
    [
        (19, {}, "ms after the last slice are like the slices. Check n_slices"),
        (
            21,
            {},
            r"8\d.\d ms apart differ, parts 100.0 ms .* 20.00 per volume. Check n_s",
        ),
        (
            40,
            {},
            r"apart differ, parts 100.0 ms .* 20.00 per volume. Check n_slices and",
        ),
        (
            21,
            {"volume_gap": 0.2},
            "the last slice is unlike the others. Check n_slices",
        ),
        (
            48,
            {"tr": 0.8, "duration": 50.0},
            "48 triggers are taken for the slices .* set tr=0.800",
        ),
    ],
)
def test_slices_that_contradict_the_artifact(simulated, n_slices, options, message):
    raw, _ = simulated(**options)
    with pytest.warns(RuntimeWarning, match=message):
        TriggerDetector("R128", n_slices=n_slices).fit_transform(raw)


@pytest.mark.parametrize("n_slices", [None, 20])
def test_every_second_trigger_lost_is_named_and_repaired_by_the_tr(simulated, n_slices):
    raw, truth = simulated(duration=60.0, n_eeg=4)
    raw = _edit(raw, remove=range(1, 25, 2))
    match = "repeats 2 times from one trigger .* every second volume .* set tr=2.000"
    with pytest.warns(RuntimeWarning, match=match):
        TriggerDetector("R128", n_slices=n_slices).fit_transform(raw)
    found = TriggerDetector("R128", n_slices=n_slices, tr=2.0).fit_transform(raw)
    (onsets,) = _onsets(found)
    np.testing.assert_allclose(onsets, truth.volume_times * 1000, atol=1)


@pytest.mark.parametrize("pattern", [None, "R128"])
def test_volumes_after_a_large_movement_are_not_taken_for_silence(simulated, pattern):
    raw, truth = simulated(movement=0.0)
    moved = int(1000 * truth.volume_times[8])
    factor = np.array([9.0, 0.1, 0.1])[:, np.newaxis]
    raw._data[:3, moved:] += (factor - 1) * truth.gradient[:3, moved:]
    found = TriggerDetector(pattern, tr=2.0).fit_transform(raw)
    assert [onsets.size for onsets in _onsets(found)] == [truth.volume_times.size]


@pytest.mark.parametrize("trigger", ["volume", None])
def test_a_disconnected_channel_louder_than_the_artifact(simulated, trigger):
    raw, truth = simulated(trigger=trigger)
    raw._data[1] = 5e-3 * np.random.default_rng(0).standard_normal(raw.n_times)
    found = TriggerDetector("R128" if trigger else None, tr=2.0).fit_transform(raw)
    (onsets,) = _onsets(TriggerAligner().fit_transform(found))
    error = _relative_error(onsets, truth.volume_times, 1000)
    assert np.abs(error).max() < 0.05


def test_a_pause_of_whole_volumes_is_not_filled(simulated):
    times = tuple(np.r_[6 + 2.0 * np.arange(8), 6 + 2.0 * np.arange(11, 19)])
    raw, _truth = simulated(duration=55.0, volume_times=times, clock_ppm=0.0)
    runs = _onsets(TriggerDetector("R128").fit_transform(raw))
    assert [onsets.size for onsets in runs] == [8, 8]
    report = trigger_report(TriggerDetector("R128").fit_transform(raw))
    assert report[1]["pause"] == pytest.approx(6, abs=0.01)


def test_many_lost_triggers_leave_two_runs_that_meet(simulated):
    raw, truth = simulated(duration=60.0)
    found = TriggerDetector("R128").fit_transform(_edit(raw, remove=range(11, 17)))
    onsets = np.concatenate(_onsets(found))
    np.testing.assert_allclose(onsets, truth.volume_times * 1000, atol=1)


def test_stopped_scan_is_corrected_up_to_its_end(simulated):
    raw, truth = simulated()
    stop = round(1000 * (truth.volume_times[-1] + 0.83))
    index = slice(stop, None)
    raw._data[:, index] = (truth.eeg + truth.pulse)[:, index]
    found = TriggerAligner().fit_transform(TriggerDetector("R128").fit_transform(raw))
    clean = AAS().fit_transform(found)
    changed = np.abs(clean.get_data() - raw.get_data())
    assert changed[:, stop + 30 :].max() == 0
    assert changed[:, stop - 400 : stop].max() > 1e-4


def test_stim_values_are_chosen_by_pattern(simulated):
    raw, truth = simulated(trigger="stim")
    stim = raw.ch_names.index("STI")
    raw._data[stim, 3000::1501] = 64
    found = TriggerDetector("1", stim_channel="STI").fit_transform(raw)
    assert _onsets(found)[0].size == truth.volume_times.size
    with pytest.raises(
        ValueError, match=r"matches pattern='7'. Its values are \[0, 1, 6"
    ):
        TriggerDetector("7", stim_channel="STI").fit_transform(raw)


def test_artifact_that_no_volume_covers_is_reported(simulated):
    raw, _ = simulated()
    with pytest.warns(RuntimeWarning, match="s outside the volumes look like scanning"):
        TriggerDetector("R128", offset=1.0).fit_transform(raw)


def test_triggers_without_any_artifact_are_said_to_be(simulated):
    raw, _ = simulated(gradient=0.0)
    with pytest.warns(RuntimeWarning, match="no gradient artifact that repeats"):
        TriggerDetector("R128").fit_transform(raw)


def test_every_repair_is_logged(simulated):
    raw, truth = simulated()
    raw = _edit(raw, remove=[7, 8], add=[1.234])
    with mne.utils.catch_logging() as log:
        TriggerDetector("R128", verbose="INFO").fit_transform(raw)
    text = log.getvalue()
    lost = re.findall(r"the trigger at ([\d.]+) s is missing, restored", text)
    np.testing.assert_allclose(
        np.array(lost, float), truth.volume_times[7:9], atol=1e-3
    )
    assert "the trigger at 1.2340 s fits no other, dropped" in text
    assert "run 1, 15 volumes" in text


def test_jitter_is_repaired_by_the_artifact(simulated):
    raw, truth = simulated(trigger_jitter=2, duration=60.0)
    found = TriggerDetector("R128").fit_transform(raw)
    aligned = TriggerAligner().fit_transform(found)
    before, after = (
        np.abs(_relative_error(_onsets(r)[0], truth.volume_times, 1000)).max()
        for r in (found, aligned)
    )
    assert after < 0.05
    assert after < 0.1 * before


@pytest.mark.parametrize("lag", [-0.06, 0.05])
def test_early_and_late_triggers_are_moved_to_the_artifact(simulated, lag):
    raw, truth = simulated(trigger_lag=lag, movement=0.0)
    found = TriggerDetector("R128").fit_transform(raw)
    start = 1000 * truth.volume_times[0]
    assert _onsets(found)[0][0] == pytest.approx(start + 1000 * lag, abs=2)
    aligned = TriggerAligner().fit_transform(found)
    assert abs(_onsets(aligned)[0][0] - start) < 40
    clean = AAS().fit_transform(aligned).get_data("eeg") - truth.eeg[:3]
    first = slice(int(start) - 100, int(start) + 100)
    assert clean[:, first].std() < 0.05 * truth.gradient[:3, first].std()
    kept = TriggerAligner(search=0).fit_transform(found)
    assert _onsets(kept)[0][0] == pytest.approx(start + 1000 * lag, abs=2)


def test_cropping_and_first_samp_change_nothing(simulated):
    raw, _ = simulated()
    whole = TriggerDetector("R128").fit_transform(raw)
    cropped = TriggerDetector("R128").fit_transform(raw.copy().crop(1.5))
    np.testing.assert_allclose(_onsets(cropped)[0], _onsets(whole)[0] - 1500, atol=1e-6)


def test_scan_that_was_running_at_the_start_of_the_data(simulated):
    raw, truth = simulated()
    start = truth.volume_times[2] + 0.7
    found = TriggerDetector("R128").fit_transform(raw.copy().crop(start))
    (onsets,) = _onsets(found)
    assert onsets[0] == pytest.approx(-700, abs=2)
    assert onsets.size == truth.volume_times.size - 2


def test_detecting_again_replaces_the_volumes(simulated):
    raw, _ = simulated()
    once = TriggerDetector("R128").fit_transform(raw)
    twice = TriggerDetector("TR").fit_transform(once)
    np.testing.assert_allclose(_onsets(twice)[0], _onsets(once)[0], atol=1e-3)
    assert len(twice.annotations) == len(once.annotations)


def test_data_need_not_be_loaded(simulated, tmp_path):
    raw, truth = simulated()
    raw.save(tmp_path / "x_raw.fif")
    lazy = mne.io.read_raw_fif(tmp_path / "x_raw.fif", preload=False)
    found = TriggerAligner().fit_transform(TriggerDetector("R128").fit_transform(lazy))
    assert not found.preload
    assert _onsets(found)[0].size == truth.volume_times.size


def test_report_prints_as_a_table(simulated):
    raw, _ = simulated()
    report = trigger_report(TriggerDetector("R128", tr=2.0).fit_transform(raw))
    lines = str(report).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert max(map(len, lines)) < 80
    (volumes,) = [line for line in lines if line.startswith("Volumes")]
    assert volumes.split() == ["Volumes", "15"]
    assert report[0]["clock_ppm"] == pytest.approx(-5, abs=5)
    assert report[0]["jitter"] < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pattern": "R129"},
            r"matches pattern='R129'. The recording has: 'Response/R12",
        ),
        (
            {"pattern": "R128", "offset": 1e4},
            "triggers lie outside the data .* Check off",
        ),
        (
            {"pattern": "R128", "n_slices": 21, "multiband_factor": 2},
            "multiple of multi",
        ),
        ({"stim_channel": "STI"}, "stim_channel='STI' is not in the recording"),
    ],
)
def test_errors_name_the_value_and_the_remedy(simulated, options, message):
    raw, _ = simulated()
    with pytest.raises(ValueError, match=message):
        TriggerDetector(**options).fit_transform(raw)


def test_too_few_triggers_and_no_artifact(simulated):
    raw, _ = simulated()
    with pytest.raises(ValueError, match="needs at least 2 triggers, found 1"):
        TriggerDetector("R128").fit_transform(_edit(raw, remove=range(14)))
    quiet, _ = simulated(gradient=0.0, trigger=None)
    with pytest.raises(ValueError, match="found no gradient artifact in the signal"):
        TriggerDetector().fit_transform(quiet)


def test_slices_that_contradict_the_pattern(simulated):
    raw, _ = simulated(trigger="slice", volume_gap=0.1)
    with pytest.raises(ValueError, match="needs 25 triggers per volume, but a longer"):
        TriggerDetector("Slice", n_slices=25).fit_transform(raw)


def test_short_runs_are_left_out_with_a_warning(simulated):
    times = tuple(np.r_[6 + 2.0 * np.arange(8), 30.3, 32.3])
    raw, _ = simulated(duration=45.0, volume_times=times, clock_ppm=0.0)
    with pytest.warns(
        RuntimeWarning, match="has only 2 volumes and is left uncorrected"
    ):
        found = TriggerDetector("R128").fit_transform(raw)
    assert len(_onsets(found)) == 1


def _marker_recording(samples, sfreq, description):
    """Silent recording with real trigger positions."""
    n_times = int(samples[-1] + 5 * sfreq)
    raw = mne.io.RawArray(np.zeros((1, n_times)), mne.create_info(1, sfreq, "eeg"))
    return raw.set_annotations(mne.Annotations(samples / sfreq, 0, description))


def _brainvision_markers(path, kind, name):
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.findall(rf"Mk\d+={kind},{name},(\d+)", text)
    return np.array(found, float) - 1


def _niazy_triggers():
    path = SHARED / "niazy_840_slice_triggers_2048Hz_gpl3.tsv"
    with path.open(encoding="utf-8-sig") as file:
        return np.array(
            [row["sample"] for row in csv.DictReader(file, delimiter="\t")]
        ).astype(float)


@needs_shared
def test_niazy_slices_with_volume_gaps():
    samples = _niazy_triggers()
    raw = _marker_recording(samples, 2048.0, "trigger")
    raw = TriggerDetector("trigger").fit_transform(raw)
    (row,) = trigger_report(raw)
    assert (row["n_volumes"], row["n_slices"]) == (40, 21)
    assert row["tr"] == pytest.approx(3.0003, abs=1e-4)
    assert row["gap"] == pytest.approx(5, abs=0.2)
    slices, pauses = epoch_grids(raw, get_runs(raw, name="test")[0], "slice")
    assert (slices.starts.size, pauses.starts.size) == (840, 39)
    assert np.abs(slices.starts - samples).max() < 0.6


@needs_shared
@pytest.mark.parametrize("subject", ["32", "35", "36"])
def test_rest_study_slices_and_volumes_agree(subject):
    path = SHARED / "markers_eeg_rest_fmri_ccby4"
    path = path / f"derivatives_sub-{subject}_task-rest_eeg.vmrk"
    slices = _brainvision_markers(path, "Scanner", "s ")
    volumes = _brainvision_markers(path, "Scanner", "Scan Start")
    by_slice = TriggerDetector("s", n_slices=30).fit_transform(
        _marker_recording(slices, 250.0, "Scanner/s ")
    )
    by_volume = TriggerDetector("Scan Start", n_slices=30).fit_transform(
        _marker_recording(volumes, 250.0, "Scanner/Scan Start")
    )
    np.testing.assert_allclose(_onsets(by_slice)[0], volumes, atol=1e-6)
    for raw in (by_slice, by_volume):
        (row,) = trigger_report(raw)
        assert (row["n_volumes"], row["n_slices"]) == (300, 30)
        assert row["clock_ppm"] == pytest.approx(0, abs=0.01)
        (grid,) = epoch_grids(raw, get_runs(raw, name="test")[0], "slice")
        np.testing.assert_allclose(grid.starts, slices, atol=1e-6)


@needs_shared
def test_farm_multiband_volumes():
    path = SHARED / "markers_farm_gpl3" / "me3mb3_tr1600_sl54.vmrk"
    samples = _brainvision_markers(path, "Response", "R128")
    raw = _marker_recording(samples, 5000.0, "Response/R128")
    detector = TriggerDetector("R128", n_slices=54, multiband_factor=3)
    raw = detector.fit_transform(raw)
    (row,) = trigger_report(raw)
    assert (row["n_volumes"], row["n_slices"]) == (487, 18)
    assert row["tr"] == pytest.approx(1.6, abs=1e-9)


@needs_shared
@pytest.mark.parametrize("run", ["r01", "r02"])
def test_bcgnet_volumes_between_samples(run):
    path = SHARED / "events_bcgnet_mit" / f"sub34_{run}_raw_events.tsv"
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    samples = np.array([float(r["sample0"]) for r in rows if r["type"] == "S128"])
    raw = _marker_recording(samples, 500.0, "S128")
    raw = TriggerDetector("S128").fit_transform(raw)
    (row,) = trigger_report(raw)
    assert row["n_volumes"] == 150
    assert row["tr"] == pytest.approx(2.1, abs=1e-6)
    np.testing.assert_allclose(_onsets(raw)[0], samples, atol=0.01)


@needs_shared
def test_recording_on_niazy_timing_is_corrected(simulated):
    triggers = _niazy_triggers()[: 12 * 21]
    triggers += 10_000 - triggers[0]
    times = tuple((10_000 + 3.0003056 * 2048 * np.arange(12)) / 2048)
    raw, truth = simulated(
        sfreq=2048.0,
        tr=3.0003056,
        n_slices=21,
        volume_gap=0.005,
        volume_times=times,
        duration=55.0,
        movement=0.0,
        clock_ppm=0.0,
    )
    raw.set_annotations(mne.Annotations(triggers / 2048, 0, "trigger"))
    found = TriggerAligner().fit_transform(TriggerDetector("trigger").transform(raw))
    clean = AAS(window=20).fit_transform(found)
    scan = slice(10_000, int(2048 * (times[-1] + 3)))
    eeg = truth.eeg[:3, scan]
    error = clean.get_data("eeg") - truth.eeg[:3]
    error = mne.filter.filter_data(error, 2048.0, 0.5, 45.0, verbose="ERROR")
    left = error[:, scan].std(axis=1)
    # eleven epochs are averaged: a third of the EEG is added, hardly anything else
    assert (left < 0.45 * eeg.std(axis=1)).all()
