"""
Parallel against serial, measured
=================================

Each step with one and with two jobs, in turns, in one process: 64 channels at 5 kHz;
then two files of 32 channels, one after the other and in two processes. Memory is what
comes on top of the recording. How much faster the machine is at all when both cores
work, memory being shared, is what two processes that have nothing in common reach, each
with half of the channels. Needs two free cores and 5 GB.

``python parallel_speed.py [--minutes 5] [--runs 5] [--facetpy PYTHON]``

With ``--facetpy`` the same file is corrected by the peer package as well, serial and
parallel, by a Python in whose environment it is installed::

    python -m venv peer && peer/bin/pip install facetpy==2.0.2
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import mne
import numpy as np
from _common import Facetpy, make_raw

from mne_facet import (
    AAS,
    ANC,
    OBS,
    Filter,
    LowRank,
    TriggerDetector,
    benchmark_scaling,
    correct_files,
    recipe,
)


def compare_channels(raw, n_runs):
    """Print a table for each step."""
    raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
    for name, step in (
        ("AAS", AAS()),
        ("Filter", Filter(None, 70)),
        ("OBS", OBS()),
        ("ANC", ANC(AAS())),
        ("LowRank", LowRank()),
    ):
        print(f"\n{name}\n{benchmark_scaling(step, raw, n_runs=n_runs)}", flush=True)


def compare_processes(raw, n_runs):
    """Two processes, each with half of the channels, after each other and at a time."""
    raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
    halves = [raw.copy().pick(range(k, len(raw.ch_names), 2)) for k in range(2)]
    start_process = multiprocessing.get_context("fork").Process
    ratios = []
    for _ in range(n_runs):
        seconds = []
        for groups in ([halves[:1], halves[1:]], [halves]):
            start = time.perf_counter()
            for group in groups:
                steps = [AAS(copy=False, verbose="ERROR") for _ in group]
                jobs = [
                    start_process(target=step.transform, args=(half,))
                    for step, half in zip(steps, group, strict=True)
                ]
                for job in jobs:
                    job.start()
                for job in jobs:
                    job.join()
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[0] / seconds[1])
    print(f"\nTwo separate processes, AAS: {np.median(ratios):.2f} times faster")


def compare_files(folder, minutes, n_runs):
    """Two files one after the other and at a time, in turns."""
    raw = make_raw(32, minutes)
    files = [folder / f"sub-{number}_eeg.fif" for number in (1, 2)]
    for file in files:
        raw.save(file, verbose="ERROR")
    n_values = len(files) * raw._data.size
    del raw
    seconds = {1: [], 2: []}
    for _ in range(n_runs):
        for n_jobs in seconds:
            # a virtual machine gives freed memory back to its host, and asks for it
            # again page by page: neither run shall pay for what the other did not use
            np.ones(2 * n_values)
            seconds[n_jobs].append(time_files(files, folder, n_jobs))
    ratio = np.median(np.divide(seconds[1], seconds[2]))
    print(
        f"\nTwo files of 32 channels: {np.median(seconds[1]):.1f} s one by one, "
        f"{np.median(seconds[2]):.1f} s at a time, {ratio:.2f} times faster"
    )


def time_files(files, folder, n_jobs):
    """Seconds to correct files."""
    start = time.perf_counter()
    results = correct_files(
        recipe("aas", triggers="R128", n_slices=20),
        files,
        folder / f"out{n_jobs}",
        n_jobs=n_jobs,
        overwrite=True,
    )
    seconds = time.perf_counter() - start
    assert {result.status for result in results} == {"ok"}
    return seconds


def compare_peer(python, raw):
    """The peer, serial and parallel, each in a process of its own."""
    raw = raw.copy().pick(range(32)).crop(0, 59, include_tmax=False)
    facetpy = Facetpy(python)
    print("\nFACETpy 2.0.2, AASCorrection, 32 channels x 59 s")
    data = []
    for options in ({}, {"parallel": True, "n_jobs": 2}):
        clean, report = facetpy(raw, **options)
        data.append(clean.get_data())
        print(
            f"  {options or 'serial'}: {report['seconds']:.1f} s, "
            f"{report['memory'] / 1e6:.0f} MB, {report['annotations']} of "
            f"{len(raw.annotations)} annotations"
        )
    same = np.array_equal(*data)
    print(f"  parallel equal to serial: {'yes' if same else 'NO'}")


def main():
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--facetpy", metavar="PYTHON")
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    raw = make_raw(64, args.minutes)
    compare_processes(raw, args.runs)
    compare_channels(raw, args.runs)
    with tempfile.TemporaryDirectory() as folder:
        if args.facetpy:
            compare_peer(args.facetpy, raw)
        del raw
        compare_files(Path(folder), args.minutes, args.runs)


if __name__ == "__main__":
    main()
