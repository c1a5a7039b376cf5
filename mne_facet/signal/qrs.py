"""Heart beats in an ECG recorded in the scanner, in the EEG, or in a pulse wave.

The ECG in the bore carries a wave of flowing blood as large as the R wave, residues of
the gradients at the slice frequency, bursts of movement. So no threshold decides:
what looks like a beat is collected with its evidence, relative to its surroundings,
and the most plausible rhythm through all of it is found by dynamic programming. All
is relative: neither unit nor polarity of the signal matters.
"""

from typing import NamedTuple

import numpy as np
import scipy
from scipy import fft
from scipy.ndimage import median_filter, uniform_filter1d

from .rhythm import choose_beats, is_premature, restore_beats, track_period

# pass bands in Hz
QRS_BAND = 8.0, 40.0
PULSE_BAND = 2.0, 12.0
_LARGEST = 1.5  # evidence of anything larger than the usual beat


class Beats(NamedTuple):
    """Heart beats.

    Attributes
    ----------
    samples : array of float, shape (n_beats,)
        Their times in samples, sorted.
    quality : array, shape (n_beats,)
        Correlation with the typical beat, 0 to 1; 0 if the signal was lost there.
    kind : array of str, shape (n_beats,)
        "normal"; "ectopic": too early, and followed by a pause; "restored": in lost
        signal, where the rhythm has it.
    periodicity : float
        Regularity of the evidence, about 1 for a clean ECG; below 0.2 there is
        hardly a rhythm.
    """

    samples: np.ndarray
    quality: np.ndarray
    kind: np.ndarray
    periodicity: float


def is_flat(x, sfreq, duration=0.2):
    """Where a signal does not change for a while: lost, or clipped.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    sfreq : float
        Sampling frequency in Hz.
    duration : float
        Shortest stretch in seconds.

    Returns
    -------
    flat : array of bool, shape (n_times,)
        True in such stretches.
    """
    # two samples of any such stretch are equal that lie half its length apart
    step = max(1, int(duration * sfreq) // 2)
    some = x[::step]
    suspects = step * np.flatnonzero(some[1:] == some[:-1])
    if not any(np.ptp(x[start : start + step + 1]) == 0 for start in suspects):
        return np.zeros(x.size, bool)
    changes = np.flatnonzero(np.diff(x)) + 1
    borders = np.r_[0, changes, x.size]
    lengths = np.diff(borders)
    return np.repeat(lengths >= duration * sfreq, lengths)


def heart_band(x, sfreq, l_freq, h_freq, usable, lines=()):
    """Copy of a channel in the band of the heart beat, at a lower rate.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel at its full rate.
    sfreq : float
        Sampling frequency in Hz.
    l_freq, h_freq : float
        Pass band in Hz (Butterworth, order 4, forward and backward).
    usable : array of bool, shape (n_times,)
        Samples to use; the others are bridged by straight lines before filtering.
    lines : sequence of float
        Frequencies in Hz of which the harmonics are filtered out where they stand out
        by 6 dB: that of the scanner's slices.

    Returns
    -------
    band : array, shape (n_slow,)
        Every `factor`-th sample, after a linear-phase low-pass: 10 samples or more per
        period of `h_freq`, which is all there is to know of a signal in this band.
    factor : int
        Samples of `x` per sample of `band`.
    """
    if not usable.any():
        x = np.zeros(x.size)
    elif not usable.all():
        x = x.copy()
        x[~usable] = np.interp(
            np.flatnonzero(~usable), np.flatnonzero(usable), x[usable]
        )
    factor = max(1, int(sfreq / (10 * h_freq)))
    if factor > 1:
        x = scipy.signal.resample_poly(x, 1, factor, padtype="line")
    rate = sfreq / factor
    x = x - x.mean()
    for line in lines:
        x = _without_harmonics(x, rate, line, h_freq)
    edges = [l_freq, min(h_freq, 0.45 * rate)]
    sections = scipy.signal.butter(4, edges, "bandpass", fs=rate, output="sos")
    return scipy.signal.sosfiltfilt(
        sections, x, padlen=min(x.size - 1, int(rate))
    ), factor


def _without_harmonics(x, rate, line, h_freq):
    """Subtract the harmonics of a line that stand out, as large as they are locally."""
    width = min(2.0, line / 4)
    power = np.abs(fft.rfft(x)) ** 2
    freqs = np.arange(power.size) * rate / x.size
    window = np.hanning(2 * round(rate / width) + 1)
    known = scipy.signal.oaconvolve(np.ones(x.size), window, mode="same")
    for harmonic in line * np.arange(1, int(h_freq / line) + 2):
        distance = np.abs(freqs - harmonic) / width
        inner, beside = distance < 0.15, (distance > 0.5) & (distance < 1)
        if inner.any() and power[inner].mean() > 4 * power[beside].mean():
            turning = np.exp(2j * np.pi * harmonic / rate * np.arange(x.size))
            amplitude = (
                scipy.signal.oaconvolve(x * turning.conj(), window, mode="same") / known
            )
            x = x - 2 * (amplitude * turning).real
    return x


def find_beats(signals, sfreq, band, usable, n_passes=0, lines=()):
    """Find the heart beats in channels that show them at the same time.

    1. Energy of each channel, smoothed over half a period of the band's lower end,
       relative to that of the usual beat within 10 s; the channels' evidence is
       averaged by the square of their periodicity.
    2. Heart period: the best path through the autocorrelations of 20 s windows.
    3. Beats: the best path through the maxima of the evidence, see
       :func:`~mne_facet.signal.rhythm.choose_beats`.
    4. `n_passes` times: the typical beat over all channels (median), and again the
       best path; the evidence is now what resembles that and is as large.
    5. Times between samples: maximum of the matched filter, moved by what brings the
       largest deflection of the typical beat to 0.
    6. Beats in lost signal from the rhythm, and the kind of each beat.

    Parameters
    ----------
    signals : sequence of array, shape (n_times,)
        Channels, at their full rate.
    sfreq : float
        Sampling frequency in Hz.
    band : tuple of float
        Pass band in Hz.
    usable : array of bool, shape (n_times,)
        Samples to use; where a channel is flat it is not used either.
    n_passes : int
        How often to look for what resembles the typical beat: not in an ECG, whose
        ectopic beats do not, but in weak pulse waves.
    lines : sequence of float
        As for :func:`heart_band`.

    Returns
    -------
    beats : Beats
        The beats; none where there is no signal.
    """
    evidence, weight, scaled = 0.0, 0.0, []
    width = 0.5 / band[0]
    for x in signals:
        good = usable & ~is_flat(x, sfreq)
        slow, factor = heart_band(x, sfreq, *band, good, lines)
        good, rate = good[::factor], sfreq / factor
        energy = _smooth(slow**2, width * rate) * good
        height = _usual_height(energy, good, rate)
        if height.any():
            own = _relative(energy, height)
            trust = max(0.01, track_period(own, rate)[1]) ** 2
            evidence = evidence + trust * own
            weight = weight + trust * good
            scaled.append(good * np.clip(slow / np.sqrt(height), -3, 3))
    if not scaled:
        return Beats(np.empty(0), np.empty(0), np.empty(0, "<U8"), 0.0)
    beats = _find(scaled, evidence, weight, rate, width, n_passes)
    return beats._replace(samples=beats.samples * factor)


def _find(bands, evidence, weight, rate, width, n_passes):
    """Beats in channels in the band of the heart beat, at the lower rate."""
    usable = weight > 0
    evidence[usable] /= weight[usable]
    period, periodicity = track_period(evidence, rate)
    beats = choose_beats(evidence, period, rate)
    half = max(1, round(1.25 * width * rate))
    for _ in range(n_passes if beats.size else 0):
        filtered, correlation, _ = _match(bands, beats, half)
        energy = np.maximum(filtered, 0) ** 2
        size = _relative(energy, _usual_height(energy, usable, rate))
        alike = _LARGEST * np.maximum(correlation, 0)
        beats = choose_beats(np.minimum(size, alike), period, rate)
    if not beats.size:
        return Beats(np.empty(0), np.empty(0), np.empty(0, "<U8"), periodicity)
    samples, quality = _refine(bands, beats, half)
    samples, restored = restore_beats(samples, usable, rate)
    kind = np.full(samples.size, "normal", "<U8")
    kind[is_premature(samples)] = "ectopic"
    kind[restored] = "restored"
    all_quality = np.zeros(samples.size)
    all_quality[~restored] = quality
    return Beats(samples, all_quality, kind, periodicity)


def _smooth(x, width):
    window = np.hanning(2 * round(width / 2) + 3)[1:-1]
    return np.maximum(scipy.signal.oaconvolve(x, window / window.sum(), mode="same"), 0)


def _relative(energy, height):
    """Evidence: 1 at the usual beat, limited."""
    return np.sqrt(np.minimum(energy / height, _LARGEST**2))


def _usual_height(energy, usable, rate):
    """Energy of the usual beat around each sample.

    Running median over 13 blocks of 1.5 s of their maxima: what lasts for less than
    10 s changes it little. At least 5 % of the usual one, so that noise is not taken
    for beats when the ECG is lost; 0 throughout if there is nothing.
    """
    n_blocks = max(1, int(energy.size / (1.5 * rate)))
    starts = np.arange(n_blocks) * energy.size // n_blocks
    heights = np.maximum.reduceat(energy, starts)
    known = np.add.reduceat(usable, starts, dtype=float) > 0.5 * energy.size / n_blocks
    if not np.any(heights[known] > 0):
        return np.zeros(energy.size)
    blocks = np.arange(n_blocks)
    heights = np.interp(blocks, blocks[known], heights[known])
    least = 0.05 * np.median(heights[heights > 0])
    heights = median_filter(heights, min(13, n_blocks), mode="nearest")
    centres = (blocks + 0.5) * energy.size / n_blocks
    return np.interp(np.arange(energy.size), centres, np.maximum(heights, least))


def _match(bands, beats, half):
    """Matched filter for the typical beat.

    Returns
    -------
    filtered : array, shape (n_times,)
        Sum over channels of the products with the typical beat.
    correlation : array, shape (n_times,)
        The same, relative to the energy of the signal there.
    typical : array, shape (n_channels, 2 * half + 1)
        Median over the beats, without its mean.
    """
    n_times = bands[0].size
    inside = beats[(beats >= half) & (beats < n_times - half)]
    if not inside.size:
        inside = np.clip(beats, half, max(half, n_times - half - 1))
    span = np.arange(-half, half + 1)
    index = np.clip(inside[:, np.newaxis] + span, 0, n_times - 1)
    filtered, energy = np.zeros((2, n_times))
    typical = np.empty((len(bands), span.size))
    for wave, band in zip(typical, bands, strict=True):
        wave[:] = np.median(band[index], axis=0)
        wave -= wave.mean()
        filtered += scipy.signal.oaconvolve(band, wave[::-1], mode="same")
        mean = uniform_filter1d(band, span.size, mode="constant")
        energy += uniform_filter1d(band**2, span.size, mode="constant") - mean**2
    energy = np.maximum(energy, 1e-6 * energy.max()) * span.size * (typical**2).sum()
    correlation = filtered / np.sqrt(np.maximum(energy, np.finfo(float).tiny))
    return filtered, correlation, typical


def _refine(bands, beats, half, n_passes=2):
    """Times between samples, and correlation with the typical beat."""
    search = np.arange(-(half // 2), half // 2 + 1)
    for _ in range(n_passes):
        filtered, correlation, typical = _match(bands, beats, half)
        index = np.clip(beats[:, np.newaxis] + search, 0, filtered.size - 1)
        best = filtered[index].argmax(axis=1)
        beats = np.unique(index[np.arange(beats.size), best])
    size = np.sqrt((typical**2).mean(axis=0))
    samples = _vertex(filtered, beats) + _vertex(size, size.argmax()) - half
    return samples, np.clip(correlation[beats], 0, 1)


def _vertex(y, peak):
    """Position of a maximum between samples, by a parabola."""
    peak = np.clip(peak, 1, y.size - 2)
    before, at, after = y[peak - 1], y[peak], y[peak + 1]
    bend = before - 2 * at + after
    slope = 0.5 * (before - after)
    offset = np.where(bend < 0, slope, 0.0) / np.where(bend < 0, bend, 1.0)
    return peak + np.clip(offset, -0.5, 0.5)
