"""Products of sparse averaging matrices with epochs."""

from itertools import pairwise

import numpy as np
from scipy import sparse

from .compiled import READ_ONLY, compiled

# rows from which one call for each is quicker than one for all; with shorter ones
# threads would hand over the interpreter lock too often
_LONG = 2000


def split_rows(weights):
    """Columns of the entries of each row of a sparse matrix."""
    return np.split(weights.indices, weights.indptr[1:-1])


def increments(weights, restarts):
    """Rows of an averaging matrix as differences to an earlier row.

    Neighbouring rows share most of their epochs, so the product with the epochs costs
    little when the sparse difference is multiplied and the rows are summed up; and
    its cost does not depend on the window. Where the matrix averages every second
    epoch, or every thirtieth, the neighbour is as many rows away.

    Parameters
    ----------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Averaging matrix.
    restarts : sequence of int
        Rows to keep as they are, so that rounding cannot build up.

    Returns
    -------
    steps : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        ``W_k - W_{k - lag}``; ``W_k`` itself for `lag` rows from each of `restarts`,
        and where it has no more entries than the difference.
    goes_on : array of bool, shape (n_epochs,)
        Where it is the difference.
    lag : int
        Usual distance of the epochs of a row.
    """
    gaps = np.diff(weights.indices)
    lag = max(1, int(np.median(gaps))) if gaps.size else 1
    goes_on = np.zeros(weights.shape[0], bool)
    parts = []
    for start, stop in pairwise([*restarts, weights.shape[0]]):
        rows = weights[start:stop]
        change = rows[lag:] - rows[:-lag]
        change.data[np.abs(change.data) < 1e-12] = 0
        change.eliminate_zeros()
        shorter = np.diff(change.indptr) < np.diff(rows[lag:].indptr)
        if not shorter.all():
            used, unused = (sparse.diags_array(1.0 * on) for on in (shorter, ~shorter))
            change = used @ change + unused @ rows[lag:]
        goes_on[start + lag : stop] = shorter
        parts += [rows[:lag], change]
    return sparse.vstack(parts, format="csr"), goes_on, lag


def running_product(steps, goes_on, lag, windows, start, stop):
    """Templates from increments, some rows of them.

    Parameters
    ----------
    steps, goes_on, lag
        As returned by :func:`increments`.
    windows : Windows
        The epochs.
    start, stop : int
        First row, one of the restarts, and the one after the last.

    Returns
    -------
    templates : array, shape (stop - start, length)
        Rows of ``weights @ epochs``.
    """
    indptr = steps.indptr[start : stop + 1].astype(np.int64)
    entries = slice(indptr[0], indptr[-1])
    rows = steps.data[entries], steps.indices[entries], indptr - indptr[0]
    return _product(*rows, goes_on[start:stop], lag, windows)


def mean_epoch(windows, which):
    """Mean of some of the epochs."""
    weights = np.full(which.size, 1 / which.size)
    rows = weights, which, np.array([0, which.size])
    return _product(*rows, np.zeros(1, bool), 1, windows)[0]


def _product(data, sources, indptr, goes_on, lag, windows):
    """Product of a sparse matrix with epochs, and its rows summed up."""
    n_rows = goes_on.size
    kernel = compiled(_sum_up, _SUM_UP_TYPES)
    if kernel is None:
        used, columns = np.unique(sources, return_inverse=True)
        rows = sparse.csr_array((data, columns, indptr), (n_rows, used.size))
        return _sum_up_numpy(rows, goes_on, lag, windows.cut(used))
    templates = np.empty((n_rows, windows.length))
    signals = windows.signal, windows.special
    kernel(indptr, goes_on, windows.starts[sources], data, lag, *signals, templates)
    return templates


_SUM_UP_TYPES = f"(i8[::1],b1[::1],i8[::1],f8[::1],i8,{READ_ONLY},f8[:,::1],f8[:,::1])"


def _sum_up(indptr, goes_on, starts, data, lag, signal, special, templates):
    for k in range(len(templates)):
        template = templates[k]
        if goes_on[k]:
            template[:] = templates[k - lag]
        else:
            template[:] = 0.0
        for i in range(indptr[k], indptr[k + 1]):
            weight, start = data[i], starts[i]
            if start < 0:
                for t in range(template.size):
                    template[t] += weight * special[-1 - start, t]
            else:
                epoch = signal[start:]
                for t in range(template.size):
                    template[t] += weight * epoch[t]


def _sum_up_numpy(steps, goes_on, lag, epochs):
    templates = steps @ epochs
    for first in range(lag):
        rows, on = templates[first::lag], goes_on[first::lag]
        for start, stop in pairwise([*np.flatnonzero(~on), on.size]):
            if rows.shape[1] > _LONG:
                for k in range(start + 1, stop):
                    rows[k] += rows[k - 1]
            elif stop - start > 1:
                np.cumsum(rows[start:stop], axis=0, out=rows[start:stop])
    return templates


def median_product(weights, epochs):
    """Templates as medians, sample by sample, of the epochs that a row averages.

    Robust against what few epochs hold. The noise of a median of ``n`` epochs has the
    power of a mean of ``n / 1.57``.

    Parameters
    ----------
    weights : scipy.sparse.csr_array, shape (n_rows, n_epochs)
        Averaging matrix; only which of its entries are not 0 counts.
    epochs : array, shape (n_epochs, length)
        The epochs.

    Returns
    -------
    templates : array, shape (n_rows, length)
        One per row.
    """
    return np.array([np.median(epochs[row], axis=0) for row in split_rows(weights)])
