"""Recordings with known truth, made once and copied for each test."""

from functools import cache

import mne
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mne_facet import _base, simulate_raw

mne.set_log_level("WARNING")


@pytest.fixture(autouse=True)
def _parallel_however_small(monkeypatch):
    monkeypatch.setattr(_base, "_WORTHWHILE", 0.0)


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    with threadpool_limits(1, user_api="blas"):
        yield


@cache
def _simulate(options):
    return simulate_raw(**dict(options))


@pytest.fixture
def simulated():
    """Factory of (raw, truth); small and quick unless told otherwise."""

    def make(**options):
        defaults = {"duration": 40.0, "sfreq": 1000.0, "n_eeg": 3, "pulse": 0.0}
        defaults["lowpass"] = (
            100.0  # little above Nyquist: what is aliased cannot shift
        )
        raw, truth = _simulate(tuple(sorted({**defaults, **options}.items())))
        return raw.copy(), truth

    return make


@pytest.fixture
def periodic():
    """Factory of a recording of a strictly periodic artifact between two silences."""

    def make(period=200, n_volumes=40, sfreq=1000.0, first=500, n_channels=2, seed=0):
        rng = np.random.default_rng(seed)
        wave = 1e-3 * rng.standard_normal((n_channels, period))
        data = np.zeros((n_channels, 2 * first + period * n_volumes))
        data[:, first:-first] = np.tile(wave, n_volumes)
        raw = mne.io.RawArray(data, mne.create_info(n_channels, sfreq, "eeg"))
        onsets = (first + period * np.arange(n_volumes)) / sfreq
        raw.set_annotations(mne.Annotations(onsets, 0, "TR"))
        return raw

    return make
