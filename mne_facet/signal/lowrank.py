"""Joint low-rank templates of the gradient artifact.

How the artifact differs from epoch to epoch is a few time courses over the epochs:
slice, position of the head, clock. They are the same in all channels and at all
frequencies [1]_, [2]_, so they are measured where there is little EEG, above some
75 Hz, and used as regressors everywhere. With ``X`` (epochs x frequencies) the spectra
of one channel's epochs, brought to the same sub-sample position, and orthonormal time
courses ``Q`` (epochs x courses, the first one constant) the templates are

    ``T = Q (G * Q'X)``,  ``G = max(0, 1 - 3 N / P)``

``P`` is the power of ``Q'X`` and ``N`` that of what the courses do not explain, per
epoch, which is EEG: waveforms no larger than EEG would be are left out.

References
----------
.. [1] Negishi, Abildgaard, Nixon, Constable (2004). Removal of time-varying gradient
   artifacts from EEG data acquired during continuous fMRI. Clinical Neurophysiology
   115, 2181-2192.
.. [2] Liu, de Zwart, van Gelderen, Kuo, Duyn (2012). Statistical feature extraction
   for artifact removal from concurrent fMRI-EEG recordings. NeuroImage 59, 2073-2087.
   https://doi.org/10.1016/j.neuroimage.2011.10.042
"""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import fft, linalg
from scipy.ndimage import uniform_filter1d

from .align import MARGIN, raised_cosine
from .compiled import compiled
from .epochs import (
    add_spline,
    bursts,
    clipped_samples,
    epoch_baseline,
    gather_epochs,
    intact_epochs,
    part_ranges,
    paste,
)

MOST_COMPONENTS = 40
# epochs that one time course needs, or it would follow the EEG of some of them
_PER_COURSE = 8
# part of a window of epochs that it shares with the next one
_OVERLAP = 0.25
# values in a block of epochs: 3 MB stay in cache, however long the recording
_BLOCK = 350_000
# frequencies in the shorter table of exponentials
_FINE = 64
# neighbouring frequencies that share a gain
_SMOOTH = 5


class Courses(NamedTuple):
    """Time courses of the artifact over successive epochs of a grid.

    Attributes
    ----------
    first : int
        Number of the first of these epochs.
    values : array, shape (n_epochs, n_courses)
        The courses, the first one constant; ``trust * values`` has orthonormal columns.
    trust : array, shape (n_epochs,)
        1 for the usual epoch, less where it is noisy, 0 where it may not lend.
    share : array, shape (n_epochs,)
        Part of the template that comes from these courses; the rest comes from those
        of the window before or after.
    """

    first: int
    values: np.ndarray
    trust: np.ndarray
    share: np.ndarray

    @property
    def epochs(self):
        """Slice of the epochs."""
        return slice(self.first, self.first + len(self.trust))


class _Layout(NamedTuple):
    """How the epochs of a grid are cut: at integer samples, with margins."""

    pad: int
    rows: np.ndarray
    fraction: np.ndarray
    length: int


def _layout(grid):
    pad = grid.fade + MARGIN
    rows = np.floor(grid.starts + 0.5).astype(int) - pad
    length = int(np.ceil((grid.stops - grid.starts).max())) + 1 + 2 * pad
    length = fft.next_fast_len(length, real=True)
    return _Layout(pad, rows, grid.starts - pad - rows, length)


def _blocks(layout, start, stop, borders=()):
    """Parts of the epochs that fit in cache and do not reach across `borders`."""
    size = max(16, _BLOCK // layout.length)
    borders = np.unique([*range(start, stop, size), *borders, stop])
    return [slice(int(first), int(last)) for first, last in pairwise(borders)]


def _cut(x, grid, layout, block):
    # beyond the data there is no margin: that of the neighbour, as next to silence
    inside = np.c_[layout.rows >= 0, layout.rows + layout.length <= x.size]
    grid = replace(grid, joined=grid.joined & inside)
    used = np.arange(block.start, block.stop)
    return gather_epochs(x, grid, layout.rows, used, layout.length, layout.pad)


def _spectra(epochs, layout, block):
    """Spectra of epochs, their fractions of a sample taken out; changes `epochs`."""
    ramp = raised_cosine((np.arange(MARGIN) + 0.5) / MARGIN)
    epochs[:, :MARGIN] *= ramp
    epochs[:, -MARGIN:] *= ramp[::-1]
    spectra = fft.rfft(epochs, layout.length)
    return delay(spectra, -layout.fraction[block], layout.length)


def delay(spectra, delays, length):
    """Multiply spectra by ``exp(-i w d)``, in place.

    Parameters
    ----------
    spectra : array of complex, shape (n_epochs, length // 2 + 1)
        Spectra of epochs.
    delays : array of float, shape (n_epochs,)
        Delays in samples.
    length : int
        Length of an epoch in samples.

    Returns
    -------
    spectra : array of complex
        The argument.
    """
    if np.abs(delays).max() < 1e-9:
        return spectra
    fine, coarse = _exponentials(delays.tobytes(), length, spectra.dtype)
    kernels = compiled()
    if kernels:
        kernels.delay(spectra, fine, coarse)
        return spectra
    for number, factor in enumerate(coarse):
        part = spectra[:, number * _FINE : (number + 1) * _FINE]
        part *= factor * fine[:, : part.shape[1]]
    return spectra


@lru_cache(maxsize=128)
def _exponentials(delays, length, dtype):
    """Two short tables whose products are ``exp(-i w d)``; all channels use them."""
    step = -2j * np.pi / length * np.frombuffer(delays)[:, np.newaxis]
    starts = np.arange(0, length // 2 + 1, _FINE)
    coarse = np.exp(step * starts).T[:, :, np.newaxis]
    return np.exp(step * np.arange(_FINE)).astype(dtype), coarse.astype(dtype)


def _band_bins(layout, band):
    freqs = fft.rfftfreq(layout.length)
    return (freqs >= band[0]) & (freqs <= band[1])


def band_coefs(x, grid, band, epochs):
    """Fourier coefficients of epochs in the artifact band.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    grid : EpochGrid
        The epochs.
    band : tuple of float
        Lowest and highest frequency in cycles per sample.
    epochs : slice
        Which of them.

    Returns
    -------
    coefs : array, shape (n_epochs, 2 * n_bins)
        Real part, imaginary part and so on of the second differences, of epochs at the
        same sub-sample position.
    """
    layout = _layout(grid)
    bins = _band_bins(layout, band)
    coefs = []
    for block in _blocks(layout, epochs.start, epochs.stop):
        # differences, or slow activity would leak into the band from the ends
        rows = np.diff(_cut(x, grid, layout, block), n=2)
        coefs.append(_spectra(rows, layout, block)[:, bins])
    return np.concatenate(coefs).copy(order="C").view(float)


def is_clipped(x):
    """Whether a channel has three equal samples at its lowest or highest value."""
    return clipped_samples(x, part_ranges(x)).size > 0


def windows(n_epochs, size):
    """Overlapping windows of about `size` epochs.

    Parameters
    ----------
    n_epochs : int
        Number of epochs.
    size : float
        Epochs in a window; one window for up to 1.375 times as many.

    Returns
    -------
    windows : list of tuple
        Slices, and the part that each of their epochs takes from this window: the
        parts rise and fall linearly over a quarter of a window and sum to 1.
    """
    n_windows = max(1, round((n_epochs / size - _OVERLAP) / (1 - _OVERLAP)))
    size = n_epochs / (n_windows * (1 - _OVERLAP) + _OVERLAP)
    starts = (1 - _OVERLAP) * size * np.arange(n_windows)
    starts, stops = starts.round().astype(int), (starts + size).round().astype(int)
    found = []
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        places, shares = [start, stop], [1.0, 1.0]
        if number > 0:
            places[:1], shares[:1] = [start, stops[number - 1]], [0.0, 1.0]
        if number < n_windows - 1:
            places[-1:], shares[-1:] = [starts[number + 1], stop], [1.0, 0.0]
        share = np.interp(np.arange(start, stop) + 0.5, places, shares)
        found.append((slice(int(start), int(stop)), share))
    return found


def constant_course(good):
    """The course of an artifact that is the same in all epochs, and their trust."""
    trust = good.astype(float) if good.any() else np.ones(len(good))
    return np.full((len(good), 1), 1 / np.linalg.norm(trust)), trust


def find_courses(coefs, good, n_components="auto"):
    """Time courses that all columns share, besides the constant one.

    Columns are divided by the noise that the mean and the largest components leave in
    them, and epochs by how much more of it they hold than the usual one; twice, from
    the standard deviation on. Then noise has power 1, and the components kept are those
    above the singular value

        ``sqrt(n) sqrt(2 (b + 1) + 8 b / (b + 1 + sqrt(b^2 + 14 b + 1)))``

    with ``n`` the larger dimension and ``b`` the ratio of the smaller to it [1]_.

    Parameters
    ----------
    coefs : array, shape (n_epochs, n_coefs)
        As returned by :func:`band_coefs`, channels side by side.
    good : array of bool, shape (n_epochs,)
        Epochs to look at.
    n_components : int | "auto"
        Number of components; at most 40, and one for 8 epochs.

    Returns
    -------
    values : array, shape (n_epochs, n_courses) | None
        The courses of all epochs, see :class:`Courses`. None without an artifact: the
        mean epoch is less than 5 times that threshold, or less than the differences.
    trust : array, shape (n_epochs,)
        Weight of each epoch.
    evidence : str
        What was found, for the log.

    References
    ----------
    .. [1] Gavish, Donoho (2014). The optimal hard threshold for singular values is
       4/sqrt(3). IEEE Transactions on Information Theory 60, 5040-5053.
       https://doi.org/10.1109/TIT.2014.2323359
    """
    trust = np.zeros(len(good))
    alive = (coefs[good].std(axis=0) > 0).reshape(-1, 2).all(axis=1).repeat(2)
    if not alive.any():
        return None, trust, "no signal"
    coefs = coefs[:, alive]
    most = min(MOST_COMPONENTS, good.sum() // _PER_COURSE, coefs.shape[1] // 4)
    noise, sure = coefs[good].std(axis=0), np.ones(good.sum())
    for _ in range(2):
        noise, sure = _rescale(coefs[good], noise, sure, most)
    mean, scores, patterns = _decompose(coefs[good] / noise, sure, most)
    size = np.linalg.norm(scores, axis=0)
    threshold = _threshold((len(sure), len(mean)))
    kept = size > threshold
    if n_components != "auto":
        kept = np.arange(most) < n_components
    strength = np.linalg.norm(sure) * np.linalg.norm(mean)
    varied = np.linalg.norm(size[kept])
    evidence = (
        f"artifact {strength / threshold:.3g} times the least visible, varied by "
        f"{100 * varied / strength:.2g} %"
    )
    if strength < max(5 * threshold, varied):
        return None, trust, evidence
    trust[good] = sure
    courses = (coefs / noise - mean) @ (patterns[:, kept] / size[kept])
    constant = np.full(len(trust), 1 / np.linalg.norm(trust))
    values = np.column_stack([constant, courses])
    return values, trust, f"{kept.sum()} components; {evidence}"


def _decompose(coefs, sure, n_components):
    """Mean epoch; scores and patterns of what is left in the weighted epochs."""
    mean = sure**2 @ coefs / (sure @ sure)
    rows = sure[:, np.newaxis] * (coefs - mean)
    return mean, *_largest_components(rows, n_components)


def _rescale(coefs, noise, sure, n_components):
    """Noise of each column, and trust in each row, from what components leave."""
    mean, scores, patterns = _decompose(coefs / noise, sure, n_components)
    left = sure[:, np.newaxis] * (coefs / noise - mean) - scores @ patterns.T
    # of what is left the components took a part; both parts of a number are alike
    free = len(left) * np.maximum(1 - (patterns**2).sum(axis=1), 0.02)
    power = _pair_sums(noise**2 * (left**2).sum(axis=0)) / _pair_sums(free)
    better = np.maximum(np.sqrt(power).repeat(2), 1e-9 * np.abs(coefs).max())
    taken = (scores**2 / np.maximum((scores**2).sum(axis=0), 1e-300)).sum(axis=1)
    power = ((left * noise / better) ** 2).mean(axis=1) / np.maximum(1 - taken, 0.02)
    power /= sure**2
    usual = np.median(power)
    return better, 1 / np.sqrt(np.maximum(1, power / usual)) if usual > 0 else sure


def _pair_sums(x):
    return x[..., ::2] + x[..., 1::2]


def _largest_components(rows, n_components):
    """Scores and orthonormal patterns, from the smaller of the two Gram matrices."""
    n_rows, n_columns = rows.shape
    n_small = min(n_rows, n_columns)
    if n_components == 0:
        return np.zeros((n_rows, 0)), np.zeros((n_columns, 0))
    wanted = [n_small - n_components, n_small - 1]
    if n_columns <= n_rows:
        _, patterns = linalg.eigh(rows.T @ rows, subset_by_index=wanted)
        return rows @ patterns[:, ::-1], patterns[:, ::-1]
    power, vectors = linalg.eigh(rows @ rows.T, subset_by_index=wanted)
    size = np.sqrt(np.maximum(power[::-1], np.finfo(float).tiny))
    return vectors[:, ::-1] * size, rows.T @ vectors[:, ::-1] / size


def _threshold(shape):
    """Optimal threshold for the singular values of a matrix with noise of power 1."""
    ratio = min(shape) / max(shape)
    root = np.sqrt(ratio**2 + 14 * ratio + 1)
    return np.sqrt(max(shape) * (2 * (ratio + 1) + 8 * ratio / (ratio + 1 + root)))


def subtract_low_rank(x, grids, band, width=None):
    """Subtract templates made of given time courses from one channel.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel, in volts. Not changed.
    grids : list of tuple
        Grids, and a list of :class:`Courses` for each.
    band : tuple of float
        The band the courses are from, in cycles per sample.
    width : int | None
        Where pauses between the epochs keep the baseline from following slow EEG:
        length of an epoch in samples. Templates are then made a second time, from the
        data without the moving average over an epoch of the first result.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without its artifact; samples outside the grids are identical.
    """
    ranges = part_ranges(x)
    if ranges[0].min() == ranges[1].max():  # flat
        return x.copy()
    clipped = clipped_samples(x, ranges)
    tasks = []
    for grid, courses in grids:
        intact = intact_epochs(grid, x.size, clipped)
        quiet = intact & ~bursts(grid, ranges)
        intact = quiet if 2 * quiet.sum() > intact.sum() else intact
        tasks.append((grid, [_without(part, intact) for part in courses]))
    clean = _subtract(x, x, tasks, band)
    if width is None:
        return clean
    slow = uniform_filter1d(uniform_filter1d(clean, width), width)
    return _subtract(x, x - slow, tasks, band)


def _without(part, intact):
    """Courses for a channel in which some epochs are not intact."""
    intact = intact[part.epochs]
    if not np.any(part.trust[~intact]) or not np.any(part.trust[intact]):
        return part
    trust = part.trust * intact
    n_courses = max(1, np.count_nonzero(trust) // _PER_COURSE)
    values = part.values[:, :n_courses]
    # without courses that are little more than the epochs left out
    left = np.abs(np.diag(np.linalg.qr(trust[:, np.newaxis] * values, mode="r")))
    values = values[:, (left > 0.1) | (np.arange(left.size) == 0)]
    r = np.linalg.qr(trust[:, np.newaxis] * values, mode="r")
    values = linalg.solve_triangular(r, values.T, trans="T").T
    return part._replace(values=values, trust=trust)


def _subtract(x, source, tasks, band):
    """Subtract from `x` the templates made from `source`."""
    clean = x.copy()
    for grid, courses in tasks:
        layout = _layout(grid)
        edges = [edge for part in courses for edge in (part.first, part.epochs.stop)]
        blocks = _blocks(layout, 0, len(layout.rows), edges)
        waveforms = _waveforms(source, grid, layout, courses, blocks, band)
        for block in blocks:
            if any(_holding(courses, block)):
                templates = _templates(waveforms, layout, courses, block)
                gain = np.ones(len(templates))
                paste(clean, templates, gain, grid, block, layout.pad)
    return clean


def _waveforms(x, grid, layout, courses, blocks, band):
    """Spectra that belong to the courses of each window: ``G * Q'X``."""
    good = np.zeros(len(layout.rows), bool)
    for part in courses:
        good[part.epochs] |= part.trust > 0
    slow, spline = epoch_baseline(x, grid, good, layout.rows, layout.length, 2)
    n_values = 2 * (layout.length // 2 + 1)
    coefs = [np.zeros((part.values.shape[1], n_values)) for part in courses]
    power = np.zeros((len(courses), n_values))
    for block in blocks:
        epochs = _cut(x, grid, layout, block)
        add_spline(epochs, -slow[block], spline)
        # rounding to single precision is nothing against EEG: 1e-7 of the artifact
        spectra = _spectra(epochs.astype(np.float32), layout, block).view(np.float32)
        for number, rows in _holding(courses, block):
            weight = (courses[number].trust[rows] ** 2).astype(np.float32)
            lent = weight[:, np.newaxis] * courses[number].values[rows]
            coefs[number] += lent.T.astype(np.float32) @ spectra
            power[number] += weight @ spectra**2
    bins = _band_bins(layout, band)
    for number, part in enumerate(courses):
        gain = _gains(coefs[number], power[number], np.count_nonzero(part.trust), bins)
        coefs[number] *= gain.repeat(2, axis=1)
    return [each.astype(np.float32) for each in coefs]


def _gains(coefs, power, n_epochs, bins):
    """Factor of each course's waveform at each frequency: 0 if no larger than EEG."""
    own = _pair_sums(coefs**2)
    # nowhere is a waveform larger than twice its size in the band
    seen = np.minimum(own, 4 * own[:, bins].mean(axis=1, keepdims=True))
    seen = uniform_filter1d(seen, _SMOOTH, axis=1, mode="nearest")
    n_free = max(1, n_epochs - len(own))
    noise = np.maximum(_pair_sums(power) - own.sum(axis=0), 0) / n_free
    # the fewer the epochs, the less is known about the noise
    limit = 3 * (1 + 4 / n_free) * uniform_filter1d(noise, _SMOOTH, mode="nearest")
    ratio = np.divide(limit, seen, out=np.ones_like(seen), where=seen > 0)
    return np.maximum(0, 1 - ratio)


def _templates(waveforms, layout, courses, block):
    """Templates of a block of epochs, each at its own sub-sample position."""
    parts = [
        courses[number].share[rows, np.newaxis] * courses[number].values[rows]
        for number, rows in _holding(courses, block)
    ]
    used = [waveforms[number] for number, _ in _holding(courses, block)]
    spectra = np.hstack(parts).astype(np.float32) @ np.vstack(used)
    spectra = spectra.view(np.complex64)
    spectra = delay(spectra, layout.fraction[block], layout.length)
    return fft.irfft(spectra, layout.length)


def _holding(courses, block):
    """Numbers of the windows that hold a block of epochs, and its rows in them."""
    for number, part in enumerate(courses):
        span = part.epochs
        if span.start <= block.start and block.stop <= span.stop:
            yield number, slice(block.start - span.start, block.stop - span.start)
