"""
Carbon wires against pulse and movement
=======================================

Loops of carbon wire on the cap see what the motion of the head induces, and no EEG. A
regression on them removes the pulse artifact without any heart beat, and what else
moves the head.
"""

# %%
# Six loops, channels of the type ``"misc"``, recorded with EEG and gradients.

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import butter, sosfiltfilt, welch

from mne_facet import recipe, simulate_raw

raw, truth = simulate_raw(
    150,
    sfreq=1000,
    lowpass=200,
    n_eeg=16,
    n_wires=6,
    blinks=False,
    pulse_modes=6,
    pulse_change=1,
)

# %%
# The loops have a gradient artifact of their own, which must go first, by the same
# templates as that of the EEG: ``references="misc"`` sees to it. What is left of it in
# the loops misleads the regression: at 10 Hz, the frequency of the slices, more is
# wrong than without it. What the loops do not see, but follows the beats, is removed
# last.

options = {"triggers": "R128", "n_slices": 20}
results = {
    "gradient only": recipe("lowrank", **options),
    "heart beats": recipe(**options),
    "heart beats and loops": recipe(**options, references="misc"),
}
results = {name: step.fit_transform(raw) for name, step in results.items()}

# %%
# SNR against the true EEG from 0.5 to 45 Hz, and alpha kept, during the scan.


def band(x, low, high):
    """Band-pass, without the ends."""
    sos = butter(4, [low, high], "bandpass", fs=1000, output="sos")
    return sosfiltfilt(sos, x)[:, 8000:-8000]


true = truth.eeg[:16]
for name, result in results.items():
    x = result.get_data("eeg")
    wrong = band(x - true, 0.5, 45).var(axis=1)
    snr = np.median(10 * np.log10(band(true, 0.5, 45).var(axis=1) / wrong))
    alpha, clean_alpha = band(true, 8, 12), band(x, 8, 12)
    kept = 100 * np.median((alpha * clean_alpha).sum(axis=1) / (alpha**2).sum(axis=1))
    print(f"{name:22} SNR {snr:5.1f} dB, alpha {kept:5.1f} %")

# %%
# Power of what is wrong, median over channels, with that of the EEG.

fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
errors = {name: x.get_data("eeg") - true for name, x in results.items()}
colors = ("0.6", "#E69F00", "#0072B2", "k")
for (name, x), color in zip({**errors, "true EEG": true}.items(), colors, strict=True):
    frequencies, power = welch(1e6 * x[:, 8000:-8000], 1000, nperseg=4000)
    style = {"color": color, "lw": 1 if color == "k" else 1.8, "label": name}
    axis.semilogy(frequencies[2:181], np.median(power, axis=0)[2:181], **style)
axis.set(xlabel="Frequency (Hz)", ylabel="Power (µV²/Hz)", xlim=(0, 45))
axis.spines[["right", "top"]].set_visible(False)
axis.legend(frameon=False)
plt.show()
