"""What a body adds to the EEG in a scanner: brain, eyes, heart and the pulse artifact.

Waveforms are sums of Gaussians, for the ECG as in McSharry et al. 2003 (IEEE Trans.
Biomed. Eng. 50, 289-294). The pulse artifact is a sum of maps with time courses of
their own, since it has several causes: rotation of the head, expansion of the scalp
and blood that flows in the field (Mullinger et al. 2013, NeuroImage 71, 75-83).

Constants are round numbers, chosen for the sizes and latencies usual in healthy
adults at 3 T; none is fitted to a recording. Directions are (right, anterior, up),
voltages in V, times in s. Everywhere `rng` is the Generator that a part draws from,
`grid` the TimeGrid of the recording, and `beats` and `intervals`, shape (n_beats,),
are the R peaks and the interval before each.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

# Waves are (weight, latency after the event, standard deviation).
ECG_WAVES = {
    "P": (0.12, -0.16, 0.025),
    "Q": (-0.12, -0.025, 0.008),
    "R": (1.0, 0.0, 0.010),
    "S": (-0.25, 0.027, 0.010),
    "T": (0.25, 0.28, 0.05),
}
FLOW_WAVES = ((1.0, 0.17, 0.05), (-0.7, 0.30, 0.05), (0.3, 0.45, 0.06))
PULSE_MODES = (
    (
        (-0.35, 0.09, 0.03),
        (1.0, 0.21, 0.045),
        (-0.75, 0.33, 0.055),
        (0.3, 0.48, 0.07),
        (-0.12, 0.65, 0.08),
    ),
    ((0.5, 0.15, 0.03), (-1.0, 0.26, 0.04), (0.6, 0.40, 0.06), (-0.2, 0.58, 0.08)),
    ((0.8, 0.30, 0.09), (-0.3, 0.55, 0.10)),
)
PULSE_SIZE = 150e-6  # peak to peak, of the worst channel
MEAN_RR = 0.92
RESPIRATION = 0.25  # Hz

EEG_BAND = 80.0  # Hz
HIGHPASS = 0.3  # Hz
BACKGROUND_SIZE = 12e-6  # RMS
ALPHA_SIZE = 9e-6  # RMS
ALPHA_SOURCES = ((-0.35, -0.9, 0.25), (0.35, -0.9, 0.25), (0.0, -0.8, 0.6))
EVOKED_SIZE = 8e-6
# P100, N170 and P300
EVOKED_WAVES = ((0.6, 0.10, 0.015), (-0.8, 0.17, 0.02), (1.0, 0.32, 0.06))
EVOKED_SOURCES = ((0.0, -1.0, 0.1), (0.6, -0.8, -0.1), (0.0, -0.6, 0.8))
BLINK_WAVES = ((0.9, 0.12, 0.05), (0.3, 0.22, 0.08))
BLINK_SOURCE = (0.0, 1.0, 0.0)
SPREAD = 0.45  # width of a source on the scalp, in radii of the head


class TimeGrid:
    """Sampling instants of the recording, and coarse ones for slow signals.

    Slow signals are made at about 500 Hz and interpolated by Fourier series, whose
    period is longer than the recording by a padding of 2 s.

    Parameters
    ----------
    duration : float
        Length of the recording in seconds.
    sfreq : float
        Sampling frequency in Hz.
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
        """Frequencies of the series up to `f_max`, in Hz."""
        n_bins = min(max(1, int(f_max * self.period)), self.n_coarse // 2) + 1
        return np.arange(n_bins) / self.period

    def noise(self, rng, amplitudes):
        """Spectra of noise with these root-mean-square amplitudes."""
        parts = rng.normal(size=(2, *amplitudes.shape))
        return amplitudes * (parts[0] + 1j * parts[1]) / 2

    def slow_noise(self, rng, f_max, f_min=0.0):
        """White noise of unit variance in a band, on the coarse grid."""
        band = 1.0 * (self.frequencies(f_max) > f_min)
        series = irfft(self.noise(rng, band), self.n_coarse, norm="forward")
        return series / series.std()

    def bumps(self, onsets, waves, amplitudes, stretch=1.0):
        """Waves after every onset, of these sizes and stretched, on the coarse grid.

        What begins before the recording comes to lie in the padding.
        """
        span = np.arange(-0.4 * self.coarse_rate, 1.3 * self.coarse_rate).astype(int)
        index = np.rint(onsets * self.coarse_rate).astype(int)[:, None] + span
        delay = index / self.coarse_rate - onsets[:, None]
        delay /= np.reshape(stretch, (-1, 1))
        values = amplitudes[:, None] * _gaussians(delay, waves)
        return np.bincount(
            (index % self.n_coarse).ravel(), values.ravel(), minlength=self.n_coarse
        )

    def spectrum(self, signals, f_max=np.inf):
        """Fourier coefficients of signals on the coarse grid."""
        n_bins = len(self.frequencies(min(f_max, self.coarse_rate)))
        return rfft(signals, norm="forward")[..., :n_bins]

    def synthesise(self, spectra):
        """Sampled signals after the amplifier's high-pass."""
        squares = (np.arange(spectra.shape[1]) / self.period) ** 2
        spectra = spectra * (squares / np.hypot(squares, HIGHPASS**2))
        signals = np.empty((len(spectra), self.n_times))
        for signal, spectrum in zip(signals, spectra, strict=True):
            signal[:] = irfft(spectrum, self.n_fine, norm="forward")[: self.n_times]
        return signals


def _gaussians(times, waves):
    """Sum of (weight, mean, standard deviation) Gaussians at `times`."""
    return sum(w * np.exp(-0.5 * ((times - mean) / sd) ** 2) for w, mean, sd in waves)


def stimulus_times(rng, grid):
    """Times of stimuli in seconds, on samples, 1.2 to 1.9 s apart."""
    duration = grid.n_times / grid.sfreq
    times = np.cumsum(rng.uniform(1.2, 1.9, int(duration)))
    return np.rint(times[times < duration - 1] * grid.sfreq) / grid.sfreq


def brain_signals(rngs, grid, electrodes, n_eeg, stimuli, alpha, evoked, blinks):
    """Background, alpha rhythm, evoked responses, blinks and sensor noise.

    Parameters
    ----------
    rngs : dict of Generator
        For "background", "alpha", "evoked", "blinks" and "noise".
    electrodes : array, shape (n_electrodes, 3)
        Directions of electrodes all over the head. Sizes refer to all of them.
    n_eeg : int
        How many of them, from the first, are recorded.
    stimuli : array, shape (n_trials,)
        Times of the stimuli in seconds.
    alpha, evoked, blinks : float
        Scales; 1 is 9 uV RMS, 8 uV and 80 to 150 uV where they are largest.

    Returns
    -------
    signals : array, shape (n_eeg, n_times)
        In volts.
    """
    sources = (
        _background(rngs["background"], grid, electrodes),
        _alpha_rhythm(rngs["alpha"], grid, electrodes, alpha),
        _evoked_responses(rngs["evoked"], grid, electrodes, stimuli, evoked),
        _eye_blinks(rngs["blinks"], grid, electrodes, blinks),
    )
    gains = np.hstack([gain[:n_eeg] for gain, _ in sources])
    signals = grid.synthesise(gains @ np.vstack([spectrum for _, spectrum in sources]))
    return signals + 0.5e-6 * rngs["noise"].normal(size=signals.shape)


def _spread(electrodes, sources):
    """How much each electrode sees of each source, shape (n_electrodes, n_sources)."""
    sources = sources / np.linalg.norm(sources, axis=1, keepdims=True)
    squares = np.sum((electrodes[:, None] - sources) ** 2, axis=-1)
    return np.exp(-0.5 * squares / SPREAD**2)


def _background(rng, grid, electrodes):
    """Gains and spectra of 60 sources with 1 / f**b power, flat below 1 Hz."""
    places = rng.normal(size=(60, 3))
    places[:, 2] = np.abs(places[:, 2])
    gains = _spread(electrodes, places) * rng.choice([-1, 1], 60)
    frequencies = grid.frequencies(EEG_BAND)
    power = np.maximum(frequencies, 1) ** -rng.uniform(1, 1.8, (60, 1))
    power *= np.clip((EEG_BAND - frequencies) / 20, 0, 1)
    amplitudes = np.sqrt(power / power.sum(axis=1, keepdims=True))
    gains *= BACKGROUND_SIZE / np.mean(np.linalg.norm(gains, axis=1))
    return gains, grid.noise(rng, amplitudes)


def _alpha_rhythm(rng, grid, electrodes, scale):
    """Gains and spectra of three posterior generators that wax and wane."""
    envelopes = [1 / (1 + np.exp(-2 * grid.slow_noise(rng, 0.5))) for _ in range(3)]
    bursts = np.array([env * grid.slow_noise(rng, 11, 9) for env in envelopes])
    bursts /= bursts.std(axis=1, keepdims=True)
    gains = _spread(electrodes, ALPHA_SOURCES)
    gains *= scale * ALPHA_SIZE / np.linalg.norm(gains, axis=1).max()
    return gains, grid.spectrum(bursts, EEG_BAND)


def _evoked_responses(rng, grid, electrodes, stimuli, scale):
    """Gains and spectra of P100, N170 and P300."""
    amplitudes = np.exp(0.2 * rng.normal(size=(len(EVOKED_WAVES), len(stimuli))))
    responses = [
        grid.bumps(stimuli, [wave], amplitude)
        for wave, amplitude in zip(EVOKED_WAVES, amplitudes, strict=True)
    ]
    gains = scale * EVOKED_SIZE * _spread(electrodes, EVOKED_SOURCES)
    return gains, grid.spectrum(np.array(responses), EEG_BAND)


def _eye_blinks(rng, grid, electrodes, scale):
    """Gains and spectrum of blinks, 2 s or more apart."""
    duration = grid.n_times / grid.sfreq
    onsets = np.cumsum(2 + rng.exponential(3.0, int(duration)))
    onsets = onsets[onsets < duration]
    amplitudes = rng.uniform(80e-6, 150e-6, len(onsets))
    blinks = grid.bumps(onsets, BLINK_WAVES, amplitudes)
    gains = _spread(electrodes, [BLINK_SOURCE])
    return scale * gains / gains.max(), grid.spectrum(blinks[None], EEG_BAND)


class Pulsation(NamedTuple):
    """Motion that the heart causes, beat by beat.

    Attributes
    ----------
    onsets, amplitudes, stretch : array, shape (n_beats,)
        Time in seconds, relative size and relative duration of the motion.
    change : float
        How much the shape changes from beat to beat.
    waves : list
        Waves of each mode of motion.
    modes : array, shape (n_modes, n_coarse)
        Relative voltages that the modes induce, on the coarse grid.
    """

    onsets: np.ndarray
    amplitudes: np.ndarray
    stretch: np.ndarray
    change: float
    waves: list
    modes: np.ndarray


def heart_beats(rng, grid):
    """Heart beats that vary with respiration (5 %) and slowly (3 %).

    Returns
    -------
    beats, intervals : array, shape (n_beats,)
        R peaks from 1 s before the recording, and the interval before each, in
        seconds.
    """
    slow = 0.03 * grid.slow_noise(rng, 0.08)
    beats, intervals = [rng.uniform(-1, -0.5)], [MEAN_RR]
    while beats[-1] < grid.n_times / grid.sfreq:
        time = beats[-1]
        change = 0.05 * np.sin(2 * np.pi * RESPIRATION * time) + rng.normal(scale=0.012)
        change += slow[int(time * grid.coarse_rate) % grid.n_coarse]
        intervals.append(MEAN_RR * (1 + change))
        beats.append(time + intervals[-1])
    return np.array(beats[:-1]), np.array(intervals[:-1])


def pulsation(rng, grid, beats, intervals, n_modes=3, change=0.0):
    """Motion after each beat: larger and longer the longer the heart has filled.

    Parameters
    ----------
    n_modes : int
        Number of modes of motion; those after the third are random.
    change : float
        How much the shape of each mode changes from beat to beat: 1 is a standard
        deviation of 20 % of the size, 10 ms of the latency and 10 % of the duration,
        besides the changes common to all of them.

    Returns
    -------
    pulses : Pulsation
        The motion.
    """
    filling = np.clip(intervals / MEAN_RR, 0.5, 1.5)
    breathing = 1 + 0.2 * np.sin(2 * np.pi * RESPIRATION * beats)
    amplitudes = np.exp(0.15 * rng.normal(size=len(beats))) * breathing * filling
    onsets = beats + rng.normal(scale=0.01, size=len(beats))
    stretch = np.sqrt(intervals / MEAN_RR)
    factors = np.exp(0.075 * rng.normal(size=(len(PULSE_MODES), len(onsets))))
    own = rng.spawn(1)[0]  # so that all that is drawn later stays as it is
    n_more = max(0, n_modes - len(PULSE_MODES))
    more = np.exp(0.075 * own.normal(size=(n_more, len(onsets))))
    waves = [*PULSE_MODES, *(_random_waves(own) for _ in range(n_more))][:n_modes]
    pulses = Pulsation(onsets, amplitudes, stretch, change, waves, np.empty(0))
    modes = [
        _beat_by_beat(own, grid, pulses, wave, factor)
        for wave, factor in zip(waves, [*factors, *more], strict=False)
    ]
    return pulses._replace(modes=np.array(modes))


def _random_waves(rng):
    """Three waves 0.1 to 0.6 s after the R peak."""
    weights = rng.uniform(0.3, 1, 3) * (1, -1, 1)
    latencies = np.sort(rng.uniform(0.1, 0.6, 3))
    return list(zip(weights, latencies, rng.uniform(0.03, 0.08, 3), strict=True))


def _beat_by_beat(rng, grid, pulses, waves, factor=1.0):
    """Waves after every beat, with changes of their own, on the coarse grid."""
    size, delay, length = pulses.change * rng.normal(size=(3, len(pulses.onsets)))
    return grid.bumps(
        pulses.onsets + 0.01 * delay,
        waves,
        pulses.amplitudes * factor * np.exp(0.2 * size),
        pulses.stretch * np.exp(0.1 * length),
    )


def pulse_artifact(rng, grid, pulses, electrodes, share=0.1):
    """Pulse artifact: a map for each mode, and a part of each channel's own.

    Parameters
    ----------
    pulses : Pulsation
        The motion.
    electrodes : array, shape (n_eeg, 3)
        Directions of the electrodes.
    share : float
        Size of the channels' own part, relative to what the modes induce there.

    Returns
    -------
    artifact : array, shape (n_eeg, n_times)
        In volts; a typical beat has 150 uV peak to peak on the worst channel.
    """
    n_eeg = len(electrodes)
    right, anterior, up = electrodes.T
    noise = rng.normal(size=(3, n_eeg))
    lateral, frontal = right + 0.25 * anterior, 0.6 * (anterior - 0.3 * up)
    maps = np.array([lateral, frontal, np.zeros(n_eeg)])
    maps = maps + np.array([[0.1], [0.1], [0.4]]) * noise
    own = rng.spawn(1)[0]
    axes = own.normal(scale=0.3, size=(max(0, len(pulses.modes) - 3), 3))
    more = axes @ electrodes.T + own.normal(scale=0.2, size=(len(axes), n_eeg))
    maps = np.vstack([maps, more])[: len(pulses.modes)].T
    latencies, widths = rng.uniform(0.15, 0.5, n_eeg), rng.uniform(0.03, 0.08, n_eeg)
    times = np.arange(-0.4, 1.3, 0.002)
    typical = maps @ np.array([_gaussians(times, waves) for waves in pulses.waves])
    weights = share * np.ptp(typical, axis=1) * rng.choice([-1, 1], n_eeg)
    own_waves = list(zip(weights, latencies, widths, strict=True))
    typical += np.array([_gaussians(times, [wave]) for wave in own_waves])
    signals = maps @ pulses.modes
    for signal, wave in zip(signals, own_waves, strict=True):
        signal += _beat_by_beat(own, grid, pulses, [wave])
    scale = PULSE_SIZE / np.ptp(typical, axis=1).max()
    return scale * grid.synthesise(grid.spectrum(signals))


def ecg_signal(rng, grid, beats):
    """ECG with the voltage that blood flow induces in the field.

    Returns
    -------
    signal : array, shape (n_times,)
        In volts: R waves of 1 mV, flow of 0.8 mV, respiration of 0.15 mV.
    """
    heart = 1e-3 * (1 + 0.06 * rng.normal(size=len(beats)))
    flow = 0.8e-3 * (1 + 0.25 * rng.normal(size=len(beats)))
    signal = grid.bumps(beats, ECG_WAVES.values(), heart)
    signal += grid.bumps(beats, FLOW_WAVES, flow)
    signal += 0.15e-3 * np.sin(2 * np.pi * RESPIRATION * grid.coarse_times)
    noise = rng.normal(scale=0.02e-3, size=grid.n_times)
    return grid.synthesise(grid.spectrum(signal[None]))[0] + noise


def wire_signals(rng, grid, n_wires, modes, starts, realignment):
    """Carbon-wire loops that see pulsatile and head motion, each with its own delay.

    Parameters
    ----------
    n_wires : int
        Number of loops.
    modes : array, shape (n_modes, n_coarse)
        Relative voltages of the pulsation: proportional to velocities already.
    starts : array, shape (n_volumes,)
        Starts of the volumes in seconds.
    realignment : array, shape (n_volumes, 6)
        Head positions in mm and degrees.

    Returns
    -------
    signals : array, shape (n_wires, n_times)
        In volts, about 50 uV for each unit of a mode or position.
    """
    # the series is periodic, so the head has to come back by its end
    knots = np.append(starts, grid.period)
    returning = np.append(realignment, np.zeros((1, 6)), axis=0)
    head = [np.interp(grid.coarse_times, knots, position) for position in returning.T]
    mixing = rng.normal(size=(n_wires, len(modes) + len(head))) * 50e-6
    spectra = mixing @ grid.spectrum(np.concatenate([modes, head]))
    delays = rng.uniform(-8e-3, 8e-3, (n_wires, 1))
    frequencies = np.arange(spectra.shape[1]) / grid.period
    signals = grid.synthesise(spectra * np.exp(-2j * np.pi * frequencies * delays))
    return signals + 1e-6 * rng.normal(size=signals.shape)
