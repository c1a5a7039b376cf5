"""
Remove the pulse artifact
=========================

Every heart beat moves head and electrodes in the field of the scanner. The beats are
found in the ECG or, without one, in the artifact itself; what all channels share of it
is subtracted.
"""

# %%
# Four minutes of EEG in the scanner, without gradients, in which no beat is like the
# next. The truth is known.

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import butter, sosfiltfilt

from mne_facet import beat_report, recipe, simulate_raw

raw, truth = simulate_raw(
    240, sfreq=250, lowpass=100, n_eeg=24, gradient=0, pulse_modes=6, pulse_change=1
)

# %%
# ``recipe("pulse")`` finds the beats and removes the artifact. After the gradient
# correction ``recipe("default")`` does the same.

clean = recipe("pulse").fit_transform(raw)
without_ecg = recipe("pulse").fit_transform(raw.copy().drop_channels("ECG"))
print(beat_report(clean))

# %%
# The beats are annotations. Look at them in ``raw.plot()``, delete, move or add some,
# and run the rest: ``pipeline[:-1]`` finds beats, ``pipeline[-1:]`` corrects.


def error(x):
    """EEG that is wrong between 0.5 and 45 Hz."""
    sos = butter(4, [0.5, 45], "bandpass", fs=250, output="sos")
    return sosfiltfilt(sos, x - truth.eeg[:24])[:, 750:-750]


power = error(2 * truth.eeg[:24]).var(axis=1)
results = {"recorded": raw, "corrected": clean, "without ECG": without_ecg}
for name, result in results.items():
    snr = 10 * np.log10(power / error(result.get_data("eeg")).var(axis=1))
    print(f"{name:12} SNR {np.median(snr):5.1f} dB, worst channel {snr.min():5.1f} dB")

# %%
# Left a few beats, right what is locked to all of them.

fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
shown = slice(15_000, 16_250)
colors = ("0.6", "#0072B2", "#E69F00")
signals = {"recorded": raw._data[1], "corrected": clean._data[1], "true": truth.eeg[1]}
for (name, x), color in zip(signals.items(), colors, strict=True):
    width = 0.8 if name == "true" else 1.5
    axes[0].plot(raw.times[shown], 1e6 * x[shown], color, lw=width, label=name)
axes[0].set(xlabel="Time (s)", ylabel=f"{raw.ch_names[1]} (µV)", xlim=(60, 65))
axes[0].legend(frameon=False, ncols=3, loc="upper center")
axes[0].margins(y=0.2)
beats = (250 * truth.beat_times[2:-2]).astype(int)[:, np.newaxis] + np.arange(-25, 200)
for x, color in zip((raw, clean), colors, strict=False):
    axes[1].plot(
        np.arange(-25, 200) / 250, 1e6 * x._data[:24, beats].mean(axis=1).T, color, lw=1
    )
axes[1].set(xlabel="Time from the R peak (s)", ylabel="Mean of all beats (µV)")
for axis in axes:
    axis.spines[["right", "top"]].set_visible(False)
plt.show()
