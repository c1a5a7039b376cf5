"""
From the recording to the EEG
=============================

Simulated recordings with gradient and pulse artifact (six modes that change from beat
to beat), an ECG, and six carbon-wire loops: what whole chains leave of them, of alpha
and of an evoked response, between 0.5 and 45 Hz. The first and last 30 s do not count,
as MNE's function leaves so many volumes uncorrected. Medians over channels, means over
seeds. Every chain finds triggers and heart beats itself; nothing but the last one uses
the loops.

``python whole_chain.py [--seeds 0 1 2] [--duration 180] [--facetpy PYTHON] [--rst]``

With ``--facetpy`` the peer package corrects the same files by a Python in whose
environment it is installed, in the order its documentation recommends: up-sampling,
averages, down-sampling, then heart beats and averages of these::

    python -m venv peer && peer/bin/pip install "facetpy[all]==2.0.2"
"""

import argparse
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import mne
import numpy as np
from _common import _band, _gain
from mne.preprocessing import (
    apply_pca_obs,
    find_ecg_events,
    remove_fmri_gradient_artifact,
)
from sklearn.pipeline import make_pipeline

from mne_facet import PulseAAS, PulseOBS, RPeakDetector, recipe, simulate_raw

EDGE = 30.0
GRADIENT = {"triggers": "R128", "n_slices": 20}
PEER = """
import sys, time
import numpy as np
from facet import (
    AASCorrection, DownSample, Loader, Pipeline, QRSTriggerDetector, TriggerDetector,
    UpSample,
)

steps = [Loader(path=sys.argv[1], preload=True), TriggerDetector(regex="Response/R128")]
context = Pipeline(steps).run(show_progress=False).context
start = time.perf_counter()
chain = [UpSample(factor=10), AASCorrection(window_size=30), DownSample(factor=10)]
if sys.argv[3] == "pulse":
    chain += [QRSTriggerDetector(), AASCorrection(window_size=30)]
result = Pipeline(chain).run(initial_context=context, show_progress=False)
seconds = time.perf_counter() - start
if result.error:
    raise result.error
np.savez(sys.argv[2], data=result.context.get_raw().get_data(), seconds=seconds)
"""


def mne_functions(raw):
    """MNE's two functions, with its detector of heart beats."""
    events, _ = mne.events_from_annotations(raw, regexp=".*R128$")
    raw = remove_fmri_gradient_artifact(
        raw.copy(), events, window=(12, 12), tr_tol=2, picks=["eeg", "ecg"]
    )
    beats = raw.times[find_ecg_events(raw)[0][:, 0] - raw.first_samp]
    inside = (beats > 1.5) & (beats < raw.times[-1] - 1.5)
    return apply_pca_obs(raw, picks="eeg", qrs_times=beats[inside], n_components=4)


def chains():
    """Functions from recordings to corrected ones."""
    found = {
        "none": mne.io.BaseRaw.copy,
        "MNE, both functions": mne_functions,
        "recipe lowrank (gradient only)": recipe("lowrank", **GRADIENT),
        "recipe aas, PulseAAS": make_pipeline(
            recipe("aas", **GRADIENT), RPeakDetector(), PulseAAS()
        ),
        "recipe fastr, PulseOBS channel": make_pipeline(
            recipe("fastr", **GRADIENT), RPeakDetector(), PulseOBS(mode="channel")
        ),
        "recipe default": recipe(**GRADIENT),
        "recipe default, references": recipe(**GRADIENT, references="misc"),
    }
    return {name: getattr(f, "fit_transform", f) for name, f in found.items()}


def peer(python, pulse, raw):
    """FACETpy in a process of its own: the recording, and seconds without reading."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "x_raw.fif", Path(folder) / "y.npz"
        raw.copy().pick(["eeg", "ecg"]).save(source)
        done = subprocess.run(
            [python, "-c", PEER, source, target, pulse], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        clean, result = raw.copy(), np.load(target)
        n_channels, n_times = result["data"].shape
        clean._data[:n_channels, :n_times] = result["data"][:, : raw.n_times]
        return clean, float(result["seconds"])


def score(clean, truth):
    """SNR in dB, alpha and evoked response kept in percent."""
    sfreq, picks = clean.info["sfreq"], mne.pick_types(clean.info, eeg=True)
    start, stop = int(EDGE * sfreq), int(clean.n_times - EDGE * sfreq)
    band = partial(_band, sfreq=sfreq, start=start, stop=stop)
    left, true = clean._data[picks], truth.eeg[picks]
    wrong = band(left - true, 0.5, 45).var(axis=1)
    snr = 10 * np.log10(band(true, 0.5, 45).var(axis=1) / wrong)
    alpha = _gain(band(left, 8, 12), band(true, 8, 12)) ** 2
    onsets = np.rint(truth.evoked_times * sfreq).astype(int) - start
    onsets = onsets[(onsets > 0) & (onsets < stop - start - 0.6 * sfreq)]
    windows = onsets[:, np.newaxis] + np.arange(int(0.6 * sfreq))
    evoked = (band(x[4:6], 0.5, 30)[:, windows].mean(axis=1) for x in (left, true))
    return np.median(snr), 100 * np.median(alpha), 100 * _gain(*evoked).mean()


def run(name, chain, raw, truth):
    """The figures of one chain, None if it fails."""
    start = time.perf_counter()
    try:
        clean, seconds = chain(raw), None
    except Exception as exc:
        print(f"{name}: {type(exc).__name__}: {exc}")
        return None
    if isinstance(clean, tuple):
        clean, seconds = clean
    seconds = seconds or time.perf_counter() - start
    return *score(clean, truth), seconds


def print_table(table, rst):
    """Means over seeds, as text or for the documentation."""
    head = ("Chain", "SNR (dB)", "alpha (%)", "evoked (%)", "time (s)")
    rows = [
        (name, *(f"{x:.1f}" for x in np.mean(values, axis=0)))
        if all(values)
        else (name, "error", "", "", "")
        for name, values in table.items()
    ]
    rule = "  ".join(["=" * 31] + ["=" * 10] * 4)
    lines = [f"{row[0]:31}  " + "  ".join(f"{x:10}" for x in row[1:]) for row in rows]
    first = f"{head[0]:31}  " + "  ".join(f"{x:10}" for x in head[1:])
    borders = [rule] if rst else []
    text = [*borders, first, *borders, *lines, *borders]
    print("\n".join(line.rstrip() for line in text))


def main():
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.split("``")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--duration", type=float, default=180.0)
    parser.add_argument("--facetpy", metavar="PYTHON")
    parser.add_argument("--rst", action="store_true")
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    found = chains()
    if args.facetpy:
        found["FACETpy, gradient only"] = partial(peer, args.facetpy, "gradient")
        found["FACETpy, with heart beats"] = partial(peer, args.facetpy, "pulse")
    table = {name: [] for name in found}
    for seed in args.seeds:
        raw, truth = simulate_raw(
            args.duration,
            n_eeg=16,
            n_wires=6,
            blinks=False,
            pulse_modes=6,
            pulse_change=1.0,
            seed=seed,
        )
        for name, chain in found.items():
            table[name].append(run(name, chain, raw, truth))
    print_table(table, args.rst)


if __name__ == "__main__":
    main()
