"""A function of many items on worker processes, which may die."""

from functools import partial

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from mne.utils import logger


def run_together(func, items, n_workers):
    """Yield results as they come from workers, whatever happens to these.

    Parameters
    ----------
    func : callable
        Takes one item, raises nothing.
    items : list
        What can be pickled.
    n_workers : int
        Items at a time.

    Yields
    ------
    item : object
        One of the items.
    result : object | None
        What `func` returned.
    died : Exception | None
        Why it returned nothing: its worker died, also when the item was tried again by
        itself.
    """
    left = dict(enumerate(items))
    task = partial(_numbered, func)
    try:
        for index, result in _from_workers(task, list(left.items()), n_workers):
            yield left.pop(index), result, None
    except Exception as exc:  # of a worker: func raises none
        logger.info(f"a worker died ({type(exc).__name__}), its files are tried again")
    for numbered in left.items():
        try:
            # by itself, so that it can take no other with it
            [(_, result)] = _from_workers(task, [numbered], 2)
            died = None
        except Exception as exc:
            result, died = None, exc
        yield numbered[1], result, died


def _numbered(func, numbered):
    index, item = numbered
    return index, func(item)


def _from_workers(task, items, n_workers):
    backend, _ = get_active_backend()
    if hasattr(backend, "client"):
        yield from _from_dask(backend.client, task, items)
    else:
        parallel = Parallel(n_workers, return_as="generator_unordered", max_nbytes=None)
        yield from parallel(map(delayed(task), items))


def _from_dask(client, task, items):
    """As joblib would; but that waits for ever for a task whose worker died."""
    from distributed import as_completed

    futures = client.map(task, items, pure=False)
    died = None
    try:
        for future in as_completed(futures):
            if future.status == "finished":
                yield future.result()
            else:
                died = future.exception()
    finally:
        client.cancel(futures)
    if died is not None:
        raise died
