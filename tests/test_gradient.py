"""Gradient artifact correction of whole recordings with known truth."""

import mne
import numpy as np
import pytest
from joblib import parallel_config
from scipy.signal import detrend

from mne_facet import (
    AAS,
    TriggerAligner,
    TriggerDetector,
    VolumeArtifact,
    add_motion,
    trigger_report,
)
from mne_facet.signal.averaging import moving_weights


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


@pytest.mark.parametrize("level", ["volume", "slice"])
def test_silence_at_the_end_of_each_volume(simulated, level):
    raw, truth = simulated(volume_gap=0.2, movement=0.0)
    found = _detect(raw, n_slices=20)
    clean = AAS(level=level).fit_transform(found).get_data("eeg")
    starts = (1000 * truth.volume_times).astype(int)
    silence = (starts[:, np.newaxis] + np.arange(1820, 1980)).ravel()
    error = (clean - truth.eeg[:3])[:, silence]
    assert error.std() < 0.02 * truth.gradient[:3].std()


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


SCHEMES = pytest.mark.parametrize(
    "weights",
    [
        "moving",
        "slice",
        "allen",
        "fastr",
        "farm",
        "motion",
        "median",
        "exponential",
    ],
)


def _known(raw, n_slices=20):
    """Recording in which all is known that a scheme may ask for."""
    found = _detect(raw, n_slices=n_slices)
    n_volumes = sum(row["n_volumes"] for row in trigger_report(found))
    return add_motion(found, np.zeros((n_volumes, 6)))


def _four_slices(raw):
    """Make each annotation a volume of four slices of 100 ms."""
    for volume, extras in enumerate(raw.annotations.extras):
        time = float(raw.annotations.onset[volume])
        extras.update(run=0, volume=volume, time=time, n_shots=4, slice_period=0.1)
    return raw


@SCHEMES
def test_strictly_periodic_artifact_leaves_nothing_11_4(periodic, weights):
    raw = periodic(period=100, n_volumes=120)
    raw.set_annotations(mne.Annotations(0.5 + 0.4 * np.arange(30), 0, "TR"))
    raw = add_motion(_four_slices(raw), np.zeros((30, 6)))
    for level in ("volume", "slice"):
        if weights == "slice" or level == "volume":
            left = AAS(weights=weights, level=level).fit_transform(raw).get_data()
            assert np.ptp(left[:, 500:-500], axis=1).max() < 1e-12
            np.testing.assert_array_equal(left[:, :490], raw.get_data()[:, :490])


@SCHEMES
def test_every_scheme_corrects_and_keeps_the_eeg(simulated, weights):
    raw, truth = simulated(movement=0.0)
    clean = AAS(weights=weights, level="both").fit_transform(_known(raw))
    scan = _scan(truth, 1000)
    eeg, after = (
        _in_band(x, 1000)[:, scan] for x in (truth.eeg[:3], clean.get_data("eeg"))
    )
    assert np.median((after - eeg).std(axis=1) / eeg.std(axis=1)) < 0.35
    gain = (after * eeg).sum(axis=1) / (eeg**2).sum(axis=1)
    np.testing.assert_allclose(gain, 1, atol=0.05)
    np.testing.assert_array_equal(
        clean.get_data()[:, : scan.start - 5], raw.get_data()[:, : scan.start - 5]
    )


@SCHEMES
@pytest.mark.parametrize("n_volumes", [3, 4, 7])
def test_every_scheme_on_few_volumes_11_9(periodic, weights, n_volumes):
    raw = add_motion(periodic(n_volumes=n_volumes), np.zeros((n_volumes, 6)))
    if weights == "slice":
        pytest.skip("there are no slices")
    left = AAS(weights=weights).fit_transform(raw).get_data()[:, 500:-500]
    assert np.ptp(left, axis=1).max() < 1e-12


@SCHEMES
def test_planted_sine_keeps_its_amplitude_11_7(simulated, weights):
    raw, truth = simulated(duration=80.0, movement=0.0, clock_ppm=30.0)
    sine = 10e-6 * np.sin(2 * np.pi * 14.2 * raw.times)
    planted = raw.copy()
    planted._data[:3] += sine
    both = [
        AAS(weights=weights, level="slice").fit_transform(_known(one)).get_data("eeg")
        for one in (raw, planted)
    ]
    scan = _scan(truth, 1000)
    kept = (both[1] - both[0])[:, scan] @ sine[scan] / (sine[scan] @ sine[scan])
    # 12 epochs add as much as a twelfth
    np.testing.assert_allclose(kept, 1, atol=1 / 12 if weights == "farm" else 0.03)


def test_both_levels_are_slices_and_then_volumes(simulated):
    raw, truth = simulated(duration=60.0)
    found = _known(raw)
    both = AAS(level="both").fit_transform(found)
    slices = AAS(level="slice").fit_transform(found)
    np.testing.assert_array_equal(
        VolumeArtifact().fit_transform(slices).get_data(), both.get_data()
    )
    scan = _scan(truth, 1000)

    def error(clean):
        left = _in_band(clean.get_data("eeg") - truth.eeg[:3], 1000)
        return left[:, scan].std(axis=1)

    volumes = AAS(level="volume").fit_transform(found)
    assert (error(both) < 0.7 * error(slices)).all()
    assert (error(both) < 0.9 * error(volumes)).all()


def test_volume_artifact_does_no_harm_where_there_is_none(simulated):
    raw, truth = simulated(duration=60.0, gradient=0.0)
    onsets = truth.volume_times[0] + 0.4 * np.arange(120)
    found = _four_slices(raw.set_annotations(mne.Annotations(onsets, 0, "TR")))
    clean = VolumeArtifact().fit_transform(found)
    changed = clean.get_data("eeg") - found.get_data("eeg")
    assert changed.std() < 0.03 * truth.eeg[:3].std()
    noise = truth.eeg[:3].std() / np.sqrt(60)  # which a plain average would add
    assert changed.std() < 0.2 * noise


def test_each_slice_has_an_amplitude_of_its_own(periodic):
    raw = _four_slices(periodic(period=400, n_volumes=40))
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(100)
    wave = 1e-3 * (wave - wave.mean())
    sizes = 1 + 0.02 * rng.standard_normal(4)
    raw._data[:, 500:-500] = np.tile(np.outer(sizes, wave).ravel(), 40)
    fitted, plain = (
        AAS(level="slice", scale=scale).fit_transform(raw).get_data()
        for scale in ("robust", None)
    )
    assert plain[:, 500:-500].std() > 10e-6
    assert fitted[:, 500:-500].std() < 0.2 * plain[:, 500:-500].std()


@pytest.mark.parametrize("weights", ["motion", "farm"])
def test_movement_is_followed_in_time(simulated, weights):
    raw, truth = simulated(duration=80.0, movement=0.0)
    at = int(1000 * truth.volume_times[17])
    raw._data[:3, at:] += 0.3 * truth.gradient[:3, at:]
    motion = np.zeros((35, 6))
    motion[17:, 0] = 2.0
    found = add_motion(_detect(raw), motion)

    def error(name):
        clean = AAS(weights=name, scale=None).fit_transform(found).get_data("eeg")
        return (clean - truth.eeg[:3])[:, at - 20_000 : at + 20_000].std()

    assert error(weights) < 0.2 * error("moving")


def test_bursts_hardly_change_a_median(simulated):
    raw, truth = simulated(movement=0.0)
    found = _detect(raw)
    rng = np.random.default_rng(0)
    start = int(1000 * truth.volume_times[7]) + 300
    burst = np.zeros(raw.n_times)
    burst[start : start + 900] = 60e-6 * rng.standard_normal(900)
    loud = found.copy()
    loud._data[1] += burst
    own = slice(start - 3000, start + 5000)

    def spread(weights):
        aas = AAS(weights=weights, scale=None)
        change = aas.fit_transform(loud).get_data([1])[0]
        change -= aas.fit_transform(found).get_data([1])[0]
        return np.delete(change, np.r_[own]).std()

    assert spread("median") < 0.5 * spread("moving")


def test_interior_equals_mne_11_14(simulated):
    raw, _ = simulated(sfreq=1000.0, clock_ppm=0.0)
    found = TriggerDetector("R128").fit_transform(raw)
    events, _ = mne.events_from_annotations(found, {"TR": 1}, verbose="ERROR")
    peer = mne.preprocessing.remove_fmri_gradient_artifact(
        found, events, window=(4, 4), picks="eeg"
    )
    x = found.get_data("eeg")
    starts = events[:, 0]
    epochs = np.stack([x[:, s : s + 2000] for s in starts])
    # MNE takes mean and slope out of each epoch of the data, too
    epochs = detrend(epochs)
    weights = moving_weights(np.ones(len(starts), bool), 8)
    template = np.tensordot(weights.toarray(), epochs, 1)
    for k in range(4, len(starts) - 4):
        ours = epochs[k] - template[k]
        theirs = peer.get_data("eeg")[:, starts[k] : starts[k] + 2000]
        np.testing.assert_allclose(ours, theirs, atol=1e-10 * np.abs(x).max())


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
        ("no volumes", "AAS needs at least 2 annotations described 'TR', found 0. Run"),
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
        ({"threshold": 0}, "threshold=0 must be mm or degrees above 0"),
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
