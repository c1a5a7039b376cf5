"""Reports of corrections: figures, and pages that hold them with their numbers."""

from html import escape
from threading import Lock

from ._figures import (
    plot_beats,
    plot_spectra,
    plot_templates,
    plot_timing,
    plot_topographies,
    plot_traces,
)
from ._overviews import plot_comparison
from ._segments import NotAvailable, annotated, low_rate, pick_eeg, pick_pair
from .evaluation import ROWS, evaluate
from .triggers import trigger_report

__all__ = [
    "add_to_report",
    "metrics_table",
    "plot_beats",
    "plot_comparison",
    "plot_spectra",
    "plot_templates",
    "plot_timing",
    "plot_topographies",
    "plot_traces",
]

_COLORS = {"good": "#009E73", "watch": "#E69F00", "poor": "#D55E00"}
# figures of threads of one process share matplotlib's caches
LOCK = Lock()

_CAPTIONS = {
    "start": "The first seconds of the scan, each part with a scale of its own. The "
    "lower part should go on as it was before the scanner started.",
    "middle": "The same in the middle of the recording.",
    "spectra": "After the correction there should be no peaks at the harmonics of the "
    "slices, and no gaps either: these are lost EEG. The dashed line is what the "
    "spectrum was while the scanner did not run: a pulse artifact is part of it.",
    "templates": "What recurs with every volume, one line per channel: the gradient "
    "artifact, and what the correction left of it. Chance alone leaves 95 % of the "
    "values in the grey band.",
    "beats": "What recurs with every heart beat, one line per channel, 0.5 to 30 Hz: "
    "the pulse artifact. Grey: what chance leaves. Averages of these very beats leave "
    "less of their mean, whatever they leave of single beats.",
    "topographies": "RMS during the scan. The removed artifact follows the loops of "
    "the cables, not the brain. What is in step with the volumes should be small "
    "against what is left, and nowhere much larger than elsewhere.",
    "timing": "Triggers are rounded to samples: they should lie within half a sample "
    "of a regular clock, where slow slopes come from the rounding. Points far away are "
    "triggers that came late, crosses are triggers that were missing.",
}


def add_to_report(
    report,
    raw,
    clean,
    *,
    truth=None,
    estimator=None,
    picks=None,
    description="TR",
    beats="R peak",
    section="Correction",
):
    """Add figures and metrics of a correction to a report of MNE.

    Parameters
    ----------
    report : mne.Report
        The report.
    raw, clean, truth, estimator, picks, description, beats
        As in :func:`~mne_facet.evaluate`.
    section : str
        Heading in the report.

    Returns
    -------
    row : dict
        As returned by :func:`~mne_facet.evaluate`.

    Raises
    ------
    ValueError
        As in :func:`~mne_facet.evaluate`.

    Notes
    -----
    Figures are of the signals at 500 Hz or little more, below 0.4 times that, so that
    recordings of any length and rate can be drawn. Where one cannot be drawn the report
    says why.

    Examples
    --------
    >>> import mne
    >>> from mne_facet import add_to_report, recipe, simulate_raw
    >>> raw, truth = simulate_raw(duration=40, n_eeg=4, sfreq=500, lowpass=100)
    >>> clean = recipe("aas", triggers="R128", n_slices=20).fit_transform(raw)
    >>> report = mne.Report(title="Recording 1")
    >>> row = add_to_report(report, raw, clean)
    >>> report.save("report.html", open_browser=False)  # doctest: +SKIP
    """
    options = {"description": description, "beats": beats}
    picks = pick_pair(raw, clean, picks)
    pair = snapshot(raw, picks), snapshot(clean, picks)
    if truth is None and estimator is None:
        row = evaluate(*pair, **options)
    else:
        others = {"truth": truth, "estimator": estimator, "picks": picks}
        row = evaluate(raw, clean, **others, **options)
    with LOCK:
        sfreq = raw.info["sfreq"]
        add_sections(report, *pair, row, section, sfreq, **options)
    return row


def snapshot(raw, picks=None):
    """What reports need of a recording: its EEG at the low rate, with positions."""
    picks = pick_eeg(raw, picks)
    small = low_rate(raw, picks)
    montage = raw.get_montage()
    if montage is not None:
        small.set_montage(montage, on_missing="ignore", verbose="ERROR")
    return small


def add_sections(
    report, raw, clean, row, section, sfreq, description="TR", beats="R peak"
):
    """Add what :func:`add_to_report` adds, of recordings made by :func:`snapshot`."""
    import matplotlib.pyplot as plt

    tags = (section.replace(" ", "-"),)
    options = {"section": section, "tags": tags}
    report.add_html(metrics_table(row), title="Metrics", **options)
    volumes = {"description": description}
    timing = {**volumes, "sfreq": sfreq}
    marked = annotated(raw, clean, description)
    figures = [
        ("start", "Traces, start of the scan", plot_traces, (raw, clean), volumes),
        (
            "middle",
            "Traces, middle of the recording",
            plot_traces,
            (raw, clean),
            {**volumes, "start": raw.times[-1] / 2},
        ),
        ("spectra", "Spectra during the scan", plot_spectra, (raw, clean), volumes),
        ("templates", "Mean volume", plot_templates, (raw, clean), volumes),
        (
            "beats",
            "Mean heart beat",
            plot_beats,
            (raw, clean),
            {**volumes, "beats": beats},
        ),
        ("topographies", "Topographies", plot_topographies, (raw, clean), volumes),
        ("timing", "Timing of the triggers", plot_timing, (marked,), timing),
    ]
    for key, title, plot, recordings, others in figures:
        try:
            with plt.ioff():
                figure = plot(*recordings, **others)
        except NotAvailable as error:
            report.add_html(_missing(error), title=title, **options)
        else:
            add_figure(report, figure, title=title, caption=_CAPTIONS[key], **options)
    if description in marked.annotations.description:
        text = str(trigger_report(marked, description))
        report.add_html(preformatted(text), title="Triggers", **options)


def _missing(error):
    return f"<p>Not available: {escape(str(error))}</p>"


def add_figure(report, figure, **options):
    """Add a figure to a report, and close it."""
    import matplotlib.pyplot as plt

    report.add_figure(figure, image_format="png", **options)
    plt.close(figure)


def preformatted(text):
    """Text as it is, in HTML."""
    return f'<pre style="white-space: pre; overflow-x: auto">{escape(text)}</pre>'


def metrics_table(row):
    """Metrics as HTML, with what would be ideal, and why some are not available.

    Parameters
    ----------
    row : dict
        As returned by :func:`~mne_facet.evaluate`.

    Returns
    -------
    html : str
        Grade, table, and reasons.
    """
    lines, missing = [], {}
    for key, label, form, ideal in ROWS:
        if key == "grade" or key not in row:
            continue
        if row[key] is None:
            missing.setdefault(row.get(f"{key}_reason", ""), []).append(label)
            continue
        value = escape(form.format(row[key]))
        lines.append(
            f'<tr><td>{micro(label)}</td><td style="text-align: right">{value}</td>'
            f'<td style="padding-left: 2em">{escape(ideal)}</td></tr>'
        )
    reasons = "".join(
        f"<p>Not available: {micro(', '.join(labels))}. {escape(reason)}</p>"
        for reason, labels in missing.items()
    )
    return (
        f"<p>{badge(row['grade'])} {escape(row['grade_reason'])}</p>"
        '<div class="table-responsive"><table class="table table-sm" '
        'style="width: auto"><thead><tr><th>Metric, median over channels</th><th '
        'style="text-align: right">Value</th><th style="padding-left: 2em">Ideal</th>'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table></div>{reasons}"
        "<p>How each is computed and what it cannot see: see mne_facet.metrics.</p>"
    )


def micro(label):
    """Label of a metric, in HTML."""
    return escape(label.replace("uV", "µV"))


def badge(grade):
    """Grade in its colour, in HTML."""
    color = _COLORS.get(grade, "#595959")
    text = "black" if grade == "watch" else "white"
    return (
        f'<span style="background: {color}; color: {text}; padding: 0.15em 0.7em; '
        f'border-radius: 0.3em; font-weight: bold">{grade or "not graded"}</span>'
    )
