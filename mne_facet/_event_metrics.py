"""Metrics of what recurs with volumes and heart beats, see :mod:`mne_facet.metrics`."""

from typing import NamedTuple

import numpy as np
from mne.utils import warn

from ._events import annotation_samples, describe_annotations, get_runs, usable_samples
from ._segments import (
    NotAvailable,
    annotated,
    finite_data,
    pick_eeg,
    pick_pair,
    pieces_of,
    regular_epochs,
)
from .signal.locked import complete_epochs, phase_locking, shared_power
from .signal.ratios import decibel, divide
from .signal.spectra import band_pass, mean_spectrum

# a response: frequency in Hz and duration (standard deviation) in seconds
_RESPONSE = 5.0, 0.08


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
    for x in finite_data(raw, pick_eeg(raw, picks)):
        epochs = complete_epochs(band_pass(x, sfreq, l_freq, h_freq), starts, length)
        powers.append((max(0.0, shared_power(epochs)), (epochs**2).mean()))
    return np.transpose(powers)


def pulse_residual(raw, clean, *, picks=None, description="R peak"):
    """Mean heart beat after over before the correction, in percent.

    ``100 sd(M_clean) / sd(M_raw)`` with ``M`` the mean epoch from the R peak to 0.6 s
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
            for x in band_pass(finite_data(one, picks), sfreq, 0.5, None)
        ]
        for one in (raw, clean)
    )
    return 100 * divide(np.array(after), np.array(before))


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
        freqs = np.arange(spectrum.shape[1]) * sfreq / length
        harmonics = sfreq / period * np.arange(1, 6)
        near = (np.abs(freqs[:, np.newaxis] - harmonics) <= 0.15).any(axis=1)
        powers.append(spectrum[:, near].sum(axis=1))
    return decibel(*powers)


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
