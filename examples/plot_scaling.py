"""
What more jobs bring
====================

Channels of one recording in parallel: seconds, speed-up, efficiency, memory beyond the
data, and whether the result is the same, bit for bit. Times vary with what else the
machine does; runs of each number of jobs take turns and medians are given.
"""

import matplotlib.pyplot as plt
import mne
from joblib import cpu_count

from mne_facet import benchmark_scaling, plot_scaling, recipe, simulate_raw

mne.set_log_level("WARNING")
raw, _ = simulate_raw(300, n_eeg=16)
n_jobs = [n for n in (1, 2, 4, 8, 16) if n <= max(2, cpu_count())]
scaling = benchmark_scaling(recipe("aas", triggers="R128"), raw, n_jobs, n_runs=3)
print(scaling)

plot_scaling(scaling)
plt.show()
