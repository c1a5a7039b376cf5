"""
Every method on the same recordings
===================================

Simulated recordings with known EEG: what each method leaves of the gradient artifact
(SNR against the true EEG), of alpha and of an evoked response, between 0.5 and 45 Hz
and during the scan. Medians over channels, means over seeds. ``run.py`` does this too.

``python compare_methods.py [--seeds 3] [--duration 180]``
"""

import argparse
import warnings
from functools import partial

import mne
import numpy as np
from _common import SLICES, TR, Quality, mne_gradient, rate
from sklearn.pipeline import make_pipeline

from mne_facet import (
    AAS,
    ANC,
    OBS,
    LowRank,
    TriggerAligner,
    TriggerDetector,
    add_motion,
    recipe,
    simulate_raw,
)

RECIPES = ("lowrank", "aas", "allen", "fastr", "facet", "farm", "moosmann")


def presets(duration):
    """Options of simulate_raw."""
    middle = duration / 2
    pause = np.r_[np.arange(5, middle - 8, TR), np.arange(middle + 2, duration - 7, TR)]
    return {
        "synchronised": {"clock_ppm": 0.0, "movement": 0.5},
        "own clock": {"clock_ppm": 10.0, "movement": 0.5},
        "head movement": {"clock_ppm": 5.0, "movement": 5.0},
        "lost triggers, pause": {
            "clock_ppm": 5.0,
            "movement": 1.0,
            "missing": 0.05,
            "volume_times": pause,
        },
    }


def methods():
    """Functions from annotated recordings to corrected ones."""
    found = {"none": mne.io.BaseRaw.copy, "MNE": mne_gradient}
    for weights in ("moving", "allen", "fastr", "slice", "farm", "median"):
        found[f"AAS {weights}"] = AAS(weights=weights).fit_transform
    found["AAS exponential"] = AAS(weights="exponential").fit_transform
    found["AAS, OBS"] = make_pipeline(AAS(), OBS()).fit_transform
    found["ANC(AAS)"] = ANC(AAS()).fit_transform
    found["LowRank"] = LowRank().fit_transform
    for name in RECIPES:
        found[f"recipe {name}"] = partial(_after_triggers, name)
    return found


def _after_triggers(name, raw):
    pipeline = recipe(name, triggers="R128", n_slices=SLICES)
    return pipeline[2:].fit_transform(raw)


def compare(options, functions, seeds, duration, sfreq=5000.0):
    """Rate each method on the same recordings.

    Parameters
    ----------
    options : dict
        Of simulate_raw.
    functions : dict of callable
        From annotated recordings to corrected ones.
    seeds : sequence of int
        One recording each.
    duration, sfreq : float
        Length in s, sampling rate in Hz.

    Returns
    -------
    results : dict of Quality
        Means over the recordings; without methods that fail.
    """
    results = {method: [] for method in functions}
    for seed in seeds:
        raw, truth = simulate_raw(duration, sfreq=sfreq, pulse=0, seed=seed, **options)
        raw = annotate(raw, truth)
        for method, function in functions.items():
            try:
                results[method].append(rate(function(raw), truth, raw))
            except (ValueError, RuntimeError) as exc:
                print(f"{method}: {exc}")
    return {
        method: Quality(*np.mean(values, axis=0).tolist())
        for method, values in results.items()
        if values
    }


def annotate(raw, truth):
    """Volumes at their measured times, and how far the head moved before each."""
    raw = TriggerDetector("R128", n_slices=SLICES).fit_transform(raw)
    raw = TriggerAligner(copy=False).fit_transform(raw)
    pauses = np.flatnonzero(np.diff(truth.volume_times) > 1.5 * TR) + 1
    positions = truth.realignment.copy()
    positions[:, 3:] = np.deg2rad(positions[:, 3:])
    runs = np.split(positions, pauses)
    return add_motion(raw, runs if len(runs) > 1 else runs[0])


def main():
    """Print a table for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=180)
    parser.add_argument("--sfreq", type=float, default=5000)
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    warnings.simplefilter("ignore")
    for name, options in presets(args.duration).items():
        results = compare(
            options, methods(), range(args.seeds), args.duration, args.sfreq
        )
        print(f"\n{name:22}  SNR (dB)  alpha kept (%)  evoked kept (%)")
        for method, value in results.items():
            print(
                f"{method:22}  {value.snr:8.1f}  {value.alpha:14.1f}  "
                f"{value.evoked:15.1f}"
            )


if __name__ == "__main__":
    main()
