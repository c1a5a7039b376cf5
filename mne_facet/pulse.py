"""Correction of the pulse artifact from heart beats."""

from dataclasses import replace
from functools import partial

import numpy as np
from mne.utils import logger

from ._base import (
    BRAIN,
    ChannelTransformer,
    check_data,
    pick_channels,
    without_bads,
)
from ._checks import (
    check_count,
    check_cutoff,
    check_on_missing,
    check_option,
    check_range,
    report_missing,
)
from ._events import (
    NoBeatsError,
    annotation_samples,
    beat_index,
    boundaries,
    overlaps_bad,
)
from .signal.averaging import moving_weights
from .signal.pulse import (
    USUAL_DELAY,
    average_beats,
    beat_epochs,
    beat_grid,
    gaussian_weights,
    highpass,
    peak_delay,
    subtract_average,
    subtract_beat_components,
    template_fit,
    template_gains,
    usual_beats,
)
from .signal.pulse_model import fit_model, random_windows, subtract_model

# beats below which there is no correction, no amplitude, and no component
_FEWEST, _FOR_GAINS, _FOR_COMPONENTS = 5, 10, 20
_WEIGHTS = {
    "mean": moving_weights,
    "median": moving_weights,
    "gaussian": gaussian_weights,
}


class _Pulse(ChannelTransformer):
    """A step that works on windows around heart beats."""

    _ns_per_sample = 100.0
    _n_arrays = 12.0
    _n_arrays_to_plan = 12.0

    def _pick_channels(self, raw):
        return pick_channels(raw, self.picks, name=type(self).__name__, kinds=BRAIN)

    def _plan(self, raw, picks):
        self._check_parameters()
        check_data(raw, without_bads(raw, picks), name=type(self).__name__)
        try:
            beats, grid = self._beat_grid(raw, picks)
        except NoBeatsError as error:
            report_missing(error, self.on_missing)
            return []
        return self._plan_beats(raw, picks, beats, grid)

    def _check_parameters(self):
        check_cutoff(self.l_freq)
        check_on_missing(self.on_missing)
        if self.delay is not None:
            check_range("delay", self.delay, -1, 1)

    def _beat_grid(self, raw, picks):
        """Beats in samples, and their windows."""
        name, sfreq = type(self).__name__, raw.info["sfreq"]
        index = beat_index(raw, self.description, name=name)
        beats = annotation_samples(raw, index)
        if len(beats) < _FEWEST:
            raise NoBeatsError(
                f"{name} needs at least {_FEWEST} heart beats, but {len(beats)} "
                f"annotations are described {self.description!r}. Check them or set "
                "description=."
            )
        delay = self.delay
        if delay is None:
            delay = self._find_delay(raw, picks, beats)
        grid = beat_grid(beats, raw.n_times, sfreq, delay)
        kinds = [raw.annotations.extras[i].get("kind") for i in index]
        good = grid.good & ~np.isin(kinds, ["ectopic", "restored"])
        grid = replace(grid, good=good & _clear(raw, grid.first, grid.length))
        n_good = grid.good.sum()
        if n_good < _FEWEST:
            raise NoBeatsError(
                f"{name} needs at least {_FEWEST} normal heart beats, complete and "
                f"outside BAD annotations, but {n_good} of {len(beats)} are. Check the "
                "beats and the annotations."
            )
        logger.info(
            f"{name}: {len(beats)} heart beats, {n_good} to learn from, windows of "
            f"{grid.length / sfreq:.2f} s around {delay:.2f} s after the R peak"
        )
        pauses = np.maximum(np.diff(grid.first) - grid.length, 0)
        if pauses.any():
            logger.info(
                f"{name}: {np.count_nonzero(pauses)} pause(s) between beats, "
                f"{pauses.sum() / sfreq:.1f} s that no window reaches stay as they were"
            )
        return beats, grid

    def _find_delay(self, raw, picks, beats, n_channels=16):
        """Delay of the artifact in some channels, spread over all of them."""
        length = int(0.7 * raw.info["sfreq"])
        first = np.floor(beats + 0.5).astype(int)
        first = first[_clear(raw, first, length)]
        if not first.size:
            return USUAL_DELAY
        learn = without_bads(raw, picks)
        samples = first[:, np.newaxis] + np.arange(length)
        medians = [
            np.median(x[samples], axis=0)
            for x in self._highpassed(raw, learn[:: -(-len(learn) // n_channels)])
        ]
        return peak_delay(np.array(medians), raw.info["sfreq"])

    def _highpassed(self, raw, picks):
        for pick in picks:
            yield highpass(raw._data[pick], raw.info["sfreq"], self.l_freq)

    def _usual_beats(self, raw, picks, grid):
        """Leave movement and other bursts out of what is learnt from."""
        energy = [
            (beat_epochs(x, grid) ** 2).sum(axis=1)
            for x in self._highpassed(raw, without_bads(raw, picks))
        ]
        return replace(grid, good=usual_beats(np.array(energy), grid.good))


class PulseAAS(_Pulse):
    """Average artifact subtraction for the pulse artifact.

    Every heart beat is corrected with the average of other beats around it [1]_. It
    leaves what differs from beat to beat: a step for recordings that are to be
    compared with published ones, or that have few channels; :class:`PulseOBS`
    removes more.

    Parameters
    ----------
    window : int
        Number of beats to average, half before and half after; the first and last
        beats take more from the other side.
    method : "mean" | "median" | "gaussian"
        How to average them; "gaussian" is a mean that prefers near beats.
    scale : "common" | "channel" | None
        Amplitude of the template in each beat by least squares: one for all
        channels, one for each, which removes more EEG, or always 1.
    delay : float | None
        From the R peak to the middle of the window, in seconds; None: where the
        median beat is largest between 0.08 and 0.45 s.
    l_freq : float | None
        Cut-off in Hz of the high-pass for the templates, None for none. The data are
        not filtered.
    picks : str | list | slice | None
        Channels to correct; None: EEG and EOG channels, bad ones included.
    description : str
        Description of the annotations of the R peaks.
    on_missing : "raise" | "warn" | "ignore"
        What to do if there are fewer than 5 heart beats; unless ``"raise"``, the
        recording stays as it is.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    Windows are 1.2 RR intervals long and cross-faded halfway between beats. Where
    beats are farther apart the template fades out, and what no window reaches stays
    as it is, bit for bit. A beat is not part of its own template. What
    it costs: EEG of other beats is added, which raises the power of EEG by
    ``1 + 1 / window``.

    Beats that :class:`RPeakDetector` calls ectopic or restored, that touch annotations
    which start with ``BAD``, of more than the usual power, in too quick succession, or
    cut off by the end of the data lend nothing to others but are corrected. With fewer
    than 10 beats the amplitude is always 1.

    Raises
    ------
    ValueError
        If there are fewer than 5 heart beats (``on_missing="raise"``), or the data hold
        NaN or Inf.
    RuntimeError
        If the data are not in memory.

    References
    ----------
    .. [1] Allen, Polizzi, Krakow, Fish, Lemieux (1998). Identification of EEG events
       in the MR scanner: the problem of pulse artifact and a method for its
       subtraction. NeuroImage 8, 229-239. https://doi.org/10.1006/nimg.1998.0361

    Examples
    --------
    >>> from mne_facet import PulseAAS, simulate_raw
    >>> raw, truth = simulate_raw(
    ...     duration=40, n_eeg=4, sfreq=250, lowpass=100, gradient=0
    ... )
    >>> raw.annotations.append(truth.beat_times, 0, "R peak")  # doctest: +ELLIPSIS
    <Annotations ...>
    >>> clean = PulseAAS().fit_transform(raw)
    """

    def __init__(
        self,
        window=40,
        *,
        method="mean",
        scale="common",
        delay=None,
        l_freq=0.4,
        picks=None,
        description="R peak",
        on_missing="raise",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.window = window
        self.method = method
        self.scale = scale
        self.delay = delay
        self.l_freq = l_freq
        self.picks = picks
        self.description = description
        self.on_missing = on_missing
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_count("window", self.window, 2)
        check_option("method", self.method, list(_WEIGHTS))
        check_option("scale", self.scale, ["common", "channel", None])

    def _plan_beats(self, raw, picks, beats, grid):
        grid = self._usual_beats(raw, picks, grid)
        average = partial(
            average_beats,
            weights=_WEIGHTS[self.method](grid.good, self.window),
            method=self.method,
            grid=grid,
        )
        gains = np.ones(len(grid.first))
        if grid.good.sum() < _FOR_GAINS:
            logger.info("PulseAAS: too few beats for amplitudes of their own")
        elif self.scale == "channel":
            gains = None
        elif self.scale == "common":
            gains = self._common_gains(raw, picks, grid, average)
        return partial(
            subtract_average,
            sfreq=raw.info["sfreq"],
            l_freq=self.l_freq,
            grid=grid,
            average=average,
            gains=gains,
        )

    def _common_gains(self, raw, picks, grid, average):
        fit = 0
        for x in self._highpassed(raw, without_bads(raw, picks)):
            epochs = beat_epochs(x, grid)
            fit = fit + template_fit(epochs, average(epochs))
        return template_gains(fit)


class PulseOBS(_Pulse):
    """Subtract the mean beat and what changes from beat to beat.

    By default the changes are described by a few sources that all channels share:
    they are the motion that induces the artifact, which has few degrees of freedom,
    while EEG takes any shape. Each source has a map; its time course differs in every
    beat and is estimated from all channels, EEG being told from artifact by its
    spectrum and covariance between the beats. See Notes.

    Parameters
    ----------
    n_components : int | None
        Largest number of sources (``mode="joint"``), of which only those are used
        that stand out from EEG; number of components beside the mean
        (``mode="channel"``). None: 8 and 3.
    mode : "joint" | "channel"
        ``"joint"``: sources that all channels share. ``"channel"``: optimal basis sets
        [1]_, principal components of the beats of each channel alone. They remove
        EEG as well, more with every component: a third of its power with three.
    delay : float | None
        From the R peak to the middle of the window, in seconds; None: where the
        median beat is largest between 0.08 and 0.45 s.
    l_freq : float | None
        Cut-off in Hz of the high-pass for the estimates, None for none. The data are
        not filtered.
    picks : str | list | slice | None
        Channels to correct; None: EEG and EOG channels, bad ones included. The sources
        are learnt from those that are not bad.
    description : str
        Description of the annotations of the R peaks.
    on_missing : "raise" | "warn" | "ignore"
        What to do if there are fewer than 5 heart beats; unless ``"raise"``, the
        recording stays as it is.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    Windows, and beats that others do not learn from, are as in :class:`PulseAAS`.

    In the joint mode the sources are estimated by generalised least squares: weights
    of the channels are chosen, for each frequency up to 12 Hz, such that the EEG
    between beats has the least influence. Of every source only components of the beats
    are taken that exceed 1.5 times what is found at random times between beats, and
    each of them only by the share by which it does. No beat takes part in finding its
    own components. The mean beat is subtracted as far as it exceeds what EEG leaves
    in it. So little EEG is lost: artifact-free data lose 0.03 % of their power.

    It needs time for artifacts that change a lot from beat to beat, and 8 channels or
    more to tell them from EEG. In simulations with six sources that all change, SNR is
    -2 dB after 30 s, 1 after 60 s, 5 after 2 min and 11 after 4 min, against -6 before
    and -2 with :class:`PulseAAS`: below 1 min it removes little more than the mean.
    With three sources of constant shape it is 10, 14, 16 and 18 dB, against 5 with
    :class:`PulseAAS`.

    With fewer than 20 beats only their mean is subtracted.

    Raises
    ------
    ValueError
        If there are fewer than 5 heart beats (``on_missing="raise"``), or the data hold
        NaN or Inf.
    RuntimeError
        If the data are not in memory.

    References
    ----------
    .. [1] Niazy, Beckmann, Iannetti, Brady, Smith (2005). Removal of FMRI environment
       artifacts from EEG data using optimal basis sets. NeuroImage 28, 720-737.
       https://doi.org/10.1016/j.neuroimage.2005.06.067

    Examples
    --------
    >>> from mne_facet import PulseOBS, simulate_raw
    >>> raw, truth = simulate_raw(
    ...     duration=40, n_eeg=8, sfreq=250, lowpass=100, gradient=0
    ... )
    >>> raw.annotations.append(truth.beat_times, 0, "R peak")  # doctest: +ELLIPSIS
    <Annotations ...>
    >>> clean = PulseOBS().fit_transform(raw)
    """

    # at 250 Hz one for each channel; less at higher rates
    _n_arrays_to_plan = 64.0

    def __init__(
        self,
        n_components=None,
        *,
        mode="joint",
        delay=None,
        l_freq=0.4,
        picks=None,
        description="R peak",
        on_missing="raise",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.n_components = n_components
        self.mode = mode
        self.delay = delay
        self.l_freq = l_freq
        self.picks = picks
        self.description = description
        self.on_missing = on_missing
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_option("mode", self.mode, ["joint", "channel"])
        if self.n_components is not None:
            check_count("n_components", self.n_components, 0)

    def _plan_beats(self, raw, picks, beats, grid):
        n_components = self.n_components
        if n_components is None:
            n_components = {"joint": 8, "channel": 3}[self.mode]
        options = {"sfreq": raw.info["sfreq"], "l_freq": self.l_freq, "grid": grid}
        if grid.good.sum() < _FOR_COMPONENTS and n_components:
            logger.info("PulseOBS: too few beats for more than their mean")
            n_components = 0
        if self.mode == "channel":
            options["grid"] = grid = self._usual_beats(raw, picks, grid)
            options["n_components"] = min(n_components, grid.good.sum() // 5)
            return partial(subtract_beat_components, **options)
        windows = random_windows(grid, beats, np.random.default_rng(0))
        windows = windows[_clear(raw, windows, grid.length)]
        channels = (raw._data[pick] for pick in without_bads(raw, picks))
        model = fit_model(
            channels, **options, windows=windows, n_components=n_components
        )
        logger.info(
            f"PulseOBS: mean beat and {model.seen.shape[2]} source(s) that change from "
            "beat to beat"
        )
        return partial(subtract_model, **options, model=model)


def _clear(raw, first, length):
    """Windows inside the data, without a joint or anything annotated as BAD."""
    inside = (first >= 0) & (first + length <= raw.n_times)
    before, after = np.searchsorted(boundaries(raw), [first + 1, first + length])
    return inside & (before == after) & ~overlaps_bad(raw, first, first + length)
