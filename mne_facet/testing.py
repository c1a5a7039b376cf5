"""The contract of a step, to be checked by whoever writes one."""

import pickle
import tempfile
from pathlib import Path

import mne
import numpy as np
from joblib import wrap_non_picklable_objects
from sklearn.base import clone

from ._files import read_file, write_file
from .blockwise import Blockwise
from .simulate import simulate_raw
from .triggers import TriggerDetector


def check_raw_transformer(estimator, raw=None):
    """Check that an estimator of recordings keeps the contract of this package.

    It takes a Raw and returns one, or a list of them and returns a list. It leaves
    the input, its own parameters and everything it does not correct as they are. The
    result is the same, bit for bit, for clones, pickles, any number of jobs, block
    by block, and with the data on disk.

    Parameters
    ----------
    estimator : estimator
        With the parameters `copy` and `verbose`, as :class:`RawTransformer` and
        :class:`ChannelTransformer`.
    raw : mne.io.Raw | None
        A recording it can work on; None: a simulated one, 40 s of 3 EEG channels, the
        ECG and 2 wire loops, with annotated volumes and heart beats.

    Raises
    ------
    AssertionError
        If it does not.

    Examples
    --------
    >>> from mne_facet import AAS, check_raw_transformer
    >>> check_raw_transformer(AAS(window=10))
    """
    if raw is None:
        raw, truth = simulate_raw(40.0, sfreq=1000.0, n_eeg=3, n_wires=2, lowpass=100.0)
        raw = TriggerDetector("R128", verbose="ERROR").fit_transform(raw)
        raw.annotations.append(truth.beat_times, 0, "R peak")
    raw = _with_everything(raw)
    with mne.use_log_level("ERROR"):
        result = _check_input_is_unchanged(estimator, raw)
        _check_metadata(raw, result)
        _check_copies(estimator, raw, result)
        _check_lists(estimator, raw, result)
        _check_in_place(estimator, raw, result)
        _check_jobs(estimator, raw, result)
        _check_blocks_and_disk(estimator, raw)
        _check_errors(estimator, raw)


def _with_everything(raw):
    """Recording with what is easily lost."""
    raw = raw.copy()
    raw.info["bads"] = raw.ch_names[:1]
    raw.annotations.append(raw.first_time + 1.0, 0.2, "note")
    return raw.crop(0.5)


def _assert_same(raw, other, what):
    assert raw.ch_names == other.ch_names, f"{what}: other channels"
    np.testing.assert_array_equal(raw.get_data(), other.get_data(), what)
    assert raw.annotations == other.annotations, f"{what}: other annotations"
    assert raw.first_samp == other.first_samp, f"{what}: another first sample"
    for key in ("sfreq", "lowpass", "highpass", "bads", "meas_date"):
        assert raw.info[key] == other.info[key], f"{what}: other info[{key!r}]"


def _check_input_is_unchanged(estimator, raw):
    before, parameters = raw.copy(), estimator.get_params(deep=False)
    assert estimator.fit(raw) is estimator, "fit returns something else than self"
    result = estimator.transform(raw)
    assert isinstance(result, mne.io.BaseRaw), f"transform returns {type(result)}"
    assert result is not raw, "transform returns its input although copy=True"
    _assert_same(raw, before, "the input was changed")
    assert set(vars(estimator)) == set(parameters), "attributes were set by transform"
    for name, value in parameters.items():
        assert getattr(estimator, name) is value, f"parameter {name} was changed"
    return result


def _check_metadata(raw, result):
    assert set(raw.info["bads"]) <= set(result.info["bads"]), "bad channels were lost"
    assert result.info["meas_date"] == raw.info["meas_date"], "the date was lost"
    assert "note" in result.annotations.description, "an annotation was lost"


def _check_copies(estimator, raw, result):
    _assert_same(clone(estimator).transform(raw), result, "a clone differs")
    # as joblib does it, which takes classes of a notebook too
    wrapped = wrap_non_picklable_objects(estimator)
    pickled = pickle.loads(pickle.dumps(wrapped))
    _assert_same(pickled.transform(raw), result, "a pickled estimator differs")


def _check_lists(estimator, raw, result):
    both = estimator.fit_transform([raw, raw])
    assert isinstance(both, list), "a list is not returned for a list"
    assert len(both) == 2, "a list of another length is returned"
    for one in both:
        _assert_same(one, result, "one of a list differs")


def _check_in_place(estimator, raw, result):
    raw = raw.copy()
    in_place = clone(estimator).set_params(copy=False).fit_transform(raw)
    assert in_place is raw, "copy=False returns a new object"
    _assert_same(in_place, result, "copy=False differs")


def _check_jobs(estimator, raw, result):
    if "n_jobs" in estimator.get_params(deep=False):
        for n_jobs in (2, -1):
            parallel = clone(estimator).set_params(n_jobs=n_jobs).transform(raw)
            _assert_same(parallel, result, f"n_jobs={n_jobs} differs")


def _check_blocks_and_disk(estimator, raw):
    with tempfile.TemporaryDirectory() as folder:
        fname = Path(folder) / "check_eeg.fif"
        write_file(raw, fname, "fif")
        expected = estimator.transform(read_file(fname))
        blocks = Blockwise(clone(estimator), block_size=2, n_jobs=2)
        _assert_same(blocks.transform(read_file(fname)), expected, "blocks differ")
        raw = read_file(fname, store=Path(folder) / "data")
        blocks.set_params(copy=False)
        _assert_same(blocks.transform(raw), expected, "data on disk differ")


def _check_errors(estimator, raw):
    for wrong in (raw.get_data(), "raw.fif", None):
        try:
            estimator.fit(wrong)
        except TypeError:
            continue
        raise AssertionError(f"fit takes {type(wrong).__name__} without an error")
