"""
On the data of the MATLAB references
====================================

Four recordings with known truth, corrected here and, beside them, the best that FASTR
and FACET reached on them in Octave (rms error). Error between 0.5 and 45 Hz during the
scan, median over EEG channels, against EEG plus pulse artifact.

``python compare_references.py ORACLE`` with the folder of these data.
"""

import argparse
from pathlib import Path

import mne
import numpy as np
from scipy.signal import firwin, oaconvolve

from mne_facet import AAS, LowRank, TriggerAligner, TriggerDetector

# uV, of uncorrected amplitude; which run, see the documentation
BEST_REFERENCE = {"main1k": 1.65, "main5k": 1.92, "mini1k": 1.70, "gap1k": 2.53}


def band_pass(x, sfreq):
    """Zero-phase FIR filter from 0.5 to 45 Hz."""
    half = int(6.6 * sfreq) // 2
    taps = firwin(2 * half + 1, [0.5, 45], pass_zero=False, fs=sfreq)
    padded = np.pad(x, [(0, 0), (half, half)], "reflect", reflect_type="odd")
    return oaconvolve(padded, taps[np.newaxis], "valid", axes=1)


def read(folder, name):
    """Recording with its slice triggers, and truth in uV with its rate."""
    data = np.load(folder / "data" / f"{name}.npz")
    truth = np.load(folder / "data" / f"{name}_truth.npz")
    names = [str(channel) for channel in data["ch_names"]]
    sfreq = float(data["fs"])
    info = mne.create_info(names, sfreq, ["eeg"] * (len(names) - 1) + ["ecg"])
    raw = mne.io.RawArray(data["raw_int16"] * data["lsb_V"], info)
    raw.set_annotations(mne.Annotations(data["slice_samples"] / sfreq, 0, "slice"))
    scale = 1e6 * truth["lsb_V"][:, np.newaxis]
    total = truth["eeg_int16"] * scale + truth["bcg_int16"] * scale
    return raw, total, float(truth["fs"]), int(truth["decim"])


def quality(clean, truth, rate, decim, scan):
    """Error, correlation, gain, and error without the change of amplitude."""
    n_eeg = len(clean.ch_names) - 1
    out = band_pass(1e6 * clean.get_data(range(n_eeg)), clean.info["sfreq"])
    out, true = out[:, ::decim], band_pass(truth[:n_eeg], rate)
    start, stop = (int(rate * time) for time in scan)
    out, true = out[:, start:stop], true[:, start:stop]
    out = out - out.mean(axis=1, keepdims=True)
    true = true - true.mean(axis=1, keepdims=True)
    gain = (out * true).sum(axis=1) / (true**2).sum(axis=1)
    correlation = gain * true.std(axis=1) / out.std(axis=1)
    rms = (out - true).std(axis=1)
    rms_gain = (out - gain[:, np.newaxis] * true).std(axis=1)
    return [float(np.median(value)) for value in (rms, correlation, gain, rms_gain)]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("oracle", type=Path)
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    print(
        "data    method          rms (uV)   corr  gain  rms, gain removed   best ref."
    )
    for name, best in BEST_REFERENCE.items():
        raw, *truth = read(args.oracle, name)
        n_slices = {"mini1k": 12}.get(name, 30)
        raw = TriggerDetector("slice", n_slices=n_slices).fit_transform(raw)
        raw = TriggerAligner(copy=False).fit_transform(raw)
        onsets = raw.annotations.onset[raw.annotations.description == "TR"]
        scan = onsets[0], onsets[-1] + np.median(np.diff(onsets))
        for label, step in (
            ("AAS, 30 slices", AAS(30, level="slice")),
            ("AAS", AAS()),
            ("LowRank", LowRank()),
        ):
            rms, corr, gain, rest = quality(step.transform(raw), *truth, scan)
            print(
                f"{name:7} {label:15} {rms:8.2f} {corr:6.4f} {gain:5.3f} "
                f"{rest:15.2f} {best:15.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
