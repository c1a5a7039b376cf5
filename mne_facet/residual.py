"""What the average leaves of the artifact: basis sets, adaptive cancellation."""

from functools import partial
from numbers import Integral

from mne.utils import logger
from sklearn.pipeline import Pipeline

from ._base import (
    ChannelTransformer,
    pick_channels,
    plan_steps,
    run_chain,
    same_parts,
    with_n_jobs,
)
from ._checks import check_option
from ._epochs import epoch_grids
from ._events import get_runs
from .signal.lms import cancel_noise, design_canceller
from .signal.obs import design_highpass, subtract_components

_BRAIN = ("eeg", "eog")
# fewer volumes than this share too much of their EEG with a basis made of them
_MANY_VOLUMES = 50


class OBS(ChannelTransformer):
    """Optimal basis sets: remove the shapes in which the artifact still varies.

    After :class:`AAS`. The corrected epochs of a channel are high-passed above the EEG;
    the principal components of these residuals are fitted to each epoch and subtracted
    [1]_. Samples outside the scan stay as they are.

    Parameters
    ----------
    n_components : int | "auto"
        Components per channel, fewer where there are fewer than 5 epochs for each.
        ``"auto"``: those larger than epochs of the same spectrum without a common
        shape would have them, 8 at most and often none, see Notes.
    l_freq : float
        Frequency in Hz above which to look and to subtract.
    level : "auto" | "volume" | "slice"
        What an epoch is. ``"auto"``: volumes, but slices (if they are known) in runs of
        fewer than 50 volumes.
    picks : str | list | slice | None
        Channels to correct; None: EEG and EOG channels, bad ones included. ECG and EMG
        would lose their own fast activity.
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
    What it costs: below `l_freq` nothing, of EEG as of artifact. Above, about a share
    of ``n_components / n_volumes`` of the EEG with volumes, of ``n_components`` in the
    ``2 * (h - l_freq) * slice_period`` degrees of freedom of a slice with activity up
    to ``h`` Hz with slices: 8 components take most of 70 to 80 Hz there. It pays where
    the average leaves much (unsynchronised clocks, movement, few volumes) and fast
    activity matters. It hurts with a fixed `n_components` on a weak artifact: the
    components are then EEG. ``"auto"`` leaves a channel without artifact as it is, but
    takes muscle bursts for shapes.

    On recordings with known truth the error of an average over volumes fell from 0.7
    to 0.2 uV at 70 to 120 Hz and from 1.1 to 0.1 uV at 120 to 240 Hz (300 volumes,
    5 kHz), 2 % of the EEG there went with it, and 0.5 to 45 Hz did not change.

    The number of components is not the heuristic of [1]_, which finds the most in
    noise: each is compared with the upper edge that the eigenvalues of a sample
    covariance have by chance [2]_, 1.5 times over.

    Epochs that are cut off or touch an annotation starting with ``BAD`` are no part of
    the basis, loud ones no more than three times the usual; all are corrected. Runs
    have bases of their own, and so have parts of 300 epochs in long ones.

    Raises
    ------
    ValueError
        If there are no volume annotations, or a parameter makes no sense.
    RuntimeError
        If the data are not in memory.

    References
    ----------
    .. [1] Niazy, Beckmann, Iannetti, Brady, Smith (2005). Removal of FMRI environment
       artifacts from EEG data using optimal basis sets. NeuroImage 28, 720-737.
       https://doi.org/10.1016/j.neuroimage.2005.06.067
    .. [2] Silverstein, Choi (1995). Analysis of the limiting spectral distribution of
       large dimensional random matrices. J. Multivar. Anal. 54, 295-309.
       https://doi.org/10.1006/jmva.1995.1058

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import AAS, OBS, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> pipeline = make_pipeline(TriggerDetector("R128", n_slices=20), AAS(), OBS())
    >>> clean = pipeline.fit_transform(raw)
    """

    _plan_needs_data = False
    _ns_per_sample = 20.0

    def __init__(
        self,
        n_components="auto",
        *,
        l_freq=70.0,
        level="auto",
        picks=None,
        description="TR",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.n_components = n_components
        self.l_freq = l_freq
        self.level = level
        self.picks = picks
        self.description = description
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _pick_channels(self, raw):
        return pick_channels(raw, self.picks, name="OBS", kinds=_BRAIN)

    def _plan(self, raw, picks):
        sfreq = raw.info["sfreq"]
        self._check_parameters(sfreq)
        runs = get_runs(raw, self.description, name="OBS")
        level = self._choose_level(runs)
        # the first kind of epoch: not the pauses between volumes
        grids = [epoch_grids(raw, run, level)[0] for run in runs]
        logger.info(
            f"OBS: {self.n_components} components above {self.l_freq:g} Hz of "
            f"{sum(len(grid.starts) for grid in grids)} {level} epochs in {len(runs)} "
            f"run(s), {len(picks)} channels"
        )
        return partial(
            subtract_components,
            grids=grids,
            taps=design_highpass(self.l_freq, sfreq),
            n_components=self.n_components,
        )

    def _check_parameters(self, sfreq):
        n = self.n_components
        if n != "auto" and not (isinstance(n, Integral) and n > 0):
            raise ValueError(
                f"n_components={n!r} must be a whole number, at least 1, or 'auto'."
            )
        if not 0 < self.l_freq < 0.4 * sfreq:
            raise ValueError(
                f"l_freq={self.l_freq!r} must lie between 0 and 0.4 * sfreq = "
                f"{0.4 * sfreq:g} Hz."
            )
        check_option("level", self.level, ["auto", "volume", "slice"])

    def _choose_level(self, runs):
        has_slices = all(run.n_shots.max() > 1 for run in runs)
        if self.level == "slice" and not has_slices:
            raise ValueError(
                "level='slice' needs the number of slices per volume. Use "
                "TriggerDetector(n_slices=...) or level='volume'."
            )
        if self.level != "auto":
            return self.level
        few = min(len(run.onsets) for run in runs) < _MANY_VOLUMES
        return "slice" if has_slices and few else "volume"


class ANC(ChannelTransformer):
    """Adaptive noise cancellation of what a correction leaves of the artifact.

    First corrects with `estimator`, as that alone would. What it removed from a channel
    is then the reference of a filter that adapts to the corrected channel by least mean
    squares [1]_ [2]_; the part of the channel that follows the reference is subtracted
    too. Samples outside the scan stay as they are.

    Parameters
    ----------
    estimator : ChannelTransformer | sklearn.pipeline.Pipeline
        The correction, such as ``AAS()`` or ``make_pipeline(AAS(), OBS())``. Steps that
        find triggers or change the rate go in front of or behind the ANC.
    step : float
        Step size as a share of the largest stable one, at the mean power of the
        reference; FASTR has 0.05. Larger adapts faster and adds more noise.
    h_freq : float | None
        Frequency in Hz up to which to cancel; None, or a frequency close to half the
        sampling rate: no limit.
    decim : int | "auto"
        Factor by which the rate is reduced for the filter; what it cancels is brought
        back to the rate of the data, without any delay. ``"auto"``: to no less than
        four times `h_freq`. 1: not at all, as FASTR.
    picks : str | list | slice | None
        Channels to cancel in; None: EEG and EOG channels, bad ones included. The
        channels of `estimator` are corrected by it, picked here or not.
    description : str
        Description of the volume annotations.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`; also in the estimator.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    The filter spans one slice (if slices are known) or one volume. Reference and
    channel are high-passed at 0.75 times the frequency of the slices, or at 2 Hz, so
    that slow EEG does not drive the filter. It starts from zero in each run.

    What it costs: noise in the EEG of about a share `step` of its power, around the
    harmonics of the slice frequency. It pays where the artifact drifts slowly against
    an average over many volumes. On recordings with known truth the error left by
    averages over 30 volumes fell by 3 to 64 % at 70 to 240 Hz and stayed within 1 % at
    0.5 to 45 Hz; after averages over slices there was nothing to gain.

    It hurts with a large step (with that of FASTR, unchecked, the error at 0.5 to 45 Hz
    grew by 2 to 20 %) and after a low-pass at 70 Hz: little artifact is left to cancel,
    and the few harmonics in the reference fit the EEG at their own frequencies.

    A channel in which the filter diverges, would add power, or has less removed than
    left stays as `estimator` made it.

    Raises
    ------
    TypeError
        If `estimator` is no ChannelTransformer, nor a Pipeline of them.
    ValueError
        If there are no volume annotations, or a parameter makes no sense.
    RuntimeError
        If the data are not in memory.

    References
    ----------
    .. [1] Widrow et al. (1975). Adaptive noise cancelling: principles and
       applications. Proc. IEEE 63, 1692-1716.
       https://doi.org/10.1109/PROC.1975.10036
    .. [2] Allen, Josephs, Turner (2000). A method for removing imaging artifact from
       continuous EEG recorded during functional MRI. NeuroImage 12, 230-239.
       https://doi.org/10.1006/nimg.2000.0599

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import AAS, ANC, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> pipeline = make_pipeline(TriggerDetector("R128", n_slices=20), ANC(AAS()))
    >>> clean = pipeline.fit_transform(raw)
    """

    _ns_per_sample = 40.0
    _n_arrays = 12.0

    def __init__(
        self,
        estimator,
        *,
        step=0.005,
        h_freq=200.0,
        decim="auto",
        picks=None,
        description="TR",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.estimator = estimator
        self.step = step
        self.h_freq = h_freq
        self.decim = decim
        self.picks = picks
        self.description = description
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _pick_channels(self, raw):
        picks = [step._pick_channels(raw) for step in self._steps()]
        return sorted(set().union(*picks))

    def _plan(self, raw, picks):
        runs = get_runs(raw, self.description, name="ANC")
        canceller = self._design(raw.info["sfreq"], runs)
        spans = [(run.onsets[0], run.onsets[-1] + run.last_length) for run in runs]
        cancel = partial(cancel_noise, spans=spans, canceller=canceller)
        chosen = set(pick_channels(raw, self.picks, name="ANC", kinds=_BRAIN))
        pairs = []
        for group, parts in same_parts(plan_steps(self._steps(), raw)):
            correct = partial(_correct, funcs=[part.func for part in parts])
            pairs.append(([p for p in group if p not in chosen], correct))
            both = partial(correct, cancel=cancel)
            pairs.append(([p for p in group if p in chosen], both))
        return pairs

    def _finish(self, raw, picks):
        for step in self._steps():
            step._finish(raw, step._pick_channels(raw))

    def _steps(self):
        """Steps of the estimator, of which only the first may look at the data."""
        steps = [self.estimator]
        if isinstance(self.estimator, Pipeline):
            steps = [step for _, step in self.estimator.steps]
        for step in steps:
            if not isinstance(step, ChannelTransformer):
                raise TypeError(
                    f"estimator={self.estimator!r} must be a step that treats each "
                    "channel by itself, such as AAS(), or a Pipeline of them; "
                    f"{type(step).__name__} is none. Put it in front of the ANC."
                )
        for step in steps[1:]:
            if step._plan_needs_data:
                raise ValueError(
                    f"{type(step).__name__} needs the corrected data of all channels. "
                    "Only the first step of estimator may."
                )
        return [with_n_jobs(step, self.n_jobs) for step in steps]

    def _design(self, sfreq, runs):
        if not 0 < self.step <= 0.5:
            raise ValueError(f"step={self.step!r} must lie above 0, and 0.5 at most.")
        by_slices = all(run.n_shots.max() > 1 for run in runs)
        period = runs[0].slice_period if by_slices else runs[0].period
        l_freq = 0.75 * sfreq / period if by_slices else 2.0
        h_freq = self.h_freq
        if h_freq is not None and h_freq < 2 * l_freq:
            raise ValueError(
                f"h_freq={h_freq!r} must be at least {2 * l_freq:.3g} Hz, twice where "
                "the filter begins."
            )
        if h_freq is not None and h_freq > 0.4 * sfreq:
            h_freq = None
        decim = self._choose_decim(sfreq, h_freq)
        canceller = design_canceller(sfreq, period, self.step, l_freq, h_freq, decim)
        band = "" if h_freq is None else f" to {h_freq:g}"
        logger.info(
            f"ANC: filter of {canceller.order + 1} taps at {sfreq / decim:.5g} Hz, "
            f"band from {l_freq:.3g}{band} Hz, {len(runs)} run(s)"
        )
        return canceller

    def _choose_decim(self, sfreq, h_freq):
        if self.decim == "auto":
            return 1 if h_freq is None else max(1, int(sfreq // (4 * h_freq)))
        if not isinstance(self.decim, Integral) or self.decim < 1:
            raise ValueError(f"decim={self.decim!r} must be a whole number or 'auto'.")
        if self.decim > 1 and (h_freq is None or sfreq / self.decim < 3 * h_freq):
            raise ValueError(
                f"decim={self.decim} leaves {sfreq / self.decim:g} Hz, less than three "
                f"times h_freq={h_freq}. Lower one of them."
            )
        return self.decim


def _correct(x, funcs, cancel=None):
    """Correct a channel, and cancel what follows the part that was removed."""
    clean, notes = run_chain(x, funcs)
    if cancel is not None:
        clean, note = cancel(clean, x - clean)
        notes.append(note)
    return clean, "; ".join(filter(None, notes)) or None
