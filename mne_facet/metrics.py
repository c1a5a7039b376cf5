"""Metrics of a correction, each a function of recordings.

``raw`` is the recording as it was, ``clean`` the same after a correction: the same
channels and samples. Volumes are annotations, in either of the two; what lies more than
half a second from every volume is the quiet part, where only the gradient artifact is
absent. Spans marked BAD do not count. All functions return one value, or one row, per
channel, in the order of the recording. Where a recording lacks what they need they
raise :class:`NotAvailable`; NaN and Inf in the data are an error. Nothing over nothing,
as in flat channels, is 1, or 0 dB. Units are in the text; ``picks=None`` means the EEG
channels that are not marked bad.
"""

import numpy as np

from ._checks import check_option
from ._event_metrics import (
    TrLocking,
    inps,
    locked_amplitude,
    locked_share,
    pulse_residual,
    tr_locking,
)
from ._events import usable_samples
from ._segments import (
    NotAvailable,
    find_scan,
    finite_data,
    pick_eeg,
    pick_scan,
    pieces_of,
    quiet_pieces,
    truth_data,
)
from ._spectral_metrics import (
    ALLEN_BANDS,
    ALPHA,
    EEG_BANDS,
    fft_deviation,
    line_attenuation,
    line_excess,
    power_kept,
)
from .signal.ratios import decibel, divide, gain, percent_kept
from .signal.spectra import band_pass

__all__ = [
    "ALLEN_BANDS",
    "ALPHA",
    "EEG_BANDS",
    "NotAvailable",
    "TrLocking",
    "against_truth",
    "artifact_amplitude",
    "excess_power",
    "fft_deviation",
    "inps",
    "line_attenuation",
    "line_excess",
    "locked_amplitude",
    "locked_share",
    "outside_change",
    "power_kept",
    "pulse_residual",
    "rms_ratio",
    "rms_residual",
    "tr_locking",
]


def rms_ratio(raw, clean, *, picks=None, description="TR", l_freq=1.0, h_freq=70.0):
    """RMS before over RMS after the correction, during the scan.

    ``sd(raw) / sd(clean)``, no unit [1]_. Ideal: not the largest but ``sd(raw)`` over
    the standard deviation of the EEG. Fooled by everything that removes EEG: zeros have
    the best value, infinity. Depends on the pass band.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction.
    picks : str | list | slice | None
        Channels; None: EEG channels not marked bad.
    description : str
        Description of the volume annotations.
    l_freq, h_freq : float | None
        Pass band in Hz; None leaves that side open.

    Returns
    -------
    ratio : array, shape (n_channels,)
        Before over after.

    References
    ----------
    .. [1] Glaser, Beisteiner, Bauer, Fischmeister (2013). FACET. BMC Neuroscience 14,
       138. https://doi.org/10.1186/1471-2202-14-138

    Examples
    --------
    >>> from mne_facet import simulate_raw, recipe
    >>> from mne_facet.metrics import rms_ratio
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> clean = recipe("aas", triggers="R128").fit_transform(raw)
    >>> bool((rms_ratio(raw, clean) > 1).all())
    True
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    before = _deviation(_scan_pieces(raw, picks, scan, l_freq, h_freq))
    after = _deviation(_scan_pieces(clean, picks, scan, l_freq, h_freq))
    return divide(before, after)


def rms_residual(raw, clean, *, picks=None, description="TR", l_freq=1.0, h_freq=70.0):
    """RMS during the scan after the correction, over RMS of the quiet part.

    ``sd(clean in the scan) / sd(raw outside)``, no unit [1]_. Ideal: 1; more is
    artifact, less is lost EEG. Fooled by any gain, and by EEG that differs between the
    two (eyes open and closed: 20 to 50 %).

    Parameters
    ----------
    raw, clean, picks, description, l_freq, h_freq
        As in :func:`rms_ratio`.

    Returns
    -------
    ratio : array, shape (n_channels,)
        Scan over quiet.

    References
    ----------
    .. [1] Moosmann et al. (2009). Realignment parameter-informed artefact correction
       for simultaneous EEG-fMRI recordings. NeuroImage 45, 1144-1150.
       https://doi.org/10.1016/j.neuroimage.2009.01.024
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    quiet = _deviation(quiet_pieces(raw, picks, scan, l_freq, h_freq))
    after = _deviation(_scan_pieces(clean, picks, scan, l_freq, h_freq))
    return divide(after, quiet)


def excess_power(raw, clean, *, picks=None, description="TR", l_freq=1.0, h_freq=70.0):
    """Power during the scan above that of the quiet part, as a share of it.

    ``(D - S) / S`` with ``D`` the variance after the correction and ``S`` that of the
    quiet part. Ideal: 0; below 0 EEG is lost. FACET's "SNR" is its inverse, which has
    no value for the channels that lost EEG. Fooled like :func:`rms_residual`.

    Parameters
    ----------
    raw, clean, picks, description, l_freq, h_freq
        As in :func:`rms_ratio`.

    Returns
    -------
    excess : array, shape (n_channels,)
        Share of the power of the quiet part.
    """
    ratio = rms_residual(
        raw,
        clean,
        picks=picks,
        description=description,
        l_freq=l_freq,
        h_freq=h_freq,
    )
    return ratio**2 - 1


def artifact_amplitude(
    raw, *, when="scan", picks=None, description="TR", l_freq=1.0, h_freq=70.0
):
    """Peak-to-peak amplitude in windows as long as the artifact, in uV.

    Mean over windows of 1.1 times the slice period (the TR if slices are not known),
    one after the other [1]_. Ideal: the value of the quiet part. Fooled by zeros and
    low-pass filters, and it depends on the pass band.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording, before or after the correction.
    when : "scan" | "quiet"
        Which part of it.
    picks, description, l_freq, h_freq
        As in :func:`rms_ratio`.

    Returns
    -------
    amplitude : array, shape (n_channels,)
        In uV.

    References
    ----------
    .. [1] Allen, Josephs, Turner (2000). NeuroImage 12, 230-239, "median imaging
       artefact", there with ten windows. https://doi.org/10.1006/nimg.2000.0599
    """
    check_option("when", when, ["scan", "quiet"])
    picks, scan = pick_scan(raw, raw, picks, description)
    part = quiet_pieces if when == "quiet" else _scan_pieces
    pieces = part(raw, picks, scan, l_freq, h_freq)
    length = int(1.1 * scan.slice_period)
    windows = [
        piece[:, : piece.shape[1] // length * length].reshape(len(picks), -1, length)
        for piece in pieces
    ]
    windows = np.concatenate(windows, axis=1)
    if not windows.shape[1]:
        raise NotAvailable(
            f"artifact_amplitude needs {length / raw.info['sfreq']:.2f} s in one piece."
        )
    return 1e6 * np.ptp(windows, axis=2).mean(axis=1)


def outside_change(
    raw, clean, *, picks=None, description="TR", l_freq=1.0, h_freq=70.0
):
    """RMS of what a correction changed where no scanner ran, in uV.

    Ideal: 0, for a correction of the gradient artifact; a pulse correction rightly
    works there too. Sees nothing of the scan itself, nor of changes outside the pass
    band: open it on both sides for those of the offset, or of a low-pass.

    Parameters
    ----------
    raw, clean, picks, description, l_freq, h_freq
        As in :func:`rms_ratio`.

    Returns
    -------
    change : array, shape (n_channels,)
        In uV.
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    before, after = (
        np.hstack(quiet_pieces(one, picks, scan, l_freq, h_freq))
        for one in (raw, clean)
    )
    return 1e6 * np.sqrt(((after - before) ** 2).mean(axis=1))


def against_truth(clean, truth, *, picks=None, description="TR"):
    """What a correction is worth where the truth is known, from 0.5 to 45 Hz.

    With ``e`` the truth and ``y`` the corrected recording, in the scan (all of the
    recording where there are no volumes): ``snr = 10 log10(sum e^2 / sum (y - e)^2)``
    in dB, ideal infinity, 0 for zeros; ``correlation`` of the two, ideal 1, blind to
    gain; ``gain = <y, e> / <e, e>``, ideal 1; ``alpha_kept``, the square of the gain
    from 8 to 12 Hz in percent (0 if it is negative), ideal 100.

    Parameters
    ----------
    clean : mne.io.Raw
        The corrected recording.
    truth : mne.io.Raw | array, shape (n_all_channels, n_times)
        What it should be, in V: of a simulation ``truth.eeg``, or ``truth.clean`` where
        the pulse artifact is to stay.
    picks, description
        As in :func:`rms_ratio`.

    Returns
    -------
    values : dict of array, shape (n_channels,)
        ``snr``, ``correlation``, ``gain`` and ``alpha_kept``.
    """
    picks = pick_eeg(clean, picks)
    true = truth_data(clean, truth)
    sfreq, during = clean.info["sfreq"], usable_samples(clean)
    if description in clean.annotations.description:
        during = find_scan(clean, description).running
    data = finite_data(clean, picks), true[picks]
    y, e = (band_pass(x, sfreq, 0.5, 45.0)[:, during] for x in data)
    alpha, true_alpha = (band_pass(x, sfreq, *ALPHA)[:, during] for x in data)
    power, true_power = (y**2).sum(axis=1), (e**2).sum(axis=1)
    return {
        "snr": decibel(true_power, ((y - e) ** 2).sum(axis=1)),
        "correlation": divide((y * e).sum(axis=1), np.sqrt(power * true_power)),
        "gain": gain(y, e),
        "alpha_kept": percent_kept(alpha, true_alpha),
    }


def _scan_pieces(raw, picks, scan, l_freq, h_freq):
    """Parts during the scan, see :func:`mne_facet._segments.pieces_of`."""
    pieces = pieces_of(raw, picks, scan.running, l_freq, h_freq)
    if not pieces:
        raise NotAvailable("1 s of scanning in one piece without BAD is needed.")
    return pieces


def _deviation(pieces):
    """Standard deviation over all pieces together."""
    return np.hstack(pieces).std(axis=1)
