"""Removes fMRI gradient and pulse artifacts from EEG, for MNE-Python."""

from . import _pipe
from ._base import ChannelTransformer, RawTransformer
from .batch import correct_files
from .filters import Filter, NotchFilter, Resample
from .gradient import AAS
from .recipes import recipe
from .simulate import simulate_raw
from .triggers import TriggerAligner, TriggerDetector, trigger_report

__version__ = "0.1.0"

__all__ = [
    "AAS",
    "ChannelTransformer",
    "Filter",
    "NotchFilter",
    "RawTransformer",
    "Resample",
    "TriggerAligner",
    "TriggerDetector",
    "correct_files",
    "recipe",
    "simulate_raw",
    "trigger_report",
]

_pipe.install()
