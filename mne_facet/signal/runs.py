"""Scanner runs: from numbered triggers to checked and completed volumes."""

from typing import NamedTuple

import numpy as np

from .align import gather
from .detect import (
    autocorrelation_at,
    end_of_epoch,
    find_period,
    shot_period,
    similarity,
    typical_epoch,
)
from .timing import clock_drifts, fit_clock, fit_drifting_clock

_MISSING = {2: "second", 3: "third", 4: "fourth"}


class Run(NamedTuple):
    """Volumes of one uninterrupted run, times in samples.

    Attributes
    ----------
    volume : array of int, shape (n_volumes,)
        Number of the volume in the run.
    onsets : array, shape (n_volumes,)
        Onsets by the scanner's clock.
    residual : array, shape (n_volumes,)
        Trigger minus clock, NaN where there was no trigger.
    n_shots : array of int, shape (n_volumes,)
        Slice excitations in the volume.
    slice_period, period : float
        Distance of slices and of volumes.
    n_dropped, n_restored : int
        Triggers that did not fit, and that were missing.
    last_length : float
        How long the artifact lasts in the last volume.
    """

    volume: np.ndarray
    onsets: np.ndarray
    residual: np.ndarray
    n_shots: np.ndarray
    slice_period: float
    period: float
    n_dropped: int
    n_restored: int
    last_length: float


def make_run(triggers, spacing, n_shots, dropped, sfreq):
    """Volumes by the scanner's clock, those without trigger inside the run included.

    Parameters
    ----------
    triggers : TriggerRun
        Numbered triggers.
    spacing : Spacing
        Their pattern.
    n_shots : int
        Slice excitations per volume.
    dropped : array
        Times of triggers that belong to no run.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    run : Run
        The volumes.
    """
    per_volume = spacing.n_shots
    volume, shot = np.divmod(triggers.index, per_volume)
    clock = fit_clock(np.c_[volume, shot] if spacing.gap else volume, triggers.times)
    volumes = np.arange(volume[0], volume[-1] + 1)
    period = clock.coefs[1]
    slice_period = clock.coefs[2] if spacing.gap else period / n_shots
    onsets = clock.coefs[0] + period * volumes
    first = shot == 0
    position = volume[first] - volume[0]
    if clock_drifts(clock.residual):
        knots = max(per_volume, 60 * sfreq / spacing.period)
        clock = fit_drifting_clock(triggers.index, triggers.times, knots)
        onsets = np.interp(volumes * per_volume, triggers.index, clock.times)
    residual = np.full(volumes.size, np.nan)
    residual[position] = clock.residual[first]
    if clock.residual.std() > 0.01 * spacing.period:  # irregular: no clock to follow
        period = spacing.volume
        slice_period = spacing.period if per_volume > 1 else period / n_shots
        starts = triggers.times - slice_period * shot
        onsets = np.interp(volumes, *_medians_by_group(volume, starts))
        residual[position] = 0.0
    shots = np.full(volumes.size, n_shots)
    if per_volume > 1:
        shots[-1] = shot[-1] + 1
    low, high = triggers.times[0] - period, triggers.times[-1] + period
    return Run(
        volumes,
        onsets,
        residual,
        shots,
        slice_period,
        period,
        int(((dropped > low) & (dropped < high)).sum()),
        int(np.ptp(triggers.index) + 1 - triggers.index.size),
        period,
    )


def missing_triggers(triggers, spacing):
    """Times at which triggers are missing within a run.

    Parameters
    ----------
    triggers : TriggerRun
        Numbered triggers.
    spacing : Spacing
        Their pattern.

    Returns
    -------
    times : array
        Where the pattern, stretched between the neighbours, puts them.
    """
    index = np.arange(triggers.index[0], triggers.index[-1])
    missing = np.setdiff1d(index, triggers.index)
    lag = triggers.times - spacing.position(triggers.index)
    return spacing.position(missing) + np.interp(missing, triggers.index, lag)


def _medians_by_group(groups, values):
    names = np.unique(groups)
    return names, np.array([np.median(values[groups == name]) for name in names])


def complete_run(x, run, limits=None, alike=0.9):
    """Check volumes against the signal: leave silent ones out, add untriggered ones.

    Triggers that jitter by more than rounding are believed only where the artifact
    follows them rather than the clock. Where the slices per volume are known but not
    their distance, that is measured.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    run : Run
        One run.
    limits : tuple of float | None
        Samples between which volumes may be added: other runs and the joints of the
        recording lie beyond. None: the data.
    alike : float
        Least correlation of an added volume, relative to the usual one.

    Returns
    -------
    runs : list of Run
        The run, in pieces where volumes without artifact were left out.
    notes : list of tuple (float, str)
        Time in samples and what was done there.
    visible : bool
        Whether the volumes resemble each other; if not, nothing is done.
    """
    typical = typical_epoch(x, run.onsets, int(run.period))
    correlation, ratio = similarity(x, run.onsets, typical)
    usual = np.median(correlation)
    if np.nanstd(run.residual) > 0.6:
        triggered = run.onsets + np.nan_to_num(run.residual)
        other = typical_epoch(x, triggered, int(run.period))
        by_trigger, _ = similarity(x, triggered, other)
        if np.median(by_trigger) > usual:
            run = run._replace(onsets=triggered, residual=0 * run.residual)
            return complete_run(x, run, limits, alike)
    if not usual > 0.5:
        note = "shows no gradient artifact, kept as it is"
        return [run], [(run.onsets[0], note)], False
    n_shots = run.n_shots.max()
    if n_shots > 1 and np.isclose(run.slice_period * n_shots, run.period):
        shots = shot_period(x, run.onsets, run.period, n_shots)
        run = run._replace(slice_period=shots)
    # weak is not silent: the head may have moved far
    silent = (ratio < 0.2 * np.median(ratio)) & (ratio > 0)
    silent &= correlation < 0.5 * usual
    last_length = end_of_epoch(x, run.onsets[-1], typical)
    silent[-1] &= last_length < 0.02 * typical.size or last_length == typical.size
    notes = [(t, "holds no artifact, left out") for t in run.onsets[silent]]
    kept = np.flatnonzero(~silent)
    parts = np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1)
    runs = [select_volumes(run, part) for part in parts if part.size]
    if not runs:
        return runs, sorted(notes), True
    low, high = limits or (0, x.size)
    least = alike * usual
    runs[0] = _extend(x, runs[0], -1, typical, least, low, notes)
    if last_length == typical.size or silent[-1]:
        runs[-1] = _extend(x, runs[-1], 1, typical, least, high, notes)
    else:
        runs[-1] = runs[-1]._replace(last_length=last_length)
        notes.append((run.onsets[-1] + last_length, "is where the scan was stopped"))
    return runs, sorted(notes), True


def doubts(x, run, n_shots, sfreq):
    """What the signal says against the triggers, or the number of slices.

    Slices are alike: the artifact correlates with itself one slice later, and after the
    last slice of a volume something else comes. Only volumes are the same.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    run : Run
        A run with artifact.
    n_shots : int | None
        Slice excitations per volume, if they were given; where the run has one, its
        volumes are taken for slices.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    doubt : str | None
        In words, None if there is nothing.
    """
    start = max(0, int(run.onsets[0]))
    stop = min(x.size, int(run.onsets[-1] + run.period))
    x = x[start : min(stop, start + int(60 * sfreq + 4 * run.period))]
    lag, alike = find_period(x[np.newaxis], 0.02 * sfreq, 0.9 * run.period)
    if not alike > 0.5:
        return None
    ms, repeats = 1e3 / sfreq, run.period / lag
    if n_shots and run.n_shots.max() == 1:  # triggers about to be grouped as slices
        if alike < 0.9:
            return None
        return (
            f"{n_shots} triggers are taken for the slices of a volume, but from one "
            f"to the next the artifact repeats every {ms * lag:.1f} ms. If they are "
            f"volumes, set tr={run.period / sfreq:.3f}; check multiband_factor"
        )
    whole = round(repeats)
    several = whole in _MISSING and whole != n_shots and abs(repeats - whole) < 0.01
    if several and 1 - alike < 1.2 * (1 - autocorrelation_at(x, run.period)):
        return (
            f"the artifact repeats {whole} times from one trigger to the next, as if "
            f"only every {_MISSING[whole]} volume had one. If so, set "
            f"tr={lag / sfreq:.3f}; if there are {whole} slices, n_slices={whole}"
        )
    if n_shots is None:
        return None
    said = f"{n_shots} slice excitations per volume do not fit the artifact: "
    remedy = ". Check n_slices and multiband_factor, or leave them out"
    if autocorrelation_at(x, run.slice_period) < 0.75 * alike:
        return (
            f"{said}parts of it {ms * run.slice_period:.1f} ms apart differ, parts "
            f"{ms * lag:.1f} ms apart are alike, {repeats:.2f} per volume{remedy}"
        )
    slices, rest = _slices_and_rest(x, run.onsets - start, run)
    mean = slices[:-1].mean(axis=0)
    if rest.size > 0.25 * mean.size and _correlation(rest, mean) > 0.5:
        return (
            f"{said}the {ms * rest.size:.1f} ms after the last slice are like the "
            f"slices{remedy}"
        )
    usual = np.median([_correlation(one, mean) for one in slices])
    if _correlation(slices[-1], mean) < 0.5 * usual:
        return f"{said}the last slice is unlike the others{remedy}"
    return None


def _slices_and_rest(x, onsets, run):
    """Slices of the typical volume, and what comes after the last one."""
    typical = typical_epoch(x, onsets, int(run.period))
    length, n_shots = int(run.slice_period), run.n_shots.max()
    starts = np.floor(run.slice_period * np.arange(n_shots + 1) + 0.5).astype(int)
    inside = np.minimum(starts[:-1], typical.size - length)
    return gather(typical, inside, length), typical[starts[-1] :][:length]


def _correlation(one, other):
    size = min(one.size, other.size)
    return np.corrcoef(one[:size], other[:size])[0, 1]


def select_volumes(run, index):
    """Some of the volumes of a run, which keep their numbers."""
    return run._replace(
        volume=run.volume[index],
        onsets=run.onsets[index],
        residual=run.residual[index],
        n_shots=run.n_shots[index],
    )


def _extend(x, run, direction, typical, least, limit, notes):
    """Add volumes before the first or after the last that the signal shows."""
    at_start = direction < 0
    candidate = run.onsets[0 if at_start else -1] + direction * run.period
    # a volume may be cut by the end of the data, but not by another run
    slack = 0.99 * run.period if limit in (0, x.size) else 0.05 * run.period
    while (
        candidate > limit - slack
        if at_start
        else candidate < limit - run.period + slack
    ):
        # its neighbour may be late or early by some samples
        near = candidate + np.array([0, -1, 1, -2, 2])
        correlation, ratio = similarity(x, near, typical)
        best = int(correlation.argmax())
        if correlation[best] < least or not 0.4 < ratio[best] < 2.5:
            break
        candidate = near[best]
        where = 0 if at_start else run.onsets.size
        run = run._replace(
            volume=np.arange(run.onsets.size + 1) + run.volume[0],
            onsets=np.insert(run.onsets, where, candidate),
            residual=np.insert(run.residual, where, np.nan),
            n_shots=np.insert(run.n_shots, where, run.n_shots.max()),
            n_restored=run.n_restored + 1,
        )
        notes.append((candidate, "has no trigger, added"))
        candidate += direction * run.period
    return run


def group_slices(run, n_shots):
    """Volumes of a run whose "volumes" are the slices of a gapless acquisition.

    The first slice of the run starts a volume; the last volume may be incomplete.
    """
    count = np.full(-(-run.onsets.size // n_shots), n_shots)
    count[-1] = run.onsets.size - n_shots * (count.size - 1)
    return run._replace(
        volume=np.arange(count.size),
        onsets=run.onsets[::n_shots],
        residual=run.residual[::n_shots],
        n_shots=count,
        slice_period=run.period,
        period=run.period * n_shots,
        last_length=run.period * (count[-1] - 1) + run.last_length,
    )
