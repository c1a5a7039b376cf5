"""Correction of the gradient artifact."""

from functools import partial
from numbers import Integral

import mne
import numpy as np
from mne.utils import logger

from ._base import ChannelTransformer
from ._epochs import all_grids
from ._events import get_runs
from .signal.averaging import moving_weights
from .signal.template import subtract_templates, template_error

_WEIGHTS = {"moving": moving_weights}


class AAS(ChannelTransformer):
    """Average artifact subtraction.

    Every volume (or slice) is corrected with the average of other ones from the
    same scanner run [1]_. The first and last ones are corrected
    as well as those in the middle, samples outside the scan stay as they are, and
    neither the data nor their clock is ever resampled: the template is brought to
    the sub-sample position of the epoch instead.

    Parameters
    ----------
    window : int
        Number of epochs to average.
    weights : "moving"
        Which epochs: ``"moving"`` the `window` nearest others, half before and half
        after, sliding inward at the ends of a run.
    level : "auto" | "volume" | "slice"
        What an epoch is. Slices need to be known (``TriggerDetector(n_slices=...)``
        or slice triggers); they follow movement faster, volumes allow slices to
        differ from each other. ``"auto"``: whichever makes the smaller error in six
        of the EEG channels, see Notes; volumes if slices are not known.
    scale : "robust" | None
        ``"robust"``: fit the amplitude of each template by least squares, held
        within 0.8 to 1.25 of the run's median and smoothed over five epochs; 1
        where the artifact is weak. None: always 1.
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
    and whose diagonal is 0: no epoch is part of its own template, so EEG is not
    removed with it. What it costs: EEG of other epochs is added, which raises the
    power of EEG by ``1 + 1 / window``, and activity that is phase-locked to the
    epochs (harmonics of the slice or volume frequency) is removed. Slow EEG is
    neither removed nor added: the baseline of the average, a twofold moving average
    over one artifact period, is taken out of the template.

    The error that ``level="auto"`` looks at is the artifact left in step with the
    volumes, plus the EEG added by the average: ``1 / window`` of its power above half
    the frequency of the epochs.

    Epochs that touch an annotation starting with ``BAD``, that are clipped (three
    equal samples at the extremes of the channel), of more than twice the usual
    amplitude, or cut off by the end of the data lend nothing to others but are
    corrected. Flat channels stay as they are.

    Raises
    ------
    ValueError
        If there are no volume annotations, or the data hold NaN or Inf.
    RuntimeError
        If the data are not in memory.

    References
    ----------
    .. [1] Allen, Josephs, Turner (2000). A method for removing imaging artifact from
       continuous EEG recorded during functional MRI. NeuroImage 12, 230-239.
       https://doi.org/10.1006/nimg.2000.0599

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import AAS, TriggerAligner, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> pipeline = make_pipeline(TriggerDetector("R128"), TriggerAligner(), AAS())
    >>> clean = pipeline.fit_transform(raw)
    """

    def __init__(
        self,
        window=30,
        *,
        weights="moving",
        level="auto",
        scale="robust",
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
        self.picks = picks
        self.description = description
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        self._check_parameters()
        runs = get_runs(raw, self.description, name="AAS")
        subtract = partial(
            subtract_templates,
            weights=partial(_WEIGHTS[self.weights], window=self.window),
            scale=self.scale,
        )
        level = self._choose_level(raw, runs, picks, subtract)
        grids = all_grids(raw, runs, level)
        logger.info(
            f"AAS: {sum(len(grid.starts) for grid in grids)} {level} epochs in "
            f"{len(runs)} run(s), {self.weights} average of {self.window}, "
            f"{len(picks)} channels"
        )
        return partial(subtract, grids=grids)

    def _check_parameters(self):
        if not isinstance(self.window, Integral) or self.window < 2:
            raise ValueError(
                f"window={self.window!r} must be a whole number of epochs, at least 2."
            )
        for name, allowed in (
            ("weights", list(_WEIGHTS)),
            ("level", ["auto", "volume", "slice"]),
            ("scale", ["robust", None]),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is unknown. Allowed are {allowed}.")

    def _choose_level(self, raw, runs, picks, subtract):
        has_slices = all(run.n_shots.max() > 1 for run in runs)
        if self.level == "slice" and not has_slices:
            raise ValueError(
                "level='slice' needs the number of slices per volume. Use "
                "TriggerDetector(n_slices=...) or level='volume'."
            )
        if self.level != "auto":
            return self.level
        if not has_slices:
            return "volume"
        errors = {
            level: self._expected_error(raw, runs, picks, subtract, level)
            for level in ("slice", "volume")
        }
        logger.info(
            "AAS: expected error {slice:.2f} uV by slices, {volume:.2f} uV by "
            "volumes".format(**{key: 1e6 * value for key, value in errors.items()})
        )
        return min(errors, key=errors.get)

    def _expected_error(self, raw, runs, picks, subtract, level, n_channels=6):
        """Error (V rms) of a level in a few EEG channels, spread over all of them."""
        eeg = set(mne.pick_types(raw.info, eeg=True, exclude="bads"))
        candidates = [p for p in picks if p in eeg] or list(picks)
        some = candidates[:: -(-len(candidates) // n_channels)]
        grids = all_grids(raw, runs, level)
        width = max(1, round(0.01 * raw.info["sfreq"]))
        power = []
        for pick in some:
            clean = subtract(raw._data[pick], grids=grids)
            for run in runs:
                epoch = run.slice_period if level == "slice" else run.period
                error = template_error(clean, run.onsets, run.period, epoch, width)
                n_others = run.period * len(run.onsets) / epoch - 1
                power.append(error.locked + error.above / min(self.window, n_others))
        return np.exp(0.5 * np.mean(np.log(np.maximum(power, 1e-30))))
