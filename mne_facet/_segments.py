"""What metrics look at: channels, the scan and the quiet around it, epochs."""

from typing import NamedTuple

import mne
import numpy as np

from ._base import pick_channels
from ._events import (
    annotation_samples,
    describe_annotations,
    get_runs,
    overlaps_bad,
    usable_samples,
)
from .signal.locked import without_events
from .signal.spectra import band_pass

# seconds around volumes that are not quiet, and quiet ones that are needed
_GUARD = 0.5
_LEAST_QUIET = 4.0
_LEAST_EVENTS = 8
# Hz; plenty for EEG
_LOW_RATE = 500.0
# channels that are read at a time
AT_A_TIME = 8


class NotAvailable(ValueError):
    """A metric needs something that this recording does not have."""


class Scan(NamedTuple):
    """When the scanner ran.

    Attributes
    ----------
    running, quiet : array of bool, shape (n_times,)
        Samples of the volumes, and those half a second and more away from all of them;
        nothing that is marked BAD in either.
    period, slice_period : float
        TR and distance of the slices in samples.
    is_regular : bool
        Whether all runs have the same TR and slices.
    """

    running: np.ndarray
    quiet: np.ndarray
    period: float
    slice_period: float
    is_regular: bool


def find_scan(raw, description):
    """When the scanner ran, from the volume annotations."""
    try:
        runs = get_runs(raw, description, name="The metric")
    except ValueError as error:
        raise NotAvailable(str(error)) from None
    usable = usable_samples(raw)
    running, near = np.zeros((2, raw.n_times), bool)
    guard = int(_GUARD * raw.info["sfreq"])
    for run in runs:
        lengths = np.r_[np.full(len(run.onsets) - 1, run.period), run.last_length]
        stops = run.onsets + np.minimum(lengths, run.period)
        for start, stop in zip(run.onsets.astype(int), stops.astype(int), strict=True):
            # a sample more, for volumes that touch
            running[max(0, start) : stop + 1] = True
            near[max(0, start - guard) : stop + guard] = True
    periods = np.array([(run.period, run.slice_period) for run in runs])
    period, slice_period = np.median(periods, axis=0).tolist()
    is_regular = bool(np.allclose(periods, [period, slice_period], rtol=1e-3))
    return Scan(running & usable, ~near & usable, period, slice_period, is_regular)


def pick_eeg(raw, picks=None):
    """Indices of the channels; None: the EEG channels that are not marked bad."""
    if picks is not None:
        return pick_channels(raw, picks, name="The metric")
    found = mne.pick_types(raw.info, eeg=True, exclude="bads")
    if not found.size:
        raise ValueError(
            "There is no EEG channel that is not marked bad, the recording has "
            f"{sorted(set(raw.get_channel_types()))}. Name the channels with picks=."
        )
    return found


def pick_pair(raw, clean, picks=None):
    """Indices of the channels in a recording and its correction."""
    if raw.ch_names != clean.ch_names:
        differing = sorted(set(raw.ch_names) ^ set(clean.ch_names))
        raise ValueError(
            "The recording before and after the correction must have the same channels "
            f"in the same order, different is {differing or 'the order'}."
        )
    if raw.n_times != clean.n_times or raw.info["sfreq"] != clean.info["sfreq"]:
        raise ValueError(
            "The recording before and after the correction must have the same samples, "
            f"got {raw.n_times} at {raw.info['sfreq']:g} Hz and {clean.n_times} at "
            f"{clean.info['sfreq']:g} Hz. Leave out steps that crop or resample, or "
            "do the same to both."
        )
    return pick_eeg(raw, picks)


def pick_scan(raw, clean, picks, description):
    """Channels of a recording and its correction, and when the scanner ran."""
    picks = pick_pair(raw, clean, picks)
    return picks, find_scan(annotated(raw, clean, description), description)


def annotated(raw, clean, description):
    """Whichever of the two has the annotations, the corrected one first."""
    return clean if description in clean.annotations.description else raw


def regular_epochs(raw, description):
    """Starts of the epochs that are not BAD, and their usual length, in samples."""
    index = np.flatnonzero(raw.annotations.description == description)
    if index.size < _LEAST_EVENTS:
        raise NotAvailable(
            f"At least {_LEAST_EVENTS} annotations described {description!r} are "
            f"needed. The recording has: {describe_annotations(raw)}."
        )
    starts = np.sort(annotation_samples(raw, index))
    length = int(np.median(np.diff(starts)))
    starts = starts[~overlaps_bad(raw, starts, starts + length)]
    if starts.size < _LEAST_EVENTS:
        raise NotAvailable(
            f"At least {_LEAST_EVENTS} of the {index.size} annotations described "
            f"{description!r} must be outside of those that start with BAD."
        )
    return starts, length


def finite_data(raw, picks, start=0, stop=None):
    """Samples of channels, in V; an error where they are NaN or infinite."""
    data = raw.get_data(picks, start, stop)
    for pick, x in zip(picks, data, strict=True):
        if not np.isfinite(x).all():
            raise ValueError(
                f"{raw.ch_names[pick]} holds NaN or Inf. Interpolate these samples or "
                "leave the channel out with picks=."
            )
    return data


def without_beats(raw, x, description):
    """Signals without what all channels show at heart beats: a rough correction."""
    starts, length = regular_epochs(raw, description)
    early = starts - 0.1 * length
    return without_events(x, early, int(1.2 * length), raw.info["sfreq"])


def pieces_of(raw, picks, mask, l_freq=None, h_freq=None):
    """Uninterrupted parts of 1 s or more, each filtered by itself.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    picks : array of int
        Channels.
    mask : array of bool, shape (n_times,)
        Samples of the parts.
    l_freq, h_freq : float | None
        Pass band in Hz.

    Returns
    -------
    pieces : list of array, shape (n_channels, n_samples)
        In volts.
    """
    borders = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    sfreq = raw.info["sfreq"]
    return [
        band_pass(finite_data(raw, picks, start, stop), sfreq, l_freq, h_freq)
        for start, stop in zip(borders[::2], borders[1::2], strict=True)
        if stop - start >= sfreq
    ]


def quiet_pieces(raw, picks, scan, l_freq=None, h_freq=None):
    """Parts without scanning, see :func:`pieces_of`; 4 s of them at least."""
    pieces = pieces_of(raw, picks, scan.quiet, l_freq, h_freq)
    seconds = sum(piece.shape[1] for piece in pieces) / raw.info["sfreq"]
    if seconds < _LEAST_QUIET:
        raise NotAvailable(
            f"At least {_LEAST_QUIET:g} s without scanning and BAD annotations are "
            f"needed, in parts of 1 s or more; the recording has {seconds:.1f} s."
        )
    return pieces


def low_rate_step(raw):
    """Of how many samples the low rate keeps one."""
    return max(1, int(raw.info["sfreq"] // _LOW_RATE))


def low_rate(raw, picks):
    """Recording of some channels, as EEG, at 500 Hz or little more.

    The annotations keep their times from the first sample, which becomes sample 0.
    """
    sfreq, step = raw.info["sfreq"], low_rate_step(raw)
    h_freq = 0.4 * sfreq / step if step > 1 else None
    data = np.empty((len(picks), -(-raw.n_times // step)))
    # in files, channels lie side by side
    at_a_time = 1 if raw.preload else AT_A_TIME
    for first in range(0, len(picks), at_a_time):
        rows = finite_data(raw, picks[first : first + at_a_time])
        for row, x in enumerate(rows, first):
            data[row] = band_pass(x, sfreq, None, h_freq)[::step]
    info = mne.create_info([raw.ch_names[p] for p in picks], sfreq / step, "eeg")
    small = mne.io.RawArray(data, info, verbose="ERROR")
    origin, old = raw.first_time, raw.annotations
    extras = [
        {**extra, "time": extra["time"] - origin} if "time" in extra else extra
        for extra in old.extras
    ]
    annotations = mne.Annotations(
        old.onset - origin, old.duration, old.description, extras=extras
    )
    return small.set_annotations(annotations, emit_warning=False)


def truth_data(clean, truth):
    """The truth as an array; all channels of the corrected recording, in V."""
    data = truth.get_data() if isinstance(truth, mne.io.BaseRaw) else np.asarray(truth)
    if data.shape != (len(clean.ch_names), clean.n_times):
        raise ValueError(
            f"truth has the shape {data.shape}, but the corrected recording has "
            f"{len(clean.ch_names)} channels and {clean.n_times} samples."
        )
    return data
