"""The command mne-facet."""

import argparse
import sys
import traceback
import warnings

import mne
from mne.utils import catch_logging

from . import __version__
from ._demo import run_demo
from ._events import describe_annotations
from ._files import read_file
from ._pages import study_page
from .batch import correct_files, find_files, plan
from .benchmark import benchmark_scaling, plot_scaling
from .evaluation import Comparison, evaluate
from .recipes import recipe
from .report import add_to_report
from .triggers import TriggerAligner, TriggerDetector, trigger_report

_EXAMPLES = """\
examples:
  mne-facet demo
  mne-facet check sub-01_eeg.vhdr --triggers R128
  mne-facet correct sub-*_eeg.vhdr --triggers R128 --slices 32 --out derivatives
"""


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str | None
        Arguments; None: those of the process.

    Returns
    -------
    code : int
        0 if all went well, 1 if not, 130 if interrupted.
    """
    args = _parser().parse_args(argv)
    level = "INFO" if args.verbose else "WARNING"
    with mne.use_log_level(level), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return args.command(args)
        except KeyboardInterrupt:
            print("mne-facet: interrupted", file=sys.stderr)
            return 130
        except Exception as exc:
            if args.verbose:
                traceback.print_exc()
            print(f"mne-facet: {exc}", file=sys.stderr)
            return 1


def _show_warning(message, *args, **kwargs):
    print(f"warning: {message}", file=sys.stderr)


def _parser():
    parser = argparse.ArgumentParser(
        prog="mne-facet",
        description="Remove the artifacts of the MR scanner from EEG.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"mne-facet {__version__}"
    )
    commands = parser.add_subparsers(title="commands", required=True)
    for add in (_add_correct, _add_check, _add_evaluate, _add_benchmark, _add_demo):
        add(commands)
    return parser


def _add_correct(commands):
    parser = _add_command(
        commands,
        "correct",
        _correct,
        "correct recordings and write them to a folder",
        "mne-facet correct *_eeg.vhdr --triggers R128 --slices 32 --out derivatives",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="recordings to correct"
    )
<<<<<<< HEAD
    _add_trigger_options(parser)
    _add_recipe_option(parser)
    parser.add_argument(
=======
    _add_trigger_options(correct)
    _add_recipe_options(correct)
    correct.add_argument(
>>>>>>> 8e8316d (Examples and benchmarks of the pulse artifact: whole chain, ICA, carbon wires; tests of recipes and of recordings without beats)
        "--out", required=True, metavar="DIR", help="folder to write to"
    )
    parser.add_argument(
        "--format",
        default="fif",
        choices=["fif", "edf", "brainvision", "eeglab"],
        help="format to write (default: fif)",
    )
    parser.add_argument(
        "--desc", default="facet", help="part of the output's name (default: facet)"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make up-to-date outputs anew, replace files of others",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write a page with figures and metrics for each file, and one for all",
    )
    parser.add_argument(
        "--n-jobs",
        type=int,
        metavar="N",
        help="files times channels at a time, -1: all cores",
    )
    parser.add_argument(
        "--memory-limit", metavar="SIZE", help="for all processes, such as 4GB"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only every Nth file from the Ith on, for the tasks of a job array",
    )
    parser.add_argument(
        "--plan", action="store_true", help="print what would run where, and stop"
    )


def _add_check(commands):
    parser = _add_command(
        commands,
        "check",
        _check,
        "report the scanner triggers of a recording",
        "mne-facet check sub-01_eeg.vhdr --triggers R128",
    )
    parser.add_argument("file", metavar="FILE", help="recording to look at")
    _add_trigger_options(parser)


def _add_evaluate(commands):
    parser = _add_command(
        commands,
        "evaluate",
        _evaluate,
        "measure what a correction left and what it cost",
        "mne-facet evaluate sub-01_eeg.vhdr derivatives/sub-01_desc-facet_eeg.fif",
    )
    parser.add_argument("before", metavar="BEFORE", help="recording as it was")
    parser.add_argument("after", metavar="AFTER", help="the same, corrected")
    _add_trigger_options(parser)
    parser.add_argument(
        "--report", metavar="FILE", help="page with figures (HTML) to write"
    )


def _add_benchmark(commands):
    parser = _add_command(
        commands,
        "benchmark",
        _benchmark,
        "time the correction of a recording with different numbers of jobs",
        "mne-facet benchmark sub-01_eeg.vhdr --triggers R128 --jobs 1 2 4",
    )
<<<<<<< HEAD
    parser.add_argument("file", metavar="FILE", help="recording to correct")
    _add_trigger_options(parser)
    _add_recipe_option(parser)
    parser.add_argument(
=======
    benchmark.add_argument("file", metavar="FILE", help="recording to correct")
    _add_trigger_options(benchmark)
    _add_recipe_options(benchmark)
    benchmark.add_argument(
>>>>>>> 8e8316d (Examples and benchmarks of the pulse artifact: whole chain, ICA, carbon wires; tests of recipes and of recordings without beats)
        "--jobs",
        type=int,
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="channels at a time to compare (default: 1 2)",
    )
    parser.add_argument("--plot", metavar="FILE", help="picture of the result to write")


def _add_demo(commands):
    parser = _add_command(
        commands,
        "demo",
        _demo,
        "simulate a recording, correct it and compare with the truth",
        "mne-facet demo --out mne-facet-demo",
    )
    parser.add_argument(
        "--out",
        default="mne-facet-demo",
        metavar="DIR",
        help="folder to write to (default: mne-facet-demo)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the simulation"
    )
    parser.add_argument("--duration", type=float, default=90.0, help=argparse.SUPPRESS)


def _add_command(commands, name, function, text, example):
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print every step, and where errors arise",
    )
    parser.set_defaults(command=function)
    return parser


def _add_trigger_options(parser):
    group = parser.add_argument_group("triggers")
    group.add_argument(
        "--triggers",
        metavar="PATTERN",
        help="description of the trigger markers, a regular expression; without it "
        "and --stim-channel the artifact is looked for in the signal",
    )
    group.add_argument(
        "--stim-channel", metavar="NAME", help="channel with the triggers"
    )
    group.add_argument("--slices", type=int, metavar="N", help="slices per volume")
    group.add_argument(
        "--multiband",
        type=int,
        default=1,
        metavar="M",
        help="slices excited at a time (default: 1)",
    )
    group.add_argument(
        "--tr", type=float, metavar="S", help="nominal repetition time in seconds"
    )


<<<<<<< HEAD
def _add_recipe_option(parser):
=======
def _add_recipe_options(parser):
>>>>>>> 8e8316d (Examples and benchmarks of the pulse artifact: whole chain, ICA, carbon wires; tests of recipes and of recordings without beats)
    parser.add_argument(
        "--recipe",
        default="default",
        metavar="NAME",
        help="correction to use (default: default)",
    )
<<<<<<< HEAD
=======
    parser.add_argument(
        "--references",
        metavar="CHANNELS",
        help="carbon-wire loops or other reference signals: misc, or the names of "
        "channels of that type, separated by commas",
    )
>>>>>>> 8e8316d (Examples and benchmarks of the pulse artifact: whole chain, ICA, carbon wires; tests of recipes and of recordings without beats)


def _shard(text):
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be I/N with 1 <= I <= N, 1/10 for example"
        )
    return int(number), int(count)


def _recipe(args):
    references = args.references
    if references and "," in references:
        references = references.split(",")
    return recipe(
        args.recipe,
        references=references,
        triggers=args.triggers,
        stim_channel=args.stim_channel,
        n_slices=args.slices,
        multiband_factor=args.multiband,
        tr=args.tr,
    )


def _correct(args):
    number, count = args.shard
    files = find_files(args.files)[number - 1 :: count]
    if not files:
        print(f"No file for shard {number}/{count}.")
        return 0
    if args.plan:
        print(
            plan(
                _recipe(args),
                files,
                n_jobs=args.n_jobs,
                memory_limit=args.memory_limit,
                fmt=args.format,
                report=args.report,
            )
        )
        return 0
    results = correct_files(
        _recipe(args),
        files,
        args.out,
        n_jobs=args.n_jobs,
        memory_limit=args.memory_limit,
        fmt=args.format,
        desc=args.desc,
        overwrite=args.overwrite,
        report=args.report,
    )
    for result in results:
        if result.status == "skipped":
            print(f"skipped {result.source}: {result.output} is up to date")
            continue
        if result.status == "ok":
            print(
                f"ok      {result.source} -> {result.output} ({result.seconds:.1f} s)"
            )
            continue
        print(f"failed  {result.source}: {result.error}")
        if args.verbose:
            print(result.traceback, file=sys.stderr)
    n_ok, n_skipped = (
        sum(result.status == status for result in results)
        for status in ("ok", "skipped")
    )
    skipped = f", {n_skipped} up to date" if n_skipped else ""
    print(f"{n_ok} of {len(results)} files corrected{skipped}.")
    if args.report:
        print(f"Report  {study_page(args.out, args.desc)}")
    return int(n_ok + n_skipped < len(results))


def _check(args):
    raw = read_file(args.file)
    print(
        f"{args.file}: {len(raw.ch_names)} channels, {raw.info['sfreq']:g} Hz, "
        f"{raw.n_times / raw.info['sfreq']:.1f} s"
    )
    print(f"Annotations: {describe_annotations(raw)}")
    detector = TriggerDetector(
        args.triggers,
        stim_channel=args.stim_channel,
        n_slices=args.slices,
        multiband_factor=args.multiband,
        tr=args.tr,
        verbose="INFO",
    )
    try:
        with catch_logging() as log:
            raw = detector.fit_transform(raw)
    except ValueError as exc:
        raise ValueError(f"{args.file}: {exc}") from exc
    print(f"\nTriggers:\n{trigger_report(raw)}")
    _print_log("Repairs", log, skip="TriggerDetector: run ")
    with catch_logging() as log:
        raw = TriggerAligner(verbose="INFO").fit_transform(raw)
    print(f"\nAfter alignment with the artifact:\n{trigger_report(raw)}")
    _print_log("Alignment", log, skip=None)
    return 0


def _evaluate(args):
    raw, clean = read_file(args.before), read_file(args.after)
    if args.triggers or args.stim_channel:
        detector = TriggerDetector(
            args.triggers,
            stim_channel=args.stim_channel,
            n_slices=args.slices,
            multiband_factor=args.multiband,
            tr=args.tr,
        )
        raw = TriggerAligner().fit_transform(detector.fit_transform(raw))
    if args.report:
        report = mne.Report(title=args.after)
        row = add_to_report(report, raw, clean)
        report.save(args.report, open_browser=False, overwrite=True)
    else:
        row = evaluate(raw, clean)
    print(Comparison([{"name": "", **row}]))
    print(f"\n{row['grade_reason']}")
    lacking = {row[f"{key}_reason"] for key, value in row.items() if value is None}
    for reason in sorted(lacking):
        print(f"Not available (-): {reason}")
    if args.report:
        print(f"Report  {args.report}")
    return 0


def _print_log(title, log, skip):
    lines = [
        line.split(": ", 1)[1]
        for line in log.getvalue().splitlines()
        if line.startswith("Trigger") and not (skip and line.startswith(skip))
    ]
    print(f"\n{title}:")
    for line in lines or ["none"]:
        print(f"  {line}")


def _benchmark(args):
    result = benchmark_scaling(_recipe(args), read_file(args.file), n_jobs=args.jobs)
    print(result)
    if args.plot:
        plot_scaling(result).savefig(args.plot, dpi=150)
        print(f"Picture  {args.plot}")
    return 0


def _demo(args):
    print(
        f"Simulating {args.duration:g} s of EEG in the scanner, with gradient and "
        "pulse artifact, and correcting it.\n",
        flush=True,
    )
    result = run_demo(args.out, seed=args.seed, duration=args.duration)
    print(f"{result}\n")
    print(f"Recording  {result.recording}")
    print(f"Corrected  {result.corrected}, as by")
    print(
        f"           mne-facet correct {result.recording} --triggers R128 --slices 24 "
        f"--format brainvision --out {args.out}"
    )
    print(f"Picture    {result.picture}")
    return 0
