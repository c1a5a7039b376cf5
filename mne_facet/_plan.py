"""What runs where: files at a time, channels at a time, data in memory or on disk."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs

from ._base import is_distributed
from ._files import read_file
from ._memory import estimate_memory, estimate_seconds, parse_memory

# seconds of work below which starting worker processes is not worth it
_WORTHWHILE = 5.0


class FilePlan(NamedTuple):
    """How one file will be corrected.

    Attributes
    ----------
    source : pathlib.Path
        The recording.
    n_channels, n_times : int
        Its size.
    memory : float
        Expected peak in bytes.
    together : bool
        Whether other files are corrected at the same time.
    n_jobs : int
        Channels at a time.
    on_disk : bool
        Whether the data stay in a file beside the output.
    error : str | None
        Why it cannot be corrected.
    """

    source: Path | None = None
    n_channels: int = 0
    n_times: int = 0
    memory: float = 0.0
    together: bool = False
    n_jobs: int = 1
    on_disk: bool = False
    error: str | None = None


class Plan(NamedTuple):
    """What runs where; prints as a table.

    Attributes
    ----------
    files : list of FilePlan
        In the order of the files.
    n_workers : int
        Files at a time.
    memory_limit : float
        Bytes.
    reason : str
        Why it is so.
    """

    files: list
    n_workers: int
    memory_limit: float
    reason: str

    def __str__(self):
        limit = f"memory limit {_gigabytes(self.memory_limit)}"
        if self.memory_limit == np.inf:
            limit = "no memory limit"
        lines = [f"{self.reason}; {limit}"]
        width = max(len(str(file.source)) for file in self.files)
        lines.append(f"{'file':{width}}  channels    samples   memory  how")
        for file in self.files:
            lines.append(
                f"{file.source!s:{width}}  {file.n_channels:8}  {file.n_times:9}  "
                f"{_gigabytes(file.memory):>7}  {_how(file)}"
            )
        return "\n".join(lines)


def _how(file):
    if file.error:
        return f"not at all: {file.error}"
    how = "beside others" if file.together else "alone"
    how += f", {file.n_jobs} channel{'s' * (file.n_jobs > 1)} at a time"
    return how + ", data on disk" * file.on_disk


def _gigabytes(n_bytes):
    return f"{n_bytes / 1e9:.2f}GB"


def make_plan(estimator, sources, n_jobs, memory_limit, fmt, reader, report=False):
    """Decide how many files and channels run at a time.

    Parameters
    ----------
    estimator, n_jobs, memory_limit, fmt, reader, report
        As in :func:`correct_files`.
    sources : list of pathlib.Path
        The recordings.

    Returns
    -------
    plan : Plan
        One entry per source.
    """
    limit = parse_memory(memory_limit)
    if is_distributed() and memory_limit is None:
        limit = np.inf  # what is free here says nothing of other machines
    n_jobs = effective_n_jobs(n_jobs)
    raws, errors = {}, {}
    for source in sources:
        try:
            raws[source] = read_file(source, reader, preload=False)
        except OSError as exc:
            errors[source] = str(exc)
    need = partial(estimate_memory, estimator, fmt=fmt, report=report)
    n_workers, together, each, reason = _share(estimator, need, raws, n_jobs, limit)
    files = []
    for source in sources:
        if source in errors:
            file = FilePlan(error=errors[source])
        elif source in together:
            file = _fit(need, raws[source], 1, each, fmt)
        else:
            file = _fit(need, raws[source], n_jobs, limit, fmt)
        beside = source in together and file.error is None
        files.append(file._replace(source=source, together=beside))
    return Plan(files, n_workers, limit, reason)


def _share(estimator, need, raws, n_jobs, limit):
    """Files at a time, which ones, memory of each of these, and why."""
    if n_jobs == 1:
        return 1, set(), limit, "one file and one channel at a time: n_jobs is 1"
    if is_distributed():
        reason = f"{n_jobs} files at a time on the workers of the joblib backend"
        return n_jobs, set(raws), limit, reason
    seconds = sum(estimate_seconds(estimator, raw) for raw in raws.values())
    if seconds < _WORTHWHILE:
        reason = f"one file at a time: {seconds:.1f} s of work, too little for more"
        return 1, set(), limit, reason
    totals = {source: need(raw, 1).total for source, raw in raws.items()}
    # few large files use more of the jobs for their channels
    fewest = max(2, n_jobs // 2)
    for n_workers in range(min(n_jobs, len(raws)), fewest - 1, -1):
        each = limit / n_workers
        small = {source for source, total in totals.items() if total <= each}
        if len(small) >= n_workers:
            reason = f"{n_workers} files at a time, one channel at a time in each"
            if len(small) < len(raws):
                reason += f"; {len(raws) - len(small)} large one(s) alone"
            return n_workers, small, each, reason
    return 1, set(), limit, f"one file at a time, {n_jobs} channels at a time"


def _fit(need, raw, n_jobs, limit, fmt):
    """Take the fastest settings that need no more memory than the limit."""
    for jobs, on_disk in _settings(n_jobs, fmt):
        memory = need(raw, jobs, on_disk=on_disk).total
        if memory <= limit:
            error = None
            break
    else:
        error = (
            f"needs {_gigabytes(memory)} with one channel at a time, memory_limit is "
            f"{_gigabytes(limit)}. Raise it"
        )
        error += "." if fmt == "fif" else " or use fmt='fif', which takes less."
    return FilePlan(
        n_channels=len(raw.ch_names),
        n_times=raw.n_times,
        memory=memory,
        n_jobs=jobs,
        on_disk=on_disk,
        error=error,
    )


def _settings(n_jobs, fmt):
    """Fewer jobs, then data on disk, which exporters cannot use."""
    for on_disk in (False, True) if fmt == "fif" else (False,):
        jobs = n_jobs
        while jobs:
            yield jobs, on_disk
            jobs //= 2
