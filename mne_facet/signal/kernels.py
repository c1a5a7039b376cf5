"""Loops over samples in machine code, each with a twin in NumPy where it is called.

They run without the interpreter's lock. A thread that needs the lock between two loops
may wait longer for it than the loops take, so :func:`subtract` does all the epochs of
a channel in one call. Arrays are cut before the inner loops: with an offset to each
index, which might be negative, these take twice as long.
"""

import numpy as np
from numba import njit

from . import baseline as slow
from . import products
from .compiled import aligned_empty

# sums in any order, but NaN and Inf stay what they are
_compile = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})

_amplitudes = _compile(products.amplitudes)
_aligned_empty = _compile(aligned_empty)
_divide, _slow_part = _compile(slow.divide), _compile(slow.slow_part)


@_compile
def ranges(x, size):
    """Lowest and highest values of parts; see `epochs.part_ranges`."""
    found = np.empty((2, -(-x.size // size)))
    for k in range(found.shape[1]):
        part = x[k * size : (k + 1) * size]
        # four of each at a time: a comparison waits for the one before it
        low0 = low1 = low2 = low3 = high0 = high1 = high2 = high3 = part[0]
        whole = part.size // 4 * 4
        for t in range(0, whole, 4):
            low0, high0 = min(low0, part[t]), max(high0, part[t])
            low1, high1 = min(low1, part[t + 1]), max(high1, part[t + 1])
            low2, high2 = min(low2, part[t + 2]), max(high2, part[t + 2])
            low3, high3 = min(low3, part[t + 3]), max(high3, part[t + 3])
        for t in range(whole, part.size):
            low0, high0 = min(low0, part[t]), max(high0, part[t])
        found[0, k] = min(min(low0, low1), min(low2, low3))
        found[1, k] = max(max(high0, high1), max(high2, high3))
    return found


@_compile
def gather(epochs, x, starts):
    """Windows of a signal; see `align.gather`."""
    length = epochs.shape[1]
    for k in range(starts.size):
        epoch, start = epochs[k], starts[k]
        first = min(max(-start, 0), length)
        last = max(min(x.size - start, length), first)
        epoch[:first] = x[0]
        inner, values = epoch[first:last], x[start + first : start + last]
        for t in range(inner.size):
            inner[t] = values[t]
        epoch[last:] = x[-1]


@_compile
def baseline(x, periods, n_grid, good, n_passes):
    """Slow part of a signal; see `baseline.baseline`."""
    knots, first = _divide(periods, n_grid, x.size)
    sums = _sums(x, first)
    return _slow_part(x, knots, first, sums, n_grid, good, n_passes)


@_compile
def _sums(x, borders):
    found = np.empty(borders.size - 1)
    for k in range(found.size):
        part, total = x[borders[k] : borders[k + 1]], 0.0
        for t in range(part.size):
            total += part[t]
        found[k] = total
    return found


@_compile
def _cut(windows, which):
    start = windows.starts[which]
    if start < 0:
        return windows.special[-1 - start]
    return windows.signal[start : start + windows.length]


@_compile
def sum_up(templates, steps, windows, first):
    """Rows of an averaging matrix times epochs; see `products.running_product`."""
    data = steps.data
    for k in range(len(templates)):
        template = templates[k]
        begin, end = steps.indptr[first + k], steps.indptr[first + k + 1]
        if not steps.goes_on[first + k]:
            template[:] = 0.0
        elif end - begin < 4:
            template[:] = templates[k - steps.lag]
        else:
            # most rows: epochs at both ends enter and leave, the own one and the last
            before, i = templates[k - steps.lag], begin
            w0, w1, w2, w3 = data[i], data[i + 1], data[i + 2], data[i + 3]
            e0 = _cut(windows, steps.indices[i])
            e1 = _cut(windows, steps.indices[i + 1])
            e2 = _cut(windows, steps.indices[i + 2])
            e3 = _cut(windows, steps.indices[i + 3])
            for t in range(template.size):
                more = w0 * e0[t] + w1 * e1[t] + w2 * e2[t] + w3 * e3[t]
                template[t] = before[t] + more
            begin += 4
        for i in range(begin, end - 1, 2):
            weight, epoch = data[i], _cut(windows, steps.indices[i])
            other_weight = data[i + 1]
            other = _cut(windows, steps.indices[i + 1])
            for t in range(template.size):
                template[t] += weight * epoch[t] + other_weight * other[t]
        if (end - begin) % 2:
            weight = data[end - 1]
            epoch = _cut(windows, steps.indices[end - 1])
            for t in range(template.size):
                template[t] += weight * epoch[t]


@_compile
def add_spline(rows, coefs, spline):
    """Add a spline to each row; see `epochs.add_spline`."""
    for j in range(len(spline.borders) - 1):
        start, stop = spline.borders[j], spline.borders[j + 1]
        b0, b1 = spline.basis[0, start:stop], spline.basis[1, start:stop]
        b2, b3 = spline.basis[2, start:stop], spline.basis[3, start:stop]
        for k in range(len(rows)):
            row, c = rows[k, start:stop], coefs[k, j : j + 4]
            for t in range(row.size):
                row[t] += c[0] * b0[t] + c[1] * b1[t] + c[2] * b2[t] + c[3] * b3[t]


@_compile
def add_waves(rows, coefs, waves):
    """``rows += coefs @ waves``, three waves at a time, in parts that stay in cache."""
    n_waves, length = waves.shape
    for start in range(0, length, 256):
        for k in range(len(rows)):
            row = rows[k, start : start + 256]
            for p in range(0, n_waves - 2, 3):
                c0, c1, c2 = coefs[k, p], coefs[k, p + 1], coefs[k, p + 2]
                w0 = waves[p, start : start + 256]
                w1 = waves[p + 1, start : start + 256]
                w2 = waves[p + 2, start : start + 256]
                for t in range(row.size):
                    row[t] += c0 * w0[t] + c1 * w1[t] + c2 * w2[t]
            for p in range(n_waves // 3 * 3, n_waves):
                wave = waves[p, start : start + 256]
                for t in range(row.size):
                    row[t] += coefs[k, p] * wave[t]


@_compile
def difference_products(windows, templates, first, start, stop, width):
    """Products of differences of means; see `products.difference_products`."""
    found = np.zeros((3, len(templates)))
    for k in range(len(templates)):
        epoch, template = _cut(windows, first + k)[start:stop], templates[k, start:stop]
        own = fit = energy = before = other_before = 0.0
        for part in range(epoch.size // width):
            one = epoch[part * width : (part + 1) * width]
            other = template[part * width : (part + 1) * width]
            mean = other_mean = 0.0
            for t in range(width):
                mean += one[t]
                other_mean += other[t]
            if part > 0:
                difference, other_difference = mean - before, other_mean - other_before
                own += difference * difference
                fit += difference * other_difference
                energy += other_difference * other_difference
            before, other_before = mean, other_mean
        found[0, k], found[1, k], found[2, k] = own, fit, energy
    return found


@_compile
def paste(clean, templates, gain, joints, first):
    """Subtract cross-faded templates; see `epochs.paste`."""
    fade = joints.fade
    step = np.pi / (2 * fade)
    turns = step * np.arange(-fade, fade + 1)
    cosines, sines = np.cos(turns), np.sin(turns)
    for k in range(len(templates)):
        template, begin = templates[k], joints.rows[first + k]
        joined, borders = joints.joined[first + k], joints.borders[first + k]
        for side in range(2):
            if joined[side]:
                # rise or fall around the border, half a cosine
                border = borders[side]
                nearest = int(np.floor(border + 0.5))
                angle = step * (border - nearest)
                sine, cosine = np.sin(angle), np.cos(angle)
                sign = 0.5 - side
                for i in range(2 * fade + 1):
                    # sine of step * (sample - border), from -90 to 90 degrees
                    rise = sines[i] * cosine - cosines[i] * sine
                    if i + nearest <= border:
                        rise = -1.0
                    elif i + nearest >= border + 2 * fade:
                        rise = 1.0
                    template[nearest - fade - begin + i] *= 0.5 + sign * rise
        start = int(np.floor(joints.borders[first + k, 0] + 0.5)) - fade * joined[0]
        stop = (
            int(np.floor(joints.borders[first + k, 1] + 0.5)) + (fade + 1) * joined[1]
        )
        start = max(start, 0)
        stop = max(start, min(stop, clean.size))
        values, left = template[start - begin : stop - begin], clean[start:stop]
        for t in range(values.size):
            left[t] -= gain[k] * values[t]


@_compile
def paste_shared(clean, averages, group, coefs, waves, joints, first):
    """Subtract averages that epochs share, and waves; see `epochs.paste_shared`."""
    template, gain = _aligned_empty(1, averages.shape[1]), np.ones(1)
    for k in range(len(group)):
        template[0] = averages[group[k]]
        add_waves(template, coefs[k : k + 1], waves)
        paste(clean, template, gain, joints, first + k)


@_compile
def subtract(clean, epochs, means, smooth, joints, width):
    """Subtract the templates of all epochs; see `template.subtract_templates`."""
    borders = means.borders
    templates = _aligned_empty(np.diff(borders).max(), epochs.windows.length)
    for number in range(len(borders) - 1):
        start, stop = borders[number], borders[number + 1]
        block, good = templates[: stop - start], epochs.good[start:stop]
        sum_up(block, means.steps, epochs.windows, start)
        add_spline(block, smooth.slow[start:stop], smooth.spline)
        waves = smooth.waves[smooth.section[number]]
        add_waves(block, smooth.moves[start:stop], waves)
        gain = np.ones(len(block))
        if width > 0:
            found = difference_products(
                epochs.windows, block, start, epochs.start, epochs.stop, width
            )
            gain = _amplitudes(found[0], found[1], found[2], good)
        paste(clean, block, gain, joints, start)


@_compile
def delay(spectra, fine, coarse):
    """Multiply spectra by products of two tables; see `lowrank.delay`."""
    size = fine.shape[1]
    for k in range(len(spectra)):
        for j in range(len(coarse)):
            turn = coarse[j, k, 0]
            part = spectra[k, j * size : (j + 1) * size]
            factors = fine[k, : part.size]
            for i in range(part.size):
                part[i] *= factors[i] * turn


@_compile
def adaptive_filter(r, d, weights):
    """Blocks of four samples; the weights are kept in reverse order."""
    n_taps = weights.size
    y = np.empty(d.size)
    for n in range(0, d.size, 4):
        r0, r1 = r[n : n + n_taps], r[n + 1 : n + 1 + n_taps]
        r2, r3 = r[n + 2 : n + 2 + n_taps], r[n + 3 : n + 3 + n_taps]
        y0 = y1 = y2 = y3 = p10 = p20 = p30 = 0.0
        for m in range(n_taps):
            y0 += weights[m] * r0[m]
            y1 += weights[m] * r1[m]
            y2 += weights[m] * r2[m]
            y3 += weights[m] * r3[m]
            p10 += r1[m] * r0[m]
            p20 += r2[m] * r0[m]
            p30 += r3[m] * r0[m]
        # the other products: a sample enters the sum, another leaves it
        last = n + n_taps
        p21 = p10 + r[last + 1] * r[last] - r[n + 1] * r[n]
        p32 = p21 + r[last + 2] * r[last + 1] - r[n + 2] * r[n + 1]
        p31 = p20 + r[last + 2] * r[last] - r[n + 2] * r[n]
        e0 = d[n] - y0
        e1 = d[n + 1] - y1 - e0 * p10
        e2 = d[n + 2] - y2 - e0 * p20 - e1 * p21
        e3 = d[n + 3] - y3 - e0 * p30 - e1 * p31 - e2 * p32
        for m in range(n_taps):
            weights[m] += e0 * r0[m] + e1 * r1[m] + e2 * r2[m] + e3 * r3[m]
        y[n] = d[n] - e0
        y[n + 1] = d[n + 1] - e1
        y[n + 2] = d[n + 2] - e2
        y[n + 3] = d[n + 3] - e3
    return y
