"""
Your own step: the helium pump
==============================

The pump that cools the magnet shakes the EEG at a frequency of its own, which is in
step with neither volumes nor heart beats. Here a step is written that finds the
frequency and takes it out, with the amplitude following slow changes. It is then used,
checked and run in parallel like those of the package.
"""

from functools import partial

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import welch

from mne_facet import ChannelTransformer, check_raw_transformer, recipe, simulate_raw

mne.set_log_level("WARNING")


def subtract_line(x, cycles, length):
    """Subtract an oscillation, `cycles` per sample, fitted to `length` samples each."""
    wave = np.exp(2j * np.pi * cycles * np.arange(x.size))
    amplitude = sum(
        factor * uniform_filter1d(part * x, length)
        for factor, part in ((2, wave.real), (-2j, wave.imag))
    )
    return x - (amplitude * wave).real


class RemovePump(ChannelTransformer):
    """Remove the strongest line of a band."""

    def __init__(
        self, band=(30.0, 70.0), *, picks=None, copy=True, n_jobs=None, verbose=None
    ):
        self.band = band
        self.picks = picks
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        """Look at all channels for the frequency, give each the same function."""
        sfreq = raw.info["sfreq"]
        freqs, power = welch(raw.get_data(picks), sfreq, nperseg=int(20 * sfreq))
        inside = (freqs > self.band[0]) & (freqs < self.band[1])
        found = freqs[inside][np.median(power[:, inside], axis=0).argmax()]
        return partial(subtract_line, cycles=found / sfreq, length=int(5 * sfreq))


# %%
# A recording with a pump of 43.35 Hz, corrected without and with the new step.

raw, truth = simulate_raw(60, sfreq=1000, n_eeg=8, lowpass=100, pulse=0)
raw._data[:8] += 10e-6 * np.sin(2 * np.pi * 43.35 * raw.times)
pipeline = recipe(triggers="R128", n_slices=20)
clean = pipeline.fit_transform(raw)
quiet = RemovePump(n_jobs=2).fit_transform(clean)

fig, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for this, label in ((clean, "with the pump"), (quiet, "without")):
    spectrum = this.compute_psd(fmin=30, fmax=60, n_fft=8000, picks="eeg")
    power = 1e12 * np.median(spectrum.get_data(), axis=0)
    axes.semilogy(spectrum.freqs, power, label=label)
axes.set(xlabel="Frequency (Hz)", ylabel="Power (µV²/Hz)")
axes.legend(frameon=False)
plt.show()

# %%
# The contract, and the step as a part of the Pipeline.

check_raw_transformer(RemovePump())
pipeline.steps.append(("pump", RemovePump()))
print(pipeline.fit_transform(raw))
