"""Epochs of one channel: where they lie, which are fit to learn from, cut, pasted."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.interpolate import BSpline, make_interp_spline

from .align import gather, raised_cosine
from .baseline import baseline
from .compiled import aligned, compiled

# samples in a part of a channel whose range is looked at
_PART = 1024


@dataclass(frozen=True, eq=False)
class EpochGrid:
    """Where the epochs of one kind lie in one scanner run; positions in samples.

    A grid is equal to itself only: what follows from it is kept for the next channel.

    Attributes
    ----------
    starts, stops : array of float, shape (n_epochs,)
        Epoch ``k`` owns the samples from ``starts[k]`` to ``stops[k]``.
    joined : array of bool, shape (n_epochs, 2)
        Whether another epoch ends where this one starts, and the other way round.
    good : array of bool, shape (n_epochs,)
        Epochs that may lend to the templates of others.
    periods : array of float, shape (n_periods + 1,)
        Borders of the artifact's periods, for the baseline.
    fade : int
        Half width of the cross-fade between joined epochs.
    """

    starts: np.ndarray
    stops: np.ndarray
    joined: np.ndarray
    good: np.ndarray
    periods: np.ndarray
    fade: int


class Spline(NamedTuple):
    """Cubic B-splines over the samples of an epoch.

    Attributes
    ----------
    basis : array, shape (4, length)
        The four that are not 0 at each sample.
    borders : array of int, shape (n_intervals + 1,)
        Samples between which these are the same: in interval ``j`` those of the
        coefficients ``j .. j + 3``.
    """

    basis: np.ndarray
    borders: np.ndarray


class Joints(NamedTuple):
    """How the templates of successive epochs meet.

    Attributes
    ----------
    rows : array of int, shape (n_epochs,)
        Sample of the first column of each template.
    borders : array of float, shape (n_epochs, 2)
        First sample of each epoch, and where the next one may start.
    joined : array of bool, shape (n_epochs, 2)
        Whether there is a neighbour to fade over to.
    fade : int
        Half width of the cross-fade.
    """

    rows: np.ndarray
    borders: np.ndarray
    joined: np.ndarray
    fade: int


class Windows(NamedTuple):
    """Epochs of equal length as windows of a signal: most need no copy.

    Attributes
    ----------
    signal : array, shape (n_times,)
        The signal.
    special : array, shape (n_special, length)
        Epochs that are no windows of it.
    starts : array of int, shape (n_epochs,)
        First sample of each epoch; ``-1 - i`` stands for ``special[i]``.
    length : int
        Samples of an epoch.
    """

    signal: np.ndarray
    special: np.ndarray
    starts: np.ndarray
    length: int

    def cut(self, which, part=slice(None)):
        """Some of the epochs, or a part of them, as array."""
        start, stop, _ = part.indices(self.length)
        starts = self.starts[which]
        epochs = gather(self.signal, np.maximum(starts, 0) + start, stop - start)
        epochs[starts < 0] = self.special[-1 - starts[starts < 0], part]
        return epochs


def as_windows(epochs):
    """:class:`Windows` of the rows of an array."""
    n_epochs, length = epochs.shape
    starts = length * np.arange(n_epochs)
    return Windows(epochs.ravel(), np.empty((0, length)), starts, length)


def epoch_windows(x, grid, rows, length, pad):
    """Windows of a channel, and the epochs that :func:`gather_epochs` changes."""
    special, starts = _window_places(grid, pad, length, x.size)
    changed = gather_epochs(x, grid, rows, special, length, pad)
    return Windows(x, changed, starts, length)


@lru_cache(maxsize=8)
def _window_places(grid, pad, length, n_times):
    """Epochs that are no windows of a channel, and the starts of `Windows`."""
    starts = np.floor(grid.starts + 0.5).astype(int) - pad
    inside = (starts >= 0) & (starts + length <= n_times)
    special = np.flatnonzero(~(inside & grid.joined.all(axis=1)))
    starts[special] = -1 - np.arange(special.size)
    return special, starts


def gather_epochs(x, grid, rows, used, length, pad):
    """Epochs with margins; those at the end of a block get their neighbour's margin.

    Beyond the first and last epoch of a block there is no artifact (silence, a
    pause): averaged as they are, they would thin out the templates of others.
    """
    epochs = gather(x, rows[used], length)
    joined, last = grid.joined, len(rows) - 1
    stop = np.floor(grid.stops + 0.5).astype(int) - rows
    for i in np.flatnonzero(~joined[used].all(axis=1)):
        k = used[i]
        if not joined[k, 0] and k < last and joined[k + 1, 0]:
            epochs[i, :pad] = gather(x, rows[k + 1 : k + 2], pad)
        if not joined[k, 1] and k > 0 and joined[k - 1, 1]:
            tail = rows[k - 1 : k] + stop[k]
            epochs[i, stop[k] :] = gather(x, tail, length - stop[k])
    return epochs


def intact_epochs(grid, n_times, clipped):
    """Epochs that lie inside the data, are good and not clipped in this channel."""
    inside = (grid.starts >= 0) & (grid.stops <= n_times)
    first, last = np.searchsorted(clipped, [grid.starts, grid.stops])
    return grid.good & inside & (first == last)


def is_flat(x):
    """Whether all samples of a channel are equal; of most, three will tell."""
    return x[0] == x[x.size // 2] == x[-1] and np.ptp(x) == 0


def part_ranges(x):
    """Lowest and highest values of successive parts of a channel."""
    kernels = compiled()
    if kernels:
        return kernels.ranges(x, _PART)
    starts = np.arange(0, x.size, _PART)
    return np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)


def clipped_samples(x, ranges):
    """Samples that start three equal values at the lowest or highest value of `x`."""
    lows, highs = ranges
    found = [np.empty(0, int)]
    for rail, extremes in ((lows.min(), lows), (highs.max(), highs)):
        for start in np.flatnonzero(extremes == rail) * _PART:
            # two samples more, for runs across the border
            at_rail = np.flatnonzero(x[start : start + _PART + 2] == rail)
            found.append(start + at_rail[:-2][at_rail[2:] - at_rail[:-2] == 2])
    return np.unique(np.concatenate(found))


def bursts(grid, ranges):
    """Epochs with more than twice the usual peak-to-peak amplitude, or none at all."""
    amplitude = np.append(ranges[1] - ranges[0], 0.0)
    borders = _parts_of_epochs(grid, amplitude.size - 1)
    largest = np.maximum.reduceat(amplitude, borders)[::2]
    recorded = largest > 0
    usual = np.median(largest[recorded]) if recorded.any() else 0.0
    return ~recorded | (largest > 2 * usual)


@lru_cache(maxsize=8)
def _parts_of_epochs(grid, n_parts):
    """First part of each epoch, and the one after its last, in turns."""
    first = np.clip(grid.starts // _PART, 0, n_parts - 1).astype(int)
    last = np.clip(grid.stops // _PART + 1, first + 1, n_parts).astype(int)
    return np.c_[first, last].ravel()


def epoch_baseline(x, grid, intact, rows, length, n_passes=1):
    """Baseline of each epoch: coefficients, one row each, of a :class:`Spline`."""
    periods = grid.periods
    good = np.ones(len(periods) - 1, bool)
    first = np.searchsorted(periods, grid.starts[~intact] + 0.5) - 1
    last = np.searchsorted(periods, grid.stops[~intact] - 0.5)
    for start, stop in zip(np.maximum(first, 0), last, strict=True):
        good[start:stop] = False
    # 4 points per period; fewer, but even, for periods of few samples
    n_grid = int(np.clip(np.diff(periods).min() // 8 * 2, 2, 4))
    position, value = baseline(x, periods, n_grid, good, n_passes)
    spacing = np.diff(periods).mean() / n_grid
    n_local = max(4, int(np.ceil((length - 1) / spacing)) + 1)
    local = np.linspace(0, length - 1, n_local)
    slow = np.interp(rows[:, np.newaxis] + local, position, value)
    to_coefs, spline = _interpolation(n_local, length)
    return slow @ to_coefs, spline


@lru_cache(maxsize=4)
def _interpolation(n_points, length):
    """From values at evenly spaced points to coefficients, and the spline of these."""
    points = np.linspace(0, length - 1, n_points)
    interpolant = make_interp_spline(points, np.eye(n_points))
    basis = BSpline.design_matrix(np.arange(float(length)), interpolant.t, 3)
    number = basis.indices[::4]
    borders = np.searchsorted(number, np.arange(n_points - 2))
    # design_matrix gives four entries per row, zeros included
    basis = aligned(basis.data.reshape(length, 4).T)
    return interpolant.c.T.copy(), Spline(basis, borders)


def add_spline(rows, coefs, spline):
    """Add splines to epochs, in place.

    Parameters
    ----------
    rows : array, shape (n_epochs, length)
        The epochs.
    coefs : array, shape (n_epochs, n_coefs)
        Coefficients, one row per epoch.
    spline : Spline
        What they belong to.
    """
    kernels = compiled()
    if kernels:
        kernels.add_spline(rows, coefs, spline)
        return
    for j, (first, last) in enumerate(pairwise(spline.borders)):
        rows[:, first:last] += coefs[:, j : j + 4] @ spline.basis[:, first:last]


def add_waves(rows, coefs, waves):
    """Add ``coefs @ waves`` to epochs, in place."""
    kernels = compiled()
    if kernels:
        kernels.add_waves(rows, coefs, waves)
    elif len(waves):
        rows += coefs @ waves


def paste(clean, templates, gain, grid, block, margin):
    """Subtract templates, cross-faded where epochs join, hard where they do not.

    Parameters
    ----------
    clean : array, shape (n_times,)
        Channel, changed in place.
    templates : array, shape (n_block, length)
        One row per epoch, with at least ``grid.fade`` samples before and after the
        epoch; changed as well.
    gain : array, shape (n_block,)
        Factor of each template.
    grid : EpochGrid
        The epochs.
    block : slice
        Which of them these are.
    margin : int
        Samples of a template before the one nearest to the start of its epoch.
    """
    joints = find_joints(grid, margin)
    kernels = compiled()
    if kernels:
        kernels.paste(clean, templates, gain, joints, block.start)
        return
    templates *= gain[:, np.newaxis]
    borders = joints.borders[block]
    alone = np.flatnonzero(borders[:-1, 1] != borders[1:, 0]) + 1
    for first, stop in pairwise([0, *alone, len(templates)]):
        part = slice(block.start + first, block.start + stop)
        begin, noise = _join(templates[first:stop], joints, part)
        start, end = max(begin, 0), min(begin + noise.size, clean.size)
        clean[start:end] -= noise[start - begin : end - begin]


def paste_shared(clean, averages, group, coefs, waves, grid, block, margin):
    """Subtract ``averages[group] + coefs @ waves``, cross-faded where epochs join.

    Parameters
    ----------
    clean : array, shape (n_times,)
        Channel, changed in place.
    averages : array, shape (n_averages, length)
        Templates before each epoch's share of the waves is added.
    group : array of int, shape (n_block,)
        Which of them an epoch takes.
    coefs, waves : array, shape (n_block, n_waves), (n_waves, length)
        What to add.
    grid, block, margin
        As in :func:`paste`.
    """
    kernels = compiled()
    if kernels:
        joints = find_joints(grid, margin)
        kernels.paste_shared(clean, averages, group, coefs, waves, joints, block.start)
        return
    templates = averages[group]
    add_waves(templates, coefs, waves)
    paste(clean, templates, np.ones(len(templates)), grid, block, margin)


@lru_cache(maxsize=8)
def find_joints(grid, margin):
    """:class:`Joints` of the epochs of a grid."""
    rows = np.floor(grid.starts + 0.5).astype(int) - margin
    borders = np.c_[grid.starts, grid.stops].astype(float)
    # what an epoch joins may belong to another grid: a pause between volumes
    together = np.abs(borders[1:, 0] - borders[:-1, 1]) <= 0.5
    borders[:-1, 1][together] = borders[1:, 0][together]
    # a worker process may have got the grid read-only
    return Joints(rows, borders, grid.joined.copy(), grid.fade)


def _join(templates, joints, part):
    """First sample and values of templates that follow each other.

    Epoch by epoch this would be many short calls, for each of which threads hand over
    the interpreter lock.
    """
    rows, fade, joined = joints.rows[part], joints.fade, joints.joined[part]
    borders = np.r_[joints.borders[part, 0], joints.borders[part.stop - 1, 1]]
    nearest = np.floor(borders + 0.5).astype(int)
    begin = nearest[0] - fade * joined[0, 0]
    end = nearest[-1] + (fade + 1) * joined[-1, 1]
    limits = np.r_[begin, nearest[1:-1], end]
    spans = zip(templates, limits[:-1] - rows, limits[1:] - rows, strict=True)
    noise = np.concatenate([template[first:last] for template, first, last in spans])
    samples = nearest[:, np.newaxis] + np.arange(-fade, fade + 1)
    rise = raised_cosine((samples - borders[:, np.newaxis] + fade) / (2 * fade))
    inner = samples[1:-1]
    row = np.arange(1, len(rows))[:, np.newaxis]
    before = templates[row - 1, inner - rows[row - 1]]
    after = templates[row, inner - rows[row]]
    noise[inner - begin] = before + rise[1:-1] * (after - before)
    if joined[0, 0]:
        noise[samples[0] - begin] *= rise[0]
    if joined[-1, 1]:
        noise[samples[-1] - begin] *= 1 - rise[-1]
    return begin, noise
