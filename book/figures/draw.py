"""Draws the book's schematic figures: `python book/figures/draw.py` rewrites the SVG files beside it.

Everything here is a drawing; figures computed from data are made in the notebooks. Each figure is about 440 units
wide with text of 14 units or more, so that it stays readable on a phone, and stands on its own light panel, so that
it reads the same in light and dark mode.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from sleeplib.plotting import COLOURS, LEVEL

HERE = Path(__file__).parent
INK, GREY, LINE, PAPER, WASH = "#1f2733", "#5b6675", "#b9c0ca", "#fdfcf9", "#eef1f5"
SIZE = 14.5


class Drawing:
    """A list of SVG elements on a rounded panel of `width` x `height` units."""

    def __init__(self, width, height, title):
        self.width, self.height, self.title, self.parts = width, height, title, []

    def add(self, element):
        self.parts.append(element)

    def text(self, x, y, words, anchor="start", size=SIZE, colour=INK, weight="normal", italic=False):
        style = ' font-style="italic"' if italic else ""
        self.add(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size:g}" fill="{colour}" '
                 f'font-weight="{weight}"{style}>{escape(words)}</text>')  # fmt: skip

    def turned(self, x, y, words, degrees):
        self.add(f'<g transform="rotate({degrees} {x:g} {y:g})">')
        self.text(x, y, words, "middle", weight="bold")
        self.add("</g>")

    def box(self, x, y, w, h, fill=WASH, stroke=LINE, radius=6, width=1.0, dash=""):
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{radius:g}" fill="{fill}" '
                 f'stroke="{stroke}" stroke-width="{width:g}"{dashed}/>')  # fmt: skip

    def line(self, points, colour=INK, width=1.3, dash="", fill="none"):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<polyline points="{path}" fill="{fill}" stroke="{colour}" stroke-width="{width:g}" '
                 f'stroke-linejoin="round" stroke-linecap="round"{dashed}/>')  # fmt: skip

    def arrow(self, x0, y0, x1, y1, colour=GREY, width=1.4):
        self.add(f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" stroke="{colour}" '
                 f'stroke-width="{width:g}" marker-end="url(#tip)"/>')  # fmt: skip

    def save(self, name):
        svg = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img"
 width="{self.width}" height="{self.height}" font-family="'Liberation Sans', Arial, Helvetica, sans-serif">
<title>{escape(self.title)}</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0,0.6 L7.6,4 L0,7.4 z" fill="{GREY}"/></marker></defs>
<rect width="{self.width}" height="{self.height}" rx="10" fill="{PAPER}"/>
"""
        (HERE / f"{name}.svg").write_text(svg + "\n".join(self.parts) + "\n</svg>\n")


def ink_on(colour):
    """Text colour that can be read on a stage's colour."""
    return "#ffffff" if colour in ("#0072B2", "#1B2A49", "#CC3311") else INK


def trace(d, x, y, w, wave, height, colour=INK, width=1.1):
    """A wave with values in -1..1 drawn from x to x + w around y."""
    d.line([(x + w * i / (len(wave) - 1), y - height * v) for i, v in enumerate(wave)], colour, width)


def stages():
    """Five rows: what the three kinds of trace look like in each stage."""
    rng, n = np.random.default_rng(7), 300
    t = np.linspace(0, 6, n)  # seconds

    def noise(low, high, size):
        freq = np.fft.rfftfreq(n, t[1])
        spectrum = np.fft.rfft(rng.normal(size=n)) * ((freq >= low) & (freq <= high))
        wave = np.fft.irfft(spectrum, n)
        return size * wave / wave.std()

    def bump(center, width):
        return np.exp(-(((t - center) / width) ** 2))

    mixed = noise(3, 8, 0.16)
    spindle = 0.42 * np.sin(2 * np.pi * 13 * t) * bump(4.4, 0.45)
    complex_ = -1.05 * bump(1.55, 0.13) + 0.95 * bump(1.95, 0.2)
    step = (
        np.tanh((t - 1.2) / 0.06)
        - np.tanh((t - 2.1) / 0.06)
        + np.tanh((t - 3.6) / 0.06)
        - np.tanh((t - 5.1) / 0.06)
    )
    rows = [
        ("W", "wake", "alpha, eyes closed", "blinks", "tense",
         0.3 * np.sin(2 * np.pi * 9.6 * t) * (0.7 + 0.3 * np.sin(1.7 * t)) + noise(8, 12, 0.06),
         0.95 * bump(1.5, 0.15) + 0.85 * bump(4.1, 0.15) + noise(1, 8, 0.05), 0.5),
        ("N1", "drowsy", "low, mixed 4-7 Hz", "slow rolling", "lower",
         noise(4, 7, 0.17) + noise(1, 4, 0.08), 0.75 * np.sin(2 * np.pi * 0.3 * t), 0.33),
        ("N2", "light", "K-complex and spindle", "still", "low", mixed + spindle + complex_,
         noise(1, 6, 0.07), 0.23),
        ("N3", "deep", "slow, over 75 µV", "EEG leaks in", "low",
         0.62 * np.sin(2 * np.pi * 0.95 * t + 0.8 * np.sin(1.3 * t)) + noise(0.6, 2, 0.25) + noise(4, 8, 0.06),
         0.3 * np.sin(2 * np.pi * 0.95 * t + 0.8 * np.sin(1.3 * t)) + noise(1, 6, 0.06), 0.2),
        ("REM", "dreaming", "mixed, saw-tooth", "rapid, bursts", "lowest",
         noise(3, 7, 0.16) + 0.14 * (((2.6 * t) % 1) - 0.5) * 2 * bump(3.6, 1.2), 0.4 * step + noise(1, 6, 0.05), 0.09),
    ]  # fmt: skip
    d = Drawing(450, 474, "The five stages: typical EEG, eye movements and chin tone")
    for x, head in ((88, "EEG, 6 s"), (248, "eyes"), (362, "chin")):
        d.text(x, 27, head, size=14.2, colour=GREY)
    for i, (stage, word, eeg_words, eye_words, emg_words, eeg, eye, tone) in enumerate(rows):
        y = 40 + i * 86
        d.box(10, y, 430, 78, fill="#ffffff", stroke="#e3e6ea")
        d.box(18, y + 12, 56, 28, fill=COLOURS[stage], stroke="none")
        d.text(46, y + 31.5, stage, "middle", 15, ink_on(COLOURS[stage]), "bold")
        d.text(46, y + 59, word, "middle", 14, GREY)
        trace(d, 88, y + 31, 148, eeg, 19, width=0.8 if stage == "W" else 1.1)
        trace(d, 248, y + 31, 102, eye, 17)
        trace(d, 362, y + 31, 68, tone * rng.normal(size=150) * 0.55, 20, width=0.9)
        d.text(88, y + 69, eeg_words, size=14.5, colour=GREY)
        d.text(248, y + 69, eye_words, size=14.5, colour=GREY)
        d.text(362, y + 69, emg_words, size=14.5, colour=GREY)
    d.save("stages")


def night():
    """A schematic hypnogram of a young adult: four and a half cycles."""
    bouts = [("W", 14), ("N1", 5), ("N2", 14), ("N3", 38), ("N2", 9), ("REM", 6), ("N2", 18), ("N3", 30),
             ("N2", 24), ("W", 2), ("N1", 3), ("N2", 5), ("REM", 17), ("N2", 30), ("N3", 12), ("N2", 25), ("REM", 24),
             ("W", 4), ("N1", 4), ("N2", 46), ("REM", 32), ("W", 3), ("N1", 4), ("N2", 44), ("REM", 22),
             ("W", 5)]  # fmt: skip
    total = sum(minutes for _, minutes in bouts)
    d = Drawing(450, 236, "Schematic hypnogram of one night")
    left, right, top, gap = 52, 436, 30, 34
    level = {stage: top + i * gap for i, stage in enumerate(LEVEL)}
    for stage, y in level.items():
        d.line([(left, y), (right, y)], "#e3e6ea", 1)
        d.text(left - 8, y + 5, stage, "end", 15.2, COLOURS[stage] if stage != "W" else "#9a6b00", "bold")
    now, before = 0.0, None
    for stage, minutes in bouts:
        x0, x1 = (left + (right - left) * v / total for v in (now, now + minutes))
        if before:
            d.line([(x0, level[before]), (x0, level[stage])], LINE, 1)
        d.line([(x0, level[stage]), (x1, level[stage])], COLOURS[stage], 6)
        now, before = now + minutes, stage
    base = top + 4 * gap + 20
    d.line([(left, base), (right, base)], GREY, 1)
    for hour in range(int(total // 60) + 1):
        x = left + (right - left) * hour * 60 / total
        d.line([(x, base), (x, base + 5)], GREY, 1)
        d.text(x, base + 20, str(hour), "middle", 14.2, GREY)
    d.text((left + right) / 2, base + 39, "hours after lights off", "middle", 14.2, GREY)
    d.save("night")


def rooms():
    """One night walks through the rooms of the package."""
    steps = [
        ("night.edf", "samples, one rate per channel", None),
        ("readers", "file → Recording", "labels, signals in µV, stages' texts"),
        ("cohorts", "whose night; one vocabulary", "derivations, hypnogram (N,), events"),
        ("preparation", "resample, scale, cut to epochs", "(C, T) at 100 or 128 Hz"),
        ("store", "prepared nights on disk", "int16 samples and stages (N,)"),
        ("sampling", "all sequences of L epochs, shuffled", "images (B, L, C, T, F)"),
        ("models", "SeqSleepNet", "logits (B, L, 5)"),
        ("training", "loss, Adam, keep the best", "weights"),
        ("inference", "fuse L decisions per epoch", "posteriors (N, 5)"),
        ("analysis", "compare with the expert", "kappa, macro F1, intervals"),
        ("results", "one JSON record", "this book's tables"),
    ]
    d = Drawing(440, 26 + 56 * len(steps), "One night walks through the rooms of sleeplib")
    for i, (room, does, gives) in enumerate(steps):
        y = 20 + i * 56
        first = gives is None
        d.box(
            16,
            y,
            104,
            40,
            fill="#ffffff" if first else "#dfe8f2",
            stroke=GREY if first else "#9fb4cc",
            width=1.2,
        )
        d.text(68, y + 25, room, "middle", 15.2, weight="bold")
        d.text(134, y + 16, does, size=14.2)
        if gives:
            d.text(134, y + 35, gives, size=14.2, colour=COLOURS["N2"])
        if i:
            d.arrow(68, y - 17, 68, y - 2)
    d.save("rooms")


def image():
    """From 3,000 samples to a 29 x 129 log-power image."""
    rng = np.random.default_rng(3)
    d = Drawing(450, 398, "From a 30-second epoch to a log-power image")
    left, width = 24, 402
    t = np.linspace(0, 30, 900)
    wave = np.convolve(rng.normal(size=940), np.hanning(9), "valid")[:900] / 5
    wave += 0.6 * np.sin(2 * np.pi * 1.1 * t) * np.exp(-(((t - 18) / 4) ** 2))
    d.text(left, 26, "one epoch: 30 s × 100 Hz = 3,000 samples", size=15.2, weight="bold")
    trace(d, left, 66, width, np.clip(wave, -1.2, 1.2), 22, width=0.8)
    second = width / 30
    for k in (0, 1, 2, 28):
        x, y = left + k * second, 98 + (k % 3 if k < 28 else 1) * 13
        bell = [
            (x + 2 * second * u, y + 11 - 11 * (0.54 - 0.46 * np.cos(2 * np.pi * u)))
            for u in np.linspace(0, 1, 30)
        ]
        d.line([*bell, (x + 2 * second, y + 11), (x, y + 11)], COLOURS["N2"], 1, fill="#cfe0ef")
    d.text(left + 5.2 * second, 114, "29 Hamming windows of 2 s, one every second", size=14.2, colour=GREY)
    d.text(left + 5.2 * second, 132, "1 + (3,000 − 200) / 100 = 29", size=14.2, colour=GREY)
    d.arrow(225, 147, 225, 166)
    d.text(237, 161, "pad to 256, FFT, 20 log₁₀ |X|", size=14.2)
    top, height = 176, 150
    rows = 22
    cell = height / rows
    for k in range(29):
        power = np.linspace(0.95, 0.12, rows) + 0.11 * rng.normal(size=rows)
        power[:3] += 0.3 * np.exp(-(((k - 18) / 4) ** 2))
        for r, v in enumerate(np.clip(power, 0, 1)):
            shade = [int(a + (b - a) * v) for a, b in zip((238, 243, 248), (12, 60, 110), strict=True)]
            x, y, w = left + 30 + k * (width - 60) / 29, top + height - (r + 1) * cell, (width - 60) / 29
            d.box(x, y, w + 0.4, cell + 0.4, f"rgb{tuple(shade)}", "none", radius=0)
    d.text(left + 24, top + 11, "50 Hz", "end", 14.5, GREY)
    d.text(left + 24, top + height, "0", "end", 14.5, GREY)
    d.text(left + 30, top + height + 18, "0 s", size=14.5, colour=GREY)
    d.text(left + width - 30, top + height + 18, "30 s", "end", 14.5, GREY)
    d.text(225, top + height + 20, "T = 29 frames", "middle", 14.6, weight="bold")
    d.turned(left + width - 12, top + height / 2, "F = 129 bins", 90)
    d.text(225, 380, "one such image per channel: (C, T, F) = (3, 29, 129)", "middle", 14.2, GREY)
    d.save("log_power_image")


def filterbank():
    """The fixed triangular mask, and what a learned weight inside one triangle may look like."""
    d = Drawing(450, 268, "Triangular mask of the learned filterbank")
    left, width = 20, 410
    edges = np.floor(257 * np.linspace(0, 50, 34) / 100).astype(int)
    scale = width / 128
    d.text(left, 24, "the mask T: 32 triangles over 129 bins", size=15.2, weight="bold")
    base = 96
    for j in range(32):
        a, b, c = (left + scale * e for e in edges[j : j + 3])
        chosen = j in (6, 22)
        d.line(
            [(a, base), (b, base - 56), (c, base)],
            COLOURS["REM"] if chosen else "#8aa0b8",
            1.8 if chosen else 1,
        )
    d.line([(left, base), (left + width, base)], GREY, 1)
    for hz in range(0, 51, 10):
        x = left + width * hz / 50
        d.line([(x, base), (x, base + 5)], GREY, 1)
        d.text(
            x, base + 20, f"{hz}" + (" Hz" if hz == 50 else ""), "middle" if hz < 50 else "end", 14.2, GREY
        )
    d.text(left, 150, "one filter: sigmoid(W) inside its triangle", size=15.2, weight="bold")
    base, rng = 232, np.random.default_rng(5)
    bins = np.arange(edges[6] - 2, edges[8] + 3)
    peak = edges[7]
    mask = np.clip(1 - np.abs(bins - peak) / np.where(bins < peak, peak - edges[6], edges[8] - peak), 0, 1)
    learned = mask / (1 + np.exp(-1.4 * rng.normal(size=len(bins))))
    step = 330 / (len(bins) - 1)
    d.line([(60 + step * i, base - 66 * v) for i, v in enumerate(mask)], "#8aa0b8", 1.6, "4 3")
    for i, v in enumerate(learned):
        x = 60 + step * i
        d.line([(x, base), (x, base - 66 * v)], COLOURS["REM"], 5 if v else 1)
        d.text(x, base + 17, str(bins[i]), "middle", 14.5, GREY)
    d.line([(44, base), (406, base)], GREY, 1)
    d.text(14, base + 17, "bin", size=14.5, colour=GREY)
    d.text(150, base - 52, "triangle", "end", 14.2, "#5f7894")
    d.text(318, base - 54, "never negative,", size=14.2, colour=GREY)
    d.text(318, base - 37, "never above T", size=14.2, colour=GREY)
    d.save("filterbank")


def seqsleepnet():
    """The network from bottom to top of the paper's figure, here from top to bottom, with shapes."""
    blue, sand, green = "#dfe8f2", "#fbeccb", "#dcefe6"
    blocks = [
        (
            "log-power images",
            "(B, L, C, T, F)",
            "(32, 20, 3, 29, 129)",
            "#ffffff",
            "one per epoch and channel",
        ),
        ("filterbank, one per channel", "(B·L, T, C·M)", "(640, 29, 96)", sand, "eqs. 1-2"),
        (
            "bi-directional GRU over frames",
            "(B·L, T, A)",
            "(640, 29, 64)",
            blue,
            "eqs. 3-8, projection eq. 9",
        ),
        ("attention: T frames → 1 vector", "(B·L, A)", "(640, 64)", blue, "eqs. 10-12"),
        ("bi-directional GRU over epochs", "(B, L, 2H)", "(32, 20, 128)", green, "eqs. 3-8 again"),
        ("linear, softmax", "(B, L, K)", "(32, 20, 5)", green, "eqs. 13-15"),
    ]
    d = Drawing(450, 14 + 76 * len(blocks), "SeqSleepNet: data flow and shapes")
    for i, (name, letters, numbers, fill, note) in enumerate(blocks):
        y = 18 + i * 76
        d.box(14, y, 422, 52, fill=fill, stroke=LINE)
        d.text(26, y + 22, name, size=15.2, weight="bold")
        d.text(26, y + 41, note, size=14.5, colour=GREY)
        d.text(424, y + 22, letters, "end", 15.2)
        d.text(424, y + 41, numbers, "end", 14.5, COLOURS["N2"])
        if i:
            d.arrow(225, y - 23, 225, y - 3)
    d.text(238, 18 + 76 - 7, "unfold: epochs into the batch", size=14.5, colour=GREY)
    d.text(238, 18 + 4 * 76 - 7, "fold: back into sequences", size=14.5, colour=GREY)
    d.save("seqsleepnet")


def folding():
    """The same numbers, three ways of reading them."""
    d = Drawing(450, 392, "Unfolding and folding")
    colours = ("#dfe8f2", "#fbeccb")

    def sheet(x, y, b, epoch, w=44, h=34):
        d.box(x, y, w, h, fill=colours[b], stroke=GREY, radius=2)
        for k in range(1, 6):
            d.line([(x + w * k / 6, y + 3), (x + w * k / 6, y + h - 3)], LINE, 0.8)
        d.text(x + w / 2, y + h / 2 + 5, f"{'ab'[b]}{epoch}", "middle", 14.6, weight="bold")

    d.text(18, 27, "as sampled: B sequences of L epochs", size=15.2, weight="bold")
    d.text(432, 27, "(B, L, T, F)", "end", 15.2)
    for b in range(2):
        for epoch in range(4):
            sheet(18 + 52 * epoch, 40 + 42 * b, b, epoch + 1)
    d.text(240, 76, "two sequences, a and b,", size=14.2, colour=GREY)
    d.text(240, 94, "of four epochs each", size=14.2, colour=GREY)
    d.arrow(225, 128, 225, 148)
    d.text(238, 143, "unfold", size=14.2, colour=GREY)
    d.text(18, 172, "for the epoch level: B·L images", size=15.2, weight="bold")
    d.text(432, 172, "(B·L, T, F)", "end", 15.2)
    for k in range(8):
        sheet(18 + 52 * k, 184, k // 4, k % 4 + 1)
    d.text(18, 238, "no epoch sees another one; the weights are the same for all", size=14.2, colour=GREY)
    d.arrow(225, 246, 225, 266)
    d.text(238, 261, "encode, then fold", size=14.2, colour=GREY)
    d.text(18, 290, "for the sequence level: B sequences of L vectors", size=15.2, weight="bold")
    d.text(432, 290, "(B, L, A)", "end", 15.2)
    for b in range(2):
        for epoch in range(4):
            x, y = 18 + 52 * epoch, 304 + 38 * b
            d.box(x, y, 26, 28, fill=colours[b], stroke=GREY, radius=2)
            d.text(x + 13, y + 19, f"{'ab'[b]}{epoch + 1}", "middle", 14.5, weight="bold")
            if epoch:
                d.arrow(x - 24, y + 14, x - 3, y + 14)
    d.text(240, 334, "now the epochs of one", size=14.2, colour=GREY)
    d.text(240, 352, "sequence talk to each other", size=14.2, colour=GREY)
    d.save("folding")


def fusion():
    """Windows of length L slide over a recording; each epoch collects decisions."""
    n, length = 9, 4
    d = Drawing(450, 344, "Fusing the overlapping decisions of a sequence network")
    left, step = 92, 38
    d.text(
        18,
        26,
        f"N = {n}, L = {length}: N − L + 1 = {n - length + 1} windows",
        size=15.2,
        weight="bold",
    )
    for t in range(n):
        d.text(left + step * (t + 0.5), 50, str(t + 1), "middle", 14.2, GREY)
    d.text(left - 8, 50, "epoch", "end", 14.2, GREY)
    for w in range(n - length + 1):
        y = 60 + 32 * w
        d.text(left - 8, y + 18, f"window {w + 1}", "end", 14.2, GREY)
        for t in range(w, w + length):
            focus = t == 4
            fill = COLOURS["REM"] if focus else "#cfe0ef"
            d.box(left + step * t + 2, y, step - 4, 26, fill=fill, stroke="none", radius=3)
    y = 60 + 32 * (n - length + 1) + 6
    d.line([(left, y), (left + step * n, y)], GREY, 1)
    d.text(left - 8, y + 21, "decisions", "end", 14.2, GREY)
    for t in range(n):
        count = min(t + 1, length, n - t, n - length + 1)
        colour = COLOURS["REM"] if t == 4 else INK
        d.text(left + step * (t + 0.5), y + 21, str(count), "middle", 15.6, colour, "bold")
    d.text(225, y + 48, "epoch 5: mean of 4 log posteriors, then the largest", "middle", 14.2, COLOURS["REM"])
    d.text(225, y + 66, "the ends of a recording get fewer decisions", "middle", 14.2, GREY)
    d.save("fusion")


def confusion():
    """How to read a confusion matrix; the numbers are the invented example of the chapter."""
    names = ("W", "N1", "N2", "N3", "REM")
    matrix = np.array(
        [[104, 10, 2, 0, 4], [12, 24, 18, 0, 6], [4, 14, 432, 22, 8], [0, 0, 28, 112, 0], [6, 8, 10, 0, 176]]
    )
    d = Drawing(450, 412, "Reading a confusion matrix")
    left, top, cell = 92, 62, 50
    d.text(left + 2.5 * cell, 24, "the model says", "middle", 15.2, weight="bold")
    d.turned(24, top + 2.5 * cell, "the expert says", -90)
    shares = matrix / matrix.sum(1, keepdims=True)
    for i, name in enumerate(names):
        d.text(left + cell * (i + 0.5), top - 12, name, "middle", 14.6, weight="bold")
        d.text(left - 12, top + cell * (i + 0.5) + 5, name, "end", 14.6, weight="bold")
        for j in range(5):
            shade = [int(255 + (b - 255) * shares[i, j]) for b in (0, 94, 156)]
            d.box(
                left + cell * j,
                top + cell * i,
                cell,
                cell,
                fill=f"rgb{tuple(shade)}",
                stroke="#ffffff",
                radius=0,
                width=2,
            )
            colour = "#ffffff" if shares[i, j] > 0.5 else INK
            d.text(
                left + cell * (j + 0.5), top + cell * (i + 0.5) + 5, str(matrix[i, j]), "middle", 15.2, colour
            )
    d.box(
        left - 1,
        top + cell - 1,
        5 * cell + 2,
        cell + 2,
        fill="none",
        stroke=COLOURS["W"],
        width=2.6,
        radius=3,
    )
    d.box(
        left + cell - 1,
        top - 1,
        cell + 2,
        5 * cell + 2,
        fill="none",
        stroke=COLOURS["REM"],
        width=2.6,
        radius=3,
    )
    x = left + 5 * cell + 8
    d.text(x, top + cell * 1.5 - 4, "sensitivity", size=14.2, colour="#9a6b00", weight="bold")
    d.text(x, top + cell * 1.5 + 13, "24/60 = 0.40", size=14.2, colour="#9a6b00")
    y = top + 5 * cell + 20
    d.text(left + 1.5 * cell, y, "selectivity", "middle", 14.2, COLOURS["REM"], "bold")
    d.text(left + 1.5 * cell, y + 17, "24/56 = 0.43", "middle", 14.2, COLOURS["REM"])
    d.text(225, y + 48, "rows are what was there, columns are what was said;", "middle", 14.2, GREY)
    d.text(225, y + 66, "shade: share of the row", "middle", 14.2, GREY)
    d.save("confusion")


def splitting():
    """Shuffling epochs leaks persons; splitting persons does not."""
    rng = np.random.default_rng(2)
    d = Drawing(450, 262, "Splitting by epoch leaks, splitting by person does not")
    train, test = "#cfe0ef", COLOURS["REM"]
    persons, epochs = 5, 11
    for panel, x, head in ((0, 58, "by epoch: leaks"), (1, 262, "by person: honest")):
        d.text(x, 26, head, size=15.2, weight="bold")
        for p in range(persons):
            y = 42 + 32 * p
            if panel == 0:
                d.text(x - 8, y + 17, f"P{p + 1}", "end", 14.2, GREY)
            for k in range(epochs):
                hit = rng.random() < 0.2 if panel == 0 else p == 3
                d.box(x + 15.6 * k, y, 13.4, 24, fill=test if hit else train, stroke="none", radius=2)
    y = 42 + 32 * persons + 16
    d.box(58, y - 11, 14, 14, fill=train, stroke="none", radius=2)
    d.text(78, y + 1, "training epoch", size=14.2, colour=GREY)
    d.box(190, y - 11, 14, 14, fill=test, stroke="none", radius=2)
    d.text(210, y + 1, "test epoch", size=14.2, colour=GREY)
    d.text(225, y + 28, "each row is one person's night", "middle", 14.2, GREY)
    d.save("splitting")


def schemes():
    """Four ways to map epochs to labels."""
    d = Drawing(450, 306, "Four classification schemes")

    def scheme(x, y, name, inputs, outputs, note):
        d.text(x, y, name, size=15.2, weight="bold")
        place = lambda k, n: x + 76 + (k - (n - 1) / 2) * 34  # noqa: E731
        for k in range(inputs):
            d.box(place(k, inputs) - 13, y + 76, 26, 24, fill="#cfe0ef", stroke="#9fb4cc", radius=3)
            d.arrow(place(k, inputs), y + 75, x + 76 + (place(k, inputs) - x - 76) * 0.5, y + 64, width=1)
        d.box(x + 20, y + 44, 112, 18, fill="#fbeccb", stroke="#d9c48d", radius=4)
        for k in range(outputs):
            d.arrow(x + 76 + (place(k, outputs) - x - 76) * 0.6, y + 43, place(k, outputs), y + 31, width=1)
            d.add(f'<circle cx="{place(k, outputs):g}" cy="{y + 21}" r="8" fill="{COLOURS["N2"]}"/>')
        d.text(x, y + 119, note, size=14.5, colour=GREY)

    scheme(30, 26, "one to one", 1, 1, "E2E-ARNN")
    scheme(250, 26, "many to one", 3, 1, "context in the input")
    scheme(30, 172, "one to many", 1, 3, "multitask E2E-ARNN")
    scheme(250, 172, "many to many", 4, 4, "SeqSleepNet")
    d.save("schemes")


def family():
    """The systems of Table II: what goes in (colour), what comes out (row), what grew out of what (line)."""
    features, signal, image = "#fbeccb", "#dcefe6", "#dfe8f2"
    columns, width, height, gap = (12, 120, 228, 336), 102, 44, 88
    rows = (
        (
            "one epoch's features in, one stage out",
            ((0, "Dong", "DNN"), (1, "random", "forest"), (2, "SVM", "")),
        ),
        (
            "an epoch with its neighbours in, one stage out",
            ((1, "Chambon", "et al."), (2, "Tsinalis", "et al.")),
        ),
        (
            "one epoch in, one stage out",
            ((1, "DeepSleep-", "Net1"), (2, "E2E-ARNN", ""), (3, "1-max CNN", "")),
        ),
        ("one epoch in, three stages out", ((2, "multitask", "E2E-ARNN"), (3, "multitask", "1-max"))),
        (
            "a sequence in, all its stages out",
            ((0, "Dong", "MNN"), (1, "E2E-Deep-", "SleepNet"), (2, "SeqSleep-", "Net")),
        ),
    )
    fills = {0: dict.fromkeys(range(3), features), 1: dict.fromkeys(range(3), signal)}
    other = {0: features, 1: signal, 2: image, 3: image}
    d = Drawing(450, 516, "The systems of Table II as a family")
    top = [40 + gap * r for r in range(len(rows))]
    for column, first, last in ((0, 0, 4), (1, 2, 4), (3, 2, 3)):
        x = columns[column] + width / 2
        d.arrow(x, top[first] + height, x, top[last] - 2)
    x = columns[2]
    d.arrow(x + 61, top[2] + height, x + 61, top[3] - 2)
    d.arrow(x + 9, top[2] + height, x + 9, top[4] - 2)
    for r, (scheme, members) in enumerate(rows):
        d.box(10, top[r] - 27, 8.0 + 7.1 * len(scheme), 17, fill=PAPER, stroke="none")
        d.text(14, top[r] - 13, scheme, size=14.6, weight="bold")
        for column, *words in members:
            left = columns[column] + (20 if (r, column) == (3, 2) else 0)
            w = width - (left - columns[column])
            d.box(left, top[r], w, height, fill=fills.get(r, other)[column], stroke="#9fb4cc")
            words = [word for word in words if word]
            for i, word in enumerate(words):
                d.text(left + w / 2, top[r] + (27 if len(words) == 1 else 18 + 18 * i), word, "middle", 15)
    y = top[-1] + height + 32
    for x, fill, word in (
        (14, features, "hand-crafted features"),
        (196, signal, "raw signal"),
        (304, image, "image"),
    ):
        d.box(x, y - 13, 16, 16, fill=fill, stroke="#9fb4cc", radius=3)
        d.text(x + 22, y, word, size=14.5, colour=GREY)
    d.text(14, y + 26, "line: the same view of an epoch, used again", size=14.5, colour=GREY)
    d.save("family")


if __name__ == "__main__":
    for draw in (
        stages,
        night,
        rooms,
        image,
        filterbank,
        seqsleepnet,
        folding,
        fusion,
        confusion,
        splitting,
        schemes,
        family,
    ):
        draw()
