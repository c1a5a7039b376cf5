"""What the benchmarks share: recordings, what a correction is worth, the peers."""

import json
import platform
import subprocess
import sys
import tempfile
import venv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import joblib
import mne
import numpy as np
import scipy
import sklearn
from mne.preprocessing import apply_pca_obs, remove_fmri_gradient_artifact
from scipy.signal import butter, sosfiltfilt

import mne_facet
from mne_facet import simulate_raw

TR, SLICES = 2.0, 20
FACETPY = "facetpy==2.0.2"


def make_raw(n_channels, minutes, sfreq=5000.0, **options):
    """Tile a few simulated channels to a large recording.

    Triggers are annotated as "R128", heart beats as "R peak".
    """
    options = {"clock_ppm": 5.0, "lowpass": min(250.0, sfreq / 4), **options}
    few, truth = simulate_raw(60 * minutes, n_eeg=4, ecg=False, sfreq=sfreq, **options)
    info = mne.create_info(n_channels, sfreq, "eeg")
    data = np.empty((n_channels, few.n_times))
    for channel in range(n_channels):
        data[channel] = (1 + 0.01 * channel) * few._data[channel % 4]
    raw = mne.io.RawArray(data, info, copy=None)
    onsets = few.annotations.onset[few.annotations.description == "Response/R128"]
    raw.set_annotations(mne.Annotations(onsets, 0, "R128"))
    raw.annotations.append(truth.beat_times, 0, "R peak")
    return raw


class Quality(NamedTuple):
    """What a correction is worth, 0.5 to 45 Hz, during the scan; over channels.

    Attributes
    ----------
    snr, middle : float
        EEG to error (dB), and that without 26 s at both ends.
    error : float
        RMS of the error (uV).
    alpha, evoked : float
        What is kept of the power from 8 to 12 Hz, and of the response (percent).
    """

    snr: float
    middle: float
    error: float
    alpha: float
    evoked: float


def rate(clean, truth, raw):
    """Compare a corrected recording with the truth; medians over channels."""
    sfreq, picks = raw.info["sfreq"], mne.pick_types(raw.info, eeg=True)
    start = int((truth.volume_times[0] + 1) * sfreq)
    stop = int((truth.volume_times[-1] + TR - 1) * sfreq)
    true, left = truth.eeg[picks], clean._data[picks]
    band = partial(_band, sfreq=sfreq, start=start, stop=stop)
    wide, error = band(true, 0.5, 45), band(left - true, 0.5, 45)
    ends = int(25 * sfreq)
    alpha = _gain(band(left, 8, 12), band(true, 8, 12)) ** 2
    response = [_evoked(raw, band(x, 0.5, 45), start) for x in (left, true)]
    values = (
        _decibel(wide, error),
        _decibel(wide[:, ends:-ends], error[:, ends:-ends]),
        1e6 * error.std(axis=1),
        100 * alpha,
        100 * _gain(*response),
    )
    return Quality(*(float(np.median(value)) for value in values))


def _band(x, low, high, sfreq, start, stop):
    sos = butter(4, [low, high], "bandpass", fs=sfreq, output="sos")
    return sosfiltfilt(sos, x, axis=1)[:, start:stop]


def _decibel(x, error):
    return 10 * np.log10(x.var(axis=1) / error.var(axis=1))


def _gain(x, reference):
    return (x * reference).sum(axis=1) / (reference**2).sum(axis=1)


def _evoked(raw, x, start):
    sfreq = raw.info["sfreq"]
    stimuli = raw.annotations.onset[raw.annotations.description == "Stimulus/S  1"]
    samples = ((stimuli - raw.first_time) * sfreq).astype(int) - start
    length = int(0.5 * sfreq)
    samples = samples[(samples > 0) & (samples + length < x.shape[1])]
    return np.mean([x[:, n : n + length] for n in samples], axis=0)


def mne_gradient(raw, description="TR", window=(12, 12)):
    """MNE's own average artifact subtraction, by annotated volumes."""
    events, _ = mne.events_from_annotations(
        raw, regexp=f"{description}$", verbose="ERROR"
    )
    events[:, 0] -= raw.first_samp
    return remove_fmri_gradient_artifact(
        raw, events, window=window, tr_tol=2, verbose="ERROR"
    )


def mne_pulse(raw, n_components=4):
    """MNE's optimal basis sets, given the R peaks as they are."""
    beats = raw.annotations.onset[raw.annotations.description == "R peak"]
    inside = (beats > 1.5) & (beats < raw.times[-1] - 1.5)
    return apply_pca_obs(
        raw.copy(), picks="eeg", qrs_times=beats[inside], n_components=n_components
    )


class Facetpy:
    """FACETpy in a Python of its own.

    Parameters
    ----------
    python : path-like | None
        A Python in whose environment it is installed; None: one is made.
    """

    def __init__(self, python=None):
        self._folder = tempfile.TemporaryDirectory()
        self.python = python or self._install()

    def _install(self):
        folder = Path(self._folder.name) / "facetpy"
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", FACETPY], check=True)
        return python

    def __call__(self, raw, chain="aas", **options):
        """Correct a recording.

        Parameters
        ----------
        raw : mne.io.Raw
            The recording with triggers.
        chain : "aas" | "standard"
            ``AASCorrection(30)``, or ``create_standard_pipeline``.
        **options
            Those of ``Pipeline.run``, ``parallel`` and ``n_jobs``.

        Returns
        -------
        clean : mne.io.Raw
            The recording with the corrected data and the annotations it was given.
        report : dict
            ``seconds``, ``memory`` beyond the recording in bytes, ``annotations``.
        """
        folder = Path(self._folder.name)
        raw.save(folder / "in_raw.fif", overwrite=True, verbose="ERROR")
        task = {"folder": str(folder), "chain": chain, "options": options}
        done = subprocess.run(
            [self.python, Path(__file__).with_name("_facetpy.py"), json.dumps(task)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"FACETpy failed: {done.stderr[-500:]}")
        clean = raw.copy()
        clean._data[:] = np.load(folder / "out.npy")
        return clean, json.loads(done.stdout.splitlines()[-1])

    def correct(self, raw, chain):
        """Corrected recording only."""
        return self(raw, chain)[0]


def machine():
    """Versions and machine, what goes beside each result."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if "model name" in x]
        cpu = names[0].split(":")[1].strip() if names else cpu
    modules = (mne_facet, mne, np, scipy, sklearn, joblib)
    return {
        "cpu": cpu,
        "cores": joblib.cpu_count(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        **{module.__name__: module.__version__ for module in modules},
    }
