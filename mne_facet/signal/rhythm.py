"""The rhythm of the heart: the most plausible beats, all at a time.

Dynamic programming over candidates, as for the beat of music: Ellis (2007). Beat
tracking by dynamic programming. Journal of New Music Research 36, 51-60.
https://doi.org/10.1080/09298210701653344
"""

import numpy as np
import scipy
from scipy import fft
from scipy.ndimage import median_filter

# periods of the heart to look for, in s: from 170 to 27 beats per minute
PERIODS = np.geomspace(0.35, 2.2, 120)
REFRACTORY = 0.3  # s, no beat follows sooner
LONGEST_GAP = 8.0  # s, within which beats that nobody sees can still be counted


def track_period(evidence, rate):
    """Follow the heart's period.

    Score of a period ``L`` in windows of 20 s every 5 s, from the autocorrelation
    ``r``: ``r(L) + r(2L) / 2 - max(0, r(L / 2)) / 2``, which prefers the period to its
    double and to its half. The path is the one with the largest sum of scores minus
    ``30 ln(L1 / L2)^2`` for each change (Viterbi).

    Parameters
    ----------
    evidence : array, shape (n_times,)
        Not negative, large at beats.
    rate : float
        Sampling frequency in Hz.

    Returns
    -------
    period : array, shape (n_times,)
        In samples.
    periodicity : float
        Median score along the path.
    """
    length = min(evidence.size, round(20 * rate))
    starts = np.arange(0, evidence.size - length + 1, max(1, round(5 * rate)))
    lags = PERIODS * rate
    n_lags = int(2 * lags[-1]) + 2
    n_fft = fft.next_fast_len(length + n_lags, real=True)
    scores = np.empty((starts.size, lags.size))
    for k, start in enumerate(starts):
        window = evidence[start : start + length]
        power = np.abs(fft.rfft(window - window.mean(), n_fft)) ** 2
        r = fft.irfft(power, n_fft)[:n_lags]
        r /= max(r[0], np.finfo(float).tiny)
        at, double, half = (
            np.interp(f * lags, np.arange(n_lags), r) for f in (1, 2, 0.5)
        )
        scores[k] = at + 0.5 * double - 0.5 * np.maximum(0, half)
    path = _best_path(scores, 30 * np.log(lags[:, np.newaxis] / lags) ** 2)
    periodicity = np.median(scores[np.arange(starts.size), path])
    centres = starts + length / 2
    period = np.interp(np.arange(evidence.size), centres, lags[path])
    return period, float(periodicity)


def _best_path(scores, cost):
    """Viterbi: column of each row so that scores minus costs of changes are largest."""
    total, best = scores[0], np.zeros(scores.shape, int)
    for k in range(1, len(scores)):
        options = total - cost
        best[k] = options.argmax(axis=1)
        total = scores[k] + options.max(axis=1)
    path = np.full(len(scores), total.argmax())
    for k in range(len(scores) - 1, 0, -1):
        path[k - 1] = best[k, path[k]]
    return path


def choose_beats(evidence, period, rate):
    """Choose the beats among the maxima of the evidence, all at a time.

    The sum of the evidence ``z`` (maxima above 0.1) minus the costs of the intervals
    is made largest. With ``q`` the interval in heart periods and ``m`` the nearest
    whole number, 1 or more, the cost is ``min(2 ln(q / m)^2, 0.8) + 0.6 (m - 1)``: for
    a wrong rhythm, limited so that ectopic beats pay, and for beats left out; what is
    longer than 6 periods and 3 s costs as much as 6 beats left out. Each period
    without a beat at the ends costs 0.5, up to 2. Beats are never closer than 0.3 s.

    Parameters
    ----------
    evidence : array, shape (n_times,)
        0 to 1.5, about 1 at the usual beat.
    period : array, shape (n_times,)
        Expected interval in samples.
    rate : float
        Sampling frequency in Hz.

    Returns
    -------
    beats : array of int, shape (n_beats,)
        Samples.
    """
    peaks, _ = scipy.signal.find_peaks(
        evidence, height=0.1, distance=max(1, round(0.12 * rate))
    )
    if not peaks.size:
        return peaks
    expected = period[peaks]
    gain = evidence[peaks]
    total = gain - _cost_of_end(peaks / expected)
    before = np.full(peaks.size, -1)
    firsts = np.searchsorted(peaks, peaks - 6 * expected - 3 * rate)
    lasts = np.searchsorted(peaks, peaks - REFRACTORY * rate, side="right")
    best = np.empty(peaks.size, int)  # which of the peaks so far is best to end with
    for k, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        if first > 0:
            j = best[first - 1]
            _extend(total, before, k, j, gain[k] + total[j] - 4.4)
        if last > first:
            ratio = (peaks[k] - peaks[first:last]) / expected[k]
            count = np.maximum(1, np.floor(ratio + 0.5))
            rhythm = np.minimum(2 * np.log(ratio / count) ** 2, 0.8)
            options = total[first:last] - rhythm - 0.6 * (count - 1)
            j = int(options.argmax())
            _extend(total, before, k, first + j, gain[k] + options[j])
        best[k] = k if k == 0 or total[k] > total[best[k - 1]] else best[k - 1]
    rest = (evidence.size - 1 - peaks) / expected
    k = int(np.argmax(total - _cost_of_end(rest)))
    chain = []
    while k >= 0:
        chain.append(k)
        k = before[k]
    return peaks[chain[::-1]]


def _cost_of_end(periods):
    return 0.5 * np.clip(periods - 1, 0, 4)


def _extend(total, before, k, j, value):
    """Let the path to `k` come from `j` if that is better."""
    if value > total[k]:
        total[k], before[k] = value, j


def local_period(samples):
    """Intervals between beats, and what is usual around each.

    Parameters
    ----------
    samples : array of float, shape (n_beats,)
        Two or more beats, sorted.

    Returns
    -------
    intervals : array, shape (n_beats - 1,)
        From each beat to the next.
    usual : array, shape (n_beats - 1,)
        Median of the 11 around each.
    """
    intervals = np.diff(samples)
    return intervals, median_filter(intervals, 11, mode="nearest")


def restore_beats(samples, usable, rate):
    """Fill gaps of up to 8 s with beats where the signal is lost.

    A pause of the heart in good signal stays one: only what nobody could have seen is
    added, evenly spaced between the neighbours.

    Parameters
    ----------
    samples : array of float, shape (n_beats,)
        Beats in samples, sorted.
    usable : array of bool, shape (n_times,)
        Where there is signal.
    rate : float
        Sampling frequency in Hz.

    Returns
    -------
    samples : array of float, shape (n_all,)
        With the added ones, sorted.
    restored : array of bool, shape (n_all,)
        Which ones these are.
    """
    added = [np.empty(0)]
    if samples.size > 2:
        intervals, usual = local_period(samples)
        counts = np.floor(intervals / usual + 0.5).astype(int)
        steps = intervals / np.maximum(counts, 1)
        long = (counts > 1) & (intervals < LONGEST_GAP * rate)
        for k in np.flatnonzero(long & (np.abs(steps / usual - 1) < 0.25)):
            times = samples[k] + steps[k] * np.arange(1, counts[k])
            added.append(times[~usable[np.rint(times).astype(int)]])
    added = np.concatenate(added)
    order = np.argsort(np.r_[samples, added], kind="stable")
    return np.r_[samples, added][order], order >= samples.size


def is_premature(samples):
    """Beats that come early and are followed by a pause.

    Parameters
    ----------
    samples : array of float, shape (n_beats,)
        Beats, sorted.

    Returns
    -------
    early : array of bool, shape (n_beats,)
        True where the interval before is below 0.85 and the one after above 1.1 of
        the median of the 11 around it.
    """
    early = np.zeros(samples.size, bool)
    if samples.size > 2:
        intervals, usual = local_period(samples)
        ratio = intervals / usual
        early[1:-1] = (ratio[:-1] < 0.85) & (ratio[1:] > 1.1)
    return early
