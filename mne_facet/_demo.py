"""Simulate a recording, correct its file, compare with the truth."""

import time
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
import scipy

from ._figures import AFTER, BEFORE, OTHER, stack_traces
from ._files import write_file
from .batch import correct_files
from .recipes import recipe
from .simulate import simulate_raw

_BAND = (0.5, 45.0)  # Hz
_TR = 2.0
_SLICES = 24
_REST = 5.0
_HIGHEST = 70.0  # Hz, in the picture
_SHOWN = ("Fp1", "C3", "Cz", "Pz", "O1")


class DemoResult(NamedTuple):
    """Files and numbers of a demonstration.

    Attributes
    ----------
    recording, corrected, picture : pathlib.Path
        What was written.
    numbers : dict
        ``before``, ``left`` and ``eeg`` (uV RMS), ``kept`` (percent), ``correlation``:
        medians over EEG channels; ``simulate`` and ``correct`` (s).
    """

    recording: Path
    corrected: Path
    picture: Path
    numbers: dict

    def __str__(self):
        n = self.numbers
        rows = [
            ("Artifacts before", f"{n['before']:.1f} uV rms"),
            ("Artifacts left", f"{n['left']:.1f} uV rms"),
            ("True EEG", f"{n['eeg']:.1f} uV rms"),
            ("EEG kept", f"{n['kept']:.1f} %"),
            ("Correlation with true EEG", f"{n['correlation']:.3f}"),
            ("Time to simulate and write", f"{n['simulate']:.1f} s"),
            ("Time to correct", f"{n['correct']:.1f} s"),
        ]
        low, high = _BAND
        lines = [f"Median over EEG channels, {low:g} to {high:g} Hz, during the scan"]
        return "\n".join(lines + [f"  {name:28}{value:>14}" for name, value in rows])


def run_demo(out_dir, *, seed=0, duration=90.0, n_eeg=16, sfreq=5000.0):
    """Simulate a recording, correct its file, compare with the truth.

    Parameters
    ----------
    out_dir : path-like
        Folder to write to, made if it does not exist.
    seed : int
        Seed of the simulation.
    duration : float
        Length of the recording in seconds.
    n_eeg : int
        Number of EEG channels, at least 8.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    result : DemoResult
        Prints as a table.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    raw, truth = simulate_raw(
        duration,
        sfreq=sfreq,
        n_eeg=n_eeg,
        tr=_TR,
        n_slices=_SLICES,
        rest=_REST,
        clock_ppm=5.0,
        seed=seed,
    )
    recording = out_dir / "sub-demo_task-rest_eeg.vhdr"
    write_file(raw, recording, "brainvision")
    seconds = time.perf_counter() - start
    [result] = correct_files(
        recipe(triggers="R128", n_slices=_SLICES),
        recording,
        out_dir,
        fmt="brainvision",
        overwrite=True,
        on_error="raise",
    )
    clean = mne.io.read_raw(result.output, preload=True, verbose="WARNING")
    signals = {
        "before": raw.get_data("eeg"),
        "after": clean.get_data(raw.ch_names)[mne.pick_types(raw.info, eeg=True)],
        "true": truth.eeg[mne.pick_types(raw.info, eeg=True)],
    }
    scan = slice(int(truth.volume_times[0] * sfreq), -int(_REST * sfreq))
    numbers = _compare(signals, scan, sfreq)
    numbers |= {"simulate": seconds, "correct": result.seconds}
    picture = out_dir / "before_after.png"
    names = [name for name in raw.ch_names if name in _SHOWN]
    index = [raw.ch_names.index(name) for name in names]
    figure = _draw(signals, scan, sfreq, names, index)
    figure.savefig(picture, dpi=150)
    return DemoResult(recording, result.output, picture, numbers)


def _compare(signals, scan, sfreq):
    """Medians over channels of what is left of the artifact and of the EEG."""
    sos = scipy.signal.butter(4, _BAND, "bandpass", fs=sfreq, output="sos")
    before, after, true = (
        1e6 * scipy.signal.sosfiltfilt(sos, signals[key])[:, scan]
        for key in ("before", "after", "true")
    )
    gain = np.sum(after * true, axis=1) / np.sum(true**2, axis=1)
    correlation = [np.corrcoef(*pair)[0, 1] for pair in zip(after, true, strict=True)]
    return {
        "before": float(np.median(np.std(before - true, axis=1))),
        "left": float(np.median(np.std(after - true, axis=1))),
        "eeg": float(np.median(np.std(true, axis=1))),
        "kept": float(100 * np.median(gain)),
        "correlation": float(np.median(correlation)),
    }


def _draw(signals, scan, sfreq, names, index):
    """Figure of traces around the start of the scan, and of spectra during it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    onset = scan.start / sfreq
    shown = slice(int((onset - 1) * sfreq), int((onset + 3) * sfreq))
    times = np.arange(shown.start, shown.stop) / sfreq
    traces = {key: x[index][:, shown] for key, x in signals.items()}
    for axes in (upper, lower):
        axes.axvspan(onset, times[-1], color="0.96", lw=0, zorder=0)

    stack_traces(upper, times, [(1e6 * traces["before"], BEFORE, 0.5)], names)
    upper.set_title("Recorded", loc="left", fontweight="bold")
    upper.set_title("shaded: scanner running", loc="right", fontsize=10)
    upper.tick_params(bottom=False, labelbottom=False)
    upper.spines["bottom"].set_visible(False)
    after = (1e6 * traces["after"], AFTER, 1.8)
    true = (1e6 * traces["true"], OTHER, 0.7)
    stack_traces(lower, times, [after, true], names)
    lower.set_title("Corrected", loc="left", fontweight="bold", color=AFTER)
    lower.set_title("thin: true EEG of the simulation", loc="right", fontsize=10)
    lower.set_xlabel("Time (s)")
    _draw_spectra(figure.add_subplot(grid[:, 1]), signals, scan, sfreq)
    return figure


def _draw_spectra(axes, signals, scan, sfreq):
    shot = _SLICES / _TR
    harmonics = np.arange(shot, _HIGHEST, shot)
    for frequency in harmonics:
        axes.axvline(frequency, ymax=0.86, color="0.9", lw=5, zorder=0)
    for key, color, width, label in (
        ("before", BEFORE, 1, "Recorded"),
        ("after", AFTER, 1.8, "Corrected"),
        ("true", OTHER, 0.9, "True EEG"),
    ):
        x = 1e6 * signals[key][:, scan]
        frequencies, power = scipy.signal.welch(x, sfreq, nperseg=int(4 * sfreq))
        part = (frequencies >= _BAND[0]) & (frequencies <= _HIGHEST)
        power = np.median(power, axis=0)
        axes.semilogy(
            frequencies[part], power[part], color=color, lw=width, label=label
        )
    axes.plot([], [], color="0.9", lw=5, label="Slices and harmonics")
    axes.set_title("Spectra during the scan", loc="left", fontweight="bold")
    axes.set(
        xlabel="Frequency (Hz)",
        ylabel="Power, median over channels (µV²/Hz)",
        xlim=(0, _HIGHEST),
        ylim=(axes.get_ylim()[0], 30 * axes.get_ylim()[1]),  # room for the legend
    )
    axes.legend(loc="upper center", ncols=2, frameon=False)
    axes.spines[["right", "top"]].set_visible(False)
