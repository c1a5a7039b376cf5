"""Ready-made Pipelines."""

from sklearn.pipeline import Pipeline

from .filters import Filter
from .gradient import AAS, VolumeArtifact
from .lowrank import LowRank
from .residual import ANC, OBS
from .triggers import TriggerAligner, TriggerDetector


def _default(options):
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


_RECIPES = {
    "default": _default,
    "aas": _aas,
    "allen": _allen,
    "fastr": _fastr,
    "facet": _facet,
    "farm": _farm,
    "moosmann": _moosmann,
}


def recipe(
    name="default", *, triggers=None, n_slices=None, multiband_factor=1, **options
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
    **options : dict
        ``stim_channel``, ``tr``, ``offset`` and ``complete`` go to
        :class:`TriggerDetector`, all others to the first step of the correction.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Steps ``triggers`` and ``align``, then those of the correction.

    Raises
    ------
    ValueError
        If there is no recipe of that name.

    Notes
    -----
    ``"default"``
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

    The filters change everything, not the artifact alone: without ``lowpass`` by
    ``pipeline.set_params(lowpass="passthrough")``.

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
    if name not in _RECIPES:
        raise ValueError(f"Recipe {name!r} is unknown. There are {list(_RECIPES)}.")
    detector = {"n_slices": n_slices, "multiband_factor": multiband_factor}
    for key in ("stim_channel", "tr", "offset", "complete"):
        if key in options:
            detector[key] = options.pop(key)
    return Pipeline(
        [
            ("triggers", TriggerDetector(triggers, **detector)),
            ("align", TriggerAligner()),
            *_RECIPES[name](options),
        ]
    )
