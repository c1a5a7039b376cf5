"""Ready-made Pipelines."""

from sklearn.pipeline import Pipeline

from .beats import RPeakDetector
from .filters import Filter
from .gradient import AAS, VolumeArtifact
from .lowrank import LowRank
from .pulse import PulseOBS
from .references import ReferenceRegression
from .residual import ANC, OBS
from .triggers import TriggerAligner, TriggerDetector

# what gradient steps correct by default, and references
_WITH_REFERENCES = ["eeg", "eog", "ecg", "emg", "misc"]


def _lowrank(options):
    return [("lowrank", LowRank(**options))]


def _aas(options):
    return [("aas", AAS(**options))]


def _allen(options):
    options = {"weights": "allen", "level": "volume", **options}
    return [("aas", AAS(**options)), ("lowpass", Filter(None, 80.0))]


def _fastr(options):
    options = {"weights": "fastr", **options}
    correction = Pipeline([("aas", AAS(**options)), ("obs", OBS())])
    return [("anc", ANC(correction)), ("lowpass", Filter(None, 70.0))]


def _facet(options):
    options = {"weights": "farm", "window": 30, **options}
    steps = [("aas", AAS(**options)), ("volume", VolumeArtifact()), ("obs", OBS())]
    return [("anc", ANC(Pipeline(steps))), ("lowpass", Filter(None, 70.0))]


def _farm(options):
    return [("aas", AAS(**{"weights": "farm", **options}))]


def _moosmann(options):
    return [("aas", AAS(**{"weights": "motion", **options}))]


_GRADIENT = {
    "default": _lowrank,
    "lowrank": _lowrank,
    "aas": _aas,
    "allen": _allen,
    "fastr": _fastr,
    "facet": _facet,
    "farm": _farm,
    "moosmann": _moosmann,
}


def _pulse(references):
    # beats first: without an ECG they are found in what the references explain
    steps = [("beats", RPeakDetector(on_missing="warn"))]
    if references is not None:
        steps.append(("references", ReferenceRegression(references)))
    return [*steps, ("pulse", PulseOBS(on_missing="ignore"))]


def recipe(
    name="default",
    *,
    triggers=None,
    n_slices=None,
    multiband_factor=1,
    references=None,
    **options,
):
    """Build a Pipeline from the trigger markers to the corrected recording.

    Parameters
    ----------
    name : str
        One of those in Notes.
    triggers : str | None
        Description of the trigger annotations, as `pattern` of
        :class:`TriggerDetector`; None: find the artifact in the signal.
    n_slices : int | None
        Slices per volume.
    multiband_factor : int
        Slices excited at a time.
    references : str | list | None
        Reference signals such as carbon-wire loops, for ``"default"`` and ``"pulse"``:
        ``"misc"``, or names of channels of that type. See :class:`ReferenceRegression`.
    **options : dict
        ``stim_channel``, ``tr``, ``offset`` and ``complete`` go to
        :class:`TriggerDetector`, all others to the first step of the gradient
        correction.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Steps ``triggers`` and ``align``, those of the gradient correction, and in
        ``"default"`` the steps of ``"pulse"``.

    Raises
    ------
    ValueError
        If there is no recipe of that name, or it does not take one of the arguments.

    Notes
    -----
    ``"default"``
        ``"lowrank"``, then ``"pulse"``.
    ``"pulse"``
        The pulse artifact alone, for recordings without a gradient artifact:
        ``beats`` (:class:`RPeakDetector`, from the ECG or without any), ``references``
        if there are any (:class:`ReferenceRegression`), ``pulse``
        (:class:`PulseOBS`). Where neither an ECG nor a pulse artifact is seen, a
        warning says so and EEG stays as it is. To look at the beats and edit them:
        ``pipeline[:-1]``, then ``pipeline[-1:]``.
    ``"lowrank"``
        :class:`LowRank`: the changes of the artifact are time courses that channels
        share. Leaves least, above all where the head moves. Costs less than 1 % of
        the EEG, but up to 3 % of alpha where the slice frequency falls into it.
    ``"aas"``
        :class:`AAS` with moving averages [1]_, the conservative choice: what it does
        to the EEG is known in advance. Costs EEG that is locked to the slices: 5 % of
        alpha where the slice frequency falls into it.
    ``"allen"``
        Averages of blocks of 25 volumes, low-pass at 80 Hz, as published [1]_ (own
        epochs are left out of their averages here, which keeps 4 % of the EEG). For
        comparison, and for heads that do not move.
    ``"fastr"``
        The windows of FASTR, :class:`OBS`, :class:`ANC`, low-pass at 70 Hz [2]_. The
        epoch is part of its own average: 3 % of all EEG is lost, and 10 % of alpha
        where the slice frequency falls into it.
    ``"facet"``
        Epochs that resemble each other, :class:`VolumeArtifact`, :class:`OBS`,
        :class:`ANC`, low-pass at 70 Hz, as the examples of the FACET toolbox [3]_.
        Costs 5 to 12 % of alpha where the slice frequency falls into it.
    ``"farm"``
        Averages of the 12 most similar of 50 epochs [4]_, without filters, so that
        EMG is kept. More noise than ``"aas"``, and 10 to 20 % of alpha is lost where
        the slice frequency falls into it.
    ``"moosmann"``
        Averages that do not reach across head movements [5]_. Annotate these with
        :func:`add_motion` after the triggers: ``pipeline[:1]``, then
        :func:`add_motion`, then ``pipeline[1:]``.

    Any step is left out by its name: ``pipeline.set_params(lowpass="passthrough")``, as
    filters change everything and not the artifact alone. The others become whole
    chains with ``make_pipeline(recipe("aas", triggers="R128"), recipe("pulse"))``.

    References
    ----------
    .. [1] Allen, Josephs, Turner (2000). NeuroImage 12, 230-239.
       https://doi.org/10.1006/nimg.2000.0599
    .. [2] Niazy et al. (2005). NeuroImage 28, 720-737.
       https://doi.org/10.1016/j.neuroimage.2005.06.067
    .. [3] Glaser et al. (2013). BMC Neuroscience 14, 138.
       https://doi.org/10.1186/1471-2202-14-138
    .. [4] van der Meer et al. (2010). Clinical Neurophysiology 121, 766-776.
       https://doi.org/10.1016/j.clinph.2009.12.035
    .. [5] Moosmann et al. (2009). NeuroImage 45, 1144-1150.
       https://doi.org/10.1016/j.neuroimage.2009.01.024

    Examples
    --------
    >>> from mne_facet import recipe
    >>> recipe("aas", triggers="R128", n_slices=32, window=20)["aas"]
    AAS(window=20)
    """
    detector = {"n_slices": n_slices, "multiband_factor": multiband_factor}
    for key in ("stim_channel", "tr", "offset", "complete"):
        if key in options:
            detector[key] = options.pop(key)
    if name == "pulse":
        _check_unused(name, {"triggers": triggers, **detector, **options})
        return Pipeline(_pulse(references))
    if name not in _GRADIENT:
        names = [*_GRADIENT, "pulse"]
        raise ValueError(f"Recipe {name!r} is unknown. There are {names}.")
    if name != "default":
        _check_unused(name, {"references": references})
    elif references is not None:
        options = {"picks": _WITH_REFERENCES, **options}
    return Pipeline(
        [
            ("triggers", TriggerDetector(triggers, **detector)),
            ("align", TriggerAligner()),
            *_GRADIENT[name](options),
            *(_pulse(references) if name == "default" else []),
        ]
    )


def _check_unused(name, arguments):
    for key, value in arguments.items():
        if value is not None and (key, value) != ("multiband_factor", 1):
            raise ValueError(
                f"Recipe {name!r} has no step for {key}={value!r}. Leave it out, or "
                "use recipe 'default'."
            )
