"""Head movement, from the realignment of the images to the volumes of the EEG."""

from pathlib import Path

import numpy as np
from mne.utils import logger

from ._events import get_runs

_FORMATS = {".txt": "spm", ".par": "fsl", ".1d": "afni", ".tsv": "bids"}
_COLUMNS = (
    ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"),
    ("x", "y", "z", "pitch", "roll", "yaw"),
)


def read_motion(fname, *, fmt=None):
    """Read the head movement that the realignment of the images has found.

    Parameters
    ----------
    fname : path-like
        The file.
    fmt : "spm" | "fsl" | "afni" | "bids" | None
        What wrote it. ``"spm"``: ``rp_*.txt``, three translations in mm and three
        rotations in rad. ``"fsl"``: ``*.par`` of MCFLIRT, the rotations first.
        ``"afni"``: ``-1Dfile`` of 3dvolreg, roll, pitch, yaw in degrees, then
        translations to superior, left and posterior in mm. ``"bids"``: a table with
        columns named as by fMRIPrep (``trans_x`` ... ``rot_z``), or ``x``, ``y``,
        ``z``, ``pitch``, ``roll``, ``yaw``, in mm and rad. None: by the extension,
        ``.txt``, ``.par``, ``.1D`` or ``.tsv``.

    Returns
    -------
    motion : array, shape (n_volumes, 6)
        In the order of SPM: translations to the right, front and top in mm, rotations
        about these axes (pitch, roll, yaw) in rad. The signs of AFNI's rotations are
        left as they are.

    Raises
    ------
    ValueError
        If the format is unknown, or the file does not hold six columns of numbers.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from mne_facet import read_motion
    >>> with TemporaryDirectory() as folder:
    ...     fname = Path(folder) / "mcf.par"
    ...     np.savetxt(fname, [[0, 0, 0, 0, 0, 0], [0.001, 0, 0, 0.2, 0, 0]])
    ...     read_motion(fname)[1].tolist()
    [0.2, 0.0, 0.0, 0.001, 0.0, 0.0]
    """
    fname = Path(fname)
    if fmt is None:
        fmt = _FORMATS.get(fname.suffix.lower())
    if fmt not in _FORMATS.values():
        raise ValueError(
            f"The format of {fname.name} is unknown. Use "
            f"fmt={' or '.join(map(repr, _FORMATS.values()))}."
        )
    table = _read_table(fname) if fmt == "bids" else _read_numbers(fname)
    if not np.isfinite(table).all():
        raise ValueError(
            f"{fname.name} has missing values in volume "
            f"{np.flatnonzero(~np.isfinite(table).all(axis=1)).tolist()}. Fill them in."
        )
    if fmt == "fsl":
        return table[:, [3, 4, 5, 0, 1, 2]]
    if fmt == "afni":
        roll, pitch, yaw, superior, left, posterior = table.T
        angles = np.deg2rad([pitch, yaw, roll])
        return np.vstack([-left, -posterior, superior, angles]).T
    return table


def _read_numbers(fname):
    try:
        table = np.loadtxt(fname, ndmin=2)
    except ValueError as error:
        raise ValueError(
            f"{fname.name} is not a table of numbers: {error}. Set fmt= to the program "
            "that wrote it."
        ) from None
    if table.shape[1] != 6:
        raise ValueError(
            f"{fname.name} has {table.shape[1]} columns, head movement has 6. Keep the "
            "three translations and three rotations."
        )
    return table


def _read_table(fname):
    header, *lines = fname.read_text().splitlines()
    names = header.split()
    for columns in _COLUMNS:
        if set(columns) <= set(names):
            index = [names.index(name) for name in columns]
            break
    else:
        raise ValueError(
            f"{fname.name} has none of the columns {_COLUMNS[0]} or {_COLUMNS[1]}. "
            "Set fmt= to the program that wrote it."
        )
    rows = [[line.split()[i] for i in index] for line in lines if line.strip()]
    return np.array([[float(text.replace("n/a", "nan")) for text in r] for r in rows])


def add_motion(raw, motion, *, description="TR", copy=True):
    """Tell the volumes of a recording how far the head moved before each.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording with volume annotations, see :class:`TriggerDetector`.
    motion : array, shape (n_volumes, 6) | list of array
        Head positions as returned by :func:`read_motion`, one array per scanner run
        if there are several. Where there are more volumes than rows, the first ones
        are taken for dummy scans, in which the head lay still.
    description : str
        Description of the volume annotations.
    copy : bool
        Whether to leave the input as it is and return a copy.

    Returns
    -------
    raw : mne.io.Raw
        The recording. Its volume annotations have the extras ``translation`` (mm) and
        ``rotation`` (degrees): lengths of the change since the volume before.

    Raises
    ------
    ValueError
        If the rows do not fit the volumes.

    Examples
    --------
    >>> from mne_facet import AAS, TriggerDetector, add_motion, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> raw = TriggerDetector("R128").fit_transform(raw)
    >>> motion = truth.realignment.copy()
    >>> motion[:, 3:] *= 3.14159 / 180  # the simulation has degrees
    >>> clean = AAS(weights="motion").fit_transform(add_motion(raw, motion))
    """
    runs = get_runs(raw, description, name="add_motion")
    motions = motion if isinstance(motion, (list, tuple)) else [motion]
    if len(motions) != len(runs):
        raise ValueError(
            f"motion has {len(motions)} array(s) for {len(runs)} scanner run(s) of "
            f"{[len(run.onsets) for run in runs]} volumes. Hand over a list with one "
            "array per run."
        )
    raw = raw.copy() if copy else raw
    for run, positions in zip(runs, motions, strict=True):
        index = run.annotation[run.annotation >= 0]
        for i, sizes in zip(index, _steps(positions, index.size), strict=True):
            raw.annotations.extras[i].update(
                translation=float(sizes[0]), rotation=float(sizes[1])
            )
    return raw


def _steps(positions, n_volumes):
    """Translation (mm) and rotation (degrees) since the volume before."""
    positions = np.asarray(positions, float)
    if positions.ndim != 2 or positions.shape[1] != 6:
        raise ValueError(
            f"motion has shape {positions.shape}, it needs 6 columns. Use read_motion."
        )
    n_dummies = n_volumes - len(positions)
    if n_dummies < 0:
        raise ValueError(
            f"motion has {len(positions)} rows, but the run has {n_volumes} volumes. "
            "Check the triggers with trigger_report, or leave out the rows of volumes "
            "that were not recorded."
        )
    if n_dummies:
        logger.info(
            f"add_motion: {len(positions)} rows for {n_volumes} volumes, the first "
            f"{n_dummies} are taken for dummy scans"
        )
    change = np.diff(positions, axis=0, prepend=positions[:1]).reshape(-1, 2, 3)
    change[:, 1] = np.rad2deg(change[:, 1])
    return np.vstack([np.zeros((n_dummies, 2)), np.linalg.norm(change, axis=2)])


def moved_volumes(raw, run, threshold):
    """Whether the head moved by more than so many mm or degrees before each volume."""
    moved = np.zeros(run.onsets.size, bool)
    for k in np.flatnonzero(run.annotation >= 0):
        extras = raw.annotations.extras[run.annotation[k]]
        if "translation" not in extras:
            raise ValueError(
                "weights='motion' needs the movement of the head before each volume. "
                "Use add_motion(raw, read_motion(...)) first."
            )
        moved[k] = max(extras["translation"], extras["rotation"]) > threshold
    return moved
