"""
Report of a correction
======================

Figures and metrics of a correction as a page for the browser, made with
:class:`mne.Report`, and single figures of it. ``correct_files(..., report=True)`` and
``mne-facet correct --report`` write such a page beside each file.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne

from mne_facet import add_to_report, recipe, simulate_raw
from mne_facet.report import plot_beats, plot_spectra, plot_traces

mne.set_log_level("WARNING")
raw, truth = simulate_raw(90, sfreq=1000, n_eeg=16, lowpass=100)
clean = recipe(triggers="R128", n_slices=20).fit_transform(raw)

# %%
# All figures in one page, with a table of metrics and a grade that tells its reasons.

report = mne.Report(title="Recording 1")
row = add_to_report(report, raw, clean)
page = Path(tempfile.mkdtemp()) / "recording-1.html"
report.save(page, open_browser=False)
print(row["grade"], "-", row["grade_reason"])

# %%
# The start of the scan, before and after the correction.

plot_traces(raw, clean)

# %%
# Spectra during the scan: no peak should be left at the slices, and no gap.

plot_spectra(raw, clean)

# %%
# What recurs with the heart beats.

plot_beats(raw, clean)
plt.show()
