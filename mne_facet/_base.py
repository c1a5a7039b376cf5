"""What every estimator shares: checks, lists of recordings, channels in parallel."""

from functools import cache

import mne
import numpy as np
from mne._fiff.pick import _picks_to_idx  # no public equal; used here only
from mne.parallel import parallel_func
from sklearn.base import BaseEstimator, TransformerMixin
from threadpoolctl import ThreadpoolController


class RawTransformer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Map a Raw, or each Raw of a list, to a Raw.

    A subclass assigns its parameters in ``__init__`` (``copy`` and ``verbose`` among
    them) and does its work in ``_correct(raw)``, on a Raw that it may change. It
    keeps nothing: the same estimator serves any number of recordings.
    """

    _needs_data = True

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


def _as_list(X):
    return X if isinstance(X, (list, tuple)) else [X]


def pick_channels(raw, picks=None, *, name):
    """Indices of the channels to work on, bad ones included.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    picks : str | list | slice | None
        As in MNE. None: all EEG, EOG, ECG and EMG channels.
    name : str
        Who asks, for the error.

    Returns
    -------
    picks : array of int
        Channel indices.
    """
    if picks is not None:
        return _picks_to_idx(raw.info, picks, exclude=())
    found = mne.pick_types(
        raw.info, meg=False, eeg=True, eog=True, ecg=True, emg=True, exclude=()
    )
    if not len(found):
        kinds = sorted(set(raw.get_channel_types()))
        raise ValueError(
            f"{name} found no EEG, EOG, ECG or EMG channel, the recording has {kinds}. "
            "Set the channel types with raw.set_channel_types or name the channels "
            "with picks=."
        )
    return found


def check_data(raw, picks, *, name):
    """Raise ValueError if a channel holds NaN or Inf, or if all are flat."""
    # one pass: the sum of squares is finite if all values are
    broken = [p for p in picks if not np.isfinite(raw._data[p] @ raw._data[p])]
    if broken:
        raise ValueError(
            f"{name} needs finite data, got NaN or Inf in "
            f"{', '.join(raw.ch_names[p] for p in broken)}. Interpolate these samples "
            "or leave the channels out with picks=."
        )
    if all(_is_flat(raw._data[p]) for p in picks):
        raise ValueError(
            f"{name} needs a signal, but all {len(picks)} channels are flat. "
            "Check the recording and picks=."
        )


def _is_flat(x):
    return x[0] == x[x.size // 2] == x[-1] and np.ptp(x) == 0


def apply_channels(func, raw, picks, n_jobs=None, **kwargs):
    """Set ``raw._data[p] = func(raw._data[p], **kwargs)`` for each pick.

    Threads share the data and numpy releases the GIL; a backend chosen with
    `joblib.parallel_config` wins. Results are equal bit for bit for every `n_jobs`:
    `func` is pure and BLAS runs one thread throughout.

    Parameters
    ----------
    func : callable
        Takes one channel, array of shape (n_times,), returns a new one.
    raw : mne.io.Raw
        Changed in place.
    picks : array of int
        Channels.
    n_jobs : int | None
        Number of channels at a time; -1 all cores; None 1, or what
        `joblib.parallel_config` says.
    **kwargs : dict
        Passed to `func`.
    """
    # prefer="threads" with n_jobs=None would override a surrounding parallel_config
    prefer = None if n_jobs is None else "threads"
    parallel, p_func, n_jobs = parallel_func(
        _one_blas_thread, n_jobs, prefer=prefer, max_jobs=len(picks), verbose="ERROR"
    )
    step = 1 if n_jobs == 1 else 4 * n_jobs
    # the limit out here as well: threads that leave theirs must not lift it for others
    with _blas().limit(limits=1, user_api="blas"):
        for start in range(0, len(picks), step):
            block = picks[start : start + step]
            results = parallel(p_func(func, raw._data[p], kwargs) for p in block)
            for pick, result in zip(block, results, strict=True):
                raw._data[pick] = result


def _one_blas_thread(func, x, kwargs):
    with _blas().limit(limits=1, user_api="blas"):
        return func(x, **kwargs)


@cache
def _blas():
    return ThreadpoolController()
