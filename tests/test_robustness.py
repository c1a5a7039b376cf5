"""Every scheme on recordings that are small, large, broken or not what they seem.

No exception, and no harm in numbers: the error of no channel grows, samples outside the
scan stay bit for bit, and a line says what was left alone.
"""

from dataclasses import replace

import mne
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from sklearn.pipeline import make_pipeline

from mne_facet import (
    AAS,
    ANC,
    OBS,
    LowRank,
    TriggerAligner,
    TriggerDetector,
    VolumeArtifact,
    add_motion,
    trigger_report,
)

WEIGHTS = "moving slice allen fastr farm motion median exponential".split()  # noqa: SIM905
SCHEMES = {name: AAS(weights=name) for name in WEIGHTS} | {
    "LowRank": LowRank(),
    "VolumeArtifact": make_pipeline(AAS(level="slice"), VolumeArtifact()),
    "OBS": make_pipeline(AAS(), OBS()),
    "ANC": ANC(AAS()),
}


def _known(raw, n_slices=20):
    """Recording in which all is known that a scheme may ask for."""
    raw = TriggerDetector("R128", n_slices=n_slices).fit_transform(raw)
    raw = TriggerAligner(copy=False).fit_transform(raw)
    rows = trigger_report(raw)
    return add_motion(raw, [np.zeros((row["n_volumes"], 6)) for row in rows])


def _scan(raw, truth, tr=2.0, margin=0.0):
    """Samples during the volumes."""
    inside = np.zeros(raw.n_times, bool)
    for time in truth.volume_times:
        start, stop = (time - margin, time + tr + margin)
        inside[max(0, int(start * raw.info["sfreq"])) :][
            : int((stop - max(0.0, start)) * raw.info["sfreq"])
        ] = True
    return inside


def _in_band(x, sfreq):
    return sosfiltfilt(butter(2, [0.5, 45], "bandpass", fs=sfreq, output="sos"), x)


def _corrected(found, without=()):
    """Name and result of each scheme; the recording is found once for all of them."""
    before = found._data.copy()
    for name in SCHEMES:
        if name not in without:
            yield name, SCHEMES[name].fit_transform(found)
            np.testing.assert_array_equal(found._data, before, err_msg=name)


def _assert_no_harm(raw, clean, truth, name, true=None, limit=0.7, gain=0.1):
    """Errors are below `limit` times those before, the EEG keeps its amplitude."""
    sfreq, picks = raw.info["sfreq"], mne.pick_types(raw.info, eeg=True)
    true = truth.clean[picks] if true is None else true
    scan = _scan(raw, truth)
    bands = [_in_band(x[picks], sfreq) for x in (raw._data, clean._data)]
    wanted = _in_band(true, sfreq)
    before, after = ((band - wanted)[:, scan].std(axis=1) for band in bands)
    assert (after < limit * before).all(), name
    kept = (bands[1] * wanted)[:, scan].sum(axis=1) / (wanted**2)[:, scan].sum(axis=1)
    np.testing.assert_allclose(kept, 1, atol=gain, err_msg=name)
    outside = ~_scan(raw, truth, margin=0.01)
    np.testing.assert_array_equal(
        clean._data[:, outside], raw._data[:, outside], err_msg=name
    )


@pytest.mark.parametrize("n_volumes", [2, 3, 5, 10])
def test_few_volumes_11_9(simulated, n_volumes):
    raw, truth = simulated(duration=10 + 2.0 * max(3, n_volumes))
    if n_volumes == 2:
        stop = int(1000 * truth.volume_times[2])
        raw._data[:, stop:] -= truth.gradient[:, stop:]
        late = np.flatnonzero(raw.annotations.description == "Response/R128")[2:]
        raw.annotations.delete(late)
        truth = replace(truth, volume_times=truth.volume_times[:2])
    found = _known(raw)
    assert trigger_report(found)[0]["n_volumes"] == n_volumes
    for name, clean in _corrected(found):
        _assert_no_harm(raw, clean, truth, name, gain=0.15)


@pytest.mark.parametrize(
    ("sfreq", "lowpass"),
    [(250.0, 80.0), (1000.0, 250.0), (2048.0, 250.0), (5e3, 250.0)],
)
def test_sampling_rates(simulated, sfreq, lowpass):
    raw, truth = simulated(duration=18.0, sfreq=sfreq, lowpass=lowpass, n_eeg=2)
    for name, clean in _corrected(_known(raw)):
        _assert_no_harm(raw, clean, truth, name, limit=0.4, gain=0.05)


def test_one_channel(simulated):
    raw, truth = simulated()
    raw.pick(["Fp2"])
    for name, clean in _corrected(_known(raw)):
        true = truth.clean[[1]]
        _assert_no_harm(raw, clean, truth, name, true, limit=0.1, gain=0.03)


def test_256_channels(simulated):
    raw, truth = simulated(duration=20.0, sfreq=250.0, lowpass=80.0)
    mix = np.random.default_rng(0).uniform(0.2, 1, (256, 3))
    many = mne.io.RawArray(mix @ raw._data[:3], mne.create_info(256, 250.0, "eeg"))
    onsets = raw.annotations.onset[raw.annotations.description == "Response/R128"]
    many.set_annotations(mne.Annotations(onsets, 0, "R128"))
    found = _known(many)
    for name in ("moving", "LowRank", "ANC"):
        clean = SCHEMES[name].fit_transform(found)
        _assert_no_harm(many, clean, truth, name, mix @ truth.clean[:3], limit=0.5)


@pytest.mark.filterwarnings("ignore:.*found no artifact in step with the volumes")
@pytest.mark.parametrize("n_slices", [None, 20])
def test_triggers_without_artifact(simulated, n_slices):
    raw, truth = simulated(gradient=0.0)
    with pytest.warns(RuntimeWarning, match="no gradient artifact that repeats"):
        found = _known(raw, n_slices)
    by_slices = [] if n_slices else ["slice", "VolumeArtifact"]
    for name, clean in _corrected(found, without=by_slices):
        change = (clean._data - raw._data)[:3]
        assert (change**2).sum() < 1e-3 * (truth.eeg[:3] ** 2).sum(), name
        if name not in ("VolumeArtifact", "OBS"):
            np.testing.assert_array_equal(clean._data, raw._data, err_msg=name)


@pytest.mark.parametrize("scheme", [AAS(), LowRank()])
def test_what_has_no_artifact_is_said_to_be_left_alone(simulated, scheme):
    raw, _ = simulated(gradient=0.0)
    with pytest.warns(RuntimeWarning, match="no gradient artifact that repeats"):
        found = _known(raw)
    with pytest.warns(RuntimeWarning, match="found no artifact in step with the vol"):
        scheme.fit_transform(found)


def test_saturated_and_disconnected_channels(simulated):
    raw, truth = simulated(n_eeg=6)
    rng = np.random.default_rng(0)
    raw._data[0] = 1e-3
    raw._data[1] = 5e-3 * rng.standard_normal(raw.n_times)  # louder than any artifact
    rail = 0.7 * np.abs(raw._data[2]).max()
    raw._data[2] = np.clip(raw._data[2], -rail, rail)
    raw._data[3, 20_000:] = 16e-3
    scan = _scan(raw, truth)
    for name, clean in _corrected(_known(raw)):
        np.testing.assert_array_equal(clean._data[0], raw._data[0], err_msg=name)
        # what 12 other epochs add, the fewest that are averaged
        change = clean._data[1] - raw._data[1]
        assert change.std() < 0.4 * raw._data[1].std(), name
        for channel, stop, limit in ((2, None, 0.1), (3, 19_000, 0.1), (4, None, 0.05)):
            before, after = (
                _in_band((x._data - truth.clean)[channel, :stop], 1000.0)[scan[:stop]]
                for x in (raw, clean)
            )
            assert after.std() < limit * before.std(), (name, channel)


def test_bursts_of_muscle(simulated):
    raw, truth = simulated()
    rng = np.random.default_rng(0)
    bursts = np.zeros((3, raw.n_times))
    for start in (12_000, 20_500, 28_000):
        noise = np.diff(rng.standard_normal((3, 3001)))
        bursts[:, start : start + 3000] = 60e-6 * noise
    raw._data[:3] += bursts
    true = truth.clean[:3] + bursts
    for name, clean in _corrected(_known(raw)):
        _assert_no_harm(raw, clean, truth, name, true, limit=0.5, gain=0.03)
        left = (clean._data[:3] * bursts).sum(axis=1) / (bursts**2).sum(axis=1)
        # OBS takes part of them for shapes of the artifact, as it says
        limit = 0.2 if name == "OBS" else 0.05
        np.testing.assert_allclose(left, 1, atol=limit, err_msg=name)


@pytest.mark.parametrize("told", [False, True])
def test_movement_inside_a_volume(simulated, told):
    raw, truth = simulated(movement=0.0)
    moved = int(1000 * (truth.volume_times[7] + 0.83))
    change = np.array([0.3, -0.2, 0.15])[:, np.newaxis]
    raw._data[:3, moved:] += change * truth.gradient[:3, moved:]
    found = _known(raw)
    motion = np.zeros((trigger_report(found)[0]["n_volumes"], 6))
    motion[8:, 0] = 2.0 * told
    for name, clean in _corrected(add_motion(found, motion)):
        _assert_no_harm(raw, clean, truth, name, limit=0.3, gain=0.05)


RUNS = [5 + 2 * np.arange(5.0), 18.4 + 2 * np.arange(4.0), 31.1 + 2 * np.arange(5.0)]


def _three_runs(simulated, second=4):
    times = np.concatenate([RUNS[0], RUNS[1][:second], RUNS[2]])
    return simulated(duration=45.0, volume_times=tuple(times))


def test_three_runs_and_pauses_11_12(simulated):
    raw, truth = _three_runs(simulated)
    found = _known(raw)
    assert [row["n_volumes"] for row in trigger_report(found)] == [5, 4, 5]
    for name, clean in _corrected(found):
        _assert_no_harm(raw, clean, truth, name, limit=0.4)


def test_a_run_too_short_is_left_alone_and_said_to_be(simulated):
    raw, _ = _three_runs(simulated, second=2)
    with pytest.warns(RuntimeWarning, match="run at 18.40 s has only 2 volumes"):
        found = _known(raw)
    alone = slice(16_000, 30_000)
    for name, clean in _corrected(found):
        np.testing.assert_array_equal(
            clean._data[:, alone], raw._data[:, alone], err_msg=name
        )


@pytest.mark.filterwarnings("ignore:AAS found no artifact .* from 5.00 s on")
def test_one_run_without_artifact(simulated):
    raw, truth = _three_runs(simulated)
    raw._data[:, :16_000] -= truth.gradient[:, :16_000]
    with pytest.warns(RuntimeWarning, match="from 5.00 s shows no gradient artifact"):
        found = _known(raw)
    later = replace(truth, volume_times=truth.volume_times[5:])
    for name, clean in _corrected(found):
        change = (clean._data - raw._data)[:3, :16_000]
        assert change.std() < 0.05 * truth.eeg[:3, :16_000].std(), name
        scan = _scan(raw, later)
        error = _in_band((clean._data - truth.clean)[:3], 1000.0)[:, scan]
        before = _in_band(truth.gradient[:3], 1000.0)[:, scan]
        assert (error.std(axis=1) < 0.4 * before.std(axis=1)).all(), name


def test_crop_and_concatenation_change_nothing_11_11(simulated):
    raw, _ = simulated(duration=22.0)
    cropped = raw.copy().crop(1.0)
    assert cropped.first_samp == 1000
    joined = mne.concatenate_raws([raw.copy(), raw.copy()])
    founds = [_known(one) for one in (raw, cropped, joined)]
    results = zip(*[_corrected(found) for found in founds], strict=True)
    for (name, whole), (_, part), (_, twice) in results:
        np.testing.assert_allclose(
            part._data, whole._data[:, 1000:], atol=1e-9, err_msg=name
        )
        for half in (twice._data[:, : raw.n_times], twice._data[:, raw.n_times :]):
            # but for the clock, fitted once more
            assert (half - whole._data)[:3].std() < 1e-7, name


def test_clean_plus_removed_is_the_recording_11_2(simulated):
    raw, _ = simulated(duration=30.0)
    found = _known(raw)
    for name, clean in _corrected(found):
        removed = found._data - clean._data
        assert np.abs(removed).max() > 1e-4
        np.testing.assert_allclose(
            clean._data + removed, found._data, rtol=1e-12, atol=1e-18, err_msg=name
        )


def test_periodic_artifact_leaves_nothing_11_4(periodic):
    raw = periodic(period=100, n_volumes=120)
    scan = raw._data[:, 500:-500]
    scan -= scan.mean(axis=1, keepdims=True)
    onsets = 0.5 + 0.4 * np.arange(30)
    extras = [
        {"run": 0, "volume": k, "time": t, "n_shots": 4, "slice_period": 0.1}
        for k, t in enumerate(onsets.tolist())
    ]
    raw.set_annotations(mne.Annotations(onsets, 0, "TR", extras=extras))
    raw = add_motion(raw, np.zeros((30, 6)))
    for name, clean in _corrected(raw):
        left = clean._data[:, 500:-500]
        # single precision leaves 1e-7 of the artifact
        limit = 1e-8 if name == "LowRank" else 1e-11
        assert np.ptp(left, axis=1).max() < limit, name
