"""Ready-made Pipelines."""

from sklearn.pipeline import Pipeline

from .gradient import AAS
from .triggers import TriggerAligner, TriggerDetector


def _aas(triggers, detector, options):
    return [
        ("triggers", TriggerDetector(triggers, **detector)),
        ("align", TriggerAligner()),
        ("aas", AAS(**options)),
    ]


_RECIPES = {"aas": _aas}


def recipe(name="aas", *, triggers=None, n_slices=None, multiband_factor=1, **options):
    """Build a Pipeline from the trigger markers to the corrected recording.

    Parameters
    ----------
    name : "aas"
        ``"aas"``: moving average artifact subtraction [1]_, the
        conservative choice: it needs nothing but triggers, and what it does to the
        EEG is known in advance (see :class:`AAS`).
    triggers : str | None
        Description of the trigger annotations, as `pattern` of
        :class:`TriggerDetector`; None: find the artifact in the signal.
    n_slices : int | None
        Slices per volume.
    multiband_factor : int
        Slices excited at a time.
    **options : dict
        ``stim_channel``, ``tr``, ``offset`` and ``complete`` go to
        :class:`TriggerDetector`, all others to the correction.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Steps named ``triggers``, ``align`` and ``aas``.

    References
    ----------
    .. [1] Allen, Josephs, Turner (2000). NeuroImage 12, 230-239.
       https://doi.org/10.1006/nimg.2000.0599

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
    return Pipeline(_RECIPES[name](triggers, detector, options))
