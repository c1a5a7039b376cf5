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


# (weight, seconds after the R peak, standard deviation)
_NORMAL = (
    (-0.12, -0.025, 0.008),
    (1.0, 0.0, 0.01),
    (-0.25, 0.027, 0.01),
    (0.12, -0.16, 0.025),
    (0.25, 0.28, 0.05),
)
_ECTOPIC = ((1.0, 0.0, 0.028), (0.25, 0.28, 0.05))
_FLOW = ((1.0, 0.17, 0.05), (-0.7, 0.3, 0.05), (0.3, 0.45, 0.06))


def _beat_times(rng, duration, period, ectopic):
    """R peaks that follow respiration, some too early and followed by a pause."""
    times, early = [rng.uniform(0.3, 1.0) * period], [False]
    while times[-1] < duration:
        change = 0.05 * np.sin(0.5 * np.pi * times[-1]) + 0.02 * rng.normal()
        interval = period * (1 + change)
        if rng.random() < ectopic:
            times += [times[-1] + 0.6 * interval, times[-1] + 2 * interval]
            early += [True, False]
        else:
            times.append(times[-1] + interval)
            early.append(False)
    times, early = np.array(times), np.array(early)
    inside = times < duration - 0.02
    return times[inside], early[inside]


@pytest.fixture
def heart():
    """Factory of an ECG in the scanner, in V, with its R peaks in s and their kind."""

    def make(
        duration=120.0,
        sfreq=250.0,
        *,
        period=0.92,
        times=None,
        sizes=None,
        flow=0.8,
        noise=0.02,
        residue=0.0,
        slice_freq=14.3,
        ectopic=0.0,
        seed=0,
    ):
        rng = np.random.default_rng(seed)
        if times is None:
            times, early = _beat_times(rng, duration, period, ectopic)
        else:
            early = np.zeros(len(times), bool)
        sizes = np.ones(len(times)) if sizes is None else sizes
        clock = np.arange(round(duration * sfreq)) / sfreq
        x = 0.15 * np.sin(0.5 * np.pi * clock)
        for time, is_early, size in zip(times, early, sizes, strict=True):
            near = slice(
                max(0, int((time - 0.5) * sfreq)), max(0, int((time + 0.8) * sfreq))
            )
            lag = clock[near] - time
            parts = (
                (size * (1 + 0.06 * rng.normal()), _ECTOPIC if is_early else _NORMAL),
                (size * flow * (1 + 0.25 * rng.normal()), _FLOW),
            )
            for gain, waves in parts:
                for weight, mean, sd in waves:
                    x[near] += gain * weight * np.exp(-0.5 * ((lag - mean) / sd) ** 2)
        x += noise * rng.normal(size=x.size)
        swell = residue * (1 + 0.5 * np.sin(0.7 * clock))
        for harmonic in range(1, 8):
            phase = 2 * np.pi * harmonic * slice_freq * clock
            x += swell * np.sin(phase) / harmonic * (harmonic * slice_freq < sfreq / 2)
        return 1e-3 * x, times, early

    return make


@pytest.fixture
def compare():
    """Sensitivity, precision and jitter (s) of beats, each used once, within 50 ms."""

    def score(true, found, tolerance=0.05, offset=False):
        true, found = np.asarray(true), np.sort(found)
        if offset:
            nearest = np.abs(found[:, np.newaxis] - true).argmin(axis=1)
            found = found - np.median(found - true[nearest])
        pairs, j = [], 0
        for time in true:
            while j < found.size and found[j] < time - tolerance:
                j += 1
            if j < found.size and found[j] <= time + tolerance:
                pairs.append(found[j] - time)
                j += 1
        hits = len(pairs)
        return hits / true.size, hits / max(1, found.size), np.std(pairs)

    return score
