"""The simulated recordings obey the physics and are the sum of their parts."""

import numpy as np
import pytest
from scipy.signal import welch

from mne_facet import simulate_raw

SMALL = {"duration": 20.0, "sfreq": 2000.0, "n_eeg": 3, "rest": 2.0, "n_slices": 10}
SYNCHRONISED = {**SMALL, "clock_ppm": 0.0, "movement": 0.0}
PAUSED = [2.0, 4.0, 6.0, 12.0, 14.0, 16.0]


def _annotated(raw, description):
    """Return the annotated times, from the first sample."""
    chosen = raw.annotations.description == description
    return raw.annotations.onset[chosen] - raw.first_time


@pytest.fixture(scope="module")
def default():
    """One minute without the converter."""
    return simulate_raw(sfreq=1000.0, resolution=None, clip=None, trigger="stim")


def test_parts_add_up(default):
    raw, truth = default
    np.testing.assert_array_equal(
        raw.get_data(), truth.eeg + truth.gradient + truth.pulse
    )
    np.testing.assert_array_equal(truth.clean, truth.eeg + truth.pulse)


def test_layout_of_the_recording():
    raw, truth = simulate_raw(**SMALL, n_wires=2, trigger="stim")
    names = ["Fp1", "Fp2", "C3", "ECG", "CWL1", "CWL2", "STI"]
    assert raw.ch_names == names
    assert raw.get_channel_types()[3:] == ["ecg", "misc", "misc", "stim"]
    assert raw.get_montage() is not None
    assert raw.info["meas_date"].year == 2020
    assert truth.realignment.shape == (8, 6)
    assert truth.volume_times[0] == 2.0
    assert truth.volume_times[-1] + 2.0 <= 18.0 + 1e-4


def test_same_seed_same_recording():
    first, again, other = (simulate_raw(**SMALL, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.get_data(), again.get_data())
    assert first.annotations == again.annotations
    assert not np.array_equal(first.get_data(), other.get_data())


@pytest.mark.parametrize(
    ("option", "part"), [("eeg", "eeg"), ("gradient", "gradient"), ("pulse", "pulse")]
)
def test_switching_one_part_off_leaves_the_others(option, part):
    _, full = simulate_raw(**SMALL, n_wires=0, ecg=False)
    _, less = simulate_raw(**SMALL, n_wires=0, ecg=False, **{option: 0.0})
    assert not np.any(getattr(less, part))
    for name in {"eeg", "gradient", "pulse"} - {part}:
        np.testing.assert_array_equal(getattr(less, name), getattr(full, name))


@pytest.mark.parametrize(
    "options",
    [
        {"evoked": 0.0, "blinks": False, "alpha": 0.0},
        {"ecg": False},
        {"trigger": None},
        {"trigger_jitter": 3, "missing": 0.2},
    ],
)
def test_other_options_leave_both_artifacts(options):
    _, full = simulate_raw(**SMALL)
    _, less = simulate_raw(**SMALL, **options)
    np.testing.assert_array_equal(less.pulse[:3], full.pulse[:3])
    np.testing.assert_array_equal(less.beat_times, full.beat_times)
    if "ecg" not in options:
        np.testing.assert_array_equal(less.gradient, full.gradient)


def test_synchronised_gradient_is_periodic():
    _, truth = simulate_raw(**SYNCHRONISED)
    np.testing.assert_array_equal(truth.volume_times, 2.0 + 2.0 * np.arange(8))
    volumes = truth.gradient[:, 4000:36000].reshape(4, 8, 4000)
    error = np.abs(volumes[:, 2:] - volumes[:, 1:2]).max()
    assert error < 1e-9 * np.abs(volumes).max()


def test_gradient_starts_from_rest_and_rings_out():
    _, truth = simulate_raw(**SYNCHRONISED, lowpass=20.0)
    gradient, peak = truth.gradient, np.abs(truth.gradient).max()
    assert not np.any(gradient[:, :4000])
    assert np.abs(gradient[:, 4000]).max() < 1e-6 * peak
    ringing = np.abs(gradient[:, 36000:]).max(axis=0) / peak
    assert ringing[:20].max() > 1e-9
    assert not np.any(ringing[2000:])
    first, later = gradient[:, 4000:8000], gradient[:, 8000:12000]
    assert np.abs(first - later)[:, :20].max() > 1e-9 * peak
    np.testing.assert_allclose(first[:, 2000:], later[:, 2000:], atol=1e-9 * peak)


@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_clock_shifts_the_period(ppm):
    _, truth = simulate_raw(**{**SYNCHRONISED, "clock_ppm": ppm})
    first, last = truth.gradient[0, [range(8000, 12000), range(32000, 36000)]]
    taper = np.hanning(4000)
    cross = np.fft.rfft(last * taper) * np.conj(np.fft.rfft(first * taper))
    band = slice(20, 400)
    radians = 2 * np.pi * np.arange(2001)[band] / 4000
    weights = np.abs(cross[band])
    slope = np.sum(weights * radians * np.angle(cross[band]))
    delay = -slope / np.sum(weights * radians**2)
    assert delay == pytest.approx(-6 * 4000 * ppm * 1e-6, rel=0.02)


def test_clock_wanders_slowly():
    _, truth = simulate_raw(400.0, sfreq=600.0, n_eeg=1)
    periods = np.diff(truth.volume_times)
    ppm = 1e6 * (2.0 / periods - 1)
    assert np.abs(ppm - 5).max() < 0.5
    assert 0 < np.abs(np.diff(ppm)).max() < 0.2


def test_movement_changes_the_shape():
    """Not the size only: the axes mix."""
    _, truth = simulate_raw(**{**SYNCHRONISED, "movement": 20.0}, ecg=False)
    volumes = truth.gradient[0, 4000:36000].reshape(8, 4000)
    explained = np.linalg.svd(volumes, compute_uv=False)
    assert explained[1] > 1e-3 * explained[0]
    assert not np.any(truth.realignment[0])
    assert np.abs(truth.realignment[-1]).max() > 0.2


def test_realignment_is_a_random_walk():
    _, truth = simulate_raw(400.0, sfreq=600.0, n_eeg=1, tr=0.5, n_slices=10)
    steps = np.diff(truth.realignment, axis=0)
    assert 1.4826 * np.median(np.abs(steps)) == pytest.approx(0.02, rel=0.1)


def test_gradient_amplitudes():
    _, truth = simulate_raw(20.0, n_eeg=9, n_wires=1, clock_ppm=0.0, movement=0.0)
    sizes = np.ptp(truth.gradient, axis=1)
    assert np.median(sizes[:9]) == pytest.approx(4e-3, rel=0.1)
    assert sizes[9] == pytest.approx(12e-3, rel=0.1)
    assert sizes[:9].max() / sizes[:9].min() < 11
    _, wide = simulate_raw(20.0, n_eeg=9, n_wires=1, lowpass=1000.0, movement=0.0)
    assert np.median(np.ptp(wide.gradient, axis=1)[:9]) > 3 * 4e-3


def test_slice_times():
    options = {**SYNCHRONISED, "n_slices": 24, "multiband_factor": 3}
    _, truth = simulate_raw(**options, volume_gap=0.4)
    slices = truth.slice_times.reshape(8, 8)
    np.testing.assert_allclose(slices[:, 0], truth.volume_times, rtol=1e-12)
    np.testing.assert_allclose(np.diff(slices, axis=1), 0.2, rtol=1e-9)
    silence = truth.gradient[:, int(3.7 * 2000) : int(4.0 * 2000)]
    assert np.abs(silence).max() < 1e-9 * np.abs(truth.gradient).max()


@pytest.mark.parametrize(
    ("trigger", "description", "per_volume"),
    [("volume", "Response/R128", 1), ("slice", "Response/Slice", 10)],
)
def test_triggers_are_rounded_to_samples(trigger, description, per_volume):
    raw, truth = simulate_raw(**SMALL, trigger=trigger, trigger_lag=0.0123)
    times = truth.volume_times if per_volume == 1 else truth.slice_times
    samples = _annotated(raw, description) * 2000
    assert len(samples) == 8 * per_volume
    np.testing.assert_allclose(samples, np.rint(samples), atol=0.01)
    assert np.abs(samples - (times + 0.0123) * 2000).max() <= 0.51


def test_trigger_jitter_and_missing():
    raw, truth = simulate_raw(
        **SMALL, trigger="slice", trigger_jitter=2, missing=0.25, seed=3
    )
    samples = np.rint(_annotated(raw, "Response/Slice") * 2000)
    true = np.rint(truth.slice_times * 2000)
    assert len(samples) == 60
    errors = np.abs(samples[:, None] - true).min(axis=1)
    assert set(errors) == {0, 1, 2}


def test_no_trigger_outside_the_data():
    raw, _ = simulate_raw(**SMALL, trigger_lag=-3.0, evoked=0.0)
    assert len(_annotated(raw, "Response/R128")) == 7
    raw, _ = simulate_raw(**SMALL, trigger=None, evoked=0.0)
    assert len(raw.annotations) == 0


def test_stim_channel(default):
    raw, truth = default
    signal = raw.get_data("STI")[0]
    assert set(signal) == {0, 1}
    rises = np.flatnonzero(np.diff(signal) == 1) + 1
    falls = np.flatnonzero(np.diff(signal) == -1) + 1
    np.testing.assert_array_equal(rises, np.rint(truth.volume_times * 1000))
    assert (falls - rises).min() >= 1
    assert (falls - rises).max() <= 5
    assert "Response/R128" not in raw.annotations.description


def test_given_volume_times_with_a_pause():
    raw, truth = simulate_raw(**SMALL, volume_times=PAUSED)
    np.testing.assert_array_equal(truth.volume_times, PAUSED)
    np.testing.assert_allclose(_annotated(raw, "Response/R128"), PAUSED, atol=1e-6)
    size = np.abs(truth.gradient).max(axis=0)
    assert size[4000:16000].max() > 1e-3
    assert not np.any(size[16200:24000])
    assert size[24000:26000].max() > 1e-3


def test_volume_times_between_samples():
    """What moves by half a sample is the waveform, not its samples."""
    exact = simulate_raw(**SYNCHRONISED, volume_times=PAUSED)[1].gradient[0]
    times = np.array(PAUSED) + 0.5 / 2000
    late = simulate_raw(**SYNCHRONISED, volume_times=times)[1].gradient[0]
    twice = simulate_raw(
        **{**SYNCHRONISED, "sfreq": 4000.0}, volume_times=PAUSED, lowpass=250.0
    )[1].gradient[0]
    np.testing.assert_allclose(exact, twice[::2], atol=1e-9)
    np.testing.assert_allclose(late[1:], twice[1::2][:-1], atol=1e-9)


def test_heart():
    _, truth = simulate_raw(200.0, sfreq=600.0, n_eeg=4, gradient=0.0)
    intervals = np.diff(truth.beat_times)
    assert intervals.mean() == pytest.approx(0.92, rel=0.02)
    assert 0.02 < intervals.std() / intervals.mean() < 0.08
    assert truth.beat_times[0] < 1.0
    pieces = [truth.pulse[:4, int(t * 600) :][:, :480] for t in truth.beat_times[:-2]]
    mean = np.mean(pieces, axis=0)
    assert np.ptp(mean, axis=1).max() == pytest.approx(150e-6, rel=0.2)
    assert 20 < 1e12 * np.var(pieces, axis=0).mean() < 200


def test_pulse_artifact_has_no_small_rank():
    _, truth = simulate_raw(60.0, sfreq=600.0, n_eeg=6, gradient=0.0, ecg=False)
    values = np.linalg.svd(truth.pulse, compute_uv=False)
    assert values[3] > 1e-3 * values[0]


def _pulse(**options):
    _, truth = simulate_raw(
        60.0, sfreq=600.0, n_eeg=9, ecg=False, gradient=0, **options
    )
    return truth


@pytest.mark.parametrize("n_modes", [1, 3, 6])
def test_rank_of_the_pulse_artifact_is_chosen(n_modes):
    truth = _pulse(pulse_modes=n_modes, pulse_own=0.0)
    values = np.linalg.svd(truth.pulse, compute_uv=False)
    assert values[n_modes - 1] > 1e-2 * values[0]
    assert values[n_modes] < 1e-9 * values[0]
    np.testing.assert_array_equal(truth.eeg, _pulse().eeg)


def test_pulse_artifact_changes_from_beat_to_beat():
    def largest_share(change):
        truth = _pulse(pulse_modes=6, pulse_change=change)
        starts = (600 * truth.beat_times[:-2]).astype(int)
        beats = truth.pulse[:, starts[:, np.newaxis] + np.arange(480)]
        values = np.linalg.svd(np.hstack(beats), compute_uv=False) ** 2
        return values[0] / values.sum()

    shares = [largest_share(change) for change in (0.0, 1.0, 2.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.85
    assert shares[2] < 0.6


def test_ecg_peaks_at_the_beats(default):
    raw, truth = default
    row = raw.ch_names.index("ECG")
    ecg = truth.eeg[row]
    slow = np.convolve(ecg, np.ones(61) / 61, "same")
    peaks = [
        np.argmax((ecg - slow)[int(t * 1000) - 150 :][:300]) - 150
        for t in truth.beat_times[1:-1]
    ]
    assert np.abs(np.median(peaks)) <= 1
    assert not np.any(truth.pulse[row])


def test_wires_see_the_pulse_but_no_brain():
    _, truth = simulate_raw(**SMALL, n_wires=8, ecg=False)
    _, still = simulate_raw(**SMALL, n_wires=8, ecg=False, pulse=0.0, movement=0.0)
    _, brainless = simulate_raw(**SMALL, n_wires=8, ecg=False, eeg=0.0)
    np.testing.assert_array_equal(truth.eeg[3:], brainless.eeg[3:])
    assert still.eeg[3:].std() == pytest.approx(1e-6, rel=0.02)
    wires = np.vstack([truth.eeg[3:], np.gradient(truth.eeg[3:], axis=1)])
    fit, *_ = np.linalg.lstsq(wires.T, truth.pulse[0], rcond=None)
    assert np.var(truth.pulse[0] - fit @ wires) < 0.3 * np.var(truth.pulse[0])
    assert np.ptp(truth.gradient[3:], axis=1).min() > 1e-4


def test_background_spectrum():
    raw, truth = simulate_raw(
        60.0, sfreq=1000.0, evoked=0.0, blinks=False, alpha=0.0, ecg=False
    )
    assert truth.eeg.std(axis=1).mean() == pytest.approx(12e-6, rel=0.25)
    frequencies, power = welch(truth.eeg, 1000.0, nperseg=4000)
    power = power.mean(axis=0)
    band = (frequencies > 2) & (frequencies < 40)
    slope = np.polyfit(np.log(frequencies[band]), np.log(power[band]), 1)[0]
    assert -1.9 < slope < -0.9
    assert np.sqrt(power[frequencies > 90].mean() * 500) == pytest.approx(
        0.5e-6, rel=0.05
    )
    assert len(raw.annotations) == 25


def test_alpha_is_posterior(default):
    raw, truth = default
    frequencies, power = welch(truth.eeg[:8], 1000.0, nperseg=2000)
    peak = power[:, np.abs(frequencies - 10) <= 1].mean(axis=1)
    beside = power[:, np.abs(frequencies - 15) <= 1].mean(axis=1)
    ratio = dict(zip(raw.ch_names, peak / beside, strict=False))
    assert min(ratio["O1"], ratio["O2"]) > 5 * max(ratio["Fp1"], ratio["Fp2"])


def test_evoked_responses(default):
    raw, truth = default
    times = _annotated(raw, "Stimulus/S  1")
    np.testing.assert_allclose(times, truth.evoked_times, atol=1e-6)
    intervals = np.diff(times)
    assert intervals.min() > 1.1
    assert intervals.max() < 2.0
    options = {"sfreq": 1000.0, "trigger": "stim"}
    silent = simulate_raw(**options, evoked=0.0)[1].eeg
    response = (truth.eeg - silent)[raw.ch_names.index("Pz")]
    mean = np.mean([response[int(t * 1000) :][:600] for t in times], axis=0)
    assert 4e-6 < mean.max() < 12e-6
    assert 250 < mean.argmax() < 400


def test_blinks_are_frontal():
    blinking, still = (
        simulate_raw(60.0, sfreq=600.0, gradient=0.0, ecg=False, blinks=b)[1].eeg
        for b in (True, False)
    )
    sizes = np.ptp(blinking - still, axis=1)
    assert 80e-6 < sizes[:2].max() < 170e-6
    assert sizes[4:6].max() < 0.1 * sizes[:2].max()


def test_converter_rounds_and_clips():
    options = {**SMALL, "trigger": "stim"}
    raw, truth = simulate_raw(**options, resolution=1e-5, clip=1e-3)
    data, exact = raw.get_data(), truth.eeg + truth.gradient + truth.pulse
    np.testing.assert_array_equal(data[-1], exact[-1])
    steps = data[:-1] / 1e-5
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert np.abs(data[:-1]).max() == pytest.approx(1e-3)
    error = np.abs(data - np.clip(exact, -1e-3, 1e-3))[:-1]
    assert error.max() <= 0.5e-5 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration": 12.0}, r"duration=12.0 .* 1 volume.s. of .* duration >= 16"),
        ({"duration": 5.0, "rest": 9.0}, "holds 0 volume"),
        ({"rest": -1.0}, "rest=-1.0"),
        ({"n_slices": 20, "multiband_factor": 3}, "multiple of multiband_factor=3"),
        ({"volume_gap": -0.1}, "volume_gap=-0.1"),
        ({"tr": 0.4, "n_slices": 20}, "EPI needs 0.025 s. Raise tr"),
        ({"trigger": "volumes"}, "trigger='volumes' is unknown. Use"),
        ({"trigger_jitter": 0.5}, "trigger_jitter=0.5 must be whole"),
        ({"missing": 1.0}, "missing=1.0 must be a fraction"),
        ({"lowpass": 1000.0}, "lowpass=1000.0 must lie .* raise sfreq"),
        ({"resolution": 0.0}, "resolution=0.0 must be positive"),
        ({"clip": -1.0}, "clip=-1.0 must be positive"),
        ({"n_eeg": 65}, "n_eeg=65 must be between 1 and 64"),
        ({"n_wires": -1}, "n_wires=-1"),
        ({"pulse_modes": 0}, "pulse_modes=0 must be 1 or more"),
        ({"volume_times": [1.0, 3.0]}, "needs 3 or more times"),
        ({"volume_times": [1.0, 3.0, 4.0]}, "1 s after each other, less than tr=2.0"),
        ({"volume_times": [5.0, 15.0, 25.0]}, "within duration=20.0. Raise duration"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_raw(**{**SMALL, "rest": 5.0, **options})
