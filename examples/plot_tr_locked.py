"""
Stimuli in step with the scanner
================================

A response that comes at the same time of every volume looks like artifact. One is added
to a simulated recording; what a correction leaves of the difference is what is kept.
"""

import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.pipeline import make_pipeline

from mne_facet import AAS, ANC, OBS, LowRank, TriggerDetector, simulate_raw
from mne_facet.metrics import tr_locking

mne.set_log_level("WARNING")
raw, truth = simulate_raw(80, sfreq=1000, n_eeg=2, lowpass=100, evoked=0, pulse=0)
volumes = (1000 * truth.volume_times[:-1]).astype(int)
later = np.random.default_rng(0).integers(0, 2000, volumes.size)
onsets = {"fixed phase": volumes + 700, "random phase": volumes + later}
time = np.arange(600) - 200
response = 1e-5 * np.sin(2 * np.pi * 5e-3 * time) * np.exp(-0.5 * (time / 80) ** 2)

# %%
# :func:`~mne_facet.metrics.tr_locking` warns of the first kind.
recordings = {}
for phase, samples in onsets.items():
    recordings[phase] = added = raw.copy()
    impulses = np.bincount(samples, minlength=raw.n_times)
    added._data[:2] += np.convolve(impulses, response)[: raw.n_times]
    added.annotations.append(samples / 1000, 0, "flash")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = TriggerDetector("R128").fit_transform(added)
        print(phase, tr_locking(found, "flash"), f"{len(warned)} warning(s)", sep=", ")

# %%
# What each method leaves
# -----------------------
weights = ("moving", "slice", "allen", "fastr", "farm", "median", "exponential")
methods = {f"AAS {name}": AAS(weights=name) for name in weights}
methods |= {"AAS, then OBS": make_pipeline(AAS(), OBS()), "ANC(AAS)": ANC(AAS())}
methods |= {"AAS level='slice'": AAS(level="slice"), "LowRank": LowRank()}


def kept(method, n_slices, phase):
    """Mean response after the correction, and its size in percent of the true one."""
    pair = []
    for one in (raw, recordings[phase]):
        found = TriggerDetector("R128", n_slices=n_slices).fit_transform(one)
        pair.append(method.fit_transform(found).get_data("eeg").mean(axis=0))
    change = pair[1] - pair[0]
    mean = np.mean([change[n : n + 600] for n in onsets[phase][:-1]], axis=0)
    return mean, 100 * mean @ response / (response @ response)


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
print("percent kept:      slices known    volumes only   (fixed, random phase)")
for row, (label, method) in enumerate(methods.items()):
    text = f"{label:18}"
    for n_slices in (20, None) if "slice" not in label else (20,):
        for phase, color in zip(onsets, ("C3", "C0"), strict=True):
            mean, share = kept(method, n_slices, phase)
            text += f"{share:7.0f}"
            left.plot(share, row, "o", ms=9, mec=color, mfc=color if n_slices else "w")
            if label in ("AAS moving", "LowRank") and color == "C3":
                curve = f"{label}, {'slices known' if n_slices else 'volumes only'}"
                right.plot(time, 1e6 * mean, "-" if n_slices else ":", label=curve)
    print(text)
left.set(yticks=range(len(methods)), yticklabels=methods, xlabel="response kept (%)")
left.set_title("red: fixed phase, blue: random; open: slices unknown", fontsize=9)
left.invert_yaxis()
right.plot(time, 1e6 * response, "k--", lw=1, label="truth")
right.set(xlabel="ms", ylabel="uV", title="Response at a fixed phase of the TR")
right.legend(frameon=False, fontsize=8)
plt.show()
