"""Head movement: file formats, and how it reaches the volumes."""

from pathlib import Path

import mne
import numpy as np
import pytest

from mne_facet import AAS, TriggerAligner, TriggerDetector, add_motion, read_motion

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture
def motion():
    """Positions of 12 volumes: mm, and rad."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(scale=[0.1] * 3 + [0.002] * 3, size=(12, 6)), axis=0)


def _write(path, rows, header=None):
    lines = [] if header is None else [header]
    lines += ["  ".join(f"{value:.10e}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_every_format_tells_the_same(tmp_path, motion):
    x, y, z, pitch, roll, yaw = motion.T
    columns = "trans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z"
    degrees = np.rad2deg([yaw, pitch, roll])
    others = [np.full(12, np.nan)] * 2
    files = [
        _write(tmp_path / "rp_bold.txt", motion),
        _write(tmp_path / "mcf.par", motion[:, [3, 4, 5, 0, 1, 2]]),
        _write(tmp_path / "dfile.1D", np.c_[degrees.T, z, -x, -y], "# 3dvolreg"),
        _write(
            tmp_path / "confounds.tsv",
            np.c_[others[0], motion, others[1]],
            f"csf\t{columns}\tdvars",
        ),
        _write(tmp_path / "motion.tsv", motion, "\tx\ty\tz\tpitch\troll\tyaw"),
    ]
    for fname in files:
        np.testing.assert_allclose(read_motion(fname), motion, rtol=1e-9)
        assert read_motion(str(fname)).shape == (12, 6)


def test_format_can_be_named(tmp_path, motion):
    fname = _write(tmp_path / "motion.dat", motion[:, [3, 4, 5, 0, 1, 2]])
    np.testing.assert_allclose(read_motion(fname, fmt="fsl"), motion)
    with pytest.raises(ValueError, match=r"of motion.dat is unknown. Use fmt='sp"):
        read_motion(fname)
    with pytest.raises(ValueError, match="is unknown"):
        read_motion(fname, fmt="itk")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rp.txt", "1 2 3 4 5 6 7\n", "rp.txt has 7 columns, head movement has 6"),
        ("rp.txt", "x y z\n1 2 3\n", "rp.txt is not a table of numbers"),
        ("rp.txt", "1 2 3 4 5 nan\n", r"missing values in volume \[0\]"),
        ("a.tsv", "x\ty\n1\t2\n", "a.tsv has none of the columns"),
        (
            "a.tsv",
            "x y z pitch roll yaw\n0 0 0 0 0 0\n0 0 n/a 0 0 0\n",
            r"missing values in volume \[1\]",
        ),
    ],
)
def test_files_that_hold_something_else(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_motion(tmp_path / name)


def _extras(raw):
    volumes = raw.annotations.description == "TR"
    extras = [raw.annotations.extras[i] for i in np.flatnonzero(volumes)]
    return np.array([[e["translation"], e["rotation"]] for e in extras])


def test_volumes_know_how_far_the_head_moved(simulated, motion):
    raw = TriggerDetector("R128").fit_transform(simulated(duration=34.0)[0])
    moved = add_motion(raw, motion)
    sizes = _extras(moved)
    change = np.diff(motion, axis=0)
    assert (sizes[0] == 0).all()
    np.testing.assert_allclose(sizes[1:, 0], np.linalg.norm(change[:, :3], axis=1))
    degrees = np.rad2deg(np.linalg.norm(change[:, 3:], axis=1))
    np.testing.assert_allclose(sizes[1:, 1], degrees)
    assert all("translation" not in extra for extra in raw.annotations.extras)
    assert add_motion(raw, motion, copy=False) is raw
    np.testing.assert_array_equal(_extras(raw), sizes)


def test_movement_survives_alignment_and_the_file(simulated, motion, tmp_path):
    raw = TriggerDetector("R128").fit_transform(simulated(duration=34.0)[0])
    moved = TriggerAligner().fit_transform(add_motion(raw, motion))
    moved.save(tmp_path / "x_raw.fif")
    again = mne.io.read_raw_fif(tmp_path / "x_raw.fif", preload=True)
    np.testing.assert_allclose(_extras(again), _extras(add_motion(raw, motion)))
    expected = AAS(weights="motion").fit_transform(moved).get_data()
    np.testing.assert_allclose(
        AAS(weights="motion").fit_transform(again).get_data(), expected, atol=1e-9
    )


def test_dummy_scans_come_first(simulated, motion):
    raw = TriggerDetector("R128").fit_transform(simulated(duration=40.0)[0])
    with mne.utils.catch_logging(verbose="INFO") as log:
        sizes = _extras(add_motion(raw, motion))
    assert "12 rows for 15 volumes, the first 3 are taken for dummy" in log.getvalue()
    assert (sizes[:4] == 0).all()
    assert (sizes[4:] > 0).all()


def test_rows_must_fit_the_volumes(simulated, motion):
    raw = TriggerDetector("R128").fit_transform(simulated(duration=30.0)[0])
    with pytest.raises(ValueError, match="12 rows, but the run has 10 volumes"):
        add_motion(raw, motion)
    with pytest.raises(ValueError, match=r"motion has shape \(10, 5\), it needs 6"):
        add_motion(raw, np.zeros((10, 5)))
    with pytest.raises(ValueError, match=r"2 array\(s\) for 1 scanner run\(s\)"):
        add_motion(raw, [motion[:5], motion[5:]])


def test_one_array_for_each_run(simulated, motion):
    times = 6 + np.r_[2.0 * np.arange(7), 30 + 2.0 * np.arange(5)]
    raw, _ = simulated(duration=60.0, volume_times=tuple(times))
    raw = TriggerDetector("R128").fit_transform(raw)
    sizes = _extras(add_motion(raw, [motion[:7], motion[7:]]))
    assert np.flatnonzero(sizes[:, 0] == 0).tolist() == [0, 7]


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
@pytest.mark.parametrize("pattern", ["motion_openneuro_cc0/*.tsv", "*/rp_philips*.txt"])
def test_real_files(pattern):
    fnames = sorted(SHARED.glob(pattern))
    assert fnames
    for fname in fnames:
        found = read_motion(fname)
        header = int(fname.suffix == ".tsv")
        expected = np.loadtxt(fname, skiprows=header)
        np.testing.assert_array_equal(found, expected)
