"""Times in annotations: exact through crop, save and concatenation."""

from datetime import UTC, datetime

import mne
import numpy as np
import pytest

from mne_facet import _events

SFREQ = 5000.0


def _raw(n_times=200_000, first_samp=0, meas_date=None):
    info = mne.create_info(["Cz"], SFREQ, "eeg")
    raw = mne.io.RawArray(np.zeros((1, n_times)), info, first_samp=first_samp)
    return raw.set_meas_date(meas_date)


def _annotate(raw, samples):
    extras = [{"run": 0, "volume": k} for k in range(len(samples))]
    _events.write_volumes(raw, samples, extras, "TR")


def _onsets(raw):
    (run,) = _events.get_runs(raw, name="test")
    return run.onsets


@pytest.mark.parametrize("first_samp", [0, 12345])
@pytest.mark.parametrize("meas_date", [None, datetime(2020, 1, 1, tzinfo=UTC)])
def test_times_are_exact_after_crop_and_save(first_samp, meas_date, tmp_path):
    raw = _raw(first_samp=first_samp, meas_date=meas_date)
    samples = 20000.123456789 + 10000.437 * np.arange(15)
    _annotate(raw, samples)
    np.testing.assert_allclose(_onsets(raw), samples, atol=1e-6)
    cropped = raw.copy().crop(3.5)
    np.testing.assert_allclose(_onsets(cropped), samples - 17500, atol=1e-6)
    raw.save(tmp_path / "x_raw.fif")
    loaded = mne.io.read_raw_fif(tmp_path / "x_raw.fif")
    np.testing.assert_allclose(_onsets(loaded), samples, atol=1e-6)


def test_float32_onsets_of_fif_are_not_believed(tmp_path):
    raw = _raw(n_times=20_000_000)
    samples = 19_000_000 + 10000.437 * np.arange(50)
    _annotate(raw, samples)
    raw.save(tmp_path / "x_raw.fif")
    loaded = mne.io.read_raw_fif(tmp_path / "x_raw.fif")
    stored = loaded.annotations.onset * SFREQ
    assert np.abs(stored - samples).max() > 0.1
    np.testing.assert_allclose(_onsets(loaded), samples, atol=1e-5)


def test_moved_annotations_count_not_their_old_exact_time():
    raw = _raw()
    _annotate(raw, 20000.0 + 10000 * np.arange(10))
    raw.annotations.onset[:] += 0.02
    np.testing.assert_allclose(_onsets(raw), 20100.0 + 10000 * np.arange(10), atol=0.01)


def test_concatenation_shifts_onsets_and_separates_runs():
    raw = _raw()
    samples = 20000.25 + 10000 * np.arange(15)
    _annotate(raw, samples)
    joined = mne.concatenate_raws([raw.copy(), raw.copy()])
    runs = _events.get_runs(joined, name="test")
    assert [run.onsets.size for run in runs] == [15, 15]
    np.testing.assert_allclose(runs[1].onsets, samples + 200_000, atol=0.01)
    np.testing.assert_array_equal(_events.boundaries(joined), [200_000])


def test_run_cut_within_a_volume_starts_before_the_data():
    raw = _raw()
    samples = 20000.25 + 10000 * np.arange(15)
    _annotate(raw, samples)
    onsets = _onsets(raw.copy().crop(5.0))
    np.testing.assert_allclose(onsets, samples - 25000, atol=1e-6)
    assert onsets[0] < 0


def test_runs_without_extras_are_told_by_spacing():
    raw = _raw()
    onsets = np.r_[np.arange(1, 7), np.arange(15, 25)] * 1.0
    raw.set_annotations(mne.Annotations(onsets, 0, "TR"))
    sizes = [run.onsets.size for run in _events.get_runs(raw, name="test")]
    assert sizes == [6, 10]


def test_deleted_volume_splits_the_run():
    raw = _raw()
    _annotate(raw, 20000.0 + 10000 * np.arange(15))
    raw.annotations.delete(7)
    sizes = [run.onsets.size for run in _events.get_runs(raw, name="test")]
    assert sizes == [7, 7]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("R128", [0]), ("Response/R128", [0]), ("1", [1]), (r"S\s+1", [2]), ("R12", [])],
)
def test_patterns_match_whole_descriptions(pattern, expected):
    raw = _raw()
    names = ["Response/R128", "1", "Stimulus/S  1", "11"]
    raw.set_annotations(mne.Annotations([1, 2, 3, 4], 0, names))
    np.testing.assert_array_equal(_events.find_annotations(raw, pattern), expected)


def test_stim_onsets_are_changes_to_a_value():
    info = mne.create_info(["STI"], SFREQ, "stim")
    values = np.zeros((1, 1000))
    values[0, [0, 1, 100, 200, 201, 202]] = 1
    raw = mne.io.RawArray(values, info, first_samp=77)
    np.testing.assert_array_equal(_events.stim_onsets(raw, "STI"), [100, 200])
    with pytest.raises(ValueError, match=r"stim_channel='XX' is not .* \['STI'\]"):
        _events.stim_onsets(raw, "XX")


def test_spans_marked_bad():
    raw = _raw()
    raw.set_annotations(mne.Annotations([2.0, 5.0], [0.5, 0], ["BAD move", "blink"]))
    starts = np.array([0, 10_000, 12_000, 12_500, 25_000.0])
    bad = _events.overlaps_bad(raw, starts, starts + 500)
    np.testing.assert_array_equal(bad, [False, True, True, False, False])


def test_too_few_volumes():
    raw = _raw()
    raw.set_annotations(mne.Annotations([1], 0, "TR"))
    with pytest.raises(
        ValueError, match=r"AAS needs at least 2 .*'TR', found 1. Run Tri"
    ):
        _events.get_runs(raw, name="AAS")
    _annotate(raw, 20000.0 + 10000 * np.arange(5))
    raw.annotations.delete([1, 3])
    with pytest.raises(ValueError, match="at least 2 volumes in a row"):
        _events.get_runs(raw, name="AAS")


def test_two_volumes_are_a_run_where_there_is_no_longer_one():
    raw = _raw()
    for onsets, expected in (([1, 2], [2]), ([1, 2, 9, 10], [2, 2])):
        raw.set_annotations(mne.Annotations(onsets, 0, "TR"))
        runs = _events.get_runs(raw, name="AAS")
        assert [run.onsets.size for run in runs] == expected
    raw.set_annotations(mne.Annotations([1, 2, 9, 10, 11], 0, "TR"))
    (run,) = _events.get_runs(raw, name="AAS")
    assert run.onsets.size == 3


def test_beats_are_sorted_and_single_whoever_annotated_them():
    raw = _raw()
    times = [5.0, 1.0, 2.0, 2.0, 2.1, 3.0]
    raw.set_annotations(mne.Annotations(times, 0, "R peak"))
    beats = _events.get_beats(raw, "R peak", name="test")
    np.testing.assert_allclose(beats, SFREQ * np.array([1, 2, 3, 5]))


def test_no_beats():
    raw = _raw()
    raw.set_annotations(mne.Annotations([1.0], 0, "QRS"))
    with pytest.raises(ValueError, match=r"PulseX needs .* Run RPeak.*has: 'QRS' \(1"):
        _events.get_beats(raw, "R peak", name="PulseX")
