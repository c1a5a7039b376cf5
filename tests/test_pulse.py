"""Pulse artifact correction of whole recordings with known truth."""

import json
import re
from functools import cache
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.signal import butter, sosfiltfilt
from sklearn.pipeline import make_pipeline

from mne_facet import (
    AAS,
    PulseAAS,
    PulseOBS,
    ReferenceRegression,
    RPeakDetector,
    TriggerDetector,
    add_beats,
    recipe,
    simulate_raw,
)

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
SFREQ = 250.0
N_EEG = 12
ESTIMATORS = [PulseAAS(), PulseOBS(), PulseOBS(mode="channel")]
EACH = pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)


@cache
def _simulate(**options):
    defaults = {
        "duration": 120.0,
        "n_eeg": N_EEG,
        "n_wires": 6,
        "gradient": 0.0,
        "trigger": None,
        "blinks": False,
        "pulse_modes": 6,
        "pulse_change": 1.0,
    }
    options = {**defaults, **options}
    raw, truth = simulate_raw(sfreq=SFREQ, lowpass=100.0, **options)
    raw.annotations.append(truth.beat_times, 0, "R peak")
    return raw, truth


@pytest.fixture
def simulated():
    """Factory of (raw, truth) with annotated R peaks."""

    def make(**options):
        raw, truth = _simulate(**options)
        return raw.copy(), truth

    return make


def _band(x, low=0.5, high=45.0):
    sos = butter(4, [low, high], "bandpass", fs=SFREQ, output="sos")
    return sosfiltfilt(sos, x)[..., 750:-750]


def _error(raw, truth):
    """Power of what is wrong in dB of the EEG."""
    x = raw.get_data("eeg")
    eeg = truth.eeg[: len(x)]
    wrong, true = ((_band(y) ** 2).sum() for y in (x - eeg, eeg))
    return 10 * np.log10(wrong / true)


def _kept(raw, truth, low, high):
    """Amplitude of the true activity in a band, the median over channels."""
    eeg = _band(truth.eeg[:N_EEG], low, high)
    clean = _band(raw.get_data("eeg"), low, high)
    return np.median((clean * eeg).sum(axis=1) / (eeg**2).sum(axis=1))


@pytest.mark.parametrize("seed", range(2))
def test_joint_sources_beat_components_of_each_channel(simulated, seed):
    raw, truth = simulated(seed=seed)
    clean = PulseOBS().fit_transform(raw)
    peer = mne.preprocessing.apply_pca_obs(
        raw.copy(), picks="eeg", qrs_times=truth.beat_times[2:-2], n_components=4
    )
    others = [peer, PulseAAS().fit_transform(raw)]
    others += [PulseOBS(n, mode="channel").fit_transform(raw) for n in (1, 3, 4)]
    assert _error(clean, truth) < min(_error(other, truth) for other in others) - 2
    assert _error(clean, truth) < _error(raw, truth) - 8
    assert _kept(clean, truth, 8, 12) == pytest.approx(1, abs=0.05)
    assert _kept(peer, truth, 8, 12) < 0.98


def test_references_beat_all_others(simulated):
    raw, truth = simulated(duration=240.0)
    clean = ReferenceRegression().fit_transform(raw)
    assert _error(clean, truth) < _error(PulseOBS().fit_transform(raw), truth) - 2
    assert _kept(clean, truth, 8, 12) == pytest.approx(1, abs=0.05)
    both = PulseOBS().fit_transform(clean)
    assert _error(both, truth) < _error(clean, truth) + 0.1
    np.testing.assert_array_equal(clean.get_data("misc"), raw.get_data("misc"))


def test_simple_artifact_is_nearly_gone(simulated):
    raw, truth = simulated(pulse_modes=3, pulse_change=0.0, duration=240.0)
    assert _error(PulseAAS().fit_transform(raw), truth) < _error(raw, truth) - 9
    assert _error(PulseOBS().fit_transform(raw), truth) < -12
    assert _error(ReferenceRegression().fit_transform(raw), truth) < -15


def test_evoked_response_is_kept(simulated):
    raw, truth = simulated(duration=240.0)
    clean = PulseOBS().fit_transform(raw)
    onsets = np.rint(truth.evoked_times[3:-3] * SFREQ).astype(int) - 750
    windows = onsets[:, np.newaxis] + np.arange(int(0.6 * SFREQ))

    def response(x):
        return _band(x[4:6], 0.5, 30)[:, windows].mean(axis=1)

    expected, before, after = map(
        response, (truth.eeg, raw.get_data("eeg"), clean.get_data("eeg"))
    )
    assert np.corrcoef(after.ravel(), expected.ravel())[0, 1] > 0.9
    assert (after - expected).std() < 0.5 * (before - expected).std()


@pytest.mark.parametrize(
    ("estimator", "limit"),
    [
        (PulseOBS(), 0.004),
        (PulseAAS(), 0.03),
        (ReferenceRegression(), 0.01),
        (PulseOBS(3, mode="channel"), 1.0),
    ],
    ids=str,
)
def test_eeg_without_artifact_is_left_alone_C_15(simulated, estimator, limit):
    raw, truth = simulated()
    raw._data[:N_EEG] = truth.eeg[:N_EEG]
    clean = estimator.fit_transform(raw)
    removed = _band(raw.get_data("eeg") - clean.get_data("eeg"))
    loss = (removed**2).sum() / (_band(truth.eeg[:N_EEG]) ** 2).sum()
    assert loss < limit
    if estimator.get_params().get("mode") == "channel":
        assert loss > 0.15


@pytest.mark.parametrize("timing", ["10 ms", "missed", "extra"])
def test_wrong_beats_do_limited_harm(simulated, timing):
    raw, truth = simulated()
    rng, times = np.random.default_rng(0), truth.beat_times
    times = {
        "10 ms": times + 0.01 * rng.normal(size=times.size),
        "missed": np.delete(times, np.arange(10, times.size, 30)),
        "extra": np.r_[times, rng.uniform(0, 120, 5)],
    }[timing]
    exact = _error(PulseOBS().fit_transform(raw), truth)
    raw.set_annotations(mne.Annotations(times, 0, "R peak"))
    limit = {"10 ms": 1, "missed": 5, "extra": 2.5}[timing]
    assert _error(PulseOBS().fit_transform(raw), truth) < exact + limit


def test_beats_of_the_detector_do(simulated):
    raw, truth = simulated()
    exact = _error(PulseOBS().fit_transform(raw), truth)
    raw.set_annotations(None)
    pipeline = make_pipeline(RPeakDetector(), PulseOBS())
    assert _error(pipeline.fit_transform(raw), truth) < exact + 0.5


def test_gradient_and_pulse_artifact_of_eeg_and_wires():
    raw, truth = simulate_raw(
        60.0, sfreq=1000.0, n_eeg=4, n_wires=6, lowpass=100.0, blinks=False, movement=0
    )
    pipeline = make_pipeline(
        TriggerDetector("R128"),
        AAS(level="volume", picks=["eeg", "misc"]),
        ReferenceRegression("misc"),
    )
    clean = pipeline.fit_transform(raw)

    def left(x):
        sos = butter(4, [0.5, 45], "bandpass", fs=1000, output="sos")
        return sosfiltfilt(sos, x[:4] - truth.eeg[:4])[:, 6000:54000].std()

    no_pulse = AAS(level="volume").fit_transform(pipeline[:1].transform(raw))
    assert left(clean.get_data()) < 0.4 * left(no_pulse.get_data())


def _in_scanner(**options):
    options = {"duration": 60.0, "n_eeg": 8, "blinks": False, "movement": 0, **options}
    return simulate_raw(sfreq=1000.0, lowpass=200.0, **options)


def _snr(raw, truth):
    sos = butter(4, [0.5, 45], "bandpass", fs=1000, output="sos")
    eeg = truth.eeg[:8]
    wrong, true = (
        sosfiltfilt(sos, x)[:, 6000:54000].var(axis=1)
        for x in (raw.get_data("eeg") - eeg, eeg)
    )
    return np.median(10 * np.log10(true / wrong))


def test_recipe_with_ecg_without_and_with_wires():
    raw, truth = _in_scanner(n_wires=6, pulse_modes=4, pulse_change=0.5)
    options = {"triggers": "R128", "n_slices": 20}
    snr = {
        name: _snr(chain.fit_transform(part), truth)
        for name, chain, part in (
            ("gradient", recipe("lowrank", **options), raw),
            ("ecg", recipe(**options), raw),
            ("no ecg", recipe(**options), raw.copy().drop_channels("ECG")),
            ("wires", recipe(**options, references="misc"), raw),
        )
    }
    assert snr["ecg"] > snr["gradient"] + 8
    assert snr["no ecg"] > snr["ecg"] - 2
    assert snr["wires"] > snr["ecg"] + 2


def test_recipe_leaves_eeg_without_pulse_artifact():
    raw, truth = _in_scanner(pulse=0.0)
    options = {"triggers": "R128", "n_slices": 20}
    gradient = recipe("lowrank", **options).fit_transform(raw)
    clean = recipe(**options).fit_transform(raw)
    assert _snr(clean, truth) > _snr(gradient, truth) - 1.5
    raw.drop_channels("ECG")
    with pytest.warns(RuntimeWarning, match="no ECG, and no pulse artifact in 8 chan"):
        clean = recipe(**options).fit_transform(raw)
    gradient = recipe("lowrank", **options).fit_transform(raw)
    np.testing.assert_array_equal(clean.get_data(), gradient.get_data())


def test_recipe_of_the_pulse_artifact_alone_and_edited_beats(simulated):
    raw, truth = simulated(duration=60.0)
    raw.set_annotations(None)
    pipeline = recipe("pulse")
    clean = pipeline.fit_transform(raw)
    assert _error(clean, truth) < _error(raw, truth) - 5
    again = pipeline[-1:].fit_transform(pipeline[:-1].fit_transform(raw))
    np.testing.assert_array_equal(again.get_data(), clean.get_data())
    assert list(recipe("pulse", references="misc").named_steps) == [
        "beats",
        "references",
        "pulse",
    ]
    with pytest.raises(ValueError, match="'pulse' has no step for triggers='R128'"):
        recipe("pulse", triggers="R128")
    with pytest.raises(ValueError, match="'aas' has no step for references='misc'"):
        recipe("aas", references="misc")


@pytest.mark.parametrize("estimator", [PulseAAS, PulseOBS])
def test_without_beats_the_recording_stays_if_so_wanted(simulated, estimator):
    raw, truth = simulated(duration=60.0)
    raw.set_annotations(mne.Annotations(truth.beat_times[:3], 0, "R peak"))
    with pytest.raises(ValueError, match="at least 5 heart beats, but 3"):
        estimator().fit_transform(raw)
    with pytest.warns(RuntimeWarning, match=r"but 3 .* stays as it is"):
        clean = estimator(on_missing="warn").fit_transform(raw)
    np.testing.assert_array_equal(clean.get_data(), raw.get_data())
    raw.set_annotations(None)
    with mne.utils.catch_logging() as log:
        clean = estimator(on_missing="ignore", verbose="INFO").fit_transform(raw)
    assert "no annotation is described 'R peak'" in log.getvalue()
    np.testing.assert_array_equal(clean.get_data(), raw.get_data())
    with pytest.raises(ValueError, match="on_missing='no' is unknown"):
        estimator(on_missing="no").fit_transform(raw)


@pytest.mark.parametrize("interval", [0.4, 2.0])
@EACH
def test_fast_and_slow_hearts(estimator, interval):
    rng = np.random.default_rng(0)
    times = np.arange(15_000) / SFREQ
    beats = np.cumsum(interval * (1 + 0.05 * rng.normal(size=int(58 / interval))))
    phase = (times - beats[:, np.newaxis] - 0.21) / 0.04
    artifact = np.sum(phase * np.exp(-0.5 * phase**2), axis=0)
    eeg = 1e-5 * rng.normal(size=(8, 15_000))
    x = eeg + 1e-4 * rng.normal(size=(8, 1)) * artifact
    raw = mne.io.RawArray(x, mne.create_info(8, SFREQ, "eeg"))
    raw.set_annotations(mne.Annotations(beats, 0, "R peak"))
    left = estimator.fit_transform(raw).get_data() - eeg
    assert _band(left).std() < 0.35 * _band(x - eeg).std()


@EACH
def test_first_and_last_beats_and_no_steps(simulated, estimator):
    raw, truth = simulated(pulse_modes=3, pulse_change=0.0)
    clean = estimator.fit_transform(raw).get_data("eeg")
    eeg, pulse = truth.eeg[:N_EEG], truth.pulse[:N_EEG]
    for times in (truth.beat_times[:3], truth.beat_times[-4:-1]):
        part = slice(int(SFREQ * times[0]), int(SFREQ * times[-1]))
        centred = (clean - eeg)[:, part]
        left = centred - centred.mean(axis=1, keepdims=True)
        assert left.std() < 0.6 * pulse[:, part].std()
    # what is removed bends no more where beats meet, halfway, than elsewhere
    bends = np.diff(raw.get_data("eeg") - clean, 2)
    joins = SFREQ * ((truth.beat_times[1:] + truth.beat_times[:-1]) / 2 + 0.21)
    near = joins.astype(int)[:, np.newaxis] + np.arange(-15, 15)
    near = near[near < bends.shape[1]]
    assert bends[:, near].std() < 1.2 * np.delete(bends, near, axis=1).std()


@EACH
def test_only_the_artifact_of_picked_channels_changes_F_2(simulated, estimator):
    raw, _ = simulated(duration=60.0)
    raw.info["bads"] = ["Fp2"]
    clean = estimator.fit_transform(raw)
    changed = (clean.get_data() != raw.get_data()).any(axis=1)
    assert [raw.ch_names[i] for i in np.flatnonzero(changed)] == raw.ch_names[:N_EEG]
    some = type(estimator)(**{**estimator.get_params(), "picks": ["Cz", "O1", "O2"]})
    changed = (some.fit_transform(raw).get_data() != raw.get_data()).any(axis=1)
    assert changed.sum() == 3
    # the offset stays
    raw._data += 1e-3
    shifted = estimator.fit_transform(raw).get_data()
    np.testing.assert_allclose(shifted - 1e-3, clean.get_data(), atol=1e-9)


@EACH
def test_samples_far_from_beats_stay_bit_for_bit_F_2(simulated, estimator):
    raw, truth = simulated()
    times = truth.beat_times
    raw.set_annotations(
        mne.Annotations(times[(times < 60) | (times > 80)], 0, "R peak")
    )
    clean = estimator.fit_transform(raw)
    pause = slice(int(62 * SFREQ), int(79 * SFREQ))
    np.testing.assert_array_equal(clean.get_data()[:, pause], raw.get_data()[:, pause])


@EACH
def test_crop_and_block_borders_change_little_F_6(simulated, estimator):
    raw, _ = simulated()
    whole = estimator.fit_transform(raw)
    raw.annotations.append(39.9, 20.0, "note")
    cropped = raw.copy().crop(40.0)
    assert cropped.first_samp > 0
    part = estimator.fit_transform(cropped).get_data("eeg")
    expected = whole.get_data("eeg")[:, -part.shape[1] :]
    removed = raw.get_data("eeg")[:, -part.shape[1] :] - expected
    assert (part - expected).std() < 0.35 * removed.std()


@EACH
def test_bad_spans_teach_nothing_and_are_corrected_F_6(simulated, estimator):
    raw, _ = simulated(duration=60.0)
    raw.annotations.append(30.0, 0.5, "BAD_movement")
    estimator = type(estimator)(**{**estimator.get_params(), "l_freq": None})
    clean = estimator.fit_transform(raw).get_data("eeg")
    burst = np.zeros(raw.n_times)
    burst[7510:7610] = 5e-3
    burst[7510:7560] *= -1  # no mean, nothing for the windows to remove
    raw._data[:N_EEG] += burst
    other = estimator.fit_transform(raw).get_data("eeg") - burst
    near = slice(7500 - 300, 7625 + 300)
    np.testing.assert_allclose(
        np.delete(other, np.r_[near], axis=1),
        np.delete(clean, np.r_[near], axis=1),
        atol=1e-12,
    )
    assert (clean[:, 7510:7610] != raw.get_data("eeg")[:, 7510:7610]).all()


def test_no_beat_across_a_joint_is_learnt_from(simulated):
    raw, _ = simulated(duration=60.0)
    raw.annotations.delete(raw.annotations.description != "R peak")
    both = mne.concatenate_raws([raw.copy().crop(0, 29.7), raw.copy().crop(30.1)])

    def n_good(raw):
        with mne.utils.catch_logging() as log:
            PulseAAS(verbose="INFO").fit_transform(raw)
        return int(re.search(r"(\d+) to learn", log.getvalue())[1])

    with_joint = n_good(both)
    both.annotations.delete(both.annotations.description != "R peak")
    assert n_good(both) - with_joint in (1, 2)


@pytest.mark.parametrize("kind", ["ectopic", "restored"])
def test_beats_that_are_no_beats_teach_nothing(simulated, kind):
    raw, truth = simulated(duration=60.0)
    raw.set_annotations(None)
    times = np.sort(np.r_[truth.beat_times, 30.05])
    extras = [{"kind": kind if t == 30.05 else "normal"} for t in times]
    raw.set_annotations(mne.Annotations(times, 0, "R peak", extras=extras))
    far = np.r_[0:7000, 8500 : raw.n_times]
    clean = PulseAAS(scale=None, l_freq=None).fit_transform(raw).get_data("eeg")
    raw._data[:N_EEG, 7540:7560] += 1e-3
    other = PulseAAS(scale=None, l_freq=None).fit_transform(raw).get_data("eeg")
    changes = np.abs(other - clean)[:, far].max()
    raw.set_annotations(mne.Annotations(times, 0, "R peak"))
    other = PulseAAS(scale=None, l_freq=None).fit_transform(raw).get_data("eeg")
    assert changes <= np.abs(other - clean)[:, far].max()


@EACH
def test_beats_that_were_added_teach(simulated, estimator):
    raw, truth = simulated(duration=40.0)
    clean = estimator.fit_transform(raw).get_data()
    raw.set_annotations(None)
    again = estimator.fit_transform(add_beats(raw, truth.beat_times)).get_data()
    np.testing.assert_allclose(again, clean, rtol=0, atol=1e-12)


@EACH
def test_strange_beats_F_3(simulated, estimator):
    raw, truth = simulated(duration=40.0)
    times = truth.beat_times.astype(np.float32)
    strange = [0.01, 39.99, 39.5, 20.0, 20.1, 20.1, 39.996]
    raw.set_annotations(mne.Annotations(np.r_[times, strange][::-1], 0, "R peak"))
    clean = estimator.fit_transform(raw)
    assert np.isfinite(clean.get_data()).all()
    assert (clean.get_data("eeg") != raw.get_data("eeg"))[:, 100:-100].mean() > 0.95


@EACH
@pytest.mark.parametrize("n_beats", [1, 4, 5, 9, 12, 20, 25])
def test_few_beats_F_3(simulated, estimator, n_beats):
    raw, truth = simulated(duration=40.0)
    times = truth.beat_times[3 : 3 + n_beats]
    raw.set_annotations(mne.Annotations(times, 0, "R peak"))
    if n_beats < 5:
        with pytest.raises(ValueError, match=f"at least 5 heart beats, but {n_beats}"):
            estimator.fit_transform(raw)
        return
    clean = estimator.fit_transform(raw)
    inner = slice(int(SFREQ * times[0]), int(SFREQ * times[-1]))
    eeg = truth.eeg[:N_EEG, inner]
    left, before = ((x.get_data("eeg")[:, inner] - eeg).std() for x in (clean, raw))
    assert left < 0.95 * before


@pytest.mark.parametrize(
    "estimator",
    [
        PulseAAS(method="median"),
        PulseAAS(method="gaussian"),
        PulseAAS(scale="channel"),
        PulseAAS(scale=None),
        PulseAAS(10),
        PulseAAS(delay=0.25),
        PulseOBS(2),
        PulseOBS(0),
    ],
    ids=str,
)
def test_variants_remove_the_artifact(simulated, estimator):
    raw, truth = simulated()
    assert _error(estimator.fit_transform(raw), truth) < _error(raw, truth) - 3


@pytest.mark.parametrize("estimator", [*ESTIMATORS, ReferenceRegression()], ids=str)
def test_result_is_the_same_for_every_n_jobs_F_9(simulated, estimator):
    raw, _ = simulated(duration=60.0)
    expected = estimator.fit_transform(raw).get_data()
    for n_jobs in (2, -1):
        parallel = type(estimator)(**{**estimator.get_params(), "n_jobs": n_jobs})
        np.testing.assert_array_equal(parallel.fit_transform(raw).get_data(), expected)


def test_no_sample_too_early_unlike_mne():
    """A periodic artifact without noise goes; MNE's function leaves its difference."""
    times = np.arange(15_000) / SFREQ
    beats = np.arange(0.6, 59, 0.92)
    phase = (times - beats[:, np.newaxis] - 0.21) / 0.05
    x = 1e-4 * np.sum(phase * np.exp(-0.5 * phase**2), axis=0)
    raw = mne.io.RawArray(x[np.newaxis], mne.create_info(["Cz"], SFREQ, "eeg"))
    raw.set_annotations(mne.Annotations(beats, 0, "R peak"))
    clean = PulseOBS(mode="channel", l_freq=None).fit_transform(raw)
    peer = mne.preprocessing.apply_pca_obs(
        raw.copy(), picks="eeg", qrs_times=beats[2:-2] + 0.21, n_components=3
    )
    left, peer_left = (
        np.abs(y.get_data()[0, 1000:-1000]).max() / x.max() for y in (clean, peer)
    )
    assert left < 1e-9
    assert peer_left > 0.05


def test_channels_the_references_do_not_predict_are_named(simulated):
    raw, truth = simulated()
    raw._data[2] = truth.eeg[2]
    with mne.utils.catch_logging() as log:
        clean = ReferenceRegression(verbose="INFO").fit_transform(raw)
    text = log.getvalue()
    assert "ReferenceRegression: 6 components of 6 references at" in text
    assert "C3: left as it was, the references do not predict it" in text
    np.testing.assert_array_equal(clean.get_data([2]), raw.get_data([2]))


def test_references_in_a_short_recording_warn(simulated):
    raw, _ = simulated()
    with pytest.warns(RuntimeWarning, match=r"explain \d+ % of any EEG by chance .* R"):
        ReferenceRegression().fit_transform(raw.crop(0, 8))


def test_bad_references_are_left_out(simulated):
    raw, _ = simulated(duration=60.0)
    expected = ReferenceRegression([f"CWL{i}" for i in (1, 2, 4, 5, 6)])
    expected = expected.fit_transform(raw).get_data("eeg")
    raw.info["bads"] = ["CWL3"]
    clean = ReferenceRegression().fit_transform(raw).get_data("eeg")
    np.testing.assert_allclose(clean, expected, atol=1e-15)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (PulseAAS(1), "window=1 must be a whole number, at least 2"),
        (PulseAAS(method="mode"), "method='mode' is unknown. Allowed are"),
        (PulseAAS(scale=2), "scale=2 is unknown"),
        (PulseAAS(delay=3), "delay=3 must be a number between -1 and 1"),
        (PulseAAS(l_freq=0), "l_freq=0 must be a number between 0.01 and 5"),
        (PulseAAS(description="QRS"), "needs heart beats, but no annotation is descri"),
        (PulseOBS(-1), "n_components=-1 must be a whole number, at least 0"),
        (PulseOBS(mode="all"), "mode='all' is unknown"),
        (ReferenceRegression("seeg"), r"references='seeg' is not in the recording"),
        (ReferenceRegression(["CWL9"]), r"references=\['CWL9'\] is not in"),
        (ReferenceRegression(window=0), "window=0 must be a number between 1"),
        (ReferenceRegression(max_lag=-1), "max_lag=-1 must be a number"),
        (ReferenceRegression(n_components=0), "n_components=0 must be a whole"),
    ],
    ids=str,
)
def test_parameters_are_checked(simulated, estimator, message):
    raw, _ = simulated(duration=60.0)
    with pytest.raises(ValueError, match=message):
        estimator.fit_transform(raw)


def test_broken_references_are_named(simulated):
    raw, _ = simulated(duration=60.0)
    raw._data[raw.ch_names.index("CWL2"), 5] = np.nan
    with pytest.raises(ValueError, match="needs finite data, got NaN or Inf in CWL2"):
        ReferenceRegression().fit_transform(raw)


def test_nothing_but_bad_beats(simulated):
    raw, _ = simulated(duration=60.0)
    raw.annotations.append(0, 60, "BAD_all")
    with pytest.raises(ValueError, match=r"normal heart beats, complete .* but 0 of"):
        PulseOBS().fit_transform(raw)


needs_shared = pytest.mark.skipif(
    not (SHARED / "oracle" / "pas").exists(), reason="no shared data"
)


@needs_shared
@pytest.mark.parametrize("name", ["main1k", "mini1k"])
def test_error_is_not_above_that_of_the_best_fmrib_method(name):
    folder = SHARED / "oracle"
    truth = np.load(folder / "data" / f"{name}_truth.npz")
    scale = truth["lsb_V"][:-1, np.newaxis]
    eeg, artifact = (truth[key][:-1] * scale for key in ("eeg_int16", "bcg_int16"))
    times = np.load(folder / "data" / f"{name}.npz")["r_peak_times_s"]
    info = mne.create_info(len(eeg), 1000.0, "eeg")
    raw = mne.io.RawArray(eeg + artifact, info)
    raw.set_annotations(mne.Annotations(times, 0, "R peak"))
    meta = json.loads((folder / "data" / f"{name}.json").read_text())
    start = meta["acquisition_start_s"]
    scan = slice(
        int(1000 * start), int(1000 * (start + meta["TR_s"] * meta["n_volumes"]))
    )
    methods = json.loads((folder / "pas" / f"{name}_pas_truth.json").read_text())
    best = min(np.median(m["quality"]["rms"]) for m in methods["methods"].values())
    for estimator in (PulseOBS(), PulseAAS()):
        wrong = estimator.fit_transform(raw).get_data() - eeg
        wrong = mne.filter.filter_data(wrong, 1000.0, 0.5, 45.0, verbose="ERROR")
        assert 1e6 * np.median(wrong[:, scan].std(axis=1)) < best


@needs_shared
def test_wires_explain_most_of_a_real_recording():
    data = loadmat(SHARED / "in_scanner_cwl_gpl2" / "m.mat")["m"].astype(float)
    types = ["eeg"] * 31 + ["ecg"] + ["misc"] * 8
    info = mne.create_info(40, 1000.0, types)
    raw = mne.io.RawArray(1e-6 * data, info)
    wires = [str(i) for i in range(32, 39)]
    with pytest.warns(RuntimeWarning, match="by chance in a recording this short"):
        clean = ReferenceRegression(wires).fit_transform(raw)
    before, after = (
        mne.filter.filter_data(x.get_data("eeg"), 1000.0, 0.5, None, verbose="ERROR")
        for x in (raw, clean)
    )
    assert np.median(1 - after.var(axis=1) / before.var(axis=1)) > 0.9
