"""Metrics recover what was planted, in the unit they promise."""

import json
from pathlib import Path

import mne
import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

from mne_facet import AAS, compare, evaluate, metrics
from mne_facet._events import write_beats, write_volumes
from mne_facet.metrics import NotAvailable
from mne_facet.signal.spectra import band_pass, line_powers, mean_spectrum

SFREQ, TR, SLICES, N_VOLUMES, REST = 500.0, 1.0, 10, 60, 15.0
ORACLE = Path(__file__).parents[2] / "shared" / "data" / "oracle"
needs_oracle = pytest.mark.skipif(not ORACLE.exists(), reason="needs shared data")


def _record(data, first=REST, n_volumes=N_VOLUMES, n_shots=SLICES):
    """Recording in V of data in uV, with volumes."""
    info = mne.create_info(len(data), SFREQ, "eeg")
    raw = mne.io.RawArray(1e-6 * data, info)
    samples = SFREQ * (first + TR * np.arange(n_volumes))
    extra = {"run": 0, "n_shots": n_shots, "slice_period": TR / n_shots}
    extras = [{**extra, "volume": k} for k in range(n_volumes)]
    write_volumes(raw, samples, extras, "TR")
    return raw


@pytest.fixture(scope="module")
def eeg():
    """Noise of 10 uV and a flat spectrum from 1 to 70 Hz, shape (3, n_times)."""
    n_times = int(SFREQ * (2 * REST + TR * N_VOLUMES))
    noise = np.random.default_rng(1).normal(size=(3, n_times))
    noise = band_pass(noise, SFREQ, 1.0, 70.0)
    return 10 * noise / noise.std(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def scan(eeg):
    """Whether a sample is in the scan, and its time in s from the start of it."""
    times = np.arange(eeg.shape[1]) / SFREQ - REST
    return (times >= 0) & (times < TR * N_VOLUMES), times


def _wave(scan, amplitude, freq=SLICES / TR):
    running, times = scan
    return amplitude * running * np.sin(2 * np.pi * freq * times)


def test_ideal_correction_has_ideal_values(eeg, scan):
    raw, clean = _record(eeg + _wave(scan, 500)), _record(eeg)
    np.testing.assert_allclose(metrics.rms_residual(raw, clean), 1, atol=0.03)
    np.testing.assert_allclose(metrics.excess_power(raw, clean), 0, atol=0.06)
    np.testing.assert_allclose(metrics.power_kept(raw, clean), 100, atol=40)
    np.testing.assert_allclose(metrics.fft_deviation(raw, clean), 0, atol=20)
    assert np.abs(metrics.line_excess(clean)).max() < 3
    assert np.abs(metrics.line_excess(clean, "volume").mean(axis=1)).max() < 0.5
    assert np.all(metrics.locked_amplitude(clean) < 1.5)
    assert np.all(metrics.outside_change(raw, clean) == 0)
    quiet = metrics.artifact_amplitude(clean, when="quiet")
    np.testing.assert_allclose(metrics.artifact_amplitude(clean), quiet, rtol=0.06)
    truth = metrics.against_truth(clean, clean)
    assert np.all(truth["snr"] == np.inf)
    for key, ideal in (("correlation", 1), ("gain", 1), ("alpha_kept", 100)):
        np.testing.assert_allclose(truth[key], ideal)


@pytest.mark.parametrize("amplitude", [2.0, 10.0, 50.0])
def test_residual_of_known_amplitude(eeg, scan, amplitude):
    clean = _record(eeg + _wave(scan, amplitude))
    locked = metrics.locked_amplitude(clean)
    np.testing.assert_allclose(locked**2, amplitude**2 / 2, rtol=0.05, atol=2)
    share = amplitude**2 / (amplitude**2 + 2 * 10**2)
    np.testing.assert_allclose(metrics.locked_share(clean), 100 * share, atol=4)
    excess = metrics.excess_power(_record(eeg), clean)
    np.testing.assert_allclose(excess, amplitude**2 / 200, rtol=0.13, atol=0.06)


def test_amplitude_of_a_wave_is_its_peak_to_peak(eeg, scan):
    raw = _record(np.zeros_like(eeg) + _wave(scan, 30))
    np.testing.assert_allclose(metrics.artifact_amplitude(raw), 60, rtol=0.02)


def test_lines_are_attenuated_and_stand_out_by_what_was_planted(eeg, scan):
    raw = _record(_wave(scan, 1000) + 1e-3 * eeg)
    for after in (1.0, 10.0):
        clean = _record(_wave(scan, after) + 1e-3 * eeg)
        change = metrics.line_attenuation(raw, clean)[:, 0]
        np.testing.assert_allclose(change, 20 * np.log10(after / 1000), atol=0.1)
    excess = [
        metrics.line_excess(_record(_wave(scan, a) + 1e-3 * eeg))[:, 0] for a in (1, 10)
    ]
    np.testing.assert_allclose(excess[1] - excess[0], 20, atol=0.1)


def test_notch_is_seen_at_its_line(eeg, scan):
    spectrum = np.fft.rfft(eeg)
    freqs = np.fft.rfftfreq(eeg.shape[1], 1 / SFREQ)
    spectrum[:, np.abs(freqs - 20) < 0.35] *= 0.1
    clean = _record(np.fft.irfft(spectrum, eeg.shape[1]))
    excess = metrics.line_excess(clean)
    assert np.all(excess[:, 1] < -10)
    assert np.all(excess[:, [0, 2, 3]] > -3)


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.2])
def test_loss_of_known_size(eeg, scan, gain):
    raw = _record(eeg)
    clean = _record(eeg * np.where(scan[0], gain, 1))
    np.testing.assert_allclose(metrics.rms_residual(raw, clean), gain, rtol=0.03)
    np.testing.assert_allclose(metrics.rms_ratio(raw, clean), 1 / gain, rtol=1e-2)
    kept = metrics.power_kept(raw, clean) / metrics.power_kept(raw, raw)
    np.testing.assert_allclose(kept, gain**2, rtol=1e-3)
    change = metrics.fft_deviation(raw, clean) - gain * metrics.fft_deviation(raw, raw)
    np.testing.assert_allclose(change, 100 * (gain - 1), atol=0.1)
    truth = metrics.against_truth(clean, raw.get_data())
    np.testing.assert_allclose(truth["gain"], gain, rtol=0.01)
    np.testing.assert_allclose(truth["alpha_kept"], 100 * gain**2, rtol=0.02)
    np.testing.assert_allclose(truth["snr"], -20 * np.log10(abs(1 - gain)), atol=0.2)
    np.testing.assert_allclose(truth["correlation"], 1, atol=1e-4)


def test_band_loss_is_told_by_its_band(eeg):
    raw = _record(eeg)
    clean = raw.copy().filter(None, 8.0, verbose="ERROR")
    kept = metrics.power_kept(raw, clean) / metrics.power_kept(raw, raw)
    assert np.all(kept[:, 0] > 0.95)
    assert np.all(kept[:, 3] < 0.01)
    bands = metrics.power_kept(raw, clean, bands=[(20.0, 30.0)])
    assert bands.shape == (3, 1)


def test_zeros(eeg):
    raw, clean = _record(eeg), _record(0 * eeg)
    assert np.all(metrics.rms_ratio(raw, clean) == np.inf)
    assert np.all(metrics.rms_residual(raw, clean) == 0)
    assert np.all(metrics.line_attenuation(raw, clean) == -np.inf)
    assert np.all(metrics.power_kept(raw, clean) == 0)
    truth = metrics.against_truth(clean, raw)
    np.testing.assert_allclose(truth["snr"], 0)
    np.testing.assert_allclose(truth["gain"], 0)


def test_change_outside_the_scan(eeg, scan):
    times = scan[1]
    near = (times > -0.4) & (times < TR * N_VOLUMES + 0.4)
    noise = band_pass(np.random.default_rng(1).normal(size=eeg.shape), SFREQ, 2, 60)
    noise *= 3 / noise.std()
    raw, clean = _record(eeg), _record(eeg + noise * ~near)
    np.testing.assert_allclose(metrics.outside_change(raw, clean), 3, rtol=0.05)
    clean = _record(eeg + noise * near)
    assert np.all(metrics.outside_change(raw, clean) == 0)


def _with_beats(eeg, amplitude):
    """EEG with a wave after every R peak, 0.7 to 1.1 s apart, in uV."""
    rng = np.random.default_rng(2)
    beats = np.cumsum(rng.uniform(0.7, 1.1, 90))
    times = np.arange(eeg.shape[1]) / SFREQ
    pulse = sum(np.exp(-0.5 * ((times - beat - 0.2) / 0.05) ** 2) for beat in beats)
    raw = _record(eeg + amplitude * pulse)
    write_beats(raw, beats * SFREQ, [{"kind": "given"}] * len(beats), "R peak")
    return raw


def test_pulse_metrics_follow_the_amplitude(eeg):
    none = 1e-3 * eeg
    raw, clean = _with_beats(none, 100.0), _with_beats(none, 10.0)
    np.testing.assert_allclose(metrics.pulse_residual(raw, clean), 10, rtol=0.01)
    np.testing.assert_allclose(metrics.inps(raw, clean), 20, atol=0.1)
    before, after = (
        metrics.locked_amplitude(one, "R peak", l_freq=None) for one in (raw, clean)
    )
    np.testing.assert_allclose(before / after, 10, rtol=0.01)
    assert np.all(metrics.locked_amplitude(_with_beats(eeg, 0.0), "R peak") < 2)


def test_ratios_do_not_depend_on_the_unit(eeg, scan):
    raw, clean = _record(eeg + _wave(scan, 100)), _record(eeg + _wave(scan, 5))
    large = [one.copy().apply_function(lambda x: 1e6 * x) for one in (raw, clean)]
    for name in (
        "rms_ratio",
        "rms_residual",
        "fft_deviation",
        "power_kept",
        "line_attenuation",
    ):
        metric = getattr(metrics, name)
        np.testing.assert_allclose(
            metric(*large), metric(raw, clean), rtol=1e-6, atol=1e-9
        )
    for name in ("artifact_amplitude", "locked_amplitude"):
        metric = getattr(metrics, name)
        np.testing.assert_allclose(metric(large[1]), 1e6 * metric(clean), rtol=1e-6)


def test_bad_spans_do_not_count(eeg, scan):
    raw, clean = _record(eeg + _wave(scan, 100)), _record(eeg)
    burst = clean.copy()
    for start in (3.0, 40.0):  # in the quiet part, and in the scan
        samples = slice(int(start * SFREQ), int((start + 1) * SFREQ))
        burst._data[:, samples] += 5e-3 * np.sin(np.arange(int(SFREQ)))
        for one in (raw, clean, burst):
            one.annotations.append(start - 0.3, 1.6, "BAD_burst")
    for name in ("rms_residual", "power_kept", "fft_deviation", "outside_change"):
        metric = getattr(metrics, name)
        np.testing.assert_allclose(metric(raw, burst), metric(raw, clean), rtol=1e-6)


def test_bad_channels_are_left_out(eeg):
    raw = _record(eeg)
    raw.info["bads"] = ["1"]
    assert metrics.rms_ratio(raw, raw).shape == (2,)
    assert metrics.rms_ratio(raw, raw, picks="all").shape == (3,)


@pytest.mark.parametrize(
    ("every", "removed"), [(1, 1.0), (2, 0.5), (4, 0.25)], ids=lambda x: f"{x}"
)
def test_events_in_step_with_volumes(eeg, every, removed):
    raw = _record(eeg)
    onsets = REST + 0.3 + TR * np.arange(0, N_VOLUMES, every)
    raw.annotations.append(onsets, 0, "flash")
    with pytest.warns(RuntimeWarning, match="flash: .* locked to the volumes. Aver"):
        locking = metrics.tr_locking(raw, "flash", window=20)
    assert locking.n_events == len(onsets)
    assert locking.value == pytest.approx(1, abs=1e-6)
    assert locking.probability < 1e-4
    assert locking.removed == pytest.approx(removed, abs=0.06)
    assert locking.locked
    assert f"Averages over volumes take about {100 * locking.removed:.0f} %" in str(
        locking
    )


def test_events_at_random_and_outside(eeg):
    raw = _record(eeg)
    rng = np.random.default_rng(0)
    onsets = REST + rng.uniform(0, TR * N_VOLUMES, 80)
    raw.annotations.append(onsets, 0, "flash")
    raw.annotations.append([1.0, 80.0], 0, "flash")
    locking = metrics.tr_locking(raw, "flash")
    assert locking.n_events == 80
    assert locking.probability > 0.01
    assert locking.removed < 0.1
    assert str(locking).endswith("not locked to the volumes.")
    raw.annotations.append(1.0, 0, "early")
    with pytest.raises(ValueError, match="None of the 1 events 'early' is in the scan"):
        metrics.tr_locking(raw, "early")
    with pytest.raises(ValueError, match=r"events='beep' .* The recording has: 'TR'"):
        metrics.tr_locking(raw, "beep")


def test_two_phases_have_no_mean_but_are_locked(eeg):
    raw = _record(eeg)
    phase = np.tile([0.2, 0.7], N_VOLUMES // 2)
    raw.annotations.append(REST + TR * np.arange(N_VOLUMES) + phase, 0, "flash")
    with pytest.warns(RuntimeWarning, match=r"take about [45]\d % of what these"):
        locking = metrics.tr_locking(raw, "flash")
    assert locking.value < 0.01
    assert locking.removed == pytest.approx(0.5, abs=0.05)


def test_different_recordings(eeg):
    raw = _record(eeg)
    with pytest.raises(ValueError, match=r"same channels .* different is \['2'\]"):
        metrics.rms_ratio(raw, raw.copy().drop_channels("2"))
    other = raw.copy().reorder_channels(["1", "0", "2"])
    with pytest.raises(ValueError, match="different is the order"):
        metrics.rms_ratio(raw, other)
    with pytest.raises(ValueError, match="same samples, got 45000 at 500 Hz and 30000"):
        metrics.rms_ratio(raw, raw.copy().crop(0, 60, include_tmax=False))
    with pytest.raises(ValueError, match=r"truth has the shape \(1, 45000\)"):
        evaluate(raw, raw, truth=raw.get_data()[:1])


def test_what_is_missing_is_named(eeg):
    bare = _record(eeg).set_annotations(None)
    with pytest.raises(NotAvailable, match="needs at least 2 annotations"):
        metrics.rms_ratio(bare, bare)
    whole = _record(eeg, first=1.0, n_volumes=88)
    with pytest.raises(NotAvailable, match="At least 4 s without scanning"):
        metrics.rms_residual(whole, whole)
    volumes = _record(eeg, n_shots=1)
    with pytest.raises(NotAvailable, match="number of slices per volume is not known"):
        metrics.line_excess(volumes)
    short = _record(eeg, n_volumes=7)
    with pytest.raises(NotAvailable, match="8 volumes in a row"):
        metrics.line_excess(short, "volume")
    with pytest.raises(NotAvailable, match=r"At least 8 annotations described 'R pe"):
        metrics.inps(whole, whole)
    with pytest.raises(NotAvailable, match=r"no volume harmonic below 0.5 Hz"):
        metrics.line_excess(volumes, "volume", h_freq=0.5)
    misc = mne.io.RawArray(whole.get_data(), mne.create_info(3, SFREQ, "misc"))
    with pytest.raises(ValueError, match=r"no EEG channel .* has \['misc'\]"):
        metrics.rms_ratio(misc, misc)


def test_epochs_marked_bad_are_not_enough(eeg):
    raw = _record(eeg)
    raw.annotations.append(REST + 5, 54, "BAD_all")
    with pytest.raises(NotAvailable, match=r"At least 8 of the 60 .* must be outside"):
        metrics.locked_amplitude(raw)


def test_data_must_be_finite(eeg):
    raw = _record(eeg)
    raw._data[1, 100] = np.nan
    with pytest.raises(ValueError, match="1 holds NaN or Inf"):
        evaluate(raw, raw)
    assert evaluate(raw, raw, picks=["0", "2"])["rms_ratio"] == 1


def test_flat_channels(eeg, scan):
    data = eeg + _wave(scan, 100)
    expected = evaluate(_record(data[:2]), _record(eeg[:2]))
    data[2] = 0
    flat = _record(data)
    assert np.all(metrics.fft_deviation(flat, flat)[2] == 0)
    for name in ("rms_ratio", "rms_residual"):
        assert getattr(metrics, name)(flat, flat)[2] == 1
    clean = np.vstack([eeg[:2], 0 * eeg[:1]])
    with mne.utils.catch_logging("INFO") as log:
        row = evaluate(flat, _record(clean))
    assert "evaluate: flat channels are left out: 2" in log.getvalue()
    assert row == pytest.approx(expected, nan_ok=False)
    with pytest.raises(ValueError, match="All channels are flat"):
        evaluate(flat, flat, picks=["2"])


def test_groups_of_channels_are_put_together(eeg):
    data = np.tile(eeg, (4, 1)) * np.linspace(1, 3, 12)[:, np.newaxis]
    raw, clean = _record(data), _record(0.9 * data)
    row = evaluate(raw, clean)
    amplitude = np.median(metrics.artifact_amplitude(clean))
    assert row["amplitude_after"] == pytest.approx(amplitude, rel=1e-6)


def test_each_recording_adds_the_annotations_the_other_lacks(eeg):
    raw, clean = _with_beats(eeg, 20.0), _record(eeg)
    row = evaluate(raw, clean)
    assert row["pulse_locked"] < row["pulse_locked_before"] - 2
    assert row["rms_residual"] is not None


def test_removed_pulse_artifact_is_not_lost_eeg(simulated):
    raw, truth = simulated(sfreq=500.0, duration=60.0, n_eeg=8, pulse=1.0, rest=8.0)
    write_volumes(raw, truth.volume_times * 500, [{}] * len(truth.volume_times), "TR")
    write_beats(raw, truth.beat_times * 500, [{}] * len(truth.beat_times), "R peak")
    clean = raw.copy()
    clean._data[:] = truth.eeg
    rows = {
        "kept": evaluate(raw, clean),
        "pulse left": evaluate(raw, mne.io.RawArray(truth.clean, raw.info)),
        "zeros": evaluate(raw, _scaled(clean, 0)),
        "low-pass": evaluate(raw, clean.copy().filter(None, 10, verbose="ERROR")),
    }
    assert rows["kept"]["grade"] == "good"
    assert rows["kept"]["pulse_locked_before"] > 3 * rows["kept"]["pulse_locked"]
    assert "pulse artifact is left" in rows["pulse left"]["grade_reason"]
    assert "alpha is lost" in rows["zeros"]["grade_reason"]
    assert "beta is lost" in rows["low-pass"]["grade_reason"]


def _scaled(raw, gain):
    raw = raw.copy()
    raw._data *= gain
    return raw


def test_too_short_or_bad_throughout(eeg):
    raw = _record(eeg)
    short = raw.copy().crop(14, 20)
    all_bad = raw.copy()
    all_bad.annotations.append(0, 100, "BAD_all")
    pieces = raw.copy()
    pieces.annotations.append(np.arange(0, 90, 0.9), 0.1, "BAD_often")
    for one in (short, all_bad, pieces):
        row = evaluate(one, one)
        lacking = [key for key, value in row.items() if value is None]
        assert {"rms_residual", "kept_alpha", "volume_excess"} <= set(lacking)
        assert all(row[f"{key}_reason"] for key in lacking)
        assert not any(value != value for value in row.values())
    with pytest.raises(NotAvailable, match="1 s of scanning in one piece"):
        metrics.artifact_amplitude(pieces)


def test_runs_that_differ_have_no_lines_in_common(eeg):
    raw = _record(eeg)
    first, second = 5.0 + TR * np.arange(30), 40.0 + 1.3 * np.arange(30)
    extras = [
        {"run": run, "volume": k, "n_shots": 10, "slice_period": period / 10}
        for run, period in ((0, 1.0), (1, 1.3))
        for k in range(30)
    ]
    write_volumes(raw, SFREQ * np.r_[first, second], extras, "TR")
    with pytest.raises(NotAvailable, match="The scanner runs differ in TR or slices"):
        metrics.line_excess(raw)
    assert np.all(metrics.rms_ratio(raw, raw) == 1)


def test_bands_that_spectra_do_not_have(eeg):
    raw = _record(eeg)
    for band in ((30.0, 300.0), (5.1, 5.2)):
        with pytest.raises(NotAvailable, match=r"The band from .* is not in spectra"):
            metrics.power_kept(raw, raw, [band])


def test_data_that_are_not_finite_are_an_error_in_every_metric(eeg):
    raw = _with_beats(eeg, 10.0)
    wrong = raw.copy()
    wrong._data[1, 20_000] = np.inf
    for name in ("rms_ratio", "fft_deviation", "pulse_residual"):
        with pytest.raises(ValueError, match="1 holds NaN or Inf"):
            getattr(metrics, name)(raw, wrong)
    for name in ("line_excess", "locked_amplitude", "artifact_amplitude"):
        with pytest.raises(ValueError, match="1 holds NaN or Inf"):
            getattr(metrics, name)(wrong)
    with pytest.raises(ValueError, match="1 holds NaN or Inf"):
        metrics.against_truth(wrong, raw)
    wrong = raw.copy()
    wrong._data[1, 2000] = np.nan
    with pytest.raises(ValueError, match="1 holds NaN or Inf"):
        metrics.outside_change(raw, wrong)


def test_inverted_alpha_is_not_kept(eeg):
    truth = metrics.against_truth(_record(-eeg), _record(eeg))
    assert np.all(truth["alpha_kept"] == 0)
    np.testing.assert_allclose(truth["gain"], -1)


def test_unknown_options(eeg):
    raw = _record(eeg)
    with pytest.raises(ValueError, match="level='shot' is unknown"):
        metrics.line_excess(raw, "shot")
    with pytest.raises(ValueError, match="when='later' is unknown"):
        metrics.artifact_amplitude(raw, when="later")


def test_row_has_a_number_or_a_reason(eeg, scan):
    raw, clean = _record(eeg + _wave(scan, 500)), _record(eeg)
    row = evaluate(raw, clean, truth=clean)
    for key, value in row.items():
        if value is None:
            assert "'R peak'" in row[f"{key}_reason"]
        elif not isinstance(value, str):
            assert isinstance(value, float)
            assert not np.isnan(value)
    assert row["snr"] == np.inf
    assert row["amplitude_before"] == pytest.approx(1000, rel=0.02)
    assert "score" not in row
    assert row["grade"] == "good"
    assert row["grade_reason"] == "All of 12 limits are kept."


def test_annotations_may_be_in_either_recording(eeg, scan):
    raw, clean = _record(eeg + _wave(scan, 500)), _record(eeg)
    expected = evaluate(raw, clean)
    bare = [one.copy().set_annotations(None) for one in (raw, clean)]
    assert evaluate(bare[0], clean) == expected
    assert evaluate(raw, bare[1]) == expected


@pytest.mark.parametrize(
    ("damage", "grade", "reason"),
    [
        (lambda x, scan: 0 * x, "poor", "alpha is lost"),
        (lambda x, scan: 0.68 * x, "watch", "beta is lost"),
        (lambda x, scan: x + _wave(scan, 5), "watch", "artifact is left at the slice"),
        (lambda x, scan: x + _wave(scan, 20), "poor", "artifact is left in step with"),
        (lambda x, scan: band_pass(x, SFREQ, None, 6.0), "poor", "beta is lost"),
    ],
    ids=["zeros", "gain", "little", "much", "low-pass"],
)
def test_grades(eeg, scan, damage, grade, reason):
    raw, clean = _record(eeg + _wave(scan, 500)), _record(damage(eeg, scan))
    row = evaluate(raw, clean)
    assert row["grade"] == grade
    assert reason in row["grade_reason"]


def test_no_grade_without_metrics(eeg):
    bare = _record(eeg).set_annotations(None)
    row = evaluate(bare, bare, estimator=FunctionTransformer())
    assert row["score"] is None
    assert row["score_reason"].startswith("Neither volumes")
    assert row["grade"] is None
    assert row["grade_reason"].startswith("No metric")


def test_comparison_prints_a_column_for_each(simulated):
    raw, truth = simulated(sfreq=500.0, duration=50.0, rest=8.0)
    write_volumes(raw, truth.volume_times * 500, [{}] * len(truth.volume_times), "TR")
    estimators = {"two": AAS(2), "a long name, many": AAS(16)}
    table = compare(estimators, raw, truth.eeg)
    assert [row["name"] for row in table] == list(estimators)
    two, many = table
    assert many["score"] > two["score"] + 5
    assert many["snr"] > two["snr"] + 5
    assert many["score"] == pytest.approx(many["snr"], abs=2.5)
    lines = str(table).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("  ")[-1] == "a long name, many"
    assert lines[1].startswith("Grade")
    assert "INPS" not in str(table)  # there are no beats
    assert raw.get_data().std() > 1e-4  # the input is as it was


def test_noise_has_as_much_at_lines_as_between_them():
    rng = np.random.default_rng(0)
    lines, between, n = line_powers([rng.normal(size=(4, 200_000))], 251.3)
    assert n == 198
    np.testing.assert_allclose(lines.mean() / between.mean(), 1, atol=0.01)


def test_spectrum_of_pieces_is_their_mean():
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=(2, 1000)), rng.normal(size=(2, 600)), np.ones((2, 10))]
    together, n = mean_spectrum(pieces, 200)
    parts = [mean_spectrum([piece], 200) for piece in pieces]
    assert [count for _, count in parts] == [9, 5, 0]
    expected = sum(count * spectrum for spectrum, count in parts) / n
    np.testing.assert_allclose(together, expected)


def _oracle(run):
    """Recordings before and after, and what FACET's Eval says of the same channels."""
    said = json.loads((ORACLE / "eval" / f"{run}.json").read_text())
    dataset, name = run.split("__")
    data = np.load(ORACLE / "data" / f"{dataset}.npz")
    result = np.load(ORACLE / dataset / f"{name}.npz")
    if "clean_uV" in result:
        clean = result["clean_uV"].astype(float)
    else:
        clean = result["clean_int16"] * result["clean_scale_uV"][:, np.newaxis]
    kept = [i for i, c in enumerate(result["clean_channels"]) if c in said["channels0"]]
    channels, start = result["clean_channels"][kept], int(result["clean_start_sample0"])
    before = data["raw_int16"][channels] * float(data["lsb_V"])
    after = before.copy()
    after[:, start : start + clean.shape[1]] = 1e-6 * clean[kept]
    rows = [said["channels0"].index(c) for c in channels]
    n_volumes, n_slices = len(data["volume_samples"]), len(data["slice_samples"])
    period = np.diff(data["volume_samples"]).mean() / 1000
    n_shots = n_slices // n_volumes
    extra = {"run": 0, "n_shots": n_shots, "slice_period": period / n_shots}
    raws = []
    for x in (before, after):
        raw = mne.io.RawArray(x, mne.create_info(len(x), 1000.0, "eeg"))
        extras = [{**extra, "volume": k} for k in range(n_volumes)]
        write_volumes(raw, data["volume_samples"], extras, "TR")
        raws.append(raw)
    return *raws, said, rows


RUNS = sorted(path.stem for path in (ORACLE / "eval").glob("*.json"))


@needs_oracle
@pytest.mark.parametrize("run", RUNS)
def test_agrees_with_facet(run):
    """RMS to 2 and 6 %, power to 23 %, amplitudes to a half, lines to 9 dB.

    FACET leaves out the ends of the scan, takes amplitudes from 10 windows, and lines
    from single bins of a spectrum of all of it, where the EEG hides less of them.
    """
    raw, clean, said, rows = _oracle(run)
    wide = {"l_freq": 1.0, "h_freq": None}
    ratio = np.array(said["rms_correction"]["data"])[rows]
    np.testing.assert_allclose(metrics.rms_ratio(raw, clean, **wide), ratio, rtol=0.02)
    residual = np.array(said["rms_residual"]["data"])[rows]
    found = metrics.rms_residual(raw, clean, **wide)
    np.testing.assert_allclose(found, residual, rtol=0.06)
    # FACET's SNR is the inverse of the excess
    power = 1 + 1 / np.array(said["snr_residual"]["data"])[rows]
    found = 1 + metrics.excess_power(raw, clean, **wide)
    np.testing.assert_allclose(found, power, rtol=0.23)
    amplitude = said["amp_median"]
    quiet = metrics.artifact_amplitude(raw, when="quiet", **wide)
    assert np.all(quiet > amplitude["wmin"] / 1.5)
    assert np.all(quiet < 1.5 * amplitude["wmax"])
    after = metrics.artifact_amplitude(clean, **wide)
    assert np.all((after > amplitude["min"] / 1.5) & (after < 1.5 * amplitude["max"]))
    lines = metrics.line_attenuation(raw, clean)
    ratios = np.array(said["fft_niazy"]["sratios"])[rows, : lines.shape[1]]
    assert 0 < lines.mean() - 10 * np.log10(ratios).mean() < 9
