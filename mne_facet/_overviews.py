"""Figures of several corrections, and of the files of a study."""

import numpy as np

from ._figures import AFTER, new_figure


def plot_comparison(comparison):
    """Draw what several corrections of one recording left, and what they cost.

    Parameters
    ----------
    comparison : Comparison
        As returned by :func:`compare`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        A panel for each of up to six metrics, a bar for each correction.

    Examples
    --------
    >>> from mne_facet import Comparison, plot_comparison
    >>> rows = [{"name": "AAS", "snr": 20.1}, {"name": "OBS", "snr": 18.2}]
    >>> figure = plot_comparison(Comparison(rows))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['SNR against the truth (dB): more is better']
    """
    names = [row["name"] for row in comparison]
    shown = [
        (key, label)
        for key, label in _COMPARED
        if any(row.get(key) is not None for row in comparison)
    ]
    figure = new_figure(0.9 + len(shown) * (0.5 + 0.22 * len(names)))
    for axes, (key, label) in zip(
        np.ravel(figure.subplots(len(shown), 1, squeeze=False)), shown, strict=True
    ):
        values = [row.get(key) for row in comparison]
        numbers = np.array([np.nan if v is None else v for v in values], float)
        axes.barh(names, np.where(np.isfinite(numbers), numbers, 0), color=AFTER)
        for place, number in enumerate(numbers):
            text = f" {number:.3g}" if not np.isnan(number) else " not available"
            axes.text(
                max(0, number) if np.isfinite(number) else 0, place, text, va="center"
            )
        axes.set_title(label, loc="left", fontsize=11)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.axvline(0, color="k", lw=0.8)
        axes.spines[["right", "top", "left"]].set_visible(False)
        axes.tick_params(left=False)
    return figure


_COMPARED = (
    ("score", "Estimated SNR (dB): more is better"),
    ("snr", "SNR against the truth (dB): more is better"),
    ("eeg_lost", "EEG lost or invented (% of its power): less is better"),
    ("residual", "Artifact left (µV rms): less is better"),
    ("kept_alpha", "Alpha, scan over quiet (%): 100 is ideal"),
    ("seconds", "Time (s)"),
)
_STUDIED = (
    ("kept_alpha", "Alpha, scan\nover quiet (%)", 100),
    ("rms_residual", "RMS after\n/ quiet", 1),
    ("slice_excess", "Slice lines\nabove EEG (dB)", 0),
    ("volume_locked", "In step with\nvolumes (µV)", 0),
    ("pulse_locked", "In step with\nbeats (µV)", 0),
)


def plot_study(rows):
    """Draw metrics of the files of a study.

    Parameters
    ----------
    rows : list of dict
        As returned by :func:`evaluate`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        A panel per metric, a dot per file.
    """
    figure = new_figure(3.6)
    for axes, (key, label, ideal) in zip(
        figure.subplots(1, len(_STUDIED)), _STUDIED, strict=True
    ):
        values = [row[key] for row in rows if row.get(key) is not None]
        values = np.array(values, float)
        place = np.linspace(-0.25, 0.25, values.size) if values.size > 1 else [0]
        if values.size:
            axes.axhline(ideal, color="0.5", ls="--", lw=1)
            axes.plot(place, np.sort(values), "o", color=AFTER, ms=4, alpha=0.7)
            axes.axhline(np.median(values), 0.2, 0.8, color="k", lw=1.5)
        else:
            axes.text(0, 0.5, "not\navailable", ha="center")
            axes.set_yticks([])
        axes.set_title(label, fontsize=10)
        axes.set(xticks=[], xlim=(-0.6, 0.6))
        axes.spines[["right", "top", "bottom"]].set_visible(False)
    return figure
