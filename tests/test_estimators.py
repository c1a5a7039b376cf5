"""The contract of every estimator: scikit-learn's checks, and MNE's manners."""

import inspect
from pathlib import Path

import mne
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

import mne_facet
from mne_facet import (
    AAS,
    ANC,
    OBS,
    Filter,
    LowRank,
    NotchFilter,
    PulseAAS,
    PulseOBS,
    ReferenceRegression,
    Resample,
    RPeakDetector,
    TriggerAligner,
    TriggerDetector,
    VolumeArtifact,
    check_raw_transformer,
    recipe,
)

ESTIMATORS = [
    TriggerDetector("R128"),
    TriggerAligner(),
    AAS(),
    RPeakDetector(),
    OBS(),
    ANC(AAS()),
    VolumeArtifact(),
    LowRank(),
    PulseAAS(),
    PulseOBS(),
    ReferenceRegression(),
    Filter(1.0, 40.0),
    NotchFilter(50.0),
    Resample(500.0),
]
NEED_DATA = ESTIMATORS[2:]
BY_NAME = pytest.mark.parametrize(
    "estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__
)

# These hand over an array where the estimator takes mne.io.Raw, and fail. What they are
# after is tested below, on recordings.
WITH_ARRAYS = {
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
    "check_transformers_unfitted_stateless",
}


def _sklearn_checks():
    for estimator in ESTIMATORS:
        for _, check in estimator_checks_generator(estimator):
            name = check.func.__name__
            if name not in WITH_ARRAYS:
                kind = type(estimator).__name__
                yield pytest.param(estimator, check, id=f"{kind}-{name}")


@pytest.mark.parametrize(("estimator", "check"), list(_sklearn_checks()))
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def volumes(simulated):
    """Recording with annotated volumes."""
    return TriggerDetector("R128").fit_transform(simulated()[0])


@BY_NAME
def test_contract(estimator):
    check_raw_transformer(estimator)


@pytest.mark.parametrize("estimator", NEED_DATA, ids=lambda e: type(e).__name__)
def test_data_must_be_loaded(volumes, estimator, tmp_path):
    volumes.save(tmp_path / "x_raw.fif")
    lazy = mne.io.read_raw_fif(tmp_path / "x_raw.fif", preload=False)
    name = type(estimator).__name__
    with pytest.raises(
        RuntimeError, match=f"{name} needs the data in memory. Use raw.l"
    ):
        estimator.fit_transform(lazy)


def test_pipeline_nested_parameters_and_html():
    pipeline = recipe("aas", triggers="R128")
    assert isinstance(pipeline, Pipeline)
    pipeline.set_params(aas__window=12, triggers__n_slices=20)
    copy = clone(pipeline)
    assert copy.get_params()["aas__window"] == 12
    assert "TriggerDetector" in copy._repr_html_()
    assert repr(AAS(window=12)) == "AAS(window=12)"


def test_pipeline_on_one_and_several_recordings(simulated):
    raws = [simulated(seed=seed)[0] for seed in (0, 1)]
    pipeline = make_pipeline(TriggerDetector("R128"), TriggerAligner(), AAS())
    together = pipeline.fit_transform(raws)
    for raw, clean in zip(raws, together, strict=True):
        alone = pipeline.fit_transform(raw)
        np.testing.assert_array_equal(clean.get_data(), alone.get_data())


def test_grid_search_over_the_window(simulated):
    raws = [simulated(seed=seed)[0] for seed in range(4)]
    eeg = {
        raw.get_data().tobytes(): simulated(seed=seed)[1].eeg[:3]
        for seed, raw in enumerate(raws)
    }

    def score(estimator, X, y=None):
        errors = [
            (clean.get_data("eeg") - eeg[raw.get_data().tobytes()]).std()
            for raw, clean in zip(X, estimator.transform(X), strict=True)
        ]
        return -float(np.mean(errors))

    pipeline = recipe("aas", triggers="R128")
    search = GridSearchCV(pipeline, {"aas__window": [2, 12]}, scoring=score, cv=2)
    search.fit(raws)
    assert search.best_params_ == {"aas__window": 12}
    assert isinstance(search.best_estimator_.transform(raws[0]), mne.io.BaseRaw)


@pytest.mark.parametrize("name", mne_facet.__all__)
def test_what_has_jobs_is_parallel_over_something(name):
    item = getattr(mne_facet, name)
    if hasattr(item, "parallel_over") and hasattr(item, "fit"):
        jobs = "n_jobs" in inspect.signature(item.__init__).parameters
        assert item.parallel_over == ("channels" if jobs else None) or item in (
            mne_facet.ChannelTransformer,
        )


def test_table_of_the_guide_is_that_of_the_package():
    guide = Path(mne_facet.__file__).parents[1] / "doc" / "parallel.rst"
    if not guide.exists():
        pytest.skip("installed without the guide")
    text = guide.read_text().partition("\nprints::\n\n")[2].partition("\n\n")[0]
    table = dict(line.split() for line in text.splitlines())
    found = {name: getattr(mne_facet, name) for name in mne_facet.__all__}
    assert table == {
        name: item.parallel_over or "-"
        for name, item in found.items()
        if hasattr(item, "parallel_over")
    }


def test_unknown_recipe():
    with pytest.raises(ValueError, match=r"Recipe 'best' is unknown. There are"):
        recipe("best")
