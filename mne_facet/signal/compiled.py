"""Inner loops in machine code, where Numba is installed."""

import os
from functools import cache

# type of a channel, which a worker process may have got read-only
READ_ONLY = "Array(f8, 1, 'C', readonly=True)"


def compiled(function, signature):
    """Compile a function of loops over arrays.

    It runs without the interpreter's lock: threads do not wait for each other.

    Parameters
    ----------
    function : callable
        Written in what Numba understands.
    signature : str
        Types of the result and of the arguments.

    Returns
    -------
    function : callable | None
        None where there is no compiler, or where it is switched off as in MNE, by the
        environment variable ``MNE_USE_NUMBA=false``.
    """
    if os.environ.get("MNE_USE_NUMBA", "true").lower() != "true":
        return None
    return _compiled(function, signature)


@cache
def _compiled(function, signature):
    try:
        from numba import njit

        # sums in any order, but NaN and Inf stay what they are
        options = {"fastmath": {"reassoc", "contract", "nsz"}, "nogil": True}
        return njit(signature, cache=True, **options)(function)
    except Exception:  # whatever is wrong with it, NumPy does the same
        return None
