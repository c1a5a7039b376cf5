"""Adaptive noise cancellation by least mean squares, exact in blocks.

Sample by sample, with ``x_n = (r[n], r[n-1], ..., r[n-N])`` and the weights ``w``,

    ``e[n] = d[n] - w . x_n``,    ``w <- w + 2 mu e[n] x_n``    (Widrow 1975).

A block of samples gives the same numbers from fewer passes over the weights: with
``X`` the rows ``x_n`` of the block and ``w`` the weights before it,

    ``(I + 2 mu L) e = d - X w``,    ``w <- w + 2 mu X^T e``,

``L`` the part of ``X X^T`` below the diagonal (Benesty & Duhamel 1992). This is the
recursion itself, not the block LMS that holds ``w`` still meanwhile.
"""

from typing import NamedTuple

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view
from scipy.linalg.blas import dtrsv

from .align import raised_cosine
from .compiled import aligned_empty, compiled

# samples in a block, compiled and in NumPy, and blocks prepared together in NumPy
_COMPILED_BLOCK = 4
_BLOCK = 32
_CHUNK = 64


def adaptive_filter(reference, target, order, step):
    """Part of a signal that a filter adapted to it makes of a reference.

    Parameters
    ----------
    reference : array, shape (n_times,)
        What to filter.
    target : array, shape (n_times,)
        Signal to come close to.
    order : int
        Order of the filter, which has ``order + 1`` taps and starts from zeros.
    step : float
        Step size mu; stable below ``1 / sum(r[n - j]^2, j = 0..order)``.

    Returns
    -------
    explained : array, shape (n_times,)
        ``y[n] = sum_j w_j r[n - j]`` with the weights before sample ``n``; 0 for the
        first `order` samples.

    Notes
    -----
    Compiled if Numba is installed, else in NumPy, equal to rounding.

    References
    ----------
    Widrow et al. (1975). Adaptive noise cancelling: principles and applications.
    Proc. IEEE 63, 1692-1716. https://doi.org/10.1109/PROC.1975.10036

    Benesty, Duhamel (1992). A fast exact least mean square adaptive algorithm.
    IEEE Trans. Signal Process. 40, 2904-2920. https://doi.org/10.1109/78.175740
    """
    kernels = compiled()
    if kernels:
        size = _COMPILED_BLOCK
        return _run(kernels.adaptive_filter, size, reference, target, order, step)
    return _run(_numpy_blocks, _BLOCK, reference, target, order, step)


def _run(kernel, size, reference, target, order, step):
    """Run a kernel on whole blocks."""
    explained = np.zeros(len(target))
    n_steps = len(target) - order
    if n_steps > 0:
        weights = aligned_empty(1, order + 1)[0]
        weights[:] = 0
        # zeros at the end fill the last block; what comes later changes nothing before
        filler = np.zeros(-n_steps % size)
        r = np.sqrt(2 * step) * np.r_[reference, filler]
        d = np.r_[target[order:], filler]
        explained[order:] = kernel(r, d, weights)[:n_steps]
    return explained


def _numpy_blocks(r, d, weights):
    """Blocks of 32 samples; the weights are kept in reverse order."""
    order = weights.size - 1
    y = np.empty(d.size)
    for chunk in range(0, d.size, _CHUNK * _BLOCK):
        stop = min(chunk + _CHUNK * _BLOCK, d.size)
        products = _products(r[chunk : stop + order], order)
        for n, lower in zip(range(chunk, stop, _BLOCK), products, strict=True):
            block = slice(n, n + _BLOCK)
            samples = r[n : n + order + _BLOCK]
            error = d[block] - np.correlate(samples, weights, "valid")
            # BLAS counts along columns: the transpose of the upper triangle
            error = dtrsv(lower.T, error, lower=0, trans=1, diag=1)
            weights += np.correlate(samples, error, "valid")
            y[block] = d[block] - error
    return y


def _products(r, order):
    """``X X^T`` of successive blocks, right below the diagonal only.

    Element ``(i, k)`` is the sum of ``r[s] r[s - (i - k)]`` over ``order + 1``
    samples, a difference of two running sums.
    """
    n_times = r.size - order
    padded = np.r_[np.zeros(_BLOCK - 1), r]
    delayed = sliding_window_view(padded, r.size)[::-1]
    sums = np.cumsum(r * delayed, axis=1)
    sums[:, order + 1 :] -= sums[:, : n_times - 1].copy()
    by_block = sums[:, order:].reshape(_BLOCK, -1, _BLOCK)
    row, column = np.mgrid[:_BLOCK, :_BLOCK]
    return by_block[np.maximum(row - column, 0), :, row].transpose(2, 0, 1).copy()


class Canceller(NamedTuple):
    """Adaptive noise canceller, the same for all channels.

    Attributes
    ----------
    order : int
        Order of the adaptive filter, at the reduced rate.
    step : float
        Step size as a share of the one that the mean power of the reference allows.
    passband : array, shape (n_sections, 6)
        Filter of reference and target, second-order sections at the reduced rate.
    decim : int
        Factor of the reduced rate, 1: the rate of the data.
    lowpass : array, shape (n_taps,) | None
        Symmetric filter to get there and back, None without reduction.
    fade : int
        Samples over which the correction rises and falls at the ends of a run.
    """

    order: int
    step: float
    passband: np.ndarray
    decim: int
    lowpass: np.ndarray | None
    fade: int


def design_canceller(sfreq, length, step, l_freq, h_freq=None, decim=1):
    """Design the filters of a canceller once for all channels.

    Parameters
    ----------
    sfreq : float
        Sampling frequency in Hz.
    length : float
        Length of the adaptive filter in samples.
    step : float
        As in :class:`Canceller`.
    l_freq, h_freq : float
        Pass band in Hz; no upper end if None.
    decim : int
        Factor by which the rate is reduced; ``sfreq / decim`` above ``3 * h_freq``.

    Returns
    -------
    canceller : Canceller
        For :func:`cancel_noise`.
    """
    rate, lowpass = sfreq / decim, None
    if decim > 1:
        # passes up to h_freq, and stops what would be mirrored to below it
        n_taps = int(3.3 * sfreq / (rate - 2 * h_freq)) // 2 * 2 + 1
        lowpass = scipy.signal.firwin(n_taps, rate / 2, fs=sfreq)
    if h_freq is None:
        passband = scipy.signal.butter(2, l_freq, "highpass", fs=rate, output="sos")
    else:
        passband = scipy.signal.butter(
            2, [l_freq, h_freq], "bandpass", fs=rate, output="sos"
        )
    order = max(1, int(np.ceil(length / decim)))
    fade = max(4, int(np.ceil(0.002 * sfreq)))
    return Canceller(order, step, passband, decim, lowpass, fade)


def cancel_noise(clean, removed, spans, canceller):
    """Subtract from a corrected channel what still follows the artifact.

    Parameters
    ----------
    clean : array, shape (n_times,)
        Corrected channel. Not changed.
    removed : array, shape (n_times,)
        Artifact that was removed from it.
    spans : list of tuple of float
        Start and stop of each scanner run, in samples; each starts anew.
    canceller : Canceller
        Settings.

    Returns
    -------
    cancelled : array, shape (n_times,)
        The channel; samples outside the spans are identical.
    note : str | None
        Why the channel was left as it was, if it was.

    Notes
    -----
    The step size is ``mu = step / (N mean(r^2))`` of the reference ``r`` during the
    scan, smaller where bursts of it would take ``2 mu sum(r[n - j]^2)`` above 1. The
    channel is left as it was if the filter diverges, adds power to the pass band, or if
    the reference there is weaker than what is left: no artifact, or none to speak of.
    """
    decim = canceller.decim
    target, reference = (_in_passband(x, canceller) for x in (clean, removed))
    explained = np.zeros_like(target)
    for start, stop in spans:
        part = slice(max(0, -int(-start // decim)), int(stop // decim))
        power = target[part] @ target[part]
        if reference[part] @ reference[part] < power:
            return clean, "nothing cancelled, less was removed than is left"
        y = _explain(reference[part], target[part], canceller.order, canceller.step)
        left = target[part] - y
        if not left @ left <= power:
            return clean, "nothing cancelled, it would have added power"
        explained[part] = y
    if decim > 1:
        explained = scipy.signal.resample_poly(
            explained, decim, 1, window=canceller.lowpass
        )[: clean.size]
    fade, end = canceller.fade, 0
    for start, stop in spans:
        first, last = max(0, int(np.ceil(start))), min(int(stop), clean.size)
        rising, falling = np.arange(first, first + fade), np.arange(last - fade, last)
        explained[end:first] = 0.0
        explained[first : first + fade] *= raised_cosine((rising - start) / fade)
        explained[last - fade : last] *= raised_cosine((stop - falling) / fade)
        end = last
    explained[end:] = 0.0
    return np.subtract(clean, explained, out=explained), None


def _in_passband(x, canceller):
    if canceller.decim > 1:
        window = canceller.lowpass
        x = scipy.signal.resample_poly(
            x, 1, canceller.decim, window=window, padtype="edge"
        )
    return scipy.signal.sosfiltfilt(canceller.passband, x)


def _explain(reference, target, order, step):
    """Run the filter over a scanner run, with silence before it."""
    energy = np.r_[0.0, np.cumsum(reference**2)]
    width = min(order + 1, reference.size)
    largest = (energy[width:] - energy[:-width]).max(initial=0.0)
    power = max(order * energy[-1] / max(1, reference.size), 2 * step * largest)
    if not power > 0:
        return np.zeros_like(target)
    silence = np.zeros(order)
    reference, target = np.r_[silence, reference], np.r_[silence, target]
    return adaptive_filter(reference, target, order, step / power)[order:]
