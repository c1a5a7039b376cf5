"""Heart beats: find and report."""

import re
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import logger

from ._base import RawTransformer, check_data, pick_channels
from ._checks import check_on_missing, report_missing
from ._events import (
    NoBeatsError,
    annotation_samples,
    beat_index,
    get_runs,
    usable_samples,
    write_beats,
)
from .signal.qrs import PULSE_BAND, QRS_BAND, find_beats
from .signal.rhythm import local_period

# Below this the evidence has hardly a rhythm. EEG without a pulse artifact reaches 0.3
# by chance, with one of 30 uV 0.6.
_LEAST_PERIODICITY = 0.2
_LEAST_IN_EEG = 0.4


class RPeakDetector(RawTransformer):
    """Find the heart beats and annotate every R peak.

    Made for the ECG in the scanner: the wave of the blood flowing in the field, which
    can be larger than the R wave, residues of the gradients, bursts and ectopic beats.
    No threshold decides but the most plausible rhythm through all that looks like a
    beat, so neither unit nor polarity of the ECG matters. Without an ECG the beats come
    from the pulse artifact in the EEG.

    Correct the gradient artifact first, above all in EEG. Later steps use nothing but
    the annotations: delete, move or add beats in MNE's browser as you like, and see
    :func:`beat_report`.

    Parameters
    ----------
    picks : str | list | slice
        Channels to look at, several together. ``"ecg"``: channels of type ECG or with
        ECG or EKG in their name, without ``info["bads"]`` and flat ones; if there are
        none, all good EEG channels. Any other channels than ECG are taken to show the
        pulse wave: EEG, carbon-wire loops, a pulse oximeter.
    l_freq, h_freq : float | None
        Band in which beats stand out, in Hz. None: 8 and 40 for ECG, 2 and 12 for pulse
        waves.
    delay : float
        Seconds from the R peak to the largest deflection of the pulse wave, where beats
        are found in one: 0.21 [1]_ in EEG, more at a finger.
    volumes : str | None
        Description of the volume annotations. If there are any, harmonics of the slice
        frequency (of the volume frequency, if :class:`TriggerDetector` does not know
        the slices) that stand out are filtered out first, in a copy. None: never, as
        for a pacemaker whose rate suits the TR.
    description : str
        Description of the annotations to write. Earlier ones that were written here are
        replaced, others stay.
    on_missing : "raise" | "warn" | "ignore"
        What to do if no beats are found; unless ``"raise"``, the recording stays as it
        is.
    copy : bool
        Whether to leave the input as it is and return a copy.
    verbose : bool | str | int | None
        As in MNE.

    Raises
    ------
    ValueError
        If all channels are flat, and with ``on_missing="raise"`` if there is neither an
        ECG nor an EEG channel, if fewer than 3 beats are found, or if no rhythm is seen
        in the EEG, where there is no ECG.

    Notes
    -----
    The onset of an annotation is the R peak, a time between samples; its exact value is
    in ``raw.annotations.extras`` as ``"time"``, with ``"quality"`` (correlation with
    the typical beat, 0 to 1) and ``"kind"``: "normal"; "ectopic" (early, then a
    pause); "restored", where the signal is lost and the rhythm has a beat.

    Nothing is looked for in spans marked BAD and where a channel does not change for
    0.2 s. Gaps this leaves are filled from the rhythm up to 8 s; pauses in good signal
    are left as pauses.

    References
    ----------
    .. [1] Allen, Polizzi, Krakow, Fish, Lemieux (1998). Identification of EEG events in
       the MR scanner: the problem of pulse artifact and a method for its subtraction.
       NeuroImage 8, 229-239. https://doi.org/10.1006/nimg.1998.0361

    Examples
    --------
    >>> from mne_facet import RPeakDetector, beat_report, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000, gradient=0)
    >>> raw = RPeakDetector().fit_transform(raw)
    >>> beat_report(raw).n_beats == truth.beat_times.size
    True
    """

    # bridged copy, search for flat stretches, and all channels at a lower rate
    _n_arrays = 12.0

    def __init__(
        self,
        *,
        picks="ecg",
        l_freq=None,
        h_freq=None,
        delay=0.21,
        volumes="TR",
        description="R peak",
        on_missing="raise",
        copy=True,
        verbose=None,
    ):
        self.picks = picks
        self.l_freq = l_freq
        self.h_freq = h_freq
        self.delay = delay
        self.volumes = volumes
        self.description = description
        self.on_missing = on_missing
        self.copy = copy
        self.verbose = verbose

    def _correct(self, raw):
        check_on_missing(self.on_missing)
        try:
            picks, is_ecg = self._channels(raw)
            beats = self._find(raw, picks, is_ecg)
        except NoBeatsError as error:
            report_missing(error, self.on_missing)
            return raw
        shift = 0.0 if is_ecg else self.delay * raw.info["sfreq"]
        extras = [
            {"quality": round(float(quality), 3), "kind": str(kind)}
            for quality, kind in zip(beats.quality, beats.kind, strict=True)
        ]
        write_beats(raw, beats.samples - shift, extras, self.description)
        _log(raw, _name(raw, picks), beats)
        return raw

    def _find(self, raw, picks, is_ecg):
        band = self._band(is_ecg, raw.info["sfreq"])
        check_data(raw, picks, name="RPeakDetector")
        names = _name(raw, picks)
        beats = find_beats(
            [raw._data[pick] for pick in picks],
            raw.info["sfreq"],
            band,
            usable_samples(raw),
            n_passes=0 if is_ecg else 2,
            lines=_scanner_frequencies(raw, self.volumes),
        )
        if beats.samples.size < 3:
            raise NoBeatsError(
                f"RPeakDetector found {beats.samples.size} beats in {names} within "
                f"{raw.times[-1]:.1f} s; 3 are needed. Look at the signal, or choose "
                "other channels with picks=."
            )
        rhythm = f"rhythm (periodicity {beats.periodicity:.2f})"
        if self._wants_ecg() and not is_ecg and beats.periodicity < _LEAST_IN_EEG:
            raise NoBeatsError(
                f"RPeakDetector found no ECG, and no pulse artifact in {names}: what "
                f"there is has hardly a {rhythm}. Correct the gradient artifact first, "
                "or name the channels with picks= to have these beats all the same."
            )
        if beats.periodicity < _LEAST_PERIODICITY:
            _warn(
                f"The beats found in {names} have hardly a {rhythm}. Correct the "
                "gradient artifact first, look at the result, or choose other channels "
                "with picks=."
            )
        return beats

    def _wants_ecg(self):
        return isinstance(self.picks, str) and self.picks == "ecg"

    def _channels(self, raw):
        """Channels to look at, and whether they are ECG."""
        ecg = [
            pick
            for pick, (name, kind) in enumerate(
                zip(raw.ch_names, raw.get_channel_types(), strict=True)
            )
            if kind == "ecg" or (kind != "stim" and re.search("(?i)ecg|ekg", name))
        ]
        if not self._wants_ecg():
            picks = pick_channels(raw, self.picks, name="RPeakDetector")
            return picks, set(picks) <= set(ecg)
        good = [pick for pick in ecg if raw.ch_names[pick] not in raw.info["bads"]]
        alive = [pick for pick in good if np.ptp(raw._data[pick]) > 0]
        eeg = mne.pick_types(raw.info, eeg=True, exclude="bads")
        eeg = [pick for pick in eeg if pick not in ecg]
        if alive or (good and not eeg):
            return alive or good, True
        if not eeg:
            raise NoBeatsError(
                "RPeakDetector found neither an ECG nor an EEG channel, the recording "
                f"has {sorted(set(raw.get_channel_types()))}. Set the channel types "
                "with raw.set_channel_types or name the channels with picks=."
            )
        logger.info(
            "RPeakDetector: no ECG channel, beats from the pulse artifact in the EEG"
        )
        return eeg, False

    def _band(self, is_ecg, sfreq):
        default = QRS_BAND if is_ecg else PULSE_BAND
        low = default[0] if self.l_freq is None else self.l_freq
        high = default[1] if self.h_freq is None else self.h_freq
        if not 0 < low < high or low >= 0.4 * sfreq:
            raise ValueError(
                f"l_freq={low} and h_freq={high} must be a band in Hz, 0 < l_freq < "
                f"h_freq, with l_freq below 0.4 sfreq = {0.4 * sfreq:g}."
            )
        return low, high


def _scanner_frequencies(raw, description):
    """Slice frequency in Hz of each scanner run, volume frequency if unknown."""
    if np.sum(raw.annotations.description == description) < 3:
        return []
    runs = get_runs(raw, description, name="RPeakDetector")
    return sorted({float(f"{raw.info['sfreq'] / r.slice_period:.5g}") for r in runs})


def _name(raw, picks):
    names = [raw.ch_names[pick] for pick in picks]
    if len(names) > 4:
        return f"{len(names)} channels"
    return ", ".join(names)


def _log(raw, names, beats):
    intervals = np.diff(beats.samples) / raw.info["sfreq"]
    logger.info(
        f"RPeakDetector: {beats.samples.size} beats in {names}, every "
        f"{np.median(intervals):.3f} s ({intervals.min():.2f} to "
        f"{intervals.max():.2f}), {np.sum(beats.kind == 'ectopic')} ectopic, "
        f"{np.sum(beats.kind == 'restored')} restored in lost signal, quality "
        f"{np.median(beats.quality):.2f}"
    )


def _warn(message):
    mne.utils.warn(message, ignore_namespaces=("mne", "mne_facet"))


class BeatReport(NamedTuple):
    """Heart beats of a recording; prints as a table.

    Attributes
    ----------
    n_beats : int
        Number of beats.
    rr_median, rr_min, rr_max : float
        Intervals between them in seconds; NaN if there is one beat only.
    n_ectopic, n_restored : int | None
        Early ones, and ones placed by the rhythm where the signal was lost; None if the
        beats do not come from :class:`RPeakDetector`.
    quality : float | None
        Median correlation with the typical beat.
    n_poor : int | None
        Beats with a correlation below 0.5, restored ones not counted.
    gaps : list of tuple (float, float)
        Stretches without a beat, longer than twice the usual interval, the ends of the
        recording included: start and stop in seconds from the first sample.

    Examples
    --------
    >>> from mne_facet import add_beats, beat_report, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> report = beat_report(add_beats(raw, truth.beat_times))
    >>> report.n_beats == len(truth.beat_times)
    True
    """

    n_beats: int
    rr_median: float
    rr_min: float
    rr_max: float
    n_ectopic: int | None
    n_restored: int | None
    quality: float | None
    n_poor: int | None
    gaps: list

    def __str__(self):
        rows = (
            ("Beats", self.n_beats, "{:d}"),
            ("RR interval, median (s)", self.rr_median, "{:.3f}"),
            ("RR interval, shortest (s)", self.rr_min, "{:.3f}"),
            ("RR interval, longest (s)", self.rr_max, "{:.3f}"),
            ("Ectopic", self.n_ectopic, "{:d}"),
            ("Restored in lost signal", self.n_restored, "{:d}"),
            ("Quality, median", self.quality, "{:.2f}"),
            ("Of poor quality", self.n_poor, "{:d}"),
            ("Gaps", len(self.gaps), "{:d}"),
        )
        lines = [
            label.ljust(31) + ("-" if value is None else form.format(value)).rjust(12)
            for label, value, form in rows
        ]
        return "\n".join(
            lines + [f"  {start:.2f} to {stop:.2f} s" for start, stop in self.gaps]
        )


def beat_report(raw, description="R peak"):
    """Heart beats of a recording in numbers.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording with annotated beats, whoever annotated them.
    description : str
        Description of the annotations.

    Returns
    -------
    report : BeatReport
        What there is; prints as a table.

    Raises
    ------
    ValueError
        If there are no beats.

    Examples
    --------
    >>> from mne_facet import RPeakDetector, beat_report, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000, gradient=0)
    >>> report = beat_report(RPeakDetector().fit_transform(raw))
    >>> report.gaps, report.n_restored
    ([], 0)
    """
    index = beat_index(raw, description, name="beat_report")
    times = annotation_samples(raw, index) / raw.info["sfreq"]
    extras = [raw.annotations.extras[i] for i in index]
    kinds = [extra.get("kind") for extra in extras]
    quality = [
        extra["quality"]
        for extra in extras
        if extra.get("quality") is not None and extra.get("kind") != "restored"
    ]
    intervals = np.diff(times) if times.size > 1 else np.array([np.nan])
    found = bool(quality)
    return BeatReport(
        n_beats=times.size,
        rr_median=float(np.median(intervals)),
        rr_min=float(intervals.min()),
        rr_max=float(intervals.max()),
        n_ectopic=kinds.count("ectopic") if found else None,
        n_restored=kinds.count("restored") if found else None,
        quality=float(np.median(quality)) if found else None,
        n_poor=int(np.sum(np.array(quality) < 0.5)) if found else None,
        gaps=_gaps(times, raw.n_times / raw.info["sfreq"]),
    )


def _gaps(times, duration):
    """Stretches longer than twice the usual interval."""
    if times.size < 2:
        return []
    _, usual = local_period(times)
    borders = np.r_[0.0, times, duration]
    usual = np.r_[usual[0], usual, usual[-1]]
    long = np.flatnonzero(np.diff(borders) > 2 * usual)
    return [(float(borders[k]), float(borders[k + 1])) for k in long]
