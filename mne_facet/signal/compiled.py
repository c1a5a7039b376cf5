"""Inner loops in machine code, where Numba is installed."""

import os
from functools import cache

import numpy as np

# values in a cache line
LINE = 8


def compiled():
    """Module of compiled loops.

    Returns
    -------
    kernels : module | None
        ``mne_facet.signal.kernels``. None where there is no compiler, or where it
        is switched off as in MNE, by the environment variable
        ``MNE_USE_NUMBA=false``: NumPy does the same.
    """
    if os.environ.get("MNE_USE_NUMBA", "true").lower() != "true":
        return None
    return _kernels()


def aligned_empty(n_rows, length):
    """Rows of values that start on cache lines, if `length` is a multiple of `LINE`.

    Loops over rows that do not take up to a third longer.

    Parameters
    ----------
    n_rows, length : int
        Shape.

    Returns
    -------
    rows : array, shape (n_rows, length)
        Not initialised.
    """
    size = n_rows * length
    buffer = np.empty(size + LINE - 1)
    first = -(buffer.ctypes.data // 8) % LINE
    return buffer[first : first + size].reshape((n_rows, length))


def aligned(array):
    """Copy whose rows, along the last axis, start on cache lines."""
    rows = aligned_empty(array.size // array.shape[-1], array.shape[-1])
    copy = rows.reshape(array.shape)
    copy[...] = array
    return copy


@cache
def _kernels():
    try:
        from . import kernels
    except Exception:  # whatever is wrong with it, NumPy does the same
        return None
    return kernels
