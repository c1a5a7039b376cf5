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
from scipy import fft, sparse
from scipy.ndimage import uniform_filter1d

from .align import (
    MARGIN,
    ORDER,
    deblurred_spectrum,
    derivatives,
    shift_powers,
)
from .compiled import LINE, aligned, compiled
from .epochs import (
    Spline,
    Windows,
    add_spline,
    add_waves,
    as_windows,
    bursts,
    clipped_samples,
    epoch_baseline,
    epoch_windows,
    find_joints,
    intact_epochs,
    part_ranges,
    paste,
    paste_shared,
)
from .fir import quickest
from .products import (
    Steps,
    amplitudes,
    difference_products,
    increments,
    median_product,
    plain_steps,
    running_product,
)

# epochs after which the derivatives of the artifact are taken anew: clock errors drift
_SECTION = 256
# values in a block of templates: 3 MB stay in cache, however long the recording
_BLOCK = 350_000
# share of the artifact below which a derivative is left out: 1 nV of 10 mV
_VISIBLE = 1e-7
# epochs that share a template, where it is filtered: as many as change it little
_GROUP = 4
# epochs whose spectra tell the noise, and harmonics over which powers are averaged
_SPECTRA, _HARMONICS = 16, 9


class _Epochs(NamedTuple):
    """Epochs of one channel with margins, cut at integer samples.

    Attributes
    ----------
    windows : Windows
        The epochs.
    rows, fraction : array, shape (n_epochs,)
        First sample in the channel, and what rounding left of the onset.
    start, stop : int
        First sample of the usual epoch without its margins, and the one after it.
    good : array of bool, shape (n_epochs,)
        Epochs that lend.
    """

    windows: Windows
    rows: np.ndarray
    fraction: np.ndarray
    start: int
    stop: int
    good: np.ndarray


class _Average(NamedTuple):
    """Averages of epochs, the same for most channels.

    Attributes
    ----------
    steps : Steps
        Averaging matrix, one row per template.
    borders : array of int, shape (n_blocks + 1,)
        Rows between which templates fit in cache.
    group : array of int, shape (n_epochs,)
        The row for each epoch.
    noise : array, shape (n_templates,)
        What the average leaves of the power of noise.
    lenders : Steps, shape (n_sections, n_epochs)
        Averaging matrix of the mean artifact of each section of the run.
    blur : array, shape (n_sections, order + 2)
        Mean Taylor coefficients of these epochs.
    moves : array, shape (n_epochs, order - 1)
        Taylor coefficients of the way from the average to the epoch; none where all
        have the same sub-sample position.
    """

    steps: Steps
    borders: np.ndarray
    group: np.ndarray
    noise: np.ndarray
    lenders: Steps
    blur: np.ndarray
    moves: np.ndarray


class _Smooth(NamedTuple):
    """What turns averages of epochs into templates.

    Attributes
    ----------
    slow : array, shape (n_templates, n_coefs)
        Minus the baseline of the average, coefficients of `spline`.
    spline : Spline
        Interpolation to samples.
    moves : array, shape (n_epochs, n_waves)
        Those of the average that change the artifact.
    waves : array, shape (n_sections, n_waves, length)
        Derivatives of the mean artifact of each section.
    section : array of int, shape (n_blocks,)
        Which of them a block takes.
    """

    slow: np.ndarray
    spline: Spline
    moves: np.ndarray
    waves: np.ndarray
    section: np.ndarray

    def of_block(self, number):
        """Derivatives for a block."""
        return self.waves[self.section[number]]


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
        The amplitude is taken from means over this many samples, about 2 ms: the
        differences of these keep slow EEG and drift, which the template knows nothing
        of, from being taken for artifact; the means leave it to frequencies next to
        those of the EEG: the readout, however large, need not change as they do.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without its artifact; samples outside the grids are identical.
    """
    clean = x.copy()
    width = width if scale == "robust" else 0
    for grid, intact, scheme in _usable(x, grids, weights):
        epochs = _cut(x, grid, intact)
        means = _averaging(scheme, grid, epochs.good.tobytes())
        slow, spline = epoch_baseline(
            x, grid, intact, epochs.rows, epochs.windows.length
        )
        smooth = _smooth(epochs, means, slow, spline)
        kernels = compiled()
        if kernels and average == "mean":
            joints = find_joints(grid, epochs.start)
            kernels.subtract(clean, epochs, means, smooth, joints, width)
            continue
        matrix = scheme(epochs.good) if average == "median" else None
        for number, block in enumerate(_blocks(means)):
            waves = smooth.of_block(number)
            if average == "mean":
                templates = _mean_templates(epochs, means, smooth, block)
                add_waves(templates, smooth.moves[block], waves)
            else:
                rows = matrix[block]
                templates = _median_templates(epochs, rows, block, slow, spline, waves)
            gain = np.ones(len(templates))
            if width:
                gain = _gains(epochs, templates, block, width)
            paste(clean, templates, gain, grid, block, epochs.start)
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
        epochs = _cut(x, grid, intact)
        means = _averaging(scheme, grid, epochs.good.tobytes(), _GROUP)
        slow, spline = epoch_baseline(
            x, grid, intact, epochs.rows, epochs.windows.length
        )
        smooth = _smooth(epochs, means, slow, spline)
        usual = epochs.stop - epochs.start
        n_period = quickest(range(usual - 2, usual + 3))
        period = slice(epochs.start, epochs.start + n_period)
        for number, rows in enumerate(_blocks(means)):
            block = slice(*np.searchsorted(means.group, [rows.start, rows.stop]))
            group = means.group[block] - rows.start
            averages = _mean_templates(epochs, means, smooth, rows)
            waves = smooth.of_block(number)
            good = np.flatnonzero(epochs.good[block])
            if good.size:
                some = good[:: -(-good.size // _SPECTRA)]
                left = epochs.windows.cut(block.start + some) - averages[group[some]]
                add_spline(left, -slow[block.start + some], spline)
                add_waves(left, -smooth.moves[block.start + some], waves)
                share = means.noise[rows].mean()
                factors = _noise_share(averages[:, period], left[:, period], share)
                waves = aligned(waves)
                for waveforms in (averages, waves):
                    _take_noise(waveforms, period, factors)
            moves, margin = smooth.moves[block], epochs.start
            paste_shared(clean, averages, group, moves, waves, grid, block, margin)
    return clean


def _usable(x, grids, weights):
    """Grids, which of their epochs are intact in this channel, and weights."""
    ranges = part_ranges(x)
    if ranges[0].min() == ranges[1].max():  # flat
        return
    clipped = clipped_samples(x, ranges)
    for grid, scheme in zip(grids, weights, strict=True):
        yield grid, intact_epochs(grid, x.size, clipped) & ~bursts(grid, ranges), scheme


class _Layout(NamedTuple):
    """How the epochs of a grid are cut; see :class:`_Epochs`."""

    rows: np.ndarray
    fraction: np.ndarray
    start: int
    stop: int
    length: int


@lru_cache(maxsize=8)
def _layout(grid):
    pad = grid.fade + MARGIN
    rows = np.floor(grid.starts + 0.5).astype(int) - pad
    widths = grid.stops - grid.starts
    length = int(np.ceil(widths.max())) + 1 + 2 * pad
    length += -length % LINE
    stop = pad + round(np.median(widths))
    return _Layout(rows, grid.starts - pad - rows, pad, stop, length)


def _cut(x, grid, intact):
    rows, fraction, start, stop, length = _layout(grid)
    windows = epoch_windows(x, grid, rows, length, start)
    return _Epochs(windows, rows, fraction, start, stop, _lenders(grid, intact))


def _lenders(grid, intact):
    """Epochs to average; those at the end of a block only where there are few."""
    inner = intact & grid.joined.all(axis=1)
    for candidates in (inner, intact):
        if candidates.sum() > 2:
            return candidates
    return np.ones(len(intact), bool)


@lru_cache(maxsize=8)
def _averaging(weights, grid, good, size=1):
    """The :class:`_Average` with `size` epochs to a template; not the large matrix."""
    layout = _layout(grid)
    matrix = weights(np.frombuffer(good, bool))
    n_epochs = matrix.shape[0]
    group = np.arange(n_epochs) // min(size, max(1, n_epochs // 16))
    matrix, group = _grouped(matrix, group)
    n_rows = matrix.shape[0]
    n_blocks = max(n_rows * layout.length // _BLOCK, n_epochs // _SECTION)
    n_blocks = max(1, min(n_blocks, n_rows // 16))
    borders = np.linspace(0, n_rows, n_blocks + 1).astype(int)
    noise = matrix.power(2).sum(axis=1)
    steps = increments(matrix, borders[:-1])
    lenders = plain_steps(_section_means(np.frombuffer(good, bool)))
    power = shift_powers(layout.fraction, ORDER + 2)
    blur = running_product(lenders, as_windows(power), 0, len(lenders.goes_on))
    average = running_product(steps, as_windows(power), 0, n_rows)
    moves = (power - average[group])[:, 1:ORDER]
    moves = np.ascontiguousarray(moves[:, :0] if np.abs(moves).max() < 1e-9 else moves)
    return _Average(steps, borders, group, noise, lenders, blur, moves)


def _grouped(matrix, group):
    """One row for each group of epochs, without these epochs themselves."""
    n_epochs = len(group)
    if group[-1] == n_epochs - 1:
        return matrix, group
    members = sparse.csr_array((np.ones(n_epochs), (group, np.arange(n_epochs))))
    rows = (members @ matrix).tocoo()
    rows.data[group[rows.col] == rows.row] = 0
    total = rows.sum(axis=1)
    if total.min() <= 0:  # nothing but the epochs themselves
        return matrix, np.arange(n_epochs)
    rows = sparse.csr_array(sparse.diags_array(1 / total) @ rows)
    rows.eliminate_zeros()
    return rows, group


def _section_means(good):
    """Averaging matrix of the lenders of a section; of all where it has none."""
    n_sections = max(1, good.size // _SECTION)
    lenders = np.flatnonzero(good)
    section = np.minimum(lenders // _SECTION, n_sections - 1)
    empty = np.setdiff1d(np.arange(n_sections), section)
    rows = np.r_[section, np.repeat(empty, lenders.size)]
    columns = np.r_[lenders, np.tile(lenders, empty.size)]
    weights = 1 / np.bincount(rows)[rows]
    return sparse.csr_array((weights, (rows, columns)), (n_sections, good.size))


def _smooth(epochs, means, slow, spline):
    n_templates, n_sections = len(means.noise), len(means.blur)
    slow = running_product(means.steps, as_windows(slow), 0, n_templates)
    moves, waves = means.moves, np.zeros((n_sections, 0, epochs.windows.length))
    if moves.size:
        artifact = running_product(means.lenders, epochs.windows, 0, n_sections)
        spectra = deblurred_spectrum(artifact, means.blur)
        waves = derivatives(*spectra, epochs.windows.length)
        n_waves = _visible_orders(moves, waves)
        moves, waves = moves[:, :n_waves], aligned(waves[:, 1 : 1 + n_waves])
    first = np.searchsorted(means.group, means.borders[:-1])
    section = np.minimum(first // _SECTION, n_sections - 1)
    return _Smooth(-slow, spline, np.ascontiguousarray(moves), waves, section)


def _visible_orders(moves, waves):
    """Number of derivatives that moves change the artifact by; at least one."""
    sizes = np.abs(waves).max(axis=(0, 2))
    visible = np.abs(moves).max(axis=0) * sizes[1:] > _VISIBLE * sizes[0]
    return 1 + int(np.flatnonzero(visible).max(initial=0))


def _blocks(means):
    return [slice(*borders) for borders in pairwise(means.borders)]


def _mean_templates(epochs, means, smooth, block):
    """Averages without their baseline."""
    windows = epochs.windows
    templates = running_product(means.steps, windows, block.start, block.stop)
    add_spline(templates, smooth.slow[block], smooth.spline)
    return templates


def _median_templates(epochs, matrix, block, slow, spline, waves):
    """Medians, which are not linear: of epochs without baseline and fraction."""
    power = shift_powers(epochs.fraction)[:, 1 : 1 + len(waves)]
    used = np.unique(matrix.indices)
    aligned = epochs.windows.cut(used)
    add_spline(aligned, -slow[used], spline)
    add_waves(aligned, -power[used], waves)
    templates = median_product(matrix[:, used], aligned)
    add_waves(templates, power[block], waves)
    return templates


def _gains(epochs, templates, block, width):
    part = slice(epochs.start, epochs.stop)
    found = difference_products(epochs.windows, templates, block.start, part, width)
    return amplitudes(*found, epochs.good[block])


def _noise_share(templates, left, share):
    """What of each frequency of templates is no more than the noise of averaging.

    An average holds what is common to the epochs, and `share` of the power of what is
    not. With ``P = mean |T_k|^2`` and ``N = mean |X_k - T_k|^2 share / (1 + share)``
    around each harmonic, Wiener's filter leaves ``1 - N / P`` of it. This one takes
    1.5 N, so that less than 1 % of the power of mere noise is left.
    """
    some = templates[:: -(-len(templates) // _SPECTRA)]
    power, other = (_mean_power(fft.rfft(rows)) for rows in (some, left))
    noise = share / (1 + share) * other
    ratio = np.divide(noise, power, out=np.ones_like(noise), where=power > 0)
    return np.minimum(1, 1.5 * ratio)


def _take_noise(rows, period, factors):
    """Take out of rows what the factors of harmonics leave of them, in place."""
    margin, more = period.start, rows.shape[1] - period.stop
    factors = factors.astype(np.float32)
    # few at a time: memory that is used again need not be found
    for first in range(0, len(rows), 8):
        part = rows[first : first + 8]
        # in single precision: noise itself, of which six digits are enough
        coefs = fft.rfft(part[:, period].astype(np.float32))
        coefs *= factors
        noise = fft.irfft(coefs, period.stop - margin)
        part[:, :margin] -= noise[:, -margin:]
        part[:, period] -= noise
        part[:, period.stop :] -= noise[:, :more]


def _mean_power(coefs):
    parts = coefs.view(float)
    power = np.einsum("kj,kj->j", parts, parts).reshape(-1, 2).sum(axis=1)
    return uniform_filter1d(power / len(coefs), _HARMONICS)
