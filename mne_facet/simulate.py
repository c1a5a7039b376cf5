"""In-scanner EEG with known truth."""

from dataclasses import dataclass

import mne
import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.interpolate import CubicSpline
from scipy.signal import butter, lfilter, sosfilt

# Ordered so that any first part of the list covers the head.
CHANNELS = """
    Fp1 Fp2 C3 C4 O1 O2 Cz Pz F3 F4 P3 P4 F7 F8 T7 T8 P7 P8 Fz Oz FC1 FC2 CP1 CP2
    FC5 FC6 CP5 CP6 AF3 AF4 PO3 PO4 F1 F2 C1 C2 P1 P2 AF7 AF8 F5 F6 FT7 FT8 FC3 FC4
    C5 C6 TP7 TP8 CP3 CP4 P5 P6 PO7 PO8 Fpz AFz FCz CPz POz P9 P10 Iz
""".split()  # noqa: SIM905
COMPONENTS = (
    *("clock", "movement", "coupling", "trigger", "background", "alpha", "evoked"),
    *("blinks", "noise", "heart", "pulse", "ecg", "wires", "stim"),
)
DESCRIPTIONS = {"volume": "Response/R128", "slice": "Response/Slice"}

# Sums of Gaussians: (weight, mean in s, standard deviation in s) after the event.
PULSE_MODES = (
    (
        *((-0.35, 0.09, 0.03), (1.0, 0.21, 0.045), (-0.75, 0.33, 0.055)),
        *((0.3, 0.48, 0.07), (-0.12, 0.65, 0.08)),
    ),
    ((0.5, 0.15, 0.03), (-1.0, 0.26, 0.04), (0.6, 0.40, 0.06), (-0.2, 0.58, 0.08)),
    ((0.8, 0.30, 0.09), (-0.3, 0.55, 0.10)),
)
ECG_WAVES = (
    *((0.12, -0.16, 0.025), (-0.12, -0.025, 0.008), (1.0, 0.0, 0.010)),
    *((-0.25, 0.027, 0.010), (0.25, 0.28, 0.05)),
)
MHD_WAVES = ((1.0, 0.17, 0.05), (-0.7, 0.30, 0.05), (0.3, 0.45, 0.06))
EVOKED_WAVES = ((0.6, 0.10, 0.015), (-0.8, 0.17, 0.02), (1.0, 0.32, 0.06))
BLINK_WAVES = ((0.9, 0.12, 0.05), (0.3, 0.22, 0.08))

# Directions on the unit sphere (right, anterior, up).
ALPHA_SOURCES = ((-0.35, -0.9, 0.25), (0.35, -0.9, 0.25), (0.0, -0.8, 0.6))
EVOKED_SOURCES = ((0.0, -1.0, 0.1), (0.6, -0.8, -0.1), (0.0, -0.6, 0.8))
BLINK_SOURCE = ((0.0, 1.0, 0.0),)

EEG_BAND = 80.0  # Hz
GRID = 1e5  # Hz, on which the scanner's waveforms are drawn and filtered
SLEW = 150.0  # T/m/s
ECHO_SPACING = 0.6e-3
MIN_SHOT = 25e-3
MEAN_RR = 0.92
RESPIRATION = 0.25  # Hz


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
    n_shots, shot = _shots(tr, n_slices, multiband_factor, volume_gap)
    channels = _channel_types(n_eeg, ecg, n_wires, trigger == "stim")
    rngs = np.random.default_rng(seed).spawn(len(COMPONENTS))
    rng = dict(zip(COMPONENTS, rngs, strict=True))
    grid = _Grid(duration, sfreq)

    if volume_times is None:
        starts, rates = _regular_volumes(rng["clock"], duration, tr, rest, clock_ppm)
    else:
        starts, rates = _given_volumes(volume_times, duration, tr, clock_ppm)
    slice_times = (starts[:, None] + np.arange(n_shots) * shot / rates[:, None]).ravel()
    realignment = _head_positions(rng["movement"], starts, movement)
    beats, intervals = _heart_beats(rng["heart"], grid)
    stimuli = _stimulus_times(rng["evoked"], grid) if evoked else np.empty(0)
    samples = _trigger_samples(
        rng["trigger"],
        (slice_times if trigger == "slice" else starts) + trigger_lag,
        trigger_jitter,
        missing,
        grid,
    )

    own, induced, cardiac = np.zeros((3, len(channels), grid.n_times))
    n_sensors = n_eeg + int(ecg) + n_wires
    if eeg:
        scales = (alpha, evoked, float(blinks))
        own[:n_eeg] = eeg * _brain(rng, grid, n_eeg, stimuli, scales)
    pulses = _pulse_events(rng["pulse"], beats, intervals)
    modes = _pulse_modes(rng["pulse"], grid, pulses)
    if pulse:
        artifact = _pulse_artifact(rng["pulse"], grid, pulses, modes, n_eeg)
        cardiac[:n_eeg] = pulse * artifact
    if ecg:
        own[n_eeg] = _ecg(rng["ecg"], grid, beats)
    if n_wires:
        wires = _wires(rng["wires"], grid, n_wires, pulse * modes, starts, realignment)
        own[n_sensors - n_wires : n_sensors] = wires
    if trigger == "stim":
        own[-1] = _stim_pulses(rng["stim"], grid, samples)
    if gradient:
        slope = _volume_slope(rng["coupling"], tr, n_shots, shot, lowpass)
        types = np.array([*channels.values()])[:n_sensors]
        couplings = gradient * _couplings(rng["coupling"], slope, types, realignment)
        axes = _sample_axes(_amplify(slope, lowpass), grid, starts, rates)
        induced[:n_sensors] = _induce(couplings, axes, grid, starts)

    data = own + induced
    data += cardiac
    _digitise(data[:n_sensors], resolution, clip)
    events = [(stimuli, "Stimulus/S  1")]
    if trigger in DESCRIPTIONS:
        events.append((samples / sfreq, DESCRIPTIONS[trigger]))
    beats = beats[(beats >= 0) & (beats < duration)]
    return _to_raw(data, channels, sfreq, events), Truth(
        own, induced, cardiac, starts, slice_times, beats, stimuli, realignment
    )


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
    if shot < MIN_SHOT:
        raise ValueError(
            f"tr={tr} with volume_gap={volume_gap} leaves {shot:.3g} s for each of "
            f"{n_shots} slices; EPI needs {MIN_SHOT} s. Raise tr or multiband_factor."
        )
    return n_shots, shot


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


class _Grid:
    """Sampling instants of the recording, and coarse ones for slow signals.

    Slow signals are made on the coarse grid and interpolated by Fourier series,
    whose period is longer than the recording by a padding of 2 s.
    """

    def __init__(self, duration, sfreq):
        self.sfreq = sfreq
        self.n_times = round(duration * sfreq)
        self.n_fine = next_fast_len(self.n_times + round(2 * sfreq), real=True)
        self.period = self.n_fine / sfreq
        n_coarse = next_fast_len(round(self.period * 500), real=True)
        self.n_coarse = min(n_coarse, self.n_fine)
        self.coarse_rate = self.n_coarse / self.period
        self.coarse_times = np.arange(self.n_coarse) / self.coarse_rate

    def frequencies(self, f_max):
        """Return the frequencies of the series up to ``f_max``."""
        n_bins = min(max(1, int(f_max * self.period)), self.n_coarse // 2) + 1
        return np.arange(n_bins) / self.period

    def noise(self, rng, amplitudes):
        """Return the spectra of noise with these root-mean-square amplitudes."""
        parts = rng.normal(size=(2, *amplitudes.shape))
        return amplitudes * (parts[0] + 1j * parts[1]) / 2

    def slow_noise(self, rng, f_max, f_min=0.0):
        """Return white noise of unit variance in a band, on the coarse grid."""
        band = 1.0 * (self.frequencies(f_max) > f_min)
        series = irfft(self.noise(rng, band), self.n_coarse, norm="forward")
        return series / series.std()

    def bumps(self, onsets, waves, amplitudes, stretch):
        """Return a sum of Gaussians after every onset, on the coarse grid.

        What begins before the recording comes to lie in the padding.
        """
        span = np.arange(-0.4 * self.coarse_rate, 1.3 * self.coarse_rate).astype(int)
        index = np.rint(onsets * self.coarse_rate).astype(int)[:, None] + span
        delay = (index / self.coarse_rate - onsets[:, None]) / stretch[:, None]
        values = amplitudes[:, None] * _gaussians(delay, waves)
        return np.bincount(
            (index % self.n_coarse).ravel(), values.ravel(), minlength=self.n_coarse
        )

    def spectrum(self, signals, f_max=np.inf):
        """Return the Fourier coefficients of signals on the coarse grid."""
        n_bins = len(self.frequencies(min(f_max, self.coarse_rate)))
        return rfft(signals, norm="forward")[..., :n_bins]

    def synthesise(self, spectra):
        """Return the sampled signals after the amplifier's high-pass of 0.3 Hz."""
        squares = (np.arange(spectra.shape[1]) / self.period) ** 2
        spectra = spectra * (squares / np.hypot(squares, 0.3**2))
        signals = np.empty((len(spectra), self.n_times))
        for signal, spectrum in zip(signals, spectra, strict=True):
            signal[:] = irfft(spectrum, self.n_fine, norm="forward")[: self.n_times]
        return signals


def _gaussians(times, waves):
    """Return the sum of (weight, mean, standard deviation) Gaussians at ``times``."""
    return sum(w * np.exp(-0.5 * ((times - mean) / sd) ** 2) for w, mean, sd in waves)


def _regular_volumes(rng, duration, tr, rest, clock_ppm):
    """Return the start of each volume and the scanner seconds per EEG second."""
    if rest < 0:
        raise ValueError(f"rest={rest} must be 0 or more seconds.")
    n_volumes = max(0, int((duration - 2 * rest) / tr + 1e-3))
    if n_volumes < 3:
        raise ValueError(
            f"duration={duration} with rest={rest} holds {n_volumes} volume(s) of "
            f"tr={tr}, 3 are needed. Use duration >= {3 * tr + 2 * rest}."
        )
    memory = np.exp(-tr / 100)
    wander = lfilter([np.sqrt(1 - memory**2)], [1, -memory], rng.normal(size=n_volumes))
    rates = 1 + 1e-6 * (clock_ppm + 0.1 * wander * (clock_ppm != 0))
    late = np.cumsum(1 / rates - 1) - (1 / rates - 1)
    return rest + tr * (np.arange(n_volumes) + late), rates


def _given_volumes(volume_times, duration, tr, clock_ppm):
    """Check the volume times; return them and the scanner seconds per EEG second."""
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
    return starts, np.full(len(starts), 1 + 1e-6 * clock_ppm)


def _head_positions(rng, starts, movement):
    """Return the realignment parameters: a random walk with rare steps."""
    walk = rng.normal(scale=0.02, size=(len(starts), 6))
    n_steps = rng.poisson(np.ptp(starts) / 300)
    volumes = rng.integers(1, len(starts), n_steps)
    directions = rng.normal(size=(n_steps, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.add.at(walk, volumes, directions * rng.uniform(0.3, 2, (n_steps, 1)))
    walk[0] = 0
    return movement * np.cumsum(walk, axis=0)


def _heart_beats(rng, grid):
    """Return R peaks from 1 s before the recording, and the interval before each."""
    slow = 0.03 * grid.slow_noise(rng, 0.08)
    beats, intervals = [rng.uniform(-1, -0.5)], [MEAN_RR]
    while beats[-1] < grid.n_times / grid.sfreq:
        time = beats[-1]
        change = 0.05 * np.sin(2 * np.pi * RESPIRATION * time) + rng.normal(scale=0.012)
        change += slow[int(time * grid.coarse_rate) % grid.n_coarse]
        intervals.append(MEAN_RR * (1 + change))
        beats.append(time + intervals[-1])
    return np.array(beats[:-1]), np.array(intervals[:-1])


def _stimulus_times(rng, grid):
    """Return the times of the stimuli, on samples, 1.2 to 1.9 s apart."""
    duration = grid.n_times / grid.sfreq
    times = np.cumsum(rng.uniform(1.2, 1.9, int(duration)))
    return np.rint(times[times < duration - 1] * grid.sfreq) / grid.sfreq


def _trigger_samples(rng, times, jitter, missing, grid):
    """Return the samples at which the triggers arrive."""
    n_missing = round(missing * len(times))
    lost = rng.permutation(len(times))[:n_missing]
    shifts = rng.integers(-int(jitter), int(jitter), len(times), endpoint=True)
    samples = np.delete(np.rint(times * grid.sfreq).astype(int) + shifts, lost)
    return np.sort(samples[(samples >= 0) & (samples < grid.n_times)])


def _stim_pulses(rng, grid, samples):
    """Return pulses of height 1 that last between one sample and 5 ms."""
    signal = np.zeros(grid.n_times)
    longest = max(1, int(5e-3 * grid.sfreq))
    for start, width in zip(
        samples, rng.integers(1, longest, len(samples), endpoint=True), strict=True
    ):
        signal[start : start + width] = 1
    return signal


def _electrodes():
    """Return the unit vectors from the centre of the head to all ``CHANNELS``."""
    montage = mne.channels.make_standard_montage("biosemi64")
    places = montage.get_positions()["ch_pos"]
    vectors = np.array([places[name] for name in CHANNELS])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _spread(sources):
    """Return how much of each source (unit vectors) every electrode sees."""
    sources = sources / np.linalg.norm(sources, axis=1, keepdims=True)
    squares = np.sum((_electrodes()[:, None] - sources) ** 2, axis=-1)
    return np.exp(-0.5 * squares / 0.45**2)


def _brain(rng, grid, n_eeg, stimuli, scales):
    """Return background, alpha rhythm, evoked responses, blinks and sensor noise."""
    alpha, evoked, blinks = scales
    sources = (
        _background(rng["background"], grid),
        _alpha(rng["alpha"], grid, alpha),
        _evoked(rng["evoked"], grid, stimuli, evoked),
        _blinks(rng["blinks"], grid, blinks),
    )
    gains = np.hstack([gain[:n_eeg] for gain, _ in sources])
    signals = grid.synthesise(gains @ np.vstack([spectrum for _, spectrum in sources]))
    return signals + 0.5e-6 * rng["noise"].normal(size=signals.shape)


def _background(rng, grid):
    """Return gains and spectra of 60 sources with 1 / f**b power, flat below 1 Hz."""
    places = rng.normal(size=(60, 3))
    places[:, 2] = np.abs(places[:, 2])
    gains = _spread(places) * rng.choice([-1, 1], 60)
    frequencies = grid.frequencies(EEG_BAND)
    power = np.maximum(frequencies, 1) ** -rng.uniform(1, 1.8, (60, 1))
    power *= np.clip((EEG_BAND - frequencies) / 20, 0, 1)
    amplitudes = np.sqrt(power / power.sum(axis=1, keepdims=True))
    gains *= 12e-6 / np.mean(np.linalg.norm(gains, axis=1))
    return gains, grid.noise(rng, amplitudes)


def _alpha(rng, grid, scale):
    """Return gains and spectra of three posterior generators that wax and wane."""
    envelopes = [1 / (1 + np.exp(-2 * grid.slow_noise(rng, 0.5))) for _ in range(3)]
    bursts = np.array([env * grid.slow_noise(rng, 11, 9) for env in envelopes])
    bursts /= bursts.std(axis=1, keepdims=True)
    gains = _spread(np.array(ALPHA_SOURCES))
    gains *= scale * 9e-6 / np.linalg.norm(gains, axis=1).max()
    return gains, grid.spectrum(bursts, EEG_BAND)


def _evoked(rng, grid, stimuli, scale):
    """Return gains and spectra of P100, N170 and P300."""
    amplitudes = np.exp(0.2 * rng.normal(size=(3, len(stimuli))))
    ones = np.ones(len(stimuli))
    waves = [
        grid.bumps(stimuli, [wave], amplitude, ones)
        for wave, amplitude in zip(EVOKED_WAVES, amplitudes, strict=True)
    ]
    gains = scale * 8e-6 * _spread(np.array(EVOKED_SOURCES))
    return gains, grid.spectrum(np.array(waves), EEG_BAND)


def _blinks(rng, grid, scale):
    """Return gains and spectrum of blinks, 2 s or more apart."""
    duration = grid.n_times / grid.sfreq
    onsets = np.cumsum(2 + rng.exponential(3.0, int(duration)))
    onsets = onsets[onsets < duration]
    amplitudes = rng.uniform(80e-6, 150e-6, len(onsets))
    blinks = grid.bumps(onsets, BLINK_WAVES, amplitudes, np.ones(len(onsets)))
    gains = _spread(np.array(BLINK_SOURCE))
    return scale * gains / gains.max(), grid.spectrum(blinks[None], EEG_BAND)


def _pulse_events(rng, beats, intervals):
    """Return onset, amplitude and stretch of the pulse artifact of each beat."""
    filling = np.clip(intervals / MEAN_RR, 0.5, 1.5)
    breathing = 1 + 0.2 * np.sin(2 * np.pi * RESPIRATION * beats)
    amplitudes = np.exp(0.15 * rng.normal(size=len(beats))) * breathing * filling
    onsets = beats + rng.normal(scale=0.01, size=len(beats))
    return onsets, amplitudes, np.sqrt(intervals / MEAN_RR)


def _pulse_modes(rng, grid, events):
    """Return the voltages that three modes of pulsatile motion induce."""
    onsets, amplitudes, stretch = events
    own = np.exp(0.075 * rng.normal(size=(len(PULSE_MODES), len(onsets))))
    return np.array(
        [
            grid.bumps(onsets, waves, amplitudes * factor, stretch)
            for waves, factor in zip(PULSE_MODES, own, strict=True)
        ]
    )


def _pulse_artifact(rng, grid, events, modes, n_eeg):
    """Return the pulse artifact: three maps, and 10 % of each channel's own."""
    right, front, up = _electrodes()[:n_eeg].T
    noise = rng.normal(size=(3, n_eeg))
    maps = np.array([right + 0.25 * front, 0.6 * (front - 0.3 * up), 0 * up])
    maps = (maps + np.array([[0.1], [0.1], [0.4]]) * noise).T
    latencies, widths = rng.uniform(0.15, 0.5, n_eeg), rng.uniform(0.03, 0.08, n_eeg)
    times = np.arange(-0.4, 1.3, 0.002)
    typical = maps @ [_gaussians(times, waves) for waves in PULSE_MODES]
    weights = 0.1 * np.ptp(typical, axis=1) * rng.choice([-1, 1], n_eeg)
    own = [[wave] for wave in zip(weights, latencies, widths, strict=True)]
    typical += [_gaussians(times, waves) for waves in own]
    signals = maps @ modes
    for signal, waves in zip(signals, own, strict=True):
        signal += grid.bumps(events[0], waves, *events[1:])
    scale = 150e-6 / np.ptp(typical, axis=1).max()
    return scale * grid.synthesise(grid.spectrum(signals))


def _ecg(rng, grid, beats):
    """Return the ECG with the voltage that blood flow induces in the field."""
    ones = np.ones(len(beats))
    heart = 1e-3 * (1 + 0.06 * rng.normal(size=len(beats)))
    flow = 0.8e-3 * (1 + 0.25 * rng.normal(size=len(beats)))
    signal = grid.bumps(beats, ECG_WAVES, heart, ones)
    signal += grid.bumps(beats, MHD_WAVES, flow, ones)
    signal += 0.15e-3 * np.sin(2 * np.pi * RESPIRATION * grid.coarse_times)
    noise = rng.normal(scale=0.02e-3, size=grid.n_times)
    return grid.synthesise(grid.spectrum(signal[None]))[0] + noise


def _wires(rng, grid, n_wires, modes, starts, realignment):
    """Return loops that see pulsatile and head motion, each with its own delay.

    A mode is a voltage already, hence proportional to a velocity.
    """
    knots = np.append(starts, grid.period)
    still = np.append(realignment, np.zeros((1, 6)), axis=0)
    head = [np.interp(grid.coarse_times, knots, position) for position in still.T]
    mixing = rng.normal(size=(n_wires, len(modes) + len(head))) * 50e-6
    spectra = mixing @ grid.spectrum(np.concatenate([modes, head]))
    delays = rng.uniform(-8e-3, 8e-3, (n_wires, 1))
    frequencies = np.arange(spectra.shape[1]) / grid.period
    signals = grid.synthesise(spectra * np.exp(-2j * np.pi * frequencies * delays))
    return signals + 1e-6 * rng.normal(size=signals.shape)


def _shot_trapezoids(shot, first):
    """Return (axis, start, duration, T/m) of all gradient pulses of one EPI shot."""
    n_lines = min(64, int((shot - 22e-3) / ECHO_SPACING))
    readout = 18.2e-3 + ECHO_SPACING * np.arange(n_lines + 1)
    end = readout[-1] + 0.2e-3
    pulses = [(2, 0.5e-3, 3.5e-3, 30e-3)] * first
    pulses += [(axis, 5e-3, 8e-3, g) for axis, g in enumerate((35e-3, -20e-3, 35e-3))]
    pulses += [(2, 13.5e-3, 3e-3, 12e-3), (2, 16.5e-3, 1.6e-3, -11e-3)]
    pulses += [(0, 16.6e-3, 1e-3, -12e-3), (1, 16.6e-3, 1e-3, -8e-3)]
    pulses += [
        (0, start, ECHO_SPACING, 25e-3 * (-1) ** line)
        for line, start in enumerate(readout[:-1])
    ]
    pulses += [(1, start - 0.05e-3, 0.1e-3, 8e-3) for start in readout[1:-1]]
    return [*pulses, (2, end, 3e-3, 30e-3)]


def _shot_polygons(shot, first):
    """Return, for each axis, the corners (times, T/m) of the gradient of one shot."""
    corners = [[], [], []]
    for axis, start, duration, strength in _shot_trapezoids(shot, first):
        ramp = min(abs(strength) / SLEW, duration / 2)
        times = np.array([0, ramp, duration - ramp, duration]) + start
        corners[axis].append((times, strength * np.array([0, 1, 1, 0])))
    return [np.concatenate(axis, axis=1) for axis in corners]


def _volume_slope(rng, tr, n_shots, shot, lowpass):
    """Return dG/dt of one volume on three axes, then silence while filters ring."""
    times = np.arange(round((tr + 15 / lowpass) * GRID)) / GRID
    gradient = np.zeros((3, len(times)))
    for number, gain in enumerate(1 + 0.005 * rng.normal(size=n_shots)):
        part = slice(int(number * shot * GRID), int((number + 1) * shot * GRID) + 1)
        polygons = _shot_polygons(shot, first=number == 0)
        for axis, (corners, strengths) in zip(gradient, polygons, strict=True):
            local = times[part] - number * shot
            axis[part] += gain * np.interp(local, corners, strengths, left=0, right=0)
    return np.diff(gradient, prepend=0) * GRID


def _amplify(slope, lowpass):
    """Return the amplifier's answer, from rest, to a slope on the fine grid."""
    return sosfilt(butter(3, lowpass, fs=GRID, output="sos"), slope)


def _couplings(rng, slope, types, realignment):
    """Return volts per T/m/s of every volume, channel and axis."""
    coupling = rng.normal(size=(len(types), 3)) * (0.7, 0.3, 0.5)
    sizes = np.exp(rng.uniform(np.log(0.3), np.log(3), len(types)))
    sizes /= np.median(sizes[types == "eeg"])
    sizes[types == "ecg"] = 3
    typical = coupling @ _amplify(slope, 250.0)[:, ::20]
    coupling *= (4e-3 * sizes / np.ptp(typical, axis=1))[:, None]
    sensitivity = rng.normal(scale=0.03, size=(len(types), 6))
    gains = 1 + realignment @ sensitivity.T
    rotations = np.deg2rad(realignment[:, None, 3:])
    return gains[..., None] * (coupling + np.cross(rotations, coupling))


def _sample_axes(response, grid, starts, rates):
    """Return the three axes' signals at the EEG's samples.

    The amplifier is linear: the answers to single volumes, each from rest, add up
    to the transient of the first, the steady state and the ringing after the last.
    """
    times = np.arange(response.shape[1]) / GRID
    volume = CubicSpline(times, response, axis=1)
    axes = np.zeros((3, grid.n_times))
    for start, rate in zip(starts, rates, strict=True):
        last = min((start + times[-1] / rate) * grid.sfreq, grid.n_times)
        samples = np.arange(np.ceil(start * grid.sfreq), np.ceil(last), dtype=int)
        axes[:, samples] += volume((samples / grid.sfreq - start) * rate)
    return axes


def _induce(couplings, axes, grid, starts):
    """Return what each channel picks up, the coupling interpolated over volumes."""
    times = np.arange(grid.n_times) / grid.sfreq
    signals = np.zeros((couplings.shape[1], grid.n_times))
    for channel, signal in enumerate(signals):
        for axis, values in zip(axes, couplings[:, channel].T, strict=True):
            signal += np.interp(times, starts, values) * axis
    return signals


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
