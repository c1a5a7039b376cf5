"""
Compare corrections of one recording
====================================

:func:`mne_facet.compare` corrects a recording in several ways and tells what each one
leaves of the artifact and takes of the EEG. The truth is not needed; where it is known,
as here, it is shown beside the estimates.
"""

import matplotlib.pyplot as plt
import mne

from mne_facet import (
    AAS,
    LowRank,
    TriggerDetector,
    compare,
    plot_comparison,
    simulate_raw,
)

mne.set_log_level("WARNING")
raw, truth = simulate_raw(90, sfreq=500, n_eeg=8, lowpass=100, pulse=0)
raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
table = compare(
    {
        "3 volumes": AAS(3, level="volume"),
        "20 volumes": AAS(20, level="volume"),
        "slices": AAS(level="slice"),
        "low rank": LowRank(),
    },
    raw,
    truth.eeg,
)
print(table)

# %%
# The estimated SNR follows the true one. What a correction removes besides the artifact
# ("EEG lost") and what it leaves of it ("artifact left") both count.

plot_comparison(table)
plt.show()
