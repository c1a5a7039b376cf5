"""Averaging matrices: which epochs make the template of which.

A matrix is sparse, its rows sum to 1. Independent noise of the epochs adds up to
``sum_j w_kj^2`` of its power; an epoch in its own template loses that share of its EEG.
Each scheme takes the epochs that may be averaged, how many of them, and what else it
looks at; an epoch that it finds no other one for gets the moving average.
"""

import numpy as np
from scipy import fft, sparse

from .align import gather
from .products import split_rows


def moving_weights(good, window):
    """Leave-one-out moving average as a sparse averaging matrix.

    Row ``k`` averages the `window` nearest good epochs other than ``k``, half
    before and half after; at the ends the window keeps its size and slides inward.
    White noise independent between epochs grows in power by ``1 + 1 / window``;
    nothing of an epoch is in its own template.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged; at least two.
    window : int
        Number of epochs to average; all others if there are fewer.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1, the diagonal is 0.
    """
    picks = _nearest(good, window)
    n_epochs, window = picks.shape
    return sparse.csr_array(
        (
            np.full(picks.size, 1.0 / window),
            picks.ravel(),
            np.arange(0, picks.size + 1, window),
        ),
        shape=(n_epochs, n_epochs),
    )


def _nearest(good, n_nearest):
    """Good epochs around each, itself left out, half before and half after."""
    sources = np.flatnonzero(good)
    n_nearest = min(n_nearest, sources.size - 1)
    before = np.searchsorted(sources, np.arange(len(good)))
    first = np.clip(before - n_nearest // 2, 0, sources.size - good - n_nearest)
    picks = first[:, np.newaxis] + np.arange(n_nearest)
    picks += good[:, np.newaxis] & (picks >= before[:, np.newaxis])
    return sources[picks]


def slice_weights(good, window, shot):
    """Leave-one-out moving average of the corresponding slices of other volumes.

    Row ``k`` averages epochs at the same place in the volume: slices may differ from
    each other, and what is locked to the volumes but not to the slices costs as much
    as in an average of whole volumes.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged.
    window : int
        Number of volumes to average.
    shot : array of int, shape (n_epochs,)
        Place of each epoch in its volume.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1, the diagonal is 0.
    """
    return _from_rows(_within_groups(shot, good, window, 1), good, window)


def _within_groups(group, good, window, n_others):
    """Nearest epochs of the same group, where it has that many others."""
    rows = {}
    for number in np.unique(group):
        same = np.flatnonzero(group == number)
        if good[same].sum() > n_others:
            rows.update(zip(same, same[_nearest(good[same], window)], strict=True))
    return rows


def fastr_weights(good, window, shot):
    """Windows of FASTR, the program of Niazy et al. (2005).

    Slices: every second epoch, ``window + 1`` of them, over twice the window.
    Volumes: ``window + 1`` in a row, of which the number ``window + 1`` is never
    used. Away from the ends both hold the epoch itself, which costs
    ``1 / (window + 1)`` of its EEG; near the ends the window stands still.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged.
    window : int
        Number of epochs, rounded up to even and at most what FASTR allows.
    shot : array of int, shape (n_epochs,)
        Place of each epoch in its volume, all 0 for volumes.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1. The diagonal is not 0.

    References
    ----------
    Niazy et al. (2005). Removal of FMRI environment artifacts from EEG data using
    optimal basis sets. NeuroImage 28, 720-737.
    https://doi.org/10.1016/j.neuroimage.2005.06.067
    """
    n_epochs, slices = len(good), shot.any()
    limit = (n_epochs - 3) // 2 if slices else n_epochs - 2
    half = min(window + window % 2, limit - limit % 2)
    if half < 4:
        return moving_weights(good, window)
    if not slices:
        half //= 2
    k = np.arange(n_epochs)
    moved = np.clip(k, half + 2, max(half + 2, n_epochs - half - 3))
    if slices:
        first = np.where(k < 2, k + 1, moved - half)
        picks = first[:, np.newaxis] + 2 * np.arange(half + 1)
    else:
        picks = moved[:, np.newaxis] + np.arange(-half, half + 1)
        picks -= picks <= 2 * half + 2
    rows = {j: row[good[row]] for j, row in enumerate(picks)}
    return _from_rows(rows, good, window)


def block_weights(good, window, band, threshold=0.975, leave_one_out=True):
    """Averages of consecutive blocks, of those epochs that resemble each other.

    The first five epochs of a block are averaged, and each later one that correlates
    with the average so far by more than `threshold`. All epochs of the block get this
    average. A last block that would be short is part of the one before.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged.
    window : int
        Number of epochs in a block.
    band : array, shape (n_epochs, n_features)
        Epochs by which to compare, see :func:`artifact_spectra`.
    threshold : float
        Correlation from which epochs count as alike.
    leave_one_out : bool
        Whether an epoch leaves the average when it gets it; False as published, which
        costs ``1 / window`` of the EEG.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1.

    References
    ----------
    Allen, Josephs, Turner (2000). A method for removing imaging artifact from
    continuous EEG recorded during functional MRI. NeuroImage 12, 230-239.
    https://doi.org/10.1006/nimg.2000.0599
    """
    borders = list(range(0, len(good), window))
    if len(borders) > 1 and len(good) - borders[-1] < max(5, window / 2):
        del borders[-1]
    rows = {}
    for start, stop in zip(borders, [*borders[1:], len(good)], strict=True):
        chosen = _alike(band, start + np.flatnonzero(good[start:stop]), threshold)
        for k in range(start, stop):
            rows[k] = chosen[chosen != k] if leave_one_out else chosen
    return _from_rows(rows, good, window)


def _alike(band, candidates, threshold):
    """The first five candidates, and those that correlate with the mean so far."""
    chosen = list(candidates[:5])
    total = band[chosen].sum(axis=0)
    for k in candidates[5:]:
        norm = np.sqrt((band[k] @ band[k]) * (total @ total))
        if band[k] @ total > threshold * norm:
            chosen.append(k)
            total = total + band[k]
    return np.array(chosen, int)


def farm_weights(good, window, band, n_candidates=None):
    """Average of those neighbours whose artifact resembles the epoch's most.

    The correlation is taken where there is artifact and hardly any EEG. Taken over
    all frequencies, as published, it picks epochs whose EEG happens to resemble the
    EEG of the epoch and removes a fifth of it.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged.
    window : int
        Number of epochs to average.
    band : array, shape (n_epochs, n_features)
        Epochs by which to compare, see :func:`artifact_spectra`.
    n_candidates : int | None
        How many neighbours to choose from; None: 25 for each 6 of `window`, which is
        the 12 of 50 of the paper.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1, the diagonal is 0.

    References
    ----------
    van der Meer et al. (2010). Robust EMG-fMRI artifact reduction for motion (FARM).
    Clinical Neurophysiology 121, 766-776. https://doi.org/10.1016/j.clinph.2009.12.035
    """
    if n_candidates is None:
        n_candidates = round(window * 25 / 6)
    unit = band / np.maximum(np.linalg.norm(band, axis=1, keepdims=True), 1e-300)
    rows = {
        k: near[np.argsort(-unit[near] @ unit[k], kind="stable")[:window]]
        for k, near in enumerate(_nearest(good, n_candidates))
    }
    return _from_rows(rows, good, window)


def motion_weights(good, window, volume, moved, band):
    """Moving average that does not reach across movements of the head.

    Epochs of volumes in which the head moved are averaged nowhere. Where there are no
    5 others between two movements, the 5 neighbours with the most similar artifact
    are taken. The paper fills up a short stretch with epochs beyond the movement.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged.
    window : int
        Number of epochs to average.
    volume : array of int, shape (n_epochs,)
        Volume of each epoch.
    moved : array of bool, shape (n_volumes,)
        Whether the head moved from the volume before to this one.
    band : array, shape (n_epochs, n_features)
        Epochs by which to compare, see :func:`artifact_spectra`.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1, the diagonal is 0.

    References
    ----------
    Moosmann et al. (2009). Realignment parameter-informed artefact correction for
    simultaneous EEG-fMRI recordings. NeuroImage 45, 1144-1150.
    https://doi.org/10.1016/j.neuroimage.2009.01.024
    """
    still = good & ~moved[volume]
    if still.sum() < 2:
        return moving_weights(good, window)
    rows = _within_groups(np.cumsum(moved)[volume], still, window, 5)
    if len(rows) < len(good):
        rows = dict(enumerate(split_rows(farm_weights(still, 5, band)))) | rows
    return _from_rows(rows, good, window)


def exponential_weights(good, window):
    """Leave-one-out average whose weights fall off exponentially to both sides.

    The weight of epoch ``j`` in the template of ``k`` is proportional to
    ``rho^|k - j|``: the best linear estimate of an artifact that drifts as a random
    walk. ``rho = (window - 2) / (window + 2)`` makes the noise of the average equal to
    that of `window` equal weights. Weights below 1 % of the largest are left out.

    Parameters
    ----------
    good : array of bool, shape (n_epochs,)
        Epochs that may be averaged.
    window : int
        Number of epochs in an average of equal noise.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (n_epochs, n_epochs)
        Rows sum to 1, the diagonal is 0.
    """
    rho = max((window - 2) / (window + 2), 0.01)
    reach = int(np.ceil(np.log(0.01) / np.log(rho)))
    picks = _nearest(good, 2 * reach)
    distance = np.abs(picks - np.arange(len(good))[:, np.newaxis])
    values = rho ** (distance - distance.min(axis=1, keepdims=True))
    values /= values.sum(axis=1, keepdims=True)
    indptr = np.arange(0, picks.size + 1, picks.shape[1])
    return sparse.csr_array(
        (values.ravel(), picks.ravel(), indptr), shape=(len(good), len(good))
    )


def _from_rows(rows, good, window):
    """Matrix of equal weights; rows that are missing or empty are moving averages."""
    picks = [np.sort(rows.get(k, [])).astype(int) for k in range(len(good))]
    lacking = [k for k, row in enumerate(picks) if not row.size]
    if lacking:
        nearest = _nearest(good, window)
        for k in lacking:
            picks[k] = nearest[k]
    counts = np.array([row.size for row in picks])
    return sparse.csr_array(
        (
            np.repeat(1.0 / counts, counts),
            np.concatenate(picks),
            np.r_[0, np.cumsum(counts)],
        ),
        shape=(len(good), len(good)),
    )


def artifact_spectra(signals, starts, length, low, high):
    """What tells epochs apart by their artifact, not by their EEG.

    Parameters
    ----------
    signals : list of array, shape (n_times,)
        Channels with much artifact; all count the same.
    starts : array of float, shape (n_epochs,)
        Onsets in samples.
    length : int
        Samples of an epoch.
    low, high : float
        Band in cycles per sample, above that of the EEG.

    Returns
    -------
    band : array, shape (n_epochs, n_features)
        Real and imaginary parts of the spectra of all channels, brought to the
        sub-sample position of the epoch. Their scalar products are those of the
        band-limited epochs.
    """
    rows = np.floor(starts + 0.5).astype(int)
    taper = np.hanning(length)
    frequency = fft.rfftfreq(length)
    chosen = (frequency >= low) & (frequency <= high)
    turn = np.exp(2j * np.pi * frequency[chosen] * (starts - rows)[:, np.newaxis])
    parts = []
    for x in signals:
        coefs = fft.rfft(gather(x, rows, length) * taper)[:, chosen] * turn
        coefs /= np.sqrt((np.abs(coefs) ** 2).sum(axis=1).mean()) or 1.0
        parts += [coefs.real, coefs.imag]
    return np.hstack(parts)
