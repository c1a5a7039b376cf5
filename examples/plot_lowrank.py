"""
The idea of LowRank, in pictures
================================

Where the head moves the artifact changes by a few time courses that all channels and
frequencies share. They are seen above 75 Hz, where there is little EEG.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np

from mne_facet import AAS, LowRank, TriggerAligner, TriggerDetector, simulate_raw

mne.set_log_level("WARNING")
raw, truth = simulate_raw(120, sfreq=1000, n_eeg=8, movement=5, clock_ppm=0, pulse=0)
found = TriggerAligner().fit_transform(
    TriggerDetector("R128", n_slices=20).transform(raw)
)

# %%
# Slices as rows of a matrix
# --------------------------
# The 1100 slices of all channels, 75 to 240 Hz, minus their mean: noise, if all slices
# were the same. Its singular values tell how many time courses there are.
starts = np.round(1000 * truth.slice_times).astype(int)
band = mne.filter.filter_data(raw.get_data("eeg"), 1000, 75, 240)
low = mne.filter.filter_data(truth.gradient[:8], 1000, 0.5, 45)
slices, slow = (
    np.hstack([[x[n : n + 100] for n in starts] for x in data]) for data in (band, low)
)
slices -= slices.mean(axis=0)
courses, sizes, _ = np.linalg.svd(slices, full_matrices=False)

# %%
# The same time courses below 45 Hz
# ---------------------------------
# How much of the artifact's changes there (known in a simulation) they explain.
slow -= slow.mean(axis=0)
explained = np.cumsum(((courses[:, :40].T @ slow) ** 2).sum(axis=1)) / (slow**2).sum()
for n in (1, 4, 10, 20):
    print(f"{n:2} time courses explain {100 * explained[n - 1]:5.1f} % of the changes")

# %%
# What is left
# ------------
start, stop = (int(1000 * truth.volume_times[k]) for k in (0, -1))
left = {}
for method in (AAS(level="volume"), AAS(level="slice"), AAS(), LowRank()):
    error = method.transform(found).get_data("eeg") - truth.clean[:8]
    error = mne.filter.filter_data(error, 1000, 0.5, 45)[:, start:stop]
    left[repr(method)] = 1e6 * error
    print(f"{method!r:22} {np.median(left[repr(method)].std(axis=1)):5.2f} uV left")

fig, axes = plt.subplots(2, 2, figsize=(10, 6.5), layout="constrained")
minutes = truth.slice_times / 60
limit = 3e6 * slices[:, :300].std()
style = {"aspect": "auto", "cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
image = axes[0, 0].imshow(1e6 * slices[:, :300].T, **style)
axes[0, 0].set(title="75 to 240 Hz, three channels", xlabel="slice", ylabel="sample")
fig.colorbar(image, label="uV")
for k in range(3):
    axes[0, 1].plot(minutes, courses[:, k] - 0.2 * k, lw=0.6)
position = truth.realignment[:, 0]
position = (position - position.mean()) / np.ptp(position)
axes[0, 1].plot(truth.volume_times / 60, 0.15 * position + 0.2, "k", label="head")
axes[0, 1].set(title="First time courses", xlabel="minutes", yticks=[])
axes[0, 1].legend(frameon=False, loc="upper left")
axes[1, 0].semilogy(np.arange(1, 41), sizes[:40] / sizes[0], "o-", ms=4, label="size")
axes[1, 0].semilogy(
    np.arange(1, 41), 1 - explained, "s-", ms=4, label="left below 45 Hz"
)
axes[1, 0].set(title="How many are needed", xlabel="time courses")
axes[1, 0].legend(frameon=False)
for name, error in list(left.items())[2:]:
    axes[1, 1].plot(np.arange(4000) / 1000, error[0, 20_000:24_000], lw=0.8, label=name)
axes[1, 1].set(title="Error, 0.5 to 45 Hz", xlabel="s", ylabel="uV")
axes[1, 1].legend(frameon=False, fontsize=8)
plt.show()
