"""Pulse artifact as a few sources that all channels share.

Every beat is a little different from the others, and one channel alone cannot tell
the difference from its EEG. All channels together can: the motion behind it has few
degrees of freedom, each with a map of its own, while EEG takes any shape. With the
cosine coefficients ``E_k`` (channels x frequencies) of beat ``k`` the model is

    ``E_k = g_k mean_{j != k} E_j  +  M Y_k  +  EEG``

``M`` (channels x sources) holds the maps. ``Y_k`` (sources x frequencies) is the
generalised least-squares estimate ``(M' S_q^-1 M)^-1 M' S_q^-1 R_kq`` of what the mean
leaves, ``R_k``, in which the EEG's covariance ``S_q`` between channels, one for each
frequency, tells what to ignore. Of it only components that are larger at beats than
at other times are taken for artifact, each by the share by which it is larger; and no
beat takes part in finding the components it is described with.

The covariance of the EEG is that of windows at arbitrary times in the corrected
recording, so that everything is estimated several times in turn.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.fft import dct, idct
from scipy.ndimage import uniform_filter1d

from .pulse import beat_epochs, fades, highpass, subtract, usual_beats

_HIGHEST = 12.0  # Hz; above it only the mean beat is removed
_COARSE = 250.0  # Hz, rate at which the coefficients are computed
_ROUNDS = 8
_FOLDS = 10
_MAX_COMPONENTS = 64
# fewer beats, or windows between them, tell nothing but the mean
_FEWEST_BEATS, _FEWEST_WINDOWS = 10, 20
# frequencies, half a beat's apart, that powers of the EEG are averaged over
_SMOOTH = 5
# added to the EEG's power, relative to the power and to that of the recording
_LOADING = 0.01, 1e-10
# a component is artifact by what exceeds this multiple of the EEG
_EEG_MARGIN = 1.5
# a map stands out if it is this many times larger than one made of noise
_MAP_MARGIN = 3.0
# of the square of a standard normal number
_MEDIAN = 0.4549


class PulseModel(NamedTuple):
    """Pulse artifact of all beats, but for the weights of a channel.

    Attributes
    ----------
    gains : array, shape (n_beats,)
        Amplitude of the mean beat.
    good : array of bool, shape (n_beats,)
        Beats that the model was made from.
    seen : array, shape (n_beats, n_cosines, n_sources)
        Sources as they are in the recording, with EEG.
    artifact : array, shape (n_beats, n_cosines, n_sources)
        The part of them that is artifact.
    """

    gains: np.ndarray
    good: np.ndarray
    seen: np.ndarray
    artifact: np.ndarray


def cosines(positions, grid, sfreq):
    """Cosines up to 12 Hz over a window, without the constant.

    Parameters
    ----------
    positions : array of int, shape (n,)
        Samples from the first of the window.
    grid : BeatGrid
        The windows.
    sfreq : float
        Sampling frequency in Hz.

    Returns
    -------
    basis : array, shape (n_cosines, n)
        Of unit power; 0 outside the window.
    """
    n_cosines = max(2, int(2 * _HIGHEST * grid.length / sfreq))
    order = np.arange(1, n_cosines + 1)[:, np.newaxis]
    inside = (positions >= 0) & (positions < grid.length)
    angles = np.pi * order * (positions + 0.5) / grid.length
    return np.sqrt(2) * np.cos(angles) * inside


def random_windows(grid, beats, rng):
    """First samples of windows at random times between beats.

    Parameters
    ----------
    grid : BeatGrid
        The windows of the beats.
    beats : array of float, shape (n_beats,)
        R peaks in samples.
    rng : Generator
        Random numbers.

    Returns
    -------
    first : array of int, shape (n_windows,)
        Sorted; two after every beat but none in pauses of more than 1.5 RR intervals,
        and some 2000 at most.
    """
    intervals = np.diff(beats)
    index = np.flatnonzero(intervals < 1.5 * np.median(intervals))
    later = rng.uniform(size=(2, index.size)) * intervals[index]
    first = np.sort((grid.first[index] + later).astype(int), axis=None)
    return first[:: max(1, first.size // 1500)]


def fit_model(channels, sfreq, l_freq, grid, windows, n_components):
    """Estimate the sources of the pulse artifact from all channels.

    Parameters
    ----------
    channels : iterable of array, shape (n_times,)
        The channels to learn from.
    sfreq, l_freq : float
        Sampling frequency and cut-off of the high-pass, in Hz.
    grid : BeatGrid
        The windows of the beats.
    windows : array of int, shape (n_windows,)
        First samples of windows at random times, inside the data.
    n_components : int
        Largest number of sources.

    Returns
    -------
    model : PulseModel
        The sources; none if nothing but the mean beat stands out.
    """
    own, random = _coefficients(channels, sfreq, l_freq, grid, windows)
    good = usual_beats((own**2).sum(axis=2), grid.good)
    # not where a beat's artifact is estimated from a burst
    distance = np.abs(windows[:, np.newaxis] - grid.first[~good])
    quiet = distance.min(axis=1, initial=grid.length) >= grid.length
    if good.sum() < _FEWEST_BEATS or quiet.sum() < _FEWEST_WINDOWS:
        nothing = np.empty((*own.shape[1:], 0))
        return PulseModel(np.ones(len(good)), good, nothing, nothing)
    quiet = usual_beats((random**2).sum(axis=2), quiet)
    mean = _inside(_mean_of_others(own, good), grid, sfreq)
    overlap = _overlap(grid, windows[quiet], sfreq)
    return _learn(own, mean, random[:, quiet], overlap, good, n_components)


def subtract_model(x, sfreq, l_freq, grid, model):
    """Subtract the artifact of a model from one channel.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel; it need not be one of those that the model was made from.
    sfreq, l_freq : float
        Sampling frequency and cut-off of the high-pass, in Hz.
    grid : BeatGrid
        The windows of the beats.
    model : PulseModel
        The sources.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without its artifact.
    """
    epochs = beat_epochs(highpass(x, sfreq, l_freq), grid)
    artifact = model.gains[:, np.newaxis] * _sure_mean(epochs, model.good)
    if model.seen.shape[2]:
        basis = cosines(np.arange(grid.length), grid, sfreq)
        rest = epochs - artifact
        for k, inside in grid.incomplete():
            rest[k, : inside.start] = rest[k, inside.stop :] = 0
        rest = rest @ np.linalg.pinv(basis)
        weights = _channel_weights(model.seen[model.good], rest[np.newaxis, model.good])
        artifact += (model.artifact @ weights[:, 0]) @ basis
    return subtract(x, artifact, grid)


def _sampling(grid, sfreq):
    """Positions in a window, some 250 per second, and projection on the cosines."""
    step = max(1, int(sfreq // _COARSE))
    positions = np.arange(step // 2, grid.length, step)
    return step, positions, np.linalg.pinv(cosines(positions, grid, sfreq))


def _coefficients(channels, sfreq, l_freq, grid, windows):
    """Coefficients of beats and of other windows, shape (n_channels, n, n_cosines).

    Channels are scaled to unit power, flat ones left out.
    """
    step, positions, project = _sampling(grid, sfreq)
    samples = np.r_[grid.first, windows][:, np.newaxis] + positions
    coefs = []
    for x in channels:
        y = uniform_filter1d(highpass(x, sfreq, l_freq), step)
        outside = (samples < 0) | (samples >= x.size)
        values = np.where(outside, 0, y[np.clip(samples, 0, x.size - 1)])
        coefs.append(values @ project)
    coefs, n_beats = np.array(coefs), len(grid.first)
    power = (coefs[:, :n_beats][:, grid.good] ** 2).mean(axis=(1, 2), keepdims=True)
    kept = power[:, 0, 0] > 0
    coefs = coefs[kept] / np.sqrt(power[kept])
    return coefs[:, :n_beats], coefs[:, n_beats:]


def _inside(coefs, grid, sfreq):
    """Coefficients of the part of each window that is inside the data."""
    _, positions, project = _sampling(grid, sfreq)
    basis = cosines(positions, grid, sfreq)
    for k, inside in grid.incomplete():
        kept = (positions >= inside.start) & (positions < inside.stop)
        coefs[:, k] = coefs[:, k] @ basis[:, kept] @ project[kept]
    return coefs


def _overlap(grid, windows, sfreq):
    """Matrix from the coefficients of beats to those of windows across them."""
    _, positions, project = _sampling(grid, sfreq)
    reach = grid.length
    first = np.searchsorted(grid.first, windows - reach, side="right")
    last = np.searchsorted(grid.first, windows + reach)
    blocks, size = [], project.shape[1]
    for window, *ends in zip(windows, first, last, strict=True):
        for beat in range(*ends):
            samples = window + positions
            shape = cosines(samples - grid.first[beat], grid, sfreq)
            shape *= fades(samples[np.newaxis], grid, [beat])
            blocks.append((shape @ project).T)
    beats = [np.arange(*ends) for ends in zip(first, last, strict=True)]
    return sparse.bsr_array(
        (np.array(blocks), np.concatenate(beats), np.r_[0, np.cumsum(last - first)]),
        shape=(len(windows) * size, len(grid.first) * size),
    )


def _through(overlap, coefs):
    """Coefficients of windows, from those of the artifact of all beats."""
    n_channels, _, n_cosines = coefs.shape
    windows = overlap @ coefs.reshape(n_channels, -1).T
    return windows.T.reshape(n_channels, -1, n_cosines)


def _learn(own, mean, random, overlap, good, n_components):
    """Estimate EEG and artifact from each other, in turn."""
    numbers = np.random.default_rng(0).standard_normal((len(good), _MAX_COMPONENTS))
    sample = mean
    for _ in range(_ROUNDS):
        eeg = random - _through(overlap, sample)
        covariance = _eeg_covariance(eeg)
        gains = _mean_gains(own, mean, covariance, good)
        rest = own - gains[:, np.newaxis] * mean
        maps = _find_maps(rest[:, good], covariance, n_components)
        if not maps.size:
            seen = artifact = np.empty((*rest.shape[1:], 0))
            break
        seen, artifact, draw = _split(rest, eeg, maps, covariance, good, numbers)
        weights = _channel_weights(seen[good], rest[:, good])
        sample = gains[:, np.newaxis] * mean + np.einsum("kqr,rc->ckq", draw, weights)
    return PulseModel(gains, good, seen, artifact)


def _mean_of_others(epochs, good):
    """Mean of all good beats but the one it is for; shape (..., n_beats, n)."""
    mine = good[:, np.newaxis]
    kept = np.where(mine, epochs, 0)
    return (kept.sum(axis=-2, keepdims=True) - kept) / (good.sum() - mine)


def _sure_mean(epochs, good):
    """Mean of all good beats but the one it is for, as far as it exceeds chance.

    At each frequency by ``1 - v / (n m^2)``, with the mean ``m`` of the ``n`` epochs
    and their variance ``v``: what EEG leaves in it.
    """
    coefs = dct(epochs, norm="ortho")
    known = coefs[good]
    power = uniform_filter1d(known.mean(axis=0) ** 2, _SMOOTH)
    chance = uniform_filter1d(known.var(axis=0, ddof=1), _SMOOTH) / len(known)
    ratio = np.divide(chance, power, out=np.ones_like(power), where=power > 0)
    share = np.clip(1 - ratio, 0, 1)
    return idct(share * _mean_of_others(coefs, good), norm="ortho")


def _eeg_covariance(eeg):
    """Covariance of the channels at each frequency, (n_cosines, n_ch, n_ch)."""
    by_frequency = eeg.transpose(2, 0, 1)
    covariance = by_frequency @ by_frequency.transpose(0, 2, 1) / eeg.shape[1]
    covariance = uniform_filter1d(covariance, _SMOOTH, axis=0)
    channel = np.arange(len(eeg))
    covariance[:, channel, channel] *= 1 + _LOADING[0]
    covariance[:, channel, channel] += _LOADING[1]
    return covariance


def _mean_gains(own, mean, covariance, good):
    """Amplitude of the mean in each beat, as far as it differs more than by chance."""
    weighed = np.linalg.solve(covariance, mean.transpose(2, 0, 1)).transpose(1, 2, 0)
    energy = np.einsum("ckq,ckq->k", weighed, mean)
    fit = np.einsum("ckq,ckq->k", weighed, own)
    gains = np.divide(fit, energy, out=np.ones_like(fit), where=energy > 0)
    spread = np.median((gains[good] - 1) ** 2) / _MEDIAN
    chance = _EEG_MARGIN / np.median(energy[good])
    share = 1 - chance / spread if spread > chance else 0
    return np.clip(1 + share * (gains - 1), 0, 3)


def _find_maps(rest, covariance, n_components):
    """Maps of the components that stand out from EEG, shape (n_channels, n_maps).

    The covariance of whitened EEG has no eigenvalue above the edge of Marchenko and
    Pastur. Each component above it tells something of the maps.
    """
    n_channels, n_beats = rest.shape[:2]
    white = (_root(covariance, -0.5) @ rest.transpose(2, 0, 1)).reshape(-1, n_beats)
    loadings = _leading(white, n_beats * (1 + np.sqrt(len(white) / n_beats)) ** 2)
    found = np.einsum("ckq,kp->cpq", rest, loadings).reshape(n_channels, -1)
    mean_covariance = covariance.mean(axis=0)
    whiten = _root(mean_covariance, -0.5)
    values, maps = np.linalg.eigh(whiten @ found @ found.T @ whiten)
    of_noise = (np.sqrt(n_channels) + np.sqrt(found.shape[1])) ** 2
    maps = maps[:, values > _MAP_MARGIN * of_noise][:, ::-1][:, :n_components]
    return _root(mean_covariance, 0.5) @ maps


def _leading(white, edge):
    """Right singular vectors with squared singular values above the edge."""
    small = white.T if len(white) > white.shape[1] else white
    values, vectors = np.linalg.eigh(small @ small.T)
    above = np.flatnonzero(values > edge)[::-1][:_MAX_COMPONENTS]
    if small is white:
        return white.T @ vectors[:, above] / np.sqrt(values[above])
    return vectors[:, above]


def _split(rest, eeg, maps, covariance, good, numbers):
    """Sources of every beat, the artifact in them, and a sample of what it may be.

    The sample adds the uncertainty to the artifact. What remains of the recording
    without it has the power of the EEG; if the artifact itself were subtracted, EEG
    once taken for artifact would be missing there, and more be taken every time.
    """
    filters, colour = _unmix(maps, covariance)
    beats, null = (
        (filters @ x.transpose(2, 0, 1)).transpose(2, 0, 1).reshape(x.shape[1], -1)
        for x in (rest, eeg)
    )
    n_components = min(_MAX_COMPONENTS, beats.shape[1] // 4, good.sum() // 4)
    folds = [
        slice(*ends)
        for ends in pairwise(np.linspace(0, len(good), _FOLDS + 1).astype(int))
    ]
    bases = _bases_of_others(beats, good, folds, n_components)
    share, chance = _artifact_share(beats, null, good, folds, bases)
    artifact, draw = np.empty((2, *beats.shape))
    for fold, basis in zip(folds, bases, strict=True):
        part = share * (beats[fold] @ basis)
        # with the sign of the component, which is arbitrary
        spread = np.sign(part) * np.sqrt(share * chance)
        other = part + spread * numbers[fold, :n_components]
        artifact[fold], draw[fold] = part @ basis.T, other @ basis.T
    shape = (len(good), *colour.shape[:2], 1)
    return [(colour @ x.reshape(shape))[..., 0] for x in (beats, artifact, draw)]


def _unmix(maps, covariance):
    """Filters from channels to white sources, and from these to sources.

    Generalised least squares: ``(M' S^-1 M)^-1 M' S^-1``, with errors of the covariance
    ``(M' S^-1 M)^-1``, at each frequency.
    """
    weighed = np.linalg.solve(
        covariance, np.broadcast_to(maps, covariance.shape[:2] + maps.shape[1:])
    )
    precision = maps.T @ weighed
    return _root(precision, -0.5) @ weighed.transpose(0, 2, 1), _root(precision, -0.5)


def _bases_of_others(beats, good, folds, n_components):
    """Components of each tenth of the beats, from the other nine."""
    total = beats[good].T @ beats[good]
    bases = []
    for fold in folds:
        mine = beats[fold][good[fold]]
        vectors = np.linalg.eigh(total - mine.T @ mine)[1]
        bases.append(vectors[:, ::-1][:, :n_components])
    return bases


def _artifact_share(beats, null, good, folds, bases):
    """Share of artifact in each component, and its power by chance."""
    power = [
        np.median((beats[fold][good[fold]] @ basis) ** 2, axis=0)
        for fold, basis in zip(folds, bases, strict=True)
        if good[fold].any()
    ]
    chance = [np.median((null @ basis) ** 2, axis=0) for basis in bases]
    power, chance = np.mean(power, axis=0) / _MEDIAN, np.mean(chance, axis=0) / _MEDIAN
    ratio = np.divide(chance, power, out=np.ones_like(power), where=power > 0)
    return np.clip(1 - _EEG_MARGIN * ratio, 0, 1), chance


def _channel_weights(seen, rest):
    """Weights of the sources in channels, by least squares; (n_sources, n_channels)."""
    flat = seen.reshape(-1, seen.shape[2])
    return np.linalg.lstsq(flat, rest.reshape(len(rest), -1).T, rcond=None)[0]


def _root(matrices, power):
    """Power of symmetric positive matrices."""
    values, vectors = np.linalg.eigh(matrices)
    powers = np.maximum(values, np.finfo(float).tiny) ** power
    return (vectors * powers[..., np.newaxis, :]) @ np.swapaxes(vectors, -1, -2)
