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
    n_points = n_grid * (len(periods) - 1)
    knots = np.interp(
        np.arange(n_points + 1) / n_grid, np.arange(len(periods)), periods
    )
    first = np.minimum(knots.astype(int), x.size - 2)
    fraction = knots - first
    cumulative = np.r_[0.0, np.cumsum(sums_between(x, first))]
    # the running sum of x, interpolated between samples to third order
    step = x[first + 1] - x[first]
    cumulative += fraction * x[first] + 0.5 * fraction * (fraction - 1) * step
    sums, widths = np.diff(cumulative), np.diff(knots)
    if good is not None and good.any():
        _bridge(sums.reshape(-1, n_grid), good)
    wide = _repeat_ends(widths, n_grid)
    value = 0.0
    for _ in range(n_passes):
        more = _twofold_average(_repeat_ends(sums, n_grid), wide, n_grid)
        value = value + more
        cells = 0.5 * (more[1:] + more[:-1]) * wide[n_grid:-n_grid]
        sums = sums - cells[n_grid:-n_grid]
    border = knots[0] - widths[:n_grid].sum()
    position = border + np.r_[0.0, np.cumsum(wide[n_grid:-n_grid])]
    return position, value


def sums_between(x, borders):
    """Sum of the samples from each border to the next, borders ascending."""
    kernels = compiled()
    if kernels:
        return kernels.sums(x, borders)
    return np.add.reduceat(x, borders)[:-1]


def _repeat_ends(x, n_grid):
    """Two more of the first and of the last period."""
    return np.r_[np.tile(x[:n_grid], 2), x, np.tile(x[-n_grid:], 2)]


def _twofold_average(sums, widths, n_grid):
    box = _moving_sum(sums, n_grid) / _moving_sum(widths, n_grid)
    return (_moving_sum(box[:-1], n_grid) + _moving_sum(box[1:], n_grid)) / (2 * n_grid)


def _bridge(rows, good):
    """Replace rows that are not good by the mean of the next good ones, in place."""
    known = np.flatnonzero(good)
    for k in np.flatnonzero(~good):
        after = np.searchsorted(known, k)
        rows[k] = rows[known[max(0, after - 1) : after + 1]].mean(axis=0)


def _moving_sum(x, width):
    total = np.r_[0.0, np.cumsum(x)]
    return total[width:] - total[:-width]
