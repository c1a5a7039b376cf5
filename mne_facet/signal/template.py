"""Average artifact subtraction as one averaging matrix.

With ``X`` (epochs x times) the epochs of one channel, cut at integer samples, the
templates are

    ``T = W X  -  (W B) H  +  (C - W C) D``

``W`` (epochs x epochs, sparse, rows sum to 1) says which epochs are averaged.
``B H`` is the slow baseline of each epoch, so that slow EEG is neither removed nor
injected. ``C`` holds the Taylor coefficients of what is left of each onset after
rounding (see :mod:`mne_facet.signal.align`) and ``D`` the derivatives of the mean
artifact: the average of epochs is brought to the sub-sample position of the epoch
it is subtracted from. Because the three operations are linear they are applied to
the small matrices ``B`` and ``C``, never to the data. Only medians, which are not
linear, need the epochs without baseline and fraction, ``X - B H - C D``.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d

from .align import (
    MARGIN,
    deblurred_spectrum,
    derivatives,
    gather,
    raised_cosine,
    shift_powers,
)
from .averaging import increments, median_product, running_product
from .baseline import baseline

# epochs after which the derivatives of the artifact are taken anew
_SECTION = 96
# values in a block of epochs: 3 MB stay in cache, however long the recording
_BLOCK = 350_000
# neighbouring harmonics whose powers are averaged
_HARMONICS = 9
# samples in a part of a channel whose range is looked at
_PART = 1024


class EpochGrid(NamedTuple):
    """Where the epochs of one kind lie in one scanner run; positions in samples.

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


def subtract_templates(x, grids, weights, scale="robust", average="mean", width=1):
    """Subtract weighted averages of artifact epochs from one channel.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel, in volts. Not changed.
    grids : list of EpochGrid
        The epochs, one grid per scanner run and kind of epoch.
    weights : list of callable
        One per grid: ``weights(good)`` returns its averaging matrix.
    scale : "robust" | "significant" | None
        Factor of each template. ``"robust"``: amplitude by least squares, held near
        the median, 1 where the artifact is weak. ``"significant"``: one per harmonic,
        0 where it is no more than the noise of averaging. None: always 1.
    average : "mean" | "median"
        Mean with the weights, or median of the epochs whose weight is not 0.
    width : int
        The amplitude is taken from means over this many samples, about 2 ms.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without its artifact; samples outside the grids are identical.
    """
    clean = x.copy()
    ranges = _ranges(x)
    if ranges[0].min() == ranges[1].max():  # flat
        return clean
    clipped = _clipped_samples(x, ranges)
    for grid, scheme in zip(grids, weights, strict=True):
        intact = _intact(grid, x.size, clipped) & ~_bursts(grid, ranges)
        _subtract_grid(clean, x, grid, intact, scheme, scale, average, width)
    return clean


def _subtract_grid(clean, x, grid, intact, weights, scale, average, width):
    pad = grid.fade + MARGIN
    rows = np.floor(grid.starts + 0.5).astype(int) - pad
    fraction = grid.starts - pad - rows
    widths = grid.stops - grid.starts
    length = int(np.ceil(widths.max())) + 1 + 2 * pad
    body = slice(pad, pad + round(np.median(widths)))
    good = _lenders(grid, intact)
    n_blocks = max(len(rows) * length // _BLOCK, len(rows) // 256)
    n_blocks = max(1, min(n_blocks, len(rows) // 16))
    borders = np.linspace(0, len(rows), n_blocks + 1).astype(int)
    matrix, *steps = _averaging(weights, good.tobytes(), tuple(borders[:-1]))
    slow, spread = _epoch_baseline(x, grid, intact, rows, length)
    power = shift_powers(fraction)[:, 1:]
    own = np.hstack([np.zeros_like(slow), power])
    each = np.hstack([-slow, -power])
    total = own + matrix @ each
    moved = np.abs(total[:, slow.shape[1] :]).max() > 1e-9
    section = -_SECTION
    for start, stop in pairwise(borders):
        block = slice(start, stop)
        sources = matrix.indices[matrix.indptr[start] : matrix.indptr[stop]]
        first = min(start, sources.min())
        used = np.arange(first, max(stop, sources.max() + 1))
        epochs = _gather_epochs(x, grid, rows, used, length, pad)
        if start - section >= _SECTION:
            section = start
            basis = _basis(spread, epochs, good[used], fraction[used], moved)
        if average == "median":
            aligned = epochs + each[used, : len(basis)] @ basis
            templates = median_product(matrix, aligned, start, stop, first)
            templates += own[block, : len(basis)] @ basis
        else:
            templates = running_product(*steps, epochs, start, stop, first)
            templates += total[block, : len(basis)] @ basis
        gain = np.ones(stop - start)
        mine = epochs[start - first : stop - first, body]
        if scale == "robust" and good[block].any():
            gain = _gains(mine, templates[:, body], good[block], width)
        elif scale == "significant" and good[block].any():
            share = matrix[block].power(2).sum(axis=1).mean()
            mine = mine - slow[block] @ spread[:, body]
            noise = _averaged_noise(templates[:, body], mine, good[block], share)
            templates[:, :pad] -= noise[:, noise.shape[1] - pad :]
            templates[:, body] -= noise
            templates[:, body.stop :] -= noise[:, : length - body.stop]
        paste(clean, templates, gain, grid, block, rows[block])


@lru_cache(maxsize=8)
def _averaging(weights, good, restarts):
    """Averaging matrix and its increments, the same for most channels."""
    matrix = weights(np.frombuffer(good, bool))
    return matrix, *increments(matrix, restarts)


def _basis(spread, epochs, good, fraction, moved):
    """Interpolation of the baseline; and derivatives of the artifact, if it moved."""
    if not moved:
        return spread
    mean = (good / good.sum()) @ epochs
    common = deblurred_spectrum(mean, fraction[good])
    return np.vstack([spread, derivatives(*common, epochs.shape[1])[1:]])


def _gather_epochs(x, grid, rows, used, length, pad):
    """Epochs with margins; those at the end of a block get their neighbour's margin.

    Beyond the first and last epoch of a block there is no artifact (silence, a
    pause): averaged as they are, they would thin out the templates of others.
    """
    epochs = gather(x, rows[used], length)
    joined, last = grid.joined, len(rows) - 1
    stop = np.floor(grid.stops + 0.5).astype(int) - rows
    for k in used[~joined[used].all(axis=1)]:
        if not joined[k, 0] and k < last and joined[k + 1, 0]:
            epochs[k - used[0], :pad] = gather(x, rows[k + 1 : k + 2], pad)
        if not joined[k, 1] and k > 0 and joined[k - 1, 1]:
            tail = rows[k - 1 : k] + stop[k]
            epochs[k - used[0], stop[k] :] = gather(x, tail, length - stop[k])
    return epochs


def _intact(grid, n_times, clipped):
    """Epochs that lie inside the data, are good and not clipped in this channel."""
    inside = (grid.starts >= 0) & (grid.stops <= n_times)
    first, last = np.searchsorted(clipped, [grid.starts, grid.stops])
    return grid.good & inside & (first == last)


def _lenders(grid, intact):
    """Epochs to average; those at the end of a block only where there are few."""
    inner = intact & grid.joined.all(axis=1)
    for candidates in (inner, intact):
        if candidates.sum() > 2:
            return candidates
    return np.ones(len(intact), bool)


def _ranges(x):
    """Lowest and highest values of successive parts of a channel."""
    starts = np.arange(0, x.size, _PART)
    return np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)


def _clipped_samples(x, ranges):
    """Samples that start three equal values at the lowest or highest value of `x`."""
    lows, highs = ranges
    found = [np.empty(0, int)]
    for rail, extremes in ((lows.min(), lows), (highs.max(), highs)):
        for start in np.flatnonzero(extremes == rail) * _PART:
            # two samples more, for runs across the border
            at_rail = np.flatnonzero(x[start : start + _PART + 2] == rail)
            found.append(start + at_rail[:-2][at_rail[2:] - at_rail[:-2] == 2])
    return np.unique(np.concatenate(found))


def _bursts(grid, ranges):
    """Epochs with more than twice the usual peak-to-peak amplitude."""
    amplitude = ranges[1] - ranges[0]
    first = np.clip(grid.starts // _PART, 0, amplitude.size - 1).astype(int)
    last = np.clip(grid.stops // _PART + 1, first + 1, amplitude.size).astype(int)
    borders = np.c_[first, last].ravel()
    largest = np.maximum.reduceat(np.r_[amplitude, 0.0], borders)[::2]
    return largest > 2 * np.median(largest)


def _epoch_baseline(x, grid, intact, rows, length, n_passes=1):
    """Baseline of each epoch on a coarse grid, and the interpolation to samples."""
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
    return slow, _cubic_interpolation(n_local, length)


@lru_cache(maxsize=4)
def _cubic_interpolation(n_points, length):
    """Matrix from evenly spaced points to all samples of an epoch."""
    points = np.linspace(0, length - 1, n_points)
    return CubicSpline(points, np.eye(n_points))(np.arange(length)).T


def _gains(epochs, templates, good, width):
    """Amplitude factors ``<x', T'> / <T', T'>`` of differences of short means.

    The differences keep slow EEG and drift, which the template knows nothing of, from
    being taken for artifact; the means leave the factor to frequencies next to those
    of the EEG: the readout, however large, need not change as they do.
    """
    epochs, templates = (_mean_differences(rows, width) for rows in (epochs, templates))
    energy = np.einsum("kj,kj->k", templates, templates)
    fit = np.einsum("kj,kj->k", epochs, templates)
    left = np.einsum("kj,kj->k", epochs, epochs) - 2 * fit + energy
    weak = energy < 25 * np.median(left[good])
    gain = np.divide(fit, energy, out=np.ones_like(fit), where=energy > 0)
    if not good.all():
        index = np.arange(good.size)
        gain = np.interp(index, index[good], gain[good])
    center = np.median(gain)
    return np.where(weak, 1.0, np.clip(gain, 0.5 * center, 2 * center))


def _mean_differences(rows, width):
    """Differences between means of successive `width` samples."""
    parts = sliding_window_view(rows, width, axis=1)[:, ::width]
    return np.diff(np.einsum("kjm->kj", parts))


def _averaged_noise(templates, epochs, good, share):
    """What of templates is no more than the noise of averaging.

    An average holds what is common to the epochs, and `share` of the power of what is
    not. With ``P = mean |T_k|^2`` and ``N = mean |X_k - T_k|^2 share / (1 + share)``
    around each harmonic, Wiener's filter leaves ``1 - N / P`` of it. This one takes
    1.5 N, so that less than 1 % of the power of mere noise is left.
    """
    n_times = templates.shape[1]
    coefs = fft.rfft(templates)
    left = fft.rfft(epochs[good] - templates[good])
    noise = share / (1 + share) * _mean_power(left)
    power = _mean_power(coefs[good])
    ratio = np.divide(noise, power, out=np.ones_like(noise), where=power > 0)
    coefs *= np.minimum(1, 1.5 * ratio)
    return fft.irfft(coefs, n_times)


def _mean_power(coefs):
    power = sum(np.einsum("kj,kj->j", part, part) for part in (coefs.real, coefs.imag))
    return uniform_filter1d(power / len(coefs), _HARMONICS)


def paste(clean, templates, gain, grid, block, rows):
    """Subtract templates, cross-faded where epochs join, hard where they do not.

    Epoch by epoch this would be many short calls, for each of which threads hand over
    the interpreter lock.

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
    rows : array of int, shape (n_block,)
        Sample of the first column of each template.
    """
    templates *= gain[:, np.newaxis]
    # what an epoch joins may belong to another grid: a pause between volumes
    apart = np.abs(grid.starts[block][1:] - grid.stops[block][:-1]) > 0.5
    alone = np.flatnonzero(apart) + 1
    for first, stop in pairwise([0, *alone, len(rows)]):
        part = slice(block.start + first, block.start + stop)
        begin, noise = _join(templates[first:stop], grid, part, rows[first:stop])
        start, end = max(begin, 0), min(begin + noise.size, clean.size)
        clean[start:end] -= noise[start - begin : end - begin]


def _join(templates, grid, part, rows):
    """First sample and values of templates that follow each other."""
    fade, joined = grid.fade, grid.joined[part]
    borders = np.r_[grid.starts[part], grid.stops[part][-1]]
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


class TemplateError(NamedTuple):
    """Power of what limits a correction, in the square of the signal's unit.

    Attributes
    ----------
    locked : float
        What is left in step with the volumes.
    above : float
        Signal faster than half the epoch frequency, of which averages add a share.
    """

    locked: float
    above: float


def template_error(clean, onsets, period, epoch, width):
    """What a corrected channel tells of its own errors below some 50 Hz.

    Parameters
    ----------
    clean : array, shape (n_times,)
        Corrected channel.
    onsets : array, shape (n_volumes,)
        Volume onsets in samples.
    period, epoch : float
        Length of a volume, and of the epochs that were averaged, in samples.
    width : int
        The signal is smoothed over this many samples first.

    Returns
    -------
    error : TemplateError
        Power left in step with the volumes, that of chance taken off; and power of
        the signal minus its moving average over one epoch.
    """
    step = max(1, width // 2)
    coarse = uniform_filter1d(clean, width)[::step]
    fast = coarse - uniform_filter1d(coarse, max(1, round(epoch / step)))
    length = int(period / step)
    starts = np.floor(onsets / step + 0.5).astype(int)
    starts = starts[(starts >= 0) & (starts + length <= coarse.size)]
    epochs = gather(fast, starts, length)
    # medians, so that a burst in one volume does not count
    typical = np.median(epochs, axis=0)
    left = np.median((epochs - typical).var(axis=1))
    chance = 0.5 * np.pi * left / max(1, len(epochs) - 1)
    locked = max(0.0, (typical**2).mean() - chance)
    return TemplateError(float(locked), float(left + locked))
