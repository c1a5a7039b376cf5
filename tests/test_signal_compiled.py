"""Loops that are compiled, against NumPy."""

from functools import partial

import numpy as np
import pytest
from scipy import fft

from mne_facet.signal.averaging import moving_weights
from mne_facet.signal.baseline import baseline
from mne_facet.signal.compiled import aligned, compiled
from mne_facet.signal.epochs import EpochGrid, part_ranges
from mne_facet.signal.lowrank import delay
from mne_facet.signal.template import subtract_significant, subtract_templates

pytest.importorskip("numba")


def test_compiled_where_there_is_a_compiler_unless_switched_off(monkeypatch):
    monkeypatch.delenv("MNE_USE_NUMBA", raising=False)
    assert compiled() is not None
    monkeypatch.setenv("MNE_USE_NUMBA", "false")
    assert compiled() is None


@pytest.mark.parametrize("scale", ["robust", None])
@pytest.mark.parametrize("first", [-30.2, 0.3, 500.0])
def test_averages_agree(scale, first, monkeypatch):
    """Epochs cut by the start and the end of the data, bad ones, and a pause."""
    rng = np.random.default_rng(0)
    period = 100.3
    starts = first + period * np.arange(60.0)
    starts[30:] += 500
    stops = starts + period
    joined = np.ones((60, 2), bool)
    joined[[0, 30], 0] = joined[[29, 59], 1] = False
    good = rng.random(60) > 0.1
    grid = EpochGrid(starts, stops, joined, good, starts[1:-1], 5)
    artifact = np.tile(rng.standard_normal(1003), 8)[: int(stops[-1]) - 20]
    x = artifact + rng.standard_normal(artifact.size)
    weights = [partial(moving_weights, window=30)]
    cleaned = []
    for use_numba in ("true", "false"):
        monkeypatch.setenv("MNE_USE_NUMBA", use_numba)
        clean = subtract_templates(x, [grid], weights, scale, width=3)
        cleaned.append(subtract_significant(clean, [grid], weights))
    np.testing.assert_allclose(*cleaned, rtol=0, atol=1e-12)
    assert not np.array_equal(cleaned[0], x)


@pytest.mark.parametrize("use_numba", ["true", "false"])
@pytest.mark.parametrize("length", [100, 540])
def test_delay_turns_phases(length, use_numba, monkeypatch):
    monkeypatch.setenv("MNE_USE_NUMBA", use_numba)
    delays = np.array([0.3, -0.45, 0.0])
    waves = 2 * np.pi * np.outer([5, 11, 17], np.arange(length)) / length
    moved = fft.irfft(delay(fft.rfft(np.sin(waves)), delays, length), length)
    turns = 2 * np.pi * delays * [5, 11, 17] / length
    expected = np.sin(waves - turns[:, np.newaxis])
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 1023, 1024, 5001])
def test_ranges_agree(size, monkeypatch):
    x = np.random.default_rng(size).standard_normal(size)
    found = []
    for use_numba in ("true", "false"):
        monkeypatch.setenv("MNE_USE_NUMBA", use_numba)
        found.append(part_ranges(x))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("n_passes", [1, 3])
@pytest.mark.parametrize("n_grid", [2, 4])
def test_baselines_agree(n_grid, n_passes, monkeypatch):
    rng = np.random.default_rng(n_grid)
    x = rng.standard_normal(5000)
    periods = 7.3 + 100.3 * np.arange(49.0)
    good = rng.random(48) > 0.2
    found = []
    for use_numba in ("true", "false"):
        monkeypatch.setenv("MNE_USE_NUMBA", use_numba)
        found.append(baseline(x, periods, n_grid, good, n_passes))
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 16), (2, 3, 8)])
def test_aligned_rows_start_on_cache_lines(shape):
    array = np.random.default_rng(0).standard_normal(shape)
    copy = aligned(array)
    np.testing.assert_array_equal(copy, array)
    assert copy.flags.c_contiguous
    assert copy.ctypes.data % 64 == 0
