"""The slow part of a signal that holds a periodic artifact."""

import numpy as np

from .compiled import compiled


def baseline(x, periods, n_grid, good=None, n_passes=1):
    """Twofold moving average over one period, on a grid of points per period.

    The nulls of a box of one period are the harmonics of the artifact, so
    ``MA(MA(x))`` holds the slow signal and nothing of the artifact, whatever the
    artifact's own offset and slope. The ends repeat the first and last period.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal.
    periods : array of float, shape (n_periods + 1,)
        Borders of the periods, in samples, all inside the data.
    n_grid : int
        Points per period, even.
    good : array of bool, shape (n_periods,) | None
        Periods to trust; others get the mean of their good neighbours, so that a
        burst does not spread beyond its own period.
    n_passes : int
        How often the baseline is taken and added up, each time of what the one before
        left: ``1 - (1 - H)^n`` of a slow signal of which once is ``H``.

    Returns
    -------
    position : array of float
        Grid in samples, from one period before the first border to one after the
        last.
    value : array of float
        Baseline at these positions.
    """
    if good is None or not good.any():
        good = np.ones(len(periods) - 1, bool)
    kernels = compiled()
    if kernels:
        return kernels.baseline(x, periods, n_grid, good, n_passes)
    knots, first = divide(periods, n_grid, x.size)
    sums = np.add.reduceat(x, first)[:-1]
    return slow_part(x, knots, first, sums, n_grid, good, n_passes)


# The rest is compiled where there is a compiler: threads would wait for the
# interpreter's lock at each of these short steps.


def divide(periods, n_grid, n_times):
    """Points that divide the periods, and the samples at or before them."""
    n_points = n_grid * (len(periods) - 1)
    number = np.arange(len(periods)).astype(np.float64)
    knots = np.interp(np.arange(n_points + 1) / n_grid, number, periods)
    return knots, np.minimum(knots.astype(np.int64), n_times - 2)


def slow_part(x, knots, first, sums, n_grid, good, n_passes):
    """Baseline from the sums of the samples between points."""

    def repeat_ends(values):
        """Two more of the first and of the last period."""
        start, end = values[:n_grid], values[-n_grid:]
        return np.concatenate((start, start, values, end, end))

    def running_sum(values):
        return np.concatenate((np.zeros(1), np.cumsum(values)))

    def moving_sum(values):
        total = running_sum(values)
        return total[n_grid:] - total[:-n_grid]

    # the running sum of x, interpolated between samples to third order
    fraction = knots - first
    step = x[first + 1] - x[first]
    cumulative = running_sum(sums)
    cumulative += fraction * x[first] + 0.5 * fraction * (fraction - 1) * step
    sums, widths = np.diff(cumulative), np.diff(knots)
    # a period that is not good gets the mean of the next good ones
    rows, known = sums.reshape(-1, n_grid), np.flatnonzero(good)
    for k in np.flatnonzero(~good):
        after = np.searchsorted(known, k)
        near = known[max(0, after - 1) : after + 1]
        rows[k] = rows[near].sum(axis=0) / near.size
    wide = repeat_ends(widths)
    inner = wide[n_grid:-n_grid]
    value = np.zeros(inner.size + 1)
    for _ in range(n_passes):
        box = moving_sum(repeat_ends(sums)) / moving_sum(wide)
        more = (moving_sum(box[:-1]) + moving_sum(box[1:])) / (2 * n_grid)
        value += more
        cells = 0.5 * (more[1:] + more[:-1]) * inner
        sums = sums - cells[n_grid:-n_grid]
    border = knots[0] - widths[:n_grid].sum()
    return border + running_sum(inner), value
