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
from scipy import fft, sparse
from scipy.ndimage import uniform_filter1d

from .align import MARGIN, deblurred_spectrum, derivatives, gather, shift_powers
from .compiled import READ_ONLY, compiled
from .epochs import (
    Windows,
    bursts,
    clipped_samples,
    epoch_baseline,
    epoch_windows,
    intact_epochs,
    part_ranges,
    paste,
)
from .products import increments, mean_epoch, median_product, running_product

# epochs after which the derivatives of the artifact are taken anew: clock errors drift
_SECTION = 256
# values in a block of epochs: 3 MB stay in cache, however long the recording
_BLOCK = 350_000
# epochs whose spectra tell the noise, and harmonics over which powers are averaged
_SPECTRA, _HARMONICS = 16, 9
# points after which a cardinal spline, 0.27 times smaller at each, has fallen off
_REACH = 12


class _Epochs(NamedTuple):
    """Epochs of one channel with margins, cut at integer samples, and their averages.

    Attributes
    ----------
    windows : Windows
        The epochs.
    rows, fraction : array, shape (n_epochs,)
        First sample in the channel, and what rounding left of the onset.
    body : slice
        The usual epoch without its margins.
    good : array of bool, shape (n_epochs,)
        Epochs that lend.
    matrix, noise, steps
        Averaging matrix, what it leaves of the noise power, and its
        :func:`increments`.
    blocks : list of slice
        Epochs whose templates fit in cache.
    """

    windows: Windows
    rows: np.ndarray
    fraction: np.ndarray
    body: slice
    good: np.ndarray
    matrix: sparse.csr_array
    noise: np.ndarray
    steps: tuple
    blocks: list


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
    scale : "robust" | None
        Factor of each template. ``"robust"``: amplitude by least squares, held near
        the median, 1 where the artifact is weak. None: always 1.
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
    for grid, intact, scheme in _usable(x, grids, weights):
        epochs = _cut(x, grid, intact, scheme)
        baseline = epoch_baseline(x, grid, intact, epochs.rows, epochs.windows.length)
        for block, templates in _templates(epochs, *baseline, average):
            gain = np.ones(len(templates))
            if scale == "robust" and epochs.good[block].any():
                gain = _gains(epochs, block, templates, width)
            paste(clean, templates, gain, grid, block, epochs.rows[block])
    return clean


def subtract_significant(x, grids, weights):
    """Subtract what of averages exceeds the noise of averaging from one channel.

    Each harmonic of the averages has a factor of its own, 0 where it is no more than
    that noise.

    Parameters
    ----------
    x, grids, weights
        As in :func:`subtract_templates`.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel; samples outside the grids are identical.
    """
    clean = x.copy()
    for grid, intact, scheme in _usable(x, grids, weights):
        epochs = _cut(x, grid, intact, scheme)
        body, windows, rows = epochs.body, epochs.windows, epochs.rows
        slow, spread = epoch_baseline(x, grid, intact, rows, windows.length)
        for block, templates in _templates(epochs, slow, spread):
            if epochs.good[block].any():
                some = np.flatnonzero(epochs.good[block])
                some = some[:: -(-some.size // _SPECTRA)]
                left = windows.cut(block.start + some) - templates[some]
                _add_waves(left, -slow[block.start + some], spread)
                share = epochs.noise[block].mean()
                noise = _averaged_noise(templates[:, body], left[:, body], share)
                templates[:, : body.start] -= noise[:, -body.start :]
                templates[:, body] -= noise
                templates[:, body.stop :] -= noise[:, : windows.length - body.stop]
            gain = np.ones(len(templates))
            paste(clean, templates, gain, grid, block, rows[block])
    return clean


def _usable(x, grids, weights):
    """Grids, which of their epochs are intact in this channel, and weights."""
    ranges = part_ranges(x)
    if ranges[0].min() == ranges[1].max():  # flat
        return
    clipped = clipped_samples(x, ranges)
    for grid, scheme in zip(grids, weights, strict=True):
        yield grid, intact_epochs(grid, x.size, clipped) & ~bursts(grid, ranges), scheme


def _cut(x, grid, intact, weights):
    pad = grid.fade + MARGIN
    rows = np.floor(grid.starts + 0.5).astype(int) - pad
    widths = grid.stops - grid.starts
    length = int(np.ceil(widths.max())) + 1 + 2 * pad
    body = slice(pad, pad + round(np.median(widths)))
    good = _lenders(grid, intact)
    n_blocks = max(len(rows) * length // _BLOCK, len(rows) // _SECTION)
    windows = epoch_windows(x, grid, rows, length, pad)
    fraction = grid.starts - pad - rows
    averaging = _averaging(weights, good.tobytes(), n_blocks)
    return _Epochs(windows, rows, fraction, body, good, *averaging)


@lru_cache(maxsize=8)
def _averaging(weights, good, n_blocks):
    """What is the same for most channels: averaging matrix to blocks of epochs."""
    matrix = weights(np.frombuffer(good, bool))
    n_epochs = matrix.shape[0]
    n_blocks = max(1, min(n_blocks, n_epochs // 16))
    borders = np.linspace(0, n_epochs, n_blocks + 1).astype(int)
    blocks = [slice(*block) for block in pairwise(borders)]
    noise = matrix.power(2).sum(axis=1)
    return matrix, noise, increments(matrix, borders[:-1]), blocks


def _templates(epochs, slow, spread, average="mean"):
    """Blocks of epochs and their templates, without the baseline `slow @ spread`."""
    windows, n_epochs = epochs.windows, len(epochs.rows)
    power = shift_powers(epochs.fraction)[:, 1:]
    # the same average of the small matrices, side by side
    small = np.hstack([slow, power])
    n_small = small.shape[1]
    starts = n_small * np.arange(n_epochs)
    small = Windows(small.ravel(), np.empty((0, n_small)), starts, n_small)
    slow_mean, power_mean = np.split(
        running_product(*epochs.steps, small, 0, n_epochs), [slow.shape[1]], axis=1
    )
    moved = np.abs(power - power_mean).max() > 1e-9
    section = -_SECTION
    for block in epochs.blocks:
        if moved and block.start - section >= _SECTION:
            section, waves = block.start, _derivatives(epochs, block.start)
        if average == "median":
            matrix = epochs.matrix[block]
            used = np.unique(matrix.indices)
            aligned = windows.cut(used)
            _add_waves(aligned, -slow[used], spread)
            if moved:
                aligned -= power[used] @ waves
            templates = median_product(matrix[:, used], aligned)
            if moved:
                templates += power[block] @ waves
        else:
            templates = running_product(*epochs.steps, windows, block.start, block.stop)
            _add_waves(templates, -slow_mean[block], spread)
            if moved:
                templates += (power - power_mean)[block] @ waves
        yield block, templates


def _add_waves(rows, coefs, spread):
    """Add ``coefs @ spread`` to rows; a spline is nothing some points further on."""
    n_points, length = spread.shape
    spacing = (length - 1) / (n_points - 1)
    width = int(_REACH * spacing)
    for start in range(0, length, width):
        part = slice(start, start + width)
        first = max(0, int(start / spacing) - _REACH)
        near = slice(first, int(part.stop / spacing) + _REACH + 2)
        rows[:, part] += coefs[:, near] @ spread[near, part]


def _derivatives(epochs, start):
    """Time derivatives of the mean artifact, of epochs that lend in a section."""
    good = np.flatnonzero(epochs.good)
    inside = (good >= start) & (good < start + _SECTION)
    good = good[inside] if inside.any() else good
    mean = mean_epoch(epochs.windows, good)
    common = deblurred_spectrum(mean, epochs.fraction[good])
    return derivatives(*common, mean.size)[1:]


def _lenders(grid, intact):
    """Epochs to average; those at the end of a block only where there are few."""
    inner = intact & grid.joined.all(axis=1)
    for candidates in (inner, intact):
        if candidates.sum() > 2:
            return candidates
    return np.ones(len(intact), bool)


def _gains(epochs, block, templates, width):
    """Amplitude factors ``<x', T'> / <T', T'>`` of differences of short means.

    The differences keep slow EEG and drift, which the template knows nothing of, from
    being taken for artifact; the means leave the factor to frequencies next to those
    of the EEG: the readout, however large, need not change as they do.
    """
    own, fit, energy = _difference_products(epochs, block, templates, width)
    left, good = own - 2 * fit + energy, epochs.good[block]
    weak = energy < 25 * np.median(left[good])
    gain = np.divide(fit, energy, out=np.ones_like(fit), where=energy > 0)
    if not good.all():
        index = np.arange(good.size)
        gain = np.interp(index, index[good], gain[good])
    center = np.median(gain)
    gain = np.where(weak, 1.0, np.clip(gain, 0.5 * center, 2 * center))
    return np.where(own == 0, 0.0, gain)  # constant: nothing was recorded


def _difference_products(epochs, block, templates, width):
    """``<x', x'>``, ``<x', T'>``, ``<T', T'>`` of differences of successive means."""
    body, windows = epochs.body, epochs.windows
    kernel = compiled(_sum_products, _SUM_PRODUCTS_TYPES)
    if kernel is None:
        return _sum_products_numpy(windows.cut(block, body), templates[:, body], width)
    products = np.zeros((3, len(templates)))
    starts, span = windows.starts[block], (body.start, body.stop)
    kernel(windows.signal, windows.special, starts, templates, *span, width, products)
    return products


_SUM_PRODUCTS_TYPES = f"({READ_ONLY},f8[:,::1],i8[::1],f8[:,::1],i8,i8,i8,f8[:,::1])"


def _sum_products(signal, special, starts, templates, start, stop, width, products):
    for k in range(len(templates)):
        epoch, template = signal[starts[k] :], templates[k]
        if starts[k] < 0:
            epoch = special[-1 - starts[k]]
        before = other_before = 0.0
        for first in range(start, stop - width + 1, width):
            mean = other_mean = 0.0
            for t in range(first, first + width):
                mean += epoch[t]
                other_mean += template[t]
            if first > start:
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
