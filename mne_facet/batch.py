"""Correct files: read, correct, write, several at a time."""

import importlib.util
import time
import traceback
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import ProgressBar, logger
from sklearn.base import clone

from ._checks import check_option
from ._files import (
    EXTENSIONS,
    PACKAGES,
    all_files,
    describe_error,
    read_file,
    remove_leftovers,
    source_files,
    temporary_folder,
    write_file,
)
from ._log import captured_log
from ._memory import peak_memory, reset_peak_memory
from ._pages import evaluate_output, page_of, write_study
from ._paths import check_collisions, find_files, make_folders, output_path
from ._plan import FilePlan, make_plan
from ._provenance import (
    describe_files,
    describe_value,
    is_complete,
    is_listed,
    is_untouched,
    is_up_to_date,
    make_sidecar,
    parameters,
    read_sidecar,
    versions,
)
from ._workers import run_together
from .blockwise import Blockwise
from .report import snapshot
from .triggers import trigger_report


class FileResult(NamedTuple):
    """What became of one file.

    Attributes
    ----------
    source : pathlib.Path
        The recording.
    output : pathlib.Path | None
        The corrected recording; None if there is none.
    status : "ok" | "failed" | "skipped"
        Whether the file was corrected and written; skipped if that had been done
        before, with the same parameters and versions.
    error : str | None
        Type and message of the error.
    traceback : str | None
        Where it happened.
    seconds, cpu_seconds : float
        Time for reading, correcting and writing, of the clock and of the processor.
    peak_memory : float | None
        Highest memory of the process during that time in bytes; None where the
        system does not say.
    metrics : dict
        Numbers that tell what was done: ``n_volumes``, ``n_restored``, ``n_dropped``,
        ``rms_before`` and ``rms_after`` (uV, median over channels); with a report
        those of :func:`evaluate` as well.

    Examples
    --------
    >>> from mne_facet import FileResult
    >>> results = [FileResult("a.fif", None, "failed", "ValueError: no volumes")]
    >>> [result.error for result in results if result.status == "failed"]
    ['ValueError: no volumes']
    """

    source: Path
    output: Path | None
    status: str
    error: str | None = None
    traceback: str | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: float | None = None
    metrics: dict = {}


@dataclass(frozen=True)
class _Job:
    """All that the correction of one file needs to know."""

    estimator: object
    source: Path
    output: Path
    fmt: str
    overwrite: bool
    reader: object
    request: dict
    report: bool
    plan: FilePlan | None = None


def correct_files(
    estimator,
    files,
    out_dir,
    *,
    n_jobs=None,
    memory_limit=None,
    fmt="fif",
    desc="facet",
    overwrite=False,
    on_error="continue",
    report=False,
    progress=True,
    reader=None,
    verbose=None,
):
    """Correct recordings and write them to a folder.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction, for example :func:`recipe`. Every file gets a clone of it.
    files : path-like | list of path-like
        The recordings: files of any format that `mne.io.read_raw` knows, or patterns
        such as ``"sub-*/eeg/*.vhdr"``, or the paths of MNE-BIDS.
    out_dir : path-like
        Folder to write to, made if it does not exist.
    n_jobs : int | None
        Files times channels to process at a time: several files if there are enough
        that are small enough, else several channels of one file; -1 all cores;
        None 1, or what ``joblib.parallel_config`` says.
    memory_limit : float | str | None
        Bytes for all processes together, or a text such as ``"4GB"``; None: 80 % of
        what is free. Larger recordings are corrected block by block from a temporary
        file beside the output, if `fmt` is "fif".
    fmt : "fif" | "edf" | "brainvision" | "eeglab"
        Format to write; see Notes for what each keeps.
    desc : str
        Letters and digits for the name of the output, as in BIDS:
        ``sub-01_task-rest_eeg.vhdr`` becomes ``sub-01_task-rest_desc-facet_eeg.fif``.
    overwrite : bool
        Whether to make outputs anew that are up to date, and to replace files that
        were not written by this function. Inputs are never replaced.
    on_error : "continue" | "raise"
        What to do if a file cannot be corrected: go on with the next one and say so
        in its result, or stop.
    report : bool
        Whether to write a page with figures and metrics (HTML) beside each output, and
        one for all outputs below `out_dir` that have one and the same `desc`; see
        :func:`add_to_report`. Outputs that lack theirs are made anew.
    progress : bool
        Whether to show a progress bar.
    reader : callable | None
        Takes a path, returns a Raw; None: ``mne.io.read_raw``. For channel types,
        events or montages that the files lack.
    verbose : bool | str | int | None
        As in MNE; False also hides the progress bar.

    Returns
    -------
    results : list of FileResult
        One per file, in the order of the files.

    Raises
    ------
    FileNotFoundError
        If a path or pattern finds no file.
    ValueError
        If two files have the same output, or an output is an input.
    NotADirectoryError, PermissionError
        If `out_dir` cannot be written to.
    RuntimeError
        If a file fails and ``on_error="raise"``.

    Notes
    -----
    A file is either written completely or not at all: the output is made in a
    temporary folder beside its place and moved there when it is finished. Files that
    are shorter than their header says are errors, also where MNE reads what is left.

    A JSON file beside each output tells what it was made of: the recording and its
    SHA-256, the parameters, versions of the software, triggers and what was repaired,
    and every line of the log. Where it shows that nothing has changed, the file is
    skipped. Recordings that lie in folders as in BIDS (``sub-01/eeg``) are written to
    the same folders below `out_dir`, which gets a ``dataset_description.json``.

    Files run in processes, channels in threads; the ``backend`` of a surrounding
    ``joblib.parallel_config`` is used instead, for example that of a dask cluster.
    If a worker process dies, its file is tried once more by itself.

    What the formats keep; what they do not keep is logged:

    - ``"fif"``: everything. Data are single precision. So are onsets of annotations
      (0.1 ms wrong after an hour), but the exact times are kept as ``extras["time"]``
      of each annotation, which mne_facet reads.
    - ``"edf"``: data with 16 bits over the range of each channel, onsets to 1 us, and
      the date. Data that end within a second are padded to a whole one, which is
      annotated as "BAD_ACQ_SKIP".
    - ``"brainvision"``: data in single precision, onsets to the nearest sample (markers
      on samples stay where they are), and the date. Descriptions other than
      "Stimulus/S  1" and "Response/R  1" get the prefix "Comment/".
    - ``"eeglab"``: data in single precision, onsets to 1 us, positions of electrodes.

    Bad channels, channel types, the measured times of volumes and their slices (the
    extras of :class:`TriggerDetector`) are kept by FIF only.

    Examples
    --------
    >>> from mne_facet import correct_files, recipe
    >>> results = correct_files(
    ...     recipe("aas", triggers="R128", n_slices=32),
    ...     "sub-*/eeg/*_eeg.vhdr",
    ...     "derivatives",
    ...     n_jobs=-1,
    ... )  # doctest: +SKIP
    """
    _check_options(fmt, desc, on_error)
    sources = find_files(files)
    out_dir = Path(out_dir)
    outputs = [output_path(source, out_dir, fmt, desc) for source in sources]
    check_collisions(sources, outputs, fmt)
    make_folders(out_dir, outputs)
    installed = versions()
    request = {
        "estimator": parameters(estimator),
        "reader": describe_value(reader),
        "format": fmt,
        "versions": {name: installed[name] for name in ("mne_facet", "mne")},
    }
    jobs = [
        _Job(estimator, source, output, fmt, overwrite, reader, request, report)
        for source, output in zip(sources, outputs, strict=True)
    ]
    with mne.use_log_level(verbose):
        results = _skip(jobs)
        rest = [job for job in jobs if job.source not in results]
        if rest:
            _run(rest, results, n_jobs, memory_limit, on_error, progress)
        results = [results[source] for source in sources]
        if report:
            failed = {r.source.name: r.error for r in results if r.error}
            logger.info(f"Report of all files: {write_study(out_dir, desc, failed)}")
    return results


def plan(
    estimator,
    files,
    *,
    n_jobs=None,
    memory_limit=None,
    fmt="fif",
    reader=None,
    report=False,
):
    """Say what :func:`correct_files` would run where, from the headers of the files.

    Parameters
    ----------
    estimator, files, n_jobs, memory_limit, fmt, reader, report
        As in :func:`correct_files`.

    Returns
    -------
    plan : Plan
        Prints as a table.

    Examples
    --------
    >>> from mne_facet import plan, recipe
    >>> print(plan(recipe(), "sub-*/eeg/*_eeg.vhdr", n_jobs=4))  # doctest: +SKIP
    """
    files = find_files(files)
    return make_plan(estimator, files, n_jobs, memory_limit, fmt, reader, report)


def _check_options(fmt, desc, on_error):
    check_option("fmt", fmt, list(EXTENSIONS))
    check_option("on_error", on_error, ["continue", "raise"])
    package = PACKAGES.get(fmt)
    if package and importlib.util.find_spec(package) is None:
        raise ImportError(
            f"fmt={fmt!r} needs {package}, which is not installed. Use "
            "'python -m pip install \"mne-facet[io]\"' or another format."
        )
    if not desc.isalnum():
        raise ValueError(f"desc={desc!r} must be letters and digits, as in BIDS.")


def _skip(jobs):
    """Results of the files that need not be corrected again."""
    results = {}
    for job in jobs:
        sidecar = read_sidecar(job.output)
        if (
            not job.overwrite
            and sidecar is not None
            and is_complete(job.output, sidecar)
            and (is_listed(page_of(job.output), sidecar) or not job.report)
            and is_up_to_date(job.source, sidecar, job.request)
        ):
            results[job.source] = FileResult(
                job.source, job.output, "skipped", metrics=sidecar["Metrics"]
            )
    if results:
        logger.info(f"{len(results)} file(s) skipped: they are up to date")
    return results


def _run(jobs, results, n_jobs, memory_limit, on_error, progress):
    """Correct files as planned; put their results into the dict."""
    first = jobs[0]
    plan = make_plan(
        first.estimator,
        [job.source for job in jobs],
        n_jobs,
        memory_limit,
        first.fmt,
        first.reader,
        first.report,
    )
    logger.info(f"{len(jobs)} file(s) to correct, {plan.reason}")
    jobs = [replace(job, plan=part) for job, part in zip(jobs, plan.files, strict=True)]
    try:
        with closing(_results(jobs, plan.n_workers)) as done:
            if progress:
                done = ProgressBar(done, mesg="Files", max_value=len(jobs))
            for result, log in done:
                results[result.source] = result
                for line in log:
                    logger.info(f"{result.source.name}: {line}")
                if result.error and on_error == "raise":
                    raise RuntimeError(
                        f"{result.source}: {result.error}\n{result.traceback}"
                    )
    finally:
        for job in jobs:
            remove_leftovers(job.output)


def _results(jobs, n_workers):
    """Yield results and logs as they come; what cannot be done at once."""
    for job in jobs:
        if job.plan.error:
            yield _correct_file(job)
    together = [job for job in jobs if job.plan.together]
    if together:
        for job, done, died in run_together(_correct_file, together, n_workers):
            yield done if died is None else _without_worker(job, died)
    for job in jobs:
        if not job.plan.together and not job.plan.error:
            yield _correct_file(job)


def _without_worker(job, exc):
    error = (
        f"RuntimeError: the worker process died ({type(exc).__name__}), killed or out "
        "of memory. Lower memory_limit or n_jobs."
    )
    trace = "".join(traceback.format_exception(exc))
    return FileResult(job.source, None, "failed", error, trace), []


def _correct_file(job):
    """Correct a file; turn errors into a result. Returns it and the log."""
    wall, processor = time.perf_counter(), time.process_time()
    reset_peak_memory()
    metrics, error, trace = {}, None, None
    with captured_log() as log:
        try:
            metrics = _read_correct_write(job, log)
        except Exception as exc:
            error = describe_error(exc, job.output.parent)
            trace = traceback.format_exc()
            logger.info(error)
    result = FileResult(
        job.source,
        None if error else job.output,
        "failed" if error else "ok",
        error,
        trace,
        time.perf_counter() - wall,
        time.process_time() - processor,
        peak_memory(),
        metrics,
    )
    return result, log


def _read_correct_write(job, log):
    plan, output = job.plan, job.output
    if plan.error:
        raise MemoryError(plan.error) if plan.n_times else OSError(plan.error)
    remove_leftovers(output)
    _check_existing(job)
    correction = Blockwise(clone(job.estimator), copy=False, n_jobs=plan.n_jobs)
    with temporary_folder(output) as folder:
        store = Path(folder) / "data" if plan.on_disk else None
        raw = read_file(job.source, job.reader, store=store)
        source = describe_files(source_files(job.source, raw))
        before, sfreq = _rms(raw), raw.info["sfreq"]
        small = snapshot(raw) if job.report else None
        raw = correction.fit_transform(raw)
        metrics, write_page = {"rms_before": before, "rms_after": _rms(raw)}, None
        triggers = []
        if "TR" in raw.annotations.description:
            triggers = list(trigger_report(raw))
            for name in ("n_volumes", "n_restored", "n_dropped"):
                metrics[name] = sum(run[name] for run in triggers)
        if job.report:
            text = repr(job.estimator)
            name = job.source.name
            row, write_page = evaluate_output(small, raw, name, text, sfreq)
            metrics |= row
        describe = partial(
            make_sidecar,
            source,
            job.request,
            Triggers=triggers,
            Metrics=metrics,
            Log=log,
        )
        if is_listed(page_of(output), read_sidecar(output)):
            page_of(output).unlink(missing_ok=True)
        write_file(raw, output, job.fmt, describe, write_page)
    return metrics


def _check_existing(job):
    """Refuse to replace what was not written here, or was changed afterwards."""
    sidecar = read_sidecar(job.output)
    files = [*all_files(job.output, job.fmt), job.output.with_suffix(".json")]
    for file in files + [page_of(job.output)] * job.report:
        if file.exists() and not job.overwrite and not is_untouched(file, sidecar):
            raise FileExistsError(
                f"{file} exists and was not written by mne_facet, or was changed "
                "since. Allow overwrite or choose another output folder."
            )


def _rms(raw):
    """Root mean square of the channels, median over them, in uV."""
    picks = mne.pick_types(raw.info, eeg=True, exclude="bads")
    if not len(picks):
        return None
    # np.std would need memory for another channel, and three times the time
    squares = [x @ x / x.size - x.mean() ** 2 for x in (raw._data[p] for p in picks)]
    return 1e6 * float(np.median(np.sqrt(np.maximum(squares, 0))))
