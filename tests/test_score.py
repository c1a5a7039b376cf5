"""The score ranks corrections as the truth does, and cannot be had by deleting EEG."""

from functools import partial

import mne
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_facet import (
    AAS,
    OBS,
    PulseAAS,
    PulseOBS,
    TriggerDetector,
    correction_score,
    recipe,
    simulate_raw,
    split_raw,
)
from mne_facet._events import get_beats, get_runs
from mne_facet.metrics import NotAvailable, against_truth
from mne_facet.score import probe, score_terms
from mne_facet.signal.locked import (
    complete_epochs,
    jumble,
    residual_power,
    shared_power,
    without_events,
)


def _filtered(raw, l_freq, h_freq):
    return raw.copy().filter(l_freq, h_freq, picks="eeg", method="iir", verbose="ERROR")


def _scaled(raw, gain):
    raw = raw.copy()
    raw._data *= gain
    return raw


def _partly(raw, share, correct):
    """Remove a share of what a correction removes."""
    clean = correct(raw)
    clean._data += (1 - share) * (raw._data - clean._data)
    return clean


def _then(correct, function, *args):
    return lambda raw: function(correct(raw), *args)


def _notched(raw):
    return raw.copy().notch_filter(
        np.arange(10, 90, 10.0), picks="eeg", verbose="ERROR"
    )


def _half_the_channels(raw, correct):
    clean = correct(raw)
    clean._data[::2] = raw._data[::2]
    return clean


def _gradient_corrections():
    """Corrections by name: those that anyone would use, all others, and saboteurs."""
    aas = AAS(20, level="volume").transform
    honest = {f"volume {w}": AAS(w, level="volume").transform for w in (10, 14, 20)}
    honest["both"] = AAS(level="both").transform
    honest["median"] = AAS(weights="median", level="volume").transform
    for name in ("lowrank", "aas", "allen", "fastr", "facet", "farm"):
        honest[name] = recipe(name, triggers="R128", n_slices=20).fit_transform
    honest["obs"] = make_pipeline(AAS(20, level="volume"), OBS()).fit_transform
    honest["low-pass 40"] = _then(aas, _filtered, None, 40)
    honest["low-pass 30"] = _then(aas, _filtered, None, 30)
    others = {f"volume {w}": AAS(w, level="volume").transform for w in (4, 5, 6, 8)}
    others |= {f"slice {w}": AAS(w, level="slice").transform for w in (3, 6, 10, 30)}
    others |= {f"gain {g}": _then(aas, _scaled, g) for g in (0.6, 0.7, 0.8, 1.2)}
    others |= {
        f"{s}": partial(_partly, share=s, correct=aas) for s in (0.9, 0.95, 0.98)
    }
    others["high-pass 1"] = _then(aas, _filtered, 1, None)
    others["high-pass 2"] = _then(aas, _filtered, 2, None)
    others["no scale"] = AAS(20, level="volume", scale=None).transform
    others["notches only"] = _notched
    others["low-pass 15"] = _then(aas, _filtered, None, 15)
    saboteurs = {f"volume {w}": AAS(w, level="volume").transform for w in (2, 3)}
    saboteurs |= {"zeros": partial(_scaled, gain=0), "none": mne.io.BaseRaw.copy}
    saboteurs["half"] = partial(_half_the_channels, correct=aas)
    saboteurs["low-pass 5"] = _then(aas, _filtered, None, 5)
    saboteurs["high-pass 4"] = _then(aas, _filtered, 4, None)
    saboteurs["tenth"] = _then(aas, _scaled, 0.1)
    components = make_pipeline(AAS(20, level="volume"), OBS(20, l_freq=2.0))
    saboteurs["20 components"] = components.fit_transform
    return honest, others, saboteurs


def _pulse_corrections():
    average = PulseAAS(30).transform
    honest = {f"{w}": PulseAAS(w).transform for w in (20, 30, 60, 100)}
    honest |= {m: PulseAAS(method=m).transform for m in ("median", "gaussian")}
    honest["mean of all"] = PulseOBS(0).transform
    honest["joint"] = PulseOBS().transform
    honest["low-pass 30"] = _then(average, _filtered, None, 30)
    others = {f"{w}": PulseAAS(w).transform for w in (4, 6, 8, 12)}
    others |= {f"delay {d}": PulseAAS(delay=d).transform for d in (0.0, 0.6)}
    others |= {f"scale {s}": PulseAAS(scale=s).transform for s in ("channel", None)}
    others |= {f"obs {p}": PulseOBS(p, mode="channel").transform for p in (1, 2, 3)}
    others |= {f"gain {g}": _then(average, _scaled, g) for g in (0.6, 0.8)}
    others["half"] = partial(_partly, share=0.5, correct=average)
    saboteurs = {f"{w}": PulseAAS(w).transform for w in (2, 3)}
    for p in (8, 16, 20):
        saboteurs[f"obs {p}"] = PulseOBS(p, mode="channel").transform
    saboteurs |= {"zeros": partial(_scaled, gain=0), "none": mne.io.BaseRaw.copy}
    saboteurs["low-pass 5"] = _then(average, _filtered, None, 5)
    saboteurs["high-pass 6"] = _then(average, _filtered, 6, None)
    return honest, others, saboteurs


def _rated(raw, true, groups):
    """Score and true SNR of each correction, one dict per group."""
    truth = raw.copy()
    truth._data[:] = true
    results = []
    for corrections in groups:
        rows = {}
        for name, correct in corrections.items():
            estimator = FunctionTransformer(correct)
            clean = estimator.transform(raw.copy())
            score = score_terms(estimator, raw, clean).score
            rows[name] = score, float(np.median(against_truth(clean, truth)["snr"]))
        results.append(rows)
    return results


@pytest.fixture(scope="session")
def gradient():
    """Recording with volumes, and the truth."""
    raw, truth = simulate_raw(
        60.0, sfreq=500.0, n_eeg=3, lowpass=100.0, pulse=0.0, ecg=False, seed=0
    )
    raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
    return raw, truth.clean


@pytest.fixture(scope="session")
def pulse():
    """Recording with R peaks, and the truth."""
    raw, truth = simulate_raw(
        120.0, sfreq=250.0, n_eeg=8, lowpass=100.0, gradient=0.0, pulse=0.4, seed=1
    )
    raw.annotations.append(truth.beat_times, 0, "R peak")
    return raw, truth.eeg


@pytest.fixture(scope="session", params=["gradient", "pulse"])
def ranked(request):
    """Scores and true SNRs of corrections of all kinds, and the regret to expect."""
    raw, true = request.getfixturevalue(request.param)
    corrections, regret = {
        "gradient": (_gradient_corrections, 1.0),
        # what differs from beat to beat is seen less well
        "pulse": (_pulse_corrections, 4.5),
    }[request.param]
    return _rated(raw, true, corrections()), regret


def test_score_ranks_as_the_truth_does(ranked):
    ranked, regret = ranked
    scores, truths = np.transpose([v for group in ranked for v in group.values()])
    assert scores.size >= 30
    assert spearmanr(scores, truths).statistic > 0.9
    best = np.argmax(scores)
    assert truths[best] > truths.max() - regret


def test_score_of_honest_corrections_is_near_their_snr(ranked):
    scores, truths = np.transpose(list(ranked[0][0].values()))
    assert np.abs(scores - truths).max() < 5.0
    assert abs(np.median(scores - truths)) < 2.5


def test_no_saboteur_comes_before_an_honest_correction(ranked):
    honest, _, saboteurs = ranked[0]
    worst = min(score for score, _ in honest.values())
    for name, (score, _) in saboteurs.items():
        assert score < worst, name


def test_grid_search_on_parts_finds_what_the_truth_would():
    raw, truth = simulate_raw(
        180.0,
        sfreq=500.0,
        n_eeg=3,
        tr=1.5,
        n_slices=15,
        lowpass=100.0,
        pulse=0.0,
        ecg=False,
        seed=7,
    )
    raw = TriggerDetector("R128", n_slices=15).fit_transform(raw)
    parts = split_raw(raw, 4)
    grid = {"window": [3, 12, 40], "weights": ["moving", "median", "allen"]}
    correction = AAS(level="volume")
    search = GridSearchCV(correction, grid, scoring=correction_score, cv=2)
    search.fit(parts)
    true = raw.copy()
    true._data[:] = truth.clean

    def snr(estimator, X, y=None):
        return np.mean(
            [
                np.median(against_truth(estimator.transform(part), part_true)["snr"])
                for part, part_true in zip(X, split_raw(true, 4), strict=True)
            ]
        )

    by_truth = GridSearchCV(correction, grid, scoring=snr, cv=[([0], [0, 1, 2, 3])])
    by_truth.fit(parts)
    index = by_truth.cv_results_["params"].index(search.best_params_)
    found = by_truth.cv_results_["mean_test_score"][index]
    assert found > by_truth.best_score_ - 0.5
    ranks = [s.cv_results_["mean_test_score"] for s in (search, by_truth)]
    assert spearmanr(*ranks).statistic > 0.9


def test_score_is_the_same_again_and_for_every_unit_and_order(gradient):
    raw, _ = gradient
    estimator = AAS(12, level="volume")
    score = correction_score(estimator, raw)
    assert correction_score(estimator, raw) == score
    assert correction_score(estimator, [raw, raw], y=[0, 1]) == score
    in_uv = raw.copy().apply_function(lambda x: 1e6 * x)
    assert correction_score(estimator, in_uv) == pytest.approx(score, abs=1e-6)
    other = raw.copy().reorder_channels(raw.ch_names[::-1])
    assert correction_score(estimator, other) == pytest.approx(score, abs=1e-9)


def test_flat_and_bad_channels_do_not_count(gradient):
    raw, _ = gradient
    score = correction_score(AAS(12, level="volume"), raw)
    more = raw.copy()
    names = ["flat", "wild"]
    data = np.zeros((2, raw.n_times))
    data[1] = 1e-2 * np.random.default_rng(0).normal(size=raw.n_times)
    extra = mne.io.RawArray(data, mne.create_info(names, raw.info["sfreq"], "eeg"))
    extra.set_meas_date(raw.info["meas_date"])
    more.add_channels([extra], force_update_info=True)
    more.info["bads"] = ["wild"]
    assert correction_score(AAS(12, level="volume"), more) == score
    with pytest.raises(ValueError, match="All channels are flat"):
        correction_score(FunctionTransformer(), more, picks=["flat"])


def test_recording_and_estimator_are_left_as_they_are(gradient):
    raw, _ = gradient
    data = raw.get_data()
    estimator = AAS(12, level="volume", copy=False)
    correction_score(estimator, raw)
    np.testing.assert_array_equal(raw.get_data(), data)
    assert vars(estimator) == vars(AAS(12, level="volume", copy=False))


def test_terms_of_a_gain_are_known(gradient):
    raw, true = gradient
    raw = raw.copy()
    raw._data[:] = true
    terms = score_terms(FunctionTransformer(partial(_scaled, gain=0.7)), raw)
    assert terms.lost == pytest.approx(0.09)
    assert terms.score == pytest.approx(-10 * np.log10(0.09), abs=0.5)
    assert terms.residual < 1.5
    perfect = score_terms(FunctionTransformer(), raw)
    assert perfect.lost == pytest.approx(0, abs=1e-12)
    assert perfect.score > 14


def test_residual_is_what_was_planted():
    rng = np.random.default_rng(0)
    eeg, other = rng.normal(size=(2, 200, 300))
    shapes = rng.normal(size=(3, 300))
    varying = rng.normal(size=(200, 3)) @ shapes + shapes[0]
    power = (varying**2).mean()
    original = 100 * varying + eeg
    for left in (0.0, 0.1, 0.5):
        found = residual_power(original, other, eeg + left * varying, other)
        assert found == pytest.approx(left**2 * power, rel=0.1, abs=0.005)


def test_shared_power_does_not_see_what_epochs_do_not_share():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=500)
    found = [
        shared_power(amplitude * shared + rng.normal(size=(30, 500)))
        for amplitude in (0.0, 0.3, 2.0)
    ]
    np.testing.assert_allclose(found, [0, 0.09, 4.0], atol=0.015, rtol=0.1)


def test_jumbled_pieces_keep_power_and_topography_but_no_time():
    rng = np.random.default_rng(0)
    x = np.array([[1.0], [-0.5]]) * np.tile(np.sin(np.arange(100) / 5), 40)
    y = jumble(x, 20_000, 200, rng)
    assert y.shape == (2, 20_000)
    np.testing.assert_allclose(y.std(axis=1), x.std(axis=1), rtol=0.05)
    np.testing.assert_allclose(y[1], -0.5 * y[0])
    epochs = complete_epochs(y[0], np.arange(0, 20_000, 100), 100)
    assert abs(shared_power(epochs)) < 0.05


def test_reference_is_free_of_events_and_keeps_the_rest(pulse):
    raw, true = pulse
    sfreq, eeg = raw.info["sfreq"], mne.pick_types(raw.info, eeg=True)
    beats = get_beats(raw, name="test")
    length = int(np.median(np.diff(beats)))
    starts, x = beats - 0.1 * length, raw.get_data(eeg)
    clean = without_events(x, starts, int(1.2 * length), sfreq)
    before, after = (((y - true[eeg]) ** 2).mean() for y in (x, clean))
    assert after < 0.35 * before
    no_pulse = without_events(true[eeg], starts, int(1.2 * length), sfreq)
    assert ((no_pulse - true[eeg]) ** 2).mean() < 0.25 * (true[eeg] ** 2).mean()


@pytest.mark.parametrize("sfreq", [500.0, 1000.0])
def test_probe_tells_gain_and_loss(sfreq):
    raw, _ = simulate_raw(30.0, sfreq=sfreq, n_eeg=2, lowpass=100.0, pulse=0.0)
    raw = TriggerDetector("R128").fit_transform(raw)
    half = probe(FunctionTransformer(partial(_scaled, gain=0.5)), raw)
    np.testing.assert_allclose(half.gain, 0.5)
    np.testing.assert_allclose(half.lost, 0.25)
    np.testing.assert_allclose(half.alpha_kept, 25)
    slow = probe(FunctionTransformer(partial(_filtered, l_freq=None, h_freq=5)), raw)
    assert np.all(slow.alpha_kept < 5)
    assert np.all(slow.lost > 0.05)
    x = 1e-6 * np.random.default_rng(0).normal(size=(2, raw.n_times))
    given = probe(FunctionTransformer(partial(_scaled, gain=0.5)), raw, x)
    np.testing.assert_allclose(given.gain, 0.5)


def test_response_in_step_with_volumes_is_lost_and_others_are_not(gradient):
    raw, _ = gradient
    raw = raw.copy()
    onsets = get_runs(raw, name="test")[0].onsets / raw.info["sfreq"]
    rng = np.random.default_rng(0)
    raw.annotations.append(raw.first_time + onsets[1:] + 0.6, 0, "locked")
    free = onsets[1:] + rng.uniform(0, 1.5, onsets.size - 1)
    raw.annotations.append(raw.first_time + free, 0, "free")
    estimator = AAS(20, level="volume")
    locked = probe(estimator, raw, "evoked", events="locked")
    others = probe(estimator, raw, "evoked", events="free")
    assert np.all(np.abs(locked.gain) < 0.1)
    assert np.all(np.abs(others.gain - 1) < 0.15)


def test_parts_follow_each_other_and_keep_everything(gradient):
    raw, _ = gradient
    raw = raw.copy().crop(1.0)
    parts = split_raw(raw, 3)
    data = np.hstack([part.get_data() for part in parts])
    np.testing.assert_array_equal(data, raw.get_data())
    volumes = [get_runs(part, name="test")[0] for part in parts]
    assert [np.sum(run.annotation >= 0) for run in volumes] == [9, 8, 8]
    for name in ("TR", "Stimulus/S  1"):
        sizes = [np.sum(part.annotations.description == name) for part in parts]
        assert sum(sizes) == np.sum(raw.annotations.description == name)
    numbers = [
        [extra["volume"] for extra in part.annotations.extras if "volume" in extra]
        for part in parts
    ]
    assert np.concatenate(numbers).tolist() == list(range(25))
    for part, run in zip(parts[1:], volumes[1:], strict=True):
        assert 0 <= run.onsets[run.annotation >= 0][0] < 1
        assert part.info["meas_date"] == raw.info["meas_date"]


def test_parts_at_heart_beats(pulse):
    raw, _ = pulse
    parts = split_raw(raw, 4, "R peak")
    data = np.hstack([part.get_data() for part in parts])
    np.testing.assert_array_equal(data, raw.get_data())
    sizes = [np.sum(part.annotations.description == "R peak") for part in parts]
    assert sum(sizes) == np.sum(raw.annotations.description == "R peak")
    assert np.ptp(sizes) <= 1
    assert np.isfinite(correction_score(PulseAAS(12), parts[1:3]))


def test_wrong_number_of_parts(gradient):
    for n in (0, 4, 1.5):
        with pytest.raises(
            ValueError, match=rf"n={n} parts need 8 .* for 3 part\(s\) of the 25"
        ):
            split_raw(gradient[0], n)
    with pytest.raises(ValueError, match=r"of the 0 there are. The recording has: 'R"):
        split_raw(gradient[0], 2, "TRs")


def test_what_the_score_needs(gradient):
    raw, _ = gradient
    bare = raw.copy().set_annotations(None)
    with pytest.raises(NotAvailable, match=r"Neither volumes \('TR'\) nor heart beats"):
        correction_score(FunctionTransformer(), bare)
    few = raw.copy().crop(0, 16)
    with pytest.raises(NotAvailable, match="At least 8 annotations described 'TR'"):
        correction_score(FunctionTransformer(), few)
    slower = FunctionTransformer(lambda x: x.copy().resample(250, verbose="ERROR"))
    with pytest.raises(ValueError, match="same samples, got 30000 at 500 Hz and 15000"):
        correction_score(slower, raw)
    no_eeg = mne.io.RawArray(raw.get_data(), mne.create_info(3, 500.0, "misc"))
    with pytest.raises(ValueError, match="no EEG channel"):
        correction_score(FunctionTransformer(), no_eeg)


def test_what_a_probe_needs(gradient):
    raw, _ = gradient
    with pytest.raises(ValueError, match="signal='noise' is unknown"):
        probe(FunctionTransformer(), raw, "noise")
    with pytest.raises(ValueError, match="events=None is the description of no annot"):
        probe(FunctionTransformer(), raw, "evoked")
    with pytest.raises(
        ValueError, match=r"shape \(2, 10\), needs one row for each of 3"
    ):
        probe(FunctionTransformer(), raw, np.zeros((2, 10)))
