"""Pages about corrected files: one for each, and one for all of a study."""

import os
from functools import partial
from html import escape
from pathlib import Path
from urllib.parse import quote

import mne

from ._overviews import plot_study
from ._provenance import is_complete, read_sidecar
from ._segments import pick_pair
from .evaluation import ROWS, evaluate
from .report import LOCK, add_figure, add_sections, badge, micro, preformatted, snapshot

_STUDY = ("rms_ratio", "kept_alpha", "slice_excess", "volume_locked", "pulse_locked")


def page_of(output):
    """Where the page of an output is."""
    return output.with_suffix(".html")


def study_page(out_dir, desc):
    """Where the page of all outputs is."""
    return Path(out_dir) / f"group_desc-{desc}_eeg.html"


def evaluate_output(before, raw, name, settings, sfreq):
    """Metrics of a corrected recording, and a function that writes its page.

    Parameters
    ----------
    before : mne.io.Raw
        The recording before the correction, as made by :func:`snapshot`.
    raw : mne.io.Raw
        The corrected recording.
    name : str
        Title of the page.
    settings : str
        What was done.
    sfreq : float
        Rate in Hz at which the triggers were recorded.

    Returns
    -------
    row : dict
        As returned by :func:`evaluate`, without the reasons of single metrics.
    write : callable
        Takes the main file of the output, writes the page beside it.
    """
    kept = [channel for channel in before.ch_names if channel in raw.ch_names]
    after = snapshot(raw, kept)
    before = before.pick(kept)
    if before.info["sfreq"] != after.info["sfreq"]:
        before = before.resample(after.info["sfreq"], verbose="ERROR")
    pick_pair(before, after)
    row = evaluate(before, after)
    write = partial(_write_page, name, before, after, row, settings, sfreq)
    keys = {key for key, *_ in ROWS} | {"grade_reason"}
    return {key: row[key] for key in row if key in keys}, write


def _write_page(name, before, after, row, settings, sfreq, output):
    report = mne.Report(title=name, verbose="ERROR")
    options = {"section": "Correction", "tags": ("Correction",)}
    with LOCK:
        add_sections(report, before, after, row, "Correction", sfreq)
        report.add_html(preformatted(settings), title="Settings", **options)
        _save(report, page_of(output))


def write_study(out_dir, desc, failed):
    """Write the page of all outputs of a folder that have one.

    Parameters
    ----------
    out_dir : pathlib.Path
        The folder.
    desc : str
        As in :func:`correct_files`.
    failed : dict of str
        Names of files that could not be corrected, and their errors.

    Returns
    -------
    page : pathlib.Path
        The page.
    """
    rows = [
        {"name": name, "error": error, "link": None} for name, error in failed.items()
    ]
    for file in sorted(out_dir.rglob(f"*_desc-{desc}_eeg.html")):
        sidecar = read_sidecar(file)
        if sidecar is not None and is_complete(file, sidecar):
            rows.append(
                {
                    **sidecar["Metrics"],
                    "name": sidecar["Sources"][0]["name"],
                    "link": quote(file.relative_to(out_dir).as_posix()),
                }
            )
    page = study_page(out_dir, desc)
    temporary = page.with_name(f".{os.getpid()}.{page.name}")
    title = f"{len(rows) - len(failed)} of {len(rows)} files corrected"
    report = mne.Report(title=title, verbose="ERROR")
    try:
        with LOCK:
            _add_study(report, rows)
            _save(report, temporary)
        os.replace(temporary, page)
    finally:
        temporary.unlink(missing_ok=True)
    return page


def _add_study(report, rows):
    options = {"section": "Study", "tags": ("study",)}
    report.add_html(_study_table(rows), title="Files", **options)
    graded = [row for row in rows if row["link"]]
    if graded:
        add_figure(
            report,
            plot_study(graded),
            title="All files",
            caption="One dot per file, in the order of the values; dashed: ideal, "
            "black: median. Files far from the others deserve a look.",
            **options,
        )


_STUDY = ("rms_ratio", "kept_alpha", "slice_excess", "volume_locked", "pulse_locked")


def _study_table(rows):
    labels = {key: (label, form) for key, label, form, _ in ROWS}
    head = "".join(f"<th>{micro(labels[key][0])}</th>" for key in _STUDY)
    lines = []
    for row in rows:
        name = escape(row["name"])
        if row.get("error"):
            text = f"<b>failed</b>: {escape(row['error'])}"
            lines.append(
                f'<tr><td>{name}</td><td colspan="{2 + len(_STUDY)}">{text}</td></tr>'
            )
            continue
        values = "".join(
            f'<td style="text-align: right">{_cell(row.get(key), labels[key][1])}</td>'
            for key in _STUDY
        )
        why = escape(row.get("grade_reason") or "")
        lines.append(
            f'<tr><td><a href="{escape(row["link"])}">{name}</a></td>'
            f"<td>{badge(row.get('grade'))}</td><td>{why}</td>{values}</tr>"
        )
    return (
        '<div class="table-responsive"><table class="table table-sm"><thead><tr>'
        '<th>File</th><th>Grade</th><th style="min-width: 14em">Why</th>'
        f"{head}</tr></thead><tbody>"
        f"{''.join(lines)}</tbody></table></div>"
    )


def _cell(value, form):
    return "-" if value is None else escape(form.format(float(value)))


def _save(report, fname):
    report.save(fname, open_browser=False, overwrite=True, verbose="ERROR")
