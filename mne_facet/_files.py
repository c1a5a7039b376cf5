"""Recordings in files: read them whole or not at all, write them likewise."""

import errno
import glob
import mmap
import os
import re
import shutil
import socket
import warnings
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import mne
import numpy as np
from mne.utils import logger

from ._events import annotation_samples

# the main file, which names the others, comes first
EXTENSIONS = {
    "fif": (".fif",),
    "edf": (".edf",),
    "brainvision": (".vhdr", ".eeg", ".vmrk"),
    "eeglab": (".set",),
}

PACKAGES = {"edf": "edfio", "brainvision": "pybv", "eeglab": "eeglabio"}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCKED = (errno.EACCES, errno.EPERM, errno.EROFS)

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


def read_file(fname, reader=None, *, preload=True, store=None):
    """Read a recording, and raise an error if part of it is missing.

    Parameters
    ----------
    fname : path-like
        The file.
    reader : callable | None
        As in :func:`correct_files`.
    preload : bool
        Whether to read the data as well.
    store : path-like | None
        File for the data; None: they are kept in memory.

    Returns
    -------
    raw : mne.io.Raw
        The recording.

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
            raw = mne.io.read_raw(fname) if reader is None else reader(fname)
            if preload and not raw.preload:
                _load(raw, store)
            return raw
    except Exception as exc:
        if getattr(exc, "errno", None) in _FULL:  # where the store is
            raise
        reason = str(exc).rstrip(".") or type(exc).__name__
        raise OSError(
            f"{fname.name} cannot be read: {reason}. Check that it and the files that "
            "belong to it are complete."
        ) from exc


def _load(raw, store, n_times=65_536):
    if store is None:
        raw.load_data()
        return
    shape = (len(raw.ch_names), raw.n_times)
    _reserve(store, 8 * shape[0] * shape[1])
    data = _DiskArray(store, dtype=np.float64, mode="r+", shape=shape)
    for start in range(0, raw.n_times, n_times):
        data[:, start : start + n_times] = raw[:, start : start + n_times][0]
    raw.close()
    # as raw.load_data(), which maps a file too but fills memory with it
    raw._data, raw._comp, raw.preload = data, None, True


def _reserve(fname, n_bytes):
    """Make a file of that size; where a disk is full, writing to a map kills."""
    with open(fname, "wb") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, n_bytes)
        else:
            stream.truncate(n_bytes)


class _DiskArray(np.memmap):
    """Array in a file, of which nothing stays in memory between accesses.

    What is read is a copy, and pages go back to the system at once: else those once
    touched count as memory of the process until others are short of it.
    """

    def __getitem__(self, item):
        values = np.asarray(self)[item]
        if values.base is not None:  # a view of the file
            values = values.copy()
        self._release()
        return values

    def __setitem__(self, item, values):
        np.asarray(self)[item] = values
        self._release()

    def _release(self):
        if hasattr(mmap, "MADV_DONTNEED") and isinstance(self._mmap, mmap.mmap):
            self._mmap.madvise(mmap.MADV_DONTNEED)


def source_files(fname, raw):
    """Files that a recording was read from, the one that was named first."""
    files = [fname, *(Path(name) for name in raw.filenames if name is not None)]
    if fname.suffix.lower() == ".vhdr":
        entries = _header_entries(fname)
        files += [fname.with_name(entries.get("MarkerFile") or fname.name)]
    return list(dict.fromkeys(file for file in files if file.is_file()))


def _header_entries(header):
    text = header.read_text("latin-1")
    return dict(re.findall(r"^(\w+)=(.*?)\s*$", text, re.MULTILINE))


def _check_size(header):
    """Compare the size of BrainVision data with their header; MNE does not."""
    entries = _header_entries(header)
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


def all_files(output, fmt):
    """Files that a recording in this format consists of, the main one first."""
    return [output.with_suffix(suffix) for suffix in EXTENSIONS[fmt]]


def write_file(raw, output, fmt, describe=None, also=None):
    """Write a recording so that it is there completely or not at all.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    output : pathlib.Path
        The main file; those that belong to it get the same stem.
    fmt : "fif" | "edf" | "brainvision" | "eeglab"
        As in :func:`correct_files`.
    describe : callable | None
        Takes the files written, returns the text of a JSON file beside them.
    also : callable | None
        Takes the path of the main file, writes others beside it.
    """
    with temporary_folder(output) as folder:
        main = Path(folder) / output.name
        _WRITERS[fmt](raw, main)
        if also is not None:
            also(main)
        others = sorted(file for file in Path(folder).iterdir() if file != main)
        sidecar = []
        if describe is not None:
            sidecar = [main.with_suffix(".json")]
            text = describe([main, *others])
            sidecar[0].write_text(text, encoding="utf-8")
        # a header must not describe other data, nor a sidecar, not even for a moment:
        # old files go first, new ones come after what tells of them, the main one last
        for file in all_files(output, fmt):
            file.unlink(missing_ok=True)
        for file in [*sidecar, *others, main]:
            os.replace(file, output.with_name(file.name))


def describe_error(exc, folder):
    """Type and message of an error, and what helps if a folder cannot be written to."""
    text = " ".join([f"{type(exc).__name__}: {exc}", *getattr(exc, "__notes__", [])])
    number = getattr(exc, "errno", None)
    if number in _FULL:
        text += f". Make room in {folder} or choose another output folder."
    elif number in _LOCKED:
        text += f". Change the permissions of {folder} or choose another output folder."
    return text


def temporary_folder(output):
    """Folder beside an output, whose name tells which process uses it."""
    prefix = f"{_temporary_prefix(output)}{os.getpid()}."
    return TemporaryDirectory(
        dir=output.parent, prefix=prefix, ignore_cleanup_errors=True
    )


def _temporary_prefix(output):
    return f".{output.stem}.{socket.gethostname()}."


def remove_leftovers(output):
    """Remove what killed processes of this machine left beside an output."""
    prefix = _temporary_prefix(output)
    for folder in output.parent.glob(glob.escape(prefix) + "*"):
        pid = folder.name.removeprefix(prefix).split(".")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid):
    if os.name != "posix":  # signal 0 means something else there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
