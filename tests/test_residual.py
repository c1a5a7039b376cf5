"""Residual correctors of whole recordings with known truth."""

import logging
import pickle

import mne
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.pipeline import make_pipeline

from mne_facet import (
    AAS,
    ANC,
    OBS,
    Blockwise,
    Filter,
    Resample,
    TriggerAligner,
    TriggerDetector,
)

CORRECTIONS = [
    OBS(),
    OBS(2, level="slice"),
    ANC(AAS(level="volume")),
    ANC(make_pipeline(AAS(level="volume"), OBS())),
]
BY_CORRECTION = pytest.mark.parametrize(
    "correction",
    CORRECTIONS,
    ids=["OBS", "OBS slices", "ANC AAS", "ANC AAS OBS"],
)


@pytest.fixture
def found(simulated):
    """Factory of a recording with aligned volumes and 20 slices, and its truth."""

    def make(**options):
        raw, truth = simulated(**options)
        raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
        return TriggerAligner(copy=False).fit_transform(raw), truth

    return make


def _scan(truth, sfreq, tr=2.0):
    return slice(
        int(sfreq * truth.volume_times[0]), int(sfreq * (truth.volume_times[-1] + tr))
    )


def _band_rms(x, low, high, sfreq, scan):
    x = mne.filter.filter_data(x, sfreq, low, high, verbose="ERROR")
    return x[:, scan].std(axis=1)


@pytest.mark.parametrize("level", ["volume", "slice"])
def test_obs_removes_what_the_average_leaves_above_70_hz(found, level):
    raw, truth = found(sfreq=5000.0, lowpass=250.0, duration=80.0)
    average = AAS(level=level).fit_transform(raw)
    clean = OBS(level=level).fit_transform(average)
    scan, eeg = _scan(truth, 5000), truth.eeg[:3]
    before, after = (x.get_data("eeg") - eeg for x in (average, clean))
    left = _band_rms(before, 100, 240, 5000, scan)
    assert (_band_rms(after, 100, 240, 5000, scan) < 0.6 * left).all()
    slow = _band_rms(before, 0.5, 45, 5000, scan)
    np.testing.assert_allclose(_band_rms(after, 0.5, 45, 5000, scan), slow, rtol=0.01)


def test_anc_removes_what_the_average_leaves_and_keeps_eeg(found):
    raw, truth = found(sfreq=1000.0, duration=100.0, movement=0.0)
    changes = 0.05 * np.sin(2 * np.pi * np.arange(raw.n_times) / 31_000)
    raw._data[:3] += changes * truth.gradient[:3]
    average = AAS(level="volume", scale=None)
    scan, eeg = _scan(truth, 1000), truth.eeg[:3]
    before, after = (
        correction.fit_transform(raw).get_data("eeg") - eeg
        for correction in (average, ANC(average))
    )
    left = _band_rms(before, 75, 180, 1000, scan)
    assert (_band_rms(after, 75, 180, 1000, scan) < 0.7 * left).all()
    slow = _band_rms(before, 0.5, 45, 1000, scan)
    assert (_band_rms(after, 0.5, 45, 1000, scan) < slow).all()


@BY_CORRECTION
def test_a_sine_at_10_hz_stays(found, correction):
    raw, truth = found(sfreq=1000.0, n_eeg=3)
    times = np.arange(raw.n_times) / 1000
    sine = 20e-6 * np.sin(2 * np.pi * 10.13 * times)
    planted = raw.copy()
    planted._data[:3] += sine
    scan = _scan(truth, 1000)
    without, with_sine = (
        correction.fit_transform(x).get_data("eeg")[:, scan] for x in (raw, planted)
    )
    gain = (with_sine - without) @ sine[scan] / (sine[scan] @ sine[scan])
    reference = 1.0
    if isinstance(correction, ANC):  # what AAS itself does to it
        average = AAS(level="volume")
        pair = [
            average.fit_transform(x).get_data("eeg")[:, scan] for x in (raw, planted)
        ]
        reference = (pair[1] - pair[0]) @ sine[scan] / (sine[scan] @ sine[scan])
    np.testing.assert_allclose(gain / reference, 1, atol=0.01)


@BY_CORRECTION
def test_no_artifact_no_loss(found, correction):
    raw, truth = found()
    raw._data[:] = truth.clean
    if isinstance(correction, ANC):
        with pytest.warns(RuntimeWarning, match="AAS found no artifact"):
            clean = correction.fit_transform(raw)
    else:
        clean = correction.fit_transform(raw)
    change = clean.get_data("eeg") - raw.get_data("eeg")
    assert (change**2).sum() < 0.01 * (truth.eeg[:3] ** 2).sum()


@BY_CORRECTION
def test_outside_the_scan_nothing_changes_11_3(found, correction):
    raw, truth = found()
    clean = correction.fit_transform(raw)
    scan = _scan(truth, 1000)
    for outside in (slice(0, scan.start - 5), slice(scan.stop + 5, None)):
        np.testing.assert_array_equal(
            clean.get_data()[:, outside], raw.get_data()[:, outside]
        )


@BY_CORRECTION
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_result_is_the_same_for_every_n_jobs(found, correction, n_jobs):
    raw, _ = found(n_eeg=6)
    expected = correction.fit_transform(raw).get_data()
    with parallel_config("threading", n_jobs=n_jobs):
        np.testing.assert_array_equal(
            correction.fit_transform(raw).get_data(), expected
        )
    in_blocks = Blockwise(correction, block_size=2, n_jobs=n_jobs).fit_transform(raw)
    np.testing.assert_array_equal(in_blocks.get_data(), expected)


def test_plans_can_be_sent_to_other_processes(found):
    raw, _ = found()
    anc = ANC(make_pipeline(AAS(level="volume"), OBS()))
    expected = anc.fit_transform(raw).get_data()
    plan = anc._plan(raw, anc._pick_channels(raw))
    for picks, func in pickle.loads(pickle.dumps(plan)):
        for pick in picks:
            np.testing.assert_array_equal(
                func(raw.get_data([pick])[0])[0], expected[pick]
            )


@pytest.mark.parametrize("n_volumes", range(3, 11))
def test_few_volumes_11_9(periodic, n_volumes):
    raw = periodic(n_volumes=n_volumes)
    rng = np.random.default_rng(0)
    raw._data += 1e-6 * rng.standard_normal(raw._data.shape)
    average = AAS(window=10)
    left = average.fit_transform(raw).get_data()
    for correction in (OBS(), OBS(3), ANC(average)):
        start = average.fit_transform(raw) if isinstance(correction, OBS) else raw
        clean = correction.fit_transform(start).get_data()
        assert np.isfinite(clean).all()
        assert clean.std() < 1.05 * left.std()


def test_flat_clipped_and_single_channels_11_13(found):
    raw, _ = found(n_eeg=5)
    raw._data[0] = 0.0
    raw._data[2] = np.clip(raw._data[2], -0.5 * np.abs(raw._data[2]).max(), None)
    anc = ANC(make_pipeline(AAS(level="volume"), OBS()))
    clean = anc.fit_transform(raw)
    np.testing.assert_array_equal(clean.get_data([0]), 0)
    assert np.isfinite(clean.get_data()).all()
    alone = anc.fit_transform(raw.copy().pick([3]))
    np.testing.assert_array_equal(alone.get_data(), clean.get_data([3]))


def test_order_of_channels_does_not_matter(found):
    raw, _ = found(n_eeg=5)
    turned = raw.copy().reorder_channels(raw.ch_names[::-1])
    for correction in (OBS(), ANC(AAS(level="slice"))):
        expected = correction.fit_transform(raw)
        other = correction.fit_transform(turned).reorder_channels(raw.ch_names)
        np.testing.assert_array_equal(other.get_data(), expected.get_data())


def test_ecg_and_emg_are_corrected_but_nothing_else_is_done_to_them(found):
    raw, _ = found(n_eeg=3)
    raw.set_channel_types({"C3": "emg", "Fp2": "eog"})
    average = AAS(level="volume").fit_transform(raw)
    both = ["C3", "ECG"]
    untouched = OBS(2).fit_transform(average).get_data(both)
    np.testing.assert_array_equal(untouched, average.get_data(both))
    clean = ANC(AAS(level="volume")).fit_transform(raw)
    np.testing.assert_array_equal(clean.get_data(both), average.get_data(both))
    assert (clean.get_data("eog") != average.get_data("eog")).any()
    named = ANC(AAS(level="volume"), picks=["Fp2"]).fit_transform(raw)
    changed = (named.get_data() != average.get_data()).any(axis=1)
    assert [raw.ch_names[i] for i in np.flatnonzero(changed)] == ["Fp2"]


def test_anc_finishes_what_its_estimator_began(found):
    raw, _ = found()
    inner = make_pipeline(AAS(level="volume"), Filter(None, 100.0))
    assert ANC(inner).fit_transform(raw).info["lowpass"] == 100.0


def test_anc_in_anc(found):
    raw, _ = found()
    once = ANC(AAS(level="volume"))
    twice = ANC(once).fit_transform(raw)
    np.testing.assert_array_equal(
        twice.get_data("ecg"), once.fit_transform(raw).get_data("ecg")
    )


def test_two_runs_and_a_pause(periodic):
    first, second = periodic(n_volumes=60, seed=0), periodic(n_volumes=60, seed=1)
    data = np.hstack([first.get_data(), np.zeros((2, 5000)), second.get_data()])
    data += 1e-6 * np.random.default_rng(2).standard_normal(data.shape)
    raw = mne.io.RawArray(data, first.info)
    onsets = first.annotations.onset
    shift = (first.n_times + 5000) / 1000
    raw.set_annotations(mne.Annotations(np.r_[onsets, onsets + shift], 0, "TR"))
    pause = slice(12_510, 18_490)
    for correction in (OBS(2), ANC(AAS(window=10))):
        clean = correction.fit_transform(raw).get_data()
        np.testing.assert_array_equal(clean[:, pause], data[:, pause])


def test_silence_between_volumes_is_no_slice(found):
    raw, truth = found(volume_gap=0.2, movement=0.0)
    average = AAS(level="slice").fit_transform(raw)
    clean = OBS(2, level="slice").fit_transform(average)
    starts = (1000 * truth.volume_times).astype(int)[:, np.newaxis]
    changed = clean.get_data("eeg") != average.get_data("eeg")
    assert not changed[:, (starts + np.arange(1820, 1980)).ravel()].any()
    assert changed[:, (starts + np.arange(20, 1780)).ravel()].mean() > 0.99


def test_slices_where_volumes_are_few(found, caplog):
    raw, _ = found()
    with mne.use_log_level("INFO"), caplog.at_level(logging.INFO, logger="mne"):
        OBS().fit_transform(raw)
    assert "300 slice epochs in 1 run(s), 3 channels" in caplog.text
    assert "component(s)" in caplog.text
    caplog.clear()
    without = raw.copy()
    without.set_annotations(None)
    onsets = raw.annotations.onset[raw.annotations.description == "TR"]
    without.set_annotations(mne.Annotations(onsets, 0, "TR"))
    with mne.use_log_level("INFO"), caplog.at_level(logging.INFO, logger="mne"):
        OBS().fit_transform(without)
    assert "15 volume epochs in 1 run(s)" in caplog.text


@pytest.mark.parametrize(
    ("correction", "error", "message"),
    [
        (OBS(0), ValueError, "n_components=0 must be a whole number, at least 1, or"),
        (OBS(1.5), ValueError, "n_components=1.5 must be"),
        (OBS("all"), ValueError, "n_components='all' must be"),
        (OBS(l_freq=450), ValueError, r"l_freq=450 must lie .* sfreq = 400 Hz"),
        (OBS(level="epoch"), ValueError, "level='epoch' is unknown. Allowed are"),
        (ANC(AAS(), step=0), ValueError, "step=0 must lie above 0, and 0.5 at most"),
        (ANC(AAS(), h_freq=5), ValueError, "h_freq=5 must be at least 15 Hz, twice"),
        (ANC(AAS(), decim=0), ValueError, "decim=0 must be a whole number or 'auto'"),
        (ANC(AAS(), decim=2), ValueError, "decim=2 leaves 500 Hz, less than three"),
        (ANC(AAS(window=1)), ValueError, "window=1 must be a whole number of epochs"),
        (ANC(None), TypeError, "estimator=None must be a step .*; NoneType is none"),
        (ANC(Resample(100)), TypeError, "Resample is none. Put it in front of the ANC"),
        (
            ANC(make_pipeline(TriggerDetector("R128"), AAS())),
            TypeError,
            "TriggerDetector is none. Put it in front of the ANC",
        ),
        (
            ANC(make_pipeline(AAS(), AAS())),
            ValueError,
            "AAS needs the corrected data of all channels. Only the first step",
        ),
    ],
)
def test_parameters_are_checked(found, correction, error, message):
    raw, _ = found()
    with pytest.raises(error, match=message):
        correction.fit_transform(raw)


@pytest.mark.parametrize(
    ("correction", "name"), [(OBS(), "OBS"), (ANC(AAS()), "(ANC|AAS)")]
)
def test_unusable_recordings(found, correction, name):
    raw, _ = found()
    broken = raw.copy()
    broken._data[1, 500] = np.nan
    with pytest.raises(ValueError, match="needs finite data, got NaN or Inf in Fp2"):
        correction.fit_transform(broken)
    with pytest.raises(ValueError, match=f"{name} needs at least 2 annotations"):
        correction.fit_transform(raw.copy().set_annotations(None))
    types = dict.fromkeys(raw.ch_names, "misc")
    broken = raw.copy().set_channel_types(types, on_unit_change="ignore")
    with pytest.raises(ValueError, match=f"{name} found no EEG"):
        correction.fit_transform(broken)


def test_slices_have_to_be_known(simulated):
    raw = TriggerDetector("R128").fit_transform(simulated()[0])
    with pytest.raises(ValueError, match="level='slice' needs the number of slices"):
        OBS(level="slice").fit_transform(raw)
