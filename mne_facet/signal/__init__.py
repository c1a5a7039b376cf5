"""Numerics of the corrections: arrays in, new arrays out; numpy and scipy only."""
