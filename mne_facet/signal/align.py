"""Sub-sample alignment of epochs, without resampling anything.

A band-limited waveform shifted by ``d`` samples (``d > 0``: later) is its Taylor
series ``R(j - d) = sum_p c_p(d) R^(p)(j)`` with ``c_p(d) = (-d)^p / p!``. With
``|d| <= 0.5`` ten terms leave less than 3e-6 of the amplitude at 0.8 of Nyquist.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from .compiled import compiled

ORDER = 10
MARGIN = 32


def raised_cosine(position):
    """Rise from 0 at ``position <= 0`` to 1 at ``position >= 1``."""
    position = np.asarray(position)
    rise = np.array(position >= 1, float)
    # most positions are on neither slope, and a cosine takes long
    slope = (position > 0) & (position < 1)
    rise[slope] = 0.5 - 0.5 * np.cos(np.pi * position[slope])
    return rise


def shift_powers(shifts, order=ORDER):
    """Taylor coefficients ``c_p(d) = (-d)^p / p!`` of each shift.

    Parameters
    ----------
    shifts : array, shape (n_epochs,)
        Shifts in samples.
    order : int
        Number of terms.

    Returns
    -------
    powers : array, shape (n_epochs, order)
        One row of coefficients per shift.
    """
    ratios = -np.asarray(shifts, float)[:, np.newaxis] / np.arange(1, order)
    ones = np.ones((len(ratios), 1))
    return np.multiply.accumulate(np.hstack([ones, ratios]), axis=1)


def spectrum(waveform, margin=MARGIN):
    """Fourier transform of a waveform whose margins are tapered to zero.

    The taper (a raised cosine over `margin` samples on both sides, the body
    untouched) keeps what is cut off at the ends from leaking into the body.

    Parameters
    ----------
    waveform : array, shape (..., n_times)
        Waveform with `margin` true samples before and after its body.
    margin : int
        Samples of margin on each side.

    Returns
    -------
    coefs : array of complex, shape (..., n_freqs)
        Transform of the waveform, zero-padded to a fast length.
    omega : array, shape (n_freqs,)
        Angular frequency in radians per sample.
    """
    ramp = raised_cosine((np.arange(margin) + 0.5) / margin)
    tapered = np.array(waveform, float)
    tapered[..., :margin] *= ramp
    tapered[..., -margin:] *= ramp[::-1]
    n_fft = fft.next_fast_len(tapered.shape[-1], real=True)
    return fft.rfft(tapered, n_fft), 2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft


def derivatives(coefs, omega, n_times, order=ORDER):
    """Time derivatives 0 .. order-1 of a waveform given by its spectrum.

    Parameters
    ----------
    coefs, omega : array, shape (..., n_freqs), (n_freqs,)
        As returned by :func:`spectrum`.
    n_times : int
        Length of the waveform.
    order : int
        Number of derivatives.

    Returns
    -------
    stack : array, shape (..., order, n_times)
        ``R^(p)(j) = irfft((i omega)^p coefs)``; valid on the body only.
    """
    n_fft = _fft_length(omega)
    spectra = _frequency_powers(n_fft, order) * coefs[..., np.newaxis, :]
    return fft.irfft(spectra, n_fft)[..., :n_times]


def _fft_length(omega):
    even = omega[-1] > np.pi - 1e-9  # an odd length has nothing at Nyquist
    return 2 * (omega.size - 1) if even else 2 * omega.size - 1


@lru_cache(maxsize=8)
def _frequency_powers(n_fft, order):
    """``(i omega)^p``, the same for all channels."""
    omega = 2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft
    return (1j * omega) ** np.arange(order)[:, np.newaxis]


def gather(x, starts, length):
    """Windows of `x`; what lies outside the data repeats its first or last sample.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal.
    starts : array of int, shape (n_epochs,)
        First sample of each window; may be negative or reach past the end.
    length : int
        Window length in samples.

    Returns
    -------
    epochs : array, shape (n_epochs, length)
        A copy.
    """
    kernels = compiled()
    if kernels:
        epochs = np.empty((len(starts), length), x.dtype)
        kernels.gather(epochs, x, np.ascontiguousarray(starts, np.int64))
        return epochs
    last = x.size - length
    if last < 0:
        return x[np.clip(starts[:, np.newaxis] + np.arange(length), 0, x.size - 1)]
    epochs = sliding_window_view(x, length)[np.clip(starts, 0, last)]
    for row in np.flatnonzero((starts < 0) | (starts > last)):
        epochs[row] = x[np.clip(starts[row] + np.arange(length), 0, x.size - 1)]
    return epochs


def deblurred_spectrum(mean, power, margin=MARGIN):
    """Spectrum of the waveform whose shifted copies have a given mean.

    The mean of copies shifted by ``d_k`` is ``A(w) = R(w) mean_k exp(-i w d_k)``; the
    division gives back ``R``. Its factor is 0.64 at Nyquist for shifts spread evenly
    over one sample.

    Parameters
    ----------
    mean : array, shape (..., length)
        Mean of epochs cut at integer samples, with margins.
    power : array, shape (..., order)
        Mean of the :func:`shift_powers` of what rounding left of their onsets, within
        +-0.5 samples.
    margin : int
        Samples of margin on each side.

    Returns
    -------
    coefs, omega : array, shape (..., n_freqs), (n_freqs,)
        As :func:`spectrum`, of the zero-mean waveform.
    """
    coefs, omega = spectrum(mean - mean.mean(axis=-1, keepdims=True), margin)
    # the power series of the exponential, averaged
    blur = power @ _frequency_powers(_fft_length(omega), power.shape[-1])
    known = np.abs(blur) > 0.2
    return np.divide(coefs, blur, out=np.zeros_like(coefs), where=known), omega


def best_lags(x, starts, template, max_lag):
    """Integer lags at which each epoch correlates best with a template.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal.
    starts : array of int, shape (n_epochs,)
        First sample of each epoch.
    template : array, shape (length,)
        Waveform to look for.
    max_lag : int
        Largest lag in samples.

    Returns
    -------
    lags : array of int, shape (n_epochs,)
        Lag of the largest Pearson correlation; positive: the epoch comes later.
    peak : array, shape (n_epochs,)
        That correlation, 0 for constant epochs.
    """
    length = template.size
    wide = gather(x, starts - max_lag, length + 2 * max_lag)
    reference = template - template.mean()
    scores = np.zeros((2 * max_lag + 1, starts.size))
    for lag in range(2 * max_lag + 1):
        epochs = wide[:, lag : lag + length]
        energy = np.einsum("kj,kj->k", epochs, epochs) - length * epochs.mean(1) ** 2
        norm = np.sqrt(np.maximum(energy, 0) * (reference @ reference))
        np.divide(epochs @ reference, norm, out=scores[lag], where=norm > 0)
    best = scores.argmax(0)
    return best - max_lag, scores[best, np.arange(starts.size)]


def estimate_shifts(epochs, stack, margin=MARGIN, n_iter=6):
    """Least-squares shift of each epoch against a template, in samples.

    Minimises ``|y_k(j) - alpha_k R(j - d_k) - a - b j|^2`` by Gauss-Newton. Mean
    and slope are projected out of the derivatives of ``R`` once, so slow drifts
    of the EEG do not move the result. All epochs share one matrix product; the
    recording is never upsampled.

    Parameters
    ----------
    epochs : array, shape (n_epochs, length)
        Epochs with margins.
    stack : array, shape (order, length)
        The template and its derivatives, see :func:`derivatives`.
    margin : int
        Samples of margin on each side.
    n_iter : int
        Gauss-Newton steps.

    Returns
    -------
    shifts : array, shape (n_epochs,)
        ``d_k`` within +-1; positive: the epoch comes later than the template.
    gain : array, shape (n_epochs,)
        ``alpha_k``.
    """
    body = slice(margin, stack.shape[1] - margin)
    stack = stack[:, body]
    line = np.linalg.qr(np.vander(np.linspace(-1, 1, stack.shape[1]), 2))[0]
    stack = stack - (stack @ line) @ line.T
    projections = epochs[:, body] @ stack.T
    gram = stack @ stack.T
    shifts = np.zeros(len(epochs))
    if not gram[0, 0] > 0:
        return shifts, np.zeros(len(epochs))
    for _ in range(n_iter):
        power = shift_powers(shifts)
        # d/dd c_p(d) = -c_{p-1}(d)
        slope = np.hstack([np.zeros((len(shifts), 1)), -power[:, :-1]])
        energy = np.einsum("kp,pq,kq->k", power, gram, power)
        cross = np.einsum("kp,pq,kq->k", power, gram, slope)
        curvature = np.einsum("kp,pq,kq->k", slope, gram, slope) - cross**2 / energy
        gain = np.einsum("kp,kp->k", projections, power) / energy
        score = np.einsum("kp,kp->k", projections, slope) - gain * cross
        step = np.divide(
            score, gain * curvature, out=np.zeros_like(score), where=gain > 0
        )
        shifts = np.clip(shifts + np.clip(step, -0.5, 0.5), -1, 1)
    return shifts, gain


def align_to_samples(x, onsets, length, max_lag=3):
    """Move onsets by whole samples to where their epochs correlate best.

    Two passes: against the mean of the first ten epochs, then of all.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    onsets : array of float, shape (n_epochs,)
        Onsets in samples.
    length : int
        Epoch length in samples.
    max_lag : int
        Largest correction; an epoch that correlates best there, or with less than
        0.5, keeps its onset.

    Returns
    -------
    onsets : array of float, shape (n_epochs,)
        The onsets, some moved.
    """
    inside = (onsets >= 0) & (onsets + length <= x.size)
    for n_epochs in (10, None):
        starts = np.floor(onsets + 0.5).astype(int)
        template = gather(x, starts[inside][:n_epochs], length).mean(axis=0)
        lags, peak = best_lags(x, starts, template, max_lag)
        sure = inside & (peak > 0.5) & (np.abs(lags) < max_lag)
        onsets = onsets + np.where(sure, lags, 0)
    return onsets


def measure_onsets(signals, onsets, length):
    """Onsets measured on the artifact itself, to a fraction of a sample.

    Parameters
    ----------
    signals : list of array, shape (n_times,)
        Channels in the artifact band; the median over them counts.
    onsets : array of float, shape (n_epochs,)
        Onsets in samples, right to about a sample.
    length : int
        Epoch length in samples.

    Returns
    -------
    onsets : array of float, shape (n_epochs,)
        Measured onsets; NaN where no channel gives a sure answer.
    """
    inside = (onsets >= 0) & (onsets + length <= signals[0].size)
    known = inside
    for _ in range(2):
        base = np.floor(onsets + 0.5).astype(int)
        measured = []
        for x in signals:
            epochs = gather(x, base - MARGIN, length + 2 * MARGIN)
            mean, fraction = epochs[inside].mean(axis=0), (onsets - base)[inside]
            power = shift_powers(fraction, ORDER + 2).mean(axis=0)
            stack = derivatives(*deblurred_spectrum(mean, power), mean.size)
            shifts, gain = estimate_shifts(epochs, stack)
            sure = inside & (np.abs(shifts) < 0.99) & (gain > 0.5) & (gain < 2)
            measured.append(np.where(sure, shifts, np.nan))
        known = ~np.isnan(measured).all(axis=0)
        shifts = np.nanmedian(np.array(measured)[:, known], axis=0)
        onsets = onsets.copy()
        onsets[known] = base[known] + shifts
    return np.where(known, onsets, np.nan)
