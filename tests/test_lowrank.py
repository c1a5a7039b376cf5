"""Joint low-rank correction of whole recordings with known truth."""

import json
from functools import cache
from pathlib import Path

import mne
import numpy as np
import pytest
from joblib import parallel_config
from mne.utils import catch_logging
from scipy.signal import welch

from mne_facet import AAS, LowRank, TriggerDetector
from mne_facet._events import write_volumes

SHARED = Path(__file__).parents[2] / "shared" / "data" / "oracle" / "data"


def _detect(raw, n_slices=20):
    return TriggerDetector("R128", n_slices=n_slices).fit_transform(raw)


def _in_band(x, sfreq=1000.0):
    return mne.filter.filter_data(x, sfreq, 0.5, 45.0, verbose="ERROR")


def _scan(truth, sfreq=1000.0, tr=2.0):
    return slice(
        int(sfreq * truth.volume_times[0]), int(sfreq * (truth.volume_times[-1] + tr))
    )


def _snr(clean, truth):
    """Median over the EEG channels of signal to error between 0.5 and 45 Hz, in dB."""
    data = clean.get_data("eeg")
    signal = _in_band(truth.clean[: len(data)])[:, _scan(truth)]
    error = _in_band(data - truth.clean[: len(data)])[:, _scan(truth)]
    return np.median(10 * np.log10((signal**2).sum(1) / (error**2).sum(1)))


def _best_average(found, truth, levels=("volume", "both")):
    return max(_snr(AAS(level=level).fit_transform(found), truth) for level in levels)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "scene",
    [
        {"clock_ppm": 0.0, "movement": 0.0},
        {"movement": 0.0},
        {"movement": 3.0},
        {"movement": 10.0},
        {"missing": 0.1, "trigger_jitter": 1},
        {"volume_gap": 0.2},
    ],
    ids=["synchronised", "two clocks", "movement", "strong", "triggers", "pauses"],
)
def test_better_than_averages(simulated, scene, seed):
    raw, truth = simulated(duration=60.0, n_eeg=6, pulse=1.0, seed=seed, **scene)
    found = _detect(raw)
    clean = LowRank().fit_transform(found)
    assert _snr(clean, truth) > _best_average(found, truth) + 5


def test_better_than_averages_by_volumes_alone(simulated):
    raw, truth = simulated(duration=60.0, n_eeg=6)
    found = _detect(raw, None)
    clean = LowRank().fit_transform(found)
    assert _snr(clean, truth) > _best_average(found, truth, ["volume"]) + 3


@pytest.mark.parametrize("n_slices", [None, 20])
@pytest.mark.parametrize("n_volumes", [3, 4, 6, 8, 10])
def test_few_volumes(simulated, n_volumes, n_slices):
    raw, truth = simulated(duration=10 + 2.0 * n_volumes)
    found = _detect(raw, n_slices)
    clean = LowRank().fit_transform(found)
    levels = ["volume", "both"] if n_slices else ["volume"]
    assert _snr(clean, truth) > _best_average(found, truth, levels) + 3
    eeg, scan = truth.eeg[:3], _scan(truth)
    after, before = (_in_band(x)[:, scan] for x in (clean.get_data("eeg"), eeg))
    gain = (after * before).sum(axis=1) / (before**2).sum(axis=1)
    np.testing.assert_allclose(gain, 1, atol=0.1)


def test_eeg_is_kept(simulated):
    # 10 Hz is a harmonic of neither slices nor volumes
    raw, truth = simulated(duration=120.0, n_eeg=6, tr=1.97)
    sine = np.zeros_like(raw.get_data())
    sine[:6] = 20e-6 * np.sin(2 * np.pi * 10.0 * raw.times)
    found = _detect(raw)
    clean = LowRank().fit_transform(found).get_data("eeg")
    found._data += sine
    planted = LowRank().fit_transform(found).get_data("eeg")
    scan = _scan(truth, tr=1.97)
    gain = (planted - clean)[:, scan] @ sine[0, scan] / (sine[0, scan] @ sine[0, scan])
    np.testing.assert_allclose(gain, 1, atol=0.01)
    alpha = []
    for x in (clean, truth.clean[:6]):
        freqs, power = welch(x[:, scan], 1000.0, nperseg=4096)
        alpha.append(power[:, (freqs > 8) & (freqs < 12)].sum(axis=1))
    ratio = alpha[0] / alpha[1]
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(ratio, 1, atol=0.03)


@pytest.mark.parametrize("n_slices", [None, 20])
def test_without_artifact_nothing_changes(simulated, n_slices):
    raw, truth = simulated(gradient=0.0, pulse=1.0)
    extras = [
        {"run": 0, "volume": k, "n_shots": n_slices or 1, "slice_period": 0.1}
        for k in range(len(truth.volume_times))
    ]
    write_volumes(raw, 1000 * truth.volume_times, extras, "TR")
    with pytest.warns(RuntimeWarning, match="no artifact in step with the volumes"):
        clean = LowRank().fit_transform(raw)
    np.testing.assert_array_equal(clean.get_data(), raw.get_data())


def test_outside_the_scan_nothing_changes(simulated):
    times = np.r_[6.0 + 2 * np.arange(12.0), 37.123 + 2 * np.arange(9.0)]
    raw, truth = simulated(duration=60.0, volume_times=tuple(times), volume_gap=0.1)
    clean = LowRank().fit_transform(_detect(raw)).get_data()
    for start, stop in ((0, 5.995), (30.005, 37.118), (55.128, 60.0)):
        outside = slice(round(1000 * start), round(1000 * stop))
        np.testing.assert_array_equal(clean[:, outside], raw.get_data()[:, outside])
    for scan in (slice(6000, 30_000), slice(37_123, 55_123)):
        error = _in_band(clean[:3] - truth.clean[:3])[:, scan]
        assert error.std() < 0.15 * _in_band(truth.eeg[:3])[:, scan].std()


def test_order_scale_and_offset_of_channels_do_not_matter(simulated):
    raw, _ = simulated(n_eeg=6)
    found = _detect(raw)
    expected = LowRank().fit_transform(found).get_data("eeg")
    other = found.copy().reorder_channels(found.ch_names[::-1])
    clean = LowRank().fit_transform(other).get_data("eeg")
    # 0.1 uV: templates are made in single precision
    np.testing.assert_allclose(clean[::-1], expected, atol=1e-7)
    factor = np.where(np.arange(6) == 2, 1e3, 1)[:, np.newaxis]
    offset = 1e-3 * np.arange(6.0)[:, np.newaxis]
    other = found.copy()
    other._data[:6] = factor * other._data[:6] + offset
    clean = (LowRank().fit_transform(other).get_data("eeg") - offset) / factor
    np.testing.assert_allclose(clean, expected, atol=1e-7)


def test_one_channel(simulated):
    raw, truth = simulated(n_eeg=1, duration=60.0, movement=3.0)
    found = _detect(raw)
    clean = LowRank(picks="eeg").fit_transform(found)
    assert _snr(clean, truth) > _best_average(found, truth) + 3


def test_flat_bad_and_clipped_channels(simulated):
    raw, _ = simulated(n_eeg=6, duration=60.0)
    found = _detect(raw)
    expected = LowRank(picks=[1, 3, 4, 5]).fit_transform(found)
    found._data[0] = 1e-6
    rail = 0.5 * np.abs(found._data[2]).max()
    found._data[2] = np.clip(found._data[2], -rail, rail)
    clean = LowRank().fit_transform(found)
    np.testing.assert_array_equal(clean.get_data()[0], found.get_data()[0])
    assert np.isfinite(clean.get_data()).all()
    # the others are corrected as if these two were not there
    np.testing.assert_array_equal(
        clean.get_data()[[1, 3, 4, 5]], expected.get_data()[[1, 3, 4, 5]]
    )
    found.info["bads"] = [found.ch_names[4]]
    unused = LowRank(picks=[1, 3, 5]).fit_transform(found)
    clean = LowRank().fit_transform(found)
    np.testing.assert_array_equal(
        clean.get_data()[[1, 3, 5]], unused.get_data()[[1, 3, 5]]
    )
    assert not np.array_equal(clean.get_data()[4], found.get_data()[4])


def test_muscle_and_bad_spans(simulated):
    raw, truth = simulated(n_eeg=6, duration=60.0)
    found = _detect(raw)
    expected = _snr(LowRank().fit_transform(found), truth)
    rng = np.random.default_rng(0)
    bursts = np.zeros_like(found._data[:6])
    for start in (12_000, 30_500, 41_000):
        muscle = rng.standard_normal((6, 1500))
        bursts[:, start : start + 1500] = 50e-6 * np.diff(muscle, prepend=0)
    found._data[:6] += bursts
    found.annotations.append(41.0, 1.5, "BAD_muscle")
    clean = LowRank().fit_transform(found)
    clean._data[:6] -= bursts
    assert _snr(clean, truth) > expected - 3


def test_result_is_the_same_for_every_n_jobs(simulated):
    raw, _ = simulated(n_eeg=8)
    found = _detect(raw)
    expected = LowRank().fit_transform(found).get_data()
    for n_jobs in (2, -1):
        clean = LowRank(n_jobs=n_jobs).fit_transform(found)
        np.testing.assert_array_equal(clean.get_data(), expected)
    with parallel_config("loky", n_jobs=2):
        clean = LowRank().fit_transform(found)
    np.testing.assert_array_equal(clean.get_data(), expected)


def test_scan_running_at_both_ends_of_the_data(simulated):
    raw, truth = simulated(duration=60.0)
    first = round(1000 * (truth.volume_times[2] + 0.7))
    last = round(1000 * (truth.volume_times[-2] + 1.1))
    part = raw.copy().crop(first / 1000, last / 1000)
    clean = LowRank().fit_transform(_detect(part)).get_data("eeg")
    error = clean - truth.eeg[:3, first : first + part.n_times]
    edges = error[:, :500].std(), error[:, -500:].std()
    assert max(edges) < 2 * error.std()


@pytest.mark.parametrize("value", [-1, 41, 2.5, "best", None])
def test_parameters_are_checked(simulated, value):
    raw, _ = simulated()
    with pytest.raises(ValueError, match=r"n_components=.* must be 'auto' or a"):
        LowRank(value).fit_transform(_detect(raw))


def test_averages_where_the_artifact_band_is_not_in_the_data(simulated):
    raw, _ = simulated()
    raw = TriggerDetector("R128", n_slices=20).fit_transform(raw).filter(None, 60.0)
    with catch_logging() as log:
        clean = LowRank(verbose=True).transform(raw)
    assert "ends below 82 Hz, too low to see" in log.getvalue()
    expected = AAS(100, level="slice").transform(raw)
    np.testing.assert_allclose(clean.get_data(), expected.get_data(), atol=1e-7)


def test_volumes_are_needed(simulated):
    raw, _ = simulated()
    with pytest.raises(ValueError, match="LowRank needs at least 2 annotations"):
        LowRank().fit_transform(raw)


@cache
def _oracle(name):
    """Recording with exact volume times, what is below its artifact, and the scan."""
    data, truth = (np.load(SHARED / f"{name}{end}.npz") for end in ("", "_truth"))
    meta = json.loads((SHARED / f"{name}.json").read_text())
    names = [str(channel) for channel in data["ch_names"]]
    info = mne.create_info(
        names, float(data["fs"]), ["eeg"] * (len(names) - 1) + ["ecg"]
    )
    raw = mne.io.RawArray(data["raw_int16"] * float(data["lsb_V"]), info)
    extras = [
        {
            "run": 0,
            "volume": volume,
            "n_shots": meta["n_slices"],
            "slice_period": meta["slice_interval_s"],
        }
        for volume in range(meta["n_volumes"])
    ]
    times = data["slice_times_s"][:: meta["n_slices"]]
    write_volumes(raw, times * info["sfreq"], extras, "TR")
    clean = truth["eeg_int16"].astype(float) + truth["bcg_int16"]
    start = meta["acquisition_start_s"]
    scan = start, start + meta["TR_s"] * meta["n_volumes"]
    return raw, clean[:-1] * truth["lsb_V"][:-1, np.newaxis], scan


@pytest.mark.parametrize(("name", "limit"), [("main1k", 0.7e-6), ("main5k", 1.3e-6)])
def test_oracle(name, limit):
    if not SHARED.exists():
        pytest.skip("needs ../shared")
    raw, truth, scan = _oracle(name)
    clean = LowRank(picks="eeg").fit_transform(raw).get_data("eeg")
    step = round(raw.info["sfreq"] / 1000)
    clean = _in_band(clean, raw.info["sfreq"])[:, ::step]
    scan = slice(*(int(1000 * time) for time in scan))
    clean, truth = clean[:, scan], _in_band(truth)[:, scan]
    gain = (clean * truth).sum(axis=1) / (truth**2).sum(axis=1)
    assert np.median((clean - truth).std(axis=1)) < limit
    np.testing.assert_allclose(gain, 1, atol=0.01)
    correlation = [np.corrcoef(*pair)[0, 1] for pair in zip(clean, truth, strict=True)]
    assert np.median(correlation) > 0.996
