"""MNE's filters as Pipeline steps."""

from functools import partial

import mne
import numpy as np
from mne.annotations import _annotations_starts_stops  # no public equal
from mne.utils import logger

from ._base import ChannelTransformer, RawTransformer
from .signal.fir import convolve

# MNE filters the parts between these separately
_JOINTS = ("edge", "bad_acq_skip")


class _ChannelFilter(ChannelTransformer):
    """A method of Raw that filters, on one channel at a time."""

    _plan_needs_data = False
    _ns_per_sample = 30.0
    _n_arrays = 5.0

    def _filtering(self, raw, method, *args):
        logger.info(f"{type(self).__name__}: {method}{args}")
        kept = [
            text.lower().startswith(_JOINTS) for text in raw.annotations.description
        ]
        borders = mne.Annotations(
            raw.annotations.onset[kept] - raw.first_time,
            raw.annotations.duration[kept],
            raw.annotations.description[kept],
        )
        return partial(
            _run_method,
            method=method,
            args=args,
            options={"method": self.method, "picks": [0], "verbose": "ERROR"},
            sfreq=raw.info["sfreq"],
            borders=borders,
        )


def _run_method(x, method, args, options, sfreq, borders):
    info = mne.create_info(1, sfreq, "eeg")
    raw = mne.io.RawArray(x[np.newaxis], info, copy="data", verbose="ERROR")
    raw.set_annotations(borders)
    getattr(raw, method)(*args, **options)
    return raw._data[0]


def _filter_parts(x, taps, spans):
    """Filter parts of a channel without delay, as MNE does.

    In MNE's loop over short segments threads wait for the interpreter's lock.
    """
    y, reach = x.copy(), taps.size // 2
    for start, stop in spans:
        # the ends mirrored, as far as there are samples, then zeros
        known = min(reach, stop - start - 1)
        part = np.pad(x[start:stop], known, "reflect", reflect_type="odd")
        if known < reach:
            part = np.pad(part, reach - known)
        convolve(part, taps, out=y[start:stop])
    return y


class Filter(_ChannelFilter):
    """Low-pass, high-pass or band-pass filter, see :meth:`mne.io.Raw.filter`.

    Correct the artifacts first: a low-pass alone leaves every harmonic below its
    cut-off, and changes what the templates are made of.

    Parameters
    ----------
    l_freq, h_freq : float | None
        Pass band in Hz; None leaves that side open.
    picks : str | list | slice | None
        Channels to filter; None: EEG, EOG, ECG and EMG channels, bad ones included.
    method : "fir" | "iir"
        As in MNE. ``"fir"`` is equal to rounding.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`.
    verbose : bool | str | int | None
        As in MNE.

    Examples
    --------
    >>> from mne_facet import Filter, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> Filter(None, 70).fit_transform(raw).info["lowpass"]
    70.0
    """

    def __init__(
        self,
        l_freq=None,
        h_freq=None,
        *,
        picks=None,
        method="fir",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.l_freq = l_freq
        self.h_freq = h_freq
        self.picks = picks
        self.method = method
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        band = self.l_freq, self.h_freq
        if self.method != "fir":
            return self._filtering(raw, "filter", *band)
        logger.info(f"Filter: FIR{band}")
        spans = np.transpose(_annotations_starts_stops(raw, _JOINTS, invert=True))
        spans = spans[spans[:, 0] < spans[:, 1]]
        # of the data only the length matters, for MNE's warning
        longest = np.broadcast_to(0.0, np.diff(spans).max(initial=0))
        taps = mne.filter.create_filter(
            longest, raw.info["sfreq"], *band, verbose="WARNING"
        )
        return partial(_filter_parts, taps=taps, spans=spans)

    def _finish(self, raw, picks):
        """Set the pass band of the recording, by the rules of MNE."""
        low, high = self.l_freq, self.h_freq
        band_stop = None not in (low, high) and low >= high
        data_channels = mne.pick_types(
            raw.info, meg=True, eeg=True, ecog=True, seeg=True, dbs=True, exclude=()
        )
        if band_stop or not np.isin(data_channels, picks).all():
            return
        with raw.info._unlock():
            if high is not None:
                raw.info["lowpass"] = min(float(high), raw.info["lowpass"])
            if low is not None:
                raw.info["highpass"] = max(float(low), raw.info["highpass"])


class NotchFilter(_ChannelFilter):
    """Notch filter, see :meth:`mne.io.Raw.notch_filter`.

    Parameters
    ----------
    freqs : float | array-like | None
        Frequencies to remove in Hz, the mains and its harmonics say. None only
        with ``method="spectrum_fit"``.
    picks : str | list | slice | None
        Channels to filter; None: EEG, EOG, ECG and EMG channels, bad ones included.
    method : "fir" | "iir" | "spectrum_fit"
        As in MNE.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        Channels to process at a time, as in :class:`AAS`.
    verbose : bool | str | int | None
        As in MNE.

    Examples
    --------
    >>> from mne_facet import NotchFilter, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> raw = NotchFilter([50, 100]).fit_transform(raw)
    """

    def __init__(
        self,
        freqs=50.0,
        *,
        picks=None,
        method="fir",
        copy=True,
        n_jobs=None,
        verbose=None,
    ):
        self.freqs = freqs
        self.picks = picks
        self.method = method
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        return self._filtering(raw, "notch_filter", self.freqs)


class Resample(RawTransformer):
    """Change the sampling frequency, see :meth:`mne.io.Raw.resample`.

    Last in a Pipeline: the artifact can only be averaged on the sampling grid it
    was recorded on. In recordings with ``first_samp != 0`` MNE rounds the first
    sample to the new rate, which moves annotations by up to half a new sample.

    Parameters
    ----------
    sfreq : float
        New sampling frequency in Hz.
    method : "fft" | "polyphase"
        As in MNE.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        As in MNE.
    verbose : bool | str | int | None
        As in MNE.

    Examples
    --------
    >>> from mne_facet import Resample, simulate_raw
    >>> raw, truth = simulate_raw(duration=30, n_eeg=2, sfreq=1000)
    >>> Resample(250).fit_transform(raw).info["sfreq"]
    250.0
    """

    parallel_over = "channels"

    def __init__(
        self, sfreq=250.0, *, method="fft", copy=True, n_jobs=None, verbose=None
    ):
        self.sfreq = sfreq
        self.method = method
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _correct(self, raw):
        return raw.resample(self.sfreq, method=self.method, n_jobs=self.n_jobs)
