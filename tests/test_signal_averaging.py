"""Which epochs each scheme averages, what that costs, and the fast products.

Numbers in the names refer to the acceptance tests of the specification.
"""

from functools import partial

import numpy as np
import pytest

from mne_facet.signal.averaging import (
    artifact_spectra,
    block_weights,
    exponential_weights,
    farm_weights,
    fastr_weights,
    motion_weights,
    moving_weights,
    slice_weights,
)
from mne_facet.signal.epochs import as_windows
from mne_facet.signal.products import increments, median_product, running_product

N_SHOTS = 10
BY_KERNEL = pytest.mark.parametrize("use_numba", ["true", "false"])


def _schemes(n_epochs, seed=0):
    """Every scheme as a function of good and window, for slices of some volumes."""
    rng = np.random.default_rng(seed)
    volume, shot = np.divmod(np.arange(n_epochs), N_SHOTS)
    band = 5 + rng.standard_normal((n_epochs, 30))
    moved = np.zeros(volume[-1] + 1, bool)
    moved[volume[-1] // 2 + 1 :: 7] = True
    return {
        "moving": moving_weights,
        "slice": partial(slice_weights, shot=shot),
        "fastr slices": partial(fastr_weights, shot=shot),
        "fastr volumes": partial(fastr_weights, shot=np.zeros(n_epochs, int)),
        "allen": partial(block_weights, band=band),
        "allen with itself": partial(block_weights, band=band, leave_one_out=False),
        "farm": partial(farm_weights, band=band),
        "motion": partial(motion_weights, volume=volume, moved=moved, band=band),
        "exponential": exponential_weights,
    }


BY_NAME = pytest.mark.parametrize("name", list(_schemes(20)))


def _columns(weights, row):
    return np.flatnonzero(weights.toarray()[row]).tolist()


@BY_NAME
@pytest.mark.parametrize("n_epochs", [3, 4, 7, 12, 31, 205])
@pytest.mark.parametrize("window", [2, 5, 30])
def test_averages_of_good_epochs_other_than_oneself_11_1(name, n_epochs, window):
    good = np.ones(n_epochs, bool)
    if n_epochs > 20:
        good[[0, 13, 14, 20]] = False
    weights = _schemes(n_epochs)[name](good, window).toarray()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert (weights >= 0).all()
    assert (weights[:, ~good] == 0).all()
    if not name.startswith("fastr") and name != "allen with itself":
        assert (np.diag(weights) == 0).all()


@BY_NAME
@BY_KERNEL
def test_running_sums_equal_the_plain_product(name, use_numba, monkeypatch):
    monkeypatch.setenv("MNE_USE_NUMBA", use_numba)
    rng = np.random.default_rng(0)
    epochs = rng.standard_normal((200, 50))
    good = rng.random(200) > 0.05
    weights = _schemes(200)[name](good, 12)
    steps = increments(weights, [0, 70])
    windows = as_windows(epochs)
    parts = [
        running_product(steps, windows, start, stop)
        for start, stop in ((0, 70), (70, 200))
    ]
    expected = weights.toarray() @ epochs
    np.testing.assert_allclose(np.vstack(parts), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "lag"), [("moving", 1), ("fastr slices", 2), ("slice", N_SHOTS)]
)
def test_cost_of_running_sums_does_not_depend_on_the_window(name, lag):
    good = np.ones(600, bool)
    for window in (10, 20, 30):
        steps = increments(_schemes(600)[name](good, window), [0])
        assert steps.lag == lag
        inner = np.diff(steps.indptr)[300:302]
        assert (inner <= 4).all()


@pytest.mark.parametrize("window", [2, 5, 30])
def test_median_of_the_epochs_of_a_row(window):
    rng = np.random.default_rng(0)
    epochs = rng.standard_normal((60, 20))
    weights = moving_weights(np.ones(60, bool), window)
    templates = median_product(weights[40:50], epochs)
    for k in range(40, 50):
        expected = np.median(epochs[_columns(weights, k)], axis=0)
        np.testing.assert_array_equal(templates[k - 40], expected)


def test_slices_are_averaged_with_the_same_slice_of_other_volumes():
    shot = np.tile(np.arange(12), 10)
    weights = slice_weights(np.ones(120, bool), 4, shot)
    assert _columns(weights, 50) == [26, 38, 62, 74]
    assert _columns(weights, 3) == [15, 27, 39, 51]
    # a scan that was stopped: the place exists in one volume only
    alone = slice_weights(np.ones(121, bool), 4, np.r_[shot, 99])
    assert _columns(alone, 120) == [116, 117, 118, 119]


def test_windows_of_fastr():
    good = np.ones(40, bool)
    slices = fastr_weights(good, 3, np.arange(40) % 5)
    assert [_columns(slices, k) for k in (0, 1, 2, 6)] == [
        [1, 3, 5, 7, 9],
        [2, 4, 6, 8, 10],
        [2, 4, 6, 8, 10],
        [2, 4, 6, 8, 10],
    ]
    assert _columns(slices, 20) == [16, 18, 20, 22, 24]
    assert _columns(slices, 33) == _columns(slices, 39) == [29, 31, 33, 35, 37]
    volumes = fastr_weights(good, 6, np.zeros(40, int))
    assert _columns(volumes, 0) == _columns(volumes, 5) == list(range(1, 8))
    assert _columns(volumes, 6) == [2, 3, 4, 5, 6, 7, 9]  # 8 is never used
    assert _columns(volumes, 20) == list(range(17, 24))
    assert not (volumes.toarray()[:, 8] > 0).any()


def test_blocks_of_alike_epochs():
    rng = np.random.default_rng(0)
    band = 10 + rng.standard_normal((53, 40))
    band[7] *= -1
    weights = block_weights(np.ones(53, bool), 10, band, leave_one_out=False)
    assert _columns(weights, 7) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert _columns(weights, 12) == list(range(10, 20))
    # the last 3 epochs are no block of their own
    assert _columns(weights, 52) == list(range(40, 53))
    left_out = block_weights(np.ones(53, bool), 10, band)
    assert _columns(left_out, 12) == [k for k in range(10, 20) if k != 12]


def test_farm_takes_the_neighbours_with_the_same_artifact():
    rng = np.random.default_rng(0)
    state = rng.integers(0, 2, 200)
    band = rng.standard_normal((2, 30))[state] + 0.1 * rng.standard_normal((200, 30))
    weights = farm_weights(np.ones(200, bool), 12, band).toarray()
    others = np.abs(np.subtract.outer(np.arange(200), np.arange(200)))
    assert ((weights > 0).sum(axis=1) == 12).all()
    assert (others[weights > 0].reshape(200, 12)[25:-25] <= 25).all()
    assert (weights[:, state == 0][state == 1] == 0).all()
    assert (weights[:, state == 1][state == 0] == 0).all()


def test_no_average_reaches_across_a_movement():
    volume = np.repeat(np.arange(40), 3)
    moved = np.arange(40) == 20  # from volume 19 to 20
    band = np.ones((120, 2))
    weights = motion_weights(np.ones(120, bool), 12, volume, moved, band).toarray()
    before, during, after = slice(0, 60), slice(60, 63), slice(63, 120)
    assert (weights[before, after] == 0).all()
    assert (weights[after, before] == 0).all()
    # the head was in its new place from volume 20 on, but still moving
    assert (weights[:, during] == 0).all()
    assert (weights[during, before] == 0).all()
    np.testing.assert_array_equal(np.flatnonzero(weights[63]), range(64, 76))
    np.testing.assert_array_equal(np.flatnonzero(weights[57]), [*range(47, 57), 58, 59])


def test_without_movement_the_average_is_the_moving_one():
    good, still = np.ones(50, bool), np.zeros(50, bool)
    weights = motion_weights(good, 12, np.arange(50), still, np.ones((50, 2)))
    expected = moving_weights(good, 12)
    np.testing.assert_array_equal(weights.toarray(), expected.toarray())


def test_between_two_movements_the_most_similar_epochs_count():
    moved = np.isin(np.arange(60), [30, 33])  # leaves 31 and 32
    state = np.zeros(60, int)
    state[30:33] = state[40:44] = 1
    band = np.eye(2)[state]
    weights = motion_weights(np.ones(60, bool), 20, np.arange(60), moved, band)
    assert _columns(weights, 31) == [32, 40, 41, 42, 43]
    assert _columns(weights, 35) == [34, *range(36, 55)]


@pytest.mark.parametrize("window", [2, 10, 30])
def test_exponential_weights(window):
    weights = exponential_weights(np.ones(1001, bool), window).toarray()[500]
    assert (weights**2).sum() == pytest.approx(1 / window, rel=0.03)
    if window > 2:
        rho = (window - 2) / (window + 2)
        assert weights[503] / weights[502] == pytest.approx(rho)
    assert weights[498] == pytest.approx(weights[502])


@BY_NAME
def test_noise_of_the_template_11_6(name):
    n_epochs, window = 600, 20
    weights = _schemes(n_epochs)[name](np.ones(n_epochs, bool), window)
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((n_epochs, 400))
    left = (noise - weights @ noise).var()
    own = weights.diagonal()
    cost = 1 - 2 * own.mean() + weights.power(2).sum() / n_epochs
    assert left == pytest.approx(cost, rel=0.01)
    if not own.any():
        assert left > 1


def test_artifact_band_knows_the_artifact_and_not_the_eeg():
    period, n_epochs = 80.3, 100
    times = np.arange(int(n_epochs * period) + 200)
    starts = 50.2 + period * np.arange(n_epochs)
    phase = 2 * np.pi * (times - starts[0]) / period
    artifact = 1e-3 * sum(np.cos(k * phase + k**2) for k in range(1, 20))
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.standard_normal(times.size))
    slow = 20e-6 * np.convolve(slow - slow.mean(), np.hanning(50), "same") / slow.std()
    expected = artifact_spectra([artifact], starts, 80, 0.1, 0.25)
    found = artifact_spectra([artifact + slow], starts, 80, 0.1, 0.25)
    assert np.ptp(expected, axis=0).max() < 0.05 * np.abs(expected).max()
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    loud = artifact_spectra([1e3 * artifact], starts, 80, 0.1, 0.25)
    np.testing.assert_allclose(loud, expected, atol=1e-12)
