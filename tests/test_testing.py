"""The check of the contract finds who breaks it."""

import mne
import numpy as np
import pytest

from mne_facet import (
    Blockwise,
    ChannelTransformer,
    Filter,
    RawTransformer,
    check_raw_transformer,
)


class Step(RawTransformer):
    def __init__(self, *, copy=True, verbose=None):
        self.copy = copy
        self.verbose = verbose

    def _correct(self, raw):
        return raw


class Good(Step):
    pass


class Remembers(Step):
    def _correct(self, raw):
        self.last_ = raw
        return raw


class ForgetsAnnotations(Step):
    def _correct(self, raw):
        return raw.set_annotations(None)


class WorksOnTheInput(Step):
    def transform(self, X):
        X._data *= 2
        return X.copy()


class Random(Step):
    def _correct(self, raw):
        raw._data += np.random.default_rng().normal(size=raw._data.shape)
        return raw


class TakesAnything(Step):
    def fit(self, X, y=None):
        return self


class Counts(ChannelTransformer):
    """Result depends on the order of channels."""

    def __init__(self, *, picks=None, copy=True, n_jobs=None, verbose=None):
        self.picks = picks
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        calls = []

        def count(x):
            calls.append(1)
            return x + len(calls)

        return count if self.n_jobs is None else np.negative


@pytest.fixture
def raw():
    data = 1e-5 * np.random.default_rng(0).normal(size=(4, 2000))
    raw = mne.io.RawArray(data, mne.create_info(4, 200.0, "eeg"), verbose="ERROR")
    return raw.set_meas_date(1577836800.0)


def test_good_steps_pass(raw):
    check_raw_transformer(Good(), raw)
    check_raw_transformer(Blockwise(Filter(1.0, 40.0)), raw)


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (Remembers, "attributes were set by transform"),
        (ForgetsAnnotations, "an annotation was lost"),
        (WorksOnTheInput, "the input was changed"),
        (Random, "a clone differs"),
        (TakesAnything, "fit takes ndarray without an error"),
        (Counts, "n_jobs=2 differs"),
    ],
)
def test_broken_steps_do_not(raw, step, match):
    with pytest.raises(AssertionError, match=match):
        check_raw_transformer(step(), raw)
