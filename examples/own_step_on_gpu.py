"""
Your own step, on a GPU if there is one
=======================================

A low-pass by FFT, computed with PyTorch on a GPU where one is present, on the CPU
otherwise. The plan chooses the device; the function gets one channel, carries it there
and back, and returns a new array. ``n_jobs``, blocks, data on disk and files in
parallel come with :class:`mne_facet.ChannelTransformer`.

Needs PyTorch (https://pytorch.org).
"""

from functools import partial

import numpy as np
import torch

from mne_facet import ChannelTransformer, check_raw_transformer, simulate_raw


def lowpass(x, cutoff, device):
    """Set all bins of the spectrum above `cutoff` (cycles per sample) to zero."""
    signal = torch.from_numpy(x).to(device)
    spectrum = torch.fft.rfft(signal)
    spectrum[int(cutoff * x.size) + 1 :] = 0
    return torch.fft.irfft(spectrum, x.size).cpu().numpy()


class TorchLowPass(ChannelTransformer):
    """Low-pass filter on a GPU."""

    def __init__(
        self, h_freq=70.0, *, picks=None, copy=True, n_jobs=None, verbose=None
    ):
        self.h_freq = h_freq
        self.picks = picks
        self.copy = copy
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _plan(self, raw, picks):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        cutoff = self.h_freq / raw.info["sfreq"]
        return partial(lowpass, cutoff=cutoff, device=device)


# %%
# The contract: the same result for any number of jobs, in blocks, on disk, in lists.

check_raw_transformer(TorchLowPass())

# %%
# The same result as NumPy's, to rounding.

raw, _ = simulate_raw(60, n_eeg=8, sfreq=1000)
clean = TorchLowPass(n_jobs=2).fit_transform(raw).get_data("eeg")

spectrum = np.fft.rfft(raw.get_data("eeg"))
spectrum[:, int(70 / 1000 * raw.n_times) + 1 :] = 0
expected = np.fft.irfft(spectrum, raw.n_times)
print("device:", "cuda" if torch.cuda.is_available() else "cpu")
print(f"largest difference: {np.abs(clean - expected).max() / expected.std():.1e} sd")
