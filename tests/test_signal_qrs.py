"""R peaks of ECGs with known beats: as in the scanner, at its edges, and lost."""

from itertools import groupby

import numpy as np
import pytest

from mne_facet.signal.qrs import (
    PULSE_BAND,
    QRS_BAND,
    find_beats,
    heart_band,
    is_flat,
)


def _find(x, sfreq=250.0, usable=None, **options):
    signals = np.atleast_2d(x)
    if usable is None:
        usable = np.ones(signals.shape[1], bool)
    return find_beats(list(signals), sfreq, QRS_BAND, usable, **options)


@pytest.mark.parametrize(
    ("options", "least", "jitter"),
    [
        ({"flow": 0.0}, 1.0, 3e-4),
        ({"flow": 3.0}, 1.0, 3e-4),
        ({"noise": 0.25}, 0.99, 3e-3),
        ({"ectopic": 0.05}, 0.99, 3e-3),
        ({"period": 0.4}, 1.0, 3e-4),
        ({"period": 2.0}, 1.0, 3e-4),
        ({"residue": 0.3}, 1.0, 3e-4),
        ({"residue": 3.0}, 0.99, 1e-3),
        ({"noise": 0.05, "residue": 1.0, "ectopic": 0.05}, 0.97, 3e-3),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_beat_is_found(heart, compare, options, least, jitter, seed):
    x, times, _ = heart(240.0, seed=seed, **options)
    beats = _find(x, lines=[14.3])
    sensitivity, precision, spread = compare(times, beats.samples / 250)
    assert min(sensitivity, precision) >= least
    assert spread < jitter
    assert beats.periodicity > 0.2


def test_residue_that_hides_the_beats_is_worse_without_its_frequency(heart, compare):
    x, times, _ = heart(residue=1.0)
    assert compare(times, _find(x).samples / 250)[1] < 0.5


@pytest.mark.parametrize("sfreq", [100, 200, 499.7, 512, 1000, 2048, 5000])
def test_same_beats_at_any_rate(heart, sfreq):
    x, times, _ = heart(40.0, sfreq, noise=0.0)
    beats = _find(x, sfreq)
    np.testing.assert_allclose(beats.samples / sfreq, times, atol=1e-3)
    if sfreq > 200:
        error = beats.samples / sfreq - times
        assert error.std() < 0.1e-3


@pytest.mark.parametrize("factor", [1e-6, 1e6, -1.0])
def test_neither_unit_nor_polarity_matters(heart, factor):
    x, _, _ = heart(60.0, ectopic=0.05)
    beats, other = _find(x), _find(factor * x)
    np.testing.assert_allclose(other.samples, beats.samples, atol=1e-6)
    np.testing.assert_allclose(other.quality, beats.quality, atol=1e-9)
    np.testing.assert_array_equal(other.kind, beats.kind)
    np.testing.assert_allclose(_find(x + 5.0).samples, beats.samples, atol=1e-6)


def test_polarity_that_changes_midway(heart, compare):
    x, times, _ = heart()
    x[x.size // 2 :] *= -1
    beats = _find(x)
    assert compare(times, beats.samples / 250)[:2] == (1, 1)


def test_clipped_ecg(heart, compare):
    x, times, _ = heart()
    assert compare(times, _find(np.clip(x, -2e-4, 4e-4)).samples / 250)[:2] == (1, 1)


def test_order_of_leads_does_not_matter_nor_do_flat_ones(heart):
    x, _, _ = heart(60.0)
    leads = np.array([x, np.full(x.size, 0.1), -0.3 * x + heart(60.0, seed=9)[0] / 9])
    beats = _find(leads)
    np.testing.assert_allclose(_find(leads[::-1]).samples, beats.samples, atol=1e-9)
    np.testing.assert_allclose(_find(leads[[0, 2]]).samples, beats.samples, atol=1e-9)


def test_one_lead_stands_in_for_the_other(heart, compare):
    x, times, _ = heart()
    leads = np.array([x, heart(times=times, seed=1)[0]])
    rng = np.random.default_rng(0)
    leads[0, 2500:5000] = leads[0, 2500]
    leads[1, 10_000:11_000] += 5e-3 * rng.normal(size=1000)
    beats = _find(leads)
    assert min(compare(times, beats.samples / 250)[:2]) > 0.98
    assert "restored" not in beats.kind


def test_weak_beats_are_found(heart):
    _, times, _ = heart(300.0)
    weak = np.random.default_rng(1).random(times.size) < 0.02
    x, _, _ = heart(300.0, times=times, sizes=np.where(weak, 0.3, 1.0))
    found = _find(x).samples / 250
    assert found.size == times.size
    assert np.abs(found - times)[weak].max() < 0.03


def test_lost_beats_are_restored_and_said_to_be(heart):
    x, times, _ = heart(300.0)
    lost = np.random.default_rng(1).random(times.size) < 0.02
    for time in times[lost]:
        start, stop = int((time - 0.15) * 250), int((time + 0.15) * 250)
        x[start:stop] = x[start]
    beats = _find(x)
    np.testing.assert_array_equal(beats.kind == "restored", lost)
    np.testing.assert_array_equal(beats.quality == 0, lost)
    assert np.mean(np.abs(beats.samples / 250 - times)[lost] < 0.05) > 0.9


def test_a_pause_of_the_heart_stays_one(heart):
    times = np.r_[np.arange(0.5, 30, 0.9), np.arange(33.2, 60, 0.9)]
    x, _, _ = heart(60.0, times=times)
    np.testing.assert_allclose(_find(x).samples / 250, times, atol=2e-3)


def test_ectopic_beats_are_said_to_be(heart):
    x, times, early = heart(600.0, ectopic=0.05)
    beats = _find(x)
    marked = beats.samples[beats.kind == "ectopic"] / 250
    distance = np.abs(marked[:, np.newaxis] - times[early]).min(axis=1)
    assert (distance < 0.05).all()
    assert marked.size > 0.8 * early.sum()


@pytest.mark.parametrize("edge", [0.01, 0.03, 0.1])
def test_beats_at_the_edges(heart, edge):
    times = np.linspace(edge, 60 - edge, 66)
    x, _, _ = heart(60.0, times=times)
    np.testing.assert_allclose(_find(x).samples / 250, times, atol=0.03)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_beats(heart, n):
    times = 1 + 0.9 * np.arange(n)
    x, _, _ = heart(1.5 + 0.9 * n, times=times)
    np.testing.assert_allclose(_find(x).samples / 250, times, atol=2e-3)


def test_bursts_and_loss(heart, compare):
    x, times, _ = heart(300.0)
    rng = np.random.default_rng(0)
    for start in (10_000, 30_000, 60_000):
        x[start : start + 750] += 5e-3 * rng.normal(size=750)
    x[45_000:46_500] = x[45_000]
    sensitivity, precision, _ = compare(times, _find(x).samples / 250)
    assert min(sensitivity, precision) > 0.95


def test_nothing_where_there_is_nothing():
    for x in (np.zeros(5000), np.ones(5000)):
        beats = _find(x)
        assert beats.samples.size == 0
        assert beats.periodicity == 0
    x = np.random.default_rng(0).normal(size=5000)
    assert _find(x, usable=np.zeros(5000, bool)).samples.size == 0
    assert _find(x).periodicity < 0.2


def test_what_is_not_usable_does_not_count(heart):
    x, _, _ = heart(60.0)
    usable = np.ones(x.size, bool)
    usable[5000:5700] = False
    beats = _find(x, usable=usable)
    x[5000:5700] += 5e-3 * np.random.default_rng(0).normal(size=700)
    other = _find(x, usable=usable)
    for name, value in beats._asdict().items():
        np.testing.assert_array_equal(getattr(other, name), value)
    assert (beats.kind == "restored").sum() in (2, 3)


def test_flat_stretches():
    x = np.r_[np.arange(10), np.full(30, 5), np.arange(10), np.full(9, 7)]
    flat = is_flat(x, 100.0)
    np.testing.assert_array_equal(np.flatnonzero(flat), np.arange(10, 40))


@pytest.mark.parametrize("seed", range(20))
def test_every_flat_stretch_is_found(seed):
    """Equal samples by chance, and stretches of any length."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, 300)
    start, length = rng.integers(0, 300), rng.integers(1, 60)
    x[start : start + length] = 9
    expected = []
    for _, run in groupby(x):
        n_samples = len(list(run))
        expected += [n_samples >= 20] * n_samples
    np.testing.assert_array_equal(is_flat(x, 100.0), expected)


def test_band_keeps_beats_in_place_at_the_lower_rate(heart):
    x, times, _ = heart(30.0, 5000.0, flow=0.0, noise=0.0)
    band, factor = heart_band(x, 5000.0, *QRS_BAND, np.ones(x.size, bool))
    assert factor == 12
    assert band.size == np.ceil(x.size / factor)
    for time in times[1:-1]:
        near = slice(int((time - 0.1) * 5000 / 12), int((time + 0.1) * 5000 / 12))
        peak = near.start + np.argmax(band[near])
        assert abs(peak * 12 / 5000 - time) < 2e-3


def test_harmonics_go_only_if_they_stand_out(heart):
    x, _, _ = heart(60.0, sfreq=400.0)
    usable = np.ones(x.size, bool)
    plain, _ = heart_band(x, 400.0, *QRS_BAND, usable)
    same, _ = heart_band(x, 400.0, *QRS_BAND, usable, lines=[14.3])
    np.testing.assert_allclose(same, plain, atol=1e-3 * plain.std())
    clock = np.arange(x.size) / 400
    line = 1e-3 * np.sin(2 * np.pi * 28.6 * clock)
    left, _ = heart_band(x + line, 400.0, *QRS_BAND, usable, lines=[14.3])
    inner = slice(2000, -2000)
    assert (left - plain)[inner].std() < 0.25 * plain.std()
    assert line.std() > 5 * plain.std()


def test_weak_pulse_waves_by_their_shape(compare):
    rng = np.random.default_rng(0)
    times = 0.5 + np.cumsum(0.9 + 0.04 * rng.normal(size=120))
    clock = np.arange(int(times[-1] * 100) + 100) / 100
    lag = clock[:, np.newaxis] - times
    wave = np.exp(-0.5 * (lag / 0.05) ** 2) - 0.8 * np.exp(
        -0.5 * ((lag - 0.12) / 0.06) ** 2
    )
    signals = np.outer(rng.normal(size=12), wave.sum(axis=1))
    signals += 0.9 * rng.normal(size=signals.shape)
    usable = np.ones(clock.size, bool)

    def score(n_passes):
        beats = find_beats(list(signals), 100.0, PULSE_BAND, usable, n_passes)
        sensitivity, precision, _ = compare(
            times, beats.samples / 100, 0.075, offset=True
        )
        return min(sensitivity, precision)

    assert score(2) > 0.97
    assert score(2) >= score(0)
