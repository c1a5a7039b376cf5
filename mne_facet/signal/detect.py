"""Finding the gradient artifact in the signal itself."""

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d

from .align import gather


def artifact_band(x, sfreq):
    """Copy of a signal without what is slower than the gradient artifact.

    The signal minus its moving average over 20 ms: little below 20 Hz is left, and
    there is no ringing at the borders of the scan.
    """
    slow = uniform_filter1d(x, 2 * int(0.01 * sfreq) + 1)
    return np.subtract(x, slow, out=slow)


def acquisition_spans(x, sfreq, min_duration=1.0):
    """Spans of scanning, from the power in bins of 50 ms.

    The threshold is Otsu's on the logarithm of the power; spans closer than 0.5 s
    are joined.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    sfreq : float
        Sampling frequency in Hz.
    min_duration : float
        Shortest span in seconds.

    Returns
    -------
    spans : array of int, shape (n_spans, 2)
        First and last sample; empty where the power has no two levels 10 dB apart.
    """
    width = max(1, round(0.05 * sfreq))
    n_bins = x.size // width
    power = (x[: n_bins * width].reshape(n_bins, width) ** 2).mean(axis=1)
    level = 10 * np.log10(np.maximum(power, power.max() * 1e-15 + 1e-300))
    border = _otsu(level)
    active = level > border
    if (
        not active.any()
        or active.all()
        or (np.median(level[active]) - np.median(level[~active]) < 10)
    ):
        return np.empty((0, 2), int)
    edges = np.flatnonzero(np.diff(np.r_[0, active.astype(int), 0])).reshape(-1, 2)
    keep = np.diff(edges.ravel())[1::2] > 0.5 * sfreq / width
    starts = edges[np.r_[True, keep], 0]
    stops = edges[np.r_[keep, True], 1]
    spans = np.c_[starts, stops] * width
    return spans[np.diff(spans, axis=1)[:, 0] >= min_duration * sfreq]


def _otsu(values):
    """Threshold that best separates a sample into two groups."""
    ordered = np.sort(values)
    n_low = np.arange(1, ordered.size)
    low = np.cumsum(ordered)[:-1]
    high = ordered.sum() - low
    n_high = ordered.size - n_low
    between = n_low * n_high * (low / n_low - high / n_high) ** 2
    split = int(between.argmax())
    return 0.5 * (ordered[split] + ordered[split + 1])


def find_period(signals, shortest, longest):
    """Period of the artifact from its autocorrelation, to a fraction of a sample.

    Slices repeat almost, volumes exactly: the shortest period is a slice, and a
    multiple of it that correlates better than the other ones is the volume.

    Parameters
    ----------
    signals : array, shape (n_channels, n_times)
        Channels in the artifact band, scanning only; their autocorrelations are
        averaged.
    shortest, longest : float
        Range of periods to look at, in samples.

    Returns
    -------
    period : float
        The volume; the shortest period if no multiple stands out; NaN if there is
        none. Refined at its own multiples, which tell it more precisely.
    height : float
        Autocorrelation there, 1 for a strictly periodic signal.
    """
    correlation = np.mean([_autocorrelation(x) for x in signals], axis=0)
    first, last = max(1, int(shortest)), min(int(longest) + 2, correlation.size // 2)
    inner = correlation[first:last]
    is_peak = (inner >= correlation[first - 1 : last - 1]) & (
        inner >= correlation[first + 1 : last + 1]
    )
    lags = np.flatnonzero(is_peak & (inner > 0.8 * inner.max())) + first
    if not lags.size:
        return float("nan"), 0.0
    heights = np.array([_vertex(correlation, lag)[1] for lag in lags])
    lag = lags[np.argmax(heights >= 0.99 * heights.max())]
    period = _refine_period(correlation, _vertex(correlation, lag)[0])
    period *= _outstanding_multiple(correlation, period, last)
    return float(period), float(heights.max())


def autocorrelation_at(x, lag):
    """Autocorrelation at the peak within two samples of a lag."""
    return _nearest_peak(_autocorrelation(x), lag)[1]


def _autocorrelation(x):
    """Autocorrelation at all lags, each by the number of products in its sum."""
    n_fft = fft.next_fast_len(2 * x.size, real=True)
    power = np.abs(fft.rfft(x - x.mean(), n_fft)) ** 2
    correlation = fft.irfft(power, n_fft)[: x.size]
    scale = correlation[0] * (1 - np.arange(x.size) / x.size)
    return np.divide(correlation, scale, out=np.zeros_like(scale), where=scale > 0)


def _vertex(y, peak):
    """Position and height of a peak between samples, by a cubic spline."""
    reach = min(8, peak, y.size - 1 - peak)
    around = np.arange(-reach, reach + 1)
    fine = np.linspace(-1, 1, 81)
    values = CubicSpline(around, y[peak + around])(fine)
    return peak + fine[values.argmax()], values.max()


def _nearest_peak(y, lag):
    near = round(lag) + np.arange(-2, 3)
    return _vertex(y, near[y[near].argmax()])


def _refine_period(correlation, period):
    """Period from the peak at 2, 4, 8 ... times its first guess."""
    multiple = 2
    while multiple * period < 0.7 * correlation.size:
        period = _nearest_peak(correlation, multiple * period)[0] / multiple
        multiple *= 2
    return period


def _outstanding_multiple(correlation, period, longest):
    """Multiple of a period that comes clearly closer to a correlation of 1."""
    multiples = np.arange(1, int((longest - 3) / period) + 1)
    if multiples.size < 8:
        return 1
    heights = np.array([_nearest_peak(correlation, m * period)[1] for m in multiples])
    usual = np.median(heights)
    gain = heights - usual
    if gain.max() < max(0.3 * (1 - usual), 5 * np.median(np.abs(gain))):
        return 1
    return int(multiples[np.argmax(gain > 0.8 * gain.max())])


def typical_epoch(x, onsets, length):
    """Median of up to 31 epochs spread over those that lie inside the data.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    onsets : array of float, shape (n_epochs,)
        Epoch onsets in samples.
    length : int
        Epoch length in samples.

    Returns
    -------
    typical : array, shape (length,)
        Sample-wise median.
    """
    starts = np.floor(np.asarray(onsets) + 0.5).astype(int)
    usable = starts[(starts >= 0) & (starts + length <= x.size)]
    return np.median(gather(x, usable[:: max(1, usable.size // 31)], length), axis=0)


def similarity(x, onsets, typical):
    """How much each epoch resembles the typical one.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    onsets : array of float, shape (n_epochs,)
        Epoch onsets in samples.
    typical : array, shape (length,)
        Epoch to compare with.

    Returns
    -------
    correlation : array, shape (n_epochs,)
        Pearson correlation over the samples of the epoch that lie inside the data;
        0 where these are less than 2 %, or constant.
    ratio : array, shape (n_epochs,)
        Standard deviation of the epoch over that of the typical one.
    """
    starts = np.floor(np.asarray(onsets) + 0.5).astype(int)
    correlation, ratio = np.zeros(starts.size), np.zeros(starts.size)
    for k, start in enumerate(starts):
        first, last = max(0, -start), min(typical.size, x.size - start)
        if last - first < max(10, 0.02 * typical.size):
            continue
        epoch, part = x[start + first : start + last], typical[first:last]
        scale = epoch.std(), part.std()
        if min(scale) > 0:
            product = (epoch - epoch.mean()) @ (part - part.mean()) / epoch.size
            correlation[k] = product / (scale[0] * scale[1])
            ratio[k] = scale[0] / scale[1]
    return correlation, ratio


def repetition(x, onsets, length):
    """How much up to some 60 epochs resemble the typical one: median correlation.

    Above 0.5 where an artifact repeats; EEG alone stays below, given five epochs.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    onsets : array of float, shape (n_epochs,)
        Epoch onsets in samples.
    length : int
        Epoch length in samples.

    Returns
    -------
    correlation : float
        -1 to 1.
    """
    typical = typical_epoch(x, onsets, length)
    some = onsets[:: max(1, len(onsets) // 31)]
    return float(np.median(similarity(x, some, typical)[0]))


def start_offset(x, onsets, search):
    """How long before (negative) or after its first onset a run's artifact begins.

    The change point ``s`` around the first onset minimises
    ``sum_{j<s} x'(j)^2 + sum_{j>=s} (x'(j) - T'(j))^2``: silence on one side, artifact
    on the other. ``T`` is the artifact there in later epochs, the prime the first
    difference (it reaches no further than a sample and leaves little of the EEG).

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal.
    onsets : array of float, shape (n_epochs,)
        Onsets of one run, in samples.
    search : int
        How far to look on both sides, in samples.

    Returns
    -------
    offset : int
        0 where nothing is found: no silence before the run, or no clear change.
    """
    starts = np.floor(np.asarray(onsets) + 0.5).astype(int) - search
    later = starts[1:21]
    later = later[later + 2 * search < x.size]
    if starts[0] < 0 or later.size < 2:
        return 0
    template = np.diff(np.median(gather(x, later, 2 * search + 1), axis=0))
    begin = np.diff(gather(x, starts[:1], 2 * search + 1)[0])
    cost = _change_cost(begin**2, (begin - template) ** 2)
    # better than artifact all along, and than silence up to the first onset
    if cost.min() > 0.8 * min(cost[0], cost[search]):
        return 0
    best = np.flatnonzero(cost < cost.min() + 0.002 * cost[search])
    offset = int(best[np.abs(best - search).argmin()]) - search
    # a start that is a little early costs nothing, one that is late leaves artifact
    unsure = offset < 0.05 * search or cost.min() > 0.5 * cost[search]
    return 0 if offset > 0 and unsure else offset


def _change_cost(before, after):
    """Sum of `before` up to each point and of `after` from there on."""
    before, after = np.r_[0, np.cumsum(before)], np.r_[0, np.cumsum(after)]
    return before + after[-1] - after


def end_of_epoch(x, onset, typical):
    """Samples after its onset at which the artifact of an epoch ends.

    The change point ``s`` minimises
    ``sum_{j<s} (x'(j) - T'(j))^2 + sum_{j>=s} x'(j)^2``: artifact, then silence.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    onset : float
        Onset in samples.
    typical : array, shape (length,)
        Typical epoch ``T``.

    Returns
    -------
    length : int
        That of `typical` where the artifact does not end before.
    """
    start = int(np.floor(onset + 0.5))
    if start < 0 or start + typical.size > x.size:
        return typical.size
    epoch = np.diff(x[start : start + typical.size])
    cost = _change_cost((epoch - np.diff(typical)) ** 2, epoch**2)
    if cost.min() > 0.8 * cost[-1]:
        return typical.size
    return int(np.flatnonzero(cost < cost.min() + 0.002 * cost[-1])[-1]) + 1


def artifact_outside(x, sfreq, spans, margin=0.1):
    """Where a signal outside some spans is as strong as inside.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    sfreq : float
        Sampling frequency in Hz.
    spans : list of tuple of float
        First and last sample of each span.
    margin : float
        Seconds around the spans that do not count.

    Returns
    -------
    times : array
        Starts, in samples, of the parts of 50 ms with more than half of the
        amplitude that three quarters of the parts inside stay below.
    """
    width = max(1, round(0.05 * sfreq))
    n_parts = x.size // width
    amplitude = x[: n_parts * width].reshape(n_parts, width).std(axis=1)
    starts = width * np.arange(n_parts)
    inside, near = np.zeros(n_parts, bool), np.zeros(n_parts, bool)
    for first, last in spans:
        inside |= (starts >= first) & (starts + width <= last)
        near |= (starts + width > first - margin * sfreq) & (
            starts < last + margin * sfreq
        )
    if not inside.any():
        return np.empty(0, int)
    usual = np.percentile(amplitude[inside], 75)
    return starts[~near & (amplitude > 0.5 * usual) & (usual > 0)]


def shot_period(x, onsets, period, n_shots, max_gap=0.2):
    """Distance of the slice excitations inside volumes that may end with a pause.

    Maximises the energy of the mean slice epoch over the length of the pause, as the
    slices of a volume add up in phase only at their true distance.

    Parameters
    ----------
    x : array, shape (n_times,)
        Signal in the artifact band.
    onsets : array of float, shape (n_volumes,)
        Volume onsets in samples.
    period : float
        Volume period in samples.
    n_shots : int
        Slice excitations per volume.
    max_gap : float
        Longest pause as a share of the volume.

    Returns
    -------
    slice_period : float
        ``(period - gap) / n_shots``, the gap 0 unless the energy gains over 2 %.
    """
    inside = [t for t in onsets if t >= 0 and t + period < x.size][:8]
    gaps = np.arange(0, int(max_gap * period) + 1, dtype=float)
    if len(inside) < 3 or gaps.size < 2:
        return period / n_shots
    rounded = np.floor(np.array(inside) + 0.5).astype(int)
    volume = gather(x, rounded, int(period)).mean(axis=0)
    energies = _shot_energies(volume, period - gaps, n_shots, max_gap)
    best = int(energies.argmax())
    if energies[best] < 1.02 * energies[0]:
        return period / n_shots
    fine = gaps[best] + np.linspace(-1, 1, 21)
    fine = fine[fine >= 0]
    energies = _shot_energies(volume, period - fine, n_shots, max_gap)
    return (period - fine[energies.argmax()]) / n_shots


def _shot_energies(volume, spans, n_shots, max_gap):
    """Energy of the mean slice epoch, for each time that all slices may take."""
    length = int((1 - max_gap) * volume.size / n_shots)
    starts = np.floor(np.outer(spans, np.arange(n_shots) / n_shots) + 0.5).astype(int)
    energies = []
    # some at a time: their sums stay in cache
    for part in np.array_split(starts, -(-len(starts) // 64)):
        total = sum(gather(volume, column, length) for column in part.T)
        energies.append((total**2).sum(axis=1))
    return np.concatenate(energies)
