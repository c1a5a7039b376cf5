"""All metrics of a correction in one row, and rows of several corrections."""

import time
from typing import NamedTuple

import mne
import numpy as np
from sklearn.base import clone

from . import metrics
from ._segments import NotAvailable, low_rate, pick_pair, truth_data
from .score import score_terms


class _Row(NamedTuple):
    """One line of the table."""

    key: str
    label: str
    form: str = "{:.2f}"


_ROWS = [
    _Row("grade", "Grade", "{}"),
    _Row("score", "Estimated SNR (dB)", "{:.1f}"),
    _Row("eeg_lost", "EEG lost or invented (%)", "{:.1f}"),
    _Row("residual", "Artifact left (uV)"),
    _Row("snr", "SNR against the truth (dB)", "{:.1f}"),
    _Row("correlation", "Correlation with the truth", "{:.3f}"),
    _Row("gain", "Gain of the truth", "{:.3f}"),
    _Row("alpha_kept", "Alpha of the truth kept (%)", "{:.1f}"),
    _Row("kept_delta", "Delta, scan over quiet (%)", "{:.0f}"),
    _Row("kept_theta", "Theta, scan over quiet (%)", "{:.0f}"),
    _Row("kept_alpha", "Alpha, scan over quiet (%)", "{:.0f}"),
    _Row("kept_beta", "Beta, scan over quiet (%)", "{:.0f}"),
    _Row("amplitude_before", "Peak to peak, before (uV)", "{:.0f}"),
    _Row("amplitude_after", "Peak to peak, after (uV)", "{:.1f}"),
    _Row("amplitude_quiet", "Peak to peak, quiet (uV)", "{:.1f}"),
    _Row("rms_ratio", "RMS before / after"),
    _Row("rms_residual", "RMS after / quiet"),
    _Row("excess_power", "Excess power over quiet"),
    _Row("fft_delta", "Amplitude 0.8-4 Hz to quiet (%)", "{:+.0f}"),
    _Row("fft_theta", "Amplitude 4-8 Hz to quiet (%)", "{:+.0f}"),
    _Row("fft_alpha", "Amplitude 8-12 Hz to quiet (%)", "{:+.0f}"),
    _Row("fft_beta", "Amplitude 12-24 Hz to quiet (%)", "{:+.0f}"),
    _Row("slice_attenuation", "Slice harmonics, attenuation (dB)", "{:.1f}"),
    _Row("slice_excess", "Slice harmonics, largest (dB)", "{:+.1f}"),
    _Row("slice_notch", "Slice harmonics, smallest (dB)", "{:+.1f}"),
    _Row("volume_excess", "Volume harmonics, mean (dB)", "{:+.1f}"),
    _Row("volume_locked_before", "In step with volumes, before (uV)", "{:.1f}"),
    _Row("volume_locked", "In step with volumes, after (uV)"),
    _Row("volume_share", "In step with volumes, after (%)", "{:.1f}"),
    _Row("pulse_locked_before", "In step with beats, before (uV)", "{:.1f}"),
    _Row("pulse_locked", "In step with beats, after (uV)"),
    _Row("pulse_share", "In step with beats, after (%)", "{:.1f}"),
    _Row("pulse_residual", "Mean beat after / before (%)", "{:.1f}"),
    _Row("inps", "INPS (dB)", "{:.1f}"),
    _Row("outside_change", "Change where no scanner ran (uV)"),
    _Row("seconds", "Time (s)"),
]

_LABELS = {row.key: row.label for row in _ROWS}


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
    where formula, unit, ideal value and what it takes for good are told.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction, with the same channels and
        samples. Volumes and heart beats may be annotated in either.
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
        If channels, samples or the shape of the truth differ.

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
    before, after = low_rate(raw, picks), low_rate(clean, picks)
    known = {description, beats} & set(after.annotations.description)
    old, new = (before, after) if known else (after, before)
    old.set_annotations(new.annotations)
    measures = _measures(before, after, description, beats)
    if truth is not None:
        info = clean.info.copy()
        true = mne.io.RawArray(truth_data(clean, truth), info, verbose="ERROR")
        true = low_rate(true, picks)
        measures.append((_TRUTH, lambda: _against(after, true, description)))
    if estimator is not None:
        options = {"picks": picks, "description": description, "beats": beats}
        measures.append((_SCORE, lambda: _rated(estimator, raw, clean, options)))
    row, reasons = {}, {}
    for keys, measure in measures:
        try:
            values = np.median(np.reshape(measure(), (-1, len(keys))), axis=0)
            row.update(zip(keys, values.tolist(), strict=True))
        except NotAvailable as error:
            row.update(dict.fromkeys(keys))
            reasons.update({f"{key}_reason": str(error) for key in keys})
    return {**_grade(row), **row, **reasons}


_TRUTH = ("snr", "correlation", "gain", "alpha_kept")
_SCORE = ("score", "eeg_lost", "residual")
_KEPT = ("kept_delta", "kept_theta", "kept_alpha", "kept_beta")
_FFT = ("fft_delta", "fft_theta", "fft_alpha", "fft_beta")


def _measures(raw, clean, description, beats):
    """Keys, and functions that return a value for each, or a row for each channel."""
    both, tr, pulse = (raw, clean), {"description": description}, {"description": beats}
    quiet = {**tr, "when": "quiet"}
    return [
        (_KEPT, lambda: metrics.power_kept(*both, **tr)),
        (("amplitude_before",), lambda: metrics.artifact_amplitude(raw, **tr)),
        (("amplitude_after",), lambda: metrics.artifact_amplitude(clean, **tr)),
        (("amplitude_quiet",), lambda: metrics.artifact_amplitude(raw, **quiet)),
        (("rms_ratio",), lambda: metrics.rms_ratio(*both, **tr)),
        (("rms_residual",), lambda: metrics.rms_residual(*both, **tr)),
        (("excess_power",), lambda: metrics.excess_power(*both, **tr)),
        (_FFT, lambda: metrics.fft_deviation(*both, **tr)),
        (
            ("slice_attenuation",),
            lambda: metrics.line_attenuation(*both, **tr).mean(axis=1),
        ),
        (
            ("slice_excess", "slice_notch"),
            lambda: _extremes(metrics.line_excess(clean, **tr)),
        ),
        (
            ("volume_excess",),
            lambda: metrics.line_excess(clean, "volume", **tr).mean(axis=1),
        ),
        (("volume_locked_before",), lambda: metrics.locked_amplitude(raw, **tr)),
        (("volume_locked",), lambda: metrics.locked_amplitude(clean, **tr)),
        (("volume_share",), lambda: metrics.locked_share(clean, **tr)),
        (("pulse_locked_before",), lambda: metrics.locked_amplitude(raw, **pulse)),
        (("pulse_locked",), lambda: metrics.locked_amplitude(clean, **pulse)),
        (("pulse_share",), lambda: metrics.locked_share(clean, **pulse)),
        (("pulse_residual",), lambda: metrics.pulse_residual(*both, **pulse)),
        (("inps",), lambda: metrics.inps(*both, **pulse)),
        (("outside_change",), lambda: metrics.outside_change(*both, **tr)),
    ]


def _extremes(excess):
    typical = np.median(excess, axis=0)
    return [typical.max(), typical.min()]


def _against(clean, true, description):
    values = metrics.against_truth(clean, true, description=description)
    return np.transpose([values[key] for key in _TRUTH])


def _rated(estimator, raw, clean, options):
    score, lost, residual = score_terms(estimator, raw, clean, **options)
    return [score, 100 * lost, residual]


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
        for key, label, form in _ROWS:
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
