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
from scipy.ndimage import uniform_filter1d

from .align import MARGIN, deblurred_spectrum, derivatives, gather, shift_powers
from .compiled import compiled
from .epochs import (
    bursts,
    clipped_samples,
    epoch_baseline,
    gather_epochs,
    intact_epochs,
    part_ranges,
    paste,
)
from .products import increments, median_product, running_product

# epochs after which the derivatives of the artifact are taken anew: clock errors drift
_SECTION = 256
# values in a block of epochs: 3 MB stay in cache, however long the recording
_BLOCK = 350_000
# epochs whose spectra tell the noise, and neighbouring harmonics whose powers are averaged
_SPECTRA, _HARMONICS = 16, 9


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
    ranges = part_ranges(x)
    if ranges[0].min() == ranges[1].max():  # flat
        return clean
    clipped = clipped_samples(x, ranges)
    for grid, scheme in zip(grids, weights, strict=True):
        intact = intact_epochs(grid, x.size, clipped) & ~bursts(grid, ranges)
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
    n_blocks = max(len(rows) * length // _BLOCK, len(rows) // _SECTION)
    matrix, steps, blocks = _averaging(weights, good.tobytes(), n_blocks)
    slow, spread = epoch_baseline(x, grid, intact, rows, length)
    power = shift_powers(fraction)[:, 1:]
    own = np.hstack([np.zeros_like(slow), power])
    each = np.hstack([-slow, -power])
    total = own + running_product(*steps, each, 0, len(rows), 0)
    moved = np.abs(total[:, slow.shape[1] :]).max() > 1e-9
    section = -_SECTION
    for block, used in blocks:
        start, stop, first = block.start, block.stop, used[0]
        epochs = gather_epochs(x, grid, rows, used, length, pad)
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
            some = np.flatnonzero(good[block])
            some = some[:: -(-some.size // _SPECTRA)]
            left = mine[some] - slow[block][some] @ spread[:, body]
            left -= templates[some, body]
            share = matrix[block].power(2).sum(axis=1).mean()
            noise = _averaged_noise(templates[:, body], left, share)
            templates[:, :pad] -= noise[:, noise.shape[1] - pad :]
            templates[:, body] -= noise
            templates[:, body.stop :] -= noise[:, : length - body.stop]
        paste(clean, templates, gain, grid, block, rows[block])


@lru_cache(maxsize=8)
def _averaging(weights, good, n_blocks):
    """Averaging matrix, its increments and parts; the same for most channels.

    A part is at least 16 of the epochs, and those that are averaged for them.
    """
    matrix = weights(np.frombuffer(good, bool))
    n_epochs = matrix.shape[0]
    n_blocks = max(1, min(n_blocks, n_epochs // 16))
    borders = np.linspace(0, n_epochs, n_blocks + 1).astype(int)
    blocks = []
    for start, stop in pairwise(borders):
        sources = matrix.indices[matrix.indptr[start] : matrix.indptr[stop]]
        used = np.arange(min(start, sources.min()), max(stop, sources.max() + 1))
        blocks.append((slice(start, stop), used))
    return matrix, increments(matrix, borders[:-1]), blocks


def _basis(spread, epochs, good, fraction, moved):
    """Interpolation of the baseline; and derivatives of the artifact, if it moved."""
    if not moved:
        return spread
    mean = (good / good.sum()) @ epochs
    common = deblurred_spectrum(mean, fraction[good])
    return np.vstack([spread, derivatives(*common, epochs.shape[1])[1:]])


def _lenders(grid, intact):
    """Epochs to average; those at the end of a block only where there are few."""
    inner = intact & grid.joined.all(axis=1)
    for candidates in (inner, intact):
        if candidates.sum() > 2:
            return candidates
    return np.ones(len(intact), bool)


def _gains(epochs, templates, good, width):
    """Amplitude factors ``<x', T'> / <T', T'>`` of differences of short means.

    The differences keep slow EEG and drift, which the template knows nothing of, from
    being taken for artifact; the means leave the factor to frequencies next to those
    of the EEG: the readout, however large, need not change as they do.
    """
    own, fit, energy = _difference_products(epochs, templates, width)
    left = own - 2 * fit + energy
    weak = energy < 25 * np.median(left[good])
    gain = np.divide(fit, energy, out=np.ones_like(fit), where=energy > 0)
    if not good.all():
        index = np.arange(good.size)
        gain = np.interp(index, index[good], gain[good])
    center = np.median(gain)
    return np.where(weak, 1.0, np.clip(gain, 0.5 * center, 2 * center))


def _difference_products(one, other, width):
    """``<x', x'>``, ``<x', y'>``, ``<y', y'>`` of differences of successive means."""
    kernel = compiled(_sum_products, _SUM_PRODUCTS_TYPES)
    if kernel is None:
        return _sum_products_numpy(one, other, width)
    products = np.zeros((3, len(one)))
    kernel(one, other, width, products)
    return products


_SUM_PRODUCTS_TYPES = "(f8[:,:],f8[:,:],i8,f8[:,::1])"


def _sum_products(one, other, width, products):
    for k in range(len(one)):
        before = other_before = 0.0
        for j in range(one.shape[1] // width):
            mean = other_mean = 0.0
            for t in range(j * width, (j + 1) * width):
                mean += one[k, t]
                other_mean += other[k, t]
            if j > 0:
                difference, other_difference = mean - before, other_mean - other_before
                products[0, k] += difference * difference
                products[1, k] += difference * other_difference
                products[2, k] += other_difference * other_difference
            before, other_before = mean, other_mean


def _sum_products_numpy(one, other, width):
    one, other = (_mean_differences(rows, width) for rows in (one, other))
    pairs = (one, one), (one, other), (other, other)
    return np.array([np.einsum("kj,kj->k", *pair) for pair in pairs])


def _mean_differences(rows, width):
    """Differences between means of successive `width` samples."""
    parts = sliding_window_view(rows, width, axis=1)[:, ::width]
    return np.diff(np.einsum("kjm->kj", parts))


def _averaged_noise(templates, left, share):
    """What of templates is no more than the noise of averaging.

    An average holds what is common to the epochs, and `share` of the power of what is
    not. With ``P = mean |T_k|^2`` and ``N = mean |X_k - T_k|^2 share / (1 + share)``
    around each harmonic, Wiener's filter leaves ``1 - N / P`` of it. This one takes
    1.5 N, so that less than 1 % of the power of mere noise is left.
    """
    coefs = fft.rfft(templates)
    noise = share / (1 + share) * _mean_power(fft.rfft(left))
    power = _mean_power(coefs)
    ratio = np.divide(noise, power, out=np.ones_like(noise), where=power > 0)
    coefs *= np.minimum(1, 1.5 * ratio)
    return fft.irfft(coefs, templates.shape[1])


def _mean_power(coefs):
    parts = coefs.view(float)
    power = np.einsum("kj,kj->j", parts, parts).reshape(-1, 2).sum(axis=1)
    return uniform_filter1d(power / len(coefs), _HARMONICS)


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
