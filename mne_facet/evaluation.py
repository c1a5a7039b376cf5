"""All metrics of a correction in one row, and rows of several corrections."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import logger
from sklearn.base import clone

from . import metrics
from ._epochs import without_volumes
from ._segments import (
    AT_A_TIME,
    NotAvailable,
    find_scan,
    low_rate,
    pick_pair,
    truth_data,
    without_beats,
)
from .score import score_terms


class Row(NamedTuple):
    """One line of the table."""

    key: str
    label: str
    form: str
    ideal: str


ROWS = [
    Row("grade", "Grade", "{}", "good"),
    Row("score", "Estimated SNR (dB)", "{:.1f}", "above 10"),
    Row("eeg_lost", "EEG lost or invented (%)", "{:.1f}", "0"),
    Row("residual", "Artifact left (uV)", "{:.2f}", "0"),
    Row("snr", "SNR against the truth (dB)", "{:.1f}", "above 10"),
    Row("correlation", "Correlation with the truth", "{:.3f}", "1"),
    Row("gain", "Gain of the truth", "{:.3f}", "1"),
    Row("alpha_kept", "Alpha of the truth kept (%)", "{:.1f}", "100"),
    Row("kept_delta", "Delta, scan over quiet (%)", "{:.0f}", "100"),
    Row("kept_theta", "Theta, scan over quiet (%)", "{:.0f}", "100"),
    Row("kept_alpha", "Alpha, scan over quiet (%)", "{:.0f}", "100"),
    Row("kept_beta", "Beta, scan over quiet (%)", "{:.0f}", "100"),
    Row("amplitude_before", "Peak to peak, before (uV)", "{:.0f}", ""),
    Row("amplitude_after", "Peak to peak, after (uV)", "{:.1f}", "as quiet"),
    Row("amplitude_quiet", "Peak to peak, quiet (uV)", "{:.1f}", ""),
    Row("rms_ratio", "RMS before / after", "{:.2f}", "RMS before / EEG"),
    Row("rms_residual", "RMS after / quiet", "{:.2f}", "1"),
    Row("excess_power", "Excess power over quiet", "{:.2f}", "0"),
    Row("fft_delta", "Amplitude 0.8-4 Hz to quiet (%)", "{:+z.0f}", "0"),
    Row("fft_theta", "Amplitude 4-8 Hz to quiet (%)", "{:+z.0f}", "0"),
    Row("fft_alpha", "Amplitude 8-12 Hz to quiet (%)", "{:+z.0f}", "0"),
    Row("fft_beta", "Amplitude 12-24 Hz to quiet (%)", "{:+z.0f}", "0"),
    Row(
        "slice_attenuation",
        "Slice harmonics, attenuation (dB)",
        "{:.1f}",
        "down to the EEG",
    ),
    Row("slice_excess", "Slice harmonics, largest (dB)", "{:+z.1f}", "0"),
    Row("slice_notch", "Slice harmonics, smallest (dB)", "{:+z.1f}", "0"),
    Row("volume_excess", "Volume harmonics, mean (dB)", "{:+z.1f}", "0"),
    Row("volume_locked_before", "In step with volumes, before (uV)", "{:.1f}", ""),
    Row("volume_locked", "In step with volumes, after (uV)", "{:.2f}", "0"),
    Row("volume_share", "In step with volumes, after (%)", "{:.1f}", "0"),
    Row("pulse_locked_before", "In step with beats, before (uV)", "{:.1f}", ""),
    Row("pulse_locked", "In step with beats, after (uV)", "{:.2f}", "0"),
    Row("pulse_share", "In step with beats, after (%)", "{:.1f}", "0"),
    Row(
        "pulse_residual", "Mean beat after / before (%)", "{:.1f}", "what chance leaves"
    ),
    Row("inps", "INPS (dB)", "{:.1f}", "down to the EEG"),
    Row(
        "outside_change",
        "Change where no scanner ran (uV)",
        "{:.2f}",
        "0 without pulse",
    ),
    Row("seconds", "Time (s)", "{:.2f}", ""),
]

_LABELS = {row.key: row.label for row in ROWS}


class _Limit(NamedTuple):
    """Where a value is to be watched, where it is poor, and what that means."""

    key: str
    watch: float
    poor: float
    text: str

    def judge(self, value):
        """0 for good, 1 for watch, 2 for poor."""
        sign = 1 if self.poor > self.watch else -1
        return sum(sign * value > sign * limit for limit in (self.watch, self.poor))


# Set on simulated recordings of 1 to 3 minutes: quiet parts of a few seconds tell the
# power of a band to a factor of 2, of delta (blinks) hardly that; good averages leave
# lines of up to 11 dB and notches of up to 6 dB that hold no power to speak of.
_LIMITS = [
    _Limit("score", 8, 4, "the errors are large against the EEG"),
    _Limit("eeg_lost", 15, 35, "the correction removes or invents EEG"),
    _Limit("kept_delta", 35, 20, "delta is lost"),
    _Limit("kept_theta", 55, 35, "theta is lost"),
    _Limit("kept_alpha", 55, 35, "alpha is lost"),
    _Limit("kept_beta", 55, 35, "beta is lost"),
    _Limit("kept_theta", 200, 400, "theta has more power than without scanning"),
    _Limit("kept_alpha", 200, 400, "alpha has more power than without scanning"),
    _Limit("kept_beta", 200, 400, "beta has more power than without scanning"),
    _Limit("slice_excess", 12, 25, "artifact is left at the slice frequency"),
    _Limit("slice_notch", -8, -15, "EEG is lost at the slice frequency"),
    _Limit("volume_excess", 3, 9, "artifact is left at the volume frequency"),
    _Limit("volume_excess", -3, -6, "EEG is lost at the volume frequency"),
    _Limit("volume_share", 5, 20, "artifact is left in step with the volumes"),
    _Limit("pulse_share", 5, 20, "pulse artifact is left"),
]
_GRADES = ("good", "watch", "poor")


def evaluate(
    raw,
    clean,
    *,
    truth=None,
    estimator=None,
    picks=None,
    description="TR",
    beats="R peak",
):
    """All metrics of a correction, as one row of a table.

    Each value is the median over channels of a function of :mod:`mne_facet.metrics`,
    where formula, unit, ideal value and what it takes for good are told; at 500 Hz or
    little more, below 0.4 times that. Flat channels do not count. What pulse metrics
    call "before" is after a rough correction of the volumes, an average of 30. Where a
    correction has changed the quiet part and heart beats are known, that part is
    compared with after a rough correction of the beats.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction, with the same channels and
        samples. Volumes, heart beats and BAD spans may be annotated in either; of
        those that both have under the same description, those of `clean` count.
    truth : mne.io.Raw | array, shape (n_all_channels, n_times) | None
        What `clean` should be, in V, if it is known.
    estimator : estimator | None
        The correction, to plant signals and correct once more: adds ``score``,
        ``eeg_lost`` and ``residual``, see :func:`correction_score`.
    picks : str | list | slice | None
        Channels; None: EEG channels not marked bad.
    description, beats : str
        Descriptions of the annotations of volumes and heart beats.

    Returns
    -------
    row : dict
        Floats. Where the recording lacks what a metric needs, its value is None and
        ``"<name>_reason"`` says why; what the truth or the estimator is needed for is
        left out without them. ``grade`` is "good", "watch" or "poor", and
        ``grade_reason`` says what it rests on.

    Raises
    ------
    ValueError
        If channels, samples or the shape of the truth differ, if data are NaN or Inf,
        or if all channels are flat.

    Examples
    --------
    >>> from mne_facet import evaluate, recipe, simulate_raw
    >>> raw, truth = simulate_raw(duration=60, n_eeg=2, sfreq=500, lowpass=100, pulse=0)
    >>> pipeline = recipe("aas", triggers="R128", n_slices=20)
    >>> row = evaluate(raw, pipeline.fit_transform(raw), truth=truth.eeg)
    >>> row["grade"], row["snr"] > 10, row["inps"]
    ('good', True, None)
    """
    picks = pick_pair(raw, clean, picks)
    if truth is not None:
        data = truth_data(clean, truth)
        truth = mne.io.RawArray(data, clean.info.copy(), verbose="ERROR")
    descriptions = {"volumes": description, "beats": beats}
    row, reasons = _summaries(raw, clean, truth, picks, descriptions)
    if estimator is not None:
        options = {"picks": picks, "description": description, "beats": beats}
        try:
            score, lost, residual = score_terms(estimator, raw, clean, **options)
            row |= {"score": score, "eeg_lost": 100 * lost, "residual": residual}
        except NotAvailable as error:
            row |= dict.fromkeys(_SCORE)
            reasons |= _reasons(_SCORE, error)
    return {**_grade(row), **row, **reasons}


_TRUTH = ("snr", "correlation", "gain", "alpha_kept")
_SCORE = ("score", "eeg_lost", "residual")
_KEPT = ("kept_delta", "kept_theta", "kept_alpha", "kept_beta")
_FFT = ("fft_delta", "fft_theta", "fft_alpha", "fft_beta")


def _medians(values):
    return np.median(values, axis=0)


def _extremes(excess):
    """Largest and smallest of the medians of all harmonics."""
    typical = np.median(excess, axis=0)
    return np.array([typical.max(), typical.min()])


def _mean_harmonic(excess):
    return np.median(excess.mean(axis=1, keepdims=True), axis=0)


def _against_truth(clean, truth, description):
    values = metrics.against_truth(clean, truth, description=description)
    return np.transpose([values[key] for key in _TRUTH])


class _Measure(NamedTuple):
    """Keys of the row, the metric, what it is of, and the summary of its channels."""

    keys: tuple
    metric: Callable
    of: tuple = ("raw", "clean")
    events: str = "volumes"
    options: dict = {}
    summary: Callable = _medians


_RAW, _CLEAN, _ROUGH, _REFERENCE = ("raw",), ("clean",), ("rough",), ("reference",)
_TO_QUIET = _REFERENCE + _CLEAN
# share of the quiet part that is changed by corrections of the pulse artifact
_CHANGED = 0.05
_MEASURES = [
    _Measure(_TRUTH, _against_truth, ("clean", "truth")),
    _Measure(_KEPT, metrics.power_kept, _TO_QUIET),
    _Measure(("amplitude_before",), metrics.artifact_amplitude, _RAW),
    _Measure(("amplitude_after",), metrics.artifact_amplitude, _CLEAN),
    _Measure(
        ("amplitude_quiet",),
        metrics.artifact_amplitude,
        _REFERENCE,
        options={"when": "quiet"},
    ),
    _Measure(("rms_ratio",), metrics.rms_ratio),
    _Measure(("rms_residual",), metrics.rms_residual, _TO_QUIET),
    _Measure(("excess_power",), metrics.excess_power, _TO_QUIET),
    _Measure(_FFT, metrics.fft_deviation, _TO_QUIET),
    _Measure(("slice_attenuation",), metrics.line_attenuation, summary=_mean_harmonic),
    _Measure(
        ("slice_excess", "slice_notch"), metrics.line_excess, _CLEAN, summary=_extremes
    ),
    _Measure(
        ("volume_excess",),
        metrics.line_excess,
        _CLEAN,
        options={"level": "volume"},
        summary=_mean_harmonic,
    ),
    _Measure(("volume_locked_before",), metrics.locked_amplitude, _RAW),
    _Measure(("volume_locked",), metrics.locked_amplitude, _CLEAN),
    _Measure(("volume_share",), metrics.locked_share, _CLEAN),
    _Measure(("pulse_locked_before",), metrics.locked_amplitude, _ROUGH, "beats"),
    _Measure(("pulse_locked",), metrics.locked_amplitude, _CLEAN, "beats"),
    _Measure(("pulse_share",), metrics.locked_share, _CLEAN, "beats"),
    _Measure(("pulse_residual",), metrics.pulse_residual, _ROUGH + _CLEAN, "beats"),
    _Measure(("inps",), metrics.inps, _ROUGH + _CLEAN, "beats"),
    _Measure(("outside_change",), metrics.outside_change),
]


def _summaries(raw, clean, truth, picks, descriptions):
    """Values of the row, None where there is none, and the reasons for that."""
    measures = [m for m in _MEASURES if truth is not None or "truth" not in m.of]
    values, reasons, flat = {measure.keys: [] for measure in measures}, {}, []
    for first in range(0, len(picks), AT_A_TIME):
        group = picks[first : first + AT_A_TIME]
        recordings = _alike(raw, clean, truth, group, descriptions)
        varies = np.ptp(recordings["raw"].get_data(), axis=1) > 0
        flat += [raw.ch_names[pick] for pick in group[~varies]]
        for keys, metric, of, events, options, _ in measures:
            given = [recordings[name] for name in of]
            try:
                rows = metric(*given, description=descriptions[events], **options)
            except NotAvailable as error:
                reasons |= _reasons(keys, error)
            else:
                values[keys].extend(np.reshape(rows, (len(group), -1))[varies])
    if len(flat) == len(picks):
        raise ValueError("All channels are flat. Check the recording and picks=.")
    if flat:
        logger.info(f"evaluate: flat channels are left out: {', '.join(flat)}")
    row = {}
    for measure in measures:
        keys, found = measure.keys, np.array(values[measure.keys])
        numbers = measure.summary(found).tolist() if found.size else [None] * len(keys)
        row.update(zip(keys, numbers, strict=True))
    return row, reasons


def _reasons(keys, error):
    return {f"{key}_reason": str(error) for key in keys}


def _alike(raw, clean, truth, picks, descriptions):
    """Some channels of the recordings at the low rate, with the same annotations.

    ``rough``, a rough correction of the volumes, is what pulse metrics look at: beside
    the gradient artifact there is no other. ``reference`` has the quiet part.
    """
    before, after = low_rate(raw, picks), low_rate(clean, picks)
    known = after.annotations.description
    only_before = ~np.isin(before.annotations.description, known)
    after.set_annotations(after.annotations + before.annotations[only_before])
    before.set_annotations(after.annotations)
    recordings = {"raw": before, "clean": after, "rough": before, "reference": before}
    if truth is not None:
        recordings["truth"] = low_rate(truth, picks)
    try:
        quiet = find_scan(before, descriptions["volumes"]).quiet
    except NotAvailable:
        return recordings
    rough = without_volumes(
        before, before._data, descriptions["volumes"], name="evaluate"
    )
    recordings["rough"] = _with_data(before, rough)
    changed = (after._data - before._data)[:, quiet]
    if quiet.any() and changed.std() > _CHANGED * before._data[:, quiet].std():
        # without its pulse artifact, which the correction has removed there as well
        with suppress(NotAvailable):
            data = without_beats(before, rough, descriptions["beats"])
            recordings["reference"] = _with_data(before, data)
    return recordings


def _with_data(raw, data):
    raw = raw.copy()
    raw._data = data
    return raw


def _grade(row):
    """The worst of all limits, and those that are exceeded."""
    judged = [limit for limit in _LIMITS if row.get(limit.key) is not None]
    if not judged:
        return {
            "grade": None,
            "grade_reason": "No metric that the grade rests on is available.",
        }
    worst = max(limit.judge(row[limit.key]) for limit in judged)
    reasons = [
        f"{_LABELS[limit.key]} is {row[limit.key]:.3g}: {limit.text}"
        for limit in judged
        if worst and limit.judge(row[limit.key]) == worst
    ]
    text = "; ".join(reasons) or f"All of {len(judged)} limits are kept"
    return {"grade": _GRADES[worst], "grade_reason": f"{text}."}


class Comparison(list):
    """One dict per correction; prints as a table with a column per correction.

    Examples
    --------
    >>> from mne_facet import Comparison
    >>> print(Comparison([{"name": "AAS", "snr": 20.1}, {"name": "OBS", "snr": 18.24}]))
    ...     # doctest: +NORMALIZE_WHITESPACE
                                                 AAS         OBS
    SNR against the truth (dB)                  20.1        18.2
    """

    def __str__(self):
        width = max(12, *(len(row["name"]) + 2 for row in self))
        lines = [" " * 36 + "".join(row["name"].rjust(width) for row in self)]
        for key, label, form, _ in ROWS:
            values = [row.get(key) for row in self]
            if any(value is not None for value in values):
                cells = ["-" if v is None else form.format(v) for v in values]
                lines.append(label.ljust(36) + "".join(c.rjust(width) for c in cells))
        return "\n".join(lines)


def compare(
    estimators, raw, truth=None, *, picks=None, description="TR", beats="R peak"
):
    """Correct a recording in several ways and evaluate each.

    Parameters
    ----------
    estimators : dict of str to estimator
        Corrections by name. Each one runs twice, the second time with planted signals.
    raw : mne.io.Raw
        The recording, not corrected.
    truth, picks, description, beats
        As in :func:`evaluate`.

    Returns
    -------
    comparison : Comparison
        List of the rows of :func:`evaluate`, with ``name`` and ``seconds`` (of the
        first run); prints as a table.

    Examples
    --------
    >>> from mne_facet import AAS, TriggerDetector, compare, simulate_raw
    >>> raw, truth = simulate_raw(duration=60, n_eeg=2, sfreq=500, lowpass=100, pulse=0)
    >>> raw = TriggerDetector("R128").fit_transform(raw)
    >>> few, many = compare({"few": AAS(3), "many": AAS(20)}, raw, truth.eeg)
    >>> many["score"] > few["score"], many["snr"] > few["snr"]
    (True, True)
    """
    table = Comparison()
    for name, estimator in estimators.items():
        start = time.perf_counter()
        clean = clone(estimator).fit_transform(raw.copy())
        seconds = time.perf_counter() - start
        row = evaluate(
            raw,
            clean,
            truth=truth,
            estimator=estimator,
            picks=picks,
            description=description,
            beats=beats,
        )
        table.append({"name": name, **row, "seconds": seconds})
    return table
