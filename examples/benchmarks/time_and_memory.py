"""
Time and memory of the corrections of the gradient artifact
===========================================================

64 channels, 5 kHz, 10 minutes: 1.5 GB. One thread. Times are given as multiples of the
time that one ``np.copyto`` of the data takes in the same process, which says more about
a method than seconds on some machine; MNE's own function runs on the same data, on 8 of
the channels only unless ``--full`` is given. Needs 6 GB.

Run with ``python time_and_memory.py [--minutes 10] [--channels 64] [--full]``.
"""

import argparse
import time
import tracemalloc

import mne
import numpy as np
from _common import make_raw, mne_gradient
from threadpoolctl import threadpool_limits

from mne_facet import AAS, OBS, LowRank, TriggerDetector

mne.set_log_level("ERROR")

STEPS = {
    "AAS, volumes": AAS(level="volume", copy=False),
    "AAS, slices": AAS(level="slice", copy=False),
    "AAS, slices and volumes": AAS(level="both", copy=False),
    "LowRank": LowRank(copy=False),
    "OBS": OBS(copy=False),
}


def cost(step, raw, source, n_runs=3):
    """Median time in copies of the data, each run on the data as they were."""
    copies = []
    for _ in range(n_runs):
        # into memory that has been used before; twice, or it is in no cache
        for _ in range(2):
            start = time.process_time()
            np.copyto(raw._data, source)
            copy = time.process_time() - start
        start = time.process_time()
        step.fit_transform(raw)
        copies.append((time.process_time() - start) / copy)
    return float(np.median(copies))


def peak_memory(step, raw, source):
    """Highest memory as a multiple of the data, these included."""
    np.copyto(raw._data, source)
    tracemalloc.start()
    step.fit_transform(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return 1 + peak / source.nbytes


def mne_cost(raw, n_channels):
    """The same of MNE's function, which works channel by channel, on some channels."""
    some = raw.copy().pick(raw.ch_names[:n_channels])
    target = some.get_data()
    start = time.process_time()
    np.copyto(target, some._data)
    middle = time.process_time()
    mne_gradient(some, window=(4, 4))
    return (time.process_time() - middle) / (middle - start)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--full", action="store_true", help="all channels for MNE too")
    args = parser.parse_args()
    for clock_ppm, name in ((0.0, "synchronised clocks"), (5.0, "clocks 5 ppm apart")):
        raw = make_raw(args.channels, args.minutes, clock_ppm=clock_ppm)
        raw = TriggerDetector("R128", n_slices=20, copy=False).fit_transform(raw)
        source = raw.get_data()
        print(f"\n{name}: {args.channels} channels, {source.nbytes / 1e9:.2f} GB")
        for label, step in STEPS.items():
            copies = cost(step, raw, source)
            peak = peak_memory(step, raw, source)
            print(
                f"  {label:24} {copies:6.1f} copies, memory {peak:.2f} times the data",
                flush=True,
            )
        np.copyto(raw._data, source)
        n_channels = args.channels if args.full else min(8, args.channels)
        copies = mne_cost(raw, n_channels)
        print(
            f"  MNE's function           {copies:6.1f} copies ({n_channels} channels)"
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
