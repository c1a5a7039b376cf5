"""Figures of a correction."""

from threading import current_thread, main_thread

import mne
import numpy as np

from ._epochs import without_volumes
from ._events import get_runs
from ._segments import (
    NotAvailable,
    annotated,
    find_scan,
    finite_data,
    pick_pair,
    pick_scan,
    pieces_of,
    quiet_pieces,
    regular_epochs,
)
from .signal.locked import complete_epochs, shared_power
from .signal.spectra import band_pass, power_density
from .triggers import trigger_report

# Okabe and Ito's colours and a grey, told apart by everyone
BEFORE, AFTER, OTHER, ALARM = "0.55", "#0072B2", "#E69F00", "#D55E00"
_BARS = np.outer(10.0 ** np.arange(-3, 7), [1, 2, 5]).ravel()
# inches: 850 pixels, which is what a report shows without shrinking
_WIDTH = 8.5
# electrodes for a map: fewer may be cocircular
_FOR_MAPS = 8
# seconds around an R peak
_BEAT = (-0.2, 0.8)


def new_figure(height, width=_WIDTH):
    """Empty figure whose labels are not cut off; in threads, one without a window."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    make = plt.figure if current_thread() is main_thread() else Figure
    figure = make(figsize=(width, height), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    return figure


def plot_traces(
    raw, clean, *, start=None, duration=4.0, picks=None, description="TR", n_channels=6
):
    """Draw some channels before and after the correction.

    Parameters
    ----------
    raw, clean : mne.io.Raw
        The recording before and after the correction.
    start : float | None
        Where to begin, in seconds; None: one second before the first volume.
    duration : float
        How much to show, in seconds.
    picks : str | list | slice | None
        Channels; None: EEG channels not marked bad.
    description : str
        Description of the volume annotations.
    n_channels : int
        Channels to draw, evenly spread over those picked.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The recording above its correction, each with a scale of its own.
    """
    picks = _spread(pick_pair(raw, clean, picks), n_channels)
    sfreq, names = raw.info["sfreq"], [raw.ch_names[pick] for pick in picks]
    try:
        running = find_scan(annotated(raw, clean, description), description).running
    except NotAvailable:
        running = np.zeros(raw.n_times, bool)
    if start is None:
        start = np.argmax(running) / sfreq - 1
    first = max(0, min(int(start * sfreq), raw.n_times - int(duration * sfreq)))
    stop = min(raw.n_times, first + int(duration * sfreq))
    times = np.arange(first, stop) / sfreq
    figure = new_figure(7.5)
    upper, lower = figure.subplots(2, sharex=True)
    for axes, one, color, title in (
        (upper, raw, "0.35", "Before"),
        (lower, clean, AFTER, "After the correction"),
    ):
        axes.fill_between(
            times,
            0,
            1,
            where=running[first:stop],
            transform=axes.get_xaxis_transform(),
            color="0.95",
            lw=0,
        )
        x = 1e6 * finite_data(one, picks, first, stop)
        stack_traces(axes, times, [(x, color, 0.8)], names)
        axes.set_title(title, loc="left", fontweight="bold", color=color)
    if running[first:stop].any():
        upper.set_title("shaded: scanner running", loc="right", fontsize=10)
    lower.set_xlabel("Time (s)")
    return figure


def stack_traces(axes, times, layers, names):
    """Draw channels one below the other, with a scale bar.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    times : array, shape (n_times,)
        In seconds.
    layers : list of (array of shape (n_channels, n_times), colour, line width)
        Signals over each other, in uV; the first decides on the scale.
    names : list of str
        Names of the channels.
    """
    centred = [x - np.median(x, axis=1, keepdims=True) for x, *_ in layers]
    spacing = 0.7 * np.max(np.ptp(centred[0], axis=1)) or 1.0
    offsets = -spacing * np.arange(len(names))
    for x, (_, color, width) in zip(centred, layers, strict=True):
        axes.plot(times, x.T + offsets, color=color, lw=width)
    bar = max(b for b in _BARS if b <= max(spacing, _BARS[0]))
    label = f"{bar / 1e3:g} mV" if bar >= 1e3 else f"{bar:g} µV"
    length = times[-1] - times[0]
    right, middle = times[-1] + 0.025 * length, offsets[len(names) // 2]
    axes.plot([right] * 2, [middle - bar / 2, middle + bar / 2], color="k", lw=2)
    axes.text(right + 0.015 * length, middle, label, va="center")
    axes.set_yticks(offsets, names)
    axes.tick_params(left=False)
    axes.set_xlim(times[0], times[-1] + 0.12 * length)
    axes.set_xticks(np.arange(np.ceil(times[0]), times[-1] + 0.5))
    axes.spines["bottom"].set_bounds(times[0], times[-1])
    axes.spines[["left", "right", "top"]].set_visible(False)


def plot_spectra(raw, clean, *, picks=None, description="TR", h_freq=70.0):
    """Draw spectra during the scan, with the harmonics of slices and volumes.

    Parameters
    ----------
    raw, clean, picks, description
        As in :func:`plot_traces`.
    h_freq : float
        Highest frequency in Hz.

    Returns
    -------
    figure : matplotlib.figure.Figure
        All of the spectrum, and the lowest 16 Hz of it.
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    sfreq = raw.info["sfreq"]
    curves = {
        "Before": (BEFORE, 1.2, *_density(raw, picks, scan, pieces_of)),
        "After": (AFTER, 1.8, *_density(clean, picks, scan, pieces_of)),
    }
    try:
        quiet = _density(raw, picks, scan, quiet_pieces)
        curves["Before, scanner not running"] = (OTHER, 1.8, *quiet)
    except NotAvailable:
        pass
    figure = new_figure(8)
    for axes, limit, period, what in (
        (figure.add_subplot(211), h_freq, scan.slice_period, "Slices"),
        (figure.add_subplot(212), 16.0, scan.period, "Volumes"),
    ):
        if what == "Slices" and scan.slice_period == scan.period:
            what = "Volumes"
        lines = sfreq / period * np.arange(1, int(limit * period / sfreq) + 1)
        for line in lines:
            axes.axvline(line, color="0.88", lw=4 if period < scan.period else 1)
        for label, (color, width, freqs, power) in curves.items():
            shown = (freqs >= 0.5) & (freqs <= limit)
            style = "--" if color == OTHER else "-"
            axes.semilogy(
                freqs[shown], power[shown], style, color=color, lw=width, label=label
            )
        axes.plot([], [], color="0.88", lw=4, label=f"{what} and harmonics")
        axes.set(xlim=(0, limit), ylabel="Power (µV²/Hz)", xlabel="Frequency (Hz)")
        axes.spines[["right", "top"]].set_visible(False)
    axes = figure.axes[0]
    axes.set_title("Median over channels", loc="left", fontweight="bold")
    figure.axes[1].set_title("The same up to 16 Hz", loc="left", fontweight="bold")
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        frameon=False,
    )
    return figure


def _density(raw, picks, scan, pieces_of_part, seconds=4.0):
    """Frequencies and median over channels of the power density in uV^2 / Hz."""
    powers = []
    for pick in picks:
        part = scan.running if pieces_of_part is pieces_of else scan
        pieces = pieces_of_part(raw, [pick], part)
        if not pieces:
            raise NotAvailable("1 s of scanning in one piece without BAD is needed.")
        freqs, power = power_density(pieces, raw.info["sfreq"], seconds)
        powers.append(power[0])
    return freqs, 1e12 * np.median(powers, axis=0)


def plot_templates(raw, clean, *, picks=None, description="TR"):
    """Draw the mean volume of every channel, before and after the correction.

    Parameters
    ----------
    raw, clean, picks, description
        As in :func:`plot_traces`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Whole volumes, and the first slices of them.
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    marked = annotated(raw, clean, description)
    starts, length = regular_epochs(marked, description)
    times = np.arange(length) / raw.info["sfreq"]
    few = times <= min(3 * scan.slice_period, length) / raw.info["sfreq"]
    figure = new_figure(7)
    grid = figure.subplots(2, 2, width_ratios=(2, 1), sharex="col", sharey="row")
    for row, one, color, title in (
        (grid[0], raw, "0.35", "Before"),
        (grid[1], clean, AFTER, "After the correction"),
    ):
        means, chance = _mean_epochs(_channels(one, picks), starts, length)
        scale, unit = (1e-3, "mV") if np.abs(means).max() >= 1e3 else (1, "µV")
        row[0].set_title(title, loc="left", fontweight="bold", color=color)
        row[0].set_ylabel(f"Mean of {len(starts)} volumes ({unit})")
        for axes, part in zip(row, (times >= 0, few), strict=True):
            axes.axhspan(-scale * chance, scale * chance, color="0.9", lw=0)
            axes.plot(times[part], scale * means.T[part], color=color, lw=0.5)
            axes.set_xlim(times[part][0], times[part][-1])
            axes.spines[["right", "top"]].set_visible(False)
    grid[0, 1].set_title("the first slices", loc="left")
    for axes in grid[1]:
        axes.set_xlabel("Time in the volume (s)")
    return figure


def _channels(raw, picks):
    """One channel after the other, in uV."""
    for pick in picks:
        yield 1e6 * finite_data(raw, [pick])[0]


def _mean_epochs(signals, starts, length):
    """Mean epochs of signals, and what chance makes of them: twice the standard error.

    The variance is that of what differs from one epoch to the next, so that slow
    changes of an artifact do not count for chance.
    """
    means, errors = [], []
    for x in signals:
        epochs = complete_epochs(x, starts, length)
        means.append(epochs.mean(axis=0))
        errors.append(np.diff(epochs, axis=0).var() / 2 / len(epochs))
    return np.array(means), 2 * float(np.sqrt(np.median(errors)))


def plot_beats(raw, clean, *, picks=None, description="TR", beats="R peak"):
    """Draw the mean heart beat of every channel, from 0.5 to 30 Hz.

    Where volumes are annotated, "before" is after a rough correction of the gradient
    artifact, an average of 30 volumes: the pulse artifact cannot be seen beside it.

    Parameters
    ----------
    raw, clean, picks, description
        As in :func:`plot_traces`.
    beats : str
        Description of the annotations of the R peaks.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Before and after, with the same scale.
    """
    picks = pick_pair(raw, clean, picks)
    starts, _ = regular_epochs(annotated(raw, clean, beats), beats)
    sfreq, title, before = raw.info["sfreq"], "Before", _channels(raw, picks)
    volumes = annotated(raw, clean, description)
    if description in volumes.annotations.description:
        find_scan(volumes, description)
        title = "Before (gradient artifact roughly removed)"
        before = (
            without_volumes(volumes, x[np.newaxis], description, name="plot_beats")[0]
            for x in before
        )
    first, length = int(_BEAT[0] * sfreq), int((_BEAT[1] - _BEAT[0]) * sfreq)
    times = (first + np.arange(length)) / sfreq
    figure = new_figure(4)
    grid = figure.subplots(1, 2, sharey=True)
    for axes, signals, color, text in (
        (grid[0], before, "0.35", title),
        (grid[1], _channels(clean, picks), AFTER, "After the correction"),
    ):
        signals = (band_pass(x, sfreq, 0.5, 30.0) for x in signals)
        means, chance = _mean_epochs(signals, starts + first, length)
        axes.axhspan(-chance, chance, color="0.9", lw=0)
        axes.axvline(0, color="k", lw=0.8, ls=":")
        axes.plot(times, means.T, color=color, lw=0.5)
        axes.set(xlabel="Time after the R peak (s)", xlim=_BEAT)
        axes.set_title(text, loc="left", fontweight="bold", color=color, fontsize=11)
        axes.spines[["right", "top"]].set_visible(False)
    grid[0].set_ylabel(f"Mean of {len(starts)} beats (µV)")
    return figure


def plot_topographies(raw, clean, *, picks=None, description="TR"):
    """Draw maps of what was removed and of what is left.

    Parameters
    ----------
    raw, clean, picks, description
        As in :func:`plot_traces`; the channels need positions.

    Returns
    -------
    figure : matplotlib.figure.Figure
        RMS of what was removed during the scan, RMS after the correction, and what of
        it recurs with the volumes.
    """
    picks, scan = pick_scan(raw, clean, picks, description)
    places = np.array([raw.info["chs"][pick]["loc"][:3] for pick in picks])
    placed = np.isfinite(places).all(axis=1) & places.any(axis=1)
    if placed.sum() < _FOR_MAPS:
        raise NotAvailable(
            f"Positions of {_FOR_MAPS} electrodes are needed, {placed.sum()} of them "
            "are known. Set them with raw.set_montage."
        )
    picks = picks[placed]
    marked = annotated(raw, clean, description)
    starts, length = regular_epochs(marked, description)
    removed, left, locked = [], [], []
    for before, after in zip(
        _channels(raw, picks), _channels(clean, picks), strict=True
    ):
        removed.append((before - after)[scan.running].std())
        after = band_pass(after, raw.info["sfreq"], 1.0, 70.0)
        left.append(after[scan.running].std())
        shared = shared_power(complete_epochs(after, starts, length))
        locked.append(np.sqrt(max(0, shared)))
    info = mne.pick_info(raw.info, picks)
    figure = new_figure(3.4)
    for axes, values, title in zip(
        figure.subplots(1, 3),
        (removed, left, locked),
        ("Removed", "Left, 1 to 70 Hz", "In step with volumes"),
        strict=True,
    ):
        image, _ = mne.viz.plot_topomap(
            values,
            info,
            axes=axes,
            show=False,
            contours=0,
            cmap="viridis",
            vlim=(0, max(values) or 1.0),
        )
        axes.set_title(title, fontsize=11)
        figure.colorbar(image, ax=axes, orientation="horizontal", label="µV rms")
    return figure


def plot_timing(raw, *, description="TR", sfreq=None):
    """Draw how far each trigger lies from the clock of the scanner.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording that :class:`~mne_facet.TriggerDetector` has annotated.
    description : str
        Description of the volume annotations.
    sfreq : float | None
        Rate in Hz at which the triggers were recorded; None: that of `raw`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        One panel.
    """
    try:
        runs = get_runs(raw, description, name="plot_timing")
    except ValueError as error:
        raise NotAvailable(str(error)) from None
    report = trigger_report(raw, description)
    figure = new_figure(3.2)
    axes = figure.subplots()
    for run, row in zip(runs, report, strict=True):
        known = run.annotation >= 0
        onsets = run.onsets[known] / raw.info["sfreq"]
        residuals = [
            raw.annotations.extras[i].get("residual") for i in run.annotation[known]
        ]
        missing = np.array([residual is None for residual in residuals])
        residuals = 1e3 * np.array([r or 0.0 for r in residuals])
        label = f"run {row['run']}: TR {row['tr']:.6f} s"
        axes.plot(onsets[~missing], residuals[~missing], ".", ms=4, label=label)
        axes.plot(onsets[missing], residuals[missing], "x", color=ALARM)
    if missing.any():
        axes.plot([], [], "x", color=ALARM, label="restored")
    step = 1e3 / (sfreq or raw.info["sfreq"])
    axes.axhspan(-step / 2, step / 2, color="0.92", lw=0, label="half a sample")
    axes.set(xlabel="Time (s)", ylabel="Trigger minus clock (ms)")
    axes.set_ylim(*_at_least(axes.get_ylim(), 1.2 * step))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["right", "top"]].set_visible(False)
    return figure


def _at_least(limits, reach):
    return min(limits[0], -reach), max(limits[1], reach)


def _spread(picks, n_channels):
    """Some of the channels, evenly spread."""
    n_channels = min(n_channels, len(picks))
    return picks[np.linspace(0, len(picks) - 1, n_channels).round().astype(int)]
