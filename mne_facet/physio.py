"""Heart beats from the scanner's physiology log."""

import json
import re
from pathlib import Path

import numpy as np
from mne.utils import logger

from ._events import get_runs, write_beats
from .signal.qrs import PULSE_BAND, find_beats


def read_physio_beats(fname, *, column="cardiac", volumes="trigger"):
    """Read the heart beats from a physiology log in BIDS format.

    Parameters
    ----------
    fname : path-like
        A ``*_physio.tsv.gz`` or ``*_physio.tsv`` file. Its JSON file lies beside it.
    column : str
        Column of the pulse wave. If it holds 0 and 1 only, every change to 1 is a beat.
    volumes : str
        Column of the volume triggers, every change to a larger value being one.

    Returns
    -------
    beats : array, shape (n_beats,)
        Times in seconds by the clock of the log, whose zero BIDS defines as the start
        of the scan. In a pulse wave they are those of its largest deflection between 2
        and 12 Hz, which at a finger comes 0.2 to 0.5 s after the R peak.
    volumes : array, shape (n_volumes,)
        Times of the volume triggers by the same clock; empty without such a column.

    See Also
    --------
    add_beats : Puts them into a recording.

    Examples
    --------
    >>> from mne_facet import add_beats, read_physio_beats
    >>> beats, volumes = read_physio_beats("sub-01_physio.tsv.gz")  # doctest: +SKIP
    >>> raw = add_beats(raw, beats, volumes=volumes)  # doctest: +SKIP
    """
    fname = Path(fname)
    sidecar = fname.with_name(re.sub(r"\.tsv(\.gz)?$", ".json", fname.name))
    header = json.loads(sidecar.read_text(encoding="utf-8"))
    columns, sfreq = header["Columns"], float(header["SamplingFrequency"])
    if column not in columns:
        raise ValueError(
            f"column={column!r} is not in {fname.name}. Its columns are {columns}."
        )
    wanted = [columns.index(name) for name in (column, volumes) if name in columns]
    table = np.loadtxt(fname, usecols=wanted, ndmin=2, converters=_to_float)
    wave, triggers = table[:, 0], table[:, 1:]
    if set(np.unique(wave)) <= {0.0, 1.0}:
        samples = np.flatnonzero(np.diff(wave) > 0) + 1.0
    else:
        known = np.isfinite(wave)
        wave = np.where(known, wave, 0.0)
        samples = find_beats([wave], sfreq, PULSE_BAND, known, n_passes=2).samples
    rises = np.flatnonzero(np.diff(triggers, axis=0, prepend=0) > 0)
    start = float(header.get("StartTime", 0))
    return start + samples / sfreq, start + rises / sfreq


def _to_float(text):
    return np.nan if text == "n/a" else float(text)


def add_beats(
    raw,
    times,
    *,
    volumes=None,
    offset=0.0,
    reference="TR",
    description="R peak",
    copy=True,
):
    """Annotate heart beats that are known from elsewhere.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    times : array-like of float, shape (n_beats,)
        The beats in seconds, in any order: from the first sample of the data or, with
        `volumes`, by the clock of these.
    volumes : array-like of float | None
        Times of the scanner's volumes by the same clock, one for each volume of the
        recording: the beats are then placed between the recording's own volumes, so
        that neither start nor speed of the clocks matters.
    offset : float
        Seconds to add to every beat: for a pulse wave, minus its delay after the R
        peak.
    reference : str
        Description of the volume annotations of the recording.
    description : str
        Description of the annotations to write. Earlier ones that mne_facet wrote are
        replaced, others stay.
    copy : bool
        Whether to leave the input as it is and return a copy.

    Returns
    -------
    raw : mne.io.Raw
        The recording with the beats; those outside the data are left out.

    Examples
    --------
    >>> from mne_facet import add_beats, beat_report, simulate_raw
    >>> raw, truth = simulate_raw(duration=20, n_eeg=2, sfreq=1000)
    >>> raw = add_beats(raw, truth.beat_times)
    >>> beat_report(raw).n_beats == truth.beat_times.size
    True
    """
    raw = raw.copy() if copy else raw
    times = np.unique(np.asarray(times, float).ravel())
    if not np.isfinite(times).all():
        raise ValueError("times holds NaN or Inf. Leave these beats out.")
    if volumes is not None:
        times = _by_volumes(raw, times, np.asarray(volumes, float), reference)
    samples = (times + offset) * raw.info["sfreq"]
    inside = (samples > -0.5) & (samples < raw.n_times)
    if not inside.any():
        raise ValueError(
            f"None of the {times.size} beats in times lies within the data (0 to "
            f"{raw.times[-1]:.3f} s). Check volumes= and offset={offset}."
        )
    extras = [{"quality": None, "kind": "given"}] * int(inside.sum())
    write_beats(raw, samples[inside], extras, description)
    logger.info(
        f"add_beats: {inside.sum()} beats, {np.sum(~inside)} outside the data left out"
    )
    return raw


def _by_volumes(raw, times, volumes, reference):
    """Times by the log's clock to seconds from the first sample."""
    runs = get_runs(raw, reference, name="add_beats")
    own = np.concatenate([run.onsets for run in runs]) / raw.info["sfreq"]
    if own.size != volumes.size:
        raise ValueError(
            f"volumes has {volumes.size} times, but the recording has {own.size} "
            f"annotations described {reference!r}. Give the times of these volumes, "
            "in the same order."
        )
    speed = np.ptp(own) / np.ptp(volumes)
    return speed * times + np.interp(times, volumes, own - speed * volumes)
