"""
Triggers that are wrong, and how they are repaired
==================================================

Triggers get lost, come twice, or jitter, and the scanner pauses. All volumes are known
here, so the repair can be measured; every one is a line in the log.
"""

import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np

from mne_facet import TriggerAligner, TriggerDetector, simulate_raw, trigger_report

times = np.r_[6 + 2 * np.arange(14.0), 42.3 + 2 * np.arange(12.0)]
options = {"sfreq": 1000, "n_eeg": 3, "lowpass": 100, "pulse": 0, "clock_ppm": 0}
raw, _ = simulate_raw(75, volume_times=times, trigger_jitter=1, **options)
is_trigger = raw.annotations.description == "Response/R128"
raw.annotations.delete(np.flatnonzero(is_trigger)[[0, 5, 6, 20, 25]])
raw.annotations.append([16.5, 50.301], 0, "Response/R128")

# %%
# Found and repaired
# ------------------
# Of five lost triggers three lie inside a run; two triggers are too many.
mne.set_log_level("WARNING")
found = TriggerDetector("R128", n_slices=20, verbose="INFO").fit_transform(raw)
aligned = TriggerAligner(verbose="INFO").fit_transform(found)
print(trigger_report(aligned))


def onsets(raw, description):
    """Onsets of annotations, in s from the first sample."""
    return raw.annotations.onset[raw.annotations.description == description]


def error(onsets):
    """Milliseconds from the nearest volume, an offset common to the run taken out."""
    nearest = np.abs(onsets[:, np.newaxis] - times).argmin(axis=1)
    late = 1e3 * (onsets - times[nearest])
    first = onsets < 40
    return late - np.where(first, np.median(late[first]), np.median(late[~first]))


steps = {
    "markers": onsets(raw, "Response/R128"),
    "TriggerDetector": onsets(found, "TR"),
    "TriggerAligner": onsets(aligned, "TR"),
}
for name, step in steps.items():
    sd = (late := error(step))[np.abs(late) < 100].std()
    print(f"{name:16} {step.size} for {times.size} volumes, sd {sd:.4f} ms")
fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 5), layout="constrained")
top.plot(raw.times, 4 * raw._data[1] / raw._data[1].max(), color="0.7", lw=0.3)
for row, (step, color) in enumerate(
    zip(steps.values(), ("C3", "C1", "C0"), strict=True)
):
    top.eventplot(step, lineoffsets=8 + 3 * row, linelengths=2, colors=color)
    bottom.plot(step, error(step), "o", color=color, ms=4)
top.set(yticks=[0, 8, 11, 14], yticklabels=["EEG", *steps], xlim=(0, 75))
bottom.set(xlabel="s", ylabel="ms from the true time", xlim=(0, 75), ylim=(-2, 2))
plt.show()

# %%
# What cannot be repaired is said
# -------------------------------
# Slices that do not fit, every second trigger lost: warnings with a remedy.

raw, _ = simulate_raw(80, **options)
half = raw.copy()
is_trigger = raw.annotations.description == "Response/R128"
half.annotations.delete(np.flatnonzero(is_trigger)[1::2])
for recording, n_slices in ((raw, 19), (raw, 40), (half, None)):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        TriggerDetector("R128", n_slices=n_slices).fit_transform(recording)
    print(*(w.message for w in warned), sep="\n")
