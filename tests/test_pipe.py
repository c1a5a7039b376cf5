"""raw.pipe has pandas' semantics, and takes estimators."""

import mne
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from mne_facet import AAS, TriggerDetector, _pipe


def test_functions_tuples_and_keywords(simulated):
    raw, _ = simulated()
    assert raw.pipe(lambda inst, k: inst.n_times + k, 2) == raw.n_times + 2
    assert raw.pipe((lambda k, inst: inst is raw, "inst"), 1)
    with pytest.raises(ValueError, match="inst is both the pipe target and a keyword"):
        raw.pipe((lambda inst: inst, "inst"), inst=raw)


def test_estimators_and_pipelines(simulated):
    raw, _ = simulated()
    chained = raw.pipe(TriggerDetector("R128")).pipe(AAS())
    pipeline = make_pipeline(TriggerDetector("R128"), AAS())
    np.testing.assert_array_equal(chained.get_data(), raw.pipe(pipeline).get_data())
    events = np.c_[np.arange(5000, 33000, 2000), np.zeros(14), np.ones(14)].astype(int)
    assert (
        raw.pipe(
            mne.preprocessing.remove_fmri_gradient_artifact, events, window=(2, 2)
        ).n_times
        == raw.n_times
    )


def test_a_pipe_that_is_there_already_stays():
    class Own(mne.io.RawArray):
        def pipe(self):
            return "own"

    before = mne.io.BaseRaw.pipe
    _pipe.install()
    assert mne.io.BaseRaw.pipe is before
    own = Own(np.zeros((1, 10)), mne.create_info(1, 100.0, "eeg"))
    assert own.pipe() == "own"
