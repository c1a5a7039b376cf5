"""Trigger structure, repair and clock on synthetic trigger lists."""

import numpy as np
import pytest

from mne_facet.signal.timing import (
    Spacing,
    drop_doubles,
    find_spacing,
    fit_clock,
    fit_drifting_clock,
    follow_clock,
    index_triggers,
)

PATTERNS = {
    "volumes": Spacing(10000.4),
    "fast volumes": Spacing(450.3),
    "slices": Spacing(400.617),
    "slices with gap": Spacing(292.1, 21, 10.2),
}


def _triggers(spacing, n_volumes=12, first=1000.0):
    n = n_volumes * spacing.n_shots if spacing.n_shots > 1 else 12 * n_volumes
    exact = first + spacing.position(np.arange(n))
    return exact, np.floor(exact + 0.5)


def _all_times(run, spacing):
    """Times of every trigger of the run, missing ones by the fitted clock."""
    index = np.arange(run.index[0], run.index[-1] + 1)

    def design(number):
        return np.c_[np.divmod(number, spacing.n_shots)] if spacing.gap else number

    clock = fit_clock(design(run.index), run.times)
    columns = design(index).reshape(index.size, -1)
    return clock.coefs[0] + columns @ clock.coefs[1:]


@pytest.mark.parametrize("name", PATTERNS)
def test_structure_is_read_off_the_intervals(name):
    expected = PATTERNS[name]
    found = find_spacing(_triggers(expected)[1])
    assert found.n_shots == expected.n_shots
    assert found.period == pytest.approx(expected.period, abs=0.1)
    assert found.gap == pytest.approx(expected.gap, abs=0.2)


def test_jitter_alone_is_no_volume_gap():
    rng = np.random.default_rng(0)
    times = 400.6 * np.arange(500) + rng.integers(-2, 3, 500)
    assert find_spacing(times).n_shots == 1


@pytest.mark.parametrize("n_missing", [1, 2, 3])
@pytest.mark.parametrize("where", ["inside", "first", "last", "border"])
@pytest.mark.parametrize("name", PATTERNS)
def test_missing_triggers_are_restored_within_a_sample(name, where, n_missing):
    spacing = PATTERNS[name]
    exact, triggers = _triggers(spacing)
    n_shots = max(spacing.n_shots, 12)
    start = {
        "inside": 5 * n_shots + 4,
        "first": 1,
        "last": triggers.size - 1 - n_missing,
        "border": 3 * n_shots - 1,
    }[where]
    kept = np.delete(triggers, np.arange(start, start + n_missing))
    (run,), dropped = index_triggers(kept, find_spacing(kept))
    assert dropped.size == 0
    restored = _all_times(run, spacing)
    np.testing.assert_allclose(restored, exact, atol=1)


@pytest.mark.parametrize("name", PATTERNS)
def test_doubled_and_spurious_triggers_are_dropped(name):
    spacing = PATTERNS[name]
    _exact, triggers = _triggers(spacing)
    extra = np.array([triggers[7] + 20, triggers[15] + 0.4 * spacing.period])
    (run,), dropped = index_triggers(np.sort(np.r_[triggers, extra]), spacing)
    np.testing.assert_array_equal(dropped, np.sort(extra))
    np.testing.assert_array_equal(run.times, triggers)


def test_a_spurious_first_trigger_does_not_take_the_others_along():
    _, triggers = _triggers(PATTERNS["slices with gap"])
    (run,), dropped = index_triggers(
        np.r_[triggers[0] - 137, triggers], PATTERNS["slices with gap"]
    )
    np.testing.assert_array_equal(run.times, triggers)
    assert dropped.size == 1


@pytest.mark.parametrize("name", PATTERNS)
def test_pauses_and_boundaries_separate_runs(name):
    spacing = PATTERNS[name]
    _, triggers = _triggers(spacing)
    later = triggers + triggers[-1] + 10.3 * spacing.volume
    runs, _ = index_triggers(np.r_[triggers, later], spacing)
    assert [run.times.size for run in runs] == [triggers.size] * 2
    assert runs[1].index[0] == 0
    middle = triggers[triggers.size // 2]
    runs, _ = index_triggers(triggers, spacing, breaks=[middle])
    assert [run.times.size for run in runs] == [triggers.size // 2] * 2


def test_clock_of_rounded_triggers_is_precise():
    exact = 123.4 + 10000.4317 * np.arange(300)
    clock = fit_clock(np.arange(300), np.floor(exact + 0.5))
    assert clock.coefs[1] == pytest.approx(10000.4317, abs=1e-3)
    assert np.ptp(clock.times - exact) < 0.15
    assert clock.residual.std() == pytest.approx(0.289, abs=0.03)


@pytest.mark.parametrize("n", [3, 12, 50])
@pytest.mark.parametrize("period", [100.0, 2000.0, 333.3])
def test_clock_of_exact_triggers_is_theirs(n, period):
    times = 17.0 + period * np.arange(n)
    clock = fit_clock(np.arange(n), times)
    assert clock.coefs[1] == pytest.approx(period)
    np.testing.assert_allclose(clock.times, times)


def test_equal_runs_are_no_volumes_of_slices():
    run = 2000.0 * np.arange(20)
    times = np.r_[run, run + 60_000, run + 120_000]
    assert find_spacing(times).n_shots == 1
    runs, _ = index_triggers(times, find_spacing(times))
    assert [part.times.size for part in runs] == [20, 20, 20]


@pytest.mark.parametrize("lost", [0.02, 0.1])
def test_known_slices_are_found_though_triggers_are_lost(lost):
    rng = np.random.default_rng(0)
    _, triggers = _triggers(PATTERNS["slices with gap"], n_volumes=40)
    kept = triggers[rng.random(triggers.size) > lost]
    spacing = find_spacing(kept, n_shots=21)
    assert spacing.n_shots == 21
    assert spacing.gap == pytest.approx(10.2, abs=0.5)


def test_doubled_triggers_count_once():
    times = 2000.0 * np.arange(30)
    for delay in (1, 300):
        doubled = np.sort(np.r_[times, times + delay])
        np.testing.assert_array_equal(drop_doubles(doubled), times)
    np.testing.assert_array_equal(drop_doubles(times), times)


def test_clock_is_robust_against_late_triggers():
    exact = 123.4 + 1000.43 * np.arange(100)
    late = exact.copy()
    late[[10, 40, 70]] += 30
    clock = fit_clock(np.arange(100), late)
    np.testing.assert_allclose(clock.times, exact, atol=0.2)


def test_drifting_clock_is_followed_between_knots():
    index = np.arange(300)
    exact = 1000.4 * index + 2e-4 * np.maximum(0, index - 150) ** 2
    clock = fit_drifting_clock(index, exact, 30)
    assert np.abs(clock.residual).max() < 0.05


def test_onsets_follow_the_clock_unless_there_is_none():
    rng = np.random.default_rng(0)
    exact = 1000.4 * np.arange(60.0)
    measured = exact + 0.01 * rng.standard_normal(60)
    measured[[0, 30]] = np.nan
    onsets = follow_clock(measured, knot_spacing=30)
    assert np.abs(onsets - exact).max() < 0.02
    gated = exact + 20 * rng.standard_normal(60)
    np.testing.assert_array_equal(follow_clock(gated, knot_spacing=30), gated)
