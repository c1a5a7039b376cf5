"""Checks of parameters, with errors that tell what is allowed."""

from numbers import Integral, Real

import mne
from mne.utils import logger


def check_count(name, value, lowest):
    """Raise ValueError unless the value is a whole number, at least the lowest."""
    if not isinstance(value, Integral) or value < lowest:
        raise ValueError(f"{name}={value!r} must be a whole number, at least {lowest}.")


def check_range(name, value, lowest, highest):
    """Raise ValueError unless the value is a number within the range."""
    if not isinstance(value, Real) or not lowest <= value <= highest:
        raise ValueError(
            f"{name}={value!r} must be a number between {lowest} and {highest}."
        )


def check_on_missing(value):
    """Raise ValueError unless the value is one of MNE's."""
    check_option("on_missing", value, ["raise", "warn", "ignore"])


def check_option(name, value, allowed):
    """Raise ValueError unless the value is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown. Allowed are {allowed}.")


def report_missing(error, on_missing):
    """Raise, warn or log an error about something that is not in the recording."""
    if on_missing == "raise":
        raise error
    message = f"{error} The recording stays as it is."
    if on_missing == "ignore":
        logger.info(message)
    else:
        mne.utils.warn(message, ignore_namespaces=("mne", "mne_facet"))


def check_cutoff(l_freq):
    if l_freq is not None:
        check_range("l_freq", l_freq, 0.01, 5)
