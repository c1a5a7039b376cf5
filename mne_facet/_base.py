"""What every estimator shares: checks, lists of recordings, channels in parallel."""

from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from numbers import Integral
from typing import NamedTuple

import mne
import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import ThreadingBackend, get_active_backend
from mne._fiff.pick import _picks_to_idx  # no public equal; used here only
from mne.parallel import parallel_func
from mne.utils import logger
from sklearn.base import BaseEstimator, TransformerMixin, clone
from threadpoolctl import ThreadpoolController

from .signal.epochs import is_flat

# where there is a pulse artifact
BRAIN = ("eeg", "eog")
# seconds of work below which starting workers is not worth it
_WORTHWHILE = 0.2


class RawTransformer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Map a Raw, or each Raw of a list, to a Raw.

    A subclass assigns its parameters in ``__init__`` (``copy`` and ``verbose`` among
    them) and does its work in ``_correct(raw)``, on a Raw that it may change. It
    keeps nothing: the same estimator serves any number of recordings.

    Examples
    --------
    >>> from mne_facet import RawTransformer, simulate_raw
    >>> class Invert(RawTransformer):
    ...     def __init__(self, *, copy=True, verbose=None):
    ...         self.copy = copy
    ...         self.verbose = verbose
    ...
    ...     def _correct(self, raw):
    ...         return raw.apply_function(lambda x: -x, picks="eeg")
    >>> raw, truth = simulate_raw(duration=20, n_eeg=2, sfreq=1000)
    >>> bool((raw.pipe(Invert())._data[:2] == -raw._data[:2]).all())
    True
    """

    _needs_data = True
    # what the estimator does several of at a time
    parallel_over = None
    # arrays of the size of one channel that it needs beside the data
    _n_arrays = 2.0

    def fit(self, X, y=None):
        """Check the recording; there is nothing to learn from it.

        Parameters
        ----------
        X : mne.io.Raw | list of mne.io.Raw
            The recording or recordings.
        y : None
            Ignored.

        Returns
        -------
        self : instance
            The estimator.
        """
        for raw in _as_list(X):
            self._check(raw)
        return self

    def transform(self, X):
        """Process the recording.

        Parameters
        ----------
        X : mne.io.Raw | list of mne.io.Raw
            The recording or recordings.

        Returns
        -------
        X : mne.io.Raw | list of mne.io.Raw
            The result: a new object, or the one given if ``copy=False``.
        """
        if isinstance(X, (list, tuple)):
            return [self.transform(raw) for raw in X]
        self._check(X)
        with mne.use_log_level(self.verbose):
            return self._correct(X.copy() if self.copy else X)

    def _check(self, raw):
        name = type(self).__name__
        if not isinstance(raw, mne.io.BaseRaw):
            raise TypeError(
                f"{name} needs a mne.io.Raw or a list of them, got "
                f"{type(raw).__name__}. Read the recording with mne.io.read_raw."
            )
        if self._needs_data and not raw.preload:
            raise RuntimeError(
                f"{name} needs the data in memory. Use raw.load_data() or preload=True."
            )

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        return tags


class ChannelTransformer(RawTransformer):
    """A step that treats each channel by itself.

    A subclass has the parameters `picks`, `copy`, `n_jobs` and `verbose` and implements
    ``_plan(raw, picks)``: it looks at the recording as a whole and returns a function
    of one channel, array of shape (n_times,), to a new one. That function, and what it
    carries along, must be picklable: ``functools.partial`` of a function of a module.
    It may also return a pair, the new array and a note (str or None) for the log.
    Where channels are treated differently the plan is a list of pairs, channels and
    the function for them.

    In return, channels run in parallel and in blocks, from memory or from disk, with
    the same result.

    Examples
    --------
    >>> from functools import partial
    >>> from scipy.signal import detrend
    >>> from mne_facet import ChannelTransformer, simulate_raw
    >>> class Detrend(ChannelTransformer):
    ...     def __init__(
    ...         self, kind="linear", *, picks=None, copy=True, n_jobs=None, verbose=None
    ...     ):
    ...         self.kind = kind
    ...         self.picks = picks
    ...         self.copy = copy
    ...         self.n_jobs = n_jobs
    ...         self.verbose = verbose
    ...
    ...     def _plan(self, raw, picks):
    ...         return partial(detrend, type=self.kind)
    >>> raw, truth = simulate_raw(duration=20, n_eeg=2, sfreq=1000)
    >>> flat = Detrend(n_jobs=2).fit_transform(raw)
    """

    parallel_over = "channels"
    # whether _plan looks at the data, so that no other step may be under way
    _plan_needs_data = True
    # what a channel costs: time, and arrays of its size at a time, the new one included
    _ns_per_sample = 20.0
    _n_arrays = 3.0
    _n_arrays_to_plan = 3.0

    def _correct(self, raw):
        correct_channels([self], raw, self.n_jobs)
        return raw

    def _pick_channels(self, raw):
        return pick_channels(raw, self.picks, name=type(self).__name__)

    def _finish(self, raw, picks):
        """Change what belongs to the recording as a whole, after all channels."""


def correct_channels(steps, raw, n_jobs=None, block_size=None):
    """Run channelwise steps one after the other on each channel, block by block.

    Parameters
    ----------
    steps : list of ChannelTransformer
        The steps. Only the first may make its plan from the data.
    raw : mne.io.Raw
        Changed in place.
    n_jobs, block_size : int | None
        As in :func:`apply_channels`.
    """
    names = [type(step).__name__ for step in steps]
    check_data(raw, steps[0]._pick_channels(raw), name=names[0])
    parts = plan_steps(steps, raw)
    notes = [{} for _ in steps]
    for picks, chosen in same_parts(parts):
        results = apply_channels(
            partial(run_chain, funcs=[part.func for part in chosen]),
            raw,
            picks,
            n_jobs,
            block_size=block_size,
            ns_per_sample=sum(steps[part.step]._ns_per_sample for part in chosen),
        )
        for pick, said in zip(picks, results, strict=True):
            for part, note in zip(chosen, said, strict=True):
                if note is not None:
                    notes[part.step].setdefault(note, []).append(raw.ch_names[pick])
    for step, name, said in zip(steps, names, notes, strict=True):
        for note, channels in said.items():
            logger.info(f"{name}: {', '.join(channels)}: {note}")
        step._finish(raw, step._pick_channels(raw))


class PlanPart(NamedTuple):
    """What one step does to some channels.

    Attributes
    ----------
    step : int
        Number of the step.
    picks : array of int
        Channels.
    func : callable
        From one channel to a new one, or to that and a note.
    """

    step: int
    picks: np.ndarray
    func: Callable


def plan_steps(steps, raw):
    """Plans of channelwise steps, a list of :class:`PlanPart`."""
    parts = []
    # one thread here too: with more of them the last bits of a result may differ
    with _blas().limit(limits=1, user_api="blas"):
        for index, step in enumerate(steps):
            picks = step._pick_channels(raw)
            plan = step._plan(raw, picks)
            pairs = plan if isinstance(plan, list) else [(picks, plan)]
            parts.extend(PlanPart(index, *pair) for pair in pairs)
    return parts


def same_parts(parts):
    """Channels that go through the same parts of a plan, and these parts."""
    groups = {}
    for pick in sorted(set().union(*(part.picks for part in parts))):
        chosen = tuple(i for i, part in enumerate(parts) if pick in part.picks)
        groups.setdefault(chosen, []).append(pick)
    return [(picks, [parts[i] for i in chosen]) for chosen, picks in groups.items()]


def run_chain(x, funcs):
    """Apply functions one after the other; return the notes they made."""
    notes = []
    for func in funcs:
        result = func(x)
        x, note = result if isinstance(result, tuple) else (result, None)
        notes.append(note)
    return x, notes


def _as_list(X):
    return X if isinstance(X, (list, tuple)) else [X]


def with_n_jobs(estimator, n_jobs):
    """Copy of an estimator whose steps all have the same n_jobs.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The steps; not changed.
    n_jobs : int | None
        Channels to process at a time. None: what each step says.

    Returns
    -------
    estimator : estimator | sklearn.pipeline.Pipeline
        A copy; for None the one given.
    """
    if n_jobs is None:
        return estimator
    names = [
        name for name in estimator.get_params() if name.split("__")[-1] == "n_jobs"
    ]
    return clone(estimator).set_params(**dict.fromkeys(names, n_jobs))


def pick_channels(raw, picks=None, *, name, kinds=("eeg", "eog", "ecg", "emg")):
    """Indices of the channels to work on, bad ones included.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    picks : str | list | slice | None
        As in MNE. None: all channels of `kinds`.
    name : str
        Who asks, for the error.
    kinds : tuple of str
        Channel types.

    Returns
    -------
    picks : array of int
        Channel indices.
    """
    if picks is not None:
        return _picks_to_idx(raw.info, picks, exclude=())
    found = mne.pick_types(
        raw.info, meg=False, **dict.fromkeys(kinds, True), exclude=()
    )
    if not len(found):
        wanted = ", ".join(kinds[:-1]).upper() + f" or {kinds[-1].upper()}"
        present = sorted(set(raw.get_channel_types()))
        raise ValueError(
            f"{name} found no {wanted} channel, the recording has {present}. "
            "Set the channel types with raw.set_channel_types or name the channels "
            "with picks=."
        )
    return found


def without_bads(raw, picks):
    """Channels not marked bad; all if there are no others."""
    good = [p for p in picks if raw.ch_names[p] not in raw.info["bads"]]
    return np.array(good or picks)


def check_data(raw, picks, *, name):
    """Raise ValueError if a channel holds NaN or Inf, or if all are flat."""
    broken, flat = [], []
    # threads of BLAS go on spinning for a while, in the way of the channels' threads
    with _blas().limit(limits=1, user_api="blas"):
        for pick in picks:
            x = raw._data[pick]
            # one pass: the sum of squares is finite if all values are
            if not np.isfinite(x @ x):
                broken.append(raw.ch_names[pick])
            flat.append(is_flat(x))
    if broken:
        raise ValueError(
            f"{name} needs finite data, got NaN or Inf in {', '.join(broken)}. "
            "Interpolate these samples or leave the channels out with picks=."
        )
    if all(flat):
        raise ValueError(
            f"{name} needs a signal, but all {len(picks)} channels are flat. "
            "Check the recording and picks=."
        )


def apply_channels(
    func, raw, picks, n_jobs=None, *, block_size=None, ns_per_sample=20.0
):
    """Set ``raw._data[p], note = func(raw._data[p])`` for each pick.

    Threads share the data and numpy releases the GIL; a backend chosen with
    `joblib.parallel_config` wins. Results are equal bit for bit for every `n_jobs`:
    `func` is pure and BLAS runs one thread throughout.

    Parameters
    ----------
    func : callable
        Takes one channel, array of shape (n_times,), returns a new one and a note.
    raw : mne.io.Raw
        Changed in place.
    picks : array of int
        Channels.
    n_jobs : int | None
        Number of channels at a time; -1 all cores; None 1, or what
        `joblib.parallel_config` says.
    block_size : int | None
        Channels that are sent to processes at a time; None: 4 times the number of
        jobs, so that few wait for the last one.
    ns_per_sample : float
        What `func` takes. Less than 0.2 s of work is done in the calling thread, unless
        a backend other than threads was chosen.

    Returns
    -------
    notes : list
        One per pick.
    """
    seconds = 1e-9 * ns_per_sample * raw.n_times * len(picks)
    n_at_a_time = _parallel_channels(_one_channel, n_jobs, picks)[2]
    if n_at_a_time > 1 and seconds < _WORTHWHILE and not _backend_is_named():
        logger.info(
            f"1 job, not {n_at_a_time}: {len(picks)} channel(s) of {raw.n_times} "
            f"samples take {seconds:.2g} s"
        )
        n_jobs = 1
    if _shares_memory(n_jobs, picks):
        # each writes its own channel: none waits for others, memory is used again
        return _in_threads(partial(_replace, func), raw, picks, n_jobs)
    notes = []
    for block in _blocks(picks, block_size or 4 * n_at_a_time):
        results = _in_workers(func, raw, block, n_jobs)
        for pick, (x, note) in zip(block, results, strict=True):
            raw._data[pick] = x
            notes.append(note)
    return notes


def map_channels(func, raw, picks, n_jobs=None):
    """What a function makes of some channels, for the plan of a step.

    Parameters
    ----------
    func : callable
        Takes one channel, array of shape (n_times,).
    raw : mne.io.Raw
        Not changed.
    picks : array of int
        Channels.
    n_jobs : int | None
        As in :func:`apply_channels`.

    Returns
    -------
    values : list
        One per pick.
    """
    if _shares_memory(n_jobs, picks):
        return _in_threads(partial(_read, func), raw, picks, n_jobs)
    return _in_workers(func, raw, picks, n_jobs)


def _replace(func, data, pick):
    data[pick], note = func(data[pick])
    return note


def _read(func, data, pick):
    return func(data[pick])


def _in_threads(func, raw, picks, n_jobs):
    """``func(raw._data, pick)`` for each pick; a thread takes the next that is left.

    As tasks of joblib, threads would wait a millisecond for each channel.
    """
    parallel, one_thread, n_jobs = _parallel_channels(_one_thread, n_jobs, picks)
    left = deque(enumerate(picks))
    with _same_everywhere():
        try:
            parts = parallel(one_thread(func, raw, left) for _ in range(n_jobs))
            return [result for _, result in sorted(chain(*parts))]
        finally:
            left.clear()  # where one has failed, the others shall stop


def _one_thread(func, raw, left):
    _keep_freed_memory()
    results = []
    with _blas().limit(limits=1, user_api="blas"):
        while left:
            try:
                number, pick = left.popleft()
            except IndexError:  # another thread was quicker
                break
            with _naming(raw.ch_names[pick]):
                results.append((number, func(raw._data, pick)))
    return results


def _in_workers(func, raw, picks, n_jobs):
    """``func(raw._data[pick])`` for each pick, by processes that get a copy of it."""
    parallel, one_channel, _ = _parallel_channels(_one_channel, n_jobs, picks)
    with _same_everywhere():
        return list(
            parallel(
                one_channel(func, raw._data[pick], raw.ch_names[pick]) for pick in picks
            )
        )


def _one_channel(func, x, name):
    _keep_freed_memory()
    with _blas().limit(limits=1, user_api="blas"), _naming(name):
        return func(x)


@contextmanager
def _same_everywhere():
    """One thread for BLAS and one log level, here as in all threads.

    Threads that leave in another order than they came must not lift the limit of BLAS
    for others, nor leave MNE's log level changed.
    """
    with _blas().limit(limits=1, user_api="blas"), mne.use_log_level(logger.level):
        yield


@contextmanager
def _naming(channel):
    try:
        yield
    except Exception as exc:
        exc.add_note(f"Channel {channel}.")
        raise


def _shares_memory(n_jobs, picks):
    backend, _ = get_active_backend(prefer=_prefer(n_jobs))
    if getattr(backend, "supports_sharedmem", False):
        return True
    return _parallel_channels(_one_channel, n_jobs, picks)[2] == 1


def _prefer(n_jobs):
    # threads with n_jobs=None would override a surrounding parallel_config
    return None if n_jobs is None else "threads"


def _parallel_channels(func, n_jobs, picks):
    prefer = _prefer(n_jobs)
    if isinstance(n_jobs, Integral) and n_jobs < 1:
        # MNE would count the cores of the machine, not those for this process
        n_jobs = effective_n_jobs(n_jobs)
    options = {"prefer": prefer, "max_jobs": len(picks), "verbose": "ERROR"}
    return parallel_func(func, n_jobs, pre_dispatch="all", **options)


def _blocks(picks, size):
    return [picks[start : start + size] for start in range(0, len(picks), size)]


def _backend_is_named():
    """Whether a surrounding `joblib.parallel_config` asks for more than threads."""
    backend, _ = get_active_backend(prefer="threads")
    return not isinstance(backend, ThreadingBackend)


def is_distributed():
    """Whether a surrounding `joblib.parallel_config` names a cluster's backend.

    Returns
    -------
    distributed : bool
        True for dask, ray and the like, False for threads and processes of this
        machine.
    """
    backend, _ = get_active_backend()
    return type(backend).__module__ != "joblib._parallel_backends"


@cache
def _keep_freed_memory():
    """Let the allocator of Linux use the memory of one channel for the next again.

    It keeps what is freed up to twice the largest block freed so far, of those below
    32 MB (mallopt(3)). New pages for every channel cost a filter half of its time.
    """
    np.empty(31 << 20, np.uint8)


@cache
def _blas():
    return ThreadpoolController()
