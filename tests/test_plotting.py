"""Pictures: what is drawn is what was given, and the palette keeps its promises."""

from datetime import datetime, timedelta, timezone

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sleeplib import plotting
from sleeplib.errors import SleeplibError
from sleeplib.recording import Event, Recording
from sleeplib.simulator import head
from sleeplib.stages import STAGES


@pytest.fixture(autouse=True)
def close_figures():
    plotting.use_style()
    yield
    plt.close("all")


def luminance(colour):
    r, g, b = to_rgb(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_every_stage_has_a_colour_and_neighbours_differ_in_grey():
    assert set(plotting.COLOURS) == set(STAGES) == set(plotting.LEVEL)
    drawn = sorted(STAGES, key=plotting.LEVEL.get)
    assert drawn == ["N3", "N2", "N1", "REM", "W"]
    grey = [luminance(plotting.COLOURS[name]) for name in drawn]
    assert np.abs(np.diff(grey)).min() > 0.05


def test_a_hypnogram_has_rem_below_wake_hours_or_clock_time_and_gaps():
    ax = plotting.hypnogram([0, 1, 9, 4, 3])
    assert ax.get_xlabel() == "time (min)" and ax.get_xlim()[1] == pytest.approx(5 * 30 / 60)
    values = ax.patches[0].get_data().values
    assert np.isnan(values[2]) and values[[0, 1, 3, 4]].tolist() == [4, 2, 3, 0]
    clock = plotting.hypnogram([0] * 120, start=datetime(2001, 1, 1, 23, 30))
    clock.figure.canvas.draw()
    assert clock.get_xlabel() == "clock time" and any(
        t.get_text() == "00:00" for t in clock.get_xticklabels()
    )


def test_hypnodensity_fills_the_whole_height():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 40)
    ax = plotting.hypnodensity(p)
    assert len(ax.collections) == 5 and ax.get_ylim() == (0, 1)
    top = ax.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(1, abs=1e-6)


def test_errors_are_marked_where_they_are_and_unscored_epochs_are_none():
    ax = plotting.errors([0, 1, 9, 2], [0, 2, 0, 1])
    assert len(ax.collections[0].get_segments()) == 2


def test_axes_carry_units():
    x = np.random.default_rng(0).normal(0, 30, 128 * 600)
    night = Recording([x, x / 10], [128.0, 128.0], ["C4-M1", "Chin1-Chin2"])
    assert plotting.spectrogram(x, 128.0).get_ylabel() == "frequency (Hz)"
    assert plotting.spectrogram(x, 256.0).get_ylim() == (0, 30)
    page = plotting.traces(night, 30.0)
    assert page.get_xlabel().endswith("(s)") and any("µV" in t.get_text() for t in page.texts)
    assert plotting.filterbank(np.eye(129, 4)).get_xlabel() == "frequency (Hz)"


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (1.99, 1), (47, 20), (50, 50), (99, 50), (0.3, 0.2)])
def test_scale_bars_are_round(value, expected):
    assert plotting._round_number(value) == pytest.approx(expected)


def test_confusion_and_intervals_show_their_numbers():
    counts = np.diag([10, 20, 30, 40, 50]) + 1
    ax = plotting.confusion_matrix(counts)
    assert ax.texts[0].get_text() == "73 %\n11" and ax.get_ylabel() == "true"
    row = {"system": "a", "role": "model", "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9}
    ax = plotting.intervals([row, row | {"system": "b", "role": "chance"}])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"] and "95 %" in ax.get_xlabel()


def test_the_kept_step_is_circled():
    history = [{"step": s, "accuracy": a} for s, a in ((10, 0.5), (20, 0.8), (30, 0.8), (40, 0.6))]
    ax = plotting.learning_curve(history)
    assert ax.lines[1].get_xdata() == [30], "ties keep the later step, as training does"


def drawn(ax):
    """Where the field of a topography is largest and smallest, on a disc of radius 1: its outermost filled contours."""
    paths = [path for path in ax.collections[0].get_paths() if len(path.vertices)]
    return [path.vertices[len(path.vertices) // 2] for path in (paths[-1], paths[0])]


@pytest.mark.parametrize(
    ("electrode", "where"),
    [("Fz", (0, 0.5)), ("O2", (0.31, -0.95)), ("T3", (-1, 0)), ("C4", (0.5, 0)), ("F7", (-0.81, 0.59))],
)
def test_the_field_of_a_topography_is_largest_at_its_electrode(electrode, where):
    names = [name for name in head.SCALP if name not in ("Fpz", "Oz")]
    values = [10.0 * (name == electrode) for name in names]
    ax = plotting.topography(values, names, title="a field", unit="µV")
    ax.figure.canvas.draw()
    assert np.hypot(*(drawn(ax)[0] - where)) < 0.15
    dots = ax.lines[2].get_xydata()
    assert np.allclose(dots[names.index(electrode)], where, atol=0.01) and len(dots) == 19
    assert ax.get_title("left") == "a field" and ax.figure.axes[1].get_ylabel() == "µV"


def test_a_topography_from_left_to_right_and_front_to_back():
    names = list(head.SCALP)
    places = dict(zip(names, head.positions(names), strict=True))
    for axis, left_or_back in ((0, (-1, 0)), (1, (0, -1))):
        ax = plotting.topography([places[name][axis] for name in names], names)
        high, low = drawn(ax)
        assert np.dot(high, left_or_back) < -0.7 and np.dot(low, left_or_back) > 0.7
        outline = ax.lines[0].get_xydata()
        assert np.allclose(np.hypot(*outline.T), 1) and ax.lines[1].get_ydata().max() > 1, "the nose is up"


def test_a_topography_passes_through_its_values_and_draws_into_given_axes():
    names = ["Fz", "Cz", "Pz", "C3", "C4"]
    _, given = plt.subplots()
    ax = plotting.topography([3, 3, 3, 3, 3.0], names, ax=given)
    assert ax is given
    ax.figure.canvas.draw()
    ax = plotting.topography([1, 2, 3, 2, 2.0], names)
    levels = ax.collections[0].levels
    assert levels.min() <= 1 and levels.max() >= 3


def test_a_topography_of_an_unknown_electrode_is_told():
    with pytest.raises(SleeplibError, match="'XY'"):
        plotting.topography([1, 2, 3.0], ["Cz", "Pz", "XY"])


def test_events_are_marked_where_they_are():
    night = Recording([np.zeros(6000)], [100.0], ["C4-M1"])
    marks = [Event("arousal", 10.0, 5.0), Event("apnea", 20.0, 12.0)]
    axis = plotting.traces(night, 0.0, 60.0, events=marks)
    shade = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (shade.x0, shade.x1) == pytest.approx((10, 15))
    assert any(list(line.get_xdata()) == [20.0, 32.0] for line in axis.lines)


def test_clock_time_is_that_on_the_wall():
    zone = timezone(timedelta(hours=2))
    starts = [datetime(2024, 1, 1, 23, tzinfo=z) for z in (None, zone)]
    ticks = []
    for start in starts:
        ax = plotting.hypnogram(np.zeros(960, int), start=start)
        ax.figure.canvas.draw()
        ticks.append([label.get_text() for label in ax.get_xticklabels()])
    assert ticks[0] == ticks[1] and "23:00" in ticks[0]


def test_rows_without_an_interval_are_drawn_without():
    ax = plotting.intervals([
        {"system": "a", "role": "model", "accuracy": 0.8, "accuracy_low": None, "accuracy_high": None},
        {"system": "b", "role": "chance", "accuracy": None, "accuracy_low": None, "accuracy_high": None},
    ])  # fmt: skip
    assert [float(line.get_xdata()[0]) for line in ax.lines[1:2]] == [80.0]
