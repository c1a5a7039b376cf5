"""Regression on reference signals: what it removes, follows and leaves."""

import numpy as np
import pytest

from mne_facet.signal.pulse import highpass
from mne_facet.signal.regression import prepare_references, subtract_references

SFREQ = 200.0
N_TIMES = 24_000


def _noise(rng, n_signals, low=2.0, high=20.0, n_times=N_TIMES):
    """Noise of unit power in a band."""
    spectrum = np.fft.rfft(rng.standard_normal((n_signals, n_times)))
    frequencies = np.fft.rfftfreq(n_times, 1 / SFREQ)
    spectrum[:, (frequencies < low) | (frequencies > high)] = 0
    signals = np.fft.irfft(spectrum, n_times)
    return signals / signals.std(axis=1, keepdims=True)


@pytest.fixture
def references():
    """Four signals."""
    return _noise(np.random.default_rng(0), 4)


def _clean(x, signals, window=30.0, max_lag=0.02, **options):
    prepared = prepare_references(signals, SFREQ, 0.4, window, max_lag, **options)
    return subtract_references(x, SFREQ, 0.4, prepared)


def test_delayed_mixture_goes_from_the_first_to_the_last_sample(references):
    delays = [-3, 0, 2, 4]
    weights = [1.0, -2.0, 0.5, 3.0]
    x = sum(
        w * np.roll(signal, d)
        for w, d, signal in zip(weights, delays, references, strict=True)
    )
    clean, explained = _clean(x, references)
    assert explained > 0.999
    left, before = (highpass(y, SFREQ, 0.4) for y in (clean, x))
    for part in (slice(0, 1000), slice(1000, -1000), slice(-1000, None)):
        assert left[part].std() < 0.05 * before[part].std()


def test_eeg_and_offset_stay(references):
    eeg = 5 * _noise(np.random.default_rng(1), 1)[0] + 1000
    clean, _ = _clean(eeg + 10 * references[0], references)
    error = clean - eeg
    assert error.mean() == pytest.approx(0, abs=0.1)
    assert error.std() < 0.12 * eeg.std()
    kept = np.cov(clean, eeg)[0, 1] / eeg.var()
    assert kept == pytest.approx(1, abs=0.02)


def test_what_the_references_do_not_predict_stays_bit_for_bit(references):
    channels = _noise(np.random.default_rng(2), 20)
    results = [_clean(x, references) for x in channels]
    left = [explained <= 0 for _, explained in results]
    assert np.mean(left) > 0.8
    for x, (clean, explained) in zip(channels, results, strict=True):
        if explained <= 0:
            np.testing.assert_array_equal(clean, x)
        else:
            assert (clean - x).std() < 0.2 * x.std()


def test_loss_is_the_share_of_unrelated_eeg(references):
    prepared = prepare_references(references, SFREQ, 0.4, 10.0, 0.02)
    eeg = _noise(np.random.default_rng(3), 10, 0.0, 45.0)
    # enough of the references to be corrected at all
    mixed = eeg + references[0]
    errors = [subtract_references(x, SFREQ, 0.4, prepared)[0] for x in mixed] - eeg
    loss = errors.var() / eeg.var()
    assert prepared.loss == pytest.approx(loss, rel=0.3)
    longer = prepare_references(references, SFREQ, 0.4, 60.0, 0.02)
    fewer = prepare_references(references, SFREQ, 0.4, 10.0, 0.0)
    assert max(longer.loss, fewer.loss) < prepared.loss


def test_slow_changes_are_followed(references):
    turn = np.linspace(0, np.pi, N_TIMES)
    x = np.cos(turn) * references[0] + np.sin(turn) * references[1]
    left = [_clean(x, references, window)[0].std() for window in (10, 30, 1000)]
    assert left == sorted(left)
    assert left[0] < 0.75 * left[2]


def test_a_relation_that_stays_is_learnt_from_the_whole_recording(references):
    rng = np.random.default_rng(8)
    eeg = _noise(rng, 1)[0]
    turn = np.linspace(0, np.pi / 2, N_TIMES)
    parts = references[0], np.cos(turn) * references[0] + np.sin(turn) * references[1]
    errors = [(_clean(eeg + x, references)[0] - eeg).std() for x in parts]
    # 36 signals in 120 s of 18 Hz: 0.8 % of the EEG by chance
    assert errors[0] < 0.1
    assert errors[0] < 0.7 * errors[1] < 0.7 * 0.35


def test_units_order_and_copies_of_the_references_do_not_matter(references):
    rng = np.random.default_rng(4)
    x = references[0] - references[2] + _noise(rng, 1)[0]
    expected, _ = _clean(x, references)
    mixed = rng.standard_normal((4, 4)) @ references
    silent = np.zeros((1, N_TIMES))
    for others in (
        1e-6 * references[::-1],
        references + 1e3,
        np.vstack([references, references[:2], silent]),
        mixed,
    ):
        np.testing.assert_allclose(_clean(x, others)[0], expected, atol=2e-3)
    np.testing.assert_allclose(
        1e6 * _clean(1e-6 * x, references)[0], expected, atol=1e-9
    )


def test_components_are_limited(references):
    rng = np.random.default_rng(7)
    loops = rng.standard_normal((6, 2)) @ references[:2]
    loops += 0.01 * rng.standard_normal(loops.shape)
    x = references[0] - references[1]
    everything = prepare_references(loops, SFREQ, 0.4, 30.0, 0.02)
    few = prepare_references(loops, SFREQ, 0.4, 30.0, 0.02, n_components=2)
    assert (len(everything.components), len(few.components)) == (6, 2)
    assert few.loss < 0.5 * everything.loss
    clean, _ = subtract_references(x, SFREQ, 0.4, few)
    assert clean.std() < 0.05 * x.std()


def test_unused_samples_teach_nothing_but_are_corrected(references):
    x = references[0] + _noise(np.random.default_rng(5), 1)[0]
    used = np.ones(N_TIMES, bool)
    used[6000:6400] = False
    burst = x.copy()
    burst[6000:6400] += 500
    # no high-pass, which would spread the burst
    prepared = prepare_references(references, SFREQ, None, 30.0, 0.02, used=used)
    clean, other = (
        subtract_references(y - y[used].mean(), SFREQ, None, prepared)[0]
        for y in (x, burst)
    )
    np.testing.assert_allclose((other - clean)[~used], 500, rtol=0.01)
    assert (clean - x)[~used].std() > 0.5 * references[0].std()


def test_short_recording_has_one_node():
    rng = np.random.default_rng(6)
    signals = _noise(rng, 2, n_times=700)
    x = signals[0] + 0.1 * rng.standard_normal(700)
    prepared = prepare_references(signals, SFREQ, 0.4, 30.0, 0.02)
    assert len(prepared.grams) == 1
    assert prepared.loss > 0.03
    clean, explained = subtract_references(x, SFREQ, 0.4, prepared)
    assert explained == 1
    assert clean.std() < 0.3 * x.std()
