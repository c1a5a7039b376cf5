"""What recurs with events: its power, its shapes, and EEG that does not recur.

Epochs have the shape (n_events, n_times). With ``a_i + e_i`` in epoch ``i``, artifact
and EEG, the mean of the products of different epochs is the power of what they share,
without that of the EEG; and the power in the artifact's own shapes shows also what
differs from event to event.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import uniform_filter1d

from .align import gather, raised_cosine
from .spectra import band_pass

# pairs of epochs up to so many apart: what is left of an artifact changes slowly
_LAGS = 3
# shapes of an artifact beside its mean
_SHAPES = 3
# power of EEG in a shape, and chance at a frequency, that the artifact must exceed
_DISTINCT = 4.0
_VISIBLE = 3.0
# shapes of all channels together that are taken out of the reference
_JOINT_SHAPES = 6
_FOLDS = 5


def complete_epochs(x, starts, length):
    """Epochs of one channel that lie inside it, each minus its mean.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    starts : array of float, shape (n_events,)
        Where they begin, in samples.
    length : int
        How long they are.

    Returns
    -------
    epochs : array, shape (n_complete, length)
        A copy.
    """
    rows = np.floor(np.asarray(starts) + 0.5).astype(int)
    epochs = gather(x, rows[(rows >= 0) & (rows + length <= x.size)], length)
    return epochs - epochs.mean(axis=1, keepdims=True)


def shared_power(epochs):
    """Power per sample of what epochs share with those up to three after them.

    ``mean over j = 1..3 of mean over i of <y_i, y_i+j> / n_times``: unbiased, below 0
    by chance, or where a correction put the EEG of one epoch, inverted, into others.
    """
    return float(_shared_spectrum(_coefficients(epochs)).sum())


def _coefficients(epochs):
    """Fourier coefficients whose squares add up to the power per sample."""
    n_times = epochs.shape[1]
    coefs = fft.rfft(epochs, axis=1) / n_times
    coefs[:, 1 : (n_times + 1) // 2] *= np.sqrt(2)
    return coefs


def _shared_spectrum(coefs):
    """Shared power at each frequency."""
    lags = range(1, min(_LAGS, len(coefs) - 1) + 1)
    return np.mean(
        [(coefs[:-j] * coefs[j:].conj()).real.mean(axis=0) for j in lags], axis=0
    )


def shapes(epochs):
    """Orthonormal mean and first three principal components of epochs, as rows."""
    return _basis(epochs, _SHAPES)


def _basis(epochs, n_components):
    """Orthonormal mean and principal components, from the products of the epochs."""
    mean = epochs.mean(axis=0)
    varying = epochs - mean
    weights = np.linalg.eigh(varying @ varying.T)[1][:, ::-1][:, :n_components]
    return np.linalg.qr(np.vstack([mean, weights.T @ varying]).T)[0].T


def residual_power(original, eeg, corrected, response):
    """Power per sample of what a correction left in step with events.

    ``max(0, p(y) - p(d), L(y))``: ``p`` the power in the shapes of the artifact, ``L``
    the shared power, ``y`` the corrected epochs and ``d`` what the same correction
    makes of EEG that had no artifact. Only what stands out of the EEG before the
    correction is looked for after it: shapes, found in every other recorded epoch, that
    have four times the power of EEG in the epochs between; and frequencies at which the
    recorded epochs share three times what EEG does by chance.

    Parameters
    ----------
    original, eeg, corrected, response : array, shape (n_events, n_times)
        Epochs of one channel: as recorded; EEG without artifact; what was recorded, and
        the EEG, after the correction.

    Returns
    -------
    power : float
        In the square of the signal's unit.
    """
    excess = 0.0
    for first in (0, 1):
        basis = shapes(original[first::2])
        recorded, brain, left, made = (
            ((epochs[1 - first :: 2] @ basis.T) ** 2).mean(axis=0)
            for epochs in (original, eeg, corrected, response)
        )
        excess += 0.5 * (left - made)[recorded > _DISTINCT * brain].sum()
    recorded, brain, left = map(_coefficients, (original, eeg, corrected))
    chance = (np.abs(brain) ** 2).mean(axis=0) / np.sqrt(_LAGS * len(brain))
    visible = _shared_spectrum(recorded) > _VISIBLE * chance
    shared = _shared_spectrum(left)[visible].sum()
    return max(0.0, excess / original.shape[1], float(shared))


def jumble(x, n_times, length, rng):
    """EEG-like signals: pieces of a recording in random order and with random signs.

    Spectrum, topography and bursts stay as they are, whatever recurred with events does
    not. The pieces overlap by half, so that the power is constant.

    Parameters
    ----------
    x : array, shape (n_channels, n_samples)
        Recording, longer than a piece.
    n_times : int
        Length of the result.
    length : int
        Length of the pieces in samples.
    rng : numpy.random.Generator
        Decides on order and signs.

    Returns
    -------
    jumbled : array, shape (n_channels, n_times)
        Signals.
    """
    half = length // 2
    window = np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))
    jumbled = np.zeros((len(x), n_times + 3 * half))
    for start in range(0, n_times + half, half):
        source = rng.integers(x.shape[1] - 2 * half)
        piece = x[:, source : source + 2 * half]
        jumbled[:, start : start + 2 * half] += rng.choice([-1, 1]) * window * piece
    return jumbled[:, half : half + n_times]


def without_events(x, starts, length, sfreq):
    """Signals without what all channels together show at events.

    The mean epoch and six principal components of the epochs of all channels side by
    side, found in four fifths of the epochs and taken out of the other fifth. The EEG
    of one event hardly resembles any of them, an artifact with few causes does.

    Parameters
    ----------
    x : array, shape (n_channels, n_times)
        Signals.
    starts : array of float, shape (n_events,)
        Where epochs begin, in samples.
    length : int
        How long they are; they may overlap.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    clean : array, shape (n_channels, n_times)
        A copy.
    """
    rows = np.floor(starts + 0.5).astype(int)
    rows = rows[(rows >= 0) & (rows + length <= x.shape[1])]
    fast = band_pass(x, sfreq, 0.5, None)
    epochs = np.hstack([gather(channel, rows, length) for channel in fast])
    n_shapes = min(_JOINT_SHAPES, len(rows) // 10)
    folds = np.arange(len(rows)) * _FOLDS // len(rows)
    fits = np.empty_like(epochs)
    for fold in range(_FOLDS):
        basis = _basis(epochs[folds != fold], n_shapes)
        fits[folds == fold] = epochs[folds == fold] @ basis.T @ basis
    return x - _overlap_add(fits.reshape(len(rows), len(x), length), rows, x.shape)


def _overlap_add(fits, rows, shape):
    """Epochs put back in their places, cross-faded where they overlap."""
    length = fits.shape[-1]
    position = np.arange(length) + 0.5
    fade = raised_cosine(np.minimum(position, length - position) / (0.1 * length))
    total, weight = np.zeros(shape), np.zeros(shape[1])
    for fit, row in zip(fits, rows, strict=True):
        total[:, row : row + length] += fade * fit
        weight[row : row + length] += fade
    return total / np.maximum(weight, 1)


def phase_locking(phases):
    """Length of the mean of ``exp(i phase)``, and its probability by chance.

    Parameters
    ----------
    phases : array, shape (n_events,)
        Phases in radians.

    Returns
    -------
    value : float
        0 for phases evenly spread, 1 for equal ones.
    probability : float
        Of a value as large in events without any relation (Rayleigh's test).
    """
    value = float(np.abs(np.exp(1j * np.asarray(phases)).mean()))
    n = len(phases)
    root = np.sqrt(1 + 4 * n + 4 * (n**2 - (n * value) ** 2))
    return value, float(min(1.0, np.exp(root - 1 - 2 * n)))


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
        The signal is smoothed over this many samples first, 2 or more.

    Returns
    -------
    error : TemplateError
        Power left in step with the volumes, that of chance taken off; and power of
        the signal minus its moving average over one epoch.
    """
    step = max(1, width // 2)
    means = clean[: clean.size // step * step].reshape(-1, step).mean(axis=1)
    coarse = uniform_filter1d(means, 2)
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
