"""Optimal basis sets: what the artifact varies by, found in the residuals.

Epochs ``R`` (epochs x times) of a corrected channel, above the EEG in frequency, share
a few waveforms ``P`` (components x times, orthonormal) along which the artifact
changed its shape. They are the principal components of ``R``; ``(R P^T) P`` is taken
off the data (Niazy 2005).

How many: a component counts if epochs of the same spectrum without any common
waveform would hardly have one as large. The sample covariance of ``K`` independent
epochs whose true eigenvalues are ``t`` has none above (Marchenko & Pastur 1967,
Silverstein & Choi 1995)

    ``min over -1/max(t) < m < 0 of  -1/m + (L/K) mean(t / (1 + t m))``,

``L`` the length of an epoch. The ``t`` of a stationary signal are its spectrum.
"""

from itertools import pairwise

import numpy as np
import scipy
from scipy import fft
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize_scalar

from .align import gather
from .epochs import is_flat, paste_shared
from .fir import convolve

# values in a block of epochs: 4 MB, however long the recording; in smaller blocks
# threads would hand over the interpreter's lock more often
_BLOCK = 1_000_000
# values in a section with its own basis, and its epochs at least
_SECTION = 1_000_000
_SECTION_EPOCHS = 300
# no more components than this, and at least so many epochs for each
_MOST_COMPONENTS = 8
_EPOCHS_PER_COMPONENT = 5
# a component exceeds what chance allows by this factor
_SURE = 1.5
# epochs whose spectra are averaged at least, and neighbouring frequencies
_SPECTRA, _SMOOTH = 40, 5
# epochs of more than this times the usual amplitude count no more than that
_LOUD = 3.0


def design_highpass(l_freq, sfreq):
    """Symmetric high-pass filter with exactly no gain at 0 Hz.

    Parameters
    ----------
    l_freq : float
        Frequency of half amplitude in Hz; the transition is a quarter of it wide.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    taps : array, shape (n_taps,)
        Odd number of coefficients.
    """
    n_taps = int(3.3 * sfreq / (0.25 * l_freq)) // 2 * 2 + 1
    taps = -scipy.signal.firwin(n_taps, l_freq, fs=sfreq)
    taps[n_taps // 2] += 1
    return taps


def subtract_components(x, grids, taps, n_components="auto"):
    """Subtract the main components of artifact residuals from one channel.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel without its average artifact. Not changed.
    grids : list of EpochGrid
        The epochs, one grid per scanner run. Those that are not good are no part of
        the basis.
    taps : array, shape (n_taps,)
        Symmetric filter that takes the EEG out of the epochs.
    n_components : int | "auto"
        Number of components, fewer if there are fewer than 5 epochs for each;
        ``"auto"``: those that exceed chance, 8 at most.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel; samples outside the grids are identical.
    note : str | None
        How many components were subtracted; None for a flat channel.

    References
    ----------
    Niazy et al. (2005). Removal of FMRI environment artifacts from EEG data using
    optimal basis sets. NeuroImage 28, 720-737.
    https://doi.org/10.1016/j.neuroimage.2005.06.067
    """
    clean, counts = x.copy(), set()
    if is_flat(x):
        return clean, None
    for grid in grids:
        for section in _sections(grid):
            counts.add(_subtract_section(clean, x, grid, section, taps, n_components))
    if len(counts) == 1:
        return clean, f"{counts.pop()} component(s)"
    return clean, f"{min(counts)} to {max(counts)} components"


def _sections(grid):
    """Parts of a run with their own basis, so that memory does not grow with it."""
    n_epochs = len(grid.starts)
    values = (grid.stops - grid.starts).sum()
    n_sections = max(1, min(int(values // _SECTION), n_epochs // _SECTION_EPOCHS))
    borders = np.linspace(0, n_epochs, n_sections + 1).astype(int)
    return [slice(start, stop) for start, stop in pairwise(borders)]


def _subtract_section(clean, x, grid, section, taps, n_components):
    starts, stops = grid.starts[section], grid.stops[section]
    rows = np.floor(starts + 0.5).astype(int) - grid.fade
    length = int(np.ceil((grid.stops - grid.starts).max())) + 1 + 2 * grid.fade
    epochs = _filtered_epochs(x, rows, length, taps)
    inside = (starts >= 0) & (stops <= x.size)
    weights = _weights(epochs, inside & grid.good[section])
    most = _MOST_COMPONENTS if n_components == "auto" else n_components
    most = min(most, np.count_nonzero(weights) // _EPOCHS_PER_COMPONENT, length)
    if not most:
        return 0
    energy, basis = _principal(epochs, weights, most)
    if n_components == "auto":
        basis = basis[: count_components(epochs, weights, energy, basis)]
    if len(basis):
        coefs, basis = (epochs @ basis.T).astype(float), basis.astype(float)
        nothing = np.zeros((1, length))
        for block in _blocks(len(rows), length):
            part = slice(section.start + block.start, section.start + block.stop)
            group, own = np.zeros(len(rows[block]), int), coefs[block]
            paste_shared(clean, nothing, group, own, basis, grid, part, grid.fade)
    return len(basis)


def _blocks(n_epochs, length):
    step = max(1, _BLOCK // length)
    return [slice(k, min(k + step, n_epochs)) for k in range(0, n_epochs, step)]


def _filtered_epochs(x, rows, length, taps):
    epochs = np.empty((len(rows), length), np.float32)
    for block in _blocks(len(rows), length):
        first = rows[block][0]
        part = high_passed(x, first, rows[block][-1] + length, taps)
        epochs[block] = gather(part, rows[block] - first, length)
    return epochs


def high_passed(x, start, stop, taps):
    """Part of a high-passed signal.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal; beyond its ends the first and last samples are repeated.
    start, stop : int
        Part of it.
    taps : array, shape (n_taps,)
        Symmetric filter of odd length without gain at 0 Hz.

    Returns
    -------
    y : array of float32, shape (stop - start,)
        Filtered without delay.
    """
    n_more = taps.size - 1
    first, last = start - n_more // 2, stop + n_more // 2
    part = x[max(first, 0) : last]
    # in single precision, of which the offset must not take a part
    single = np.empty(part.size, np.float32)
    np.subtract(part, part.mean(), out=single, casting="same_kind")
    if part.size < last - first:
        single = np.pad(single, (max(-first, 0), max(last - x.size, 0)), "edge")
    return convolve(single, taps)


def _weights(epochs, good):
    """Factors of the epochs for the basis: loud ones shall not rule it."""
    amplitude = np.sqrt(np.einsum("kj,kj->k", epochs, epochs))
    good = good & (amplitude > 0)
    weights = good.astype(epochs.dtype)
    if good.any():
        most = _LOUD * np.median(amplitude[good])
        weights[good] = np.minimum(1, most / amplitude[good])
    return weights


def _principal(epochs, weights, n_components):
    """Largest principal components: energies, and waveforms of unit norm."""
    n_epochs, length = epochs.shape
    if n_epochs < length:
        gram = np.outer(weights, weights) * (epochs @ epochs.T)
    else:
        gram = np.zeros((length, length))
        for block in _blocks(n_epochs, length):
            weighted = weights[block, np.newaxis] * epochs[block]
            gram += weighted.T @ weighted
    # all of them: SciPy's finds the largest in less time, but holds the lock meanwhile
    energy, basis = np.linalg.eigh(gram)
    energy, basis = energy[: -n_components - 1 : -1], basis.T[: -n_components - 1 : -1]
    real = energy > 10 * np.finfo(epochs.dtype).eps * energy[0]
    energy, basis = energy[real], np.ascontiguousarray(basis[real], epochs.dtype)
    if n_epochs < length:
        basis = (weights * basis) @ epochs
        basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    return energy, basis


def count_components(epochs, weights, energy, basis):
    """Number of components that exceed chance.

    Parameters
    ----------
    epochs : array, shape (n_epochs, length)
        Epochs.
    weights : array, shape (n_epochs,)
        Factors of the epochs; 0: not to be used.
    energy : array, shape (n_components,)
        The largest principal components of their product: summed squares,
        descending.
    basis : array, shape (n_components, length)
        The waveforms of these, of unit norm.

    Returns
    -------
    n_components : int
        The first so many.
    """
    length = epochs.shape[1]
    ratio = length / np.count_nonzero(weights)
    n_fft = fft.next_fast_len(length, real=True)
    # some of the epochs tell the mean spectrum well enough
    some = np.flatnonzero(weights)
    some = some[:: max(1, some.size // _SPECTRA)]
    share = weights[some] ** 2 * ((weights @ weights) / (weights[some] @ weights[some]))
    spectrum = np.zeros(n_fft // 2 + 1)
    for block in _blocks(len(some), n_fft):
        spectrum += share[block] @ _power(epochs[some[block]], n_fft)
    spectrum = uniform_filter1d(spectrum, _SMOOTH, mode="nearest")
    for count in range(len(energy)):
        if energy[count] < _SURE * largest_by_chance(spectrum / length, ratio):
            return count
        # what is explained is no noise
        spectrum = np.maximum(spectrum - energy[count] * _power(basis[count], n_fft), 0)
    return len(energy)


def _power(x, n_fft):
    coefs = fft.rfft(x, n_fft)
    return coefs.real**2 + coefs.imag**2


def largest_by_chance(levels, ratio):
    """Upper edge of the eigenvalues of a sample covariance.

    Parameters
    ----------
    levels : array
        Eigenvalues of the true covariance, in any order.
    ratio : float
        Dimensions divided by samples.

    Returns
    -------
    edge : float
        In the unit of `levels`.
    """
    top = levels.max(initial=0.0)
    if not top > 0:
        return 0.0
    share = levels / top

    def value(at):
        return 1 / at + ratio * np.mean(share / (1 - at * share))

    # the value hardly changes around its minimum
    accuracy = {"xatol": 1e-3}
    return top * minimize_scalar(value, bounds=(0, 1), options=accuracy).fun
