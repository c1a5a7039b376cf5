"""The slow part of a signal that holds a periodic artifact."""

import numpy as np


def baseline(x, periods, n_grid, good=None):
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
    cumulative = np.r_[0.0, np.cumsum(np.add.reduceat(x, first)[:-1])]
    # the running sum of x, interpolated between samples to third order
    step = x[first + 1] - x[first]
    cumulative += fraction * x[first] + 0.5 * fraction * (fraction - 1) * step
    sums, widths = np.diff(cumulative), np.diff(knots)
    if good is not None and good.any():
        _bridge(sums.reshape(-1, n_grid), good)
    sums = np.r_[np.tile(sums[:n_grid], 2), sums, np.tile(sums[-n_grid:], 2)]
    widths = np.r_[np.tile(widths[:n_grid], 2), widths, np.tile(widths[-n_grid:], 2)]
    box = _moving_sum(sums, n_grid) / _moving_sum(widths, n_grid)
    value = (_moving_sum(box[:-1], n_grid) + _moving_sum(box[1:], n_grid)) / (
        2 * n_grid
    )
    border = knots[0] - widths[:n_grid].sum()
    position = border + np.r_[0.0, np.cumsum(widths[n_grid:-n_grid])]
    return position, value


def _bridge(rows, good):
    """Replace rows that are not good by the mean of the next good ones, in place."""
    known = np.flatnonzero(good)
    for k in np.flatnonzero(~good):
        after = np.searchsorted(known, k)
        rows[k] = rows[known[max(0, after - 1) : after + 1]].mean(axis=0)


def _moving_sum(x, width):
    total = np.r_[0.0, np.cumsum(x)]
    return total[width:] - total[:-width]
