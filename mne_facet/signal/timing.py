"""Scanner timing from trigger times alone: structure, repair, clock.

All times are float samples from the first sample of the data.
"""

from typing import NamedTuple

import numpy as np


class Spacing(NamedTuple):
    """Pattern of the intervals between triggers.

    Attributes
    ----------
    period : float
        Usual interval.
    n_shots : int
        Triggers per volume where a longer interval recurs every `n_shots`; else 1.
    gap : float
        How much longer that interval is.
    """

    period: float
    n_shots: int = 1
    gap: float = 0.0

    @property
    def volume(self):
        """Interval between volumes."""
        return self.n_shots * self.period + self.gap

    def position(self, index):
        """Time of trigger `index` after trigger 0."""
        index = np.asarray(index)
        return index // self.n_shots * self.volume + index % self.n_shots * self.period


def find_spacing(times, n_shots=None, volume=None):
    """Usual interval, and the longer one that recurs once per volume if there is.

    Parameters
    ----------
    times : array, shape (n_triggers,)
        Sorted trigger times.
    n_shots : int | None
        Slice excitations per volume, if known.
    volume : float | None
        Volume period in samples, if known to some percent.

    Returns
    -------
    spacing : Spacing
        Triggers are slices where the long intervals form a class of their own
        (more than 3 samples longer) and recur regularly; the absolute duration
        plays no role, so a multiband volume of 0.5 s stays a volume.
    """
    intervals = np.diff(times)
    typical = np.median(intervals)
    near = intervals[np.abs(intervals / typical - 1) < 0.2]
    period = float(near.mean() if np.ptp(near) <= 3 else np.median(near))
    if volume is not None and abs(period / volume - 1) < 0.1:
        return Spacing(period)
    if n_shots is not None and 1 < n_shots < times.size:
        return _known_slices(times, period, n_shots)
    # gaps shorter than a slice, else longer ones: rather pauses unless they recur often
    for low, high, at_least in ((None, 1.9, 2), (1.45, 30, 5)):
        usual = (intervals > 0.5 * typical) & (intervals < high * typical)
        border = _two_means(intervals[usual]) if low is None else low * typical
        spacing = _slice_pattern(intervals, usual, border, at_least)
        if spacing is not None:
            return spacing
    return Spacing(period)


def _known_slices(times, period, n_shots):
    """Gap between volumes of a known number of slices, some triggers lost or not."""
    # lost triggers make the span of a volume longer: the shorter ones are complete
    spans = times[n_shots:] - times[:-n_shots]
    volume = np.percentile(spans, 5)
    intervals = np.diff(times)
    period = float(intervals[np.abs(intervals - period) < 3].mean())
    gap = spans[np.abs(spans - volume) < 3].mean() - n_shots * period
    if not 3 < gap < n_shots * period:
        return Spacing(period)
    return Spacing(period, n_shots, float(gap))


def _slice_pattern(intervals, usual, border, at_least):
    """Pattern of short and long intervals, None if there is no regular one."""
    is_long, is_short = usual & (intervals > border), usual & (intervals <= border)
    if is_long.sum() < at_least or is_short.sum() < 2:
        return None
    recurrence = np.diff(np.flatnonzero(is_long))
    counts = np.bincount(recurrence)
    n_shots = int(counts.argmax())
    short = intervals[is_short].mean()
    long = intervals[is_long]
    gap = (long.mean() if np.ptp(long) <= 3 else np.median(long)) - short
    regular = n_shots > 1 and counts.max() >= 0.8 * recurrence.size
    if not regular or not 3 < gap < 0.5 * n_shots * short:
        return None
    return Spacing(float(short), n_shots, float(gap))


def _two_means(values):
    """Border between two clusters on a line."""
    border = 0.5 * (values.min() + values.max())
    for _ in range(50):
        upper = values > border
        if upper.all() or not upper.any():
            return border
        moved = 0.5 * (values[upper].mean() + values[~upper].mean())
        if moved == border:
            return border
        border = moved
    return border


def drop_doubles(times):
    """Sorted times without those that follow too soon, where that is the rule.

    Parameters
    ----------
    times : array, shape (n_triggers,)
        Sorted trigger times.

    Returns
    -------
    times : array
        Without triggers closer than half the usual interval to the one before, if
        these are more than a fifth; single ones are left to :func:`index_triggers`.
    """
    intervals = np.diff(times)
    close = np.r_[False, intervals < 0.5 * np.percentile(intervals, 75)]
    return times[~close] if close.mean() > 0.2 else times


class TriggerRun(NamedTuple):
    """Triggers of one uninterrupted scanner run.

    Attributes
    ----------
    times : array, shape (n,)
        Their times.
    index : array of int, shape (n,)
        Which trigger of the run each is; a jump means missing ones. For slice
        triggers with a gap, index 0 is the first slice of a volume.
    """

    times: np.ndarray
    index: np.ndarray


def index_triggers(times, spacing, breaks=(), max_missing=4, n_grouped=0):
    """Number the triggers, run by run; what fits no run is left out.

    From each trigger the next one is looked for at a whole number of steps of the
    pattern. Triggers in between that fit none (doubled, spurious) are skipped. If
    none fits within `max_missing` volumes, or a boundary of the recording lies
    between, a new run starts. Where that leaves many pieces, triggers may be late by
    up to half a volume (irregular TR).

    Parameters
    ----------
    times : array, shape (n_triggers,)
        Sorted trigger times.
    spacing : Spacing
        Expected pattern.
    breaks : sequence of float
        Boundaries of concatenated recordings, in samples.
    max_missing : int
        Largest number of consecutive volumes to bridge.
    n_grouped : int
        Triggers per volume, if the pattern does not tell.

    Returns
    -------
    runs : list of TriggerRun
        Runs of at least two triggers.
    dropped : array
        Times that belong to no run.
    """
    n_ahead = (max_missing + 1) * (n_grouped or spacing.n_shots)
    segments = np.split(times, np.searchsorted(times, breaks))
    found = [_find_runs(segment, spacing, n_ahead, late=False) for segment in segments]
    for k, segment in enumerate(segments):
        runs, dropped = found[k]
        # torn into pieces: rather an irregular TR than as many pauses
        n_volumes = segment.size * (max_missing + 1) / n_ahead
        if len(runs) + dropped.size > 2 + 0.1 * n_volumes:
            relaxed = _find_runs(segment, spacing, n_ahead, late=True)
            if 2 * (len(relaxed[0]) + relaxed[1].size) < len(runs) + dropped.size:
                found[k] = relaxed
    runs = [run for part, _ in found for run in part]
    return runs, np.concatenate([dropped for _, dropped in found])


def _find_runs(times, spacing, n_ahead, late):
    runs, dropped = [], []
    while times.size:
        run, skipped, times = _follow(times, spacing, n_ahead, late)
        dropped.extend(skipped)
        if run.times.size > 1:
            runs.append(run)
        else:
            dropped.extend(run.times)
    return runs, np.sort(np.array(dropped, float))


def _follow(times, spacing, n_ahead, late):
    """First run of sorted times; also what was skipped in it, and what comes after."""
    walks = [
        _walk(times, spacing, n_ahead, late, phase, 4 * spacing.n_shots)
        for phase in range(spacing.n_shots)
    ]
    phase = int(np.argmax([_agreement(*walk) for walk in walks]))
    taken, index = _walk(times, spacing, n_ahead, late, phase)
    if len(taken) < 0.5 * (taken[-1] + 1):  # most others disagree with the first
        taken, index = [0], [0]
    rest = taken[-1] + 1
    skipped = np.delete(times[:rest], taken)
    return TriggerRun(times[taken], np.array(index)), skipped, times[rest:]


def _agreement(taken, index):
    """Triggers that fit, less those that do not and those that are missing."""
    return 3 * len(taken) - (taken[-1] + 1) - (index[-1] - index[0] + 1)


def _walk(times, spacing, n_ahead, late, phase, max_steps=None):
    """Triggers that follow each other from the first one on, and their numbers."""
    # expected time from one trigger to each of the next ones, for each phase
    phases = np.arange(spacing.n_shots)[:, np.newaxis]
    expected = spacing.position(phases + np.arange(1, n_ahead + 1))
    expected -= spacing.position(phases)
    taken, index = [0], [phase]
    while taken[-1] + 1 < times.size and (max_steps is None or len(taken) < max_steps):
        found = _next_trigger(times, taken[-1], expected[index[-1] % spacing.n_shots])
        if found is None and late:
            found = _late_volume(times, taken[-1], index[-1], spacing)
        if found is None:
            break
        taken.append(found[0])
        index.append(index[-1] + found[1])
    return taken, index


def _next_trigger(times, last, expected):
    """First trigger at one of the expected times after the last one, and which."""
    tolerance = max(2.0, 0.01 * expected[0])
    for candidate in range(last + 1, times.size):
        interval = times[candidate] - times[last]
        if interval > expected[-1] + tolerance:
            return None
        error = np.abs(expected - interval)
        step = int(error.argmin())
        if error[step] <= tolerance:
            return candidate, step + 1
    return None


def _late_volume(times, last, index, spacing):
    """Next trigger if it starts a volume later than expected (irregular TR)."""
    interval = times[last + 1] - times[last]
    expected = spacing.period + (spacing.gap if spacing.n_shots > 1 else 0.0)
    at_end = (index + 1) % spacing.n_shots == 0
    is_late = at_end and 0 < interval - expected < 0.5 * spacing.volume
    return (last + 1, 1) if is_late else None


class Clock(NamedTuple):
    """Times of a run by the scanner's clock.

    Attributes
    ----------
    coefs : array
        Offset, and time per step of each column of the design.
    times : array, shape (n,)
        Fitted times.
    residual : array, shape (n,)
        Measured minus fitted.
    """

    coefs: np.ndarray
    times: np.ndarray
    residual: np.ndarray


def fit_clock(design, times):
    """Robust linear clock ``t = a + design @ b``, least squares with Huber weights.

    Rounding leaves residuals of 0.29 samples (sd); the error of the fitted period
    falls with the number of triggers to the power of 1.5.

    Parameters
    ----------
    design : array, shape (n,) or (n, n_columns)
        Index of the trigger; or index of volume and of slice.
    times : array, shape (n,)
        Measured times.

    Returns
    -------
    clock : Clock
        The fit.
    """
    columns = np.asarray(design, float).reshape(len(times), -1)
    origin, center = times.mean(), columns.mean(axis=0)
    design = np.c_[np.ones(len(times)), columns - center]
    weight = np.ones(len(times))
    for _ in range(3):
        root = np.sqrt(weight)[:, np.newaxis]
        coefs = np.linalg.lstsq(design * root, (times - origin) * root[:, 0])[0]
        residual = times - origin - design @ coefs
        # not below a millionth of a sample: triggers may follow the clock exactly
        limit = max(1.5 * np.median(np.abs(residual)) / 0.6745, 1e-6)
        weight = limit / np.maximum(np.abs(residual), limit)
    coefs[0] += origin - center @ coefs[1:]
    return Clock(coefs, times - residual, residual)


def clock_drifts(residual, width=50, limit=0.6):
    """Whether the period itself changes: residuals that stay on one side.

    A rounded clock alone keeps every running mean within 0.5 samples.
    """
    if residual.size < width:
        return False
    mean = np.convolve(residual, np.full(width, 1 / width), "valid")
    return bool(np.abs(mean).max() > limit)


def fit_drifting_clock(index, times, knot_spacing):
    """Clock with a continuous, piecewise linear period.

    Parameters
    ----------
    index, times : array, shape (n,)
        Index and measured time of each trigger.
    knot_spacing : float
        Distance of the knots, in units of `index`.

    Returns
    -------
    clock : Clock
        The fit; `coefs` starts with offset and mean step.
    """
    knots = np.arange(index[0] + knot_spacing, index[-1], knot_spacing)
    hinges = np.maximum(0, index[:, np.newaxis] - knots)
    clock = fit_clock(np.c_[index, hinges], times)
    steps = np.polyfit(index, clock.times, 1)
    return Clock(steps[::-1], clock.times, clock.residual)


def follow_clock(measured, knot_spacing, tolerance=0.1):
    """Times of the scanner's clock, where measured onsets follow one.

    Parameters
    ----------
    measured : array, shape (n_epochs,)
        Onsets of consecutive epochs, NaN where unknown.
    knot_spacing : float
        Epochs after which the period may change, if a constant one does not fit.
    tolerance : float
        Largest standard deviation from the clock, in samples.

    Returns
    -------
    onsets : array, shape (n_epochs,)
        The clock's times; the measured ones where no clock fits.
    """
    index = np.arange(measured.size)
    known = ~np.isnan(measured)
    clock = fit_clock(index[known], measured[known])
    onsets = clock.coefs[0] + clock.coefs[1] * index
    if clock.residual.std() > tolerance and known.sum() > 4 * knot_spacing:
        clock = fit_drifting_clock(index[known], measured[known], knot_spacing)
        onsets[known] = clock.times
    if clock.residual.std() > tolerance:
        onsets[known] = measured[known]
    return onsets
