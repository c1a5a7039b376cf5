"""Volumes and slices as epochs, for the steps that work on them."""

from functools import partial

import numpy as np

from ._base import pick_channels
from ._events import get_runs, overlaps_bad
from .signal.averaging import moving_weights
from .signal.detect import artifact_band, repetition
from .signal.epochs import EpochGrid
from .signal.template import subtract_templates


def all_grids(raw, runs, level):
    """Epochs of all runs, see :func:`epoch_grids`."""
    return [grid for run in runs for grid in epoch_grids(raw, run, level)]


def epoch_grids(raw, run, level):
    """Epochs of one run: volumes; or slices, and the pauses between their volumes.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    run : VolumeRun
        One scanner run.
    level : "volume" | "slice"
        What an epoch is.

    Returns
    -------
    grids : list of EpochGrid
        One per kind of epoch.
    """
    period, sfreq = run.period, raw.info["sfreq"]
    volume_stops = run.onsets + period
    regular = np.abs(np.diff(run.onsets) - period) < 0.02 * period
    volume_stops[:-1][regular] = run.onsets[1:][regular]
    volume_stops[-1] = run.onsets[-1] + run.last_length
    if level == "volume":
        spans = [(run.onsets, volume_stops)]
    else:
        spans = _slice_spans(run, volume_stops)
    if level == "slice" and not run.gap:
        borders = np.r_[spans[0][0], spans[0][1][-1]]
    elif run.last_length < period:  # no whole period
        borders = run.onsets
    else:
        borders = np.r_[run.onsets, volume_stops[-1]]
    borders = borders[(borders >= 0) & (borders <= raw.n_times)]
    shortest = min((stops - starts).min() for starts, stops in spans)
    fade = int(min(max(4, np.ceil(0.002 * sfreq)), shortest // 4))
    all_starts = np.sort(np.concatenate([starts for starts, _ in spans]))
    all_stops = np.sort(np.concatenate([stops for _, stops in spans]))
    return [
        EpochGrid(
            starts,
            stops,
            np.c_[_touch(starts, all_stops), _touch(stops, all_starts)],
            ~overlaps_bad(raw, starts, stops),
            borders,
            fade,
        )
        for starts, stops in spans
    ]


def _slice_spans(run, volume_stops):
    """Starts and stops of the slices, and of the pauses after the last one."""
    counts = run.n_shots.copy()
    if run.last_length < run.period:
        counts[-1] = min(counts[-1], np.ceil(run.last_length / run.slice_period - 0.1))
    shots = [
        onset + run.slice_period * np.arange(count)
        for onset, count in zip(run.onsets, counts, strict=True)
    ]
    starts = np.concatenate(shots)
    stops = starts + run.slice_period
    last = np.cumsum(counts) - 1
    if not run.gap:
        complete = counts == counts.max()
        stops[last[complete]] = volume_stops[complete]
        return [(starts, stops)]
    pauses = stops[last[:-1]], run.onsets[1:]
    if np.ptp(pauses[1] - pauses[0]) > 2:  # nothing to average where TR is irregular
        return [(starts, stops)]
    return [(starts, stops), pauses]


def _touch(borders, others):
    """Which borders coincide with one of the others, to half a sample."""
    index = np.clip(np.searchsorted(others, borders), 1, len(others) - 1)
    near = np.minimum(
        np.abs(others[index] - borders), np.abs(others[index - 1] - borders)
    )
    return near < 0.5


def epoch_places(run, grid):
    """Volume of each epoch, and its place in the volume, counted from 0."""
    volume = np.searchsorted(run.onsets, grid.starts + 0.5, side="right") - 1
    return volume, np.arange(volume.size) - np.searchsorted(volume, volume)


def artifact_signal(raw, run, picks=None):
    """The strongest signal in which the volumes of a run are alike.

    A disconnected channel may be stronger than any artifact, so up to five are tried.

    Returns
    -------
    signal : array, shape (n_times,)
        The strongest one if the volumes are alike in none.
    visible : bool
        Whether they are.
    """
    strongest = None
    for x, _, alike in _candidates(raw, run, 5, picks):
        if alike:
            return x, True
        strongest = x if strongest is None else strongest
    return strongest, False


def artifact_signals(raw, run, n_channels, picks=None):
    """Those of the strongest signals in which the volumes of a run are alike.

    Returns
    -------
    signals : tuple of array, shape (n_times,)
        Strongest first, not to be changed; all of them if the volumes are alike in
        none.
    bands : tuple of array, shape (n_times,)
        What of them is in the artifact band.
    """
    candidates = list(_candidates(raw, run, n_channels, picks))
    chosen = [candidate for candidate in candidates if candidate[2]] or candidates
    signals, bands, _ = zip(*chosen, strict=True)
    return signals, bands


def _candidates(raw, run, n_channels, picks):
    """Strongest signals, their artifact band, and if the volumes are alike in it."""
    for pick in strongest_channels(raw, n_channels, picks, run):
        # no copy where the data are in memory
        x = raw._data[pick] if raw.preload else raw.get_data(pick)[0]
        band = artifact_band(x, raw.info["sfreq"])
        yield x, band, repetition(band, run.onsets, int(run.period)) > 0.5


def strongest_channels(raw, n_channels, picks=None, run=None):
    """Channels with the largest artifact in the middle of a run, none of them bad."""
    picks = pick_channels(raw, picks, name="Gradient artifact correction")
    picks = [p for p in picks if raw.ch_names[p] not in raw.info["bads"]] or picks
    middle = raw.n_times // 2 if run is None else int(run.onsets[len(run.onsets) // 2])
    reach = int(10 * raw.info["sfreq"])
    part = slice(max(0, middle - reach), max(0, middle) + reach)
    signals = (raw._data[p, part] if raw.preload else raw[p, part][0][0] for p in picks)
    slopes = map(np.diff, signals)
    strength = np.nan_to_num([slope @ slope for slope in slopes], posinf=0)
    return np.asarray(picks)[np.argsort(-strength, kind="stable")[:n_channels]]


def without_volumes(raw, x, description, *, name):
    """Signals without the average of the 30 volumes around each: a rough correction.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording with annotated volumes.
    x : array, shape (n_channels, n_times)
        Signals at its samples.
    description : str
        Description of the volume annotations.
    name : str
        Who asks, for the error.

    Returns
    -------
    corrected : array, shape (n_channels, n_times)
        A copy.
    """
    grids = all_grids(raw, get_runs(raw, description, name=name), "volume")
    weights = [partial(moving_weights, window=30) for _ in grids]
    return np.array([subtract_templates(channel, grids, weights) for channel in x])
