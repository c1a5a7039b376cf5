"""Spectra of what a correction left: pieces of a recording, lines and what is between.

A piece is an array of shape (n_channels, n_times) without a gap in it. Spectra are
averaged over Hann-weighted sections that overlap by half.
"""

import numpy as np
import scipy
from scipy import fft

# bins around a line in a spectrum of 8 periods: its own, and halfway to the next one
_PERIODS = 8
_LINE = np.arange(-1, 2)
_BETWEEN = np.array([-5, -4, -3, 3, 4, 5])


def band_pass(x, sfreq, l_freq, h_freq, axis=-1):
    """Butterworth filter of order 4, forward and backward.

    Parameters
    ----------
    x : array
        Signals.
    sfreq : float
        Sampling frequency in Hz.
    l_freq, h_freq : float | None
        Pass band in Hz. None, or `h_freq` above 0.45 times `sfreq`: open.
    axis : int
        Axis of time.

    Returns
    -------
    filtered : array
        Of the same shape.
    """
    if h_freq is not None and h_freq > 0.45 * sfreq:
        h_freq = None
    if l_freq is None and h_freq is None:
        return np.array(x, float)
    if h_freq is None:
        sos = scipy.signal.butter(4, l_freq, "highpass", fs=sfreq, output="sos")
    elif l_freq is None:
        sos = scipy.signal.butter(4, h_freq, "lowpass", fs=sfreq, output="sos")
    else:
        sos = scipy.signal.butter(
            4, [l_freq, h_freq], "bandpass", fs=sfreq, output="sos"
        )
    n_pad = min(int(3 * sfreq / (l_freq or h_freq)), x.shape[axis] - 1)
    # mirrored at the ends: noise stays as large as it is
    return scipy.signal.sosfiltfilt(sos, x, axis=axis, padtype="even", padlen=n_pad)


def mean_spectrum(pieces, length, exponent=2):
    """Mean of ``|FFT|**exponent`` over sections of all pieces.

    Parameters
    ----------
    pieces : list of array, shape (n_channels, n_times)
        Signals; pieces shorter than a section are left out.
    length : int
        Length of a section in samples.
    exponent : int
        1 for amplitudes, 2 for powers.

    Returns
    -------
    spectrum : array, shape (n_channels, length // 2 + 1)
        Mean over sections.
    n_sections : int
        How many there are.
    """
    total, n_sections = 0.0, 0
    window = scipy.signal.windows.hann(length, sym=False)
    for piece in pieces:
        for start in range(0, piece.shape[-1] - length + 1, max(1, length // 2)):
            section = piece[:, start : start + length]
            section = section - section.mean(axis=1, keepdims=True)
            total = total + np.abs(fft.rfft(section * window)) ** exponent
            n_sections += 1
    return total / max(1, n_sections), n_sections


def power_density(pieces, sfreq, seconds):
    """Power spectral density, see :func:`mean_spectrum`.

    Parameters
    ----------
    pieces : list of array, shape (n_channels, n_times)
        Signals.
    sfreq : float
        Sampling frequency in Hz.
    seconds : float
        Length of a section; that of the longest piece if all are shorter.

    Returns
    -------
    freqs : array, shape (n_freqs,)
        Frequencies in Hz.
    density : array, shape (n_channels, n_freqs)
        Square of the signal's unit per Hz.
    """
    length = min(int(seconds * sfreq), max(piece.shape[-1] for piece in pieces))
    spectrum, _ = mean_spectrum(pieces, length)
    scale = 2 / (sfreq * (scipy.signal.windows.hann(length, sym=False) ** 2).sum())
    return np.arange(spectrum.shape[1]) * sfreq / length, scale * spectrum


def line_powers(pieces, period):
    """Power at the multiples of a frequency, and halfway between them.

    The sections are 8 periods long, so that every multiple falls on a bin: it counts
    with its two neighbours, and what lies 3/8 to 5/8 of the frequency beside it is the
    background. In noise with a smooth spectrum both are equal.

    Parameters
    ----------
    pieces : list of array, shape (n_channels, n_times)
        Signals.
    period : float
        One over the frequency, in samples.

    Returns
    -------
    lines, between : array, shape (n_channels, n_harmonics)
        Power per bin, from the first harmonic on to below the Nyquist frequency.
    n_sections : int
        How many sections there are; if none, the powers are 0.
    """
    length = int(np.floor(_PERIODS * period + 0.5))
    spectrum, n_sections = mean_spectrum(pieces, length)
    if not n_sections:
        spectrum = np.zeros((len(pieces[0]) if pieces else 0, length // 2 + 1))
    n_harmonics = (spectrum.shape[1] - 1 - _BETWEEN.max()) // _PERIODS
    centres = _PERIODS * np.arange(1, n_harmonics + 1)[:, np.newaxis]
    lines = spectrum[:, centres + _LINE].mean(axis=-1)
    between = spectrum[:, centres + _BETWEEN].mean(axis=-1)
    return lines, between, n_sections
