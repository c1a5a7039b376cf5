"""Metrics of spectra: bands and lines, see :mod:`mne_facet.metrics`."""

import numpy as np

from ._checks import check_option
from ._segments import NotAvailable, pick_scan, pieces_of, quiet_pieces
from .signal.ratios import decibel, divide
from .signal.spectra import line_powers, mean_spectrum

# delta, theta, alpha and beta in Hz
ALPHA = (8.0, 12.0)
EEG_BANDS = ((1.0, 4.0), (4.0, 8.0), ALPHA, (12.0, 30.0))
# bands of Allen et al. 2000
ALLEN_BANDS = ((0.8, 4.0), (4.0, 8.0), (8.0, 12.0), (12.0, 24.0))


def fft_deviation(raw, clean, bands=ALLEN_BANDS, *, picks=None, description="TR"):
    """Change of the amplitude spectrum against the quiet part, in percent.

    ``100 (A_scan - A_quiet) / A_quiet`` with ``A`` the mean of ``|FFT|`` over 3 s Hann
    sections and over a band [1]_ (published without the sign). Ideal: 0. Fooled by
    noise of the right spectrum and by the state of the subject.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction.
    bands : sequence of (float, float)
        Borders in Hz.
    picks, description
        As in :func:`rms_ratio`.

    Returns
    -------
    change : array, shape (n_channels, n_bands)
        In percent.

    References
    ----------
    .. [1] Allen, Josephs, Turner (2000). NeuroImage 12, 230-239.
       https://doi.org/10.1006/nimg.2000.0599
    """
    after, quiet = _spectra(raw, clean, picks, description, 3.0, exponent=1)
    after, quiet = (_in_bands(part, bands) for part in (after, quiet))
    return 100 * (divide(after, quiet) - 1)


def power_kept(raw, clean, bands=EEG_BANDS, *, picks=None, description="TR"):
    """Power of EEG bands in the scan, in percent of that in the quiet part.

    Powers are means over 2 s Hann sections. Ideal: 100; more is artifact, less is lost
    EEG. Needs a quiet part: 4 s at least, 10 s or more to be good to 20 %. Fooled by
    noise in the place of EEG, and by alpha that comes and goes.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction.
    bands : sequence of (float, float)
        Borders in Hz; by default delta, theta, alpha and beta.
    picks, description
        As in :func:`rms_ratio`.

    Returns
    -------
    kept : array, shape (n_channels, n_bands)
        In percent.
    """
    after, quiet = _spectra(raw, clean, picks, description, 2.0, exponent=2)
    return 100 * divide(_in_bands(after, bands), _in_bands(quiet, bands))


def line_excess(raw, level="slice", *, picks=None, description="TR", h_freq=70.0):
    """Power at the harmonics of slices or volumes above that between them, in dB.

    ``10 log10(P_line / P_between)`` in spectra over 8 volumes, see
    :func:`mne_facet.signal.spectra.line_powers`. Ideal: 0; more is artifact, less a
    notch in the EEG. Needs 8 volumes in a row. Sees nothing of what is not strictly
    periodic.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording, before or after the correction.
    level : "slice" | "volume"
        Whose harmonics.
    picks, description
        As in :func:`rms_ratio`.
    h_freq : float
        Highest harmonic in Hz.

    Returns
    -------
    excess : array, shape (n_channels, n_harmonics)
        In dB.
    """
    picks, scan = pick_scan(raw, raw, picks, description)
    lines, between = _lines(raw, picks, scan, level, h_freq)
    return decibel(lines, between)


def line_attenuation(
    raw, clean, level="slice", *, picks=None, description="TR", h_freq=70.0
):
    """Power at the harmonics of slices or volumes after over before, in dB.

    ``10 log10(P_clean / P_raw)`` [1]_: -20 means a tenth of the amplitude. Ideal: down
    to the EEG and no further; :func:`line_excess` tells. Fooled by notches and zeros.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction.
    level, picks, description, h_freq
        As in :func:`line_excess`.

    Returns
    -------
    attenuation : array, shape (n_channels, n_harmonics)
        In dB.

    References
    ----------
    .. [1] Niazy et al. (2005). NeuroImage 28, 720-737.
       https://doi.org/10.1016/j.neuroimage.2005.06.067
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    before, _ = _lines(raw, picks, scan, level, h_freq)
    after, _ = _lines(clean, picks, scan, level, h_freq)
    return decibel(after, before)


def _spectra(raw, clean, picks, description, seconds, exponent):
    """Frequencies with the mean spectrum of the scan, and of the quiet part."""
    picks, scan = pick_scan(raw, clean, picks, description)
    sfreq = raw.info["sfreq"]
    length = int(seconds * sfreq)
    parts = []
    for pieces in (
        pieces_of(clean, picks, scan.running),
        quiet_pieces(raw, picks, scan),
    ):
        spectrum, n_sections = mean_spectrum(pieces, length, exponent)
        if not n_sections:
            raise NotAvailable(
                f"{seconds:g} s in one piece are needed, scan and quiet."
            )
        parts.append((np.arange(spectrum.shape[1]) * sfreq / length, spectrum))
    return parts


def _in_bands(part, bands):
    freqs, spectrum = part
    means = []
    for low, high in bands:
        inside = (freqs >= low) & (freqs < high)
        if high > freqs[-1] or not inside.any():
            raise NotAvailable(
                f"The band from {low:g} to {high:g} Hz is not in spectra with steps of "
                f"{freqs[1]:.2g} Hz up to {freqs[-1]:g} Hz."
            )
        means.append(spectrum[:, inside].mean(axis=1))
    return np.transpose(means)


def _lines(raw, picks, scan, level, h_freq):
    """Powers at and between the harmonics of slices or volumes."""
    check_option("level", level, ["slice", "volume"])
    if level == "slice" and scan.slice_period > 0.6 * scan.period:
        raise NotAvailable(
            "The number of slices per volume is not known. Use "
            "TriggerDetector(n_slices=...)."
        )
    if not scan.is_regular:
        raise NotAvailable(
            "The scanner runs differ in TR or slices. Crop the recording to one run."
        )
    pieces = pieces_of(raw, picks, scan.running)
    lines, between, n_sections = line_powers(pieces, scan.period)
    if not n_sections:
        raise NotAvailable("8 volumes in a row without BAD annotations are needed.")
    step = scan.period / (scan.slice_period if level == "slice" else scan.period)
    n_harmonics = int(h_freq * scan.period / raw.info["sfreq"] / step + 1e-6)
    chosen = np.floor(step * np.arange(1, n_harmonics + 1) + 0.5).astype(int) - 1
    chosen = chosen[chosen < lines.shape[1]]
    if not chosen.size:
        raise NotAvailable(f"There is no {level} harmonic below {h_freq:g} Hz.")
    return lines[:, chosen], between[:, chosen]
