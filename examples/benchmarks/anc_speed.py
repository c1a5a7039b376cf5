"""
Speed of the adaptive filter
============================

One channel of 500 taps: the exact recursion in blocks, as ANC runs it, against the same
recursion sample by sample, in machine code and in NumPy. Processor time, the fastest of
a few runs, in ns per sample; all give the same numbers. Needs Numba.

``python anc_speed.py [--taps 500] [--seconds 20]``
"""

import argparse
import time
from functools import partial

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from mne_facet._base import _keep_freed_memory
from mne_facet.signal import lms


# compiled as the loops of ANC are
@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def by_sample(r, d, weights):
    """Widrow's recursion; the weights are kept in reverse order."""
    n_taps = weights.size
    y = np.empty(d.size)
    for n in range(d.size):
        explained = 0.0
        for m in range(n_taps):
            explained += weights[m] * r[n + m]
        error = d[n] - explained
        for m in range(n_taps):
            weights[m] += error * r[n + m]
        y[n] = explained
    return y


def by_sample_numpy(r, d, weights):
    """The same, the loops over the taps in NumPy."""
    y = np.empty(d.size)
    for n in range(d.size):
        taps = r[n : n + weights.size]
        y[n] = weights @ taps
        weights += (d[n] - y[n]) * taps
    return y


def fastest(function, n_runs=5):
    """Processor time of the fastest run, after one to warm up."""
    function()
    times = []
    for _ in range(n_runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--taps", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    reference, target = rng.standard_normal((2, int(5000 * args.seconds)))
    order = args.taps - 1
    step = 0.05 / (args.taps * np.mean(reference**2))
    kernels = {
        "sample by sample, NumPy": (by_sample_numpy, 1),
        "sample by sample, Numba": (by_sample, 1),
        "in blocks, NumPy": (lms._numpy_blocks, lms._BLOCK),
        "in blocks, as ANC has it": (None, 0),
    }
    spent, results = {}, []
    for name, (kernel, size) in kernels.items():
        run = partial(lms._run, kernel, size) if kernel else lms.adaptive_filter
        call = partial(run, reference, target, order, step)
        results.append(call())
        spent[name] = fastest(call)
    ours = spent["in blocks, as ANC has it"]
    scale = np.abs(results[0]).max()
    print(f"{args.taps} taps, {target.size} samples")
    for (name, seconds), result in zip(spent.items(), results, strict=True):
        difference = np.abs(result - results[0]).max() / scale
        print(
            f"{name:26} {1e9 * seconds / target.size:8.0f} ns per sample, "
            f"{seconds / ours:5.1f} times ANC's, difference {difference:.0e}"
        )


if __name__ == "__main__":
    # memory is used again, as it is from channel to channel in a correction
    _keep_freed_memory()
    with threadpool_limits(1):
        main()
