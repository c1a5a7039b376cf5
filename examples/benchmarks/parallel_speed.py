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
import json
import multiprocessing
import subprocess
import tempfile
import time
from pathlib import Path

import mne
import numpy as np

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
    simulate_raw,
)

PEER = """
import json, sys, time
import numpy as np
from facet import AASCorrection, Loader, Pipeline, TriggerDetector

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000

def run(**options):
    steps = [Loader(path=sys.argv[1], preload=True), TriggerDetector(regex="R128")]
    context = Pipeline(steps).run(show_progress=False).context
    start = time.perf_counter()
    result = Pipeline([AASCorrection(window_size=30)]).run(
        initial_context=context, show_progress=False, **options
    )
    raw = result.context.get_raw()
    return raw, time.perf_counter() - start

if __name__ == "__main__":
    raw, seconds = run(**json.loads(sys.argv[2]))
    np.save(sys.argv[3], raw.get_data())
    print(json.dumps([seconds, peak(), len(raw.annotations)]))
"""


def make_raw(n_channels, minutes):
    """Tile a few simulated channels to a large recording with annotated volumes."""
    few, _ = simulate_raw(60 * minutes, n_eeg=4, clock_ppm=5, ecg=False)
    info = mne.create_info(n_channels, few.info["sfreq"], "eeg")
    data = np.empty((n_channels, few.n_times))
    for channel in range(n_channels):
        data[channel] = (1 + 0.01 * channel) * few._data[channel % 4]
    raw = mne.io.RawArray(data, info, copy=None)
    volumes = few.annotations.description == "Response/R128"
    raw.set_annotations(mne.Annotations(few.annotations.onset[volumes], 0, "R128"))
    return raw


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
    del raw
    seconds = {1: [], 2: []}
    for _ in range(n_runs):
        for n_jobs, times in seconds.items():
            start = time.perf_counter()
            results = correct_files(
                recipe("aas", triggers="R128", n_slices=20),
                files,
                folder / f"out{n_jobs}",
                n_jobs=n_jobs,
                overwrite=True,
            )
            times.append(time.perf_counter() - start)
            assert {result.status for result in results} == {"ok"}
    ratio = np.median(np.divide(seconds[1], seconds[2]))
    print(
        f"\nTwo files of 32 channels: {np.median(seconds[1]):.1f} s one by one, "
        f"{np.median(seconds[2]):.1f} s at a time, {ratio:.2f} times faster"
    )


def compare_peer(python, folder, raw):
    """The peer, serial and parallel, each in a process of its own."""
    raw = raw.copy().pick(range(32)).crop(0, 59, include_tmax=False)
    raw.save(folder / "peer_raw.fif", verbose="ERROR")
    print("\nFACETpy 2.0.2, AASCorrection, 32 channels x 59 s")
    data = []
    for options in ({}, {"parallel": True, "n_jobs": 2}):
        target = folder / f"peer{len(data)}.npy"
        script = [python, "-c", PEER, folder / "peer_raw.fif", json.dumps(options)]
        done = subprocess.run([*script, target], capture_output=True, text=True)
        if done.returncode:
            print(f"  {options}: failed\n{done.stderr[-500:]}")
            return
        seconds, memory, n_annotations = json.loads(done.stdout.splitlines()[-1])
        data.append(np.load(target))
        print(
            f"  {options or 'serial'}: {seconds:.1f} s, peak {memory:.0f} MB, "
            f"{n_annotations} of {len(raw.annotations)} annotations"
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
            compare_peer(args.facetpy, Path(folder), raw)
        del raw
        compare_files(Path(folder), args.minutes, args.runs)


if __name__ == "__main__":
    main()
