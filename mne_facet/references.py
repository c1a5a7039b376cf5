"""Correction with signals that see motion but no EEG."""

from functools import partial

import numpy as np
from mne.utils import logger, warn

from ._base import (
    BRAIN,
    ChannelTransformer,
    check_data,
    pick_channels,
    without_bads,
)
from ._checks import check_count, check_cutoff, check_range
from ._events import overlaps_bad
from .signal.regression import prepare_references, subtract_references


class ReferenceRegression(ChannelTransformer):
    """Subtract what reference signals explain, which see motion but no EEG.

    Loops of carbon wire [1]_, electrodes on a layer insulated from the scalp, or motion
    sensors record the pulse, head movement and the helium pump. Where they exist they
    are the best means against the pulse artifact, and need no heart beats.

    Parameters
    ----------
    references : str | list | slice
        Channels of the reference signals, bad ones excluded. See Notes.
    window : float
        Seconds within which the relation to the EEG may change. The rest of the
        recording has weight as well: in each channel as much as predicts parts of it
        best from the others.
    max_lag : float
        Largest lag between references and EEG to both sides, in seconds.
    n_components : int | None
        Number of principal components of the references; None: all. Few may do
        harm: head movement fills the first ones, the pulse is in the last. For a
        layer of many electrodes 8 or so, with a `max_lag` of 0.004.
    l_freq : float | None
        Cut-off in Hz of the high-pass for the regression, None for none. The data are
        not filtered.
    picks : str | list | slice | None
        Channels to correct; None: EEG and EOG channels, bad ones included. References
        among them stay as they are.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    The references must have gone through the same steps as the EEG, the correction of
    their own gradient artifact above all: ``AAS(picks=["eeg", "misc"])``. MNE has no
    type for them. Make them ``"misc"`` with ``raw.set_channel_types``, so that no other
    step takes them for EEG, or name the channels with `references`.

    Signals that have nothing to do with the EEG explain a share of it by chance, about
    ``n / (2 B T)`` with ``n`` signals (components times lags) in ``T`` seconds of
    bandwidth ``B``; a warning tells if that is more than 5 %. A channel of which the
    references do not predict any part of the recording from the others stays as it
    is. Annotations that start with ``BAD`` are corrected but not learnt from.

    Raises
    ------
    ValueError
        If there are no reference channels, or the data hold NaN or Inf.
    RuntimeError
        If the data are not in memory.

    References
    ----------
    .. [1] van der Meer, Pampel, Van Someren, Ramautar, van der Werf, Gomez-Herrero,
       Lepsien, Hellrung, Hinrichs, Moeller, Walter (2016). Carbon-wire loop based
       artifact correction outperforms post-processing EEG/fMRI corrections.
       NeuroImage 125, 880-894. https://doi.org/10.1016/j.neuroimage.2015.10.006

    Examples
    --------
    >>> from mne_facet import ReferenceRegression, simulate_raw
    >>> raw, truth = simulate_raw(
    ...     duration=60, n_eeg=4, n_wires=4, sfreq=250, lowpass=100, gradient=0
    ... )
    >>> clean = ReferenceRegression("misc").fit_transform(raw)
    """

    _ns_per_sample = 110.0
    _n_arrays = 8.0
    _n_arrays_to_plan = 25.0

    def __init__(
        self,
        references="misc",
        *,
        window=30.0,
        max_lag=0.02,
        n_components=None,
        l_freq=0.4,
        picks=None,
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.references = references
        self.window = window
        self.max_lag = max_lag
        self.n_components = n_components
        self.l_freq = l_freq
        self.picks = picks
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _pick_channels(self, raw):
        found = pick_channels(raw, self.picks, name="ReferenceRegression", kinds=BRAIN)
        return np.setdiff1d(found, self._pick_references(raw))

    def _pick_references(self, raw):
        try:
            found = pick_channels(raw, self.references, name="ReferenceRegression")
        except ValueError:
            kinds = sorted(set(raw.get_channel_types()))
            raise ValueError(
                f"references={self.references!r} is not in the recording, which has "
                f"channels of the types {kinds}. Name the channels, or give them the "
                "type 'misc' with raw.set_channel_types."
            ) from None
        return without_bads(raw, found)

    def _plan(self, raw, picks):
        check_cutoff(self.l_freq)
        check_range("window", self.window, 1, np.inf)
        check_range("max_lag", self.max_lag, 0, 0.5)
        if self.n_components is not None:
            check_count("n_components", self.n_components, 1)
        chosen = self._pick_references(raw)
        check_data(raw, chosen, name="ReferenceRegression references=")
        filtering = {"sfreq": raw.info["sfreq"], "l_freq": self.l_freq}
        samples = np.arange(raw.n_times)
        references = prepare_references(
            raw._data[chosen],
            **filtering,
            window=self.window,
            max_lag=self.max_lag,
            n_components=self.n_components,
            used=~overlaps_bad(raw, samples, samples + 1),
        )
        n_components = len(references.components)
        logger.info(
            f"ReferenceRegression: {n_components} components of {len(chosen)} "
            f"references at {len(references.lags)} lags"
        )
        if references.loss > 0.05:
            warn(
                f"ReferenceRegression: {n_components} components at "
                f"{len(references.lags)} lags explain {100 * references.loss:.0f} % of "
                "any EEG by chance in a recording this short. Raise window, or lower "
                "max_lag or n_components."
            )
        return partial(_subtract_references, **filtering, references=references)


def _subtract_references(x, **options):
    clean, explained = subtract_references(x, **options)
    if explained > 0:
        return clean, None
    return clean, "left as it was, the references do not predict it"
