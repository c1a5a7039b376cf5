"""Products of sparse averaging matrices with epochs, and of epochs with each other."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import sparse

from .compiled import aligned_empty, compiled

# rows from which one call for each is quicker than one for all; with shorter ones
# threads would hand over the interpreter lock too often
_LONG = 2000


class Steps(NamedTuple):
    """Rows of an averaging matrix as differences to an earlier row.

    Attributes
    ----------
    indptr, indices, data : array
        Sparse rows, as in SciPy: ``W_k - W_{k - lag}``, or ``W_k`` itself.
    goes_on : array of bool, shape (n_rows,)
        Where it is the difference.
    lag : int
        Usual distance of the epochs of a row.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    goes_on: np.ndarray
    lag: int


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
    weights : scipy.sparse.csr_array, shape (n_rows, n_epochs)
        Averaging matrix.
    restarts : sequence of int
        Rows to keep as they are, so that rounding cannot build up.

    Returns
    -------
    steps : Steps
        The differences; `lag` rows from each of `restarts` are kept as they are, and
        those that have no more entries than the difference.
    """
    n_rows = weights.shape[0]
    # of some rows, which tell it as well as all
    gaps = np.diff(weights.indices[: weights.indptr[min(n_rows, 16)]])
    lag = max(1, int(np.median(gaps))) if gaps.size else 1
    change = weights[lag:] - weights[:-lag]
    change.data[np.abs(change.data) < 1e-12] = 0
    change.eliminate_zeros()
    row = np.arange(n_rows)
    restart = np.asarray(restarts)[np.searchsorted(restarts, row, side="right") - 1]
    goes_on = row - restart >= lag
    goes_on[lag:] &= np.diff(change.indptr) < np.diff(weights.indptr)[lag:]
    # the rows of `change` stand below those of `weights`
    row[goes_on] += n_rows - lag
    steps = plain_steps(sparse.vstack([weights, change], format="csr")[row])
    return steps._replace(goes_on=goes_on, lag=lag)


def plain_steps(weights):
    """:class:`Steps` of rows as they are."""
    indptr, indices = (
        part.astype(np.int64) for part in (weights.indptr, weights.indices)
    )
    return Steps(indptr, indices, weights.data, np.zeros(weights.shape[0], bool), 1)


def running_product(steps, windows, start, stop):
    """Templates from increments, some rows of them.

    Parameters
    ----------
    steps : Steps
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
    kernels = compiled()
    if kernels:
        templates = aligned_empty(stop - start, windows.length)
        kernels.sum_up(templates, steps, windows, start)
        return templates
    indptr = steps.indptr[start : stop + 1]
    entries = slice(indptr[0], indptr[-1])
    used, columns = np.unique(steps.indices[entries], return_inverse=True)
    rows = steps.data[entries], columns, indptr - indptr[0]
    templates = sparse.csr_array(rows, (stop - start, used.size)) @ windows.cut(used)
    for first in range(steps.lag):
        rows, on = templates[first :: steps.lag], steps.goes_on[start:stop]
        on = on[first :: steps.lag]
        for begin, end in pairwise([*np.flatnonzero(~on), on.size]):
            if rows.shape[1] > _LONG:
                for k in range(begin + 1, end):
                    rows[k] += rows[k - 1]
            elif end - begin > 1:
                np.cumsum(rows[begin:end], axis=0, out=rows[begin:end])
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


def difference_products(windows, templates, first, part, width):
    """Products of epochs and templates, of differences between successive means.

    Parameters
    ----------
    windows : Windows
        The epochs.
    templates : array, shape (n_rows, length)
        Templates of some of them.
    first : int
        Number of the first of these epochs.
    part : slice
        Samples to look at.
    width : int
        Samples in a mean.

    Returns
    -------
    own, fit, energy : array, shape (n_rows,)
        ``<x', x'>``, ``<x', T'>`` and ``<T', T'>``.
    """
    kernels = compiled()
    if kernels:
        span = part.start, part.stop
        return kernels.difference_products(windows, templates, first, *span, width)
    epochs = windows.cut(slice(first, first + len(templates)), part)
    one, other = (
        _mean_differences(rows, width) for rows in (epochs, templates[:, part])
    )
    pairs = (one, one), (one, other), (other, other)
    return np.array([np.einsum("kj,kj->k", *pair) for pair in pairs])


def _mean_differences(rows, width):
    parts = sliding_window_view(rows, width, axis=1)[:, ::width]
    return np.diff(np.einsum("kjm->kj", parts))


def amplitudes(own, fit, energy, good):
    """Factors of templates by least squares, held near the median.

    Parameters
    ----------
    own, fit, energy : array, shape (n_rows,)
        As returned by :func:`difference_products`.
    good : array of bool, shape (n_rows,)
        Epochs whose factors count; the others get those of their neighbours.

    Returns
    -------
    gain : array, shape (n_rows,)
        ``<x', T'> / <T', T'>`` within half and twice the median; 1 where the template
        is weak, 0 where nothing was recorded.
    """
    if not good.any():
        return np.ones(good.size)
    left = own - 2 * fit + energy
    weak = energy < 25 * np.median(left[good])
    gain = np.where(energy > 0, fit / np.where(energy > 0, energy, 1.0), 1.0)
    index = np.arange(float(good.size))
    gain = np.interp(index, index[good], gain[good])
    center = np.median(gain)
    gain = np.minimum(np.maximum(gain, 0.5 * center), 2 * center)
    return np.where(own == 0, 0.0, np.where(weak, 1.0, gain))
