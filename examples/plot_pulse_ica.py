"""
ICA against the pulse artifact
==============================

MNE's own ICA as a step of a pipeline: it removes the components that follow the heart
beats, and :class:`~mne_facet.PulseOBS` what is left. In this simulation ICA takes a
quarter of the alpha rhythm along, as its components hold EEG as well: the pulse
artifact changes from beat to beat, and is no sum of a few independent sources.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.signal import butter, sosfiltfilt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_facet import PulseAAS, PulseOBS, RPeakDetector, simulate_raw

# %%
# A component follows the beats if their mean has more than this share of the power. The
# ICA is fitted to a high-passed copy and applied to the data as they are.


def apply_ica(raw, share=0.2):
    """Remove independent components that follow the heart beats."""
    ica = mne.preprocessing.ICA(15, random_state=0, fit_params={"tol": 0.01})
    slow = raw.copy().filter(1, 40)
    ica.fit(slow, picks="eeg", decim=2)
    events, _ = mne.events_from_annotations(raw, regexp="R peak")
    options = {"tmin": 0, "tmax": 0.7, "baseline": None, "picks": "misc"}
    beats = mne.Epochs(ica.get_sources(slow), events, **options).get_data()
    follows = beats.mean(axis=0).var(axis=1) > share * beats.var(axis=2).mean(axis=0)
    return ica.apply(raw.copy(), exclude=list(np.flatnonzero(follows)))


# %%
# SNR against the true EEG from 0.5 to 45 Hz, and alpha kept: median over channels.

mne.set_log_level("ERROR")
raw, truth = simulate_raw(
    180, sfreq=250, lowpass=100, n_eeg=24, gradient=0, pulse_modes=6, pulse_change=1
)
eeg = truth.eeg[:24]


def band(x, low, high):
    """Band-pass, without the ends."""
    sos = butter(4, [low, high], "bandpass", fs=250, output="sos")
    return sosfiltfilt(sos, x)[:, 750:-750]


steps = {
    "PulseAAS": [PulseAAS()],
    "ICA": [FunctionTransformer(apply_ica)],
    "ICA, PulseOBS": [FunctionTransformer(apply_ica), PulseOBS()],
    "PulseOBS": [PulseOBS()],
}
scores = {}
for name, chain in steps.items():
    clean = make_pipeline(RPeakDetector(), *chain).fit_transform(raw).get_data("eeg")
    wrong, true = (band(x, 0.5, 45).var(axis=1) for x in (clean - eeg, eeg))
    snr = np.median(10 * np.log10(true / wrong))
    alpha, left = band(eeg, 8, 12), band(clean, 8, 12)
    kept = 100 * np.median((alpha * left).sum(axis=1) / (alpha**2).sum(axis=1))
    scores[name] = snr, kept
    print(f"{name:15} SNR {snr:5.1f} dB, alpha {kept:5.1f} %")

# %%

fig, axes = plt.subplots(1, 2, figsize=(8, 2.5), sharey=True, layout="constrained")
for k, label in enumerate(("SNR (dB)", "Alpha kept (%)")):
    axes[k].barh(list(scores), [s[k] for s in scores.values()], color="#0072B2")
    axes[k].set_xlabel(label)
    axes[k].spines[["right", "top"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()
