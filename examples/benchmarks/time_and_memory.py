"""
Time and memory of average artifact subtraction
===============================================

64 channels, 5 kHz, 10 minutes: 1.5 GB. One thread. Times are given as multiples of
the time one ``np.copyto`` of the data takes in the same process, which says more
about a method than seconds on some machine; MNE's own function runs on the same
data, on 8 of the channels only unless ``--full`` is given.

Run with ``python time_and_memory.py [--minutes 10] [--channels 64] [--full]``.
"""

import argparse
import time
import tracemalloc

import mne
import numpy as np
from _common import make_raw, mne_gradient
from threadpoolctl import threadpool_limits

from mne_facet import AAS, TriggerDetector

mne.set_log_level("ERROR")


def seconds(function, n_runs=3):
    """Median processor time of a few runs."""
    times = []
    for _ in range(n_runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return float(np.median(times))


def time_copy(data):
    """Time one copy into memory that has been used before."""
    target = np.zeros_like(data)
    return seconds(lambda: np.copyto(target, data), 5)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--full", action="store_true", help="all channels for MNE too")
    args = parser.parse_args()
    for clock_ppm, name in ((0.0, "synchronised clocks"), (5.0, "clocks 5 ppm apart")):
        raw = make_raw(args.channels, args.minutes, clock_ppm=clock_ppm)
        raw = TriggerDetector("R128", copy=False).fit_transform(raw)
        size = raw._data.nbytes
        copy = time_copy(raw._data)
        print(f"\n{name}: {args.channels} channels, {size / 1e9:.2f} GB")
        print(f"  one copy of the data                {copy:7.2f} s")
        correct = AAS(level="volume", copy=False)
        spent = seconds(lambda: correct.fit_transform(raw))  # noqa: B023
        print(f"  AAS, volumes         {spent / copy:7.1f} copies, {spent:7.2f} s")
        tracemalloc.start()
        correct.fit_transform(raw)
        peak = 1 + tracemalloc.get_traced_memory()[1] / size
        tracemalloc.stop()
        print(f"  AAS, peak memory     {peak:7.2f} times the data (copy=False)")
        time_mne(raw, copy, args.channels if args.full else min(8, args.channels))


def time_mne(raw, copy, n_channels):
    """Time MNE's function, which works channel by channel, on some channels."""
    some = raw.copy().pick(raw.ch_names[:n_channels])
    spent = seconds(lambda: mne_gradient(some, window=(4, 4)), 1)
    ratio = spent / (copy * n_channels / len(raw.ch_names))
    print(f"  MNE, {n_channels:3d} channels     {ratio:7.1f} copies, {spent:7.2f} s")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
