"""
Every method on the same recordings
===================================

Simulated recordings with known EEG: what each method leaves of the gradient artifact
(SNR against the true EEG), of alpha and of an evoked response, between 0.5 and 45 Hz
and during the scan. Medians over channels, means over seeds.

``python compare_methods.py [--seeds 3] [--duration 180] [--markdown]``
"""

import argparse
import warnings
from functools import partial

import mne
import numpy as np
from mne.preprocessing import remove_fmri_gradient_artifact
from scipy.signal import butter, sosfiltfilt
from sklearn.pipeline import make_pipeline

from mne_facet import (
    AAS,
    ANC,
    OBS,
    LowRank,
    TriggerAligner,
    TriggerDetector,
    recipe,
    simulate_raw,
)

TR, SLICES = 2.0, 20


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


def mne_function(raw):
    """MNE's own average artifact subtraction."""
    events, _ = mne.events_from_annotations(raw, regexp="TR$", verbose="ERROR")
    events[:, 0] -= raw.first_samp
    return remove_fmri_gradient_artifact(
        raw, events, window=(12, 12), tr_tol=2, verbose="ERROR"
    )


def methods():
    """Functions from annotated recordings to corrected ones."""
    found = {"none": mne.io.BaseRaw.copy, "MNE": mne_function}
    for weights in ("moving", "allen", "fastr", "slice", "farm", "median"):
        found[f"AAS {weights}"] = AAS(weights=weights).fit_transform
    found["AAS exponential"] = AAS(weights="exponential").fit_transform
    found["AAS, OBS"] = make_pipeline(AAS(), OBS()).fit_transform
    found["ANC(AAS)"] = ANC(AAS()).fit_transform
    found["LowRank"] = LowRank().fit_transform
    for name in ("lowrank", "aas", "allen", "fastr", "facet", "farm"):
        found[f"recipe {name}"] = partial(_after_triggers, name)
    return found


def _after_triggers(name, raw):
    pipeline = recipe(name, triggers="R128", n_slices=SLICES)
    return pipeline[2:].fit_transform(raw)


def score(clean, truth, raw):
    """SNR (dB), alpha kept and evoked response kept (percent)."""
    sfreq, picks = raw.info["sfreq"], mne.pick_types(raw.info, eeg=True)
    start = int((truth.volume_times[0] + 1) * sfreq)
    stop = int((truth.volume_times[-1] + TR - 1) * sfreq)
    true, left = truth.eeg[picks], clean._data[picks]
    band = partial(_band, sfreq=sfreq, start=start, stop=stop)
    error = band(left - true, 0.5, 45)
    snr = 10 * np.log10(band(true, 0.5, 45).var(axis=1) / error.var(axis=1))
    alpha = _gain(band(left, 8, 12), band(true, 8, 12)) ** 2
    response = [_evoked(raw, band(x, 0.5, 45), start) for x in (left, true)]
    evoked = _gain(*response)
    return np.median(snr), 100 * np.median(alpha), 100 * np.median(evoked)


def _band(x, low, high, sfreq, start, stop):
    sos = butter(4, [low, high], "bandpass", fs=sfreq, output="sos")
    return sosfiltfilt(sos, x, axis=1)[:, start:stop]


def _gain(x, reference):
    return (x * reference).sum(axis=1) / (reference**2).sum(axis=1)


def _evoked(raw, x, start):
    sfreq = raw.info["sfreq"]
    stimuli = raw.annotations.onset[raw.annotations.description == "Stimulus/S  1"]
    samples = ((stimuli - raw.first_time) * sfreq).astype(int) - start
    length = int(0.5 * sfreq)
    samples = samples[(samples > 0) & (samples + length < x.shape[1])]
    return np.mean([x[:, n : n + length] for n in samples], axis=0)


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
        results = {method: [] for method in methods()}
        for seed in range(args.seeds):
            raw, truth = simulate_raw(
                args.duration, sfreq=args.sfreq, pulse=0, seed=seed, **options
            )
            raw = TriggerDetector("R128", n_slices=SLICES).fit_transform(raw)
            raw = TriggerAligner(copy=False).fit_transform(raw)
            for method, function in methods().items():
                try:
                    results[method].append(score(function(raw), truth, raw))
                except Exception as exc:
                    print(f"{method}: {exc}")
        print(f"\n{name:22}  SNR (dB)  alpha kept (%)  evoked kept (%)")
        for method, values in results.items():
            if values:
                snr, alpha, evoked = np.mean(values, axis=0)
                print(f"{method:22}  {snr:8.1f}  {alpha:14.1f}  {evoked:15.1f}")


if __name__ == "__main__":
    main()
