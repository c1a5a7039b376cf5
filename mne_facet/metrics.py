"""Metrics of a correction, each a function of recordings.

``raw`` is the recording as it was, ``clean`` the same after a correction: the same
channels and samples. Volumes are annotations, in either of the two; what lies more than
half a second from every volume is the quiet part, where only the gradient artifact is
absent. Spans marked BAD do not count. All functions return one value, or one row, per
channel, in the order of the recording, and raise :class:`NotAvailable` where a
recording lacks what they need. Units are in the text; ``picks=None`` means the EEG
channels that are not marked bad.
"""

from typing import NamedTuple

import numpy as np
from mne.utils import warn

from ._events import annotation_samples, describe_annotations, get_runs, usable_samples
from ._segments import (
    NotAvailable,
    annotated,
    find_scan,
    pick_eeg,
    pick_pair,
    pieces_of,
    quiet_pieces,
    regular_epochs,
    truth_data,
)
from .signal.locked import complete_epochs, phase_locking, shared_power
from .signal.spectra import band_pass, line_powers, mean_spectrum

# delta, theta, alpha and beta in Hz
ALPHA = (8.0, 12.0)
EEG_BANDS = ((1.0, 4.0), (4.0, 8.0), ALPHA, (12.0, 30.0))
# bands of Allen et al. 2000
ALLEN_BANDS = ((0.8, 4.0), (4.0, 8.0), (8.0, 12.0), (12.0, 24.0))
# a response: frequency in Hz and duration (standard deviation) in seconds
_RESPONSE = 5.0, 0.08


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
    picks, scan = _pair(raw, clean, picks, description)
    before = _deviation(pieces_of(raw, picks, scan.running, l_freq, h_freq))
    after = _deviation(pieces_of(clean, picks, scan.running, l_freq, h_freq))
    return _divide(before, after)


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
    picks, scan = _pair(raw, clean, picks, description)
    quiet = _deviation(quiet_pieces(raw, picks, scan, l_freq, h_freq))
    after = _deviation(pieces_of(clean, picks, scan.running, l_freq, h_freq))
    return _divide(after, quiet)


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
    if when not in ("scan", "quiet"):
        raise ValueError(f"when={when!r} is unknown. Allowed are 'scan' and 'quiet'.")
    picks, scan = _pair(raw, raw, picks, description)
    if when == "quiet":
        pieces = quiet_pieces(raw, picks, scan, l_freq, h_freq)
    else:
        pieces = pieces_of(raw, picks, scan.running, l_freq, h_freq)
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
    return 100 * _divide(after - quiet, quiet)


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
    return 100 * _divide(_in_bands(after, bands), _in_bands(quiet, bands))


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
    picks, scan = _pair(raw, raw, picks, description)
    lines, between = _lines(raw, picks, scan, level, h_freq)
    return _decibel(lines, between)


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
    picks, scan = _pair(raw, clean, picks, description)
    before, _ = _lines(raw, picks, scan, level, h_freq)
    after, _ = _lines(clean, picks, scan, level, h_freq)
    return _decibel(after, before)


def locked_amplitude(raw, description="TR", *, picks=None, l_freq=1.0, h_freq=70.0):
    """RMS amplitude of what recurs with every volume or heart beat, in uV.

    ``sqrt(max(0, L))`` with ``L`` the mean product of epochs one to three apart: EEG,
    which does not recur, has none on average, however few the epochs are. Ideal: 0;
    a fifth of the EEG's RMS can be chance in a minute. Sees nothing of what changes
    sign or place from one epoch to the next; fooled by everything that removes EEG too.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording, before or after the correction.
    description : str
        Annotations the epochs begin at: ``"TR"`` for the gradient artifact,
        ``"R peak"`` for the pulse artifact. They last until the next one, as a rule.
    picks, l_freq, h_freq
        As in :func:`rms_ratio`.

    Returns
    -------
    amplitude : array, shape (n_channels,)
        In uV.
    """
    return 1e6 * np.sqrt(_locked(raw, description, picks, l_freq, h_freq)[0])


def locked_share(raw, description="TR", *, picks=None, l_freq=1.0, h_freq=70.0):
    """Share of the power that recurs with every volume or heart beat, in percent.

    The square of :func:`locked_amplitude` over the variance of the epochs. Ideal: 0; a
    few percent can be chance in a minute.

    Parameters
    ----------
    raw, description, picks, l_freq, h_freq
        As in :func:`locked_amplitude`.

    Returns
    -------
    share : array, shape (n_channels,)
        In percent.
    """
    shared, power = _locked(raw, description, picks, l_freq, h_freq)
    return 100 * shared / np.where(power > 0, power, 1)


def _locked(raw, description, picks, l_freq, h_freq):
    """Power that epochs share, and all of it."""
    starts, length = regular_epochs(raw, description)
    sfreq = raw.info["sfreq"]
    powers = []
    for x in raw.get_data(pick_eeg(raw, picks)):
        epochs = complete_epochs(band_pass(x, sfreq, l_freq, h_freq), starts, length)
        powers.append((max(0.0, shared_power(epochs)), (epochs**2).mean()))
    return np.transpose(powers)


def pulse_residual(raw, clean, *, picks=None, description="R peak"):
    """Mean heart beat after over before the correction, in percent.

    ``100 rms(M_clean) / rms(M_raw)`` with ``M`` the mean epoch from the R peak to 0.6 s
    after it, above 0.5 Hz [1]_. Ideal: not 0 but what chance leaves, about the EEG over
    the square root of the number of beats. Needs recordings without gradient artifact.
    Fooled by zeros and over-fitting.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction.
    picks : str | list | slice | None
        Channels; None: EEG channels not marked bad.
    description : str
        Description of the heart beats.

    Returns
    -------
    residual : array, shape (n_channels,)
        In percent.

    References
    ----------
    .. [1] Marino et al. (2018). Adaptive optimal basis set for BCG artifact removal in
       simultaneous EEG-fMRI. Scientific Reports 8, 8902.
       https://doi.org/10.1038/s41598-018-27187-6
    """
    picks = pick_pair(raw, clean, picks)
    starts, _ = regular_epochs(annotated(raw, clean, description), description)
    sfreq = raw.info["sfreq"]
    before, after = (
        [
            complete_epochs(x, starts, int(0.6 * sfreq)).mean(axis=0).std()
            for x in band_pass(one.get_data(picks), sfreq, 0.5, None)
        ]
        for one in (raw, clean)
    )
    return 100 * _divide(np.array(after), np.array(before))


def inps(raw, clean, *, picks=None, description="R peak"):
    """Improvement of the normalised power spectrum at the heart rate, in dB.

    ``10 log10(sum P_raw / sum P_clean)`` over the first five harmonics of the median
    heart rate, each 0.3 Hz wide, in 20 s Hann sections, after [1]_. Published as the
    larger the better; ideal is the value at which the artifact is gone and the EEG is
    not. Needs recordings without gradient artifact. Fooled by zeros, notches and
    low-pass filters.

    Parameters
    ----------
    raw, clean, picks, description
        As in :func:`pulse_residual`.

    Returns
    -------
    improvement : array, shape (n_channels,)
        In dB.

    References
    ----------
    .. [1] Srivastava, Crottaz-Herbette, Lau, Glover, Menon (2005). ICA-based procedures
       for removing ballistocardiogram artifacts from EEG data acquired in the MRI
       scanner. NeuroImage 24, 50-60. https://pubmed.ncbi.nlm.nih.gov/15588596
    """
    picks = pick_pair(raw, clean, picks)
    source, sfreq = annotated(raw, clean, description), raw.info["sfreq"]
    _, period = regular_epochs(source, description)
    length = int(20 * sfreq)
    powers = []
    for one in (raw, clean):
        pieces = pieces_of(one, picks, usable_samples(source))
        spectrum, n_sections = mean_spectrum(pieces, length)
        if not n_sections:
            raise NotAvailable("inps needs 20 s without BAD annotations.")
        freqs = np.arange(spectrum.shape[1]) / 20
        harmonics = sfreq / period * np.arange(1, 6)
        near = (np.abs(freqs[:, np.newaxis] - harmonics) <= 0.15).any(axis=1)
        powers.append(spectrum[:, near].sum(axis=1))
    return _decibel(*powers)


def outside_change(
    raw, clean, *, picks=None, description="TR", l_freq=1.0, h_freq=70.0
):
    """RMS of what a correction changed where no scanner ran, in uV.

    Ideal: 0, for a correction of the gradient artifact; a pulse correction rightly
    works there too. Sees nothing of the scan itself.

    Parameters
    ----------
    raw, clean, picks, description, l_freq, h_freq
        As in :func:`rms_ratio`.

    Returns
    -------
    change : array, shape (n_channels,)
        In uV.
    """
    picks, scan = _pair(raw, clean, picks, description)
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
    from 8 to 12 Hz in percent, ideal 100.

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
    pairs = {}
    for band in ((0.5, 45.0), ALPHA):
        pairs[band] = [
            band_pass(x, sfreq, *band)[:, during]
            for x in (clean.get_data(picks), true[picks])
        ]
    (y, e), (alpha, true_alpha) = pairs.values()
    norms = (y**2).sum(axis=1), (e**2).sum(axis=1)
    product = (y * e).sum(axis=1)
    return {
        "snr": _decibel(norms[1], ((y - e) ** 2).sum(axis=1)),
        "correlation": _divide(product, np.sqrt(norms[0] * norms[1])),
        "gain": _divide(product, norms[1]),
        "alpha_kept": 100
        * _divide((alpha * true_alpha).sum(axis=1), (true_alpha**2).sum(axis=1)) ** 2,
    }


class TrLocking(NamedTuple):
    """How events lie in the volumes; prints as a sentence.

    Attributes
    ----------
    n_events : int
        Events during the scan.
    value : float
        Phase-locking value: 0 for events spread evenly over the TR, 1 for events always
        at the same time of it.
    probability : float
        Of a value as large by chance (Rayleigh's test).
    removed : float
        Share of an evoked response of about 5 Hz that an average over volumes takes
        away with the artifact, 0 to 1.
    """

    n_events: int
    value: float
    probability: float
    removed: float

    @property
    def locked(self):
        """Whether a response would suffer: a tenth of it or more is removed."""
        return self.removed >= 0.1

    def __str__(self):
        facts = (
            f"{self.n_events} events, phase-locking value {self.value:.2f} "
            f"(p = {self.probability:.2g})"
        )
        if not self.locked:
            return f"{facts}: not locked to the volumes."
        return (
            f"{facts}: locked to the volumes. Averages over volumes take about "
            f"{100 * self.removed:.0f} % of what these events evoke for artifact. "
            "Correct by slices, or jitter the events against the TR."
        )


def tr_locking(raw, events, *, description="TR", window=30):
    """Whether events are locked to the volumes, so that averages remove their response.

    An average over volumes cannot tell the artifact from a response that comes at the
    same time of every volume. For each event the `window` nearest other volumes are
    searched for events; ``removed`` is the mean over these volumes of
    ``exp(-d^2 / (2 s^2)) cos(2 pi f d)``, ``d`` the difference of their times in the
    volume, ``f = 5`` Hz and ``s = 80`` ms: the similarity of two responses ``d`` apart.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording with annotated volumes and events.
    events : str
        Description of the annotations of the events.
    description : str
        Description of the volume annotations.
    window : int
        Number of volumes that are averaged.

    Returns
    -------
    locking : TrLocking
        Numbers; prints as a sentence.

    Warns
    -----
    RuntimeWarning
        If averages over volumes remove a tenth of the response or more.

    Examples
    --------
    >>> from mne_facet import TriggerDetector, simulate_raw
    >>> from mne_facet.metrics import tr_locking
    >>> raw, truth = simulate_raw(duration=90, n_eeg=2, sfreq=1000)
    >>> raw = TriggerDetector("R128").fit_transform(raw)
    >>> tr_locking(raw, "Stimulus/S  1").locked
    False
    """
    index = np.flatnonzero(raw.annotations.description == events)
    if not index.size:
        raise ValueError(
            f"events={events!r} is the description of no annotation. The recording "
            f"has: {describe_annotations(raw)}."
        )
    times = annotation_samples(raw, index)
    phases, removed = [], []
    for run in get_runs(raw, description, name="tr_locking"):
        volume = np.searchsorted(run.onsets, times, side="right") - 1
        lag = times - run.onsets[np.maximum(volume, 0)]
        inside = (volume >= 0) & (lag < run.period)
        volume, lag = volume[inside], lag[inside]
        phases.append(2 * np.pi * lag / run.period)
        removed.append(
            _share_removed(volume, lag / raw.info["sfreq"], len(run.onsets), window)
        )
    phases, removed = np.concatenate(phases), np.concatenate(removed)
    if not phases.size:
        raise ValueError(f"None of the {times.size} events {events!r} is in the scan.")
    value, probability = phase_locking(phases)
    share = float(np.clip(removed.mean(), 0, 1))
    locking = TrLocking(phases.size, value, probability, share)
    if locking.locked:
        warn(f"{events}: {locking}")
    return locking


def _share_removed(volume, lag, n_volumes, window):
    """Similarity to what the volumes around that of each event have at its time."""
    frequency, duration = _RESPONSE
    apart = lag[:, np.newaxis] - lag
    alike = np.exp(-0.5 * (apart / duration) ** 2) * np.cos(
        2 * np.pi * frequency * apart
    )
    window = min(window, n_volumes - 1)
    first = np.clip(volume - window // 2, 0, n_volumes - 1 - window)[:, np.newaxis]
    used = (volume >= first) & (volume <= first + window)
    used &= volume != volume[:, np.newaxis]
    return (alike * used).sum(axis=1) / window


def _pair(raw, clean, picks, description):
    """Channels of a recording and its correction, and when the scanner ran."""
    picks = pick_pair(raw, clean, picks)
    return picks, find_scan(annotated(raw, clean, description), description)


def _spectra(raw, clean, picks, description, seconds, exponent):
    """Frequencies with the mean spectrum of the scan, and of the quiet part."""
    picks, scan = _pair(raw, clean, picks, description)
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
    inside = [(freqs >= low) & (freqs < high) for low, high in bands]
    return np.array([spectrum[:, band].mean(axis=1) for band in inside]).T


def _lines(raw, picks, scan, level, h_freq):
    """Powers at and between the harmonics of slices or volumes."""
    if level not in ("slice", "volume"):
        raise ValueError(f"level={level!r} is unknown. Allowed: 'slice', 'volume'.")
    if level == "slice" and scan.slice_period > 0.6 * scan.period:
        raise NotAvailable(
            "The number of slices per volume is not known. Use "
            "TriggerDetector(n_slices=...)."
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


def _deviation(pieces):
    """Standard deviation over all pieces together."""
    if not pieces:
        raise NotAvailable("1 s of scanning in one piece without BAD is needed.")
    return np.hstack(pieces).std(axis=1)


def _divide(above, below):
    """Ratio that is infinite where `below` is 0, and 1 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(above) / below
    return np.where((above == 0) & (below == 0), 1.0, ratio)


def _decibel(above, below):
    with np.errstate(divide="ignore"):
        return 10 * np.log10(_divide(above, below))
