"""The adaptive filter is the recursion, however it is computed; the canceller."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from mne_facet.signal import lms
from mne_facet.signal.lms import adaptive_filter, cancel_noise, design_canceller

GOLDEN = Path(__file__).parents[2] / "shared/data/oracle/golden/anc_lms.npz"

KERNELS = {
    "numpy": partial(lms._run, lms._numpy_blocks, lms._BLOCK),
    "chosen": adaptive_filter,
}
BY_KERNEL = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def _sample_by_sample(reference, target, order, step):
    weights, explained = np.zeros(order + 1), np.zeros(target.size)
    for n in range(order, target.size):
        taps = reference[n - order : n + 1][::-1]
        explained[n] = weights @ taps
        weights += 2 * step * (target[n] - explained[n]) * taps
    return explained


def _signals(n_times, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal(n_times)
    echo = lfilter(rng.standard_normal(12), 1, reference)
    return reference, echo + rng.standard_normal(n_times)


def _assert_equal(one, other, rtol=1e-10):
    np.testing.assert_allclose(one, other, rtol=0, atol=rtol * np.abs(other).max())


@pytest.mark.skipif(not GOLDEN.exists(), reason="not part of the project")
@BY_KERNEL
def test_output_of_the_matlab_toolboxes(kernel):
    golden = np.load(GOLDEN)
    order, step = int(golden["N"]), float(golden["mu"])
    explained = kernel(golden["refs"], golden["d"], order, step)
    np.testing.assert_allclose(explained, golden["y"], rtol=1e-10)
    error = golden["d"] - explained
    np.testing.assert_allclose(error[order:], golden["out"][order:], rtol=1e-10)


@BY_KERNEL
@pytest.mark.parametrize("order", [1, 3, 49])
@pytest.mark.parametrize("n_steps", [1, 4, 33, 200, 2500])
def test_equal_to_the_recursion_11_10(kernel, order, n_steps):
    reference, target = _signals(order + n_steps)
    step = 0.3 / ((order + 1) * np.max(reference**2))
    _assert_equal(
        kernel(reference, target, order, step),
        _sample_by_sample(reference, target, order, step),
    )


@pytest.mark.parametrize("kernel", [KERNELS["numpy"], adaptive_filter])
@pytest.mark.parametrize("n_taps", [250, 500, 1000])
@pytest.mark.parametrize("share", [0.05, 0.95])
def test_long_filters_up_to_the_edge_of_stability_11_10(kernel, n_taps, share):
    reference, target = _signals(6000)
    largest = np.convolve(reference**2, np.ones(n_taps), "valid").max()
    _assert_equal(
        kernel(reference, target, n_taps - 1, share / largest),
        _sample_by_sample(reference, target, n_taps - 1, share / largest),
    )


@BY_KERNEL
def test_only_the_ratio_of_step_and_power_counts(kernel):
    reference, target = _signals(400)
    expected = kernel(reference, target, 20, 1e-3)
    scaled = kernel(-1e-5 * reference, target, 20, 1e-3 * 1e10)
    _assert_equal(scaled, expected, 1e-12)


@BY_KERNEL
@pytest.mark.parametrize("n_times", [0, 1, 16])
def test_nothing_before_the_filter_is_full(kernel, n_times):
    reference, target = np.ones((2, n_times))
    np.testing.assert_array_equal(kernel(reference, target, 16, 0.01), 0)


@BY_KERNEL
def test_what_is_not_finite_shows(kernel):
    reference, target = _signals(300)
    reference[100] = np.nan
    assert np.isnan(kernel(reference, target, 10, 1e-3)[100:]).all()


SPAN = [(2000.0, 28_000.0)]


def _recording(echo=0.5, n_times=30_000, seed=0):
    """EEG; periodic artifact during the scan; and what is left of it, filtered."""
    rng = np.random.default_rng(seed)
    eeg = 2e-6 * lfilter([1], [1, -0.95], rng.standard_normal(n_times))
    removed = np.zeros(n_times)
    wave = 1e-3 * lfilter(np.ones(4) / 4, 1, rng.standard_normal(200))
    removed[2000:28_000] = np.tile(wave, 130)
    removed *= 1 + 0.3 * np.sin(np.arange(n_times) / 900)
    left = lfilter([0, 0, echo, -echo], 1, removed)
    left[:2000] = left[28_000:] = 0
    return eeg, left, removed


@pytest.mark.parametrize(("h_freq", "decim"), [(None, 1), (150.0, 1), (40.0, 5)])
def test_what_follows_the_artifact_is_cancelled(h_freq, decim):
    eeg, left, removed = _recording()
    canceller = design_canceller(1000.0, 50.0, 0.005, 4.0, h_freq, decim)
    result, note = cancel_noise(eeg + left, removed, SPAN, canceller)
    assert note is None
    band = {None: [4, 400], 150.0: [8, 140], 40.0: [6, 38]}[h_freq]
    late = slice(10_000, 27_000)

    def power(x):
        spectrum = np.abs(np.fft.rfft(x[late])) ** 2
        freqs = np.fft.rfftfreq(x[late].size, 1e-3)
        return spectrum[(freqs > band[0]) & (freqs < band[1])].sum()

    assert power(result - eeg) < 0.25 * power(left)


def test_reduced_rate_does_not_delay():
    sfreq, times = 5000.0, np.arange(50_000) / 5000
    wave = 1e-4 * np.sin(2 * np.pi * 20 * times)
    canceller = design_canceller(sfreq, 100.0, 0.02, 5.0, 60.0, 17)
    rest = wave - cancel_noise(wave, wave, [(0.0, 50_000.0)], canceller)[0]
    late = slice(40_000, 49_000)
    assert np.abs(rest - wave)[late].max() < 0.01 * np.abs(wave).max()
    turned = np.angle(np.vdot(np.exp(2j * np.pi * 20 * times[late]), rest[late]))
    straight = np.angle(np.vdot(np.exp(2j * np.pi * 20 * times[late]), wave[late]))
    assert abs(turned - straight) < 2e-3


@pytest.mark.parametrize("decim", [1, 4])
def test_outside_the_scan_nothing_changes(decim):
    eeg, left, removed = _recording()
    canceller = design_canceller(1000.0, 50.0, 0.005, 4.0, 60.0, decim)
    result, _ = cancel_noise(eeg + left, removed, SPAN, canceller)
    assert (result != eeg + left)[5000:27_000].all()
    for outside in (slice(0, 2000), slice(28_000, None)):
        np.testing.assert_array_equal(result[outside], eeg[outside])


def test_channels_that_would_gain_power_stay():
    noise, removed = np.random.default_rng(1).standard_normal((2, 30_000))
    removed *= 3
    canceller = design_canceller(1000.0, 50.0, 0.3, 4.0)
    result, note = cancel_noise(noise, removed, SPAN, canceller)
    np.testing.assert_array_equal(result, noise)
    assert note == "nothing cancelled, it would have added power"


def test_channels_without_a_reference_stay():
    eeg, *_ = _recording()
    canceller = design_canceller(1000.0, 50.0, 0.005, 4.0, 150.0, 1)
    for weak in (np.zeros_like(eeg), 0.5 * eeg):
        result, note = cancel_noise(eeg, weak, SPAN, canceller)
        np.testing.assert_array_equal(result, eeg)
        assert note == "nothing cancelled, less was removed than is left"
    flat = np.zeros_like(eeg)
    np.testing.assert_array_equal(cancel_noise(flat, flat, SPAN, canceller)[0], flat)


def test_bursts_of_the_reference_are_no_danger():
    eeg, left, removed = _recording()
    removed[15_000:15_020] *= 300
    canceller = design_canceller(1000.0, 50.0, 0.3, 4.0, 150.0, 1)
    result, _ = cancel_noise(eeg + left, removed, SPAN, canceller)
    assert np.isfinite(result).all()
    assert result.std() < 1.1 * (eeg + left).std()


def test_scale_and_offset_of_the_channel_do_not_matter():
    eeg, left, removed = _recording()
    canceller = design_canceller(1000.0, 50.0, 0.005, 4.0, 100.0, 2)
    expected, _ = cancel_noise(eeg + left, removed, SPAN, canceller)
    scaled, _ = cancel_noise(1e3 * (eeg + left), 1e3 * removed, SPAN, canceller)
    _assert_equal(scaled, 1e3 * expected, 1e-9)
    raised, _ = cancel_noise(eeg + left + 1e-3, removed, SPAN, canceller)
    _assert_equal(raised - 1e-3, expected, 1e-6)
