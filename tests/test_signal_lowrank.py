"""Time courses found in noise, and templates made of them: known truth, identities."""

import numpy as np
import pytest

from mne_facet.signal.epochs import EpochGrid
from mne_facet.signal.lowrank import (
    Courses,
    band_coefs,
    constant_course,
    find_courses,
    is_clipped,
    subtract_low_rank,
    windows,
)

BAND = 75 / 1000, 240 / 1000


def _grid(starts, period, fade=4, good=None):
    stops = np.r_[starts[1:], starts[-1] + period]
    joined = np.ones((len(starts), 2), bool)
    joined[0, 0] = joined[-1, 1] = False
    good = np.ones(len(starts), bool) if good is None else good
    return EpochGrid(starts, stops, joined, good, np.r_[starts, stops[-1]], fade)


def _artifact(period, n_epochs, amplitudes, seed=0, first=500, top=0.35):
    """Sum of band-limited waveforms, epoch k of each times amplitudes[k]."""
    rng = np.random.default_rng(seed)
    n_times = 2 * first + int(np.ceil(period * n_epochs))
    position = (np.arange(n_times) - first) / period
    epoch = np.clip(np.floor(position).astype(int), 0, n_epochs - 1)
    inside = (position >= 0) & (position < n_epochs)
    order = np.arange(3, int(top * period))  # no mean, whatever the edge
    x = np.zeros(n_times)
    for amplitude in amplitudes.T:
        weight = rng.standard_normal(order.size) + 1j * rng.standard_normal(order.size)
        phases = np.exp(2j * np.pi * np.outer(order, position))
        # nothing at the borders of the epochs, where the amplitude steps
        edge = np.sin(np.pi * (position % 1)) ** 4
        x += amplitude[epoch] * edge * (weight @ phases).real
    return np.where(inside, 1e-3 * x / np.abs(x).max(), 0)


def _courses(signals, grid, n_components="auto"):
    span = slice(0, len(grid.starts))
    coefs = np.hstack([band_coefs(x, grid, BAND, span) for x in signals])
    values, trust, _ = find_courses(coefs, grid.good, n_components)
    return Courses(0, values, trust, np.ones(len(trust)))


def _span(values):
    q = np.linalg.qr(values)[0]
    return q @ q.T


def _mixture(n_epochs=400, n_coefs=80, n_components=3, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    courses = rng.standard_normal((n_epochs, n_components))
    patterns = rng.standard_normal((n_components, n_coefs))
    coefs = 50 * rng.standard_normal(n_coefs) + courses @ patterns
    return coefs + noise * rng.standard_normal((n_epochs, n_coefs)), courses


@pytest.mark.parametrize("n_epochs", [3, 80, 100, 137, 138, 1000])
def test_shares_of_windows_sum_to_1(n_epochs):
    total = np.zeros(n_epochs)
    found = windows(n_epochs, 100)
    for span, share in found:
        assert (share >= 0).all()
        total[span] += share
    np.testing.assert_allclose(total, 1, atol=1e-12)
    assert (len(found) == 1) == (n_epochs < 138)


def test_as_many_components_as_there_are():
    coefs, courses = _mixture()
    values, trust, evidence = find_courses(coefs, np.ones(400, bool))
    assert values.shape == (400, 4)
    assert evidence.startswith("3 components")
    assert np.ptp(values[:, 0]) == 0
    weighted = trust[:, np.newaxis] * values
    np.testing.assert_allclose(weighted.T @ weighted, np.eye(4), atol=1e-9)
    left = courses - courses.mean(axis=0)
    left -= _span(values) @ left
    assert (left.std(axis=0) < 0.2).all()


@pytest.mark.parametrize("n_components", [0, 2, 7])
def test_as_many_components_as_asked_for(n_components):
    coefs, _ = _mixture()
    values, _, _ = find_courses(coefs, np.ones(400, bool), n_components)
    assert values.shape == (400, n_components + 1)


def test_more_columns_than_epochs():
    coefs, courses = _mixture(n_epochs=60, n_coefs=500)
    values, _, _ = find_courses(coefs, np.ones(60, bool))
    assert values.shape == (60, 4)
    left = courses - courses.mean(axis=0)
    left -= _span(values) @ left
    assert (left.std(axis=0) < 0.1).all()


@pytest.mark.parametrize("what", ["noise", "differences", "nothing"])
def test_no_courses_without_an_artifact(what):
    coefs, _ = _mixture()
    coefs -= coefs.mean(axis=0)
    if what == "noise":
        coefs = np.random.default_rng(1).standard_normal(coefs.shape)
    elif what == "nothing":
        coefs[:] = 0
    values, trust, _ = find_courses(coefs, np.ones(400, bool))
    assert values is None
    assert not trust.any()


def test_order_scale_and_offset_of_columns_do_not_matter():
    coefs, _ = _mixture()
    good = np.ones(400, bool)
    expected = _span(find_courses(coefs, good)[0])
    pairs = np.random.default_rng(1).permutation(40)
    order = np.c_[2 * pairs, 2 * pairs + 1].ravel()
    scale = np.repeat(np.where(np.arange(40) == 3, 1e3, 1), 2)
    for other in (coefs[:, order], coefs * scale, 1e-6 * coefs):
        np.testing.assert_allclose(
            _span(find_courses(other, good)[0]), expected, atol=1e-6
        )


def test_noisy_epochs_count_less_and_bad_ones_not_at_all():
    coefs, courses = _mixture()
    good = np.ones(400, bool)
    good[100:120] = False
    coefs[100:120] += 1e3
    coefs[200:220] += 30 * np.random.default_rng(1).standard_normal((20, 80))
    values, trust, _ = find_courses(coefs, good)
    assert (trust[~good] == 0).all()
    assert (trust[200:220] < 0.3).all()
    assert np.median(trust) > 0.95
    rest = trust > 0.5
    left = courses[rest] - courses[rest].mean(axis=0)
    left -= _span(values[rest]) @ left
    assert (left.std(axis=0) < 0.2).all()


@pytest.mark.parametrize("period", [100, 83.37])
def test_artifact_that_changes_is_removed_entirely(period):
    rng = np.random.default_rng(0)
    n_epochs = 200
    amplitudes = np.c_[
        np.ones(n_epochs),
        0.1 * np.cumsum(rng.standard_normal(n_epochs)),
        np.arange(n_epochs) % 10 == 0,
    ]
    x = _artifact(period, n_epochs, amplitudes)
    grid = _grid(500 + period * np.arange(n_epochs), period)
    noise = 1e-9 * rng.standard_normal(x.size)
    courses = _courses([x + noise], grid)
    clean = subtract_low_rank(x, [(grid, [courses])], BAND)
    assert clean.std() < 1e-2 * x.std()
    outside = np.r_[:490, -490:0]
    np.testing.assert_array_equal(clean[outside], x[outside])


def test_strictly_periodic_artifact_and_its_ends():
    period, n_epochs = 83.37, 50
    x = _artifact(period, n_epochs, np.ones((n_epochs, 1)))
    grid = _grid(500 + period * np.arange(n_epochs), period)
    clean = subtract_low_rank(x, [(grid, [_courses([x], grid)])], BAND)
    assert np.abs(clean).max() < 5e-4 * np.abs(x).max()


@pytest.mark.parametrize("n_epochs", [3, 5, 10, 40, 200])
def test_eeg_without_artifact_is_hardly_touched(n_epochs):
    rng = np.random.default_rng(0)
    period = 100
    x = rng.standard_normal(1000 + period * n_epochs)
    grid = _grid(500.0 + period * np.arange(n_epochs), period)
    values, trust = constant_course(grid.good)
    courses = Courses(0, values, trust, np.ones(n_epochs))
    clean = subtract_low_rank(x, [(grid, [courses])], BAND)
    scan = slice(500, 500 + period * n_epochs)
    lost = 1 - (clean[scan] @ x[scan]) / (x[scan] @ x[scan])
    # a mean would take 1 / n_epochs
    assert 0 <= lost < 0.3 / n_epochs


def test_windows_agree_where_the_artifact_is_the_same():
    period, n_epochs = 100, 400
    x = _artifact(period, n_epochs, np.ones((n_epochs, 1)))
    x += 1e-6 * np.random.default_rng(0).standard_normal(x.size)
    grid = _grid(500.0 + period * np.arange(n_epochs), period)
    parts = []
    for span, share in windows(n_epochs, 100):
        coefs = band_coefs(x, grid, BAND, span)
        values, trust, _ = find_courses(coefs, grid.good[span])
        parts.append(Courses(span.start, values, trust, share))
    assert len(parts) == 5
    clean = subtract_low_rank(x, [(grid, parts)], BAND)
    assert clean[500:-500].std() < 1.1e-6
    # without one window its epochs keep the share of the artifact it would have taken
    clean = subtract_low_rank(x, [(grid, parts[1:])], BAND)
    np.testing.assert_array_equal(clean[: 500 + 70 * period], x[: 500 + 70 * period])


def test_clipped_epochs_lend_nothing_and_are_corrected():
    rng = np.random.default_rng(0)
    period, n_epochs = 100, 200
    amplitudes = np.c_[np.ones(n_epochs), np.arange(n_epochs) % 10 == 0]
    x = _artifact(period, n_epochs, amplitudes)
    x += 1e-6 * rng.standard_normal(x.size)
    grid = _grid(500.0 + period * np.arange(n_epochs), period)
    courses = _courses([x], grid)
    expected = subtract_low_rank(x, [(grid, [courses])], BAND)
    clipped = x.copy()
    own = slice(500 + 55 * period, 500 + 56 * period)
    clipped[own.start + 40 : own.start + 50] = 1.5 * np.abs(x).max()
    assert is_clipped(clipped)
    assert not is_clipped(x)
    clean = subtract_low_rank(clipped, [(grid, [courses])], BAND)
    np.testing.assert_allclose(clean - clipped, expected - x, atol=3e-6)
    # a rail that cuts all epochs of one kind
    low = np.minimum(x, 0.9 * x.max())
    clean = subtract_low_rank(low, [(grid, [courses])], BAND)
    assert np.isfinite(clean).all()
    assert clean[own].std() < 3e-6


def test_flat_channels_stay_as_they_are():
    x = np.full(6000, 3e-6)
    grid = _grid(500.0 + 100 * np.arange(50), 100)
    values, trust = constant_course(grid.good)
    courses = Courses(0, values, trust, np.ones(50))
    np.testing.assert_array_equal(subtract_low_rank(x, [(grid, [courses])], BAND), x)
    coefs = band_coefs(x, grid, BAND, slice(0, 50))
    assert find_courses(coefs, grid.good)[0] is None
