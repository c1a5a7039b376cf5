"""Every scheme on recordings that are small, large, broken or not what they seem.

No exception, and no harm in numbers: the error of no channel grows, samples outside the
scan stay bit for bit, and a line says what was left alone.
"""

from dataclasses import replace

import mne
import numpy as np
import pytest
from mne.utils import catch_logging
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
BY_SCHEME = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


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


def _assert_no_harm(raw, clean, truth, true=None, limit=0.7, gain=0.1):
    """Errors are below `limit` times those before, the EEG keeps its amplitude."""
    sfreq, picks = raw.info["sfreq"], mne.pick_types(raw.info, eeg=True)
    true = truth.clean[picks] if true is None else true
    scan = _scan(raw, truth)
    bands = [_in_band(x[picks], sfreq) for x in (raw._data, clean._data)]
    wanted = _in_band(true, sfreq)
    before, after = ((band - wanted)[:, scan].std(axis=1) for band in bands)
    assert (after < limit * before).all()
    kept = (bands[1] * wanted)[:, scan].sum(axis=1) / (wanted**2)[:, scan].sum(axis=1)
    np.testing.assert_allclose(kept, 1, atol=gain)
    outside = ~_scan(raw, truth, margin=0.01)
    np.testing.assert_array_equal(clean._data[:, outside], raw._data[:, outside])


@BY_SCHEME
@pytest.mark.parametrize("n_volumes", [2, 3, 5, 8, 10])
def test_few_volumes(simulated, scheme, n_volumes):
    raw, truth = simulated(duration=10 + 2.0 * max(3, n_volumes))
    if n_volumes == 2:
        stop = int(1000 * truth.volume_times[2])
        raw._data[:, stop:] -= truth.gradient[:, stop:]
        late = np.flatnonzero(raw.annotations.description == "Response/R128")[2:]
        raw.annotations.delete(late)
        truth = replace(truth, volume_times=truth.volume_times[:2])
    found = _known(raw)
    assert trigger_report(found)[0]["n_volumes"] == n_volumes
    _assert_no_harm(raw, scheme.fit_transform(found), truth, gain=0.15)


@BY_SCHEME
@pytest.mark.parametrize(
    ("sfreq", "lowpass"), [(250.0, 80.0), (1000.0, 250.0), (2048.0, 250.0), (5e3, 250.0)]
)
def test_sampling_rates(simulated, scheme, sfreq, lowpass):
    raw, truth = simulated(duration=20.0, sfreq=sfreq, lowpass=lowpass, n_eeg=2)
    clean = scheme.fit_transform(_known(raw))
    _assert_no_harm(raw, clean, truth, limit=0.4, gain=0.05)


@BY_SCHEME
def test_one_channel(simulated, scheme):
    raw, truth = simulated()
    raw.pick(["Fp2"])
    clean = scheme.fit_transform(_known(raw))
    _assert_no_harm(raw, clean, truth, truth.clean[[1]], limit=0.1, gain=0.03)


@pytest.mark.parametrize("name", ["moving", "farm", "LowRank", "OBS", "ANC"])
def test_256_channels(simulated, name):
    raw, truth = simulated(duration=20.0, sfreq=250.0, lowpass=80.0)
    mix = np.random.default_rng(0).uniform(0.2, 1, (256, 3))
    info = mne.create_info(256, 250.0, "eeg")
    many = mne.io.RawArray(mix @ raw._data[:3], info)
    onsets = raw.annotations.onset[raw.annotations.description == "Response/R128"]
    many.set_annotations(mne.Annotations(onsets, 0, "R128"))
    clean = SCHEMES[name].fit_transform(_known(many))
    _assert_no_harm(many, clean, truth, mix @ truth.clean[:3], limit=0.5)


@BY_SCHEME
@pytest.mark.parametrize("n_slices", [None, 20])
def test_triggers_without_artifact(simulated, scheme, n_slices):
    by_slices = scheme is SCHEMES["slice"] or scheme is SCHEMES["VolumeArtifact"]
    if n_slices is None and by_slices:
        pytest.skip("there are no slices")
    raw, truth = simulated(gradient=0.0)
    with pytest.warns(RuntimeWarning, match="no gradient artifact that repeats"):
        found = _known(raw, n_slices)
    with pytest.warns(RuntimeWarning, match="found no artifact in step with the vol"):
        clean = scheme.fit_transform(found)
    change = (clean._data - raw._data)[:3]
    assert (change**2).sum() < 1e-3 * (truth.eeg[:3] ** 2).sum()
    if scheme is not SCHEMES["VolumeArtifact"]:
        np.testing.assert_array_equal(clean._data, raw._data)


@BY_SCHEME
def test_saturated_and_disconnected_channels(simulated, scheme):
    raw, truth = simulated(n_eeg=6)
    rng = np.random.default_rng(0)
    raw._data[0] = 1e-3
    raw._data[1] = 5e-3 * rng.standard_normal(raw.n_times)  # louder than any artifact
    rail = 0.7 * np.abs(raw._data[2]).max()
    raw._data[2] = np.clip(raw._data[2], -rail, rail)
    raw._data[3, 20_000:] = 16e-3
    clean = scheme.fit_transform(_known(raw))
    np.testing.assert_array_equal(clean._data[0], raw._data[0])
    # what 12 other epochs add, the fewest that are averaged
    change = clean._data[1] - raw._data[1]
    assert change.std() < 0.4 * raw._data[1].std()
    scan = _scan(raw, truth)
    for channel, stop, limit in ((2, None, 0.6), (3, 19_000, 0.6), (4, None, 0.3)):
        before, after = (
            _in_band((x._data - truth.clean)[channel, :stop], 1000.0)[scan[:stop]].std()
            for x in (raw, clean)
        )
        assert after < limit * before


@BY_SCHEME
def test_bursts_of_muscle(simulated, scheme):
    raw, truth = simulated()
    rng = np.random.default_rng(0)
    bursts = np.zeros((3, raw.n_times))
    for start in (12_000, 20_500, 28_000):
        noise = np.diff(rng.standard_normal((3, 3001)))
        bursts[:, start : start + 3000] = 60e-6 * noise
    raw._data[:3] += bursts
    clean = scheme.fit_transform(_known(raw))
    _assert_no_harm(raw, clean, truth, truth.clean[:3] + bursts, limit=0.5, gain=0.03)
    left = (clean._data[:3] * bursts).sum(axis=1) / (bursts**2).sum(axis=1)
    # OBS takes part of them for shapes of the artifact, as it says
    np.testing.assert_allclose(left, 1, atol=0.2 if scheme is SCHEMES["OBS"] else 0.05)


@BY_SCHEME
@pytest.mark.parametrize("told", [False, True])
def test_movement_inside_a_volume(simulated, scheme, told):
    raw, truth = simulated(movement=0.0)
    moved = int(1000 * (truth.volume_times[7] + 0.83))
    change = np.array([0.3, -0.2, 0.15])[:, np.newaxis]
    raw._data[:3, moved:] += change * truth.gradient[:3, moved:]
    found = _known(raw)
    motion = np.zeros((trigger_report(found)[0]["n_volumes"], 6))
    motion[8:, 0] = 2.0 * told
    clean = scheme.fit_transform(add_motion(found, motion))
    _assert_no_harm(raw, clean, truth, limit=0.3, gain=0.05)


RUNS = np.r_[5 + 2 * np.arange(5.0), 18.4 + 2 * np.arange(4.0), 31.1 + 2 * np.arange(5.0)]


@BY_SCHEME
def test_three_runs_and_pauses_11_12(simulated, scheme):
    raw, truth = simulated(duration=45.0, volume_times=tuple(RUNS))
    found = _known(raw)
    assert [row["n_volumes"] for row in trigger_report(found)] == [5, 4, 5]
    _assert_no_harm(raw, scheme.fit_transform(found), truth, limit=0.4)


def test_a_run_too_short_is_left_alone_and_said_to_be(simulated):
    raw, truth = simulated(duration=45.0, volume_times=tuple(np.delete(RUNS, [7, 8])))
    with pytest.warns(RuntimeWarning, match="run at 18.40 s has only 2 volumes"):
        found = _known(raw)
    for name in ("moving", "farm", "LowRank", "OBS", "ANC"):
        clean = SCHEMES[name].fit_transform(found)
        alone = slice(16_000, 30_000)
        np.testing.assert_array_equal(clean._data[:, alone], raw._data[:, alone])


@BY_SCHEME
def test_one_run_without_artifact(simulated, scheme):
    raw, truth = simulated(duration=45.0, volume_times=tuple(RUNS))
    raw._data[:, :16_000] -= truth.gradient[:, :16_000]
    with pytest.warns(RuntimeWarning, match="from 5.00 s shows no gradient artifact"):
        found = _known(raw)
    with catch_logging() as log:
        if scheme is SCHEMES["LowRank"]:
            clean = scheme.fit_transform(found)
        else:
            with pytest.warns(RuntimeWarning, match="AAS found no .* from 5.00 s on"):
                clean = scheme.fit_transform(found)
    change = (clean._data - raw._data)[:3, :16_000]
    assert change.std() < 0.05 * truth.eeg[:3, :16_000].std(), log.getvalue()
    later = replace(truth, volume_times=truth.volume_times[5:])
    scan = _scan(raw, later)
    error = _in_band((clean._data - truth.clean)[:3], 1000.0)[:, scan].std(axis=1)
    assert (error < 0.4 * _in_band(truth.gradient[:3], 1000.0)[:, scan].std(axis=1)).all()


@BY_SCHEME
def test_crop_and_concatenation_change_nothing_11_11(simulated, scheme):
    raw, _ = simulated()
    whole = scheme.fit_transform(_known(raw))._data
    cropped = raw.copy().crop(1.0)
    assert cropped.first_samp == 1000
    np.testing.assert_allclose(
        scheme.fit_transform(_known(cropped))._data, whole[:, 1000:], atol=1e-9
    )
    joined = _known(mne.concatenate_raws([raw.copy(), raw.copy()]))
    twice = scheme.fit_transform(joined)._data
    for part in (twice[:, : raw.n_times], twice[:, raw.n_times :]):
        # but for the clock, fitted once more
        np.testing.assert_allclose(part[:3], whole[:3], atol=1e-6)


@BY_SCHEME
def test_clean_plus_removed_is_the_recording_11_2(simulated, scheme):
    raw, _ = simulated()
    found = _known(raw)
    before = found._data.copy()
    clean = scheme.fit_transform(found)
    np.testing.assert_array_equal(found._data, before)
    removed = found._data - clean._data
    assert np.abs(removed).max() > 1e-4
    np.testing.assert_allclose(clean._data + removed, before, rtol=1e-12, atol=1e-18)
