"""Scanner timing in a Raw: annotations to float samples and back.

Volumes are annotations. Times are float samples from the first sample of the data.
MNE rounds onsets to 1 us when annotations are set and FIF keeps them as float32
(0.1 ms after an hour), so the exact time is kept a second time in the annotation's
extras, and believed where it is within 1 ms of the onset.

Extras of a beat: ``time`` (s), ``quality`` (0 to 1, None if unknown) and ``kind``
("normal", "ectopic", "restored" or "given").

Extras of a volume: ``time`` (s, same origin as the onset), ``run`` and ``volume``
(counted from 0), ``n_shots`` (slices, or multiband groups of slices, excited in this
volume), ``slice_period`` (s), ``length`` (s, of the artifact: shorter than the TR
where the scan was stopped), ``residual`` (s, trigger minus scanner clock; None if the
trigger was missing), ``restored`` and ``dropped`` (missing and spurious triggers of
the run) and ``tr`` (nominal, if given).
"""

import re
from typing import NamedTuple

import mne
import numpy as np

from .signal.timing import find_spacing, index_triggers


class VolumeRun(NamedTuple):
    """Volumes of one uninterrupted scanner run, times in samples.

    Attributes
    ----------
    onsets : array of float, shape (n_volumes,)
        First samples of the volumes; the first may lie before the data.
    period : float
        Distance of the volumes (TR); the shortest if it is irregular.
    n_shots : array of int, shape (n_volumes,)
        Slice excitations per volume, 1 if unknown.
    slice_period : float
        Distance of the slices; the TR if unknown.
    annotation : array of int, shape (n_volumes,)
        Index of each volume in ``raw.annotations``, -1 before the data.
    last_length : float
        Length of the artifact in the last volume, shorter if the scan was stopped.
    """

    onsets: np.ndarray
    period: float
    n_shots: np.ndarray
    slice_period: float
    annotation: np.ndarray
    last_length: float

    @property
    def gap(self):
        """Samples without excitation at the end of a volume, 0 if below one."""
        gap = self.period - self.n_shots.max() * self.slice_period
        return gap if gap >= 1 else 0.0


def find_annotations(raw, pattern):
    """Indices of the annotations whose description matches a regular expression.

    The whole description must match, or all that follows a slash in it: ``"R128"``
    finds ``"Response/R128"`` but ``"1"`` does not find ``"11"``.
    """
    regex = _compile(pattern)
    return np.array(
        [
            index
            for index, description in enumerate(raw.annotations.description)
            if any(regex.fullmatch(name) for name in _endings(description))
        ],
        int,
    )


def _endings(description):
    parts = description.strip().split("/")
    return ["/".join(parts[start:]).strip() for start in range(len(parts))]


def annotation_samples(raw, index):
    """Onsets of annotations as float samples from the first sample of the data."""
    onsets = raw.annotations.onset[index].astype(float)
    exact = [raw.annotations.extras[i].get("time") for i in index]
    exact = np.array([np.nan if time is None else time for time in exact], float)
    onsets = np.where(np.abs(exact - onsets) < 1e-3, exact, onsets)
    return (onsets - raw.first_time) * raw.info["sfreq"]


def write_volumes(raw, samples, extras, description):
    """Replace the annotations called `description` by volumes at exact times."""
    old = np.flatnonzero(raw.annotations.description == description)
    if old.size:
        raw.annotations.delete(old)
    _append(raw, samples, extras, description)


def _append(raw, samples, extras, description):
    times = np.asarray(samples) / raw.info["sfreq"] + raw.first_time
    inside = np.flatnonzero((np.asarray(samples) > -0.5) & (times < _end_time(raw)))
    raw.annotations.append(
        times[inside],
        np.zeros(inside.size),
        [description] * inside.size,
        extras=[{**extras[i], "time": float(times[i])} for i in inside],
    )


def _end_time(raw):
    return raw.first_time + raw.n_times / raw.info["sfreq"]


def boundaries(raw):
    """Samples at which recordings were joined, or data are missing."""
    joints = [
        onset
        for onset, description in zip(
            raw.annotations.onset, raw.annotations.description, strict=True
        )
        if description.lower() in ("bad boundary", "edge boundary", "bad_acq_skip")
    ]
    return np.unique((np.array(joints, float) - raw.first_time) * raw.info["sfreq"])


def overlaps_bad(raw, starts, stops):
    """Whether each span of samples touches an annotation that starts with BAD."""
    sfreq, touched = raw.info["sfreq"], np.zeros(len(starts), bool)
    for annotation in raw.annotations:
        name = annotation["description"].lower()
        if name.startswith("bad") and name != "bad boundary":
            first = (annotation["onset"] - raw.first_time) * sfreq
            last = first + annotation["duration"] * sfreq
            touched |= (starts < last) & (stops > first)
    return touched


def usable_samples(raw):
    """Samples outside all annotations that start with BAD, and not at a joint.

    Returns
    -------
    usable : array of bool, shape (n_times,)
        False from 50 ms before to 50 ms after them.
    """
    sfreq, usable = raw.info["sfreq"], np.ones(raw.n_times, bool)
    for annotation in raw.annotations:
        if annotation["description"].lower().startswith(("bad", "edge boundary")):
            first = annotation["onset"] - raw.first_time - 0.05
            last = first + annotation["duration"] + 0.1
            usable[max(0, int(first * sfreq)) : max(0, int(last * sfreq) + 1)] = False
    return usable


def get_runs(raw, description="TR", *, name):
    """Scanner runs of a recording from its volume annotations.

    A run ends where the count of the volumes jumps, another run begins, or a
    boundary of the recording lies between. Where the extras are lost (files other
    than FIF keep none) the runs are found again from the spacing.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    description : str
        Description of the volume annotations.
    name : str
        Who asks, for the error.

    Returns
    -------
    runs : list of VolumeRun
        At least one.
    """
    index = np.flatnonzero(raw.annotations.description == description)
    if index.size < 2:
        raise ValueError(
            f"{name} needs at least 2 annotations described {description!r}, found "
            f"{index.size}. Run TriggerDetector first or set description=."
        )
    onsets = annotation_samples(raw, index)
    order = np.argsort(onsets, kind="stable")
    onsets = onsets[order]
    index = index[order]
    extras = [raw.annotations.extras[i] for i in index]
    if all("volume" in extra for extra in extras):
        groups = _split_by_count(onsets, extras, boundaries(raw))
    else:
        groups = _split_by_spacing(onsets, boundaries(raw))
    # two volumes make a run only where there is no longer one
    least = 3 if any(group.size > 2 for group in groups) else 2
    groups = [group for group in groups if group.size >= least]
    runs = [_make_run(raw, onsets[group], index[group]) for group in groups]
    if not runs:
        raise ValueError(
            f"{name} needs at least 2 volumes in a row, but the longest run of "
            f"{description!r} annotations is shorter. Check the triggers with "
            "trigger_report."
        )
    return runs


def _split_by_count(onsets, extras, joints):
    count = np.array([extra["volume"] for extra in extras])
    run = np.array([extra["run"] for extra in extras])
    segment = np.searchsorted(joints, onsets, side="right")
    new = (np.diff(count) != 1) | (np.diff(run) != 0) | (np.diff(segment) != 0)
    return np.split(np.arange(len(onsets)), np.flatnonzero(new) + 1)


def _split_by_spacing(onsets, joints):
    runs, _ = index_triggers(onsets, find_spacing(onsets), joints, max_missing=0)
    return [np.searchsorted(onsets, run.times) for run in runs]


def _make_run(raw, onsets, index):
    extras = [raw.annotations.extras[i] for i in index]
    intervals = np.diff(onsets)
    period = np.polyfit(np.arange(len(onsets)), onsets, 1)[0]
    if np.ptp(intervals) > 0.02 * period:  # irregular: the artifact fills the shortest
        period = intervals.min()
    n_shots = np.array([extra.get("n_shots", 1) for extra in extras])
    slice_period = extras[0].get("slice_period", 0) * raw.info["sfreq"]
    if not slice_period:
        n_shots[:], slice_period = 1, period
    if extras[0].get("volume", 0) > 0 and 0 < onsets[0] < period:
        # the data begin within a volume: cropped, or started during the scan
        onsets = np.r_[onsets[0] - period, onsets]
        n_shots = np.r_[n_shots.max(), n_shots]
        index = np.r_[-1, index]
    length = extras[-1].get("length", np.inf) * raw.info["sfreq"]
    length = period if length > 0.99 * period else length
    return VolumeRun(
        onsets, float(period), n_shots, float(slice_period), index, float(length)
    )


class NoBeatsError(ValueError):
    """Too few heart beats, or none."""


def beat_index(raw, description="R peak", *, name):
    """Indices of the annotations that mark heart beats, sorted by time.

    Of beats within 0.2 s of each other only the first counts: no heart is that fast.
    """
    index = np.flatnonzero(raw.annotations.description == description)
    if not index.size:
        raise NoBeatsError(
            f"{name} needs heart beats, but no annotation is described "
            f"{description!r}. Run RPeakDetector first, add the beats as annotations "
            f"or set description=. The recording has: {describe_annotations(raw)}."
        )
    beats = annotation_samples(raw, index)
    order = np.argsort(beats, kind="stable")
    single = np.diff(beats[order], prepend=-np.inf) >= 0.2 * raw.info["sfreq"]
    return index[order][single]


def get_beats(raw, description="R peak", *, name):
    """Heart beats of a recording from their annotations, whoever made these.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    description : str
        Description of the annotations.
    name : str
        Who asks, for the error.

    Returns
    -------
    beats : array of float, shape (n_beats,)
        Samples from the first of the data, sorted; at least one. Of beats within 0.2 s
        of each other only the first is kept.
    """
    return annotation_samples(raw, beat_index(raw, description, name=name))


def write_beats(raw, samples, extras, description):
    """Add beats at exact times, instead of those that were written here before."""
    old = [
        index
        for index in np.flatnonzero(raw.annotations.description == description)
        if "kind" in raw.annotations.extras[index]
    ]
    if old:
        raw.annotations.delete(old)
    _append(raw, samples, extras, description)


def describe_annotations(raw):
    """Descriptions in the recording and how often each occurs, for errors."""
    names, counts = np.unique(raw.annotations.description, return_counts=True)
    if not len(names):
        return "no annotations at all"
    return ", ".join(f"{n!r} ({c})" for n, c in zip(names, counts, strict=True))


def stim_onsets(raw, stim_channel, pattern=None):
    """Samples at which a stim channel changes to a value other than 0.

    With a `pattern`, to a value that matches it: "1" finds 1 but not 11.
    """
    if stim_channel not in raw.ch_names:
        stims = mne.pick_types(raw.info, meg=False, stim=True)
        raise ValueError(
            f"stim_channel={stim_channel!r} is not in the recording. Its stim channels "
            f"are {[raw.ch_names[i] for i in stims]}."
        )
    values = raw.get_data(picks=[stim_channel])[0].astype(int)
    changes = np.flatnonzero((values[1:] != 0) & (values[1:] != values[:-1])) + 1
    if pattern is not None:
        regex = _compile(pattern)
        changes = changes[[bool(regex.fullmatch(str(values[k]))) for k in changes]]
    if not changes.size:
        raise ValueError(
            f"stim_channel={stim_channel!r} has no trigger that matches "
            f"pattern={pattern!r}. Its values are {np.unique(values)[:10].tolist()}."
        )
    return changes.astype(float)


def _compile(pattern):
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"pattern={pattern!r} is no regular expression: {error}. Escape special "
            "characters with a backslash."
        ) from None
