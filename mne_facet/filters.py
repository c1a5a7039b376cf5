"""MNE's filters as Pipeline steps."""

from ._base import RawTransformer, pick_channels


class Filter(RawTransformer):
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
        As in MNE.
    copy : bool
        Whether to leave the input as it is and return a copy.
    n_jobs : int | None
        As in MNE.
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

    def _correct(self, raw):
        return raw.filter(
            self.l_freq,
            self.h_freq,
            picks=pick_channels(raw, self.picks, name="Filter"),
            method=self.method,
            n_jobs=self.n_jobs,
        )


class NotchFilter(RawTransformer):
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
        As in MNE.
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

    def _correct(self, raw):
        return raw.notch_filter(
            self.freqs,
            picks=pick_channels(raw, self.picks, name="NotchFilter"),
            method=self.method,
            n_jobs=self.n_jobs,
        )


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
