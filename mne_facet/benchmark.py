"""Time and memory of an estimator with different numbers of jobs."""

import time
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from ._memory import peak_memory, reset_peak_memory
from .blockwise import Blockwise


class ScalingRow(NamedTuple):
    """One number of jobs.

    Attributes
    ----------
    n_jobs : int
        Channels at a time.
    seconds : float
        Median time of the clock.
    speedup : float
        Median of the ratio to the first number of jobs, of runs next to each other.
    efficiency : float
        Speed-up for each job more.
    copies : float
        Median time as a multiple of one ``np.copyto`` of the data.
    memory : float | None
        Highest memory beyond the recording in bytes; None where the system does not
        say.
    equal : bool
        Whether data and annotations are those of the first number of jobs, bit for
        bit.
    """

    n_jobs: int
    seconds: float
    speedup: float
    efficiency: float
    copies: float
    memory: float | None
    equal: bool


class Scaling(list):
    """One :class:`ScalingRow` per number of jobs; prints as a table."""

    def __str__(self):
        lines = ["n_jobs  seconds  speed-up  efficiency  copies  memory (MB)  equal"]
        for row in self:
            memory = "-" if row.memory is None else f"{row.memory / 1e6:.0f}"
            lines.append(
                f"{row.n_jobs:6}  {row.seconds:7.2f}  {row.speedup:8.2f}  "
                f"{row.efficiency:10.2f}  {row.copies:6.1f}  {memory:>11}  "
                f"{'yes' if row.equal else 'NO':>5}"
            )
        return "\n".join(lines)


def benchmark_scaling(estimator, raw, n_jobs=(1, 2), *, n_runs=5):
    """Time an estimator with different numbers of jobs, in turns.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction. Its steps run in blocks, see :class:`Blockwise`.
    raw : mne.io.Raw
        The recording; not changed.
    n_jobs : sequence of int
        Numbers of channels at a time; the first is what the others are compared with.
    n_runs : int
        Runs of each; medians are given.

    Returns
    -------
    scaling : Scaling
        List of :class:`~mne_facet.benchmark.ScalingRow` that prints as a table.

    Examples
    --------
    >>> from mne_facet import benchmark_scaling, recipe, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=4, sfreq=1000)
    >>> rows = benchmark_scaling(recipe("aas", triggers="R128"), raw, n_runs=1)
    >>> [row.equal for row in rows]
    [True, True]
    """
    seconds = np.empty((n_runs, len(n_jobs)))
    memory = np.full(seconds.shape, np.nan)
    copy_seconds, equal, first = [], [True] * len(n_jobs), None
    for run in range(n_runs):
        copy_seconds.append(_time_copy(raw))
        for column, jobs in enumerate(n_jobs):
            clean, seconds[run, column], memory[run, column] = _time(
                estimator, raw, jobs
            )
            if first is None:
                first = clean
            elif run == 0:
                equal[column] = _is_equal(clean, first)
            del clean
    speedup = np.median(seconds[:, :1] / seconds, axis=0)
    return Scaling(
        ScalingRow(
            jobs,
            float(np.median(seconds[:, column])),
            float(speedup[column]),
            float(speedup[column] * n_jobs[0] / jobs),
            float(np.median(seconds[:, column] / copy_seconds)),
            None
            if np.isnan(memory[:, column]).any()
            else float(np.median(memory[:, column])),
            equal[column],
        )
        for column, jobs in enumerate(n_jobs)
    )


def _time(estimator, raw, n_jobs):
    raw = raw.copy()
    transformer = Blockwise(clone(estimator), copy=False, n_jobs=n_jobs)
    reset_peak_memory()
    before = peak_memory()
    start = time.perf_counter()
    raw = transformer.fit_transform(raw)
    seconds = time.perf_counter() - start
    after = peak_memory()
    return raw, seconds, np.nan if after is None else after - before


def _time_copy(raw):
    """Time of one copy into memory that has been used before."""
    target = raw.get_data()
    start = time.perf_counter()
    np.copyto(target, raw._data)
    return time.perf_counter() - start


def _is_equal(raw, other):
    return raw.annotations == other.annotations and np.array_equal(
        raw._data, other._data
    )


def plot_scaling(scaling, *, axes=None):
    """Draw speed-up and memory against the number of jobs.

    Parameters
    ----------
    scaling : Scaling
        As returned by :func:`benchmark_scaling`.
    axes : sequence of matplotlib.axes.Axes | None
        Two axes to draw on; None: a new figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from mne_facet import Filter, benchmark_scaling, plot_scaling, simulate_raw
    >>> raw, truth = simulate_raw(duration=20, n_eeg=2, sfreq=1000)
    >>> scaling = benchmark_scaling(Filter(None, 70), raw, n_jobs=(1, 2), n_runs=1)
    >>> fig = plot_scaling(scaling, axes=Figure().subplots(1, 2))
    """
    import matplotlib.pyplot as plt

    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
    jobs = [row.n_jobs for row in scaling]
    axes[0].plot(jobs, [n / jobs[0] for n in jobs], "--", color="0.6", label="ideal")
    axes[0].plot(
        jobs, [row.speedup for row in scaling], "o-", color="#0072B2", label="measured"
    )
    axes[0].set(xlabel="Jobs", ylabel="Speed-up", xticks=jobs, title="Time")
    axes[0].legend(frameon=False)
    if all(row.memory is not None for row in scaling):
        memory = [row.memory / 1e6 for row in scaling]
        axes[1].plot(jobs, memory, "o-", color="#0072B2")
    axes[1].set(
        xlabel="Jobs",
        ylabel="Memory beyond the data (MB)",
        xticks=jobs,
        title="Memory",
    )
    axes[1].set_ylim(bottom=0)
    for axis in axes:
        axis.grid(color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    return axes[0].figure
