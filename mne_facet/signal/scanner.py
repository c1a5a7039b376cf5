"""What an MR scanner does to the EEG: timing, gradients, induction, head position.

The gradients of an EPI sequence are drawn in continuous time on three axes. The
voltage that they induce is proportional to their rate of change, with a coupling
that depends on how a lead lies in the scanner and so on the position of the head
(Yan et al. 2009, NeuroImage 46, 459-471). The amplifier filters that voltage before
the EEG clock samples it.

Constants are round numbers, chosen for the sizes and times usual for EPI at 3 T;
none is fitted to a recording.
"""

import numpy as np
import scipy
from scipy.interpolate import CubicSpline

READ, PHASE, SLICE = range(3)  # the gradient axes
WAVEFORM_RATE = 1e5  # Hz; fine enough to interpolate between its points
SLEW_RATE = 150.0  # T/m/s
ECHO_SPACING = 0.6e-3
READOUT_START = 18.2e-3
MAX_LINES = 64
OUTSIDE_READOUT = 22e-3
SHORTEST_SHOT = 25e-3  # leaves time for a readout of a few lines
RINGING_CYCLES = 15  # after which the amplifier's answer has died away

ARTIFACT_SIZE = 4e-3  # V peak to peak, of the median EEG channel
ARTIFACT_LOWPASS = 250.0  # Hz, at which it has that size
ECG_SIZE = 3.0  # relative to the median EEG channel: long leads on the chest
AXIS_WEIGHTS = (0.7, 0.3, 0.5)

WANDER = 0.1  # ppm
WANDER_TIME = 100.0  # s
STEP_INTERVAL = 300.0  # s between sudden movements of the head


def regular_volumes(rng, n_volumes, tr, first, clock_ppm):
    """Starts of volumes by a scanner's clock that wanders.

    Parameters
    ----------
    rng : Generator
        Source of the wander.
    n_volumes : int
        Number of volumes.
    tr : float
        Repetition time in seconds of the scanner.
    first : float
        Start of the first volume in seconds of the EEG.
    clock_ppm : float
        How much faster than the EEG's the scanner's clock is, in parts per million;
        at 0 it does not wander either.

    Returns
    -------
    starts : array, shape (n_volumes,)
        In seconds of the EEG.
    rates : array, shape (n_volumes,)
        Scanner seconds per EEG second during each volume.
    """
    memory = np.exp(-tr / WANDER_TIME)
    wander = scipy.signal.lfilter(
        [np.sqrt(1 - memory**2)], [1, -memory], rng.normal(size=n_volumes)
    )
    rates = 1 + 1e-6 * (clock_ppm + WANDER * wander * (clock_ppm != 0))
    # the delays alone are summed: without any, starts are exact multiples of tr
    delays = np.cumsum(1 / rates - 1) - (1 / rates - 1)
    return first + tr * (np.arange(n_volumes) + delays), rates


def head_positions(rng, starts, movement):
    """Head position in each volume: a random walk with rare steps.

    Parameters
    ----------
    rng : Generator
        Source of the movement.
    starts : array, shape (n_volumes,)
        Starts of the volumes in seconds.
    movement : float
        Scale; 1 moves the head by 0.02 mm and 0.02 degrees per volume, and by 0.3 to
        2 units in a step every five minutes on average.

    Returns
    -------
    realignment : array, shape (n_volumes, 6)
        Three translations in mm and three rotations in degrees, zero at first.
    """
    changes = rng.normal(scale=0.02, size=(len(starts), 6))
    n_steps = rng.poisson(np.ptp(starts) / STEP_INTERVAL)
    volumes = rng.integers(1, len(starts), n_steps)
    directions = rng.normal(size=(n_steps, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.add.at(changes, volumes, directions * rng.uniform(0.3, 2, (n_steps, 1)))
    changes[0] = 0
    return movement * np.cumsum(changes, axis=0)


def trigger_samples(rng, times, sfreq, n_times, jitter=0, missing=0.0):
    """Samples at which the triggers arrive.

    Parameters
    ----------
    rng : Generator
        Source of jitter and losses.
    times : array, shape (n_triggers,)
        When they are sent, in seconds.
    sfreq : float
        Sampling frequency in Hz.
    n_times : int
        Length of the recording in samples; triggers outside are dropped.
    jitter : int
        Largest displacement in samples.
    missing : float
        Fraction that gets lost.

    Returns
    -------
    samples : array of int
        In order.
    """
    n_missing = round(missing * len(times))
    lost = rng.permutation(len(times))[:n_missing]
    shifts = rng.integers(-int(jitter), int(jitter), len(times), endpoint=True)
    samples = np.delete(np.rint(times * sfreq).astype(int) + shifts, lost)
    return np.sort(samples[(samples >= 0) & (samples < n_times)])


def stim_pulses(rng, samples, sfreq, n_times):
    """Signal of a trigger channel.

    Parameters
    ----------
    rng : Generator
        Source of the widths.
    samples : array of int, shape (n_triggers,)
        First samples of the pulses.
    sfreq : float
        Sampling frequency in Hz.
    n_times : int
        Length of the recording in samples.

    Returns
    -------
    signal : array, shape (n_times,)
        Pulses of height 1 that last between one sample and 5 ms.
    """
    longest = max(1, int(5e-3 * sfreq))
    widths = rng.integers(1, longest, len(samples), endpoint=True)
    signal = np.zeros(n_times)
    for start, width in zip(samples, widths, strict=True):
        signal[start : start + width] = 1
    return signal


def volume_slope(rng, tr, n_shots, shot, lowpass):
    """Rate of change of the gradients in one volume.

    Parameters
    ----------
    rng : Generator
        Source of the slices' sizes, which differ by 0.5 %.
    tr : float
        Repetition time in seconds.
    n_shots : int
        Excitations per volume.
    shot : float
        Seconds from one to the next.
    lowpass : float
        Cut-off of the amplifier in Hz; the slower, the longer it rings.

    Returns
    -------
    slope : array, shape (3, n_points)
        In T/m/s at `WAVEFORM_RATE`, with silence after the volume for the ringing.
    """
    n_points = round((tr + RINGING_CYCLES / lowpass) * WAVEFORM_RATE)
    times = np.arange(n_points) / WAVEFORM_RATE
    gradients = np.zeros((3, n_points))
    for number, size in enumerate(1 + 0.005 * rng.normal(size=n_shots)):
        begin = int(number * shot * WAVEFORM_RATE)
        end = int((number + 1) * shot * WAVEFORM_RATE) + 1
        local = times[begin:end] - number * shot
        corners = _shot_corners(shot, first=number == 0)
        for gradient, (when, strength) in zip(gradients, corners, strict=True):
            gradient[begin:end] += size * np.interp(
                local, when, strength, left=0, right=0
            )
    return np.diff(gradients, prepend=0) * WAVEFORM_RATE


def _shot_corners(shot, first):
    """Corners (times in s, strengths in T/m) of one shot's gradient on each axis."""
    corners = [[], [], []]
    for axis, start, duration, strength in _shot_pulses(shot, first):
        ramp = min(abs(strength) / SLEW_RATE, duration / 2)
        times = np.array([0, ramp, duration - ramp, duration]) + start
        corners[axis].append((times, strength * np.array([0, 1, 1, 0])))
    return [np.concatenate(axis, axis=1) for axis in corners]


def _shot_pulses(shot, first):
    """Gradient pulses (axis, start in s, duration in s, T/m) of one EPI shot."""
    n_lines = min(MAX_LINES, int((shot - OUTSIDE_READOUT) / ECHO_SPACING))
    lines = READOUT_START + ECHO_SPACING * np.arange(n_lines + 1)
    # makes the first shot of a volume differ from the others
    volume_pulse = [(SLICE, 0.5e-3, 3.5e-3, 30e-3)] if first else []
    fat_spoilers = [
        (READ, 5e-3, 8e-3, 35e-3),
        (PHASE, 5e-3, 8e-3, -20e-3),
        (SLICE, 5e-3, 8e-3, 35e-3),
    ]
    excitation = [(SLICE, 13.5e-3, 3e-3, 12e-3), (SLICE, 16.5e-3, 1.6e-3, -11e-3)]
    prephasers = [(READ, 16.6e-3, 1e-3, -12e-3), (PHASE, 16.6e-3, 1e-3, -8e-3)]
    readout = [
        (READ, start, ECHO_SPACING, 25e-3 * (-1) ** number)
        for number, start in enumerate(lines[:-1])
    ]
    blips = [(PHASE, start - 0.05e-3, 0.1e-3, 8e-3) for start in lines[1:-1]]
    end_spoiler = [(SLICE, lines[-1] + 0.2e-3, 3e-3, 30e-3)]
    before = volume_pulse + fat_spoilers + excitation + prephasers
    return before + readout + blips + end_spoiler


def amplify(slope, lowpass):
    """Answer of the amplifier, from rest.

    Parameters
    ----------
    slope : array, shape (3, n_points)
        Rate of change of the gradients at `WAVEFORM_RATE`.
    lowpass : float
        Cut-off in Hz of its Butterworth filter of third order.

    Returns
    -------
    response : array, shape (3, n_points)
        In the unit of `slope`.
    """
    return scipy.signal.sosfilt(
        scipy.signal.butter(3, lowpass, fs=WAVEFORM_RATE, output="sos"), slope
    )


def couplings(rng, slope, types, realignment):
    """How strongly every channel picks up each gradient axis.

    The EEG channels differ by up to a factor of ten. A movement changes the size by
    3 % per mm or degree, and a rotation of the head mixes the axes.

    Parameters
    ----------
    rng : Generator
        Source of the couplings.
    slope : array, shape (3, n_points)
        Rate of change of the gradients in one volume, for the scale.
    types : array of str, shape (n_channels,)
        "eeg", "ecg" or other, with at least one "eeg".
    realignment : array, shape (n_volumes, 6)
        Head positions in mm and degrees.

    Returns
    -------
    coupling : array, shape (n_volumes, n_channels, 3)
        In volts per T/m/s.
    """
    coupling = rng.normal(size=(len(types), 3)) * AXIS_WEIGHTS
    sizes = np.exp(rng.uniform(np.log(0.3), np.log(3), len(types)))
    sizes /= np.median(sizes[types == "eeg"])
    sizes[types == "ecg"] = ECG_SIZE
    # every 20th point, 5 kHz, shows the peaks well enough
    typical = coupling @ amplify(slope, ARTIFACT_LOWPASS)[:, ::20]
    coupling *= (ARTIFACT_SIZE * sizes / np.ptp(typical, axis=1))[:, None]
    sensitivity = rng.normal(scale=0.03, size=(len(types), 6))
    gains = 1 + realignment @ sensitivity.T
    rotations = np.deg2rad(realignment[:, None, 3:])
    return gains[..., None] * (coupling + np.cross(rotations, coupling))


def induce(coupling, response, sfreq, n_times, starts, rates):
    """Gradient artifact of each channel.

    Parameters
    ----------
    coupling : array, shape (n_volumes, n_channels, 3)
        In volts per T/m/s; it changes linearly from one start to the next.
    response : array, shape (3, n_points)
        The amplifier's answer to one volume in T/m/s, at `WAVEFORM_RATE`.
    sfreq : float
        Sampling frequency in Hz.
    n_times : int
        Length of the recording in samples.
    starts, rates : array, shape (n_volumes,)
        Starts of the volumes in seconds, and scanner seconds per EEG second.

    Returns
    -------
    artifact : array, shape (n_channels, n_times)
        In volts.
    """
    axes = _sample_axes(response, sfreq, n_times, starts, rates)
    times = np.arange(n_times) / sfreq
    artifact = np.zeros((coupling.shape[1], n_times))
    for channel, signal in enumerate(artifact):
        for axis, values in zip(axes, coupling[:, channel].T, strict=True):
            signal += np.interp(times, starts, values) * axis
    return artifact


def _sample_axes(response, sfreq, n_times, starts, rates):
    """Signals of the three axes at the EEG's samples, shape (3, n_times).

    The amplifier is linear: the answers to single volumes, each from rest, add up
    to the transient of the first, the steady state and the ringing after the last.
    """
    times = np.arange(response.shape[1]) / WAVEFORM_RATE
    volume = CubicSpline(times, response, axis=1)
    axes = np.zeros((3, n_times))
    for start, rate in zip(starts, rates, strict=True):
        end = min((start + times[-1] / rate) * sfreq, n_times)
        samples = np.arange(np.ceil(start * sfreq), np.ceil(end), dtype=int)
        axes[:, samples] += volume((samples / sfreq - start) * rate)
    return axes
