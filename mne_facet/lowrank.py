"""Correction of the gradient artifact by time courses that all channels share."""

from functools import partial
from itertools import islice
from numbers import Integral

import mne
import numpy as np
from mne.utils import logger, warn

from ._base import ChannelTransformer, map_channels
from ._epochs import all_grids, epoch_grids
from ._events import get_runs
from .signal.averaging import moving_weights
from .signal.lowrank import (
    MOST_COMPONENTS,
    Courses,
    band_coefs,
    constant_course,
    find_courses,
    is_clipped,
    subtract_low_rank,
    windows,
)
from .signal.template import subtract_templates

_BAND = 75.0, 240.0  # Hz; above most of the EEG, below the amplifier's filter
_N_CHANNELS = 8
_WINDOW = 600.0  # s


class LowRank(ChannelTransformer):
    """Joint low-rank subtraction of the gradient artifact.

    The artifact differs from slice to slice: the slices are not the same, the head
    moves, the clocks of scanner and amplifier drift. These differences are few time
    courses, common to all channels and all frequencies [1]_, [2]_. They are measured
    above 75 Hz, where there is little EEG, and what follows them is removed from each
    channel at all frequencies, except where it is no larger than EEG would be.

    It follows movement that averages do not follow, and it adds no EEG of other epochs,
    as averages do.

    Parameters
    ----------
    n_components : "auto" | int
        Number of time courses besides the constant one, at most 40 and at most one for
        8 epochs. ``"auto"``: those above the optimal threshold for noise [3]_. More
        than needed do little harm.
    picks : str | list | slice | None
        Channels to correct; None: EEG, EOG, ECG and EMG channels, bad ones included.
        The time courses come from the 8 EEG channels among them with the largest
        artifact that are neither bad nor clipped.
    description : str
        Description of the volume annotations.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time: -1 all cores; None 1, or what
        ``joblib.parallel_config`` says. The result does not depend on it.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    Epochs are slices where the number of slices is known, volumes elsewhere. Slices
    are much better: there are more of them (``TriggerDetector(n_slices=...)``). Few
    epochs are no obstacle: 8 or less are corrected with their mean, without what
    might be EEG.

    What it costs: above 75 Hz some ``n_courses / n_epochs`` of the EEG, below much
    less, since most waveforms are found to be no larger than EEG there and left out.
    Activity that is phase-locked to the epochs (harmonics of the slice frequency) is
    removed, and some of what is locked to the volumes. Slow EEG is neither removed nor
    added. Artifact that exists only below 75 Hz is not seen, unless it is the same in
    all epochs.

    Recordings that end below 83 Hz, filtered or resampled before, are corrected with
    moving averages instead (:class:`AAS`); the log says so.

    Recordings longer than 13 minutes are treated in windows of about 10 minutes that
    overlap by a quarter; their templates are cross-faded. A window in which no artifact
    is in step with the volumes is left as it is.

    Epochs that touch an annotation starting with ``BAD``, that are clipped or of more
    than twice the usual amplitude, or cut off by the end of the data lend nothing to
    others but are corrected; those noisier than usual above 75 Hz (muscle) lend less.
    Flat channels stay as they are.

    Raises
    ------
    ValueError
        If there are no volume annotations, or the data hold NaN or Inf.
    RuntimeError
        If the data are not in memory.

    Warns
    -----
    RuntimeWarning
        If no artifact is in step with the volumes; the data are returned as they are.

    References
    ----------
    .. [1] Negishi, Abildgaard, Nixon, Constable (2004). Removal of time-varying
       gradient artifacts from EEG data acquired during continuous fMRI. Clinical
       Neurophysiology 115, 2181-2192.
    .. [2] Liu, de Zwart, van Gelderen, Kuo, Duyn (2012). Statistical feature extraction
       for artifact removal from concurrent fMRI-EEG recordings. NeuroImage 59,
       2073-2087. https://doi.org/10.1016/j.neuroimage.2011.10.042
    .. [3] Gavish, Donoho (2014). The optimal hard threshold for singular values is
       4/sqrt(3). IEEE Transactions on Information Theory 60, 5040-5053.
       https://doi.org/10.1109/TIT.2014.2323359

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import LowRank, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> pipeline = make_pipeline(TriggerDetector("R128", n_slices=20), LowRank())
    >>> clean = pipeline.fit_transform(raw)
    """

    _ns_per_sample = 25.0
    _n_arrays = 6.0
    _n_arrays_to_plan = 30.0

    def __init__(
        self,
        n_components="auto",
        *,
        picks=None,
        description="TR",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.n_components = n_components
        self.picks = picks
        self.description = description
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        self._check_parameters()
        runs = get_runs(raw, self.description, name="LowRank")
        band = _artifact_band(raw.info)
        if band is None:
            return _averages(raw, runs)
        grids, width = [], None
        for run in runs:
            level = "slice" if run.n_shots.max() > 1 else "volume"
            grid, *pauses = epoch_grids(raw, run, level)
            courses = self._find_courses(raw, picks, grid, band, level)
            if courses:
                grids.append((grid, courses))
                grids += [(pause, [_constant(pause)]) for pause in pauses]
                width = round(run.slice_period) if pauses else width
        if not grids:
            warn(
                "LowRank found no artifact in step with the volumes and changes "
                f"nothing. Check the {self.description!r} annotations with "
                "trigger_report."
            )
        return partial(subtract_low_rank, grids=grids, band=band, width=width)

    def _check_parameters(self):
        value = self.n_components
        if value != "auto" and not (
            isinstance(value, Integral) and 0 <= value <= MOST_COMPONENTS
        ):
            raise ValueError(
                f"n_components={value!r} must be 'auto' or a whole number from 0 to "
                f"{MOST_COMPONENTS}."
            )

    def _find_courses(self, raw, picks, grid, band, level):
        inside = (grid.starts > -0.5) & (grid.stops < raw.n_times + 0.5)
        channels = _strongest_channels(raw, picks, grid, band, self.n_jobs)
        size = _WINDOW * raw.info["sfreq"] / np.median(np.diff(grid.starts))
        found = []
        for span, share in windows(len(inside), size):
            measure = partial(band_coefs, grid=grid, band=band, epochs=span)
            coefs = map_channels(measure, raw, channels, self.n_jobs)
            values, trust, evidence = find_courses(
                np.hstack(coefs), (grid.good & inside)[span], self.n_components
            )
            logger.info(
                f"LowRank: {level} epochs {span.start} to {span.stop - 1}, "
                f"{len(channels)} channels: {evidence}"
            )
            if values is not None:
                values[~inside[span], 1:] = 0  # too little is left of them to tell
                found.append(Courses(span.start, values, trust, share))
        return found


def _artifact_band(info):
    """Band of the time courses, in cycles per sample; None if there is none."""
    low, high = _BAND
    high = min(high, 0.95 * min(info["lowpass"], info["sfreq"] / 2))
    if high < 1.1 * low:
        return None
    return low / info["sfreq"], high / info["sfreq"]


def _averages(raw, runs):
    """Moving averages instead, as by :class:`AAS`."""
    has_slices = all(run.n_shots.max() > 1 for run in runs)
    level, window = ("slice", 100) if has_slices else ("volume", 30)
    grids = all_grids(raw, runs, level)
    logger.info(
        f"LowRank: the recording ends below {1.1 * _BAND[0]:.0f} Hz, too low to see "
        f"how the artifact changes: moving averages of {window} {level} epochs instead"
    )
    weights = [partial(moving_weights, window=window) for _ in grids]
    width = max(1, round(0.002 * raw.info["sfreq"]))
    return partial(subtract_templates, grids=grids, weights=weights, width=width)


def _strongest_channels(raw, picks, grid, band, n_jobs):
    """EEG channels with the largest mean artifact in the band, none of them clipped.

    Clipped ones if the others do not repeat: these are disconnected.
    """
    eeg = set(mne.pick_types(raw.info, eeg=True, exclude="bads"))
    picks = [p for p in picks if p in eeg] or list(picks)
    middle = len(grid.starts) // 2
    some = slice(max(0, middle - 30), min(len(grid.starts), middle + 30))
    measure = partial(band_coefs, grid=grid, band=band, epochs=some)
    coefs = map_channels(measure, raw, picks, n_jobs)
    power = np.array([np.sum(rows.mean(axis=0) ** 2) for rows in coefs])
    own = np.array([np.mean(np.sum(rows**2, axis=1)) for rows in coefs])
    repeats = power > 0.2 * own
    order = np.argsort(-power, kind="stable")
    ranked = [picks[i] for i in order if repeats[i] or not repeats.any()]
    whole = (p for p in ranked if not is_clipped(raw._data[p]))
    return list(islice(whole, _N_CHANNELS)) or ranked[:_N_CHANNELS]


def _constant(grid):
    values, trust = constant_course(grid.good)
    return Courses(0, values, trust, np.ones(len(trust)))
