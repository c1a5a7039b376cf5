"""Gradient artifact correction of whole recordings with known truth."""

import mne
import numpy as np
import pytest
from joblib import parallel_config

from mne_facet import AAS, TriggerAligner, TriggerDetector, trigger_report


def _detect(raw, **options):
    raw = TriggerDetector("R128", **options).fit_transform(raw)
    return TriggerAligner(copy=False).fit_transform(raw)


def _in_band(x, sfreq):
    return mne.filter.filter_data(x, sfreq, 0.5, 45.0, verbose="ERROR")


def _scan(truth, sfreq, tr=2.0):
    return slice(
        int(sfreq * truth.volume_times[0]), int(sfreq * (truth.volume_times[-1] + tr))
    )


@pytest.mark.parametrize("level", ["volume", "slice"])
def test_artifact_is_removed_and_eeg_kept(simulated, level):
    raw, truth = simulated(sfreq=5000.0, lowpass=250.0, duration=60.0)
    clean = AAS(level=level).fit_transform(_detect(raw, n_slices=20))
    scan = _scan(truth, 5000)
    eeg = _in_band(truth.eeg[:3], 5000)[:, scan]
    before = _in_band(truth.gradient[:3], 5000)[:, scan]
    after = _in_band(clean.get_data("eeg"), 5000)[:, scan]
    error = after - eeg
    if level == "volume":
        assert (error.std(axis=1) < 0.3 * eeg.std(axis=1)).all()
        gain = (after * eeg).sum(axis=1) / (eeg**2).sum(axis=1)
        np.testing.assert_allclose(gain, 1, atol=0.03)
    assert np.median(error.std(axis=1) / before.std(axis=1)) < 0.08


def test_first_and_last_volumes_are_corrected_as_well_as_the_middle(simulated):
    raw, truth = simulated(movement=0.0)
    clean = AAS(window=8).fit_transform(_detect(raw))
    error = clean.get_data("eeg") - truth.eeg[:3]
    starts = (1000 * truth.volume_times).astype(int)
    left = np.array([error[:, start : start + 2000].std() for start in starts])
    assert left[[0, -1]].max() < 1.5 * np.median(left)
    # MNE's own function leaves as many volumes as its window uncorrected
    events = np.c_[starts, np.zeros_like(starts), np.ones_like(starts)]
    peer = mne.preprocessing.remove_fmri_gradient_artifact(
        raw, events, window=(4, 4), tr_tol=2, picks="eeg"
    )
    peer_error = peer.get_data("eeg") - truth.eeg[:3]
    first = slice(starts[0], starts[0] + 2000)
    assert peer_error[:, first].std() > 20 * left[0]


def test_clean_plus_removed_is_the_recording_11_2(simulated):
    raw, _ = simulated()
    found = _detect(raw)
    clean = AAS().fit_transform(found)
    removed = found.get_data() - clean.get_data()
    assert np.abs(removed).max() > 1e-4
    np.testing.assert_allclose(
        clean.get_data() + removed, found.get_data(), rtol=1e-12, atol=1e-18
    )


def test_outside_the_scan_nothing_changes_11_3(simulated):
    raw, truth = simulated()
    clean = AAS().fit_transform(_detect(raw))
    scan = _scan(truth, 1000)
    for outside in (slice(0, scan.start - 5), slice(scan.stop + 5, None)):
        np.testing.assert_array_equal(
            clean.get_data()[:, outside], raw.get_data()[:, outside]
        )


@pytest.mark.parametrize("n_volumes", range(3, 12))
def test_few_volumes_11_9(periodic, n_volumes):
    raw = periodic(n_volumes=n_volumes)
    clean = AAS(window=10).fit_transform(raw)
    left = clean.get_data()[:, 500:-500]
    assert np.ptp(left, axis=1).max() < 1e-12


def test_crop_and_concatenation_change_nothing_11_11(simulated):
    raw, _ = simulated()
    whole = AAS().fit_transform(_detect(raw)).get_data()
    cropped = raw.copy().crop(1.0)
    assert cropped.first_samp == 1000
    np.testing.assert_allclose(
        AAS().fit_transform(_detect(cropped)).get_data(), whole[:, 1000:], atol=1e-12
    )
    joined = mne.concatenate_raws([raw.copy(), raw.copy()])
    twice = AAS().fit_transform(_detect(joined)).get_data()
    n_times = raw.n_times
    # only the common clock offset of a second detection differs
    np.testing.assert_allclose(twice[:, :n_times], whole, atol=2e-7)
    np.testing.assert_allclose(twice[:, n_times:], whole, atol=2e-7)


def test_scan_running_at_both_ends_of_the_data(simulated):
    raw, truth = simulated(movement=0.0)
    start, stop = truth.volume_times[2] + 0.7, truth.volume_times[-2] + 1.1
    part = raw.copy().crop(start, stop)
    clean = AAS().fit_transform(_detect(part)).get_data("eeg")
    first = round(1000 * start)
    error = clean - truth.eeg[:3, first : first + part.n_times]
    edges = error[:, :500].std(), error[:, -500:].std()
    assert max(edges) < 2 * error.std()
    assert error.std() < 0.05 * truth.gradient[:3].std()


def test_no_template_crosses_a_pause_11_12(periodic):
    first = periodic(n_volumes=20, seed=0)
    second = periodic(n_volumes=20, seed=1)
    data = np.hstack([first.get_data(), np.zeros((2, 10_000)), second.get_data()])
    raw = mne.io.RawArray(data, first.info)
    shift = (first.n_times + 10_000) / 1000
    onsets = first.annotations.onset
    raw.set_annotations(mne.Annotations(np.r_[onsets, onsets + shift], 0, "TR"))
    clean = AAS(window=30).fit_transform(raw).get_data()
    for start in (500, int(1000 * shift) + 500):
        assert np.ptp(clean[:, start : start + 4000], axis=1).max() < 1e-12


@pytest.mark.parametrize("trigger", ["volume", "slice"])
def test_two_gap_lengths_in_one_run_11_12(simulated, trigger):
    times = np.cumsum(np.r_[6.0, np.tile([2.0, 2.0, 2.0, 2.3], 5)])[:-1]
    raw, truth = simulated(
        duration=60.0,
        volume_times=tuple(times),
        clock_ppm=0.0,
        movement=0.0,
        trigger=trigger,
        volume_gap=0.2,
    )
    name = {"volume": "R128", "slice": "Slice"}[trigger]
    found = TriggerDetector(name, n_slices=20).fit_transform(raw)
    (row,) = trigger_report(found)
    assert (row["n_volumes"], row["n_slices"]) == (20, 20)
    clean = AAS(window=12).fit_transform(TriggerAligner().fit_transform(found))
    error = clean.get_data("eeg") - truth.eeg[:3]
    starts = (1000 * times).astype(int)
    left = np.array([error[:, s : s + 1900].std() for s in starts])
    assert left.max() < 0.05 * truth.gradient[:3].std()


def test_flat_bad_and_clipped_channels_11_13(simulated):
    raw, truth = simulated(n_eeg=5)
    raw._data[0] = 0.0
    loud = raw.get_data([1])[0]
    clipped = np.clip(loud, -0.5 * np.abs(loud).max(), None)
    raw._data[2] = clipped
    raw.info["bads"] = ["C3"]
    clean = AAS().fit_transform(_detect(raw))
    assert clean.info["bads"] == ["C3"]
    np.testing.assert_array_equal(clean.get_data([0]), raw.get_data([0]))
    scan = _scan(truth, 1000)
    for name in ("Fp2", "C4", "O1"):
        index = raw.ch_names.index(name)
        error = (clean.get_data([index])[0] - truth.eeg[index])[scan]
        assert error.std() < 0.15 * truth.gradient[index, scan].std()
    assert np.isfinite(clean.get_data()).all()


def test_bad_spans_lend_nothing_and_are_corrected(simulated):
    raw, truth = simulated()
    found = _detect(raw)
    start = int(1000 * truth.volume_times[6]) + 500
    found.annotations.append(start / 1000, 0.3, "BAD_move")
    expected = AAS().fit_transform(found).get_data()
    burst = found.copy()
    burst._data[:, start : start + 300] += 5e-3
    clean = AAS().fit_transform(burst).get_data()
    own = slice(start - 510, start + 1510)
    np.testing.assert_allclose(
        np.delete(clean, np.r_[own], axis=1),
        np.delete(expected, np.r_[own], axis=1),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        clean[:, own] - expected[:, own],
        burst.get_data()[:, own] - found.get_data()[:, own],
        atol=20e-6,
    )


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_result_is_the_same_for_every_n_jobs(simulated, n_jobs):
    raw, _ = simulated(n_eeg=8)
    found = _detect(raw)
    expected = AAS().fit_transform(found).get_data()
    np.testing.assert_array_equal(
        AAS(n_jobs=n_jobs).fit_transform(found).get_data(), expected
    )


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_result_is_the_same_for_every_backend(simulated, backend, n_jobs):
    raw, _ = simulated(n_eeg=8)
    found = _detect(raw)
    expected = AAS().fit_transform(found).get_data()
    with parallel_config(backend, n_jobs=2):
        clean = AAS(n_jobs=n_jobs).fit_transform(found)
    np.testing.assert_array_equal(clean.get_data(), expected)


def test_all_but_the_picked_data_stay(simulated):
    raw, _ = simulated(trigger="stim", n_wires=1)
    raw.info["bads"] = ["Fp1"]
    raw.annotations.append(1.0, 0.5, "note")
    found = TriggerDetector(stim_channel="STI").fit_transform(raw)
    before, data = found.copy(), found.get_data().copy()
    clean = AAS().fit_transform(found)
    np.testing.assert_array_equal(found.get_data(), data)
    assert clean.ch_names == before.ch_names
    assert clean.annotations == before.annotations
    assert clean.info["bads"] == ["Fp1"]
    assert clean.first_samp == before.first_samp
    assert clean.info["meas_date"] == before.info["meas_date"]
    assert clean.get_montage().ch_names == before.get_montage().ch_names
    others = ["stim", "misc"]
    np.testing.assert_array_equal(clean.get_data(others), before.get_data(others))
    only = AAS(picks=["Cz"]) if "Cz" in raw.ch_names else AAS(picks=[1])
    changed = (only.fit_transform(found).get_data() != data).any(axis=1)
    assert changed.sum() == 1


def test_copy_false_works_in_place(simulated):
    raw, _ = simulated()
    found = _detect(raw)
    assert AAS(copy=False).fit_transform(found) is found


def test_slices_or_volumes_are_chosen_by_the_error_they_make(simulated):
    raw, truth = simulated(sfreq=5000.0, lowpass=250.0, duration=60.0)
    found = _detect(raw, n_slices=20)
    scan = _scan(truth, 5000)

    def error(level):
        clean = AAS(level=level).fit_transform(found).get_data("eeg")
        return _in_band(clean - truth.eeg[:3], 5000)[:, scan].std()

    assert error("auto") == min(map(error, ("both", "slice", "volume")))


def _broken(raw, how):
    if how == "nan":
        raw._data[1, 500] = np.nan
    elif how == "flat":
        raw._data[:] = 0
    elif how == "no eeg":
        raw.set_channel_types(
            dict.fromkeys(raw.ch_names, "misc"), on_unit_change="ignore"
        )
    elif how == "no volumes":
        raw.set_annotations(None)
    return raw


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", "AAS needs finite data, got NaN or Inf in Fp2"),
        ("flat", "AAS needs a signal, but all 4 channels are flat"),
        ("no eeg", r"found no EEG, EOG, ECG or EMG channel, .* \['misc'\]"),
        ("no volumes", "AAS needs at least 3 annotations described 'TR', found 0. Run"),
    ],
)
def test_unusable_recordings(simulated, how, message):
    raw, _ = simulated()
    found = _broken(_detect(raw), how)
    with pytest.raises(ValueError, match=message):
        AAS().fit_transform(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 1}, "window=1 must be a whole number of epochs, at least 2"),
        ({"window": 2.5}, "window=2.5 must be"),
        ({"weights": "best"}, r"weights='best' is unknown. Allowed are \['moving', "),
        ({"window": "wide"}, "window='wide' must be .* or 'auto'"),
        ({"threshold": 0}, "threshold=0 must be mm above 0"),
        ({"level": "epoch"}, "level='epoch' is unknown"),
        ({"scale": 2}, "scale=2 is unknown"),
        ({"level": "slice"}, "level='slice' needs the number of slices per volume"),
        ({"level": "both"}, "level='both' needs the number of slices per volume"),
        ({"weights": "slice"}, "weights='slice' needs the number of slices per volume"),
        ({"weights": "motion"}, "weights='motion' needs the movement .* add_motion"),
    ],
)
def test_parameters_are_checked(simulated, options, message):
    raw, _ = simulated()
    with pytest.raises(ValueError, match=message):
        AAS(**options).fit_transform(_detect(raw))
