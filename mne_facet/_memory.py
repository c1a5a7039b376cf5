"""What a correction needs in memory and time."""

import ctypes
import re
import sys
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from joblib import effective_n_jobs

from ._base import ChannelTransformer, RawTransformer
from ._files import read_file
from ._segments import low_rate_step
from .blockwise import chains

# Python with MNE, Numba and what they import (measured)
_BASE = 250e6
# of smaller arrays, the allocator keeps what is freed: about as much as is in use
_LARGE = 32e6
# copies of the data that MNE's exporters make (measured)
_COPIES_TO_WRITE = {"fif": 0.0, "brainvision": 2.5, "edf": 1.5, "eeglab": 1.5}
# figures and their page
_PAGE = 150e6
# seconds for opening and closing a file, and per sample for reading and writing it
_SECONDS_PER_FILE = 0.2
_SECONDS_PER_SAMPLE = 15e-9
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


class Memory(NamedTuple):
    """Memory that the correction of one recording needs, in bytes.

    Attributes
    ----------
    base : float
        The process, before there is any data.
    data : float
        The recording; 0 if it stays on disk; what a page shows of it.
    working : float
        Channels under way.
    writing : float
        Copies made to write the result, after the work.
    """

    base: float
    data: float
    working: float
    writing: float

    @property
    def total(self):
        """Highest sum at a time, in bytes."""
        return self.base + self.data + max(self.working, self.writing)


def estimate_memory(
    estimator,
    source,
    n_jobs=None,
    *,
    fmt="fif",
    reader=None,
    on_disk=False,
    report=False,
):
    """Estimate what :func:`correct_files` needs for one recording.

    Nothing but the header is read.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction.
    source : path-like | mne.io.Raw
        The recording.
    n_jobs : int | None
        Channels to process at a time.
    fmt : "fif" | "edf" | "brainvision" | "eeglab"
        Format to write.
    reader : callable | None
        As in :func:`correct_files`.
    on_disk : bool
        Whether the data stay in a file.
    report : bool
        Whether a page with figures is made.

    Returns
    -------
    memory : Memory
        Bytes; ``memory.total`` is the peak.

    Examples
    --------
    >>> from mne_facet import estimate_memory, recipe, simulate_raw
    >>> raw, truth = simulate_raw(duration=20, n_eeg=4, sfreq=1000)
    >>> memory = estimate_memory(recipe("aas", triggers="R128"), raw, n_jobs=2)
    >>> memory.data < memory.total
    True
    """
    if not isinstance(source, mne.io.BaseRaw):
        source = read_file(source, reader, preload=False)
    n_channels = len(source.ch_names)
    channel = 8.0 * int(source.n_times)
    n_jobs = min(effective_n_jobs(n_jobs), n_channels)
    arrays = max(
        _arrays(steps, n_channels, n_jobs, on_disk, channel < _LARGE)
        for steps in chains(estimator)
    )
    data = 0.0 if on_disk else channel * n_channels
    if report:
        data += _PAGE + channel * (4 + 2 * n_channels / low_rate_step(source))
    return Memory(
        _BASE,
        data,
        float(channel * arrays),
        _COPIES_TO_WRITE[fmt] * channel * n_channels,
    )


def _arrays(steps, n_channels, n_jobs, on_disk, kept):
    """Arrays of the size of one channel that steps need beside the data."""
    if not isinstance(steps[0], RawTransformer):
        return float(n_channels)  # nothing is known of it: a copy
    if not isinstance(steps[0], ChannelTransformer):
        return steps[0]._n_arrays
    # on disk, the channel itself as well
    under_way = n_jobs * (max(step._n_arrays for step in steps) + on_disk)
    if kept:
        under_way *= 2
    return max(steps[0]._n_arrays_to_plan, under_way)


def estimate_seconds(estimator, raw):
    """Estimate the processor time of a correction.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction.
    raw : mne.io.Raw
        The recording, its data need not be there.

    Returns
    -------
    seconds : float
        With reading and writing.
    """
    n_values = raw.n_times * len(raw.ch_names)
    costs = [
        step._ns_per_sample
        for steps in chains(estimator)
        for step in steps
        if isinstance(step, ChannelTransformer)
    ]
    return _SECONDS_PER_FILE + n_values * (1e-9 * sum(costs) + _SECONDS_PER_SAMPLE)


def parse_memory(limit):
    """Bytes from a number or a text such as "4GB"; None: most of what is free.

    Parameters
    ----------
    limit : float | str | None
        Bytes, or a number with a unit.

    Returns
    -------
    limit : float
        Bytes; infinite if nobody can tell how much is free.
    """
    if limit is None:
        return 0.8 * _available_memory()
    match = isinstance(limit, str) and re.fullmatch(
        r"\s*([0-9.]+)\s*([kmgt]?)(i?)b?\s*", limit.lower()
    )
    try:
        if match:
            number, unit, binary = match.groups()
            scale = _UNITS[unit] if not binary else 1024 ** list(_UNITS).index(unit)
            limit = float(number) * scale
        if not isinstance(limit, Real) or isinstance(limit, bool) or not limit > 0:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"memory_limit={limit!r} must be a number of bytes or a text such as '4GB'."
        ) from None
    return float(limit)


def _available_memory():
    """Bytes that are free for this process; infinite if the system does not say."""
    free = [np.inf, *_left_in_control_groups()]
    found = re.search(r"MemAvailable:\s+(\d+)", _read_text("/proc/meminfo"))
    if found:
        free.append(1024.0 * int(found.group(1)))
    else:
        with suppress(ImportError):
            import psutil

            free.append(float(psutil.virtual_memory().available))
    return max(0.0, min(free))


def _left_in_control_groups(root=Path("/sys/fs/cgroup"), own="/proc/self/cgroup"):
    """Bytes that containers and cluster jobs leave to this process, one per limit."""
    left = []
    for line in _read_text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        folder = root / controllers
        # each group around the own one may have a limit
        for name in ("", *Path(path).parts[1:]):
            folder /= name
            limit = _read_number(folder, "memory.max", "memory.limit_in_bytes")
            used = _read_number(folder, "memory.current", "memory.usage_in_bytes")
            if limit is not None and used is not None:
                # files the system keeps in memory are given up when it is needed
                kept = r"^(?:total_)?inactive_file (\d+)"
                stat = _read_text(folder / "memory.stat")
                spare = [int(n) for n in re.findall(kept, stat, re.MULTILINE)]
                left.append(float(limit - used + max(spare, default=0)))
    return left


def _read_number(folder, *names):
    """Number in the first of these files that has one."""
    texts = (_read_text(folder / name).strip() for name in names)
    return next((int(text) for text in texts if text.isdigit()), None)


def _read_text(fname):
    try:
        return Path(fname).read_text()
    except OSError:
        return ""


def reset_peak_memory():
    """Start a new measurement of the peak, where the system can."""
    # what has been freed but is kept would hide what is needed
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory():
    """Highest memory of this process since the last reset, or its start; in bytes.

    Returns
    -------
    peak : float | None
        None where the system does not say.
    """
    found = re.search(r"VmHWM:\s+(\d+)", _read_text("/proc/self/status"))
    if found:
        return 1024.0 * int(found.group(1))
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) if sys.platform == "darwin" else 1024.0 * peak
