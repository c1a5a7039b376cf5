"""
A recording from a public archive
=================================

64 channels at 5 kHz during 7 minutes of EPI (TR 2 s, 32 slices) on a 3 T scanner, from
OpenNeuro ds002336 (Lioi et al., 2020, https://doi.org/10.1038/s41597-020-0498-3, CC0).
It downloads 287 MB, so it is not run when these pages are built.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import mne
import pooch

from mne_facet import TriggerDetector, evaluate, recipe, trigger_report

ARCHIVE = "https://s3.amazonaws.com/openneuro.org/ds002336/sub-xp101/eeg/"
FILES = {
    "sub-xp101_task-eegfmriNF_eeg.eeg": "md5:83345ebe50df23d0467d3244e37d83c4",
    "sub-xp101_task-eegfmriNF_eeg.vmrk": "md5:393c7ea674e880dab4213a1dd6e74a2f",
    "sub-xp101_task-eegfmriNF_eeg.vhdr": "md5:7b3be329aa69d9157a18bfb99fa0e6f6",
}
folder = Path(pooch.os_cache("mne-facet"))
for name, known_hash in FILES.items():
    pooch.retrieve(ARCHIVE + name, known_hash, name, folder, progressbar=True)

# %%
# What markers are there? Without a pattern the volumes are found in the signal; with
# the name of the markers, ``TriggerDetector("R128", n_slices=32)`` say, by these.

raw = mne.io.read_raw(folder / name, preload=True)
print(set(raw.annotations.description))
print(trigger_report(TriggerDetector(n_slices=32).fit_transform(raw)))

# %%
# The correction, and what can be said of it without knowing the truth. The pulse
# artifact is still there.

clean = raw.pipe(recipe(n_slices=32))
row = evaluate(raw, clean)
print(row["grade"], row["grade_reason"])

# %%
# Slices are excited 16 times a second: what is left of the artifact would be seen as
# lines at 16, 32 and 48 Hz.

fig, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for this, label in ((raw, "recorded"), (clean, "corrected")):
    spectrum = this.compute_psd(fmax=70, n_fft=40000, picks="eeg")
    axes.semilogy(spectrum.freqs, 1e12 * spectrum.get_data().mean(axis=0), label=label)
axes.set(xlabel="Frequency (Hz)", ylabel="Power (µV²/Hz)")
axes.legend(frameon=False)
plt.show()
