"""
All there is to measure, on one page
====================================

Quality and cost of every recipe beside MNE's functions and FACETpy, on simulated
recordings. Writes the tables and pictures of the page "Benchmark" of the documentation,
and all numbers as JSON.

``python run.py [--facetpy [PYTHON]] [--quick] [--parts cost jobs ...] [--out DIR]``

Without ``--quick`` it takes hours, 8 GB of memory, and two cores with nothing else to
do. ``--facetpy`` makes an environment for FACETpy 2.0.2, or takes a Python that has it.
Parts that are left out keep the numbers they had.
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import mne
import numpy as np
from _common import Facetpy, machine, make_raw, mne_gradient, mne_pulse
from _page import write_page
from compare_methods import RECIPES, SLICES, compare, methods, presets
from pulse_methods import SETTINGS
from pulse_methods import compare as compare_pulse
from sklearn.preprocessing import FunctionTransformer

from mne_facet import PulseAAS, PulseOBS, benchmark_scaling, recipe

SCALES = {
    "minutes": ((1, 2, 5, 10, 20, 40, 60), (1, 2, 5, 8)),
    "n_channels": ((8, 16, 32, 64, 128, 256), (4, 8, 16)),
    "sfreq": ((500.0, 1000.0, 2000.0, 5000.0), (500.0, 1000.0, 2000.0)),
}
TYPICAL = (
    {"minutes": 10, "n_channels": 32, "sfreq": 2000.0},
    {"minutes": 5, "n_channels": 8, "sfreq": 1000.0},
)
# moosmann needs the positions of the head, and costs what aas does
COSTED = ["default", *(name for name in RECIPES if name != "moosmann")]
GROWN = ("MNE", "recipe lowrank", "recipe aas", "recipe fastr")


def measure_quality(args, facetpy):
    """Every method on every kind of recording."""
    functions = methods()
    if facetpy:
        functions["FACETpy AAS"] = partial(facetpy.correct, chain="aas")
    seeds, duration = (1, 90) if args.quick else (3, 120)
    results = {}
    for name, options in presets(duration).items():
        log(f"quality, {name}")
        results[name] = compare(options, functions, range(seeds), duration)
        if facetpy and not args.quick:
            # minutes of time for each recording: one only
            slow = {"FACETpy standard": partial(facetpy.correct, chain="standard")}
            results[name] |= compare(options, slow, [0], duration)
    return {"seeds": seeds, "duration": duration, "results": results}


def measure_growth(args, facetpy):
    """Quality over length, channels and sampling rate."""
    functions = {name: methods()[name] for name in GROWN}
    if facetpy:
        functions["FACETpy AAS"] = partial(facetpy.correct, chain="aas")
    results = {}
    for axis, *values in scales(args):
        for value in values[0]:
            point = {**TYPICAL[args.quick], axis: value}
            if point["n_channels"] > 64:
                continue  # as many as can be simulated
            log(f"quality, {axis} {value:g}")
            sfreq = point["sfreq"]
            options = {"clock_ppm": 10.0, "movement": 0.5, "n_eeg": point["n_channels"]}
            options["lowpass"] = min(250.0, sfreq / 4)
            found = compare(options, functions, [0], 60 * point["minutes"], sfreq)
            for method, value_found in found.items():
                results.setdefault(axis, {}).setdefault(method, []).append(
                    [value, value_found.snr]
                )
    return {"typical": TYPICAL[args.quick], "results": results}


def measure_pulse(args, _):
    """The methods for the pulse artifact."""
    seeds, duration = ([40], 120.0) if args.quick else ([40, 41, 42], 240.0)
    settings = list(SETTINGS)[: 1 if args.quick else None]
    results = {}
    for setting in settings:
        log(f"pulse artifact, {setting}")
        results[setting] = compare_pulse(setting, "exact", seeds, duration)
    return {"seeds": len(seeds), "duration": duration, "results": results}


def measure_cost(args, facetpy):
    """Time and memory over length, channels and sampling rate."""
    estimators = {
        "MNE": FunctionTransformer(
            partial(mne_gradient, description="R128", window=(4, 4))
        )
    }
    for name in COSTED:
        estimators[f"recipe {name}"] = recipe(name, triggers="R128", n_slices=SLICES)
    peers = {"FACETpy AAS": facetpy, "FACETpy standard": facetpy} if facetpy else {}
    return sweep(args, {**estimators, **peers}, TYPICAL, {})


def measure_pulse_cost(args, _):
    """The same of the pulse artifact, at the rate at which one corrects it."""
    estimators = {
        "MNE apply_pca_obs": FunctionTransformer(mne_pulse),
        "PulseAAS": PulseAAS(),
        "PulseOBS": PulseOBS(),
    }
    typical = [{**point, "sfreq": 250.0} for point in TYPICAL]
    options = {"gradient": 0.0, "trigger": None, "lowpass": 100.0}
    return sweep(args, estimators, typical, options, skip=("sfreq",))


def sweep(args, estimators, typical, options, skip=()):
    """Cost of each, as long as it stays below the limit."""
    results = {}
    for axis, values in scales(args):
        if axis in skip:
            continue
        spent = {}
        for value in values:
            point = {**typical[args.quick], axis: value}
            raw = make_raw(**point, **options)
            for name, estimator in estimators.items():
                # quadratic, to be on the safe side
                before, seconds = spent.get(name, (value, 0.0))
                if seconds * (value / before) ** 2 > args.limit:
                    continue
                log(f"cost, {axis} {value:g}, {name}")
                cost = measure(estimator, raw, args.runs, name)
                spent[name] = value, cost["seconds"]
                rows = results.setdefault(axis, {}).setdefault(name, [])
                rows.append({"value": value, **cost})
    return {"typical": typical[args.quick], "results": results}


def measure(estimator, raw, n_runs, name, n_jobs=1):
    """Seconds, these as copies of the data, and memory as share of the data."""
    if isinstance(estimator, Facetpy):
        options = {"parallel": True, "n_jobs": n_jobs} if n_jobs > 1 else {}
        chain = name.split()[-1].lower()
        runs = [estimator(raw, chain, **options)[1] for _ in range(n_runs)]
        seconds, memory = (
            float(np.median([run[key] for run in runs]))
            for key in ("seconds", "memory")
        )
        copies = seconds / time_copy(raw)
    else:
        [row] = benchmark_scaling(estimator, raw, (n_jobs,), n_runs=n_runs)
        seconds, copies, memory = row.seconds, row.copies, row.memory
    share = None if memory is None else memory / raw._data.nbytes
    return {"seconds": seconds, "copies": copies, "memory": share}


def time_copy(raw):
    """Median time of a copy into memory that has been used before."""
    target, times = raw.get_data(), []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, raw._data)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measure_jobs(args, _):
    """Channels of a large recording, one and two at a time."""
    point = {"minutes": 10, "n_channels": 64, "sfreq": 5000.0}
    if args.quick:
        point = {"minutes": 2, "n_channels": 16, "sfreq": 5000.0}
    raw, results = make_raw(**point), {}
    for name in COSTED:
        log(f"jobs, {name}")
        estimator = recipe(name, triggers="R128", n_slices=SLICES)
        rows = benchmark_scaling(estimator, raw, (1, 2), n_runs=args.runs)
        results[f"recipe {name}"] = [row._asdict() for row in rows]
    return {"point": point, "bytes": raw._data.nbytes, "results": results}


def scales(args):
    """Axes and their values."""
    return [(axis, values[args.quick]) for axis, values in SCALES.items()]


def log(text):
    """Say what is measured."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


PARTS = {
    "quality": measure_quality,
    "growth": measure_growth,
    "pulse": measure_pulse,
    "cost": measure_cost,
    "pulse_cost": measure_pulse_cost,
    "jobs": measure_jobs,
}


def main():
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--quick", action="store_true", help="a subset, in minutes")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--facetpy", nargs="?", const="", metavar="PYTHON")
    parser.add_argument(
        "--runs", type=int, default=3, help="of which the median counts"
    )
    parser.add_argument(
        "--limit", type=float, help="seconds a correction may take (300, quick: 30)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[2] / "doc" / "benchmark"
    )
    args = parser.parse_args()
    args.limit = args.limit or (30 if args.quick else 300)
    mne.set_log_level("ERROR")
    warnings.simplefilter("ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    store = args.out / "results.json"
    results = json.loads(store.read_text()) if store.exists() else {}
    facetpy = None if args.facetpy is None else Facetpy(args.facetpy)
    for part in args.parts:
        found = PARTS[part](args, facetpy)
        results[part] = {"machine": machine(), "quick": args.quick, **found}
        store.write_text(json.dumps(results, indent=1) + "\n")
    write_page(results, args.out)


if __name__ == "__main__":
    main()
