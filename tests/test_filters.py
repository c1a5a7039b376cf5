"""Filters are MNE's own, channel by channel and in a Pipeline."""

import mne
import numpy as np
import pytest

from mne_facet import Filter, NotchFilter, Resample


@pytest.mark.parametrize("method", ["fir", "iir"])
@pytest.mark.parametrize("band", [(1.0, 40.0), (None, 70.0), (0.5, None), (80, 40)])
def test_filter_is_mnes(simulated, band, method):
    """Also where recordings were joined, and in parts shorter than the filter."""
    raw, _ = simulated()
    raw = mne.concatenate_raws(
        [raw, raw.copy().crop(0, 1.5), raw.copy().crop(0, 0), raw.copy().crop(0, 10)]
    )
    raw.annotations.append(raw.first_time + 3.0, 0.7, "BAD_ACQ_SKIP")
    # MNE's IIR filters fail where nothing is left between two joints
    n_edges = 2 if method == "fir" else 1
    raw.annotations.append([raw.first_time + 5.0] * n_edges, 0.0, "EDGE boundary")
    expected = raw.copy().filter(*band, method=method, picks=["eeg", "ecg"])
    filtered = Filter(*band, method=method).fit_transform(raw)
    np.testing.assert_allclose(filtered.get_data(), expected.get_data(), 0, 1e-15)
    assert filtered.info["highpass"] == expected.info["highpass"]
    assert filtered.info["lowpass"] == expected.info["lowpass"]


def test_filter_longer_than_the_recording(simulated):
    raw, _ = simulated()
    with pytest.warns(RuntimeWarning, match="is longer than the signal"):
        Filter(0.01, None).fit_transform(raw)


def test_bad_channels_are_filtered_too(simulated):
    raw, _ = simulated()
    raw.info["bads"] = ["Fp1"]
    filtered = Filter(1.0, 40.0).fit_transform(raw)
    assert (filtered.get_data([0]) != raw.get_data([0])).any()


def test_notch_removes_the_mains_only(simulated):
    raw, _ = simulated(gradient=0.0)
    times = raw.times
    raw._data[0] += 50e-6 * np.sin(2 * np.pi * 50 * times)
    clean = NotchFilter(50.0).fit_transform(raw).get_data([0])[0]
    spectrum = np.abs(np.fft.rfft(clean[1000:-1000]))
    frequency = np.fft.rfftfreq(clean.size - 2000, 1e-3)
    at_mains = spectrum[np.argmin(np.abs(frequency - 50))]
    beside = np.median(spectrum[(frequency > 40) & (frequency < 45)])
    assert at_mains < 3 * beside


@pytest.mark.parametrize("method", ["fft", "polyphase"])
def test_resample(simulated, method):
    raw, _truth = simulated()
    low = Resample(250.0, method=method).fit_transform(raw)
    assert low.info["sfreq"] == 250
    assert low.n_times == raw.n_times // 4
