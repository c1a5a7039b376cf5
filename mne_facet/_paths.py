"""Which recordings are read, and where the corrected ones are written."""

import glob
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from ._files import EXTENSIONS, all_files
from ._provenance import write_dataset_description


def find_files(files):
    """Files that paths and patterns name.

    Parameters
    ----------
    files : path-like | list of path-like
        Paths and patterns.

    Returns
    -------
    found : list of pathlib.Path
        Those of a pattern sorted.
    """
    if isinstance(files, (str, os.PathLike)):
        files = [files]
    found = []
    for name in map(os.fspath, files):
        matches = [name] if Path(name).exists() else glob.glob(name, recursive=True)
        if not matches:
            raise FileNotFoundError(
                f"No file found for {name!r}. Check the path; relative ones start "
                f"from {Path.cwd()}."
            )
        found.extend(Path(match) for match in sorted(matches))
    if not found:
        raise ValueError("files is empty. Name at least one recording.")
    return found


def output_path(source, out_dir, fmt, desc):
    """Main file of the output of a recording.

    Parameters
    ----------
    source : pathlib.Path
        The recording.
    out_dir, fmt, desc
        As in :func:`correct_files`.

    Returns
    -------
    output : pathlib.Path
        Below `out_dir`, in the folders of the recording if these are as in BIDS.
    """
    stem = Path(source.name.removesuffix(".gz")).stem
    stem = re.sub("[_-](eeg|raw)$", "", stem)
    name = f"{stem}_desc-{desc}_eeg{EXTENSIONS[fmt][0]}"
    return out_dir / _bids_folder(source) / name


def _bids_folder(source):
    """Folders below the root of a BIDS data set; none if it is not one."""
    folders = source.absolute().parent.parts
    subject = source.name.split("_")[0]
    for depth in (2, 3):  # sub-01/eeg, sub-01/ses-01/eeg
        if folders[-depth:][0] == subject != "" and subject.startswith("sub-"):
            return Path(*folders[-depth:])
    return Path()


def check_collisions(sources, outputs, fmt):
    """Raise ValueError if two outputs are the same, or one is a recording."""
    inputs = {os.path.realpath(source) for source in sources}
    taken = {}
    for source, output in zip(sources, outputs, strict=True):
        if output in taken:
            raise ValueError(
                f"{taken[output]} and {source} would both be written to {output}. "
                "Correct them separately, with another out_dir or desc."
            )
        taken[output] = source
        for file in all_files(output, fmt):
            if os.path.realpath(file) in inputs:
                raise ValueError(
                    f"{file} is an input and would be the output of {source}. Choose "
                    "another out_dir or desc."
                )


def make_folders(out_dir, outputs):
    """Make the folders of the outputs; raise OSError if they cannot be written to."""
    try:
        for folder in {out_dir, *(output.parent for output in outputs)}:
            folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out_dir, prefix="."):
            pass
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(
            f"out_dir={str(out_dir)!r} is not a folder, or lies below a file. Choose "
            "another one."
        ) from None
    except OSError as exc:
        raise type(exc)(
            f"out_dir={str(out_dir)!r} is not writable: {exc.strerror}. Change its "
            "permissions, make room or choose another one."
        ) from None
    if any(output.parent != out_dir for output in outputs):
        write_dataset_description(out_dir)
