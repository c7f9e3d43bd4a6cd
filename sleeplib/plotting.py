"""Numbers in, pictures out: one palette, one order of the stages, units on every axis."""

from datetime import timedelta

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.dates import DateFormatter, HourLocator, date2num
from matplotlib.ticker import LogLocator, NullLocator
from scipy.interpolate import RBFInterpolator

from sleeplib import signals
from sleeplib.recording import Recording
from sleeplib.simulator import head
from sleeplib.stages import STAGES, UNSCORED

# Safe for colour-blind readers, ordered in luminance so that it survives grey printing.
COLOURS = {"W": "#E69F00", "N1": "#56B4E9", "N2": "#0072B2", "N3": "#1B2A49", "REM": "#CC3311"}
UNSCORED_COLOUR = "#BBBBBB"
# Top to bottom in a hypnogram: W, REM, N1, N2, N3.
LEVEL = {"W": 4, "REM": 3, "N1": 2, "N2": 1, "N3": 0}
_SHORT = 900  # s; up to here time is shown in minutes
WIDTH = 7.6  # inches: 760 px at 100 dpi, a page's column


def use_style() -> None:
    """Set matplotlib's defaults for the book."""
    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.0), "figure.dpi": 100, "savefig.dpi": 160, "figure.facecolor": "white",
            "figure.constrained_layout.use": True, "axes.spines.top": False, "axes.spines.right": False,
            "axes.titlesize": 10, "axes.titlelocation": "left", "axes.labelsize": 9, "xtick.labelsize": 8,
            "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False, "font.size": 9,
        }
    )  # fmt: skip


def _axes(ax, height: float = 3.0):
    return ax if ax is not None else plt.subplots(figsize=(WIDTH, height))[1]


def _time_axis(ax, n: int, epoch_seconds: float, start=None) -> np.ndarray:
    """Epoch edges `(n + 1,)`: clock time where the recording has one, else hours, or minutes of a short piece."""
    if start is None:
        unit, seconds = ("h", 3600) if n * epoch_seconds > _SHORT else ("min", 60)
        ax.set_xlabel(f"time ({unit})")
        return np.arange(n + 1) * epoch_seconds / seconds
    ax.xaxis.set_major_locator(HourLocator(interval=1 + int(n * epoch_seconds / 3600 // 12)))
    ax.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    ax.set_xlabel("clock time")
    start = start.replace(tzinfo=None)  # the clock on the wall; matplotlib would show UTC
    first, last = date2num(start), date2num(start + timedelta(seconds=n * epoch_seconds))
    return np.linspace(first, last, n + 1)


def hypnogram(
    stages, epoch_seconds: float = 30.0, start=None, ax=None, label: str = "", colour: str | None = None
):
    """Draw stages `(N,)` as a step line with W, REM, N1, N2, N3 from top to bottom.

    REM is thick, unscored epochs are gaps.
    """
    ax, stages = _axes(ax, 2.0), np.asarray(stages)
    edges = _time_axis(ax, len(stages), epoch_seconds, start)
    levels = np.full(len(stages), np.nan)
    for code, name in enumerate(STAGES):
        levels[stages == code] = LEVEL[name]
    ax.stairs(levels, edges, baseline=None, color=colour or "#444444", lw=0.9, label=label or None)
    rem = np.where(stages == STAGES.index("REM"), float(LEVEL["REM"]), np.nan)
    ax.hlines(rem, edges[:-1], edges[1:], color=COLOURS["REM"], lw=3)
    ax.set(yticks=list(LEVEL.values()), yticklabels=list(LEVEL), ylim=(-0.4, 4.4), xlim=(edges[0], edges[-1]))
    return ax


def event_bars(events, y: float, ax, colour: str, label: str = "") -> None:
    """Draw events `(n, 2)` in seconds as bars at height `y`, on an axis in minutes."""
    for k, (first, last) in enumerate(np.asarray(events) / 60):
        name = label if k == 0 else "_nolegend_"
        ax.plot([first, last], [y, y], color=colour, lw=5, solid_capstyle="butt", label=name)


def errors(truth, predicted, epoch_seconds: float = 30.0, start=None, ax=None):
    """Mark the epochs whose prediction differs from the truth, coloured by the true stage."""
    ax, truth, predicted = _axes(ax, 0.6), np.asarray(truth), np.asarray(predicted)
    edges = _time_axis(ax, len(truth), epoch_seconds, start)
    wrong = np.flatnonzero((truth != predicted) & (truth != UNSCORED))
    ax.vlines(edges[wrong], 0, 1, color=[COLOURS[STAGES[s]] for s in truth[wrong]], lw=0.8)
    ax.set(yticks=[], ylim=(0, 1), xlim=(edges[0], edges[-1]), ylabel="errors")
    return ax


def hypnodensity(posteriors, epoch_seconds: float = 30.0, start=None, ax=None):
    """Draw posteriors `(N, 5)` as stacked areas, W on top."""
    ax, posteriors = _axes(ax, 1.8), np.asarray(posteriors)
    edges = _time_axis(ax, len(posteriors), epoch_seconds, start)
    order = sorted(STAGES, key=LEVEL.get)
    top = np.cumsum([posteriors[:, STAGES.index(name)] for name in order], axis=0)
    areas = np.vstack([np.zeros(len(posteriors)), top])[
        :, np.r_[: len(posteriors), -1]
    ]  # the last one is held, too
    for name, low, high in zip(order, areas[:-1], areas[1:], strict=True):
        ax.fill_between(edges, low, high, step="post", color=COLOURS[name], lw=0, label=name)
    ax.set(ylim=(0, 1), xlim=(edges[0], edges[-1]), ylabel="probability")
    return ax


def stage_legend(figure, ncols: int = 5, **where) -> None:
    """One legend of the five stages for a figure, outside above by default."""
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in LEVEL]
    figure.legend(handles, list(LEVEL), ncols=ncols, **{"loc": "outside upper right"} | where)


def spectrogram(x, rate: float, epoch_seconds: float = 30.0, start=None, ax=None, top: float = 30.0):
    """Draw the whole-night spectrogram of a channel in microvolts: median power of each epoch's frames, in dB."""
    ax = _axes(ax, 2.2)
    if rate > 128:
        x, rate = signals.resample(x, rate, 100.0), 100.0
    size = round(epoch_seconds * rate)
    image = np.median(signals.log_power_image(x[: len(x) // size * size].reshape(-1, size), rate), axis=1)
    hertz = np.arange(129) * rate / 256
    edges = _time_axis(ax, len(image), epoch_seconds, start)
    shown = hertz <= top
    low, high = np.percentile(image[:, shown], [2, 99])
    bins = np.arange(shown.sum() + 1) * rate / 256 - rate / 512
    mesh = ax.pcolormesh(edges, bins, image[:, shown].T, cmap="viridis", vmin=low, vmax=high, rasterized=True)
    ax.set(ylabel="frequency (Hz)", ylim=(0, top), xlim=(edges[0], edges[-1]))
    ax.figure.colorbar(mesh, ax=ax, label="power (dB)", pad=0.01)
    return ax


def traces(
    recording: Recording,
    onset: float,
    seconds: float = 30.0,
    channels=None,
    ax=None,
    lane: float = 100.0,
    events=(),
):
    """Draw a page of signals, one under the other, as on a scorer's screen.

    EEG and EOG have `lane` microvolts from one line to the next, so that pages can be compared; waves that are larger
    run into their neighbours. The chin is drawn to its own loudness in the whole night, in grey. Of `events`, arousals
    are shaded and others (apneas, hypopneas) drawn as bars below.
    """
    channels = channels or recording.channels
    ax = _axes(ax, 0.5 * len(channels) + 0.6)
    for i, name in enumerate(channels):
        x, rate = recording.channel(name)
        piece = x[round(onset * rate) : round((onset + seconds) * rate)]
        muscle = "chin" in name.lower() or "emg" in name.lower()
        scale = 2 * np.percentile(np.abs(x), 99.9) if muscle else lane
        t = onset + np.arange(len(piece)) / rate
        shown = (piece - np.median(piece)) / scale
        ax.plot(
            t,
            np.clip(shown, -0.6, 0.6) - i if muscle else shown - i,
            lw=0.6,
            color="#888888" if muscle else "#222222",
        )
    bar, right = _round_number(lane * 0.7), onset + seconds * 1.012
    ax.plot([right, right], [-bar / lane / 2, bar / lane / 2], color="black", lw=2, clip_on=False)
    ax.text(right + seconds * 0.008, 0, f"{bar:g} µV", va="center", fontsize=8)
    ax.set(yticks=-np.arange(len(channels)), yticklabels=channels, ylim=(-len(channels) + 0.3, 1.0))
    for event in events:
        span = event.onset, event.onset + event.duration
        if event.kind == "arousal":
            ax.axvspan(*span, color=COLOURS["W"], alpha=0.25, lw=0)
        else:
            ax.plot(span, [0.2 - len(channels)] * 2, color=COLOURS["REM"], lw=4, solid_capstyle="butt")
    if any(event.kind != "arousal" for event in events):
        ax.set_ylim(-len(channels), 1.0)
    ax.set(xlim=(onset, onset + seconds), xlabel="time from the start of the recording (s)")
    ax.xaxis.grid(True, color="#dddddd", lw=0.5)
    return ax


def _round_number(x: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above x."""
    power = 10.0 ** np.floor(np.log10(x))
    return max(m * power for m in (1, 2, 5) if m * power <= x * 1.0001)


def confusion_matrix(counts, ax=None, title: str = ""):
    """Draw a confusion matrix of counts `(5, 5)`: shares of each true stage in per cent, counts below."""
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    texts = [
        [f"{100 * s:.0f} %\n{c:,}" for s, c in zip(*rows, strict=True)]
        for rows in zip(shares, counts, strict=True)
    ]
    return _matrix(shares, texts, ax, title, xlabel="predicted", ylabel="true")


def confusion_difference(first, second, ax=None, title: str = ""):
    """Draw by how many percent points the shares of two confusion matrices `(5, 5)` of counts differ.

    On the diagonal more is better, off it less: both are blue, and what got worse is red.
    """
    shares = [np.asarray(c) / np.maximum(np.sum(c, axis=1, keepdims=True), 1) for c in (first, second)]
    points = 100 * (shares[0] - shares[1])
    better = np.where(np.eye(len(points), dtype=bool), points, -points)
    texts = [[f"{p:+.1f}" for p in row] for row in points]
    return _matrix(better, texts, ax, title, "RdBu", (-20, 20), xlabel="predicted", ylabel="true")


def transition_matrix(shares, ax=None, title: str = ""):
    """Draw the probabilities `(5, 5)` that an epoch of the row's stage is followed by one of the column's."""
    texts = [[f"{p:.3f}" for p in row] for row in np.asarray(shares)]
    return _matrix(np.asarray(shares), texts, ax, title, xlabel="next epoch", ylabel="epoch")


def numbers(values, rows, columns=None, ax=None, title: str = "", cmap="Blues", span=None, **labels):
    """Draw a matrix of numbers `(R, C)` with each number in its cell; `labels` are those of the axes."""
    columns = rows if columns is None else columns
    values, finite = np.asarray(values), np.asarray(values)[np.isfinite(values)]
    texts = [["" if np.isnan(x) else f"{x:.1f}" for x in row] for row in values]
    span = span or (finite.min(), finite.max())
    ax = ax if ax is not None else _axes(None, 0.4 + 0.3 * len(rows))
    return _matrix(values, texts, ax, title, cmap, span, rows, columns, **labels)


def _matrix(values, texts, ax, title, cmap="Blues", span=(0, 1), rows=STAGES, columns=STAGES, **labels):
    ax = ax if ax is not None else plt.subplots(figsize=(WIDTH * 0.55, WIDTH * 0.5))[1]
    image = ax.imshow(values, cmap=cmap, vmin=span[0], vmax=span[1])
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        ax.text(j, i, texts[i][j], ha="center", va="center", fontsize=7, color="white" if dark else "black")
    ax.set(
        xticks=range(len(columns)), yticks=range(len(rows)), xticklabels=columns, yticklabels=rows, **labels
    )
    ax.set_title(title)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax


def gains(found: dict, ax=None):
    """Draw `suite.gains`: what one system has over another, in points, with 95 % intervals."""
    ax = _axes(ax, 2.6)
    value, low, high = np.array(list(found.values())).T
    colours = [COLOURS.get(name, "#444444") for name in found]
    ax.bar(range(len(value)), value, color=colours, width=0.6)
    ax.errorbar(
        range(len(value)), value, [value - low, high - value], fmt="none", ecolor="black", lw=1, capsize=3
    )
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xticks=range(len(value)), xticklabels=found, ylabel="gain (points)")
    return ax


def learning_curve(history: list[dict], ax=None, label: str = ""):
    """Draw validation accuracy against the training step; the kept step is marked."""
    ax = _axes(ax, 2.6)
    steps, accuracy = [e["step"] for e in history], [100 * e["accuracy"] for e in history]
    (line,) = ax.plot(steps, accuracy, lw=1.2, marker=".", ms=4, label=label or None)
    best = len(accuracy) - 1 - int(np.argmax(accuracy[::-1]))
    ax.plot(steps[best], accuracy[best], "o", ms=8, mfc="none", color=line.get_color())
    ax.set(xlabel="training step", ylabel="validation accuracy (%)")
    return ax


def filterbank(W_fb, rate: float = 100.0, ax=None, title: str = ""):
    """Draw the filters `(F, M)` of a filterbank over frequency."""
    ax, W_fb = _axes(ax, 2.2), np.asarray(W_fb)
    hertz = np.arange(len(W_fb)) * rate / 256
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, W_fb.shape[1]))
    for column, colour in zip(W_fb.T, colours, strict=True):
        ax.plot(hertz, column, lw=1, color=colour)
    ax.set(xlabel="frequency (Hz)", ylabel="weight", title=title, xlim=(0, rate / 2))
    return ax


def intervals(rows: list[dict], metric: str = "accuracy", ax=None):
    """Draw a metric of several systems with 95 % intervals by person, the rows of a result record from top
    to bottom."""
    ax = _axes(ax, 0.4 * len(rows) + 0.8)
    grey = {"model": "#0072B2", "baseline": "#888888", "chance": "#BBBBBB", "limit": "#009E73"}
    for y, row in enumerate(rows):
        value, *bounds = 100 * np.array([row[metric], row[f"{metric}_low"], row[f"{metric}_high"]], float)
        ax.plot(bounds, [-y, -y], lw=3, color=grey[row["role"]], solid_capstyle="butt", alpha=0.5)
        ax.plot(value, -y, "o", ms=5, color=grey[row["role"]])
    ax.set(
        yticks=-np.arange(len(rows)),
        yticklabels=[row["system"] for row in rows],
        xlim=(0, 100),
        ylim=(0.6 - len(rows), 0.4),
    )
    ax.set(xlabel=f"{metric.replace('_', ' ')} (%), pooled; bars: 95 % over persons")
    return ax


def topography(values, electrodes, ax=None, title: str = "", unit: str = ""):
    """Draw values (E,) at electrodes of the 10-20 system on a head seen from above, nose up, smoothed between them."""
    ax, values = _axes(ax, 2.4), np.asarray(values, float)
    place = head.positions(electrodes)
    # Equal distances from the vertex on the paper as on the head; the circle goes through Fpz, T3 and Oz.
    polar, azimuth = (
        np.arccos(np.clip(place[:, 2], -1, 1)) / (np.pi / 2),
        np.arctan2(place[:, 0], place[:, 1]),
    )
    at = np.stack([polar * np.sin(azimuth), polar * np.cos(azimuth)], axis=1)
    grid = np.linspace(-1, 1, 101)
    x, y = np.meshgrid(grid, grid)
    smooth = RBFInterpolator(at, values, kernel="thin_plate_spline", smoothing=1e-3)
    field = smooth(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    field[x**2 + y**2 > 1] = np.nan
    mesh = ax.contourf(x, y, field, 12, cmap="viridis")
    outline = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.sin(outline), np.cos(outline), color="#444444", lw=1)
    ax.plot([-0.1, 0, 0.1], [0.995, 1.12, 0.995], color="#444444", lw=1)
    ax.plot(*at.T, ".", color="white", ms=4, mec="#444444", mew=0.6)
    ax.set(title=title, aspect="equal", xlim=(-1.05, 1.05), ylim=(-1.05, 1.18))
    ax.axis("off")
    ax.figure.colorbar(mesh, ax=ax, label=unit, shrink=0.75, pad=0.02)
    return ax


def quality(store, most: int = 60):
    """Draw how much of each channel of a store cannot be used, and how strong the channels are.

    Above, the share of each recording (column) and channel (row) that is flat, disconnected or clipped; where there are
    more than `most` recordings, the worst of them. Below, the standard deviations of all recordings by channel.
    """
    names = store.channels
    measured = [store.quality(i).get("channels", {}) for i in range(len(store))]
    nothing = dict.fromkeys(("sd", "flat", "disconnected", "clipped"), np.nan)
    values = {key: np.array([[m.get(n, nothing)[key] for n in names] for m in measured]) for key in nothing}
    bad = 100 * np.clip(values["flat"] + values["disconnected"] + values["clipped"], 0, 1)
    worst = np.sort(np.argsort(-np.nan_to_num(bad).max(1), kind="stable")[:most])
    height = 1.2 + 0.2 * len(names)
    figure, (above, below) = plt.subplots(2, 1, figsize=(WIDTH, 2 * height))
    reds = plt.get_cmap("Reds").with_extremes(under="white", bad="#CCCCCC")
    image = above.imshow(bad[worst].T, aspect="auto", cmap=reds, vmin=0.01, vmax=20, interpolation="nearest")
    above.set_xticks(np.arange(len(worst) + 1) - 0.5, minor=True)
    above.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    above.grid(which="minor", color="#EEEEEE", lw=0.8)
    above.tick_params(which="minor", length=0)
    above.set(yticks=range(len(names)), yticklabels=names, xlabel=f"recording ({len(worst)} of {len(store)})")
    if len(worst) <= 16:
        above.set_xticks(range(len(worst)), [store.ids[i][:14] for i in worst], rotation=40, ha="right")
    figure.colorbar(image, ax=above, label="unusable (%)", extend="max")
    columns = [column[np.isfinite(column) & (column > 0)] for column in values["sd"].T]
    below.boxplot(
        columns, orientation="horizontal", widths=0.6, flierprops={"ms": 3}, medianprops={"color": "#CC3311"}
    )
    below.set(yticks=range(1, len(names) + 1), yticklabels=names, xscale="log")
    below.invert_yaxis()
    finite = np.concatenate(columns)
    if len(finite):  # from a nice number to a nice number, so that two at least stand on the axis
        nice = np.outer(10.0 ** np.arange(-9, 9), (1, 2, 5)).ravel()
        below.set_xlim(
            nice[nice <= finite.min()].max(initial=1e-9), nice[nice >= finite.max()].min(initial=1e9)
        )
    below.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    below.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    below.xaxis.set_minor_locator(NullLocator())
    below.set_xlabel("standard deviation of an epoch, median of the recording (uV)")
    kind = "simulated" if store.simulated else "real"
    above.set_title(f"{store.cohort}: {len(store)} {kind} recordings; grey: no such channel")
    return figure
