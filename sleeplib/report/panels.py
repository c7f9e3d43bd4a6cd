"""A staged night in, its panels over time out: SVG paths whose x is the epoch, so that one view box zooms them all.

N epochs, S stages per epoch that are drawn, K windows of attention, C channels, F frequencies.
"""

import base64
import io

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from PIL import Image

from sleeplib.plotting import COLOURS, LEVEL
from sleeplib.report.tables import clock, per_cent, short
from sleeplib.staged import Staged
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED

MOST_STAGES = 16_384  # of a fine hypnogram: 8 h at 1.9 s; more could not be told apart on a screen
MOST_LANES = 12  # of attention; of more channels, those that are looked at most
TOP = 30.0  # Hz
LEVELS = 32  # of power in the spectrogram, told apart by eye as little as more
# Printed in grey, REM looks like N2 and N1 like W: they have level stripes. Colour, opacity, distance.
_STRIPES = {"REM": ("#FFFFFF", 0.45, 14), "N1": ("#000000", 0.4, 9)}
_ROWS = 96  # of the spectrogram's image
_STEPS = np.array([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400])


def rows(night: Staged, worth: list[int]) -> list[dict]:
    """The panels from top to bottom, as the template draws them.

    Each has `id`, `title`, `says` (in words, for who cannot see it), `height` on screen and `print` in pixels, `box`
    (the height of its view box), `body` (SVG) and `labels` at its left, each with its `y` in per cent.
    """
    found = [
        _hypnogram(night), _fine(night), _hypnodensity(night), _spectrogram(night), _arousals(night),
        _attention(night), _confidence(night), _worth(worth),
    ]  # fmt: skip
    return [row for row in found if row]


def marks(night: Staged) -> list[dict]:
    """Where the time axis has its marks before anybody zooms: `epoch` and `text`. The script does the same, finer."""
    seconds = EPOCH_SECONDS * len(night.posteriors)
    most = 8 if seconds > 480 else 4  # of 22:50 or of 22:50:30, side by side on a phone
    step = int(_STEPS[min(np.searchsorted(_STEPS, seconds / most), len(_STEPS) - 1)])
    step *= int(np.ceil(seconds / most / step)) if seconds / most > step else 1
    begins = night.begins
    since = (
        begins.hour * 3600 + begins.minute * 60 + begins.second + begins.microsecond / 1e6 if begins else 0.0
    )
    at = np.arange(-since % step, seconds + 1e-9, step)
    tell = clock(night, seconds=step < 60)
    return [{"epoch": round(float(t) / EPOCH_SECONDS, 4), "text": tell(t)} for t in at]


def percent(shares) -> np.ndarray:
    """Shares as whole per cents; 0 where they are not known."""
    return np.rint(100 * np.nan_to_num(np.asarray(shares, float))).astype(int)


def fine_stages(night: Staged) -> tuple[np.ndarray | None, int]:
    """Stages (N * S,) of the fine hypnogram and S; None if there is none.

    Of more than `MOST_STAGES` the posteriors are averaged first.
    """
    if night.fine is None:
        return None, 1
    n, most = len(night.posteriors), night.per_epoch
    keep = max(
        (s for s in range(1, most + 1) if most % s == 0 and (s == 1 or n * s <= MOST_STAGES)), default=1
    )
    stages = night.fine.reshape(n * keep, most // keep, len(STAGES)).mean(1).argmax(1)
    if night.unscored is not None:
        stages[np.repeat(night.unscored, keep)] = UNSCORED
    return stages, keep


def channel_names(night: Staged) -> list[str]:
    """A name for each column of the attention."""
    known = [] if night.attention is None else range(night.attention.shape[1])
    return [night.channels[i] if i < len(night.channels) else f"channel {i + 1}" for i in known]


def shares(night: Staged) -> np.ndarray | None:
    """The attention (K, C), None if there is none."""
    attention = night.attention
    return None if attention is None or not attention.size else np.nan_to_num(np.asarray(attention, float))


def _runs(values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First, last + 1 and value of each run of equal values (N,)."""
    values = np.asarray(values)
    edges = np.flatnonzero(np.r_[True, values[1:] != values[:-1], True])
    return edges[:-1], edges[1:], values[edges[:-1]]


def _line(values) -> str:
    """A step line through values (N,): the `d` of a path; it stops where they are not known (NaN)."""
    path, reached = "", -1
    for first, stop, y in zip(*_runs(values), strict=True):
        if np.isfinite(y):
            path += f"V{y:g}H{stop}" if first == reached else f"M{first} {y:g}H{stop}"
            reached = stop
    return path


def _area(values, floor: float, edges=None) -> str:
    """The steps (N,) filled down to `floor`; `edges` (N + 1,) in epochs if steps are no epochs."""
    _, stops, levels = _runs(values)
    stops = stops if edges is None else np.asarray(edges)[stops]
    return (
        f"M0 {floor:g}"
        + "".join(f"V{y:g}H{x:g}" for x, y in zip(stops, levels, strict=True))
        + f"V{floor:g}Z"
    )


def _row(id: str, title: str, says: str, height: int, print: int, box: float, body: str, labels=()) -> dict:
    return {
        "id": id, "title": title, "says": says, "height": height, "print": print, "box": f"{box:g}",
        "body": Markup(body),  # numbers and colours of ours only
        "labels": [{"y": round(y, 2), "text": text, "whole": whole} for y, text, whole in labels],
    }  # fmt: skip


def _steps_of(stages, per_epoch: int) -> tuple[str, list]:
    """A hypnogram as a grey line and a bar of its colour for each bout, and its labels."""
    height = np.full(UNSCORED + 1, np.nan)
    height[: len(STAGES)] = [max(LEVEL.values()) - LEVEL[name] + 0.5 for name in STAGES]
    first, stop, stage = _runs(stages)
    bars = "".join(
        f'<path d="{"".join(f"M{a} {height[k]:g}H{b}" for a, b, s in zip(first, stop, stage, strict=True) if s == k)}"'
        f' class="bout {name}" stroke="{COLOURS[name]}"/>'
        for k, name in enumerate(STAGES)
        if (stage == k).any()
    )
    scale = f' transform="scale({1 / per_epoch:.10g} 1)"' if per_epoch > 1 else ""
    labels = [(100 * height[STAGES.index(name)] / 5, name, name) for name in LEVEL]
    return f'<g{scale}><path class="line" d="{_line(height[stages])}"/>{bars}</g>', labels


def _hypnogram(night: Staged) -> dict:
    stages = night.hypnogram.stages
    body, labels = _steps_of(stages, 1)
    minutes = np.bincount(stages, minlength=5) * EPOCH_SECONDS / 60
    says = "Minutes: " + ", ".join(f"{name} {minutes[STAGES.index(name)]:g}" for name in LEVEL)
    return _row("hypnogram", "Hypnogram, epochs of 30 s", says, 116, 62, 5, body, labels)


def _fine(night: Staged) -> dict | None:
    stages, per_epoch = fine_stages(night)
    if stages is None:
        return None
    body, labels = _steps_of(stages, per_epoch)
    seconds = EPOCH_SECONDS / per_epoch
    title = f"Hypnogram, one stage in {seconds:.3g} s"
    if per_epoch < night.per_epoch:
        title += (
            f" (mean of {night.per_epoch // per_epoch} stages of {EPOCH_SECONDS / night.per_epoch:.3g} s)"
        )
    says = f"{np.count_nonzero(np.diff(stages))} changes of stage"
    return _row("fine", title, says, 100, 52, 5, body, labels)


def _hypnodensity(night: Staged) -> dict:
    order = sorted(STAGES, key=LEVEL.get)  # from the floor up
    known = night.hypnogram.scored
    top = np.cumsum(np.nan_to_num(night.posteriors)[:, [STAGES.index(name) for name in order]], axis=1)
    top = 200 - np.rint(200 * np.clip(top, 0, 1)).astype(int)
    areas = [f"M0 0H{len(top)}V200H0Z"] + [_area(top[:, i], 200) for i in (3, 2, 1, 0)]
    paths = "".join(
        f'<path class="area" d="{area}" fill="{_fill(name)}"/>'
        for area, name in zip(areas, reversed(order), strict=True)
    )
    stripes = "".join(_stripes(name, len(top)) for name in _STRIPES)
    first, stop, kept = _runs(known)
    gaps = "".join(f"M{a} 0H{b}V200H{a}Z" for a, b, k in zip(first, stop, kept, strict=True) if not k)
    paths += f'<path class="gap" d="{gaps}"/>' if gaps else ""
    mean = np.nan_to_num(night.posteriors[known]).mean(0) if known.any() else np.zeros(len(STAGES))
    says = "Stages' mean probabilities: " + ", ".join(
        f"{name} {per_cent(mean[STAGES.index(name)])}" for name in LEVEL
    )
    labels = [(100 - p, f"{p} %", "") for p in (0, 50, 100)]
    return _row(
        "hypnodensity", "Hypnodensity: probability of each stage", says, 112, 60, 200, stripes + paths, labels
    )


def _fill(name: str) -> str:
    """The colour of a stage, with stripes for two of them."""
    return f"url(#stripes-{name})" if name in _STRIPES else COLOURS[name]


def _stripes(name: str, n: int) -> str:
    """A pattern of a stage's colour with level stripes, which zooming along time leaves as they are."""
    stripe, opacity, apart = _STRIPES[name]
    return (
        f'<pattern id="stripes-{name}" width="{n}" height="{apart}" patternUnits="userSpaceOnUse">'
        f'<rect width="{n}" height="{apart}" fill="{COLOURS[name]}"/>'
        f'<rect width="{n}" height="2.5" fill="{stripe}" fill-opacity="{opacity}"/></pattern>'
    )


def _spectrogram(night: Staged) -> dict | None:
    if night.spectrum is None or night.hertz is None or not np.size(night.spectrum):
        return None
    hertz = np.asarray(night.hertz, float)
    shown = np.flatnonzero(hertz <= TOP)
    if not shown.size or not np.isfinite(night.spectrum[:, shown]).any():
        return None
    shown = shown[:: -(-len(shown) // _ROWS)]
    power = np.asarray(night.spectrum, float)[:, shown]
    low, high = np.percentile(power[np.isfinite(power)], [2, 99])
    share = np.clip((np.nan_to_num(power, nan=low) - low) / max(high - low, 1e-9), 0, 1)
    image = np.rint(share * (LEVELS - 1)).astype(np.uint8).T[::-1]
    half = (hertz[shown[-1]] - hertz[shown[0]]) / max(2 * (len(shown) - 1), 1) or 0.5
    bottom, top = hertz[shown[0]] - half, hertz[shown[-1]] + half
    body = (
        f'<image href="{_png(image)}" x="0" y="0" width="{image.shape[1]}" height="100"'
        ' preserveAspectRatio="none"/>'
    )
    labels = [
        (100 * (top - f) / (top - bottom), f"{f} Hz", "")
        for f in (0, 10, 20, 30)
        if bottom <= f <= top + half
    ]
    where = f" of {short(night.spectrum_channel, 24)}" if night.spectrum_channel else ""
    unit = (
        "re 1 µV²/Hz"
        if night.spectrum_unit == "uV"
        else "not calibrated: the file tells no unit that is known"
    )
    title = f"Spectrogram{where}: dark {low:.0f} dB to light {high:.0f} dB ({unit})"
    return _row("spectrogram", title, f"Up to {hertz[shown[-1]]:.0f} Hz", 124, 62, 100, body, labels)


def _png(image: np.ndarray) -> str:
    """An image of levels (rows, columns) as a data URI, in viridis: even steps of grey, too."""
    colours = (255 * colormaps["viridis"](np.linspace(0, 1, LEVELS))[:, :3]).round().astype(np.uint8)
    picture = Image.fromarray(image).convert("P")
    picture.putdata(image.ravel())
    picture.putpalette(colours.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, bits=int(LEVELS - 1).bit_length())
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _arousals(night: Staged) -> dict | None:
    if night.arousals is None:
        return None
    n = len(night.posteriors)
    spans = np.clip(np.reshape(night.arousals, (-1, 2)) / EPOCH_SECONDS, 0, n)
    ticks = "".join(f"M{a:g} 0V4M{a:g} 6H{b:g}" for a, b in np.round(spans, 2).tolist())
    title = f"Arousals: {len(spans) or 'none found'}"
    says = "Beginning as a tick, length as a bar below"
    return _row("arousals", title, says, 16, 11, 10, f'<path class="arousal" d="{ticks}"/>')


def _attention(night: Staged) -> dict | None:
    weights, names = shares(night), channel_names(night)
    if weights is None:
        return None
    n, window = len(night.posteriors), night.attention_seconds / EPOCH_SECONDS
    weights = weights[: max(int(np.ceil(n / window)), 1)]
    drawn = np.argsort(-weights.mean(0), kind="stable")[:MOST_LANES]
    lanes, mean = weights[:, drawn].T, weights.mean(0)
    edges = np.minimum(np.arange(len(weights) + 1) * window, n)
    highest = float(lanes.max()) or 1.0
    body = "".join(
        f'<path class="lane" d="{_area(10 * i + 10 - np.round(9 * lane / highest, 2), 10 * i + 10, edges)}"/>'
        for i, lane in enumerate(lanes)
    )
    labels = [
        (
            100 * (i + 0.5) / len(lanes),
            f"{short(names[k], 12, middle=True)} {per_cent(mean[k])}",
            short(names[k]),
        )
        for i, k in enumerate(drawn)
    ]
    says = "Means of the night: " + ", ".join(text for _, text, _ in labels)
    title = (
        f"Attention: weight of each channel in pieces of {night.attention_seconds / 60:.3g} min, up to "
        f"{per_cent(highest)}; means at the left"
    )
    if rest := len(names) - len(drawn):
        title += f" ({rest} channels with {per_cent(mean.sum() - mean[drawn].sum())} in all not drawn)"
    return _row("attention", title, says, 14 * len(lanes) + 2, 9 * len(lanes), 10 * len(lanes), body, labels)


def _confidence(night: Staged) -> dict:
    known = night.hypnogram.scored
    best = np.where(known, np.clip(np.nan_to_num(night.posteriors.max(1)), 0, 1), 0)
    body = f'<path class="lane" d="{_area(100 - percent(best), 100)}"/>'
    unsure, n = int((best[known] < 0.5).sum()), int(known.sum())
    says = (
        f"Median {per_cent(np.median(best[known]))}; below 50 % in {unsure} of {n} epochs"
        if n
        else "No stage"
    )
    labels = [(100 - p, f"{p} %", "") for p in (0, 50, 100)]
    title = f"Confidence: probability of the stage that was chosen. {says}"
    return _row("confidence", title, says, 56, 28, 100, body, labels)


def _worth(epochs: list[int]) -> dict | None:
    ticks = "".join(f"M{epoch} 5h1" for epoch in sorted(epochs))
    title = "Epochs worth a human look (listed below)"
    says = f"{len(epochs)} epochs"
    return _row("worth", title, says, 12, 9, 10, f'<path class="look" d="{ticks}"/>') if epochs else None
