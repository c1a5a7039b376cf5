"""In-scanner EEG with known truth."""

from dataclasses import dataclass

import mne
import numpy as np

from .signal import physiology, scanner

# Ordered so that any first part of the list covers the head.
CHANNELS = """
    Fp1 Fp2 C3 C4 O1 O2 Cz Pz F3 F4 P3 P4 F7 F8 T7 T8 P7 P8 Fz Oz FC1 FC2 CP1 CP2
    FC5 FC6 CP5 CP6 AF3 AF4 PO3 PO4 F1 F2 C1 C2 P1 P2 AF7 AF8 F5 F6 FT7 FT8 FC3 FC4
    C5 C6 TP7 TP8 CP3 CP4 P5 P6 PO7 PO8 Fpz AFz FCz CPz POz P9 P10 Iz
""".split()  # noqa: SIM905
# The order decides which random numbers a component gets: append, never insert.
COMPONENTS = """
    clock movement coupling trigger background alpha evoked blinks noise heart pulse
    ecg wires stim
""".split()  # noqa: SIM905
DESCRIPTIONS = {"volume": "Response/R128", "slice": "Response/Slice"}


@dataclass(frozen=True)
class Truth:
    """What a simulated recording is made of.

    Attributes
    ----------
    eeg, gradient, pulse : array, shape (n_channels, n_times)
        Parts in volts, in the channel order of the recording. They add up to the
        data before clipping and quantisation. The ECG, the wire and the stim
        channels have their own artifact-free signal in ``eeg``.
    volume_times : array, shape (n_volumes,)
        Exact start of each volume, in seconds from the first sample.
    slice_times : array, shape (n_volumes * n_shots,)
        Exact start of each slice, or group of slices excited together.
    beat_times : array, shape (n_beats,)
        R peaks, in seconds.
    evoked_times : array, shape (n_trials,)
        Stimuli, in seconds.
    realignment : array, shape (n_volumes, 6)
        Head position: three translations in mm, three rotations in degrees.
    """

    eeg: np.ndarray
    gradient: np.ndarray
    pulse: np.ndarray
    volume_times: np.ndarray
    slice_times: np.ndarray
    beat_times: np.ndarray
    evoked_times: np.ndarray
    realignment: np.ndarray

    @property
    def clean(self):
        """Recording without the gradient artifact, ``eeg + pulse``."""
        return self.eeg + self.pulse


def simulate_raw(
    duration=60.0,
    *,
    sfreq=5000.0,
    n_eeg=8,
    tr=2.0,
    n_slices=20,
    multiband_factor=1,
    volume_gap=0.0,
    rest=5.0,
    volume_times=None,
    clock_ppm=5.0,
    trigger="volume",
    trigger_lag=0.0,
    trigger_jitter=0,
    missing=0.0,
    gradient=1.0,
    lowpass=250.0,
    movement=1.0,
    pulse=1.0,
    pulse_modes=3,
    pulse_own=0.1,
    pulse_change=0.0,
    ecg=True,
    n_wires=0,
    eeg=1.0,
    alpha=1.0,
    evoked=1.0,
    blinks=True,
    resolution=0.5e-6,
    clip=16.384e-3,
    seed=0,
):
    """Simulate EEG recorded during fMRI, with its parts known.

    Parameters
    ----------
    duration : float, default 60.0
        Length of the recording in seconds.
    sfreq : float, default 5000.0
        Sampling frequency in Hz.
    n_eeg : int, default 8
        Number of EEG channels, 1 to 64.
    tr : float, default 2.0
        Repetition time of the volumes in seconds of the scanner's clock.
    n_slices : int, default 20
        Slices per volume.
    multiband_factor : int, default 1
        Slices excited together.
    volume_gap : float, default 0.0
        Silence at the end of each volume in seconds, part of ``tr``.
    rest : float, default 5.0
        Seconds without scanning before the first and after the last volume.
    volume_times : array-like of float | None, default None
        Starts of the volumes in seconds of the EEG clock, instead of the regular
        ones after ``rest``. The scanner is silent where the next volume starts
        later than ``tr`` after the last.
    clock_ppm : float, default 5.0
        By how much the scanner's clock is faster than that of the EEG, in parts
        per million, apart from a slow wander of 0.1 ppm. 0 means synchronised.
    trigger : "volume" | "slice" | "stim" | None, default "volume"
        Annotations per volume ("Response/R128") or per group of slices
        ("Response/Slice"), or pulses per volume on the channel "STI" (value 1, one
        sample to 5 ms), or nothing. All are rounded to samples.
    trigger_lag : float, default 0.0
        Seconds from the start of a volume to its trigger.
    trigger_jitter : int, default 0
        Largest random displacement of a trigger in samples.
    missing : float, default 0.0
        Fraction of the triggers that are left out.
    gradient : float, default 1.0
        Gradient artifact in units of 4 mV peak to peak on the median EEG channel
        (at ``lowpass=250``).
    lowpass : float, default 250.0
        Cut-off of the amplifier's analogue filter in Hz.
    movement : float, default 1.0
        Head movement in units of 0.02 mm and 0.02 degrees per volume.
    pulse : float, default 1.0
        Pulse artifact in units of 150 uV peak to peak on the worst EEG channel.
    pulse_modes : int, default 3
        Kinds of motion that cause it, each with a map and a waveform.
    pulse_own : float, default 0.1
        Size of the part that each channel has for itself, relative to the rest.
    pulse_change : float, default 0.0
        Changes from beat to beat of each kind, and of each channel's own part, in
        units of 20 % of the size, 10 ms of the latency and 10 % of the duration.
        Changes common to all come on top.
    ecg : bool, default True
        Whether there is a channel "ECG".
    n_wires : int, default 0
        Number of carbon-wire loops, channels "CWL1", "CWL2" and so on.
    eeg : float, default 1.0
        Scale of everything the EEG channels record besides the artifacts; 1 is
        a background of 12 uV RMS.
    alpha : float, default 1.0
        Alpha rhythm in units of 9 uV RMS at its maximum.
    evoked : float, default 1.0
        Responses to "Stimulus/S  1" in units of 8 uV. 0 leaves out the stimuli.
    blinks : bool, default True
        Whether the eyes blink.
    resolution : float | None, default 0.5e-6
        Step of the analogue-digital converter in volts, None for none.
    clip : float | None, default 16.384e-3
        Largest absolute voltage of the converter, None for no limit.
    seed : int, default 0
        Seed. Each component draws from a generator of its own: switching one off
        leaves the others as they are.

    Returns
    -------
    raw : instance of RawArray
        The recording.
    truth : Truth
        Its parts.

    Notes
    -----
    The scanner's EPI gradients are drawn in continuous time on three axes. Their
    derivative, filtered by the amplifier, reaches each channel with its own
    coupling, which changes with the position of the head. The EEG clock samples
    the sum, so that the period of the artifact is no whole number of samples.

    Examples
    --------
    >>> from mne_facet import simulate_raw
    >>> raw, truth = simulate_raw(20.0, n_eeg=2, movement=0.0)
    >>> truth.volume_times.shape
    (5,)
    """
    _check_options(sfreq, lowpass, resolution, clip, trigger, trigger_jitter, missing)
    if pulse_modes < 1:
        raise ValueError(f"pulse_modes={pulse_modes} must be 1 or more.")
    n_shots, shot = _shots(tr, n_slices, multiband_factor, volume_gap)
    channels = _channel_types(n_eeg, ecg, n_wires, trigger == "stim")
    rngs = np.random.default_rng(seed).spawn(len(COMPONENTS))
    rng = dict(zip(COMPONENTS, rngs, strict=True))
    grid = physiology.TimeGrid(duration, sfreq)
    n_times = grid.n_times

    if volume_times is None:
        n_volumes = _count_volumes(duration, tr, rest)
        starts, rates = scanner.regular_volumes(
            rng["clock"], n_volumes, tr, rest, clock_ppm
        )
    else:
        starts = _given_volumes(volume_times, duration, tr)
        rates = np.full(len(starts), 1 + 1e-6 * clock_ppm)
    slice_times = (starts[:, None] + np.arange(n_shots) * shot / rates[:, None]).ravel()
    realignment = scanner.head_positions(rng["movement"], starts, movement)
    sent = (slice_times if trigger == "slice" else starts) + trigger_lag
    samples = scanner.trigger_samples(
        rng["trigger"], sent, sfreq, n_times, trigger_jitter, missing
    )
    stimuli = physiology.stimulus_times(rng["evoked"], grid) if evoked else np.empty(0)
    beats, intervals = physiology.heart_beats(rng["heart"], grid)
    pulses = physiology.pulsation(
        rng["pulse"], grid, beats, intervals, pulse_modes, pulse_change
    )

    own, induced, cardiac = np.zeros((3, len(channels), n_times))
    electrodes = _electrodes()
    n_sensors = n_eeg + int(ecg) + n_wires
    if eeg:
        own[:n_eeg] = eeg * physiology.brain_signals(
            rng, grid, electrodes, n_eeg, stimuli, alpha, evoked, float(blinks)
        )
    if pulse:
        cardiac[:n_eeg] = pulse * physiology.pulse_artifact(
            rng["pulse"], grid, pulses, electrodes[:n_eeg], pulse_own
        )
    if ecg:
        own[n_eeg] = physiology.ecg_signal(rng["ecg"], grid, beats)
    if n_wires:
        own[n_sensors - n_wires : n_sensors] = physiology.wire_signals(
            rng["wires"], grid, n_wires, pulse * pulses.modes, starts, realignment
        )
    if trigger == "stim":
        own[-1] = scanner.stim_pulses(rng["stim"], samples, sfreq, n_times)
    if gradient:
        slope = scanner.volume_slope(rng["coupling"], tr, n_shots, shot, lowpass)
        types = np.array(list(channels.values()))[:n_sensors]
        coupling = scanner.couplings(rng["coupling"], slope, types, realignment)
        response = scanner.amplify(slope, lowpass)
        induced[:n_sensors] = scanner.induce(
            gradient * coupling, response, sfreq, n_times, starts, rates
        )

    data = own + induced + cardiac
    _digitise(data[:n_sensors], resolution, clip)
    events = [(stimuli, "Stimulus/S  1")]
    if trigger in DESCRIPTIONS:
        events.append((samples / sfreq, DESCRIPTIONS[trigger]))
    truth = Truth(
        eeg=own,
        gradient=induced,
        pulse=cardiac,
        volume_times=starts,
        slice_times=slice_times,
        beat_times=beats[(beats >= 0) & (beats < duration)],
        evoked_times=stimuli,
        realignment=realignment,
    )
    return _to_raw(data, channels, sfreq, events), truth


def _check_options(sfreq, lowpass, resolution, clip, trigger, trigger_jitter, missing):
    """Raise if an option has no meaning."""
    if not 0 < lowpass < sfreq / 2:
        raise ValueError(
            f"lowpass={lowpass} must lie between 0 and sfreq / 2 = {sfreq / 2} Hz. "
            "Lower it or raise sfreq."
        )
    for name, value in (("resolution", resolution), ("clip", clip)):
        if value is not None and not value > 0:
            raise ValueError(
                f"{name}={value} must be positive volts. Use None for none."
            )
    if trigger not in (*DESCRIPTIONS, "stim", None):
        raise ValueError(
            f"trigger={trigger!r} is unknown. Use 'volume', 'slice', 'stim' or None."
        )
    if trigger_jitter < 0 or trigger_jitter != int(trigger_jitter):
        raise ValueError(
            f"trigger_jitter={trigger_jitter} must be whole samples, >= 0."
        )
    if not 0 <= missing < 1:
        raise ValueError(
            f"missing={missing} must be a fraction, at least 0 and below 1."
        )


def _shots(tr, n_slices, multiband_factor, volume_gap):
    """Return the number of excitations per volume and the seconds for each."""
    if n_slices < 1 or multiband_factor < 1 or n_slices % multiband_factor:
        raise ValueError(
            f"n_slices={n_slices} must be a positive multiple of "
            f"multiband_factor={multiband_factor}."
        )
    n_shots = n_slices // multiband_factor
    shot = (tr - volume_gap) / n_shots
    if volume_gap < 0:
        raise ValueError(f"volume_gap={volume_gap} must be 0 or more seconds.")
    if shot < scanner.SHORTEST_SHOT:
        raise ValueError(
            f"tr={tr} with volume_gap={volume_gap} leaves {shot:.3g} s for each of "
            f"{n_shots} slices; EPI needs {scanner.SHORTEST_SHOT} s. "
            "Raise tr or multiband_factor."
        )
    return n_shots, shot


def _count_volumes(duration, tr, rest):
    """Return how many volumes fit between the rests."""
    if rest < 0:
        raise ValueError(f"rest={rest} must be 0 or more seconds.")
    # so that rounding errors do not cost the last volume
    n_volumes = max(0, int((duration - 2 * rest) / tr + 1e-3))
    if n_volumes < 3:
        raise ValueError(
            f"duration={duration} with rest={rest} holds {n_volumes} volume(s) of "
            f"tr={tr}, 3 are needed. Use duration >= {3 * tr + 2 * rest}."
        )
    return n_volumes


def _given_volumes(volume_times, duration, tr):
    """Return the volume times as an array; raise if they make no sense."""
    starts = np.array(volume_times, dtype=float)
    if starts.ndim != 1 or len(starts) < 3:
        raise ValueError(
            f"volume_times has shape {starts.shape}, needs 3 or more times."
        )
    if not np.min(np.diff(starts)) >= 0.99 * tr:
        raise ValueError(
            f"volume_times come {np.min(np.diff(starts)):.6g} s after each other, less "
            f"than tr={tr}. Sort them or lower tr."
        )
    if starts[0] < 0 or starts[-1] >= duration:
        raise ValueError(
            f"volume_times from {starts[0]} to {starts[-1]} s must lie within "
            f"duration={duration}. Raise duration."
        )
    return starts


def _channel_types(n_eeg, ecg, n_wires, stim):
    """Return the channel names and types of the recording."""
    if not 1 <= n_eeg <= len(CHANNELS):
        raise ValueError(f"n_eeg={n_eeg} must be between 1 and {len(CHANNELS)}.")
    if n_wires < 0:
        raise ValueError(f"n_wires={n_wires} must not be negative.")
    types = dict.fromkeys(CHANNELS[:n_eeg], "eeg")
    if ecg:
        types["ECG"] = "ecg"
    types |= {f"CWL{wire + 1}": "misc" for wire in range(n_wires)}
    if stim:
        types["STI"] = "stim"
    return types


def _electrodes():
    """Return the unit vectors from the centre of the head to all ``CHANNELS``."""
    montage = mne.channels.make_standard_montage("biosemi64")
    places = montage.get_positions()["ch_pos"]
    vectors = np.array([places[name] for name in CHANNELS])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _digitise(data, resolution, clip):
    """Clip and round in place, as the converter does."""
    if clip is not None:
        np.clip(data, -clip, clip, out=data)
    if resolution is not None:
        data /= resolution
        np.rint(data, out=data)
        data *= resolution


def _to_raw(data, channels, sfreq, events):
    """Return the recording, with one annotation per event."""
    info = mne.create_info([*channels], sfreq, [*channels.values()])
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    raw.set_montage("biosemi64")
    raw.set_meas_date(1577836800.0)  # 2020-01-01
    onsets = np.concatenate([times for times, _ in events])
    texts = np.repeat([text for _, text in events], [len(times) for times, _ in events])
    return raw.set_annotations(mne.Annotations(onsets, 1 / sfreq, texts))
