"""Inner loops in machine code, where Numba is installed."""

import os
from functools import cache


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


@cache
def _kernels():
    try:
        from . import kernels
    except Exception:  # whatever is wrong with it, NumPy does the same
        return None
    return kernels
