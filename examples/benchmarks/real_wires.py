"""
Carbon wires in a real recording
================================

How much of the EEG recorded in a scanner carbon-wire loops explain, and what is locked
to the heart before and after. The file has one array ``m`` of channels by samples at
1 kHz in microvolts: 31 EEG channels without gradient artifact, an ECG, 7 loops, as the
example of van der Meer et al. (2016). It is not part of this package. ::

    python real_wires.py m.mat --picture wires.png

The recording lasts 4 s only, so that the loops explain some EEG by chance: the second
figure printed tells how much they explain of the same EEG backwards in time, which has
nothing to do with them.
"""

import argparse

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.io import loadmat

from mne_facet import ReferenceRegression, RPeakDetector

LOOPS = [f"CWL{k}" for k in range(1, 8)]


def read(file):
    """Return the recording."""
    data = 1e-6 * loadmat(file)["m"][:39].astype(float)
    names = [f"EEG{k:02}" for k in range(1, 32)] + ["ECG", *LOOPS]
    info = mne.create_info(names, 1000.0, ["eeg"] * 31 + ["ecg"] + ["misc"] * 7)
    return mne.io.RawArray(data, info)


def filtered(raw):
    """EEG above 0.5 Hz, without the ends."""
    x = mne.filter.filter_data(raw.get_data("eeg"), 1000.0, 0.5, None)
    return x[:, 200:-200]


def explained(raw):
    """Share of the variance of each channel that the loops explain."""
    with np.errstate(all="ignore"):
        clean = ReferenceRegression().fit_transform(raw)
    return clean, 1 - filtered(clean).var(axis=1) / filtered(raw).var(axis=1)


def mean_beat(raw, beats):
    """Average of the beats, shape (n_channels, n_times)."""
    samples = (beats[:, np.newaxis] + np.arange(-100, 700)).astype(int)
    inside = (samples.min(axis=1) >= 0) & (samples.max(axis=1) < raw.n_times)
    x = raw.copy().filter(0.5, 40, picks="eeg").get_data("eeg")
    return 1e6 * x[:, samples[inside]].mean(axis=1)


def main():
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.split("::")[0])
    parser.add_argument("file")
    parser.add_argument("--picture", default="wires.png")
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    raw = read(args.file)
    clean, share = explained(raw)
    print(
        f"explained: median {100 * np.median(share):.1f} %, "
        f"{100 * share.min():.1f} to {100 * share.max():.1f} %"
    )
    backwards = raw.copy()
    backwards._data[:31] = raw._data[:31, ::-1]
    _, chance = explained(backwards)
    print(f"explained of EEG backwards in time: median {100 * np.median(chance):.1f} %")

    found = RPeakDetector().fit_transform(raw)
    beats = 1000 * found.annotations.onset[found.annotations.description == "R peak"]
    times = np.arange(-100, 700) / 1000
    before, after = (mean_beat(x, beats) for x in (raw, clean))
    print(
        f"{len(beats)} beats, locked to them: {before.std():.1f} uV rms before, "
        f"{after.std():.1f} uV after"
    )
    fig, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
    for axis, x, title in zip(axes, (before, after), ("Before", "After"), strict=True):
        axis.plot(times, x.T, color="0.5" if axis is axes[0] else "#0072B2", lw=0.8)
        axis.set_title(f"{title}: {x.std():.1f} µV rms", loc="left")
        axis.set(xlabel="Time from the R peak (s)", xlim=(-0.1, 0.7))
        axis.spines[["right", "top"]].set_visible(False)
    axes[0].set_ylabel("Mean of all beats, 31 channels (µV)")
    fig.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main()
