"""Several steps on one block of channels at a time."""

from sklearn.pipeline import Pipeline

from ._base import (
    ChannelTransformer,
    RawTransformer,
    correct_channels,
    with_n_jobs,
)


class Blockwise(RawTransformer):
    """Run an estimator with as little memory as it can do with.

    Steps that treat each channel by itself and follow each other run together: a
    channel goes through all of them before the next one, and its result replaces the
    data at once. A Pipeline alone copies the whole recording before each
    step. The result is the same, bit for bit.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        What to run; its steps' own `copy` is not used.
    block_size : int | None
        Channels that are sent to processes or a cluster at a time; None: four times
        the number of jobs. Threads need no blocks.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`, in all steps. None: what
        they say, of those that run together the first.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    Together run the steps that are a :class:`ChannelTransformer`, up to the next one
    whose plan needs the corrected data of all channels.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_facet import AAS, Blockwise, Filter, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> pipeline = make_pipeline(TriggerDetector("R128"), AAS(), Filter(None, 70))
    >>> clean = Blockwise(pipeline, copy=False).fit_transform(raw)
    """

    parallel_over = "channels"

    def __init__(
        self, estimator, *, block_size=None, copy=True, n_jobs=None, verbose=None
    ):
        self.estimator = estimator
        self.block_size = block_size
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _correct(self, raw):
        for steps in chains(with_n_jobs(self.estimator, self.n_jobs)):
            if isinstance(steps[0], ChannelTransformer):
                correct_channels(steps, raw, steps[0].n_jobs, self.block_size)
            elif isinstance(steps[0], RawTransformer):
                raw = steps[0]._correct(raw)
            else:
                raw = steps[0].fit_transform(raw)
        return raw


def chains(estimator):
    """Lists of steps that can run together; those that cannot are alone.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The steps.

    Returns
    -------
    chains : list of list of estimator
        All steps in their order.
    """
    chains = []
    for step in _steps(estimator):
        goes_on = isinstance(step, ChannelTransformer) and not step._plan_needs_data
        if goes_on and chains and isinstance(chains[-1][-1], ChannelTransformer):
            chains[-1].append(step)
        else:
            chains.append([step])
    return chains


def _steps(estimator):
    if not isinstance(estimator, Pipeline):
        return [estimator]
    used = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return [inner for step in used for inner in _steps(step)]
