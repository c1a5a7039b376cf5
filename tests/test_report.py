"""Reports hold all figures, or the reason why one is missing; pages follow files."""

import json
import os
import re

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.pipeline import make_pipeline

from mne_facet import (
    AAS,
    Resample,
    TriggerDetector,
    add_to_report,
    compare,
    correct_files,
    evaluate,
    plot_comparison,
    recipe,
    report,
)
from mne_facet._files import write_file
from mne_facet._memory import estimate_memory
from mne_facet._pages import evaluate_output, study_page
from mne_facet.metrics import NotAvailable
from mne_facet.report import metrics_table, snapshot

FIGURES = [
    "Traces, start of the scan",
    "Traces, middle of the recording",
    "Spectra during the scan",
    "Mean volume",
    "Mean heart beat",
    "Topographies",
    "Timing of the triggers",
]


@pytest.fixture(autouse=True)
def _agg():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def pair():
    """Recording with volumes and heart beats, and its correction."""
    from mne_facet import simulate_raw

    raw, truth = simulate_raw(
        40.0, sfreq=500.0, n_eeg=8, lowpass=100.0, ecg=False, missing=0.05, seed=1
    )
    raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
    raw.annotations.append(raw.first_time + truth.beat_times, 0, "R peak")
    return raw, AAS(10, level="volume").fit_transform(raw)


def _texts(figure):
    axes = figure.axes
    found = [a.get_xlabel() + a.get_ylabel() + a.get_title("left") for a in axes]
    found += [text.get_text() for a in axes for text in a.texts]
    return " ".join([*found, *(a.get_title() for a in axes)])


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("plot_traces", ["Time (s)", "mV", "µV"]),
        ("plot_spectra", ["Frequency (Hz)", "Power (µV²/Hz)"]),
        ("plot_templates", ["Time in the volume (s)", "volumes (mV)", "volumes (µV)"]),
        ("plot_beats", ["Time after the R peak (s)", "beats (µV)"]),
        ("plot_topographies", ["µV rms", "Removed"]),
    ],
)
def test_figures_have_units_and_nothing_is_cut_off(pair, name, units):
    figure = getattr(report, name)(*pair)
    for unit in units:
        assert unit in _texts(figure)
    _check_nothing_cut_off(figure)


def _check_nothing_cut_off(figure):
    figure.canvas.draw()
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


def test_traces_start_before_the_scan_or_where_told(pair):
    raw, clean = pair
    first = report.plot_traces(raw, clean).axes[0].lines[0].get_xdata()
    assert first[0] == pytest.approx(4, abs=0.01)
    later = report.plot_traces(raw, clean, start=1e3, n_channels=2).axes[0]
    assert later.lines[0].get_xdata()[-1] == pytest.approx(raw.times[-1], abs=0.01)
    assert len(later.get_yticks()) == 2


def test_mean_beat_is_that_of_the_data(pair):
    raw, _ = pair
    x = np.zeros((2, raw.n_times))
    marks = raw.annotations.onset[raw.annotations.description == "R peak"]
    onsets = (500 * (marks - raw.first_time)).round().astype(int)
    wave = 50e-6 * np.hanning(100)
    for onset in onsets[onsets < raw.n_times - 200]:
        x[:, onset + 50 : onset + 150] += wave
    pulse = mne.io.RawArray(x, mne.create_info(2, 500.0, "eeg"))
    pulse.annotations.append(onsets / 500, 0, "R peak")
    axes = report.plot_beats(pulse, pulse).axes[0]
    line = axes.lines[-1]
    assert line.get_xdata()[np.argmax(line.get_ydata())] == pytest.approx(0.2, abs=0.01)
    assert np.ptp(line.get_ydata()) == pytest.approx(50, rel=0.1)


def test_template_is_the_mean_volume(periodic):
    raw = periodic(period=1000, n_volumes=10, first=5000)
    axes = report.plot_templates(raw, raw).axes[0]
    wave = raw.get_data()[0, 5000:6000]
    drawn = next(line for line in axes.lines if len(line.get_ydata()) == 1000)
    np.testing.assert_allclose(drawn.get_ydata(), 1e3 * (wave - wave.mean()), atol=1e-9)


def test_spectra_show_power_in_its_unit():
    rng = np.random.default_rng(0)
    info = mne.create_info(2, 500.0, "eeg")
    raw = mne.io.RawArray(10e-6 * rng.normal(size=(2, 30_000)), info)
    raw.annotations.append(10 + np.arange(40.0), 0, "TR")
    lines = report.plot_spectra(raw, raw).axes[0].lines
    after = next(line for line in lines if line.get_label() == "After")
    # white noise of 100 uV^2 up to 250 Hz
    assert np.median(after.get_ydata()) == pytest.approx(0.4, rel=0.05)


def test_timing_shows_what_was_late_or_missing(pair):
    raw = pair[0].copy()
    index = np.flatnonzero(raw.annotations.description == "TR")
    raw.annotations.extras[index[5]]["residual"] = 0.007
    axes = report.plot_timing(raw).axes[0]
    assert max(axes.lines[0].get_ydata()) == pytest.approx(7)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0].startswith("run 1: TR ")
    assert labels[1:] == ["restored", "half a sample"]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    np.testing.assert_allclose([band.y0, band.y1], [-1, 1])


def test_report_has_all_figures_and_its_row(pair):
    page = mne.Report(title="test", verbose="ERROR")
    row = add_to_report(page, *pair, section="AAS")
    assert row == evaluate(*pair)
    titles = [element.name for element in page._content]
    assert titles == ["Metrics", *FIGURES, "Triggers"]
    assert not plt.get_fignums()
    html = "".join(element.html for element in page._content)
    assert len(re.findall("<img", html)) == len(FIGURES)
    assert "nan" not in re.sub(r'base64,[^"]*"', "", html).lower()


def test_report_says_what_it_cannot_show(pair):
    bare = [one.copy().pick([0, 1]).set_annotations(None) for one in pair]
    for one in bare:
        one.set_montage(None)
    page = mne.Report(title="test", verbose="ERROR")
    row = add_to_report(page, *bare)
    assert row["grade"] is None
    html = {element.name: element.html for element in page._content}
    for name in FIGURES[2:]:
        assert "Not available: " in html[name]
    assert "<img" in html[FIGURES[0]]
    assert "not graded" in html["Metrics"]
    with pytest.raises(NotAvailable, match=r"Positions of 8 elec.* 0 of them are"):
        report.plot_topographies(*(one.copy().set_montage(None) for one in pair))


def test_table_has_values_ideals_and_reasons(pair):
    row = evaluate(*pair) | {"snr": np.inf, "inps": None, "inps_reason": "No <beats>."}
    html = metrics_table(row)
    assert '<td style="text-align: right">inf</td>' in html
    assert "Not available: INPS (dB). No &lt;beats&gt;." in html
    assert f">{row['grade']}</span>" in html
    assert "Peak to peak, after (µV)" in html


def test_comparison_is_drawn_with_a_bar_for_each(pair):
    raw = pair[0]
    table = compare({"two": AAS(2), "many": AAS(12)}, raw)
    figure = plot_comparison(table)
    assert len(figure.axes) == 5
    assert all(len(axes.patches) == 2 for axes in figure.axes)
    assert "Estimated SNR (dB)" in _texts(figure)
    _check_nothing_cut_off(figure)
    table[0]["score"] = None
    assert "not available" in _texts(plot_comparison(table))


def test_resampled_and_left_out_channels_are_compared_at_the_new_rate(pair):
    raw, clean = pair
    other = clean.copy().resample(250, verbose="ERROR").drop_channels(["Cz"])
    row, _ = evaluate_output(snapshot(raw), other, "name", "settings", 500.0)
    expected = evaluate(raw, clean)
    assert row["rms_residual"] == pytest.approx(expected["rms_residual"], rel=0.1)
    assert "inps_reason" not in row
    with pytest.raises(ValueError, match="must have the same samples"):
        evaluate_output(snapshot(raw), clean.copy().crop(5), "name", "", 500.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Folder of two recordings, and what corrects them."""
    from mne_facet import simulate_raw

    folder = tmp_path_factory.mktemp("study")
    for seed in (1, 2):
        raw, _ = simulate_raw(40, sfreq=500, n_eeg=4, lowpass=100, seed=seed)
        write_file(raw, folder / f"sub-{seed}_eeg.fif", "fif")
    correction = recipe("aas", triggers="R128", n_slices=20, level="volume")
    return sorted(folder.glob("*.fif")), correction


def _statuses(*args, **kwargs):
    results = correct_files(*args, progress=False, **kwargs)
    return [result.status for result in results]


def test_pages_are_written_skipped_and_made_again(study, tmp_path):
    files, correction = study
    bad = tmp_path / "sub-0_eeg.fif"
    bad.write_text("nothing")
    out = tmp_path / "out"
    assert _statuses(correction, files, out) == ["ok", "ok"]
    assert not list(out.glob("*.html"))
    assert _statuses(correction, files, out, report=True) == ["ok", "ok"]
    pages = [out / f"sub-{k}_desc-facet_eeg.html" for k in (1, 2)]
    assert sorted(out.glob("sub-*.html")) == pages
    sidecar = json.loads(pages[0].with_suffix(".json").read_text())
    assert pages[0].name in {file["name"] for file in sidecar["Outputs"]}
    assert sidecar["Metrics"]["grade"] in ("good", "watch", "poor")
    assert sidecar["Metrics"]["rms_ratio"] > 3
    before = pages[0].read_bytes()
    assert _statuses(correction, files, out) == ["skipped", "skipped"]
    results = correct_files(correction, [bad, *files], out, report=True, progress=False)
    assert [result.status for result in results] == ["failed", "skipped", "skipped"]
    assert results[1].metrics["kept_alpha"] > 0
    assert pages[0].read_bytes() == before
    html = study_page(out, "facet").read_text()
    assert "2 of 3 files corrected" in html
    assert "sub-0_eeg.fif" in html
    assert all(f'href="{page.name}"' in html for page in pages)
    pages[1].unlink()
    assert _statuses(correction, files, out, report=True) == ["skipped", "ok"]
    # a page of what is no longer there would mislead
    assert _statuses(correction, files[0], out, overwrite=True) == ["ok"]
    assert not pages[0].exists()
    pages[0].write_text("precious")
    results = correct_files(
        correction, files[0], out, report=True, overwrite=False, progress=False
    )
    assert "was not written by mne_facet" in results[0].error
    assert pages[0].read_text() == "precious"


def test_pages_in_parallel_formats_and_folders(study, tmp_path):
    files, correction = study
    folder = tmp_path / "sub-1" / "eeg"
    folder.mkdir(parents=True)
    os.link(files[0], folder / "sub-1_task-a_eeg.fif")
    pipeline = make_pipeline(correction, Resample(250))
    with parallel_config(backend="threading", n_jobs=2):
        results = correct_files(
            pipeline,
            [folder / "sub-1_task-a_eeg.fif", files[1]],
            tmp_path / "out",
            fmt="brainvision",
            report=True,
            progress=False,
        )
    assert [result.error for result in results] == [None, None]
    html = study_page(tmp_path / "out", "facet").read_text()
    assert 'href="sub-1/eeg/sub-1_task-a_desc-facet_eeg.html"' in html
    assert not [file for file in (tmp_path / "out").rglob(".*") if file.is_file()]


def test_memory_of_pages_is_counted(study):
    files, correction = study
    without, with_pages = (
        estimate_memory(correction, files[0], report=report) for report in (False, True)
    )
    raw = mne.io.read_raw(files[0])
    channel, n_channels = 8 * raw.n_times, len(raw.ch_names)
    assert with_pages.total - without.total == 150e6 + channel * (4 + 2 * n_channels)
