"""Score of a correction where the truth is not known: what is left, what is lost.

With ``x = e + a``, EEG and artifact, a correction ``C`` errs by what it leaves of
``a`` and by what it does to ``e``. The second is measured: EEG-like signals ``s`` are
added to the recording, which is corrected once more, and what comes out in addition,
``d = C(x + s) - C(x)``, should be ``s``. The first is what recurs with volumes or heart
beats in ``C(x)`` but not in ``d``. Their sum cannot be made small by deleting EEG along
with the artifact.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy

from ._epochs import without_volumes
from ._events import annotation_samples, describe_annotations, usable_samples
from ._segments import (
    NotAvailable,
    find_scan,
    low_rate,
    pick_pair,
    regular_epochs,
    without_beats,
)
from .metrics import ALPHA
from .signal.locked import complete_epochs, jumble, residual_power
from .signal.ratios import divide, gain, percent_kept
from .signal.spectra import band_pass

_BAND = (0.5, 45.0)
# amplitude of planted signals over that of the EEG: to medians, small ones are noise
_PLANTED = 1.0
# seconds of EEG in one piece that the planted signals are made of
_PIECE = 2.0
_SEED = 0
# volumes or heart beats in each part of a recording
_FEWEST = 8
# errors below this share of the EEG, -40 dB, are the same to everyone
_LEAST_ERROR = 1e-4
# evoked probe: amplitude (V), frequency (Hz), time and duration (s)
_EVOKED = 5e-6, 5.0, 0.25, 0.08


class Score(NamedTuple):
    """Score of a correction and what it is made of, medians over channels.

    Attributes
    ----------
    score : float
        Estimated SNR in dB: power of the EEG over that of all errors.
    lost : float
        Power of the EEG that was removed, distorted or invented, as a share of it.
    residual : float
        RMS of the artifact that is left, in uV.
    """

    score: float
    lost: float
    residual: float


class Probe(NamedTuple):
    """What became of planted signals, arrays of shape (n_channels,).

    Attributes
    ----------
    gain : array
        Amplitude that is left, ``<d, s> / <s, s>``. Ideal: 1.
    lost : array
        Power of the difference, ``sum (d - s)^2 / sum s^2``. Ideal: 0.
    alpha_kept : array
        Square of the gain from 8 to 12 Hz, in percent; 0 if it is negative. Ideal: 100.
    """

    gain: np.ndarray
    lost: np.ndarray
    alpha_kept: np.ndarray


def correction_score(
    estimator, X, y=None, *, picks=None, description="TR", beats="R peak"
):
    """Estimate the SNR after a correction without knowing the truth, in dB.

    ``-10 log10(lost + residual / EEG)``, median over channels, mean over recordings;
    from 0.5 to 45 Hz and during the scan. The larger the better; 0 for zeros, below 0
    for artifact larger than the EEG. See Notes for both terms;
    :func:`~mne_facet.score.score_terms` gives them one by one. For
    ``GridSearchCV(scoring=correction_score)``.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction. Each recording goes through it twice.
    X : mne.io.Raw | list of mne.io.Raw
        The recordings, not corrected, with volumes or heart beats annotated: by the
        estimator or, if searches are to compare like with like, before.
    y : None
        Ignored.
    picks : str | list | slice | None
        Channels; None: EEG channels not marked bad.
    description, beats : str
        Descriptions of the volumes and of the heart beats. The artifacts of both are
        looked for if both are annotated.

    Returns
    -------
    score : float
        In dB.

    Raises
    ------
    ValueError
        If neither volumes nor heart beats are annotated, or fewer than 8, or if the
        estimator changes channels or samples.

    Notes
    -----
    `lost` is measured with planted signals: pieces of 2 s of the recording itself,
    roughly corrected (an average over volumes; joint components of heart beats), in
    random order and with random signs, as large as the EEG. What the second
    correction adds should be these signals; the power of the difference counts.

    `residual` is the larger of two powers, see
    :func:`mne_facet.signal.locked.residual_power`: what the corrected epochs have in
    the shapes of the artifact beyond what the planted signals have there, and what
    epochs one to three apart share, at frequencies where the recorded ones do.

    What it cannot see: artifact that keeps no time with volumes or beats, and artifact
    in a few epochs only. Corrections that are far from linear, medians above all, do
    worse by it than they are, by 1 to 3 dB; pulse corrections that leave what differs
    from beat to beat do better, by 2 dB. It needs some 20 volumes to tell small
    differences. Seed and signals are fixed: the same estimator has the same score.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from mne_facet import correction_score, recipe, simulate_raw, split_raw
    >>> raw, truth = simulate_raw(duration=60, n_eeg=2, sfreq=500, lowpass=100)
    >>> pipeline = recipe("aas", triggers="R128", level="volume")
    >>> grid, all_at_once = {"aas__window": [2, 20]}, [([0], [0])]
    >>> search = GridSearchCV(
    ...     pipeline, grid, scoring=correction_score, cv=all_at_once
    ... )
    >>> search.fit([raw]).best_params_
    {'aas__window': 20}
    """
    raws = X if isinstance(X, (list, tuple)) else [X]
    options = {"picks": picks, "description": description, "beats": beats}
    return float(
        np.mean([score_terms(estimator, raw, **options).score for raw in raws])
    )


def score_terms(
    estimator, raw, clean=None, *, picks=None, description="TR", beats="R peak"
):
    """Score of a correction, and its two terms.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction.
    raw : mne.io.Raw
        The recording, not corrected.
    clean : mne.io.Raw | None
        What the estimator makes of it, if that is known already.
    picks, description, beats
        As in :func:`~mne_facet.correction_score`.

    Returns
    -------
    score : Score
        Score, EEG lost and residual of the artifact.
    """
    if clean is None:
        clean = estimator.transform(raw.copy())
    bench = _set_up(raw, clean, picks, description, beats)
    power = bench.reference[:, bench.during].var(axis=1)
    if not power.any():
        raise ValueError("All channels are flat. Check the recording and picks=.")
    planted, response = _plant(estimator, raw, clean, bench, _eeg_like(raw, bench))
    corrected = _in_band(clean, bench.picks)
    lost = _share_lost(planted[:, bench.during], response[:, bench.during])
    residual = np.zeros(len(bench.picks))
    for original, starts, length in bench.artifacts:
        signals = original, planted / _PLANTED, corrected, response / _PLANTED
        for i, rows in enumerate(zip(*signals, strict=True)):
            epochs = (complete_epochs(x, starts, length) for x in rows)
            residual[i] += residual_power(*epochs)
    lost, residual, power = lost[power > 0], residual[power > 0], power[power > 0]
    errors = lost + residual / power + _LEAST_ERROR
    return Score(
        float(-10 * np.median(np.log10(errors))),
        float(np.median(lost)),
        1e6 * float(np.sqrt(np.median(residual))),
    )


class _Bench(NamedTuple):
    """What a correction is measured with; signals at the low rate and in the band.

    An artifact is what was recorded of it, and the starts and the length of its epochs.
    The reference is a rough correction that does not depend on the estimator.
    """

    picks: np.ndarray
    during: np.ndarray
    artifacts: list
    reference: np.ndarray


def _set_up(raw, clean, picks, description, beats):
    picks = pick_pair(raw, clean, picks)
    before, marks = low_rate(raw, picks), low_rate(clean, picks[:1])
    if not {description, beats} & set(marks.annotations.description):
        marks = before
    names, sfreq = marks.annotations.description, before.info["sfreq"]
    if description not in names and beats not in names:
        raise NotAvailable(
            f"Neither volumes ({description!r}) nor heart beats ({beats!r}) are "
            f"annotated. The recording has: {describe_annotations(marks)}."
        )
    data, artifacts, during = before.get_data(), [], usable_samples(marks)
    if description in names:
        during = find_scan(marks, description).running
        starts, length = regular_epochs(marks, description)
        artifacts.append((band_pass(data, sfreq, *_BAND), starts, length))
        data = without_volumes(marks, data, description, name="The score")
    if beats in names:
        starts, length = regular_epochs(marks, beats)
        artifacts.append((band_pass(data, sfreq, *_BAND), starts, length))
        data = without_beats(marks, data, beats)
    return _Bench(picks, during, artifacts, band_pass(data, sfreq, *_BAND))


def _in_band(raw, picks):
    small = low_rate(raw, picks)
    return band_pass(small.get_data(), small.info["sfreq"], *_BAND)


def _eeg_like(raw, bench):
    """Signals like the EEG of the recording, at its own rate."""
    n_times = bench.reference.shape[1]
    step = -(-raw.n_times // n_times)
    length = int(_PIECE * raw.info["sfreq"] / step)
    rng = np.random.default_rng(_SEED)
    source = bench.reference[:, bench.during]
    signals = jumble(source, n_times, min(length, source.shape[1] // 2), rng)
    return (
        _PLANTED
        * scipy.signal.resample_poly(signals, step, 1, axis=1)[:, : raw.n_times]
    )


def _plant(estimator, raw, clean, bench, signals):
    """Signals that are added to a recording, and what a correction makes of them."""
    both = raw.copy().load_data()
    both._data[bench.picks] += signals
    planted = _in_band(both, bench.picks) - _in_band(raw, bench.picks)
    again = estimator.transform(both)
    pick_pair(raw, again)
    return planted, _in_band(again, bench.picks) - _in_band(clean, bench.picks)


def _share_lost(planted, response):
    return divide(((response - planted) ** 2).sum(axis=1), (planted**2).sum(axis=1))


def probe(
    estimator,
    raw,
    signal="eeg",
    *,
    events=None,
    picks=None,
    description="TR",
    beats="R peak",
):
    """Plant known signals, correct again, and measure what is left of them.

    The difference of the two corrections is what the second made of the planted
    signals, from 0.5 to 45 Hz and in the scan. Sees what happens to EEG, and nothing of
    the artifact.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction.
    raw : mne.io.Raw
        The recording, not corrected.
    signal : "eeg" | "evoked" | array, shape (n_channels, n_times)
        ``"eeg"``: pieces of the recording in random order, as in
        :func:`~mne_facet.correction_score`. ``"evoked"``: a response of 5 uV and 5 Hz,
        0.25 s after each of `events`. Or signals for the picked channels, in V.
    events : str | None
        Description of the annotations that evoke a response.
    picks, description, beats
        As in :func:`~mne_facet.correction_score`.

    Returns
    -------
    probe : Probe
        Gain, share lost and alpha kept, per channel.

    Examples
    --------
    >>> from mne_facet import recipe, simulate_raw
    >>> from mne_facet.score import probe
    >>> raw, truth = simulate_raw(duration=60, n_eeg=2, sfreq=500, lowpass=100)
    >>> kept = probe(recipe("aas", triggers="R128", level="volume"), raw)
    >>> bool((abs(kept.gain - 1) < 0.1).all() and (kept.lost < 0.1).all())
    True
    """
    clean = estimator.transform(raw.copy())
    bench = _set_up(raw, clean, picks, description, beats)
    if not isinstance(signal, str):
        signals = np.asarray(signal, float)
    elif signal == "eeg":
        signals = _eeg_like(raw, bench)
    elif signal == "evoked":
        signals = np.tile(_evoked(raw, events), (len(bench.picks), 1))
    else:
        raise ValueError(f"signal={signal!r} is unknown. Allowed: 'eeg', 'evoked'.")
    if signals.shape != (len(bench.picks), raw.n_times):
        raise ValueError(
            f"signal has the shape {signals.shape}, needs one row for each of "
            f"{len(bench.picks)} channels and {raw.n_times} columns."
        )
    pair = _plant(estimator, raw, clean, bench, signals)
    planted, response = (x[:, bench.during] for x in pair)
    sfreq = low_rate(raw, bench.picks[:1]).info["sfreq"]
    alpha = [band_pass(x, sfreq, *ALPHA)[:, bench.during] for x in pair]
    return Probe(
        gain(response, planted),
        _share_lost(planted, response),
        percent_kept(alpha[1], alpha[0]),
    )


def _evoked(raw, events):
    """A response after each event."""
    index = np.flatnonzero(raw.annotations.description == events)
    if not index.size:
        raise ValueError(
            f"events={events!r} is the description of no annotation. The recording "
            f"has: {describe_annotations(raw)}."
        )
    sfreq = raw.info["sfreq"]
    amplitude, frequency, middle, duration = _EVOKED
    x, reach = np.zeros(raw.n_times), int(4 * duration * sfreq)
    for onset in annotation_samples(raw, index):
        peak = onset + middle * sfreq
        samples = int(peak) + np.arange(-reach, reach)
        samples = samples[(samples >= 0) & (samples < x.size)]
        time = (samples - peak) / sfreq
        envelope = amplitude * np.exp(-0.5 * (time / duration) ** 2)
        x[samples] += envelope * np.cos(2 * np.pi * frequency * time)
    return x


def split_raw(raw, n, description="TR"):
    """Cut a recording into parts of whole volumes, for cross-validation.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording with annotated volumes or heart beats.
    n : int
        Number of parts, as equal as can be in volumes. What comes before the first
        volume and after the last one stays with their parts.
    description : str
        Description of the annotations of volumes, ``"R peak"`` to cut at heart beats.

    Returns
    -------
    parts : list of mne.io.Raw
        Copies that follow each other; no sample is in two of them.

    Raises
    ------
    ValueError
        If there are fewer than 8 volumes, or heart beats, for each part.

    Examples
    --------
    >>> from mne_facet import TriggerDetector, simulate_raw, split_raw
    >>> raw, truth = simulate_raw(duration=60, n_eeg=2, sfreq=1000)
    >>> raw = TriggerDetector("R128").fit_transform(raw)
    >>> [round(part.times[-1]) for part in split_raw(raw, 3)]
    [23, 16, 21]
    """
    index = np.flatnonzero(raw.annotations.description == description)
    onsets = np.sort(annotation_samples(raw, index))
    most = onsets.size // _FEWEST
    if n != int(n) or not 1 <= n <= most:
        raise ValueError(
            f"n={n!r} parts need {_FEWEST} annotations described {description!r} each, "
            f"enough for {most} part(s) of the {onsets.size} there are. The recording "
            f"has: {describe_annotations(raw)}."
        )
    firsts = [part[0] for part in np.array_split(np.arange(onsets.size), n)][1:]
    borders = [0, *map(int, onsets[firsts]), raw.n_times]
    return [_part(raw, start, stop) for start, stop in pairwise(borders)]


def _part(raw, start, stop):
    """Samples from `start` to before `stop`, without annotations that begin later."""
    sfreq = raw.info["sfreq"]
    part = raw.copy().crop(start / sfreq, (stop - 1) / sfreq, verbose="ERROR")
    # MNE keeps one more sample
    late = (part.annotations.onset - part.first_time) * sfreq > stop - start - 1e-3
    part.annotations.delete(np.flatnonzero(late))
    return part
