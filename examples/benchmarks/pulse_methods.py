"""
Methods against the pulse artifact
==================================

What every method leaves of the artifact, and of the EEG, in simulated recordings
without a gradient artifact::

    python pulse_methods.py --seeds 40 41 42

SNR is that of the EEG to what is wrong with it, 0.5 to 45 Hz, the median over channels
[and the worst]; error the power of all that is wrong in dB of the EEG; alpha the
amplitude of the true 8 to 12 Hz activity that is kept, and evoked that of the response
in O1 and O2, both in percent; sham the power that is removed from EEG without artifact,
in percent. "Regression, EEG known" is a bound: what a regression leaves that no EEG
misleads, since the wires do not see it. ``--rst`` prints tables for the documentation.
"""

import argparse
from functools import partial

import mne
import numpy as np
from _common import mne_pulse
from scipy.signal import butter, sosfiltfilt
from sklearn.pipeline import make_pipeline

from mne_facet import PulseAAS, PulseOBS, ReferenceRegression, simulate_raw

SETTINGS = {
    "3 modes": {},
    "6 modes, changing": {"pulse_modes": 6, "pulse_change": 1.0},
    "6 modes, changing, 7 T": {"pulse_modes": 6, "pulse_change": 1.0, "pulse": 2.7},
    "6 modes, changing, 30 % own": {
        "pulse_modes": 6,
        "pulse_change": 1.0,
        "pulse_own": 0.3,
    },
}
BOUND = "Regression, EEG known"
TIMING = ("exact", "10 ms off", "20 ms off", "5 % missed")


METHODS = {
    "mne apply_pca_obs 3": partial(mne_pulse, n_components=3),
    "mne apply_pca_obs 4": partial(mne_pulse, n_components=4),
    "PulseAAS": PulseAAS().fit_transform,
    "PulseOBS channel 1": PulseOBS(1, mode="channel").fit_transform,
    "PulseOBS channel 3": PulseOBS(3, mode="channel").fit_transform,
    "PulseOBS channel 4": PulseOBS(4, mode="channel").fit_transform,
    "PulseOBS": PulseOBS().fit_transform,
    "ReferenceRegression": ReferenceRegression().fit_transform,
    "ReferenceRegression, PulseOBS": make_pipeline(
        ReferenceRegression(), PulseOBS()
    ).fit_transform,
}


def band(x, sfreq, low, high):
    """Band-pass, without 3 s at both ends."""
    sos = butter(4, [low, high], "bandpass", fs=sfreq, output="sos")
    return sosfiltfilt(sos, x)[:, int(3 * sfreq) : int(-3 * sfreq)]


def kept(clean, truth):
    """Amplitude of the truth in what is clean, in percent."""
    return 100 * (clean * truth).sum(axis=-1) / (truth**2).sum(axis=-1)


def scores(clean, truth, sfreq):
    """The figures of one method in one recording."""
    eeg = truth.eeg[: len(clean)]
    wrong, true = (band(x, sfreq, 0.5, 45) ** 2 for x in (clean - eeg, eeg))
    snr = 10 * np.log10(true.sum(axis=1) / wrong.sum(axis=1))
    alpha = kept(*(band(x, sfreq, 8, 12) for x in (clean, eeg)))
    onsets = np.rint((truth.evoked_times[3:-3] - 3) * sfreq).astype(int)
    windows = onsets[:, np.newaxis] + np.arange(int(0.6 * sfreq))
    evoked = (band(x, sfreq, 0.5, 30)[4:6, windows].mean(axis=1) for x in (clean, eeg))
    error = 10 * np.log10(wrong.sum() / true.sum())
    return np.median(snr), snr.min(), error, np.median(alpha), kept(*evoked).mean()


def beats_as_detected(times, timing, rng):
    """R peaks with the errors of a detector."""
    if timing == "5 % missed":
        return times[rng.random(len(times)) > 0.05]
    jitter = {"exact": 0, "10 ms off": 0.01, "20 ms off": 0.02}[timing]
    return np.sort(times + jitter * rng.normal(size=len(times)))


def compare(setting, timing, seeds, duration, sfreq=250.0, n_eeg=24):
    """Figures of each method, averages over the seeds."""
    table = {name: [] for name in ("none", *METHODS, BOUND)}
    for seed in seeds:
        raw, truth = simulate_raw(
            duration,
            sfreq=sfreq,
            lowpass=100.0,
            n_eeg=n_eeg,
            n_wires=6,
            gradient=0.0,
            trigger=None,
            blinks=False,
            resolution=None,
            seed=seed,
            **SETTINGS[setting],
        )
        rng = np.random.default_rng(seed)
        beats = beats_as_detected(truth.beat_times, timing, rng)
        raw.annotations.append(beats, 0, "R peak")
        sham = raw.copy()
        sham._data[:n_eeg] = truth.eeg[:n_eeg]
        power = (band(truth.eeg[:n_eeg], sfreq, 0.5, 45) ** 2).sum()
        table["none"].append((*scores(raw.get_data("eeg"), truth, sfreq), 0.0))
        for name, method in METHODS.items():
            clean = method(raw).get_data("eeg")
            removed = sham.get_data("eeg") - method(sham).get_data("eeg")
            lost = 100 * (band(removed, sfreq, 0.5, 45) ** 2).sum() / power
            table[name].append((*scores(clean, truth, sfreq), lost))
        raw._data[:n_eeg] -= truth.eeg[:n_eeg]
        left = ReferenceRegression().fit_transform(raw).get_data("eeg")
        table[BOUND].append((*scores(left + truth.eeg[:n_eeg], truth, sfreq), 0.0))
    return {name: np.mean(rows, axis=0).tolist() for name, rows in table.items()}


def show(setting, timing, rst, *args):
    """Print a table."""
    rule = "  ".join(["=" * 29, "=" * 15, *["=" * 8] * 4])
    head = ("error dB", "alpha %", "evoked %", "sham %")
    lines = [f"{'Method':29}  SNR dB [worst]   " + "  ".join(f"{x:8}" for x in head)]
    lines += [rule] if rst else []
    for name, (snr, worst, *others) in compare(setting, timing, *args).items():
        figures = "  ".join(f"{value:<8.2f}" for value in others)
        lines.append(f"{name:29}  {f'{snr:.1f} [{worst:.1f}]':15}  {figures}")
    print(f"\n{setting}, R peaks {timing}\n")
    print("\n".join([rule, *lines, rule] if rst else lines), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("::")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[40])
    parser.add_argument("--duration", type=float, default=240.0)
    parser.add_argument("--rst", action="store_true")
    options = parser.parse_args()
    mne.set_log_level("ERROR")
    args = options.rst, options.seeds, options.duration
    for setting in SETTINGS:
        show(setting, "exact", *args)
    for timing in TIMING[1:]:
        show("6 modes, changing", timing, *args)
