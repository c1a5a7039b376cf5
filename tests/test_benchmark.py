"""Time and memory with different numbers of jobs."""

import re
import runpy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mne_facet import AAS, Filter, TriggerDetector, benchmark_scaling, plot_scaling
from mne_facet._base import ChannelTransformer


def _add_noise(x, rng):
    return x + rng.normal(size=x.size)


class _Random(ChannelTransformer):
    """Something else at each call, which no step may be."""

    rng = np.random.default_rng(0)

    def __init__(self, *, picks=None, copy=True, n_jobs=None, verbose=None):
        self.picks = picks
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        return partial(_add_noise, rng=self.rng)


def test_rows_are_relative_to_the_first_number_of_jobs(simulated):
    raw = TriggerDetector("R128").fit_transform(simulated()[0])
    before = raw.get_data()
    rows = benchmark_scaling(AAS(), raw, n_jobs=(2, 1), n_runs=1)
    assert [row.n_jobs for row in rows] == [2, 1]
    assert rows[0].speedup == rows[0].efficiency == 1
    np.testing.assert_allclose(rows[1].speedup, rows[0].seconds / rows[1].seconds)
    np.testing.assert_allclose(rows[1].efficiency, 2 * rows[1].speedup)
    assert all(row.copies > 0 and row.equal for row in rows)
    assert np.array_equal(raw.get_data(), before)


def test_results_that_differ_are_told(simulated):
    rows = benchmark_scaling(_Random(), simulated()[0], n_runs=1)
    assert [row.equal for row in rows] == [True, False]
    assert str(rows).split()[-1] == "NO"


def test_picture_has_the_numbers(simulated):
    rows = benchmark_scaling(Filter(None, 70), simulated()[0], n_jobs=(1, 2), n_runs=1)
    axes = Figure().subplots(1, 2)
    assert plot_scaling(rows, axes=axes) is axes[0].figure
    ideal, measured = axes[0].lines
    assert list(ideal.get_ydata()) == [1, 2]
    assert list(measured.get_ydata()) == [row.speedup for row in rows]
    assert list(axes[1].lines[0].get_ydata()) == [row.memory / 1e6 for row in rows]


def test_filters_whose_speed_is_compared_give_the_same(monkeypatch, capsys):
    pytest.importorskip("numba")
    script = Path(__file__).parents[1] / "examples" / "benchmarks" / "anc_speed.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--taps", "20", "--seconds", "0.1"])
    runpy.run_path(str(script), run_name="__main__")
    differences = re.findall(r"difference (\S+)", capsys.readouterr().out)
    assert len(differences) == 4
    assert all(float(difference) < 1e-12 for difference in differences)
