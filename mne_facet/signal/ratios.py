"""Ratios of signals and powers, also where there is nothing."""

import numpy as np


def divide(above, below):
    """Ratio that is infinite where `below` is 0, and 1 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(above) / below
    return np.where((above == 0) & (below == 0), 1.0, ratio)


def decibel(above, below):
    """Ratio of two powers in dB, see :func:`divide`."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(divide(above, below))


def gain(x, true):
    """Amplitude of a signal in another one, ``<x, true> / <true, true>``, by rows."""
    return divide((x * true).sum(axis=1), (true**2).sum(axis=1))


def percent_kept(x, true):
    """Power that :func:`gain` stands for, in percent; 0 for what is inverted."""
    return 100 * np.maximum(0, gain(x, true)) ** 2
