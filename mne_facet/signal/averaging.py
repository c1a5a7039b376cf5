"""Averaging matrices: which epochs make the template of which, and their product.

A matrix is sparse, its rows sum to 1. Independent noise of the epochs adds up to
``sum_j w_kj^2`` of its power; an epoch in its own template loses that share of its EEG.
"""

from itertools import pairwise

import numpy as np
from scipy import sparse


def moving_weights(good, window):
    """Leave-one-out moving average as a sparse averaging matrix.

    Row ``k`` averages the `window` nearest good epochs other than ``k``, half
    before and half after; at the ends the window keeps its size and slides inward.
    White noise independent between epochs grows in power by ``1 + 1 / window``;
    nothing of an epoch is in its own template.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged; at least two.
    window : int
        Number of epochs to average; all others if there are fewer.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1, the diagonal is 0.
    """
    n_epochs = len(good)
    sources = np.flatnonzero(good)
    window = min(window, sources.size - 1)
    before = np.searchsorted(sources, np.arange(n_epochs))
    n_others = sources.size - good
    first = np.clip(before - window // 2, 0, n_others - window)
    picks = first[:, np.newaxis] + np.arange(window)
    picks += good[:, np.newaxis] & (picks >= before[:, np.newaxis])  # leave k out
    return sparse.csr_array(
        (
            np.full(picks.size, 1.0 / window),
            sources[picks].ravel(),
            np.arange(0, picks.size + 1, window),
        ),
        shape=(n_epochs, n_epochs),
    )


def increments(weights, restarts):
    """Rows of an averaging matrix as differences to the row before.

    Neighbouring rows share most of their epochs, so the product with the epochs costs
    little when the sparse difference is multiplied and the rows are summed up; and
    its cost does not depend on the window.

    Parameters
    ----------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Averaging matrix.
    restarts : list of int
        Rows to keep as they are, so that rounding cannot build up.

    Returns
    -------
    steps : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        ``W_k - W_{k-1}``; ``W_k`` itself at `restarts` and where it has no more
        entries than the difference.
    goes_on : array of bool, shape (n_epochs,)
        Where it is the difference.
    """
    before = sparse.eye_array(weights.shape[0], k=-1, format="csr")
    change = sparse.csr_array(weights - before @ weights)
    change.data[np.abs(change.data) < 1e-12] = 0
    change.eliminate_zeros()
    goes_on = np.diff(change.indptr) < np.diff(weights.indptr)
    goes_on[restarts] = False
    if not goes_on.all():
        used = sparse.diags_array(goes_on.astype(float))
        unused = sparse.diags_array((~goes_on).astype(float))
        change = sparse.csr_array(used @ change + unused @ weights)
    return change, goes_on


def running_product(steps, goes_on, epochs, start, stop, first_epoch):
    """Templates from increments, some rows of them.

    Parameters
    ----------
    steps, goes_on : array
        As returned by :func:`increments`.
    epochs : array, shape (n_used, length)
        The epochs that these rows use, `first_epoch` and those after it.
    start, stop : int
        First row, one of the restarts, and the one after the last.
    first_epoch : int
        Number of the first of `epochs`.

    Returns
    -------
    templates : array, shape (stop - start, length)
        Rows of ``weights @ epochs``.
    """
    entries = slice(steps.indptr[start], steps.indptr[stop])
    part = sparse.csr_array(
        (
            steps.data[entries],
            steps.indices[entries] - first_epoch,
            steps.indptr[start : stop + 1] - entries.start,
        ),
        shape=(stop - start, len(epochs)),
    )
    templates = part @ epochs
    begins = [*np.flatnonzero(~goes_on[start:stop]), stop - start]
    for begin, end in pairwise(begins):
        if end - begin > 1:
            np.cumsum(templates[begin:end], axis=0, out=templates[begin:end])
    return templates
