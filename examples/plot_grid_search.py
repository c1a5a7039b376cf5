"""
Search parameters without knowing the truth
===========================================

How many volumes should an average have, how many components should be removed? This
searches one recording, cut into parts of whole volumes, with the tools of scikit-learn.
The score, :func:`mne_facet.correction_score`, estimates the SNR that remains: it plants
EEG-like signals and counts what the correction does to them, and the artifact that is
left. Deleting EEG does not pay.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from mne_facet import (
    AAS,
    OBS,
    LowRank,
    TriggerDetector,
    correction_score,
    simulate_raw,
    split_raw,
)

mne.set_log_level("WARNING")
raw, truth = simulate_raw(
    120, sfreq=500, n_eeg=6, tr=1.5, n_slices=15, lowpass=100, pulse=0
)
raw = TriggerDetector("R128", n_slices=15).fit_transform(raw)
parts = split_raw(raw, 2)

# %%
# Three corrections, each with a parameter to choose. "passthrough" leaves a step out.

pipeline = Pipeline([("gradient", AAS(level="volume")), ("residual", "passthrough")])
grid = [
    {"gradient__window": [2, 4, 8, 16, 30]},
    {"residual": [OBS(l_freq=2.0)], "residual__n_components": [1, 4, 16]},
    {"gradient": [LowRank()], "gradient__n_components": [1, 2, 4, "auto"]},
]
search = GridSearchCV(pipeline, grid, scoring=correction_score, cv=2)
search.fit(parts)
print("best:", search.best_params_)

# %%
# All results are in ``cv_results_``, as always.

results = search.cv_results_
names = [
    ", ".join(f"{key.split('__')[-1]}={value}" for key, value in params.items())
    for params in results["params"]
]
scores, spread = results["mean_test_score"], results["std_test_score"]
for name, score, deviation in zip(names, scores, spread, strict=True):
    print(f"{name:50} {score:5.1f} +- {deviation:.1f} dB")

# %%
# Small windows add the noise of few volumes, components cost EEG.

figure, axes = plt.subplots(figsize=(8.5, 4.5), layout="constrained")
places = np.arange(len(names))
axes.barh(places, scores, xerr=spread, color="#0072B2", ecolor="0.4")
axes.set_yticks(places, names)
axes.invert_yaxis()
axes.set(xlabel="Estimated SNR (dB)", title="Mean of two parts of the recording")
axes.spines[["right", "top"]].set_visible(False)
plt.show()
