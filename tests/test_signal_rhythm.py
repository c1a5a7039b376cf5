"""The most plausible rhythm through candidates for beats."""

from itertools import combinations

import numpy as np
import pytest

from mne_facet.signal.rhythm import (
    choose_beats,
    is_premature,
    restore_beats,
    track_period,
)

RATE = 200.0


def _bumps(times, heights, duration):
    """Evidence: a bump of 50 ms at each time."""
    clock = np.arange(round(duration * RATE)) / RATE
    bumps = np.exp(-0.5 * ((clock[:, np.newaxis] - times) / 0.02) ** 2)
    return (bumps * heights).max(axis=1)


def _value(evidence, period, chain):
    """What a chain of beats is worth, written down from its definition."""
    ends = np.array([chain[0], evidence.size - 1 - chain[-1]]) / period
    value = evidence[chain].sum() - 0.5 * np.clip(ends - 1, 0, 4).sum()
    for interval in np.diff(chain):
        if interval < 0.3 * RATE:
            return -np.inf
        ratio = interval / period
        missed = max(1, np.floor(ratio + 0.5)) - 1
        rhythm = min(2 * np.log(ratio / (missed + 1)) ** 2, 0.8)
        far = interval > 6 * period + 3 * RATE
        value -= 4.4 if far else rhythm + 0.6 * missed
    return value


@pytest.mark.parametrize("seed", range(8))
def test_beats_are_the_best_of_all_chains(seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.2, 0.6, 12))
    times[6:] += 12.0 * (seed % 2)  # so that some chains have to bridge a gap
    evidence = _bumps(times, rng.uniform(0.2, 1.4, 12), times[-1] + 0.7)
    period = 0.8 * RATE
    peaks = np.rint(times * RATE).astype(int)
    chains = [c for n in range(1, 13) for c in combinations(peaks, n)]
    best = max(_value(evidence, period, np.array(chain)) for chain in chains)
    found = choose_beats(evidence, np.full(evidence.size, period), RATE)
    assert _value(evidence, period, found) == pytest.approx(best, abs=0.01)


def test_no_evidence_no_beats():
    assert choose_beats(np.zeros(1000), np.full(1000, 200.0), RATE).size == 0


@pytest.mark.parametrize("true", [0.4, 0.55, 0.8, 1.2, 2.0])
def test_period_is_neither_halved_nor_doubled(true):
    rng = np.random.default_rng(0)
    times = np.cumsum(true * (1 + 0.03 * rng.normal(size=int(120 / true))))
    period, periodicity = track_period(_bumps(times, 1.0, 120.0), RATE)
    np.testing.assert_allclose(period / RATE, true, rtol=0.1)
    assert periodicity > 0.5


def test_period_follows_the_heart_rate():
    times = np.cumsum(np.linspace(0.6, 1.0, 250))
    period, _ = track_period(_bumps(times, 1.0, times[-1] + 0.5), RATE)
    at = np.interp(times[20:-20], np.arange(period.size) / RATE, period / RATE)
    np.testing.assert_allclose(at, np.linspace(0.6, 1.0, 250)[20:-20], rtol=0.04)


def test_noise_has_no_period():
    noise = np.abs(np.random.default_rng(0).normal(size=20_000))
    assert track_period(noise, RATE)[1] < 0.1
    assert track_period(np.zeros(20_000), RATE)[1] == 0


def test_beats_are_restored_only_where_the_signal_is_lost():
    beats = RATE * np.r_[np.arange(0, 20, 0.8), np.arange(22.4, 40, 0.8)]
    usable = np.ones(8000, bool)
    same, restored = restore_beats(beats, usable, RATE)
    np.testing.assert_array_equal(same, beats)
    assert not restored.any()
    usable[int(19.6 * RATE) : int(21 * RATE)] = False
    more, restored = restore_beats(beats, usable, RATE)
    np.testing.assert_allclose(more[restored] / RATE, [20.0, 20.8], atol=1e-9)
    np.testing.assert_array_equal(more[~restored], beats)


def test_gaps_too_long_to_count_through_stay():
    beats = RATE * np.r_[np.arange(0, 20, 0.8), np.arange(32, 50, 0.8)]
    assert not restore_beats(beats, np.zeros(10_000, bool), RATE)[1].any()


def test_premature_beats():
    beats = np.r_[np.arange(10.0), 9.6, 11 + np.arange(10.0)]
    np.testing.assert_array_equal(np.flatnonzero(is_premature(beats)), [10])
    # breathing and a pause alone are not
    assert not is_premature(np.cumsum(1 + 0.15 * np.sin(np.arange(50.0)))).any()
    assert not is_premature(np.r_[np.arange(10.0), np.arange(11.0, 20)]).any()


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_beats(n):
    beats = 100.0 * np.arange(n)
    np.testing.assert_array_equal(
        restore_beats(beats, np.ones(500, bool), RATE)[0], beats
    )
    assert is_premature(beats).size == n
