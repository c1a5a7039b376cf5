"""Removes fMRI gradient and pulse artifacts from EEG, for MNE-Python."""

from . import _pipe
from ._base import ChannelTransformer, RawTransformer
from ._memory import estimate_memory
from .batch import FileResult, correct_files, plan
from .beats import BeatReport, RPeakDetector, beat_report
from .benchmark import benchmark_scaling, plot_scaling
from .blockwise import Blockwise
from .evaluation import Comparison, compare, evaluate
from .filters import Filter, NotchFilter, Resample
from .gradient import AAS, VolumeArtifact
from .lowrank import LowRank
from .motion import add_motion, read_motion
from .physio import add_beats, read_physio_beats
from .pulse import PulseAAS, PulseOBS
from .recipes import recipe
from .references import ReferenceRegression
from .report import add_to_report, plot_comparison
from .residual import ANC, OBS
from .score import correction_score, split_raw
from .simulate import simulate_raw
from .testing import check_raw_transformer
from .triggers import TriggerAligner, TriggerDetector, trigger_report

__version__ = "0.1.0"

__all__ = [
    "AAS",
    "ANC",
    "OBS",
    "BeatReport",
    "Blockwise",
    "ChannelTransformer",
    "Comparison",
    "FileResult",
    "Filter",
    "LowRank",
    "NotchFilter",
    "PulseAAS",
    "PulseOBS",
    "RPeakDetector",
    "RawTransformer",
    "ReferenceRegression",
    "Resample",
    "TriggerAligner",
    "TriggerDetector",
    "VolumeArtifact",
    "add_beats",
    "add_motion",
    "add_to_report",
    "beat_report",
    "benchmark_scaling",
    "check_raw_transformer",
    "compare",
    "correct_files",
    "correction_score",
    "estimate_memory",
    "evaluate",
    "plan",
    "plot_comparison",
    "plot_scaling",
    "read_motion",
    "read_physio_beats",
    "recipe",
    "simulate_raw",
    "split_raw",
    "trigger_report",
]

_pipe.install()
