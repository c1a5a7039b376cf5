"""``raw.pipe``: method chaining for Raw objects, as pandas has it."""

from mne.io import BaseRaw


def pipe(self, func, *args, **kwargs):
    """Apply a function, an estimator or a Pipeline to the recording.

    Parameters
    ----------
    func : callable | tuple | estimator
        Called as ``func(raw, *args, **kwargs)``. A tuple ``(callable, keyword)``
        hands the recording over as that keyword. An estimator or Pipeline: its
        ``fit_transform`` is called.
    *args, **kwargs
        Passed on.

    Returns
    -------
    result : object
        What `func` returns.

    Examples
    --------
    >>> from mne_facet import AAS, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> clean = raw.pipe(TriggerDetector("R128")).pipe(AAS(window=8))
    """
    if hasattr(func, "fit_transform"):
        return func.fit_transform(self, *args, **kwargs)
    if isinstance(func, tuple):
        func, target = func
        if target in kwargs:
            raise ValueError(
                f"{target} is both the pipe target and a keyword argument."
            )
        kwargs[target] = self
        return func(*args, **kwargs)
    return func(self, *args, **kwargs)


def install():
    """Add ``pipe`` to Raw unless MNE, or another package, has done so."""
    if not hasattr(BaseRaw, "pipe"):
        BaseRaw.pipe = pipe
