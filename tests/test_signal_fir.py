"""Convolution by overlapping transforms is a convolution."""

import numpy as np
import pytest

from mne_facet.signal.fir import convolve, quickest


@pytest.mark.parametrize("n_taps", [1, 2, 33, 901, 4001])
@pytest.mark.parametrize("n_more", [0, 1, 700, 4095, 60_000])
def test_equals_the_sum(n_taps, n_more):
    rng = np.random.default_rng(n_taps)
    x, taps = rng.standard_normal(n_taps + n_more), rng.standard_normal(n_taps)
    expected = np.convolve(x, taps, "valid")
    atol = 1e-13 * np.sqrt(n_taps)
    np.testing.assert_allclose(convolve(x, taps), expected, rtol=0, atol=100 * atol)
    out = np.empty(n_more + 1)
    assert convolve(x, taps, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=0, atol=100 * atol)


def test_quickest_length():
    assert quickest(range(998, 1003)) == 1000
    assert quickest(range(2065, 2088, 2)) == 2079  # 3^3 7 11
    assert quickest(range(7, 8)) == 7


def test_precision_stays():
    x = np.ones(10_000, np.float32)
    y = convolve(x, np.full(101, 1 / 101))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, 1, rtol=1e-5)
