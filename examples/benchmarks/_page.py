"""Tables and pictures of the page "Benchmark", from the numbers of ``run.py``."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import nnls

plt.rcParams.update({"svg.hashsalt": "mne-facet", "svg.fonttype": "none"})
STYLE = {
    "MNE": ("0.45", "s"),
    "FACETpy AAS": ("#CC79A7", "^"),
    "FACETpy standard": ("#882255", "v"),
    "recipe default": ("#332288", "o"),
    "recipe lowrank": ("#0072B2", "o"),
    "recipe aas": ("#E69F00", "o"),
    "recipe allen": ("#B8A800", "o"),
    "recipe fastr": ("#009E73", "o"),
    "recipe facet": ("#D55E00", "o"),
    "recipe farm": ("#56B4E9", "o"),
    "MNE apply_pca_obs": ("0.45", "s"),
    "PulseAAS": ("#E69F00", "o"),
    "PulseOBS": ("#0072B2", "o"),
}
SMALLEST = {"minutes": 5}
AXES = {
    "minutes": "Length (min)",
    "n_channels": "Channels",
    "sfreq": "Sampling rate (Hz)",
}


def write_page(results, folder):
    """Write one file to include for each part there is, and its picture."""
    for part, write in WRITERS.items():
        if part in results:
            lines = [*write(results[part], folder), "", _measured_on(results[part])]
            (folder / f"{part}.inc").write_text("\n".join(lines) + "\n")


def slope(rows, axis):
    """Exponent of cost over size; None with fewer than 3 sizes."""
    pairs = [(row["value"], row["seconds"]) for row in rows]
    pairs = [pair for pair in pairs if pair[0] >= SMALLEST.get(axis, 0)]
    if len(pairs) < 3:
        return None
    size, seconds = np.transpose(pairs)
    if axis == "n_channels":
        # t = fixed + c size, relative errors; triggers and clock are fixed
        line = np.transpose([1 / seconds, size / seconds])
        seconds = seconds - nnls(line, np.ones(len(size)))[0][0]
    return float(np.polyfit(np.log(size), np.log(seconds), 1)[0])


def _quality(part, folder):
    presets = list(part["results"])
    names = {name for found in part["results"].values() for name in found}
    order = [name for name in part["results"][presets[0]] if name in names]
    rows = []
    for name in order:
        cells = []
        for preset in presets:
            value = part["results"][preset].get(name)
            cells.append(
                "error" if value is None else f"{value[0]:.1f} / {value[3]:.1f}"
            )
        rows.append([name, *cells])
    lines = [
        f"EEG to error in dB / alpha kept in percent, {_recordings(part)}:",
        "",
        *_table(["Method", *presets], rows),
        "",
        "More of one of them, the recording with a clock of its own:",
        "",
    ]
    head = ["Method", "dB", "dB, without both ends", "Error (µV)", "Alpha (%)"]
    detail = [
        [name, *(f"{x:.1f}" for x in value[:2]), f"{value[2]:.2f}"]
        + [f"{x:.1f}" for x in value[3:]]
        for name, value in part["results"]["own clock"].items()
    ]
    lines += _table([*head, "Evoked response (%)"], detail)
    fig, axis = plt.subplots(figsize=(8, 0.28 * len(order) + 1), layout="constrained")
    for preset, marker in zip(presets, "osD^", strict=True):
        found = part["results"][preset]
        places = [i for i, name in enumerate(order) if name in found]
        values = [found[order[i]][0] for i in places]
        axis.plot(values, places, marker, label=preset, alpha=0.8, ms=5)
    axis.set_yticks(range(len(order)), order)
    axis.invert_yaxis()
    axis.set_xlabel("EEG to error (dB)")
    fig.legend(*axis.get_legend_handles_labels(), **_LEGEND)
    _save(fig, [axis], folder / "quality.svg")
    return lines


def _growth(part, folder):
    found = part["results"]
    fig, axes = plt.subplots(
        1, len(found), figsize=(8, 3), sharey=True, layout="constrained", squeeze=False
    )
    for axis, (name, methods) in zip(axes[0], found.items(), strict=True):
        for method, pairs in methods.items():
            color, marker = STYLE[method]
            x, y = np.transpose(pairs)
            axis.semilogx(x, y, marker, ls="-", color=color, label=method)
        _name_scale(axis, name, [pair[0] for pair in pairs])
    axes[0, 0].set_ylabel("EEG to error (dB)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), **_LEGEND)
    _save(fig, axes[0], folder / "growth.svg")
    return [f"Where not said otherwise: {_point(part['typical'])}."]


def _pulse(part, _):
    head = ["Method", "dB", "dB, worst channel", "Alpha (%)", "Evoked (%)", "Sham (%)"]
    lines = []
    for setting, rows in part["results"].items():
        table = [
            [name, f"{snr:.1f}", f"{worst:.1f}", *(f"{x:.1f}" for x in (alpha, evoked))]
            + [f"{sham:.2f}"]
            for name, (snr, worst, _, alpha, evoked, sham) in rows.items()
        ]
        title = f"{setting.capitalize()}, {_recordings(part)}:"
        lines += [title, "", *_table(head, table), ""]
    return lines


def _cost(part, folder, file="cost.svg"):
    found, typical = part["results"], part["typical"]
    names = list(dict.fromkeys(name for rows in found.values() for name in rows))
    slopes = {
        name: {axis: slope(rows.get(name, []), axis) for axis, rows in found.items()}
        for name in names
    }
    table = []
    for name in names:
        rows = found["minutes"].get(name, [])
        [here] = [row for row in rows if row["value"] == typical["minutes"]] or [{}]
        table.append(
            [
                name,
                _number(here.get("seconds"), ".2f"),
                _number(here.get("copies"), ".0f"),
                _number(here.get("memory"), ".2f"),
                *(_number(slopes[name][axis], ".2f") for axis in found),
            ]
        )
    head = ["Method", "Seconds", "Copies", "Memory"]
    head += [f"Exponent, {AXES[axis].split(' (')[0].lower()}" for axis in found]
    _draw_cost(found, slopes, folder / file)
    return [f"{_point(typical)}, one job:", "", *_table(head, table)]


def _draw_cost(found, slopes, path):
    """One scale beside the other, exponents below the lines in their colors."""
    fig, axes = plt.subplots(
        1,
        len(found),
        figsize=(8, 5),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for axis, (scale, methods) in zip(axes[0], found.items(), strict=True):
        for name, rows in methods.items():
            color, marker = STYLE[name]
            x, y = np.transpose([(row["value"], row["seconds"]) for row in rows])
            axis.loglog(x, y, marker, ls="-", color=color, ms=4)
        values = sorted({row["value"] for rows in methods.values() for row in rows})
        _name_scale(axis, scale, values)
        known = [name for name in slopes if slopes[name][scale] is not None]
        lines = [(f"{slopes[name][scale]:.2f}", STYLE[name][0]) for name in known]
        for number, (text, color) in enumerate([*lines[::-1], ("exponent", "0.3")]):
            axis.text(
                0.97,
                0.02 + 0.042 * number,
                text,
                transform=axis.transAxes,
                ha="right",
                fontsize=8,
                color=color,
            )
    # room for them
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(low * (low / high) ** 0.35, high)
    axes[0, 0].set_ylabel("Time (s)")
    handles = [
        plt.Line2D([], [], color=STYLE[n][0], marker=STYLE[n][1], ms=4, label=n)
        for n in slopes
    ]
    fig.legend(handles=handles, **_LEGEND)
    _save(fig, axes[0], path)


def _pulse_cost(part, folder):
    return _cost(part, folder, "pulse_cost.svg")


def _jobs(part, _):
    table = []
    for name, rows in part["results"].items():
        for row in rows:
            table.append(
                [
                    name,
                    f"{row['n_jobs']}",
                    f"{row['seconds']:.2f}",
                    f"{rows[0]['seconds'] / row['seconds']:.2f}",
                    f"{row['copies']:.0f}",
                    _number(row["memory"], ".2f", part["bytes"]),
                    "yes" if row["equal"] else "no",
                ]
            )
    head = ["Method", "Jobs", "Seconds", "Speed-up", "Copies", "Memory", "Equal"]
    return [f"{_point(part['point'])}:", "", *_table(head, table)]


WRITERS = {
    "quality": _quality,
    "growth": _growth,
    "pulse": _pulse,
    "cost": _cost,
    "pulse_cost": _pulse_cost,
    "jobs": _jobs,
}
_LEGEND = {"loc": "outside lower center", "ncols": 4, "frameon": False, "fontsize": 9}


def _recordings(part):
    if part["seeds"] == 1:
        return f"one recording of {part['duration']:g} s"
    return f"means of {part['seeds']} recordings of {part['duration']:g} s"


def _number(value, form, unit=1):
    return "-" if value is None else f"{value / unit:{form}}"


def _point(point):
    return (
        f"{point['n_channels']} channels, {point['minutes']} minutes, "
        f"{point['sfreq']:g} Hz"
    )


def _measured_on(part):
    machine = dict(part["machine"])
    cpu, cores, system = (machine.pop(key) for key in ("cpu", "cores", "system"))
    versions = ", ".join(f"{name} {version}" for name, version in machine.items())
    quick = " With ``--quick``." if part["quick"] else ""
    return f"*{cpu}, {cores} cores; {system}; {versions}.*{quick}"


def _table(head, rows):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {x}" for i, x in enumerate(row)]
    return lines


def _name_scale(axis, name, values):
    axis.set_xlabel(AXES[name])
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()


def _save(fig, axes, path):
    for axis in axes:
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)
