"""
A study, files in parallel
==========================

Four recordings are corrected in one call. One of them is broken: it fails by itself,
with a reason, and the others go on. The same call again skips what is up to date.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne

from mne_facet import correct_files, evaluate, plan, recipe, simulate_raw

mne.set_log_level("WARNING")
study = Path(tempfile.mkdtemp())
truths = {}
for number in range(1, 5):
    raw, truths[number] = simulate_raw(
        60, sfreq=1000, n_eeg=8, lowpass=100, pulse=0, movement=number, seed=number
    )
    folder = study / f"sub-{number:02}" / "eeg"
    folder.mkdir(parents=True)
    raw.save(folder / f"sub-{number:02}_task-rest_eeg.fif", verbose="ERROR")

broken = study / "sub-04" / "eeg" / "sub-04_task-rest_eeg.fif"
broken.write_bytes(broken.read_bytes()[:100_000])

# %%
# What would run where, before anything runs. Files this small are not worth a process
# each, and the plan says so.

correction = recipe("aas", triggers="R128", n_slices=20)
files = str(study / "sub-*" / "eeg" / "*_eeg.fif")
print(plan(correction, files, n_jobs=2))

# %%
# The folders look like BIDS, so the outputs go to the same folders below the output
# folder.

results = correct_files(correction, files, study / "derivatives", n_jobs=2)
for result in results:
    what = result.error or f"{result.seconds:.1f} s"
    print(f"{result.source.name}  {result.status:7}  {what}")

# %%
# Again: nothing is made twice.

again = correct_files(correction, files, study / "derivatives", n_jobs=2)
print([result.status for result in again])

# %%
# What is left, recording by recording. The head moved more from one to the next.

names, snr = [], []
for number, result in enumerate(results, start=1):
    if result.status == "ok":
        raw, clean = (
            mne.io.read_raw(file, preload=True)
            for file in (result.source, result.output)
        )
        row = evaluate(raw, clean, truth=truths[number].eeg)
        print(f"{result.source.name}  {row['grade']}: {row['grade_reason']}")
        names.append(f"sub-{number:02}")
        snr.append(row["snr"])

fig, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.bar(names, snr, color="#0072B2", width=0.5)
axes.set(ylabel="EEG to error (dB)")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
