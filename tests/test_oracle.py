"""FASTR and FACET, run in Octave, as judges: their matrices, their steps, their errors.

The references' own choices (up-sampling, alignment, amplitude, how epochs are joined)
are written down here; averaging matrices and correlation search are those of the
package.
"""

import json
import sys
import warnings
from functools import partial
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import cheby1, filtfilt

from mne_facet import (
    AAS,
    TriggerAligner,
    TriggerDetector,
    VolumeArtifact,
    add_motion,
    trigger_report,
)
from mne_facet.signal.align import best_lags
from mne_facet.signal.averaging import (
    block_weights,
    farm_weights,
    fastr_weights,
    motion_weights,
    moving_weights,
    slice_weights,
)

ORACLE = Path(__file__).parents[1] / ".." / "shared" / "data" / "oracle"
pytestmark = pytest.mark.skipif(not ORACLE.exists(), reason="needs the shared data")


def _load(name):
    with np.load(ORACLE / f"{name}.npz") as file:
        return dict(file)


def _reference(run):
    """Arrays, derived numbers and up-sampling of a run on mini1k; the data in uV."""
    data = _load("data/mini1k")
    info = json.loads((ORACLE / f"mini1k/{run}.json").read_text())
    signal = 1e6 * data["raw_int16"] * data["lsb_V"]
    up = info["parameters"].get("Upsample") or info["parameters"].get("L") or 1
    numbers = {key: int(value) for key, value in info["derived"].items()}
    return signal, _load(f"mini1k/{run}"), numbers, up


def _upsample(x, factor):
    """A sinc cut off at four neighbours on each side; odd reflection at the ends."""
    margin = 8
    longer = np.r_[2 * x[0] - x[margin:0:-1], x, 2 * x[-1] - x[-2 : -margin - 2 : -1]]
    grid = np.zeros(longer.size * factor)
    grid[::factor] = longer
    taps = np.sinc(np.arange(-4 * factor, 4 * factor + 1) / factor)
    middle = slice(margin * factor, (margin + x.size) * factor)
    return np.convolve(grid, taps, "same")[middle]


def _decimate(x, factor):
    if factor == 1:
        return x
    return filtfilt(*cheby1(8, 0.05, 0.8 / factor), x, padlen=24)[::factor]


def _cut(x, triggers, before, after):
    return x[triggers[:, np.newaxis] + np.arange(-before, after + 1)]


def _amplitudes(epochs, templates):
    return (epochs * templates).sum(axis=1) / (templates**2).sum(axis=1)


def _lay(n_times, triggers, before, epochs):
    """Epochs in a row, the later one on top; NaN between them."""
    x = np.full(n_times, np.nan)
    for start, epoch in zip(triggers - before, epochs, strict=True):
        x[start : start + epoch.size] = epoch
    return x


def test_averaging_matrices():
    golden = _load("golden/facet_avg_matrices")
    good, shot = np.ones(100, bool), np.arange(100) % 12
    ours = fastr_weights(good, 10, shot).toarray()
    np.testing.assert_allclose(ours, golden["slice_N100_half10"], atol=1e-15)
    # theirs with the epoch itself
    theirs = golden["corresponding_N100_half3_period12"]
    np.fill_diagonal(theirs, 0)
    theirs /= theirs.sum(axis=1, keepdims=True)
    ours = slice_weights(good, 6, shot).toarray()
    np.testing.assert_allclose(ours, theirs, atol=1e-15)


def test_windows_of_volumes_differ_between_fastr_and_facet():
    theirs = _load("golden/facet_avg_matrices")["volume_N100_half5"]
    ours = fastr_weights(np.ones(100, bool), 10, np.zeros(100, int)).toarray()
    np.testing.assert_array_equal((theirs > 0).sum(axis=1), (ours > 0).sum(axis=1))
    # away from the ends FACET centres the window one volume earlier
    np.testing.assert_allclose(ours[20:80], theirs[21:81], atol=1e-15)


def test_interpolation_and_decimation():
    golden = _load("golden/interp_decimate")
    for factor, limit in ((4, 1e-10), (10, 1e-6)):
        dense = _upsample(golden["x"], factor)
        np.testing.assert_allclose(dense, golden[f"interp{factor}_cut1"], atol=1e-14)
        coarse = golden[f"decimate{factor}_of_interp{factor}"]
        np.testing.assert_allclose(_decimate(dense, factor), coarse, atol=limit)


@pytest.mark.parametrize("up", [1, 4])
@pytest.mark.parametrize("kind", ["slice", "vol"])
def test_fastr(kind, up):
    signal, stored, numbers, _ = _reference(f"fastr_{kind}_L{up}_aas")
    first, n_times = int(stored["clean_start_sample0"]), stored["clean_uV"].shape[1]
    before, after = numbers["pre_peak"], numbers["post_peak"]
    cut = partial(_cut, before=before, after=after)
    sent, aligned, placed = (
        stored[f"trig_{name}_up1"] - 1 for name in ("initial", "aligned", "template")
    )
    shot = np.arange(len(sent)) % 12 if kind == "slice" else np.zeros(len(sent), int)
    weights = fastr_weights(np.ones(len(sent), bool), numbers["Window"], shot)
    for channel, expected in enumerate(stored["clean_uV"]):
        mean = signal[channel].mean()
        part = signal[channel, first : first + n_times]
        x = part if up == 1 else _upsample(part, up)
        low = x - mean if up == 1 else _upsample(part - mean, up)
        templates = weights @ cut(low, aligned)
        if channel == 0:  # by which all are aligned
            lags, _ = best_lags(low, sent - before, cut(low, sent[:1])[0], 3 * up)
            np.testing.assert_array_equal(sent + lags, aligned)
            lags = [
                best_lags(low, np.array([trigger - before]), template, 3 * up)[0][0]
                for trigger, template in zip(aligned, templates, strict=True)
            ]
            np.testing.assert_array_equal(aligned + lags, placed)
            some = templates[stored["templates_epoch1"] - 1]
            np.testing.assert_allclose(some, stored["templates_ch0"], atol=1e-9)
        size = _amplitudes(cut(low, placed), templates)
        np.testing.assert_allclose(size, stored["alpha"][channel], atol=1e-12)
        noise = _lay(low.size, placed, before, size[:, np.newaxis] * templates)
        noise = np.nan_to_num(noise)
        if kind == "vol":  # the mean of each volume goes as well
            left = _cut(low - noise, aligned, before, numbers["max_postpeak"])
            left[:] = left.mean(axis=1, keepdims=True)
            noise += np.nan_to_num(_lay(low.size, aligned, before, left))
        clean = _decimate(x - noise, up)
        # single precision in the file
        limit = 1e-4 if stored["clean_uV"].dtype == np.float32 else 1e-6
        np.testing.assert_allclose(clean, expected, atol=limit)


def _broadband(epochs):
    return epochs - epochs.mean(axis=1, keepdims=True)


def _facet_slice(epochs):
    return fastr_weights(np.ones(len(epochs), bool), 30, np.arange(len(epochs)) % 12)


def _facet_allen(epochs):
    good = np.ones(len(epochs), bool)
    return block_weights(good, 25, _broadband(epochs), leave_one_out=False)


def _facet_farm(epochs):
    return farm_weights(np.ones(len(epochs), bool), 30, _broadband(epochs), 180)


@pytest.mark.parametrize(
    ("run", "scheme", "ends"),
    [
        ("facet_aas_slice_L1", _facet_slice, 0),
        ("facet_aas_slice_L4_c1", _facet_slice, 0),
        ("facet_aas_allen_L4_c1", _facet_allen, 0),
        # candidates near the ends are not quite the same
        ("facet_aas_farm_L4_c1", _facet_farm, 90),
    ],
)
def test_facet(run, scheme, ends):
    signal, stored, numbers, up = _reference(run)
    first, last = numbers["AcqStart"] - 1, numbers["AcqEnd"]
    before, after = numbers["PreTrig"], numbers["PostTrig"]
    cut = partial(_cut, before=before, after=after)
    aligned, placed = (
        stored[f"trig_{name}_up1"] - 1 for name in ("aligned", "template")
    )
    for channel, expected in enumerate(stored["clean_uV"]):
        mean = signal[channel].mean()
        part = signal[channel, first:last] - mean
        x = part.mean() + _upsample(part - part.mean(), up) if up > 1 else part
        templates = scheme(cut(x, aligned)) @ cut(x, aligned)
        if channel == 0:
            some = templates[stored["templates_epoch1"] - 1]
            np.testing.assert_allclose(some, stored["templates_ch0"], atol=1e-9)
        size = _amplitudes(cut(x, placed), templates)
        inner = slice(ends, size.size - ends)
        np.testing.assert_allclose(
            size[inner], stored["alpha"][channel][inner], atol=1e-12
        )
        noise = _lay(x.size, placed, before, size[:, np.newaxis] * templates)
        known = np.flatnonzero(np.isfinite(noise))
        noise = np.interp(np.arange(x.size), known, noise[known], left=0, right=0)
        clean = signal[channel].copy()
        clean[first:last] = _decimate(x - noise + mean, up)
        clean = clean[int(stored["clean_start_sample0"]) :][: expected.size]
        inner = slice(ends * 67 + 600, clean.size - ends * 67 - 600)
        limit = 1e-4 if stored["clean_uV"].dtype == np.float32 else 1e-6
        np.testing.assert_allclose(clean[inner], expected[inner], atol=limit)


def test_moosmann_leaves_out_the_same_volumes():
    theirs = _load("mini1k/facet_aas_moosmann_L4")["avg_matrix"]
    steps = np.linalg.norm(np.diff(_load("data/mini1k")["rp"][:, :3], axis=0), axis=1)
    moved = np.r_[False, steps > 0.5]
    ours = motion_weights(
        np.ones(24, bool), 10, np.arange(24), moved, np.ones((24, 2))
    ).toarray()
    np.testing.assert_array_equal((theirs > 0).any(axis=0), (ours > 0).any(axis=0))
    # theirs holds the volume itself, and fills up short stretches from beyond
    assert (ours[np.ix_(~moved, ~moved)] <= 0.2).all()
    assert (ours[:15, 15:] == 0).all()
    assert (ours[17:, :17] == 0).all()


def _recording(name):
    """The recording with its clock, and the judge of a corrected one."""
    data = _load(f"data/{name}")
    types = ["ecg" if ch == "ECG" else "eeg" for ch in data["ch_names"]]
    sfreq = float(data["fs"])
    info = mne.create_info(list(data["ch_names"]), sfreq, types)
    raw = mne.io.RawArray(data["raw_int16"] * data["lsb_V"], info)
    raw.set_annotations(mne.Annotations(data["slice_samples"] / sfreq, 0, "S"))
    sys.path.insert(0, str(ORACLE / "scripts"))
    try:
        from quality import quality
    finally:
        del sys.path[0]
    channels = [0, 2, 4, 6] if name == "main1k" else list(range(types.count("eeg")))

    def judge(clean):
        with warnings.catch_warnings():  # it leaves a file open
            warnings.simplefilter("ignore", ResourceWarning)
            found = quality(1e6 * clean.get_data(channels), name, channels)
        return np.median(found["rms"]), found["gain"]

    n_slices = len(data["slice_samples"]) // len(data["volume_samples"])
    raw = TriggerDetector("S", n_slices=n_slices).fit_transform(raw)
    return TriggerAligner(copy=False).fit_transform(raw), judge, data


# the smaller error of FASTR's and FACET's averages over slices, in uV
@pytest.mark.parametrize(
    ("name", "reference"),
    [("mini1k", 1.70), ("main1k", 1.65), ("main5k", 1.92), ("gap1k", 2.53)],
)
def test_error_is_far_below_that_of_the_references(name, reference):
    raw, judge, _ = _recording(name)
    slices = AAS(level="slice").fit_transform(raw)
    error, gain = judge(slices)
    assert error < 0.7 * reference
    np.testing.assert_allclose(gain, 1, atol=0.02)
    both, gain = judge(VolumeArtifact().fit_transform(slices))
    assert both < error
    np.testing.assert_allclose(gain, 1, atol=0.02)


def test_levels_are_chosen_by_the_error_they_make():
    raw, judge, _ = _recording("mini1k")
    error = {
        level: judge(AAS(level=level).fit_transform(raw))[0]
        for level in ("auto", "both", "slice", "volume")
    }
    assert error["auto"] == error["both"] == min(error.values())


@pytest.mark.parametrize(
    ("weights", "limit"),
    [("slice", 1.7), ("allen", 1.7), ("farm", 2.3), ("motion", 1.7), ("median", 1.7)],
)
def test_no_scheme_loses_eeg_as_the_references_do(weights, limit):
    raw, judge, data = _recording("mini1k")
    clean = AAS(weights=weights).fit_transform(add_motion(raw, data["rp"]))
    error, gain = judge(clean)
    assert error < limit
    np.testing.assert_allclose(gain, 1, atol=0.02)


def test_dropped_triggers_are_restored():
    golden = _load("golden/trigger_repair")
    raw, _, _ = _recording("main1k")
    times = golden["main_true_1based"] - 1
    dropped = golden["main_drop"].astype(int) - 1
    left = np.delete(times, dropped) / 1000
    raw.set_annotations(mne.Annotations(left, 0, "S"))
    found = TriggerDetector("S", n_slices=30).fit_transform(raw)
    (row,) = trigger_report(found)
    assert row["n_volumes"] == 54
    volumes = found.annotations.description == "TR"
    extras = [found.annotations.extras[i] for i in np.flatnonzero(volumes)]
    shots = np.concatenate(
        [extra["time"] + extra["slice_period"] * np.arange(30) for extra in extras]
    )
    assert np.abs(1000 * shots - times).max() < 1.5


def test_matrix_of_mne_11_14():
    weights = moving_weights(np.ones(30, bool), 8).toarray()
    expected = np.zeros((30, 30))
    for k in range(4, 26):
        expected[k, [*range(k - 4, k), *range(k + 1, k + 5)]] = 1 / 8
    np.testing.assert_array_equal(weights[4:26], expected[4:26])
