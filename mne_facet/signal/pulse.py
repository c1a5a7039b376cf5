"""Pulse artifact: windows around heart beats, averages and components of them.

The artifact starts with the R peak, is largest some 0.2 s later and lasts until the
next one. Windows are centred there and a little longer than the RR interval. What is
estimated in them is estimated from a high-passed copy, subtracted from the data as
they are, and cross-faded halfway between beats.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from scipy import sparse

from .align import gather, raised_cosine
from .averaging import moving_weights
from .fir import quickest

USUAL_DELAY = 0.21  # s, Allen et al. (1998)
# half a window in RR intervals: more than 0.5, or slow beats keep their ends
_REACH = 0.6
_FADE = 0.04  # s


@dataclass(frozen=True, eq=False)
class BeatGrid:
    """Windows around heart beats; positions in samples.

    A grid is equal to itself only: what follows from it is kept for the next channel.

    Attributes
    ----------
    first : array of int, shape (n_beats,)
        First sample of each window; windows may reach beyond the data.
    length : int
        Samples in a window.
    starts, stops : array of float, shape (n_beats,)
        The part of the window in which the beat is corrected. It ends halfway to
        the next beat, or with the window where that is farther away.
    fade : float
        Half width of the cross-fade around starts and stops.
    good : array of bool, shape (n_beats,)
        Beats that others may be estimated from.
    n_times : int
        Length of the data.
    """

    first: np.ndarray
    length: int
    starts: np.ndarray
    stops: np.ndarray
    fade: float
    good: np.ndarray
    n_times: int

    def incomplete(self):
        """Windows that reach beyond the data, and the part of each inside."""
        last = self.n_times - self.length
        for k in np.flatnonzero((self.first < 0) | (self.first > last)):
            borders = np.clip([0, self.n_times] - self.first[k], 0, self.length)
            yield k, slice(*borders)


def beat_grid(beats, n_times, sfreq, delay=USUAL_DELAY):
    """Windows of the pulse artifact.

    Parameters
    ----------
    beats : array of float, shape (n_beats,)
        R peaks in samples, sorted; at least two.
    n_times : int
        Length of the data.
    sfreq : float
        Sampling frequency in Hz.
    delay : float
        From the R peak to the centre of the window, in seconds.

    Returns
    -------
    grid : BeatGrid
        The windows. Good are those inside the data and not of beats that follow
        each other in less than 0.6 of the usual interval: one sees the other's
        artifact there.
    """
    intervals = np.diff(beats)
    usual = np.median(intervals)
    # up to a hundredth more: transforms of most lengths take five times as long
    half = int(_REACH * usual + 0.5)
    half = quickest(range(2 * half + 1, 2 * (half + half // 100) + 2, 2)) // 2
    centres = np.floor(beats + delay * sfreq + 0.5).astype(int)
    fade = min(_FADE * sfreq, half / 4)
    borders = (centres[1:] + centres[:-1]) / 2
    first = centres - half
    early = intervals < 0.6 * usual
    complete = (first >= 0) & (first + 2 * half + 1 <= n_times)
    return BeatGrid(
        first=first,
        length=2 * half + 1,
        starts=np.maximum(np.r_[-np.inf, borders], first + fade),
        stops=np.minimum(np.r_[borders, np.inf], centres + half - fade),
        fade=fade,
        good=complete & ~(np.r_[False, early] | np.r_[early, False]),
        n_times=n_times,
    )


def highpass(x, sfreq, l_freq):
    """High-pass of a channel without delay, for estimates.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    sfreq : float
        Sampling frequency in Hz.
    l_freq : float | None
        Cut-off of a Butterworth filter of 4th order, run there and back, in Hz. At 0.4
        it lets 98 % of the rhythm of 40 beats per minute pass. None: only the mean is
        removed.

    Returns
    -------
    y : array, shape (n_times,)
        A copy.
    """
    y = x - x.mean()
    if l_freq is None:
        return y
    sos = scipy.signal.butter(4, l_freq, "highpass", fs=sfreq, output="sos")
    return scipy.signal.sosfiltfilt(
        sos, y, padlen=min(x.size - 1, int(2 * sfreq / l_freq))
    )


def peak_delay(beats, sfreq):
    """Delay of the artifact from beats whose EEG was averaged.

    Parameters
    ----------
    beats : array, shape (n_channels, n_times)
        Average or median of each channel from the R peak on, 0.5 s or more.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    delay : float
        Seconds to the largest root mean square over channels between 0.08 and
        0.45 s; 0.21 if it does not stand out, being less than 3 times the median.
    """
    strength = np.sqrt(((beats - beats.mean(axis=1, keepdims=True)) ** 2).mean(axis=0))
    first = int(0.08 * sfreq)
    peak = first + strength[first : int(0.45 * sfreq)].argmax()
    return peak / sfreq if strength[peak] > 3 * np.median(strength) else USUAL_DELAY


def beat_epochs(x, grid):
    """Windows of a channel without their means.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    grid : BeatGrid
        The windows.

    Returns
    -------
    epochs : array, shape (n_beats, length)
        0 beyond the data.
    """
    return _without_mean(gather(x, grid.first, grid.length), grid)


def _without_mean(epochs, grid):
    """Remove the mean of each window, in place; 0 beyond the data."""
    for k, inside in grid.incomplete():
        kept = epochs[k, inside].copy()
        epochs[k] = kept.mean() if kept.size else 0
        epochs[k, inside] = kept
    epochs -= epochs.mean(axis=1, keepdims=True)
    for k, inside in grid.incomplete():
        epochs[k, : inside.start] = epochs[k, inside.stop :] = 0
    return epochs


def usual_beats(energy, good):
    """Good beats whose root mean square is below the median plus five deviations.

    Parameters
    ----------
    energy : array, shape (n_channels, n_beats)
        Energy of each window.
    good : array of bool, shape (n_beats,)
        Beats to choose from.

    Returns
    -------
    good : array of bool, shape (n_beats,)
        Those that are as usual, all channels together, each in its own units.
    """
    usual = np.median(energy[:, good], axis=1, keepdims=True)
    relative = np.divide(energy, usual, out=np.zeros_like(energy), where=usual > 0)
    size = np.sqrt(relative.mean(axis=0))
    middle = np.median(size[good])
    spread = 1.4826 * np.median(np.abs(size[good] - middle))
    return good & (size <= middle + 5 * spread)


def gaussian_weights(good, window):
    """Leave-one-out average that prefers near beats, as a sparse averaging matrix.

    Parameters
    ----------
    good : array of bool, shape (n_beats,)
        Beats that may be averaged; at least two.
    window : int
        Number of beats to average; their weights fall by ``exp(-2)`` to both ends.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_beats, n_beats)
        Rows sum to 1, the diagonal is 0.
    """
    weights = moving_weights(good, window)
    distance = weights.indices - np.repeat(
        np.arange(len(good)), np.diff(weights.indptr)
    )
    weights.data = np.exp(-0.5 * (distance / (window / 4)) ** 2)
    return sparse.diags_array(1 / weights.sum(axis=1)) @ weights


def average_beats(epochs, weights, method, grid):
    """Template of every beat.

    Parameters
    ----------
    epochs : array, shape (n_beats, length)
        Windows of one channel.
    weights : scipy.sparse.csr_array, shape (n_beats, n_beats)
        Averaging matrix.
    method : "mean" | "median" | "gaussian"
        "median" takes the median of the beats of each row instead.
    grid : BeatGrid
        The windows.

    Returns
    -------
    templates : array, shape (n_beats, length)
        Without mean, and 0 beyond the data.
    """
    if method == "median":
        rows = np.split(weights.indices, weights.indptr[1:-1])
        templates = np.array([np.median(epochs[row], axis=0) for row in rows])
    else:
        templates = weights @ epochs
    return _without_mean(templates, grid)


def template_fit(epochs, templates):
    """Products ``<E, T>`` and ``<T, T>`` of each beat, shape (2, n_beats)."""
    return np.array(
        [
            np.einsum("kj,kj->k", epochs, templates),
            np.einsum("kj,kj->k", templates, templates),
        ]
    )


def template_gains(fit):
    """Amplitudes ``<E, T> / <T, T>`` held within 0 and 3, 1 if there is no template."""
    gains = np.divide(fit[0], fit[1], out=np.ones_like(fit[0]), where=fit[1] > 0)
    return np.clip(gains, 0, 3)


def subtract_average(x, sfreq, l_freq, grid, average, gains):
    """Subtract the average of other beats from every beat of one channel.

    Allen et al. (1998), https://doi.org/10.1006/nimg.1998.0361

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    sfreq, l_freq : float
        Sampling frequency, and cut-off of the high-pass for the templates, in Hz.
    grid : BeatGrid
        The windows.
    average : callable
        ``average(epochs)`` returns the template of every beat.
    gains : array, shape (n_beats,) | None
        Amplitudes; None: fitted to this channel.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without its artifact.
    """
    epochs = beat_epochs(highpass(x, sfreq, l_freq), grid)
    templates = average(epochs)
    if gains is None:
        gains = template_gains(template_fit(epochs, templates))
    return subtract(x, gains[:, np.newaxis] * templates, grid)


def subtract_beat_components(x, sfreq, l_freq, grid, n_components):
    """Subtract the mean beat and principal components, fitted to every beat.

    Optimal basis sets of Niazy et al. (2005),
    https://doi.org/10.1016/j.neuroimage.2005.06.067: with ``B`` an orthonormal basis
    of the mean and the leading components of the beats of this channel, the artifact
    of a beat is ``B B' E``.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    sfreq, l_freq : float
        Sampling frequency, and cut-off of the high-pass for the basis, in Hz.
    grid : BeatGrid
        The windows.
    n_components : int
        Number of components beside the mean.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without its artifact.
    """
    epochs = beat_epochs(highpass(x, sfreq, l_freq), grid)
    mean = epochs[grid.good].mean(axis=0)
    changes = epochs[grid.good] - mean
    _, loadings = np.linalg.eigh(changes @ changes.T)
    leading = loadings[:, ::-1][:, :n_components].T @ changes
    basis = np.linalg.qr(np.vstack([mean, leading]).T)[0].T
    artifact = epochs @ basis.T @ basis
    for k, inside in grid.incomplete():
        part = basis[:, inside]
        artifact[k, inside] = epochs[k, inside] @ np.linalg.pinv(part) @ part
    return subtract(x, artifact, grid)


def subtract(x, artifact, grid):
    """Subtract the artifact of each window, cross-faded between beats.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel. Not changed.
    artifact : array, shape (n_beats, length)
        What to subtract in each window.
    grid : BeatGrid
        The windows.

    Returns
    -------
    clean : array, shape (n_times,)
        Identical where no beat is corrected.
    """
    samples, places, weights = _corrected(grid)
    return x - np.bincount(samples, weights * artifact.ravel()[places], x.size)


@lru_cache(maxsize=2)
def _corrected(grid):
    """Samples that are corrected, their places in the windows, and their weights."""
    samples = grid.first[:, np.newaxis] + np.arange(grid.length)
    weights = fades(samples, grid, np.arange(len(samples)))
    used = (samples >= 0) & (samples < grid.n_times) & (weights > 0)
    return samples[used], np.flatnonzero(used), weights[used]


def fades(samples, grid, beats):
    """Weight of beats at samples: 1 where they are corrected, 0 elsewhere.

    Parameters
    ----------
    samples : array, shape (n, n_samples)
        Positions in the data.
    grid : BeatGrid
        The windows.
    beats : array of int, shape (n,)
        Beat of each row.

    Returns
    -------
    weights : array, shape (n, n_samples)
        Those of neighbours add up to 1 where they meet.
    """
    starts, stops = grid.starts[beats, np.newaxis], grid.stops[beats, np.newaxis]
    width = 2 * grid.fade
    rise = raised_cosine((samples - starts + grid.fade) / width)
    return rise * raised_cosine((stops - samples + grid.fade) / width)
