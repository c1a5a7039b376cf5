"""Correction of the gradient artifact."""

from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import mne
import numpy as np
from mne.utils import logger, warn

from ._base import ChannelTransformer, map_channels
from ._checks import check_count, check_option
from ._epochs import artifact_signal, artifact_signals, epoch_grids, epoch_places
from ._events import get_runs
from .motion import moved_volumes
from .signal.averaging import (
    artifact_spectra,
    block_weights,
    exponential_weights,
    farm_weights,
    fastr_weights,
    motion_weights,
    moving_weights,
    slice_weights,
)
from .signal.locked import template_error
from .signal.template import subtract_significant, subtract_templates

# the scheme, what it looks at, and how many slices or volumes it averages by default
_SCHEMES = {
    "moving": (moving_weights, (), 100, 30),
    "slice": (slice_weights, ("shot",), 30, 30),
    "allen": (block_weights, ("band",), 100, 25),
    "fastr": (fastr_weights, ("shot",), 30, 30),
    "farm": (farm_weights, ("band",), 12, 12),
    "motion": (motion_weights, ("volume", "moved", "band"), 100, 25),
    "median": (moving_weights, (), 100, 30),
    "exponential": (exponential_weights, (), 100, 30),
}
_LEVELS = {
    "volume": "volume epochs",
    "slice": "slice epochs",
    "both": "slice epochs, then volumes",
}


class AAS(ChannelTransformer):
    """Average artifact subtraction.

    Every volume (or slice) is corrected with the average of other ones from the
    same scanner run [1]_. The first and last ones are corrected
    as well as those in the middle, samples outside the scan stay as they are, and
    neither the data nor their clock is ever resampled: the template is brought to
    the sub-sample position of the epoch instead.

    Parameters
    ----------
    window : int | "auto"
        Number of epochs to average. ``"auto"``: what is usual for the `weights`, see
        there.
    weights : str
        Which epochs, and by default how many slices or volumes of them:

        - ``"moving"`` (100 or 30): the nearest others, half before and half after,
          sliding inward at the ends of a run.
        - ``"slice"`` (30): the same slice of the nearest other volumes; with
          ``level="auto"``, that is by slices.
        - ``"allen"`` (100 or 25): consecutive blocks, of them those that resemble each
          other [1]_.
        - ``"fastr"`` (30): the windows of FASTR [2]_: every second slice, or volumes
          in a row, the epoch itself among them.
        - ``"farm"`` (12): those of some 50 neighbours whose artifact resembles the
          epoch's most [3]_; follows movement that comes and goes.
        - ``"motion"`` (100 or 25): the nearest others that no movement of the head
          lies between [4]_, see :func:`add_motion`.
        - ``"median"`` (100 or 30): as ``"moving"``, but the median at each sample.
        - ``"exponential"`` (100 or 30): weights that fall off to both sides, with as
          much noise as that number of equal ones.
    level : "auto" | "both" | "slice" | "volume"
        What an epoch is. Slices need to be known (``TriggerDetector(n_slices=...)``
        or slice triggers); they are many and follow movement faster, volumes allow
        slices to differ from each other. ``"both"``: slices, and then what they leave
        in step with the volumes, as by :class:`VolumeArtifact`. ``"auto"``: both or
        volumes, whichever makes the smaller error in four of the EEG channels, see
        Notes; volumes if slices are not known.
    scale : "robust" | None
        ``"robust"``: fit the amplitude of each template by least squares, held
        within half and twice the median; 1 where the artifact is weak. None:
        always 1.
    threshold : float
        For ``weights="motion"``: movements from one volume to the next of more than
        this many mm or degrees count.
    picks : str | list | slice | None
        Channels to correct; None: EEG, EOG, ECG and EMG channels, bad ones included.
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
    The templates are ``T = W X`` with an averaging matrix ``W`` whose rows sum to 1
    and whose diagonal is 0 (but for ``"fastr"``): no epoch is part of its own
    template, so EEG is not removed with it. What it costs: EEG of other epochs is
    added, which raises the power of EEG by ``1 + 1 / window``, and activity that is
    phase-locked to the epochs (harmonics of the slice or volume frequency) is removed.
    Slow EEG is neither removed nor added: the baseline of the average, a twofold
    moving average over one artifact period, is taken out of the template.

    Amplitudes are fitted to differences of means over 2 ms, in which there is much
    artifact and little EEG. They let slices be of different size.

    Epochs are compared (``"allen"``, ``"farm"``, ``"motion"``) by their spectra from
    100 to 250 Hz (lower if the recording ends there) in the five channels with the
    largest artifact. Compared by all of their signal, as the papers have it, the most
    similar epochs are those whose EEG is similar: it costs a fifth of the EEG.

    The error that ``level="auto"`` looks at is the artifact left in step with the
    volumes, plus the EEG added by the average: ``1 / window`` of its power above half
    the frequency of the epochs.

    Epochs that touch an annotation starting with ``BAD``, that are clipped (three
    equal samples at the extremes of the channel), of more than twice the usual
    amplitude, or cut off by the end of the data lend nothing to others but are
    corrected. Flat channels stay as they are, and flat epochs with ``scale="robust"``.

    A run whose volumes do not resemble each other in any of the five strongest
    channels, a median correlation of 0.5 above 20 Hz, has no artifact that is worth
    the EEG that an average adds, and stays as it is.

    Raises
    ------
    ValueError
        If there are no volume annotations, or the data hold NaN or Inf, or
        ``weights="motion"`` finds no movement in the annotations.
    RuntimeError
        If the data are not in memory.

    Warns
    -----
    RuntimeWarning
        If no artifact is in step with the volumes of a run.

    References
    ----------
    .. [1] Allen, Josephs, Turner (2000). A method for removing imaging artifact from
       continuous EEG recorded during functional MRI. NeuroImage 12, 230-239.
       https://doi.org/10.1006/nimg.2000.0599
    .. [2] Niazy et al. (2005). Removal of FMRI environment artifacts from EEG data
       using optimal basis sets. NeuroImage 28, 720-737.
       https://doi.org/10.1016/j.neuroimage.2005.06.067
    .. [3] van der Meer et al. (2010). Robust EMG-fMRI artifact reduction for motion
       (FARM). Clinical Neurophysiology 121, 766-776.
       https://doi.org/10.1016/j.clinph.2009.12.035
    .. [4] Moosmann et al. (2009). Realignment parameter-informed artefact correction
       for simultaneous EEG-fMRI recordings. NeuroImage 45, 1144-1150.
       https://doi.org/10.1016/j.neuroimage.2009.01.024

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import AAS, TriggerAligner, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> pipeline = make_pipeline(TriggerDetector("R128"), TriggerAligner(), AAS())
    >>> clean = pipeline.fit_transform(raw)
    """

    _ns_per_sample = 50.0
    _n_arrays = 4.0
    _n_arrays_to_plan = 8.0

    def __init__(
        self,
        window="auto",
        *,
        weights="moving",
        level="auto",
        scale="robust",
        threshold=0.5,
        picks=None,
        description="TR",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.window = window
        self.weights = weights
        self.level = level
        self.scale = scale
        self.threshold = threshold
        self.picks = picks
        self.description = description
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        self._check_parameters()
        runs = get_runs(raw, self.description, name="AAS")
        runs = [run for run in runs if self._shows_artifact(raw, run)]
        signals = None
        if runs and "band" in _SCHEMES[self.weights][1]:
            signals = artifact_signals(raw, runs[0], 5, self.picks)[0]
        subtractions = {
            level: self._subtraction(raw, runs, level, signals)
            for level in self._levels(runs)
        }
        level = self._choose_level(raw, runs, picks, subtractions)
        n_epochs = sum(
            len(run.onsets) if level == "volume" else run.n_shots.sum() for run in runs
        )
        logger.info(
            f"AAS: {n_epochs} {_LEVELS[level]} in {len(runs)} run(s), {self.weights} "
            f"average of {self._window(level)}, {len(picks)} channels"
        )
        return subtractions[level]

    def _check_parameters(self):
        is_number = isinstance(self.window, Integral) and self.window >= 2
        if not (is_number or self.window == "auto"):
            raise ValueError(
                f"window={self.window!r} must be a whole number of epochs, at least 2, "
                "or 'auto'."
            )
        if not (isinstance(self.threshold, Real) and self.threshold > 0):
            raise ValueError(
                f"threshold={self.threshold!r} must be mm or degrees above 0."
            )
        for name, allowed in (
            ("weights", list(_SCHEMES)),
            ("level", ["auto", *_LEVELS]),
            ("scale", ["robust", None]),
        ):
            check_option(name, getattr(self, name), allowed)

    def _shows_artifact(self, raw, run):
        _, visible = artifact_signal(raw, run, self.picks)
        if not visible:
            warn(
                "AAS found no artifact in step with the volumes from "
                f"{run.onsets[0] / raw.info['sfreq']:.2f} s on and leaves this run as "
                f"it is. Check the {self.description!r} annotations with "
                "trigger_report."
            )
        return visible

    def _window(self, level):
        if self.window != "auto":
            return self.window
        return _SCHEMES[self.weights][3 if level == "volume" else 2]

    def _subtraction(self, raw, runs, level, signals):
        """The correction of one channel."""
        if level == "both":
            slices = self._subtraction(raw, runs, "slice", signals)
            return partial(_in_turn, funcs=[slices, _subtract_rest(raw, runs)])
        placed = [(run, grid) for run in runs for grid in epoch_grids(raw, run, level)]
        return partial(
            subtract_templates,
            grids=[grid for _, grid in placed],
            weights=[self._scheme(raw, run, grid, signals) for run, grid in placed],
            scale=self.scale,
            average="median" if self.weights == "median" else "mean",
            width=max(1, round(0.002 * raw.info["sfreq"])),
        )

    def _scheme(self, raw, run, grid, signals):
        """Averaging matrix of one grid, as a function of the epochs to average."""
        scheme, needs, *_ = _SCHEMES[self.weights]
        volume, shot = epoch_places(run, grid)
        known = {"volume": volume, "shot": shot}
        if "moved" in needs:
            known["moved"] = moved_volumes(raw, run, self.threshold)
        if "band" in needs:
            sfreq, length = raw.info["sfreq"], np.median(grid.stops - grid.starts)
            # where there is artifact and hardly any EEG
            high = min(250.0, 0.4 * sfreq, raw.info["lowpass"])
            low = min(100.0, 0.5 * high)
            known["band"] = artifact_spectra(
                signals, grid.starts, int(length), low / sfreq, high / sfreq
            )
        window = self._window("slice" if shot.any() else "volume")
        return partial(scheme, window=window, **{name: known[name] for name in needs})

    def _levels(self, runs):
        """Levels to choose from."""
        has_slices = all(run.n_shots.max() > 1 for run in runs)
        level = self.level
        if self.weights == "slice" and level == "auto":
            level = "slice"
        if level in ("slice", "both") and not has_slices:
            name = "weights='slice'" if self.level == "auto" else f"level={level!r}"
            raise ValueError(
                f"{name} needs the number of slices per volume. Use "
                "TriggerDetector(n_slices=...) or level='volume'."
            )
        if level != "auto":
            return [level]
        return ["both", "volume"] if has_slices and runs else ["volume"]

    def _choose_level(self, raw, runs, picks, subtractions, n_channels=4):
        """The level with the smallest error in a few EEG channels."""
        levels = list(subtractions)
        if len(levels) == 1:
            return levels[0]
        eeg = set(mne.pick_types(raw.info, eeg=True, exclude="bads"))
        candidates = [p for p in picks if p in eeg] or list(picks)
        some = candidates[:: -(-len(candidates) // n_channels)]
        corrections = [
            partial(
                _error_powers,
                subtract=subtract,
                runs=runs,
                window=self._window(level),
                by_volumes=level == "volume",
                width=max(1, round(0.01 * raw.info["sfreq"])),
            )
            for level, subtract in subtractions.items()
        ]
        measure = partial(_each, funcs=corrections)
        powers = np.array(map_channels(measure, raw, some, self.n_jobs))
        logs = np.log(np.maximum(powers, 1e-30)).mean(axis=(0, 2))
        errors = dict(zip(levels, np.exp(0.5 * logs), strict=True))
        logger.info(
            "AAS: expected error {both:.2f} uV by slices and volumes, {volume:.2f} uV "
            "by volumes".format(**{key: 1e6 * value for key, value in errors.items()})
        )
        return min(errors, key=errors.get)


def _each(x, funcs):
    return [func(x) for func in funcs]


def _error_powers(x, subtract, runs, window, by_volumes, width):
    """Expected power of the error of one corrected channel, in each run."""
    clean, powers = subtract(x), []
    for run in runs:
        epoch = run.period if by_volumes else run.slice_period
        error = template_error(clean, run.onsets, run.period, epoch, width)
        n_others = run.period * len(run.onsets) / epoch - 1
        powers.append(error.locked + error.above / min(window, n_others))
    return powers


class VolumeArtifact(ChannelTransformer):
    """Subtract what an average over slices has left in step with the volumes.

    Slices differ: the first one of a volume has an extra pulse, each has a strength of
    its own. Averages over slices leave these differences, averages over volumes
    have few epochs and add much EEG. This step comes after a correction by slices,
    averages the volumes of what is left and subtracts only what rises above the
    noise of such an average. It is part of ``AAS(level="both")``.

    Parameters
    ----------
    window : int
        Number of volumes to average.
    picks : str | list | slice | None
        Channels to correct; None: EEG, EOG, ECG and EMG channels, bad ones included.
    description : str
        Description of the volume annotations.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    The template ``T`` of four successive volumes is the mean of `window` others around
    them; fewer than 32 volumes have one each. Each of its harmonics is multiplied by
    ``max(0, 1 - 1.5 N / P)``, almost Wiener's filter: ``P`` is its power, ``N`` what
    the mean of so many volumes has by chance, known from how much the volumes differ
    from their templates; both averaged over nine harmonics of the volume rate. Where
    there is no artifact, less than 1 % of that noise passes.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import AAS, TriggerDetector, VolumeArtifact, simulate_raw
    >>> raw, truth = simulate_raw(duration=40, n_eeg=2, sfreq=1000, n_slices=20)
    >>> pipeline = make_pipeline(
    ...     TriggerDetector("R128", n_slices=20), AAS(level="slice"), VolumeArtifact()
    ... )
    >>> clean = pipeline.fit_transform(raw)
    """

    _ns_per_sample = 30.0

    _plan_needs_data = False

    def __init__(
        self,
        window=60,
        *,
        picks=None,
        description="TR",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.window = window
        self.picks = picks
        self.description = description
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        check_count("window", self.window, 2)
        runs = get_runs(raw, self.description, name="VolumeArtifact")
        logger.info(
            f"VolumeArtifact: {sum(len(run.onsets) for run in runs)} volumes in "
            f"{len(runs)} run(s), average of {self.window}, {len(picks)} channels"
        )
        return _subtract_rest(raw, runs, self.window)


def _subtract_rest(raw, runs, window=60):
    """Subtraction of what is in step with the volumes, above the noise."""
    grids = []
    for run in runs:
        (volumes,) = epoch_grids(raw, run, "volume")
        # what is slower than a slice is no artifact: the baseline is that of slices
        periods = epoch_grids(raw, run, "slice")[0].periods
        grids.append(replace(volumes, periods=periods))
    weights = [partial(moving_weights, window=window) for _ in grids]
    return partial(subtract_significant, grids=grids, weights=weights)


def _in_turn(x, funcs):
    for func in funcs:
        x = func(x)
    return x
