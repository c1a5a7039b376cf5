"""What a corrected file was made of: the JSON file beside it."""

import hashlib
import json
import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("mne_facet", "mne", "numpy", "scipy", "scikit-learn", "joblib", "numba")

# the result does not depend on these
_IRRELEVANT = ("n_jobs", "verbose", "copy")


def parameters(estimator):
    """Describe an estimator by everything its result depends on.

    Parameters
    ----------
    estimator : estimator | sklearn.pipeline.Pipeline
        The correction.

    Returns
    -------
    parameters : dict
        Class names and parameters, nested, of types that JSON knows.
    """
    found = {"class": type(estimator).__name__}
    for name, value in sorted(estimator.get_params(deep=False).items()):
        if name not in _IRRELEVANT:
            found[name] = describe_value(value)
    return found


def describe_value(value):
    """Turn a parameter into types that JSON knows, equal if the parameters are."""
    if hasattr(value, "get_params"):
        return parameters(value)
    if isinstance(value, (list, tuple)):
        return [describe_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe_value(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "tolist"):  # of numpy
        return describe_value(value.tolist())
    if hasattr(value, "__code__"):
        code = value.__code__
        digest = hashlib.sha256(repr((code.co_code, code.co_consts)).encode())
        return f"{value.__module__}.{value.__qualname__} {digest.hexdigest()[:8]}"
    return repr(value)


def versions():
    """Versions of Python and the packages that results may depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_files(files):
    """Name, size, time of change and SHA-256 of files.

    Parameters
    ----------
    files : list of pathlib.Path
        The files.

    Returns
    -------
    files : list of dict
        In the same order.
    """
    return [{**_state(file), "sha256": _sha256(file)} for file in files]


def _state(file):
    stat = file.stat()
    return {"name": file.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _sha256(file):
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def make_sidecar(source, request, written, **results):
    """Text of the JSON file beside a corrected recording.

    Parameters
    ----------
    source : list of dict
        As returned by :func:`describe_files`.
    request : dict
        What was asked for.
    written : list of pathlib.Path
        Files of the output.
    **results : dict
        What else to tell.

    Returns
    -------
    text : str
        JSON.
    """
    outputs = [{"name": file.name, "size": file.stat().st_size} for file in written]
    return json.dumps(
        {
            "Description": "EEG corrected for artifacts of MRI",
            "GeneratedBy": [{"Name": "mne_facet", "Version": version("mne_facet")}],
            "Sources": source,
            "Request": request,
            "Versions": versions(),
            "Outputs": outputs,
            **describe_value(results),
        },
        indent=2,
        allow_nan=False,
    )


def read_sidecar(output):
    """Read the JSON file beside an output.

    Parameters
    ----------
    output : pathlib.Path
        Main file of the output.

    Returns
    -------
    sidecar : dict | None
        None if there is none of this package.
    """
    try:
        sidecar = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
        ours = sidecar["GeneratedBy"][0]["Name"] == "mne_facet"
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    return sidecar if ours else None


def is_complete(output, sidecar):
    """Whether all files of an output are there, with the sizes the sidecar tells."""
    files = [output.with_name(file["name"]) for file in sidecar["Outputs"]]
    return all(file.is_file() and is_untouched(file, sidecar) for file in files)


def is_untouched(file, sidecar):
    """Whether a file is the sidecar, or has the size that the sidecar tells."""
    if sidecar is None:
        return False
    sizes = {known["name"]: known["size"] for known in sidecar["Outputs"]}
    return file.suffix == ".json" or sizes.get(file.name) == file.stat().st_size


def is_listed(file, sidecar):
    """Whether the sidecar tells of a file with this name."""
    return sidecar is not None and any(
        known["name"] == file.name for known in sidecar["Outputs"]
    )


def is_up_to_date(source, sidecar, request):
    """Whether the sidecar tells of the same recording and the same request."""
    if sidecar["Request"] != request or sidecar["Sources"][0]["name"] != source.name:
        return False
    return all(_is_unchanged(source, known) for known in sidecar["Sources"])


def _is_unchanged(source, known):
    file = source.with_name(known["name"])
    if not file.is_file() or file.stat().st_size != known["size"]:
        return False
    # the time spares reading it all; a copy has another one
    return _state(file).items() <= known.items() or _sha256(file) == known["sha256"]


def write_dataset_description(folder):
    """Make a folder a BIDS derivative, unless it says already what it is."""
    fname = Path(folder) / "dataset_description.json"
    if fname.exists():
        return
    text = json.dumps(
        {
            "Name": "EEG corrected for artifacts of MRI",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "mne_facet", "Version": version("mne_facet")}],
        },
        indent=2,
    )
    temporary = fname.with_name(f".{fname.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, fname)
