"""Regression on reference signals that see motion but no EEG.

Loops of carbon wire, electrodes on a layer that is insulated from the scalp, or motion
sensors record what the pulse and the head's movement induce, apart from factors and
short delays that change slowly. With the reference signals ``R`` (their principal
components, each at several lags) the artifact of a channel ``y`` is

    ``a(t) = b(t)' R(t)``,  ``b_s = (G_s + mu I)^-1 c_s``

``G_s`` and ``c_s`` are sums of ``R R'`` and ``R y``, weighed around node ``s``, and the
coefficients ``b(t)`` run straight from node to node. Part of the weight is on the
neighbourhood of the node, the rest on the whole recording: short windows alone cost
EEG, ``n / (2 B T)`` of it for ``n`` signals that have nothing to do with it, in ``T``
seconds of bandwidth ``B``; long ones do not follow changes. Each channel takes the
weights that predict its segments best from the others.

After van der Meer et al. (2016), https://doi.org/10.1016/j.neuroimage.2015.10.006.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .pulse import highpass

_RIDGE = 1e-4
_HIGHEST = 45.0  # Hz, for the distance of the lags
_NEAR = (0.25, 0.5, 0.25)  # weights of the segments around a node
_WHOLE = (0.25, 1.0, 4.0, 16.0)  # weight of the recording, to choose from


class References(NamedTuple):
    """Reference signals, prepared for any number of channels.

    Attributes
    ----------
    components : array, shape (n_components, n_times + 2 * pad)
        Principal components of unit power, with zeros before and after.
    lags : array of int, shape (n_lags,)
        In samples, symmetric; the last is the padding.
    borders : array of int, shape (n_segments + 1,)
        Segments of the recording; a node lies in the middle of each.
    used : array of bool, shape (n_times,)
        Samples to learn from.
    grams : array, shape (n_segments, n_signals, n_signals)
        ``R R'`` of each segment.
    loss : float
        Share of the EEG that would be removed by unrelated signals.
    """

    components: np.ndarray
    lags: np.ndarray
    borders: np.ndarray
    used: np.ndarray
    grams: np.ndarray
    loss: float


def prepare_references(
    signals, sfreq, l_freq, window, max_lag, n_components=None, used=None
):
    """Components, lags and their products, the same for all channels.

    Parameters
    ----------
    signals : array, shape (n_references, n_times)
        Reference signals in any units. They are scaled to unit power.
    sfreq, l_freq : float
        Sampling frequency and cut-off of the high-pass, in Hz.
    window : float
        Seconds in which the coefficients may change; nodes are a quarter apart.
    max_lag : float
        Largest lag to both sides, in seconds.
    n_components : int | None
        Number of principal components; None: all.
    used : array of bool, shape (n_times,) | None
        Samples to learn from; None: all.

    Returns
    -------
    references : References
        For :func:`subtract_references`.
    """
    n_times = signals.shape[1]
    used = np.ones(n_times, bool) if used is None else used
    step = max(1, int(sfreq / (4 * _HIGHEST) + 0.5))
    n_lags = int(max_lag * sfreq / step + 0.5)
    lags = step * np.arange(-n_lags, n_lags + 1)
    components = _components(
        np.array([highpass(x, sfreq, l_freq) for x in signals]), n_components
    )
    components = np.pad(components, ((0, 0), (lags[-1], lags[-1])))
    n_segments = max(1, int(4 * n_times / (window * sfreq)))
    borders = np.linspace(0, n_times, n_segments + 1).astype(int)
    grams = []
    for first, stop in pairwise(borders):
        lagged = _lagged(components, lags, first, stop) * used[first:stop]
        grams.append(lagged @ lagged.T)
    grams = np.array(grams)
    # unrelated signals are best predicted with most weight on the whole
    weights = _weights(n_segments, _WHOLE[-1])
    total = np.tensordot(weights, grams, 1)
    n_signals = np.trace(np.linalg.solve(_ridged(total), total), axis1=1, axis2=2)
    seconds = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    seconds *= used.sum() / n_segments / sfreq
    loss = float(np.mean(n_signals / (2 * _HIGHEST * seconds)))
    return References(components, lags, borders, used, grams, loss)


def _weights(n_segments, whole):
    """Weight of each segment (column) at each node."""
    near = sum(weight * np.eye(n_segments, k=k - 1) for k, weight in enumerate(_NEAR))
    return near / near.sum(axis=1, keepdims=True) + whole / n_segments


def _ridged(grams):
    """With a little of the power on the diagonal."""
    size = grams.shape[1]
    ridge = _RIDGE * np.trace(grams, axis1=1, axis2=2) / size
    return grams + ridge[:, np.newaxis, np.newaxis] * np.eye(size)


def _components(signals, n_components):
    """Principal components of unit power; none of what is nothing but rounding."""
    power = np.sqrt((signals**2).mean(axis=1, keepdims=True))
    signals = signals[power[:, 0] > 0] / power[power > 0][:, np.newaxis]
    values, vectors = np.linalg.eigh(signals @ signals.T / signals.shape[1])
    # 1e-6 of the largest amplitude
    kept = np.flatnonzero(values > 1e-12 * values[-1])[::-1][:n_components]
    return (vectors[:, kept] / np.sqrt(values[kept])).T @ signals


def _lagged(components, lags, first, stop):
    """All components at all lags, shape (n_signals, stop - first)."""
    first, stop = first + lags[-1], stop + lags[-1]
    return np.vstack([components[:, first + lag : stop + lag] for lag in lags])


def subtract_references(x, sfreq, l_freq, references):
    """Subtract from one channel what the references explain.

    Parameters
    ----------
    x : array, shape (n_times,)
        One channel.
    sfreq, l_freq : float
        Sampling frequency and cut-off of the high-pass, in Hz.
    references : References
        As returned by :func:`prepare_references`.

    Returns
    -------
    clean : array, shape (n_times,)
        The channel without the artifact; as it was if the references do not predict
        segments from the others.
    explained : float
        The share of the power that they predict; 0 or less: none.
    """
    _, lags, borders, used, grams, _ = references
    seen = highpass(x, sfreq, l_freq) * used
    products, power = [], 0.0
    for first, stop in pairwise(borders):
        lagged = _lagged(references.components, lags, first, stop)
        products.append(lagged @ seen[first:stop])
        power += seen[first:stop] @ seen[first:stop]
    products = np.array(products)
    whole, explained = _best_weight(grams, products, power)
    if explained <= 0:
        return x.copy(), explained
    coefs = _coefs(_weights(len(grams), whole), grams, products)
    return x - _artifact(references, coefs), explained


def _best_weight(grams, products, power):
    """Weight of the whole with which segments are best predicted from the others.

    Returns
    -------
    whole : float
        One of ``_WHOLE``.
    predicted : float
        The share of the power that is predicted; 1 if there are no others.
    """
    if len(grams) == 1 or not power:
        return _WHOLE[0], float(power > 0)
    others = 1 - np.eye(len(grams))
    predicted = []
    for whole in _WHOLE:
        coefs = _coefs(others * _weights(len(grams), whole), grams, products)
        fit = np.einsum("si,sij,sj->", coefs, grams, coefs)
        predicted.append((2 * np.sum(coefs * products) - fit) / power)
    best = np.argmax(predicted)
    return _WHOLE[best], float(predicted[best])


def _coefs(weights, grams, products):
    """Coefficients at each node, shape (n_segments, n_signals)."""
    total = _ridged(np.tensordot(weights, grams, 1))
    return np.linalg.solve(total, (weights @ products)[..., np.newaxis])[..., 0]


def _artifact(references, coefs):
    """Artifact of one channel with coefficients that run from node to node."""
    _, lags, borders, *_ = references
    ends = np.r_[0, (borders[1:] + borders[:-1]) // 2, borders[-1]]
    coefs = coefs[np.r_[0, np.arange(len(coefs)), len(coefs) - 1]]
    spans = zip(pairwise(ends), pairwise(coefs), strict=True)
    parts = []
    for (first, stop), (before, after) in spans:
        lagged = _lagged(references.components, lags, first, stop)
        share = np.linspace(0, 1, stop - first, endpoint=False)
        start, change = np.vstack([before, after - before]) @ lagged
        parts.append(start + share * change)
    return np.concatenate(parts)
