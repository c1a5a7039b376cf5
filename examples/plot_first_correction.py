"""
A first correction
==================

From trigger markers to clean EEG in one line, on a simulated recording whose true EEG
is known: what is left of the artifact, and what is lost of the EEG, are numbers.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.signal import welch

from mne_facet import recipe, simulate_raw, trigger_report

mne.set_log_level("WARNING")
raw, truth = simulate_raw(80, sfreq=1000, n_eeg=6, lowpass=250, pulse=0)

# %%
# The correction
# --------------
#
# The scanner has sent one marker per volume, "R128", and there are 20 slices in each.
# Every step maps a ``Raw`` to a new one; the recipe is a scikit-learn Pipeline.

correction = recipe(triggers="R128", n_slices=20)
clean = correction.fit_transform(raw)
print(correction)
print(trigger_report(clean))

# %%
# Against the truth
# -----------------
#
# Between 0.5 and 45 Hz, while the scanner ran.

start, stop = (int(1000 * truth.volume_times[k]) for k in (0, -1))
eeg, before, after = (
    mne.filter.filter_data(x, 1000, 0.5, 45)[:, start:stop]
    for x in (truth.clean[:6], raw.get_data("eeg"), clean.get_data("eeg"))
)
for name, data in (("before", before), ("after", after)):
    error = (data - eeg).std(axis=1)
    snr = 20 * np.log10(eeg.std(axis=1) / error)
    print(f"{name:6}: {1e6 * np.median(error):6.2f} uV, SNR {np.median(snr):5.1f} dB")
gain = (after * eeg).sum(axis=1) / (eeg**2).sum(axis=1)
print(
    f"amplitude of the EEG after: {gain.min():.3f} to {gain.max():.3f} of the true one"
)

# %%
# In pictures
# -----------

channel = clean.ch_names.index("O1")
fig, (top, bottom, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
span = slice(start - 1000, start + 3000)
seconds = raw.times[span]
top.plot(seconds, 1e3 * raw._data[channel, span], "C3", lw=0.5)
top.set(title="O1, as recorded", xlabel="s", ylabel="mV")
seconds = raw.times[start : start + 4000]
bottom.plot(seconds, 1e6 * after[channel, :4000], "C0", lw=2.5, label="corrected")
bottom.plot(seconds, 1e6 * eeg[channel, :4000], "k", lw=0.7, label="truth")
bottom.set(title="O1, corrected, 0.5 to 45 Hz", xlabel="s", ylabel="uV")
for data, color, label in (
    (raw._data[channel], "C3", "as recorded"),
    (clean._data[channel], "C0", "corrected"),
    (truth.clean[channel], "k", "truth"),
):
    freqs, power = welch(data[start:stop], 1000, nperseg=4000)
    right.semilogy(
        freqs, 1e12 * power, color, lw=2 if color == "C0" else 0.8, label=label
    )
right.set(title="Spectrum during the scan", xlabel="Hz", ylabel="uV²/Hz", xlim=(0, 100))
for ax in (bottom, right):
    ax.legend(frameon=False, fontsize=8)
plt.show()
