"""Correct files: read, correct, write, one by one."""

import glob
import importlib.util
import os
import re
import time
import traceback
import warnings
from contextlib import nullcontext
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mne
import numpy as np
from joblib import parallel_config
from mne.utils import logger
from sklearn.base import clone

from ._events import annotation_samples

# the main file, which names the others, comes first
_EXTENSIONS = {
    "fif": (".fif",),
    "edf": (".edf",),
    "brainvision": (".vhdr", ".eeg", ".vmrk"),
    "eeglab": (".set",),
}

_PACKAGES = {"edf": "edfio", "brainvision": "pybv", "eeglab": "eeglabio"}

# MNE only warns of these and goes on with a part of the recording
_INCOMPLETE = "|".join(
    [
        r"Omitted \d+ annotation",
        "Number of records from the header does not match the file size",
        "Invalid tag with only",
        "FIF tag directory missing",
        "FIF raw buffer could not be read",
        "Missing header in",
        "MarkerFile .* not found; no annotations",
    ]
)

# what MNE says of exports that are as they should be
_EXPECTED = re.compile(
    "Encountered data in '.*' format. Converting to float32"
    "|Encountered unsupported non-voltage units"
    "|EDF format requires equal-length data blocks"
)


class FileResult(NamedTuple):
    """What became of one file.

    Attributes
    ----------
    source : pathlib.Path
        The recording.
    output : pathlib.Path | None
        The corrected recording; None if there is none.
    status : "ok" | "failed"
        Whether the file was corrected and written.
    error : str | None
        Type and message of the error.
    traceback : str | None
        Where it happened.
    seconds : float
        Time for reading, correcting and writing.
    """

    source: Path
    output: Path | None
    status: str
    error: str | None
    traceback: str | None
    seconds: float


def correct_files(
    estimator,
    files,
    out_dir,
    *,
    fmt="fif",
    desc="facet",
    overwrite=False,
    on_error="continue",
    n_jobs=None,
    reader=None,
):
    """Correct recordings and write them to a folder.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction, for example :func:`recipe`. Every file gets a clone of it.
    files : path-like | list of path-like
        The recordings: files of any format that `mne.io.read_raw` knows, or patterns
        such as ``"sub-*/eeg/*.vhdr"``.
    out_dir : path-like
        Folder to write to, made if it does not exist.
    fmt : "fif" | "edf" | "brainvision" | "eeglab"
        Format to write; see Notes for what each keeps.
    desc : str
        Letters and digits for the name of the output, as in BIDS:
        ``sub-01_task-rest_eeg.vhdr`` becomes ``sub-01_task-rest_desc-facet_eeg.fif``.
    overwrite : bool
        Whether to replace outputs that exist. Inputs are never replaced.
    on_error : "continue" | "raise"
        What to do if a file cannot be corrected: go on with the next one and say so
        in its result, or stop.
    n_jobs : int | None
        Channels to process at a time, for estimators that have ``n_jobs=None``;
        -1 all cores; None leaves it to ``joblib.parallel_config``.
    reader : callable | None
        Takes a path, returns a Raw; None: ``mne.io.read_raw``. For channel types,
        events or montages that the files lack.

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
    >>> from mne_facet import recipe
    >>> from mne_facet.batch import correct_files
    >>> results = correct_files(
    ...     recipe("aas", triggers="R128", n_slices=32),
    ...     "sub-*/eeg/*_eeg.vhdr",
    ...     "derivatives",
    ... )  # doctest: +SKIP
    """
    _check_options(fmt, desc, on_error)
    sources = _find_files(files)
    out_dir = Path(out_dir)
    outputs = [_output_path(source, out_dir, fmt, desc) for source in sources]
    _check_collisions(sources, outputs, fmt)
    _make_folder(out_dir)
    context = nullcontext()
    if n_jobs is not None:
        context = parallel_config(backend="threading", n_jobs=n_jobs)
    with context:
        return [
            _attempt(estimator, source, output, fmt, overwrite, on_error, reader)
            for source, output in zip(sources, outputs, strict=True)
        ]


def _check_options(fmt, desc, on_error):
    for name, value, allowed in (
        ("fmt", fmt, list(_EXTENSIONS)),
        ("on_error", on_error, ["continue", "raise"]),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is unknown. Allowed are {allowed}.")
    package = _PACKAGES.get(fmt)
    if package and importlib.util.find_spec(package) is None:
        raise ImportError(
            f"fmt={fmt!r} needs {package}, which is not installed. Use "
            "'python -m pip install \"mne-facet[io]\"' or another format."
        )
    if not desc.isalnum():
        raise ValueError(f"desc={desc!r} must be letters and digits, as in BIDS.")


def _find_files(files):
    if isinstance(files, (str, os.PathLike)):
        files = [files]
    found = []
    for name in files:
        matches = (
            [name] if Path(name).exists() else glob.glob(str(name), recursive=True)
        )
        if not matches:
            raise FileNotFoundError(
                f"No file found for {str(name)!r}. Check the path; relative ones start "
                f"from {Path.cwd()}."
            )
        found.extend(Path(match) for match in sorted(matches))
    if not found:
        raise ValueError("files is empty. Name at least one recording.")
    return found


def _output_path(source, out_dir, fmt, desc):
    stem = Path(source.name.removesuffix(".gz")).stem
    stem = re.sub("[_-](eeg|raw)$", "", stem)
    return out_dir / f"{stem}_desc-{desc}_eeg{_EXTENSIONS[fmt][0]}"


def _all_files(output, fmt):
    return [output.with_suffix(suffix) for suffix in _EXTENSIONS[fmt]]


def _check_collisions(sources, outputs, fmt):
    inputs = {os.path.realpath(source) for source in sources}
    taken = {}
    for source, output in zip(sources, outputs, strict=True):
        if output in taken:
            raise ValueError(
                f"{taken[output]} and {source} would both be written to {output}. "
                "Correct them separately, with another out_dir or desc."
            )
        taken[output] = source
        for file in _all_files(output, fmt):
            if os.path.realpath(file) in inputs:
                raise ValueError(
                    f"{file} is an input and would be the output of {source}. Choose "
                    "another out_dir or desc."
                )


def _make_folder(out_dir):
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out_dir, prefix="."):
            pass
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(
            f"out_dir={str(out_dir)!r} is not a folder, or lies below a file. Choose "
            "another one."
        ) from None
    except PermissionError:
        raise PermissionError(
            f"out_dir={str(out_dir)!r} is not writable. Change its permissions or "
            "choose another one."
        ) from None


def _attempt(estimator, source, output, fmt, overwrite, on_error, reader):
    """Correct a file; turn errors into a result or name the file in them."""
    start, error, trace = time.perf_counter(), None, None
    try:
        _correct_file(estimator, source, output, fmt, overwrite, reader)
    except Exception as exc:
        error, trace = f"{type(exc).__name__}: {exc}", traceback.format_exc()
        if on_error == "raise":
            raise RuntimeError(f"{source}: {error}") from exc
    seconds = time.perf_counter() - start
    logger.info(f"{source}: {error or output}, {seconds:.1f} s")
    if error:
        return FileResult(source, None, "failed", error, trace, seconds)
    return FileResult(source, output, "ok", None, None, seconds)


def _correct_file(estimator, source, output, fmt, overwrite, reader):
    for file in _all_files(output, fmt):
        if not overwrite and file.exists():
            raise FileExistsError(
                f"{file} exists. Allow overwrite or choose another output folder."
            )
    raw = clone(estimator).fit_transform(read_file(source, reader))
    write_file(raw, output, fmt)


def read_file(fname, reader=None):
    """Read a recording, and raise an error if part of it is missing.

    Parameters
    ----------
    fname : path-like
        The file.
    reader : callable | None
        As in :func:`correct_files`.

    Returns
    -------
    raw : mne.io.Raw
        The recording, in memory.

    Raises
    ------
    OSError
        If the file cannot be read, or not all of it.
    """
    fname = Path(fname)
    try:
        # MNE gives no warnings at levels above, and these must not be missed
        with mne.use_log_level("WARNING"), warnings.catch_warnings():
            warnings.filterwarnings("error", message=_INCOMPLETE)
            if fname.suffix.lower() == ".vhdr":
                _check_size(fname)
            if reader is None:
                return mne.io.read_raw(fname, preload=True)
            return reader(fname).load_data()
    except Exception as exc:
        reason = str(exc).rstrip(".") or type(exc).__name__
        raise OSError(
            f"{fname.name} cannot be read: {reason}. Check that it and the files that "
            "belong to it are complete."
        ) from exc


def _check_size(header):
    """Compare the size of BrainVision data with their header; MNE does not."""
    text = header.read_text("latin-1")
    entries = dict(re.findall(r"^(\w+)=(.*?)\s*$", text, re.MULTILINE))
    data = header.with_name(entries.get("DataFile") or header.name)
    widths = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
    width = widths.get(entries.get("BinaryFormat"))
    n_channels = entries.get("NumberOfChannels", "")
    if width is None or not n_channels.isdigit() or not data.is_file():
        return  # MNE finds the words for it
    n_times, rest = divmod(data.stat().st_size, int(n_channels) * width)
    expected = entries.get("DataPoints", "")
    if expected.isdigit() and n_times < int(expected):
        raise ValueError(
            f"{data.name} is truncated: it has {n_times} samples, the header says "
            f"{expected}."
        )
    if rest or not n_times:
        raise ValueError(
            f"{data.name} is truncated: its {data.stat().st_size} bytes are no whole "
            f"number of samples of {n_channels} channels."
        )


def write_file(raw, output, fmt):
    """Write a recording so that it is there completely or not at all.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    output : pathlib.Path
        The main file; those that belong to it get the same stem.
    fmt : "fif" | "edf" | "brainvision" | "eeglab"
        As in :func:`correct_files`.
    """
    with TemporaryDirectory(dir=output.parent, prefix=".") as folder:
        main = Path(folder) / output.name
        _WRITERS[fmt](raw, main)
        others = sorted(file for file in Path(folder).iterdir() if file != main)
        if others:
            # an old header must not describe new data, not even for a moment
            output.unlink(missing_ok=True)
        for file in [*others, main]:
            os.replace(file, output.with_name(file.name))


def _write_fif(raw, fname):
    samples, durations = _annotated_samples(raw)
    times = samples / raw.info["sfreq"] + raw.first_time
    extras = [
        {**extra, "time": float(time)}
        for extra, time in zip(raw.annotations.extras, times, strict=True)
    ]
    raw = _with_annotations(raw, samples, durations, extras)
    raw.save(fname, verbose="WARNING")


def _write_edf(raw, fname):
    _log_losses(raw, fname, "EDF")
    rest = raw.n_times % raw.info["sfreq"]
    if rest:
        logger.info(f"{fname.name}: padded to whole seconds, as EDF needs it")
    # a range of its own for each channel: no large one coarsens the others
    _export(raw, fname, physical_range="channelwise")


def _write_brainvision(raw, fname):
    _log_losses(raw, fname, "BrainVision")
    # MNE cuts off fractions of samples; with a quarter added that rounds to nearest
    samples, durations = _annotated_samples(raw)
    samples = np.clip(np.floor(samples + 0.5), 0, raw.n_times - 1)
    durations = np.minimum(np.floor(durations + 0.5), raw.n_times - samples)
    raw = _with_annotations(raw, samples + 0.25, durations)
    durations = np.floor(raw.annotations.duration * raw.info["sfreq"] + 0.5)
    raw.annotations.duration = (durations + 0.25) / raw.info["sfreq"]
    # pybv writes commas and line breaks as they are, which makes files unreadable
    raw.annotations.description = np.array(
        [re.sub(r"\s", " ", d).replace(",", r"\1") for d in raw.annotations.description]
    )
    _export(raw, fname)


def _write_eeglab(raw, fname):
    _log_losses(raw, fname, "EEGLAB")
    _export(raw, fname)


_WRITERS = {
    "fif": _write_fif,
    "edf": _write_edf,
    "brainvision": _write_brainvision,
    "eeglab": _write_eeglab,
}


def _annotated_samples(raw):
    """Onsets and durations of all annotations in samples."""
    onsets = annotation_samples(raw, np.arange(len(raw.annotations)))
    return onsets, raw.annotations.duration * raw.info["sfreq"]


def _with_annotations(raw, samples, durations, extras=None):
    """Recording with the same data and annotations at other samples."""
    old = raw.annotations
    new = mne.Annotations(
        samples / raw.info["sfreq"],
        durations / raw.info["sfreq"],
        old.description,
        ch_names=old.ch_names,
        extras=extras,
    )
    return copy(raw).set_annotations(new, emit_warning=False)


def _log_losses(raw, fname, name):
    bads = raw.info["bads"]
    types = [
        f"{channel} ({kind})"
        for channel, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
        if kind != "eeg"
    ]
    if bads:
        logger.info(f"{fname.name}: {name} keeps no bad channels, here {bads}")
    if types:
        logger.info(f"{fname.name}: {name} keeps no channel types, here {types}")


def _export(raw, fname, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mne.export.export_raw(fname, raw, verbose="WARNING", **options)
    for warning in caught:
        if not _EXPECTED.match(str(warning.message)):
            warnings.warn(warning.message, stacklevel=2)
