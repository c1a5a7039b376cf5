"""Pulse artifact: identities of the windows and averages, and what the model finds."""

from functools import partial

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from mne_facet.signal import pulse
from mne_facet.signal.averaging import moving_weights
from mne_facet.signal.pulse_model import fit_model, random_windows, subtract_model

SFREQ = 250.0


def _beats(n_beats=40, interval=230.0, first=150.0, jitter=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return first + interval * np.arange(n_beats) + jitter * rng.uniform(-1, 1, n_beats)


def _wave(times, latency=0.21, width=0.05):
    position = (times - latency) / width
    return position * np.exp(0.5 - 0.5 * position**2)


def _artifact(beats, n_times, sfreq=SFREQ, amplitudes=1.0, **options):
    times = (np.arange(n_times) - beats[:, np.newaxis]) / sfreq
    return np.sum(np.reshape(amplitudes, (-1, 1)) * _wave(times, **options), axis=0)


def _average(x, beats, method="mean", window=20, l_freq=None, gains="common"):
    grid = pulse.beat_grid(beats, x.size, SFREQ)
    make = pulse.gaussian_weights if method == "gaussian" else moving_weights
    average = partial(
        pulse.average_beats, weights=make(grid.good, window), method=method, grid=grid
    )
    if isinstance(gains, str):
        epochs = pulse.beat_epochs(pulse.highpass(x, SFREQ, l_freq), grid)
        gains = pulse.template_gains(pulse.template_fit(epochs, average(epochs)))
    return pulse.subtract_average(x, SFREQ, l_freq, grid, average, gains)


def _model(channels, beats, sfreq=SFREQ, l_freq=0.4, n_components=8):
    grid = pulse.beat_grid(beats, channels.shape[1], sfreq)
    windows = random_windows(grid, beats, np.random.default_rng(0))
    inside = (windows >= 0) & (windows + grid.length <= channels.shape[1])
    model = fit_model(channels, sfreq, l_freq, grid, windows[inside], n_components)
    clean = [subtract_model(x, sfreq, l_freq, grid, model) for x in channels]
    return np.array(clean), model


def _joint(x, beats):
    return _model(x[np.newaxis], beats, l_freq=None)[0][0]


def _components(x, beats):
    grid = pulse.beat_grid(beats, x.size, SFREQ)
    return pulse.subtract_beat_components(x, SFREQ, None, grid, 3)


METHODS = {
    "mean": _average,
    "median": partial(_average, method="median"),
    "gaussian": partial(_average, method="gaussian"),
    "each channel": partial(_average, gains=None),
    "components": _components,
    "joint": _joint,
}
EACH_METHOD = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@EACH_METHOD
def test_periodic_artifact_without_noise_goes_to_the_last_bit_F_1(method):
    beats = _beats()
    x = 1e-4 * _artifact(beats, 9500)
    left = method(x, beats)[int(beats[1]) : int(beats[-2])]
    assert np.abs(left).max() < 1e-9 * x.max()


@pytest.mark.parametrize("interval", [100.0, 500.0])
def test_fast_and_slow_hearts(interval):
    beats = _beats(interval=interval)
    x = 1e-4 * _artifact(beats, int(beats[-1]) + 500, width=0.02)
    left = _average(x, beats)[int(beats[1]) : int(beats[-2])]
    assert np.abs(left).max() < 1e-9 * x.max()


@EACH_METHOD
def test_first_and_last_beats_are_corrected_as_well(method):
    beats = _beats(first=60.0)
    n_times = int(beats[-1]) + 90
    x = 1e-4 * _artifact(beats, n_times)
    left = method(x, beats)
    for part in (slice(60, 200), slice(n_times - 90, n_times - 10)):
        assert np.abs(left[part]).max() < 0.1 * x.max()


@EACH_METHOD
def test_offset_stays_and_changes_nothing_F_2(method):
    beats, rng = _beats(jitter=10), np.random.default_rng(1)
    x = 1e-4 * _artifact(beats, 9500) + 1e-5 * rng.standard_normal(9500)
    shifted = method(x + 1e-3, beats)
    np.testing.assert_allclose(shifted - 1e-3, method(x, beats), atol=1e-12)


@EACH_METHOD
def test_scaling_scales_the_result_F_5(method):
    beats, rng = _beats(jitter=10), np.random.default_rng(2)
    x = 1e-4 * _artifact(beats, 9500) + 1e-5 * rng.standard_normal(9500)
    clean = method(x, beats)
    for scale in (1e-6, 1e6):
        np.testing.assert_allclose(method(scale * x, beats) / scale, clean, atol=1e-12)


@EACH_METHOD
def test_pauses_stay_bit_for_bit(method):
    beats = np.r_[_beats(20), _beats(20) + 6000]
    x = np.random.default_rng(3).standard_normal(12000)
    x += 10 * _artifact(beats, 12000)
    clean = method(x, beats)
    # 0.21 s after R, 0.6 intervals to both sides
    reach = 0.21 * SFREQ + 0.6 * 230 + 2
    pause = slice(int(beats[19] + reach), int(beats[20] - reach + 2 * 0.21 * SFREQ))
    np.testing.assert_array_equal(clean[pause], x[pause])
    assert (clean != x)[int(beats[5]) : int(beats[6])].all()


def test_amplitudes_are_followed():
    beats = _beats()
    amplitudes = np.random.default_rng(4).uniform(0.5, 1.5, len(beats))
    x = _artifact(beats, 9500, amplitudes=amplitudes)
    inner = slice(int(beats[2]), int(beats[-2]))
    left = [_average(x, beats, gains=g)[inner] for g in ("common", np.ones(40), None)]
    assert left[0].std() < 0.02 * left[1].std()
    np.testing.assert_array_equal(left[0], left[2])


def test_windows_reach_half_way_and_fade_out_in_pauses():
    beats = np.array([200.0, 400, 620, 800, 1000, 1700, 1900, 1960, 2160])
    grid = pulse.beat_grid(beats, 2400, SFREQ, delay=0.2)
    centres = grid.first + grid.length // 2
    np.testing.assert_array_equal(centres, beats + 50)
    # 0.6 intervals on both sides, and a little more: 243 is a power of 3
    assert grid.length == 2 * 121 + 1
    np.testing.assert_array_equal(grid.stops[:4], (centres[1:5] + centres[:4]) / 2)
    assert grid.stops[4] == centres[4] + 121 - grid.fade
    assert grid.starts[5] == centres[5] - 121 + grid.fade
    # two beats too close to each other, one window beyond the end of the data
    np.testing.assert_array_equal(np.flatnonzero(~grid.good), [6, 7])
    assert not pulse.beat_grid(beats, 2300, SFREQ, delay=0.2).good[8]


def test_no_step_between_beats():
    """The second difference of what is subtracted is that of a raised cosine."""
    beats = _beats(jitter=30)
    grid = pulse.beat_grid(beats, 9500, SFREQ)
    heights = np.random.default_rng(5).uniform(-1, 1, (len(beats), 1))
    artifact = -pulse.subtract(np.zeros(9500), np.tile(heights, grid.length), grid)
    largest = np.abs(np.diff(heights[:, 0])).max()
    bend = np.abs(np.diff(artifact, 2)).max()
    assert bend < 1.1 * largest * 0.5 * (np.pi / (2 * grid.fade)) ** 2
    # between the fades nothing is mixed
    middle = np.rint((grid.starts + grid.stops)[1:-1] / 2).astype(int)
    np.testing.assert_allclose(artifact[middle], heights[1:-1, 0], rtol=1e-12)
    assert np.abs(artifact).max() <= np.abs(heights).max()


def test_leave_one_out_weights_that_prefer_near_beats():
    good = np.ones(30, bool)
    good[7] = False
    weights = pulse.gaussian_weights(good, 12).toarray()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(np.diag(weights), 0)
    np.testing.assert_array_equal(weights[:, 7], 0)
    np.testing.assert_allclose(weights[15, 14::-1], np.r_[weights[15, 16:], 0])
    assert (np.diff(weights[15, 16:21]) < 0).all()


def test_delay_of_the_artifact():
    times = np.arange(175) / SFREQ
    rng = np.random.default_rng(6)
    wave = np.exp(-0.5 * ((times - 0.26) / 0.05) ** 2)
    beats = np.outer([1, -1, 0.5], wave)
    noise = 0.02 * rng.standard_normal(beats.shape)
    assert pulse.peak_delay(beats + noise, SFREQ) == pytest.approx(0.26, abs=0.01)
    assert pulse.peak_delay(noise, SFREQ) == pulse.USUAL_DELAY


def test_bursts_are_no_usual_beats():
    rng = np.random.default_rng(7)
    energy = rng.chisquare(50, (6, 100)) * 10.0 ** np.arange(6)[:, np.newaxis]
    energy[0, 20] *= 30  # in the weakest channel
    energy[5, 60] *= 30
    good = np.ones(100, bool)
    good[:3] = False
    usual = pulse.usual_beats(energy, good)
    np.testing.assert_array_equal(np.flatnonzero(~usual), [0, 1, 2, 20, 60])
    np.testing.assert_array_equal(usual, pulse.usual_beats(1e-12 * energy, good))


def _recording(n_channels=12, n_beats=150, n_modes=2, seed=0, first=150.0):
    """EEG of six sources, and an artifact of modes that change independently."""
    rng = np.random.default_rng(seed)
    beats = _beats(n_beats, jitter=15, seed=seed, first=first)
    n_times = int(beats[-1]) + 200
    brain = [np.cumsum(rng.standard_normal(n_times)) for _ in range(6)]
    brain = np.array([pulse.highpass(x, SFREQ, 1.0) for x in brain])
    eeg = 5 * rng.standard_normal((n_channels, 6)) @ (brain / brain.std())
    eeg += 0.5 * rng.standard_normal(eeg.shape)
    modes = [
        _artifact(
            beats,
            n_times,
            amplitudes=1 + 0.4 * rng.standard_normal(n_beats),
            latency=latency,
            width=0.05,
        )
        for latency in np.linspace(0.2, 0.4, n_modes)
    ]
    artifact = 40 * rng.standard_normal((n_channels, n_modes)) @ np.array(modes)
    return beats, eeg, artifact


def _error(clean, eeg, sfreq=SFREQ):
    """Power of what is wrong, relative to that of the EEG, ends left out."""
    inner = slice(int(sfreq), int(-sfreq))
    wrong, true = (
        sum((pulse.highpass(x, sfreq, 0.5)[inner] ** 2).sum() for x in channels)
        for channels in (clean - eeg, eeg)
    )
    return wrong / true


@pytest.mark.parametrize("n_modes", [1, 2, 4])
def test_model_finds_the_modes_that_change(n_modes):
    beats, eeg, artifact = _recording(n_modes=n_modes)
    clean, model = _model(eeg + artifact, beats)
    # one mode alone is an amplitude of the mean beat
    assert model.seen.shape[2] == (0 if n_modes == 1 else n_modes)
    mean, _ = _model(eeg + artifact, beats, n_components=0)
    assert _error(clean, eeg) < 0.05
    if n_modes > 1:
        assert _error(clean, eeg) < 0.05 * _error(mean, eeg)
    one_by_one = [_components(x, beats) for x in eeg + artifact]
    assert _error(clean, eeg) < 0.3 * _error(np.array(one_by_one), eeg)


@pytest.mark.parametrize("seed", range(2))
def test_model_takes_no_eeg_for_artifact(seed):
    beats, eeg, _ = _recording(seed=seed)
    clean, model = _model(eeg, beats)
    assert model.seen.shape[2] == 0
    assert _error(clean, eeg) < 0.01


def test_model_does_not_depend_on_units_or_order_of_channels_F_5():
    beats, eeg, artifact = _recording(n_beats=60)
    x = eeg + artifact
    clean, _ = _model(x, beats)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_allclose(_model(x[order], beats)[0], clean[order], atol=1e-6)
    for scale in (1e-6, 1e6):
        scaled = _model(scale * x, beats)[0] / scale
        np.testing.assert_allclose(scaled, clean, atol=1e-6)
    units = np.logspace(-6, 6, len(x))[:, np.newaxis]
    np.testing.assert_allclose(_model(units * x, beats)[0] / units, clean, atol=1e-6)


def test_model_corrects_channels_it_has_not_seen_and_flat_ones():
    beats, eeg, artifact = _recording()
    x = eeg + artifact
    x[3] = 0.0
    _, model = _model(np.delete(x, 5, axis=0), beats)
    grid = pulse.beat_grid(beats, x.shape[1], SFREQ)
    subtract = partial(subtract_model, sfreq=SFREQ, l_freq=0.4, grid=grid, model=model)
    assert _error(subtract(x[5])[np.newaxis], eeg[5:6]) < 0.05
    np.testing.assert_array_equal(subtract(x[3]), x[3])


def test_model_of_incomplete_beats():
    beats, eeg, artifact = _recording(first=70.0)
    grid = pulse.beat_grid(beats, eeg.shape[1], SFREQ)
    assert grid.first[0] < 0
    clean, _ = _model(eeg + artifact, beats)
    first = slice(60, 200)
    assert (clean - eeg)[:, first].std() < 0.2 * artifact[:, first].std()


@pytest.mark.parametrize("sfreq", [100.0, 499.7, 2048.0])
def test_error_does_not_depend_on_the_sampling_rate_F_4(sfreq):
    beats, eeg, artifact = _recording(n_channels=8, n_beats=100)
    times = np.arange(eeg.shape[1]) / SFREQ
    some = np.arange(int(times[-1] * sfreq)) / sfreq
    slow = np.array([np.convolve(x, np.ones(5) / 5, "same") for x in eeg])
    expected = _error(_model(slow + artifact, beats)[0], slow)
    eeg, artifact = (CubicSpline(times, x, axis=1)(some) for x in (slow, artifact))
    clean, _ = _model(eeg + artifact, beats * sfreq / SFREQ, sfreq)
    assert abs(10 * np.log10(_error(clean, eeg, sfreq) / expected)) < 1
