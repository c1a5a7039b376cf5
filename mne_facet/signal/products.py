"""Products of sparse averaging matrices with epochs."""

from itertools import pairwise

import numpy as np
from scipy import sparse

from .compiled import compiled

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


def running_product(steps, goes_on, lag, epochs, start, stop, first_epoch):
    """Templates from increments, some rows of them.

    Parameters
    ----------
    steps, goes_on, lag
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
    kernel = compiled(_sum_up, _SUM_UP_TYPES)
    if kernel is None:
        return _sum_up_numpy(steps, goes_on, lag, epochs, start, stop, first_epoch)
    templates = np.empty((stop - start, epochs.shape[1]))
    indptr, indices = (
        i.astype(np.int64, copy=False) for i in (steps.indptr, steps.indices)
    )
    rows = indptr[start : stop + 1], goes_on[start:stop]
    kernel(*rows, indices - first_epoch, steps.data, lag, epochs, templates)
    return templates


_SUM_UP_TYPES = "(i8[::1],b1[::1],i8[::1],f8[::1],i8,f8[:,::1],f8[:,::1])"


def _sum_up(indptr, goes_on, indices, data, lag, epochs, templates):
    for k in range(len(templates)):
        template = templates[k]
        if goes_on[k]:
            template[:] = templates[k - lag]
        else:
            template[:] = 0.0
        start, stop = indptr[k], indptr[k + 1]
        # two at a time: an epoch comes in, another one goes
        for i in range(start, stop - 1, 2):
            a, one = data[i], epochs[indices[i]]
            b, other = data[i + 1], epochs[indices[i + 1]]
            for t in range(template.size):
                template[t] += a * one[t] + b * other[t]
        if (stop - start) % 2:
            a, one = data[stop - 1], epochs[indices[stop - 1]]
            for t in range(template.size):
                template[t] += a * one[t]


def _sum_up_numpy(steps, goes_on, lag, epochs, start, stop, first_epoch):
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
    for first in range(lag):
        rows, on = templates[first::lag], goes_on[start:stop][first::lag]
        for begin, end in pairwise([*np.flatnonzero(~on), on.size]):
            if rows.shape[1] > _LONG:
                for k in range(begin + 1, end):
                    rows[k] += rows[k - 1]
            elif end - begin > 1:
                np.cumsum(rows[begin:end], axis=0, out=rows[begin:end])
    return templates


def median_product(weights, epochs, start, stop, first_epoch):
    """Templates as medians, sample by sample, of the epochs that a row averages.

    Robust against what few epochs hold. The noise of a median of ``n`` epochs has the
    power of a mean of ``n / 1.57``.

    Parameters
    ----------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Averaging matrix; only which of its entries are not 0 counts.
    epochs, start, stop, first_epoch
        As in :func:`running_product`.

    Returns
    -------
    templates : array, shape (stop - start, length)
        One per row.
    """
    rows = split_rows(weights)[start:stop]
    return np.array([np.median(epochs[row - first_epoch], axis=0) for row in rows])
