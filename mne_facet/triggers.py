"""Scanner triggers: find, repair, refine, report."""

import mne
import numpy as np
from mne.utils import logger

from ._base import RawTransformer
from ._epochs import artifact_signal, artifact_signals, strongest_channels
from ._events import (
    annotation_samples,
    boundaries,
    describe_annotations,
    find_annotations,
    get_runs,
    stim_onsets,
    write_volumes,
)
from .signal.align import align_to_samples, measure_onsets
from .signal.detect import (
    acquisition_spans,
    artifact_band,
    artifact_outside,
    find_period,
    repetition,
    shot_period,
    start_offset,
)
from .signal.runs import (
    complete_run,
    doubts,
    group_slices,
    make_run,
    missing_triggers,
    select_volumes,
)
from .signal.timing import (
    Spacing,
    drop_doubles,
    find_spacing,
    follow_clock,
    index_triggers,
)

# no slice excitation is faster; tells slice from volume triggers once n_slices is known
_FASTEST_SHOT = 0.02


class TriggerDetector(RawTransformer):
    """Find the scanner's triggers and annotate every volume.

    Works from the markers in the recording, from a stim channel or, if there is
    neither, from the signal. Slice triggers are told from volume triggers by their
    pattern and grouped into volumes. Missing triggers are restored, doubled and
    spurious ones dropped, scanner runs and pauses told apart, and onsets rounded to
    samples brought back to the scanner's clock; each repair is one log line, and
    :func:`trigger_report` sums them up.

    Parameters
    ----------
    pattern : str | None
        Regular expression for the description of the trigger annotations. It must
        match the whole description, or all of it after a slash: ``"R128"`` finds
        ``"Response/R128"``, and ``"1"`` does not find ``"11"``. None: look for
        the artifact in the signal, unless `stim_channel` is given.
    stim_channel : str | None
        Name of the channel that carries the triggers, instead of annotations: every
        change to a value other than 0, or to one that matches `pattern` ("1" say).
    n_slices : int | None
        Slices per volume. With it slices can be corrected one by one even if only
        volumes have a trigger.
    multiband_factor : int
        Slices excited at a time.
    tr : float | None
        Nominal repetition time in seconds, to measure the clock offset against and
        to tell volume from slice triggers; needed only where it is ambiguous.
    offset : float
        Seconds to add to every trigger.
    complete : bool
        Whether to restore missing volumes: between triggers where the artifact is
        there without one, and before the first and after the last (dummy scans).
    description : str
        Description of the volume annotations to write; annotations with this
        description are replaced.
    copy : bool
        Whether to leave the input as it is and return a copy.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    The scanner's clock and the amplifier's differ by some parts per million unless
    they are synchronised, so the volume period is a fraction of a sample off an
    integer. It is fitted to all triggers of a run (Huber's robust least squares);
    the times written are those of the fit. Where residuals exceed what rounding
    explains (0.6 samples) the measured times are kept; see :class:`TriggerAligner`.

    Examples
    --------
    >>> from mne_facet import TriggerDetector, simulate_raw, trigger_report
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> raw = TriggerDetector("R128", n_slices=20).fit_transform(raw)
    >>> [run["n_volumes"] for run in trigger_report(raw)]
    [10]
    """

    _needs_data = False
    _n_arrays = 12.0

    def __init__(
        self,
        pattern=None,
        *,
        stim_channel=None,
        n_slices=None,
        multiband_factor=1,
        tr=None,
        offset=0.0,
        complete=True,
        description="TR",
        copy=True,
        verbose=None,
    ):
        self.pattern = pattern
        self.stim_channel = stim_channel
        self.n_slices = n_slices
        self.multiband_factor = multiband_factor
        self.tr = tr
        self.offset = offset
        self.complete = complete
        self.description = description
        self.copy = copy
        self.verbose = verbose

    def _correct(self, raw):
        sfreq = raw.info["sfreq"]
        n_shots = self._n_shots()
        times = drop_doubles(self._trigger_times(raw))
        spacing = self._find_pattern(times, n_shots, sfreq)
        n_grouped = self._slices_to_group(spacing, n_shots, sfreq)
        triggers, dropped = index_triggers(
            times, spacing, boundaries(raw), n_grouped=n_grouped
        )
        if dropped.size > max(5, 0.1 * times.size):
            _warn(
                f"{dropped.size} of {times.size} triggers fit no regular pattern and "
                "are not used. Check pattern=, or name the right ones."
            )
        _log([(time, "fits no other, dropped") for time in dropped], sfreq, "trigger")
        lost = [time for run in triggers for time in missing_triggers(run, spacing)]
        done = "restored" if self.complete else "not restored"
        _log([(time, f"is missing, {done}") for time in lost], sfreq, "trigger")
        per_epoch = 1 if n_grouped else n_shots or spacing.n_shots
        runs = [make_run(run, spacing, per_epoch, dropped, sfreq) for run in triggers]
        if self.complete:
            runs = _complete(raw, runs, alike=0.5 if n_grouped else 0.9)
        else:
            runs = [select_volumes(run, ~np.isnan(run.residual)) for run in runs]
        if runs and (n_grouped or per_epoch == (n_shots or 1)):
            _warn_of_doubts(raw, runs, n_shots)
        if n_grouped:
            runs = [group_slices(run, n_grouped) for run in runs]
        runs = _long_enough(runs, sfreq)
        if not runs:
            raise ValueError(
                f"TriggerDetector found {times.size} triggers but no 2 volumes in a "
                "row. Check pattern=, n_slices=, multiband_factor= and tr=."
            )
        self._write(raw, runs)
        return raw

    def _n_shots(self):
        for name in ("n_slices", "multiband_factor"):
            value = getattr(self, name)
            if value is not None and (value != int(value) or value < 1):
                raise ValueError(
                    f"{name}={value!r} must be a whole number, at least 1."
                )
        if self.tr is not None and not self.tr > 0:
            raise ValueError(f"tr={self.tr!r} must be a time in seconds, above 0.")
        if self.n_slices is None:
            return None
        n_shots, rest = divmod(self.n_slices, self.multiband_factor)
        if rest or n_shots < 1:
            raise ValueError(
                f"n_slices={self.n_slices} must be a multiple of "
                f"multiband_factor={self.multiband_factor}."
            )
        return n_shots

    def _trigger_times(self, raw):
        if self.stim_channel is not None:
            times = stim_onsets(raw, self.stim_channel, self.pattern)
        elif self.pattern is not None:
            index = find_annotations(raw, self.pattern)
            if not index.size:
                raise ValueError(
                    "TriggerDetector found no annotation that matches "
                    f"pattern={self.pattern!r}. The recording has: "
                    f"{describe_annotations(raw)}. Name one of these, or none to look "
                    "for the artifact in the signal."
                )
            times = annotation_samples(raw, index)
        else:
            return self._times_from_signal(raw)
        times = np.unique(times) + self.offset * raw.info["sfreq"]
        inside = times[(times > -0.5) & (times < raw.n_times)]
        if times.size and not inside.size:
            raise ValueError(
                f"All {times.size} triggers lie outside the data (0 to "
                f"{raw.times[-1]:.3f} s): the first is at "
                f"{times[0] / raw.info['sfreq']:.3f} s. Check offset={self.offset}."
            )
        if inside.size < 2:
            raise ValueError(
                f"TriggerDetector needs at least 2 triggers, found {inside.size}. The "
                f"recording has: {describe_annotations(raw)}."
            )
        return inside

    def _times_from_signal(self, raw):
        sfreq = raw.info["sfreq"]
        data = raw.get_data(strongest_channels(raw, 5))
        bands = np.array([artifact_band(x, sfreq) for x in data])
        shortest, longest = 0.02 * sfreq, 10 * sfreq
        if self.tr is not None:
            shortest, longest = 0.98 * self.tr * sfreq, 1.02 * self.tr * sfreq
        # the strongest one may be disconnected
        spans = [acquisition_spans(band, sfreq) for band in bands]
        clear = next((k for k, found in enumerate(spans) if len(found)), 0)
        times = []
        for start, stop in spans[clear]:
            period, height = find_period(bands[:, start:stop], shortest, longest)
            if height > 0.5 and stop - start > 3 * period:
                n_periods = int((stop - start) / period + 0.5)
                onsets = start + np.arange(n_periods) * period
                search = min(int(0.2 * sfreq), int(0.45 * period))
                times.extend(onsets + start_offset(data[clear], onsets, search))
        if not times:
            raise ValueError(
                "TriggerDetector found no gradient artifact in the signal. Name the "
                "trigger markers with pattern= (the recording has: "
                f"{describe_annotations(raw)}) or stim_channel=."
            )
        times = np.array(times) + self.offset * sfreq
        logger.info(
            f"TriggerDetector: {times.size} periods found in the signal, the first at "
            f"{times[0] / sfreq:.3f} s"
        )
        return times[times > -0.5]

    def _find_pattern(self, times, n_shots, sfreq):
        """Pattern of the triggers, with what is known of it."""
        volume = None if self.tr is None else self.tr * sfreq
        spacing = find_spacing(times, volume=volume)
        if volume is not None and spacing.n_shots == 1:
            n_volumes = round(spacing.period / volume)
            if n_volumes > 1 and abs(spacing.period / volume - n_volumes) < 0.02:
                # all but every second one (or third ...) are missing
                return Spacing(spacing.period / n_volumes)
        if n_shots in (None, 1) or spacing.n_shots == n_shots:
            return spacing
        plain = Spacing(spacing.period)
        if spacing.period >= n_shots * _FASTEST_SHOT * sfreq:
            return plain  # volumes, some of them later than others
        known = find_spacing(times, n_shots, volume)
        best = min((spacing, known, plain), key=lambda pattern: _misfit(times, pattern))
        if best.n_shots in (1, n_shots):
            return best
        raise ValueError(
            f"n_slices={self.n_slices} with multiband_factor={self.multiband_factor} "
            f"needs {n_shots} triggers per volume, but a longer interval recurs every "
            f"{spacing.n_shots}. Check n_slices."
        )

    def _slices_to_group(self, spacing, n_shots, sfreq):
        """How many triggers make a volume where their spacing does not tell; else 0."""
        if spacing.n_shots > 1 or n_shots in (None, 1):
            return 0
        interval = spacing.period / sfreq
        if self.tr is None:
            are_slices = interval < n_shots * _FASTEST_SHOT
        else:
            are_slices = abs(interval * n_shots / self.tr - 1) < 0.1
        return n_shots if are_slices else 0

    def _write(self, raw, runs):
        sfreq = raw.info["sfreq"]
        samples, extras = [], []
        for number, run in enumerate(runs):
            lengths = np.full(run.onsets.size, run.period)
            lengths[-1] = run.last_length
            for k, onset in enumerate(run.onsets):
                samples.append(onset)
                extras.append(
                    {
                        "run": number,
                        "volume": int(run.volume[k]),
                        "n_shots": int(run.n_shots[k]),
                        "slice_period": run.slice_period / sfreq,
                        "length": lengths[k] / sfreq,
                        "residual": _or_none(run.residual[k] / sfreq),
                        "dropped": run.n_dropped,
                        "restored": run.n_restored,
                        "tr": self.tr,
                    }
                )
            logger.info(
                f"TriggerDetector: run {number + 1}, {run.onsets.size} volumes from "
                f"{run.onsets[0] / sfreq:.3f} s, TR {run.period / sfreq:.6f} s, "
                f"{run.n_shots.max()} slice excitations per volume"
            )
        write_volumes(raw, samples, extras, self.description)


def _or_none(value):
    return None if np.isnan(value) else float(value)


def _log(notes, sfreq, what):
    for time, note in notes:
        logger.info(f"TriggerDetector: the {what} at {time / sfreq:.4f} s {note}")


def _complete(raw, runs, alike):
    """Check the runs against the signal, each up to where the next one begins."""
    sfreq = raw.info["sfreq"]
    longest = max(runs, key=lambda run: run.onsets.size, default=None)
    if longest is None:
        return []
    x = artifact_band(artifact_signal(raw, longest)[0], sfreq)
    joints = [0, *boundaries(raw), x.size]
    begins = [*(run.onsets[0] for run in runs[1:]), x.size]
    completed, end, visible = [], 0, False
    for run, begin in zip(runs, begins, strict=True):
        low = max(j for j in joints if j <= run.onsets[0] + 1)
        high = min(j for j in joints if j > run.onsets[0] + 1)
        limits = max(low, end), min(high, begin)
        parts, notes, visible = complete_run(x, run, limits, alike)
        completed += parts
        if parts:
            end = parts[-1].onsets[-1] + run.period
        _log(notes, sfreq, "volume")
        if not visible and np.ptp(x) > 0:
            _warn(
                f"The run from {run.onsets[0] / sfreq:.2f} s shows no gradient "
                "artifact that repeats. Check the triggers, or leave it uncorrected."
            )
    if visible:
        _warn_outside(x, completed, sfreq)
    return completed


def _warn_of_doubts(raw, runs, n_shots):
    """Say so if triggers or slices contradict the signal."""
    sfreq = raw.info["sfreq"]
    run = max(runs, key=lambda run: run.onsets.size)
    x, visible = artifact_signal(raw, run)
    if visible and n_shots != 1 and run.onsets.size > 2:
        doubt = doubts(artifact_band(x, sfreq), run, n_shots, sfreq)
        if doubt:
            _warn(f"In the run from {run.onsets[0] / sfreq:.2f} s, {doubt}.")


def _warn_outside(x, runs, sfreq):
    """Say so if there is artifact that no volume covers."""
    spans = [
        (run.onsets[0], run.onsets[-1] + min(run.period, run.last_length))
        for run in runs
    ]
    found = artifact_outside(x, sfreq, spans)
    if found.size >= 5:
        _warn(
            f"{0.05 * found.size:.1f} s outside the volumes look like scanning, the "
            f"first at {found[0] / sfreq:.2f} s, and are left uncorrected. Check the "
            "triggers and offset=."
        )


def _misfit(times, spacing):
    """Pieces into which a pattern tears the triggers, and triggers left out."""
    runs, dropped = index_triggers(times, spacing)
    return len(runs) + dropped.size


def _warn(message):
    mne.utils.warn(message, ignore_namespaces=("mne", "mne_facet"))


def _long_enough(runs, sfreq):
    """Runs of at least 3 volumes; of 2 only if there are no others."""
    least = 3 if any(run.onsets.size > 2 for run in runs) else 2
    for run in runs:
        if run.onsets.size < least:
            _warn(
                f"The scanner run at {run.onsets[0] / sfreq:.2f} s has only "
                f"{run.onsets.size} volumes and is left uncorrected; {least} are "
                "needed."
            )
    return [run for run in runs if run.onsets.size >= least]


class TriggerAligner(RawTransformer):
    """Refine the volume onsets with the artifact itself.

    The artifact is a far better clock than the triggers: the shift of every volume
    against the run's template is estimated to about 1e-4 samples from the channels
    with the largest artifact, without upsampling anything, and the scanner's clock
    is fitted to these. Onsets are then moved together to where the artifact begins
    (triggers may come early or late), and the pause between the last slice of a
    volume and the next volume is measured.

    Parameters
    ----------
    picks : str | list | slice | None
        Channels to look at; None: the EEG, EOG, ECG and EMG channels. Channels in
        ``info["bads"]`` are not used.
    n_channels : int
        How many of them, those with the largest artifact.
    search : float
        How far from the trigger to look for the beginning of the artifact, in
        seconds; 0 keeps the triggers' offset.
    description : str
        Description of the volume annotations.
    copy : bool
        Whether to leave the input as it is and return a copy.
    verbose : bool | str | int | None
        As in MNE.

    Notes
    -----
    Where the shifts follow the clock to 0.1 samples the clock's times are written,
    else a clock whose period changes every 60 s, else the individual times. A run
    whose volumes do not resemble each other (no artifact) is left alone.

    Examples
    --------
    >>> from mne_facet import TriggerAligner, TriggerDetector, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> raw = TriggerDetector("R128").fit_transform(raw)
    >>> raw = TriggerAligner().fit_transform(raw)
    """

    _needs_data = False
    _n_arrays = 12.0

    def __init__(
        self,
        picks=None,
        *,
        n_channels=5,
        search=0.1,
        description="TR",
        copy=True,
        verbose=None,
    ):
        self.picks = picks
        self.n_channels = n_channels
        self.search = search
        self.description = description
        self.copy = copy
        self.verbose = verbose

    def _correct(self, raw):
        sfreq = raw.info["sfreq"]
        runs = get_runs(raw, self.description, name="TriggerAligner")
        index = np.flatnonzero(raw.annotations.description == self.description)
        samples = dict(zip(index, annotation_samples(raw, index), strict=True))
        extras = {i: dict(raw.annotations.extras[i]) for i in index}
        longest = max(runs, key=lambda run: len(run.onsets))
        signals, bands = artifact_signals(raw, longest, self.n_channels, self.picks)
        free = 0.0  # where the run before ends
        for number, run in enumerate(runs):
            onsets, slice_period = _align_run(
                signals[0], bands, run, sfreq, self.search, free
            )
            for i, old, new in zip(run.annotation, run.onsets, onsets, strict=True):
                if i >= 0:
                    samples[i] = new
                    extras[i]["slice_period"] = slice_period / sfreq
                    if extras[i].get("residual") is not None:
                        extras[i]["residual"] += (old - new) / sfreq
            free = onsets[-1] + run.period
            logger.info(
                f"TriggerAligner: run {number + 1}, onsets moved by "
                f"{1e3 * np.mean(onsets - run.onsets) / sfreq:.3f} ms on average, "
                f"{np.std(onsets - run.onsets):.3f} samples sd"
            )
        write_volumes(
            raw, list(samples.values()), list(extras.values()), self.description
        )
        return raw


def _align_run(x, bands, run, sfreq, search, free):
    """Refined volume onsets of a run, and its slice period, in samples."""
    length = int(run.period)
    if not repetition(bands[0], run.onsets, length) > 0.5:
        logger.info("TriggerAligner: no gradient artifact visible, onsets kept as is")
        return run.onsets, run.slice_period
    onsets = align_to_samples(bands[0], run.onsets, length)
    measured = measure_onsets(bands, onsets, length)
    onsets = follow_clock(measured, knot_spacing=max(10, 60 * sfreq / run.period))
    reach = int(min(search * sfreq, 0.45 * run.period))
    offset = start_offset(x, onsets, reach) if reach else 0
    if onsets[0] + offset >= free:
        onsets = onsets + offset
    slice_period = run.slice_period
    if run.n_shots.max() > 1 and not run.gap:
        slice_period = shot_period(bands[0], onsets, run.period, run.n_shots.max())
    return onsets, slice_period


class TriggerReport(list):
    """One dict per scanner run; prints as a table with a column per run."""

    _rows = (
        ("run", "Scanner run", "{:d}"),
        ("start", "Start (s)", "{:.3f}"),
        ("duration", "Duration (s)", "{:.2f}"),
        ("pause", "Pause before (s)", "{:.2f}"),
        ("n_volumes", "Volumes", "{:d}"),
        ("n_slices", "Slice excitations per volume", "{:d}"),
        ("tr", "TR (s)", "{:.7f}"),
        ("clock_ppm", "Clock offset (ppm)", "{:+.2f}"),
        ("jitter", "Trigger jitter (ms)", "{:.4f}"),
        ("gap", "Pause after the last slice (ms)", "{:.2f}"),
        ("n_restored", "Triggers restored", "{:d}"),
        ("n_dropped", "Triggers dropped", "{:d}"),
    )

    def __str__(self):
        lines = []
        for key, label, form in self._rows:
            cells = ["-" if run[key] is None else form.format(run[key]) for run in self]
            lines.append(label.ljust(31) + "".join(cell.rjust(12) for cell in cells))
        return "\n".join(lines)


def trigger_report(raw, description="TR"):
    """Scanner timing of a recording, one row per run.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording that :class:`TriggerDetector` has annotated.
    description : str
        Description of the volume annotations.

    Returns
    -------
    report : TriggerReport
        List of dicts that prints as a table. Keys: ``run``, ``start`` and
        ``duration`` (s), ``n_volumes``, ``n_slices`` (excitations per volume, 1 if
        unknown), ``tr`` (s, by the amplifier's clock), ``clock_ppm`` (its offset from
        the nominal TR, or from the nearest millisecond; None where that is more than
        150 ppm away), ``jitter`` (sd of trigger minus clock, ms), ``gap`` (after the
        last slice of a volume, ms), ``pause`` (before the run, s), ``n_restored`` and
        ``n_dropped`` triggers.

    Raises
    ------
    ValueError
        If there are no two volumes in a row.

    Examples
    --------
    >>> from mne_facet import TriggerDetector, simulate_raw, trigger_report
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> report = trigger_report(TriggerDetector("R128").fit_transform(raw))
    >>> report[0]["n_volumes"], report[0]["n_restored"]
    (10, 0)
    """
    sfreq = raw.info["sfreq"]
    report, end = TriggerReport(), 0.0
    for number, run in enumerate(get_runs(raw, description, name="trigger_report")):
        known = run.annotation[run.annotation >= 0]
        extras = [raw.annotations.extras[i] for i in known]
        residual = [extra.get("residual") for extra in extras]
        residual = np.array([r for r in residual if r is not None])
        tr = run.period / sfreq
        nominal = extras[0].get("tr") or round(tr, 3)
        ppm = 1e6 * (tr / nominal - 1) if nominal else np.inf
        start, stop = run.onsets[0] / sfreq, (run.onsets[-1] + run.period) / sfreq
        report.append(
            {
                "run": number + 1,
                "start": float(start),
                "duration": float(stop - start),
                "n_volumes": len(run.onsets),
                "n_slices": int(run.n_shots.max()),
                "tr": float(tr),
                "clock_ppm": float(ppm) if abs(ppm) <= 150 else None,
                "jitter": 1e3 * float(residual.std()) if residual.size else None,
                "gap": 1e3 * float(run.gap) / sfreq,
                "pause": float(start - end),
                "n_restored": extras[0].get("restored"),
                "n_dropped": extras[0].get("dropped"),
            }
        )
        end = stop
    return report
