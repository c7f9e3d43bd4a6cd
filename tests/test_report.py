"""The report of a night: one file, nothing from elsewhere, names that stay text, and the numbers that were computed."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sleeplib import __version__
from sleeplib.analysis import architecture
from sleeplib.errors import SleeplibError
from sleeplib.plotting import COLOURS, LEVEL
from sleeplib.recording import Subject
from sleeplib.report import look, page, panels, report, tables
from sleeplib.staged import Staged
from sleeplib.stages import N1, N2, N3, REM, STAGES, W

VOID = {"meta", "br", "img", "link", "input", "hr"}
NETWORK = {"name": "anysleep-0", "title": "AnySleep of seven sites", "simulated": True, "licence": "MIT"}
HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>\x00\u202e\ud800&lt;'


def posteriors(stages, rng, certain=0.75):
    """Posteriors (N, 5) whose maximum is at these stages."""
    p = (1 - certain) * rng.dirichlet(np.ones(5), len(stages)).astype(np.float32)
    p[np.arange(len(stages)), stages] += certain
    return p


def night(hours=8.0, channels=6, per_epoch=8, **changes):
    """An invented night with everything."""
    rng, n = np.random.default_rng(0), round(hours * 120)
    stages = np.repeat(rng.integers(0, 5, n // 12 + 1), 12)[:n]
    fine = np.repeat(stages, per_epoch)
    fine[rng.random(len(fine)) < 0.1] = W
    names = [f"EEG {i}-LER" for i in range(channels)] if isinstance(channels, int) else channels
    begins = np.sort(rng.uniform(0, 30 * n - 15, 10 * round(hours)))
    made = Staged(
        "night-7", posteriors(stages, rng, 0.5), NETWORK, 60.0, datetime(2001, 2, 3, 22, 50),
        Subject("person-7", 39.5, "F"), per_epoch, posteriors(fine, rng), np.c_[begins, begins + 8], names,
        {"ECG": "neither EEG nor EOG", "Chin": "neither EEG nor EOG"}, {"EEG 1-LER": ["flat in 12 % of the night"]},
        rng.dirichlet(np.ones(max(len(names), 1)), -(-n // 35)).astype(np.float32), 1050.0, rng.normal(0, 8, (n, 129)),
        np.arange(129) * 100 / 256, "EEG 0-LER",
    )  # fmt: skip
    return replace(made, **changes)


class Page(HTMLParser):
    """The elements of a page, its texts, and whether each element that was opened is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts, self.faults = [], [], [], []
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))

    def handle_data(self, text):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(text)

    @property
    def words(self):
        return " ".join(" ".join(self.texts).replace("\u00a0", " ").split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def svg(text, id):
    """View box, and the `d` of the paths of a panel."""
    inside = re.search(rf'<figure class="row" id="{id}".*?</figure>', text, re.S).group()
    box = [float(x) for x in re.search(r'viewBox="([^"]*)"', inside).group(1).split()]
    return box, re.findall(r'<path[^>]*? d="([^"]*)"|<path d="([^"]*)"', inside), inside


def data(text):
    return json.loads(
        re.search(r'<script type="application/json" id="night">(.*?)</script>', text, re.S).group(1)
    )


ODD = {
    "ten minutes": {"hours": 1 / 6}, "one epoch": {"hours": 1 / 120}, "fourteen hours": {"hours": 14},
    "no start": {"start": None}, "no arousals asked for": {"arousals": None},
    "no arousals found": {"arousals": np.empty((0, 2))}, "one channel": {"channels": 1},
    "thirty channels": {"channels": 30}, "no spectrum": {"spectrum": None, "hertz": None},
    "flat spectrum": {"spectrum": np.zeros((960, 129))},
    "no number in the spectrum": {"spectrum": np.full((960, 129), np.nan)},
    "no attention": {"attention": None, "channels": []}, "nobody known": {"subject": None},
    "a child": {"subject": Subject("c", 7.0)}, "an age that is none": {"subject": Subject("c", 999.0, "?")},
    "30 s only": {"fine": None, "per_epoch": 1}, "real weights": {"network": {"name": "any", "simulated": False}},
    "faults of all": {"faults": {f"EEG {i}": ["flat in 3 % of the night", "clipped in 7 %"] for i in range(40)}},
    "many left out": {"left_out": {f"X{i}": f"reason {i}" for i in range(60)}},
    "posteriors of nothing": {"posteriors": np.full((960, 5), np.nan, np.float32)},
    "infinite power": {"spectrum": np.full((960, 129), -np.inf)},
    "all wake": {"posteriors": np.tile(np.float32([1, 0, 0, 0, 0]), (960, 1))},
}  # fmt: skip


def odd(name):
    changes = dict(ODD[name])
    size = {k: changes.pop(k) for k in ("hours", "channels") if isinstance(changes.get(k), int | float)}
    return replace(night(**size), **changes)


@pytest.mark.parametrize("name", ODD)
def test_every_night_has_a_whole_page_that_asks_nobody_for_anything(name):
    text = page(odd(name))
    found = Page(text)
    assert not found.open and not found.faults
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", text)
    links = [
        a[key] for _, a in found.elements for key in ("src", "href", "srcset", "action", "data") if key in a
    ]
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert {tag for tag, _ in found.elements} & {"link", "iframe", "object", "embed", "base", "form"} == set()
    policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert (
        policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split() and "NaN" not in data(text)


def test_a_night_of_eight_hours_is_a_few_hundred_kilobytes():
    assert len(page(night()).encode()) < 400_000
    assert len(page(night(channels=30, hours=14)).encode()) < 600_000
    finest = page(night(hours=1, per_epoch=3840)).encode()
    assert len(finest) < 400_000, "a stage for each sample is averaged before it is drawn"


def test_names_from_files_stay_text():
    hostile = night(
        id=HOSTILE, subject=Subject(HOSTILE, 39.5, HOSTILE), channels=[HOSTILE] * 6, left_out={HOSTILE: HOSTILE},
        faults={HOSTILE: [HOSTILE]}, spectrum_channel=HOSTILE,
        network=NETWORK | dict.fromkeys(("name", "title", "licence"), HOSTILE),
    )  # fmt: skip
    text, harmless = page(hostile), Page(page(night()))
    found = Page(text)
    assert not found.open and not found.faults
    assert [tag for tag, _ in found.elements if tag in ("script", "img", "image")] == [
        "image",
        "script",
        "script",
    ]
    assert {key for _, a in found.elements for key in a} <= {key for _, a in harmless.elements for key in a}
    assert not any(key.startswith("on") for _, a in found.elements for key in a)
    assert "\x00" not in text and "\u202e" not in text and text.encode()
    assert '"><script>alert(1)</script>' in found.words, "it can be read all the same"
    assert all(len(name) <= 24 for name in data(text)["channels"])


def test_names_without_end_are_cut_and_say_so():
    assert tables.short("x" * 100) == "x" * 39 + "…" and tables.short("x" * 40) == "x" * 40
    assert tables.short("a\nb\x1b[0m") == "a?b?[0m"
    assert len(page(night(id="y" * 1_000_000))) < 400_000


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "night.html"
    assert report(night(), path) == path and path.read_text("utf-8").endswith("</html>")
    assert list(path.parent.iterdir()) == [path] and path.stat().st_mode & 0o044
    before = path.read_bytes()
    with pytest.raises(SleeplibError, match=r"exists; .* --force"):
        report(night(hours=1), path)
    assert path.read_bytes() == before

    def full(*_):
        raise OSError(28, "No space left on device")

    with (
        monkeypatch.context() as patch,
        pytest.raises(SleeplibError, match=r"night.html: cannot be written .no space left"),
    ):
        patch.setattr("pathlib.Path.replace", full)
        report(night(hours=1), path, force=True)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    report(night(hours=1), path, force=True)
    assert path.read_bytes() != before
    with pytest.raises(SleeplibError, match=r"a_file\.html: cannot be written"):
        report(night(), path / "below" / "a_file.html")


@pytest.mark.parametrize("arousals", [None, "found"])
def test_the_statistics_are_those_of_the_analysis(arousals):
    made = night() if arousals else night(arousals=None)
    words = Page(page(made)).words
    found = architecture.report_statistics(made.hypnogram.stages, 30.0, made.arousals)
    for name, (value, unit, meaning) in found.items():
        told = f"{value:.1f} {unit}" if unit else f"{value:g}"
        assert f"{name} {meaning} {told}" in words
    assert f"{found['TST'].value:.1f} min" in words and ("arousals per hour" in words) == bool(arousals)
    minutes, share = found["N2"].value, found["%N2"].value
    assert f"N2 %N2 {minutes:.1f} min, {share:.1f} %" in words


def test_what_a_night_cannot_have_is_a_dash():
    words = Page(page(odd("all wake"))).words
    assert (
        "REM latency Lat_REM_sleep –" in words
        and "sleep onset latency SOL –" in words
        and " nan" not in words.lower()
    )


def test_ranges_are_those_of_the_age_and_told_in_words():
    made = night()
    rows = {row["name"]: row for row in tables.statistics(made)["first"]}
    norms = architecture.normative(39.5)
    assert {name for name, row in rows.items() if row["usual"]} == set(norms) & set(rows)
    for name, norm in norms.items():
        row, value = (
            rows[name],
            architecture.report_statistics(made.hypnogram.stages, 30.0, made.arousals)[name].value,
        )
        if not np.isfinite(norm.low):
            assert (
                row["usual"].startswith(f"mean {norm.mean:.0f}") and row["bar"] is None and not row["verdict"]
            )
            continue
        verdict = "within" if norm.low <= value <= norm.high else "below" if value < norm.low else "above"
        low, high, at = row["bar"]
        assert row["verdict"] == verdict and row["usual"].startswith(f"{norm.low:.0f} to {norm.high:.0f}")
        assert (low <= at <= high) == (verdict == "within") and (at < low) == (verdict == "below")
    for subject in (None, Subject("a"), Subject("a", 7.0), Subject("a", 999.0), Subject("a", np.nan)):
        other = tables.statistics(night(subject=subject))
        assert "adults whose age is known" in other["note"]
        assert not other["known"] and not any(row["usual"] or row["bar"] for row in other["first"])


def test_a_nap_is_not_compared_with_nights():
    assert not tables.normative(night(hours=2.9)) and tables.normative(night(hours=3))


def test_the_head_says_who_when_and_what_staged_it():
    words = Page(page(night())).words
    for told in (
        "night-7", "03 February 2001", "22:51 to 06:51 (8 h 0 min, 960 epochs of 30 s)", "39.5 years", "female",
        "AnySleep of seven sites", "simulated nights only", "Not a medical device; a machine's opinion", "person-7",
        f"sleeplib {__version__}", f"{datetime.now():%d %B %Y}", "To cite", "licence of the weights: MIT",
    ):  # fmt: skip
        assert told in words, told
    assert "simulated nights only" not in Page(page(odd("real weights"))).words
    assert "clock time not known" in Page(page(odd("no start"))).words


def levels(path, n):
    """The value of a step line at each of n steps."""
    found, y, x = np.full(n, np.nan), None, 0
    for letter, number in re.findall(r"([MHV])([\d. ]+)", path):
        if letter == "M":
            x, y = (float(v) for v in number.split())
        elif letter == "V":
            y = float(number)
        else:
            found[int(x) : int(float(number))], x = y, float(number)
    return found


def test_the_hypnograms_and_the_hypnodensity_are_the_night():
    made = night()
    text = page(made)
    top_down = np.array([4 - LEVEL[name] + 0.5 for name in STAGES])
    for id, stages in (("hypnogram", made.hypnogram.stages), ("fine", made.fine_hypnogram.stages)):
        box, _, inside = svg(text, id)
        line = re.search(r'class="line" d="([^"]*)"', inside).group(1)
        assert box == [0, 0, 960, 5] and np.array_equal(levels(line, len(stages)), top_down[stages])
        for name, colour in COLOURS.items():
            bars = re.search(rf'd="([^"]*)" class="bout {name}" stroke="{colour}"', inside).group(1)
            spans = np.array(re.findall(r"M(\d+) [\d.]+H(\d+)", bars), int)
            assert (spans[:, 1] - spans[:, 0]).sum() == (stages == STAGES.index(name)).sum()
    _, _, inside = svg(text, "hypnodensity")
    drawn = re.findall(r'<path class="area" d="([^"]*)" fill="([^"]*)"/>', inside)
    fills = {f"url(#stripes-{name})": name for name in ("REM", "N1")}
    fills |= {COLOURS[name]: name for name in ("W", "N2", "N3")}
    areas = {fills[fill]: path for path, fill in drawn}
    assert list(areas) == list(LEVEL), "the next covers what is below it of the one before"
    for name in ("REM", "N1"):
        assert re.search(rf'<pattern id="stripes-{name}".*?fill="{COLOURS[name]}".*?</pattern>', inside)
    up, order = np.zeros(960), ["N3", "N2", "N1", "REM"]
    for name in order:
        up = up + made.posteriors[:, STAGES.index(name)]
        assert np.abs((200 - levels(areas[name], 960)) / 200 - up).max() <= 0.0026
    assert areas["W"] == "M0 0H960V200H0Z"


def test_the_spectrogram_is_an_image_of_the_power_up_to_30_hz():
    power = np.zeros((960, 129))
    power[:, 26:30] = 20.0  # 10.2 to 11.3 Hz
    power[500:, :2] = 20.0
    text = page(night(spectrum=power))
    source = re.search(r"data:image/png;base64,([^\"]*)", text).group(1)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("L"), float)
    assert image.shape == (77, 960)
    light = image > 128
    assert np.array_equal(np.flatnonzero(light[:, 0]), 76 - np.arange(29, 25, -1))
    assert not light[76, 499] and light[76, 500]
    assert "EEG 0-LER" in svg(text, "spectrogram")[2]


def test_attention_is_drawn_by_channel_and_told_where_it_is_not():
    weights = np.tile(np.float32([0.1, 0.6, 0.3]), (28, 1))
    weights[3] = [0.9, 0.05, 0.05]
    made = night(channels=["F3", "C4", "EOG"], attention=weights)
    box, _, inside = svg(page(made), "attention")
    lanes = re.findall(r'class="lane" d="([^"]*)"', inside)
    assert box[3] == 30 and len(lanes) == 3
    assert re.search(r"C4 58.%.*EOG 29.%.*F3 13.%", inside, re.S), "from the most to the least"
    assert lanes[2] == "M0 30V29H105V21H140V29H960V30Z"
    many = page(night(channels=30))
    assert svg(many, "attention")[0][3] == 120 and re.search(r"18 channels with \d+.% in all not drawn", many)


def test_arousals_are_ticks_at_their_time_and_none_is_said():
    text = page(night(arousals=np.array([[60.0, 75.0], [-5.0, 6.0], [28790.0, 29000.0]])))
    assert "M2 0V4M2 6H2.5" in text and "M0 0V4M0 6H0.2" in text and "H960" in svg(text, "arousals")[2]
    assert "Arousals: none found" in page(odd("no arousals found"))
    assert 'id="arousals"' not in page(odd("no arousals asked for"))


def test_a_fine_hypnogram_too_long_to_draw_is_averaged_and_says_so():
    made = night(hours=1, per_epoch=3840)
    stages, per_epoch = panels.fine_stages(made)
    assert 120 * per_epoch <= panels.MOST_STAGES and 3840 % per_epoch == 0
    mean = made.fine.reshape(len(stages), -1, 5).mean(1)
    assert np.array_equal(stages, mean.argmax(1)) and "mean of 30 stages of" in page(made)
    same, eight = panels.fine_stages(night())
    assert eight == 8 and np.array_equal(same, night().fine_hypnogram.stages)


def test_what_the_script_tells_is_what_the_network_said():
    made, told = night(), data(page(night()))
    assert np.abs(np.array(told["posteriors"]) / 100 - made.posteriors).max() <= 0.0051
    assert told["stages"] == "".join(map(str, made.hypnogram.stages)) and len(told["fine"]) == 960 * 8
    assert (
        told["begins"] == 22 * 3600 + 51 * 60 and told["window"] == 35 and told["channels"] == made.channels
    )
    assert np.abs(np.array(told["attention"]) / 100 - made.attention).max() <= 0.0051
    assert data(page(odd("no start")))["begins"] is None


@pytest.mark.parametrize("hours", [1 / 6, 1, 8, 14, 60, 500])
def test_the_axis_has_round_times_where_they_are(hours):
    for made in (night(hours=hours, per_epoch=1), night(hours=hours, per_epoch=1, start=None)):
        marks = panels.marks(made)
        assert 2 <= len(marks) <= 9 and marks[-1]["epoch"] <= len(made.posteriors)
        for mark in marks:
            if made.start:
                at = made.begins + timedelta(seconds=30 * mark["epoch"])
                assert mark["text"] == f"{at:%H:%M}" and at.second == 0
            else:
                hour, minute = map(int, mark["text"].split(":"))
                assert 60 * hour + minute == mark["epoch"] / 2


def test_sequences_that_sleepers_hardly_show_are_found():
    stages = np.array(
        [W] * 5 + [N1] * 3 + [N2] * 10 + [REM] + [N2] * 20 + [W] + [N3] * 5 + [REM] * 3 + [N2] * 200
    )
    assert look.early_rem(stages).tolist() == [18] and look.isolated_rem(stages).tolist() == [18]
    assert look.pairs(stages, W, N3).tolist() == [40] and look.pairs(stages, N3, REM).tolist() == [45]
    p = posteriors(stages, np.random.default_rng(0))
    p[150] = [0.1, 0.3, 0.4, 0.1, 0.1]
    found, more = look.worth(night(posteriors=p, fine=None, spectrum=None, arousals=None))
    why = {entry["epoch"]: entry["why"] for entry in found}
    assert why[18] == "REM within 15 min of sleep onset; a single epoch of REM"
    assert why[40] == "W straight to N3" and why[45] == "N3 straight to REM" and more == 0
    assert why[150] == "among the least certain" and len(found) == look.MOST
    assert next(e["best"] for e in found if e["epoch"] == 150).replace("\u00a0", " ") == "N2 40 %, N1 30 %"
    assert [e["epoch"] for e in found] == sorted(why)


def test_rem_after_a_short_wake_or_in_pairs_is_no_single_epoch():
    assert look.isolated_rem(np.array([N2, REM, REM, N2])).size == 0
    assert look.isolated_rem(np.array([REM, W, REM, N2, N2])).size == 0
    assert look.isolated_rem(np.array([REM, W, W, REM])).tolist() == [0, 3]
    late = np.array([N2] * 40 + [REM] * 5)
    assert look.early_rem(late).size == 0 and look.early_rem(np.array([W, W])).size == 0


def test_the_least_certain_come_first_and_apart():
    p = posteriors([N2] * 100, np.random.default_rng(0))
    p[[50, 51, 52, 80]] = [
        [0.2, 0.2, 0.25, 0.2, 0.15],
        [0.2, 0.2, 0.21, 0.2, 0.19],
        [0.2, 0.2, 0.3, 0.2, 0.1],
        [0.2, 0.2, 0.4, 0.1, 0.1],
    ]
    assert look.doubtful(p, 2) == [51, 80] and len(look.doubtful(p, 50)) <= 10
    sure = np.tile(np.float32([0, 0.05, 0.95, 0, 0]), (50, 1))
    assert look.doubtful(sure, 5) == [] and "No epoch." in Page(page(night(posteriors=sure, fine=None))).words


def test_the_list_and_its_marks_name_epoch_time_and_what_is_not_listed():
    stages = np.tile([N2, N2, N2, W, N3], 192)
    made = night(posteriors=posteriors(stages, np.random.default_rng(0)))
    found, more = look.worth(made)
    text = page(made)
    assert more == 188 and "188 more such sequences are not listed" in Page(text).words
    for entry in found:
        at = made.begins + timedelta(seconds=30 * entry["epoch"])
        assert f'data-epoch="{entry["epoch"]}"' in text and f"at {at:%H:%M:%S}" in text
        assert f"M{entry['epoch']} 5h1" in svg(text, "worth")[2]
    buttons = re.findall(r'class="jump" data-epoch="(\d+)" aria-label="Show epoch (\d+) at', text)
    assert all(int(number) == int(epoch) + 1 for epoch, number in buttons) and len(buttons) == len(found)


def test_quality_names_what_was_used_left_out_and_why():
    found = tables.quality(night())
    assert found["number"] == 6 and found["used"].startswith("EEG 0-LER, EEG 1-LER")
    assert found["left"] == [("neither EEG nor EOG", "ECG, Chin")]
    assert found["faults"] == [("EEG 1-LER", "flat in 12 % of the night")]
    many = tables.quality(night(channels=[f"channel number {i}" for i in range(200)]))
    assert re.search(r" and 1\d\d more$", many["used"]) and len(many["used"]) < 450
    words = Page(page(odd("many left out"))).words
    assert "48 not listed here" in words


def test_panels_are_named_for_who_cannot_see_them_and_stages_have_their_colours():
    found = Page(page(night()))
    drawn = [a for a in found.all("svg")]
    assert len(drawn) == 8 and all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in drawn)
    assert all(a["viewbox"].startswith("0 0 960 ") and a["preserveaspectratio"] == "none" for a in drawn)
    swatches = [a["style"] for a in found.all("i") if "background-color" in a.get("style", "")]
    assert swatches == [f"background-color:{COLOURS[name]}" for name in LEVEL]


PROBE = """<script>
addEventListener("load", () => {
  const found = {}, panels = document.getElementById("panels");
  const plots = [...document.querySelectorAll(".plot")], box = plots[0].getBoundingClientRect();
  const views = () => plots.map((svg) => svg.getAttribute("viewBox").split(" ").map(Number));
  const readout = () => document.getElementById("readout").textContent;
  const at = (share) => (
    { clientX: box.left + share * box.width, clientY: box.top + 5, bubbles: true, cancelable: true });
  const key = (name, more) => panels.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, ...more }));
  found.whole = views();
  const wheel = new WheelEvent("wheel", { ...at(0.25), deltaY: -200 });
  panels.dispatchEvent(wheel);
  found.wheel = views(); found.taken = wheel.defaultPrevented;
  found.ticks = document.querySelector(".axis > div").children.length;
  panels.dispatchEvent(new PointerEvent("pointerdown", { ...at(0.5), pointerId: 1 }));
  panels.dispatchEvent(new PointerEvent("pointermove", { ...at(0.4), pointerId: 1 }));
  panels.dispatchEvent(new PointerEvent("pointerup", { ...at(0.4), pointerId: 1 }));
  found.dragged = views();
  panels.dispatchEvent(new MouseEvent("dblclick", at(0.5)));
  found.reset = views();
  panels.dispatchEvent(new PointerEvent("pointermove", at(0.500001)));
  found.hover = readout(); found.cursor = !document.getElementById("cursor").hidden;
  key("ArrowRight"); found.right = readout(); found.live = document.getElementById("live").textContent;
  key("+"); found.key = views(); key("ArrowLeft", { shiftKey: true }); found.panned = views();
  key("0"); found.again = views();
  document.getElementById("in").click(); document.getElementById("right").click(); found.buttons = views();
  document.getElementById("all").click();
  const jump = [...document.querySelectorAll(".jump")].at(-1);
  jump.click();
  found.jump = views(); found.told = readout(); found.epoch = Number(jump.dataset.epoch);
  found.wide = document.documentElement.scrollWidth; found.window = innerWidth;
  found.cut = [...document.querySelectorAll("h1, dd, p, figcaption, .axis span, .tools, td, th")].filter((e) => {
    const r = e.getBoundingClientRect(), scroll = e.closest(".scroll");
    return r.width && r.right > innerWidth + 1 && !(scroll && scroll.clientWidth <= innerWidth);
  }).map((e) => e.textContent.slice(0, 40));
  const sheet = document.body.getBoundingClientRect();
  found.height = sheet.height;
  found.over = [...document.querySelectorAll("table, .labels span, .quality, .note")].filter((e) => {
    const r = e.getBoundingClientRect(), of = e.closest("section").getBoundingClientRect();
    return r.width && (r.left < of.left - 1 || (!e.closest(".data") && r.right > of.right + 1));
  }).map((e) => e.textContent.slice(0, 40));
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = JSON.stringify(found);
  document.body.append(out);
  parent.postMessage(JSON.stringify(found), "*");
});
</script></body>"""
PHONE = """<!DOCTYPE html><body><iframe src="{}" style="width:390px;height:3000px;border:0"></iframe><script>
addEventListener("message", (event) => {{
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = event.data; document.body.append(out);
}});</script></body>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A function that runs headless Chromium on a file and gives what it printed, and what it complained of."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip("no Chromium on this machine")
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --allow-file-access-from-files "
        f"--enable-logging=stderr --virtual-time-budget=4000 --user-data-dir={tmp_path_factory.mktemp('chromium')}"
    )

    def run(path, *more):
        command = [found, *options.split(), *more, path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def probed(printed):
    return json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', printed, re.S).group(1)))


@pytest.mark.slow
def test_zoom_pan_hover_and_jump_in_a_browser(browser, tmp_path):
    made = night()
    path = tmp_path / "night.html"
    path.write_text(page(made).replace("</body>", PROBE))
    printed, complaints = browser(path, "--window-size=1280,1600", "--dump-dom")
    found = probed(printed)
    assert (
        not complaints and not found["cut"] and not found["over"] and found["wide"] <= found["window"] == 1280
    )
    heights = [view[3] for view in found["whole"]]
    assert len(heights) == 8 and all(view[:3] == [0, 0, 960] for view in found["whole"])
    for step in ("wheel", "dragged", "key", "panned", "buttons", "jump"):
        assert [view[3] for view in found[step]] == heights, "heights stay"
        assert len({(first, wide) for first, _, wide, _ in found[step]}) == 1, "all panels move together"
        assert 0 < found[step][0][2] < 960 and found[step][0][0] >= 0
    wide = 960 * np.exp(-0.4)
    assert found["wheel"][0][2] == pytest.approx(wide) and found["taken"]
    assert found["wheel"][0][0] == pytest.approx(240 - 0.25 * wide), (
        "the moment under the pointer stays there"
    )
    assert found["dragged"][0][0] == pytest.approx(found["wheel"][0][0] + 0.1 * wide, rel=1e-3)
    assert found["reset"] == found["again"] == found["whole"] and found["ticks"] > 2
    stages = made.hypnogram.stages
    told = f"02:51:00 · epoch 481 of 960 · {STAGES[stages[480]]}"
    shares = ", ".join(f"{s} {100 * made.posteriors[480, STAGES.index(s)]:.0f} %" for s in LEVEL)
    assert found["hover"].startswith(told) and shares in found["hover"] and found["cursor"]
    best = int(made.attention[480 // 35].argmax())
    assert f"attention: {made.channels[best]} {100 * made.attention[13, best]:.0f} %" in found["hover"]
    assert "epoch 482 of 960" in found["right"] and "epoch 482 of 960" in found["live"]
    first, _, wide, _ = found["jump"][0]
    assert (
        wide == 40
        and first <= found["epoch"] < first + wide
        and f"epoch {found['epoch'] + 1} of" in found["told"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["thirty channels", "no start", "one epoch"])
def test_nothing_is_cut_on_a_phone(browser, tmp_path, name):
    path, phone = tmp_path / "night.html", tmp_path / "phone.html"
    path.write_text(page(odd(name)).replace("</body>", PROBE))
    phone.write_text(PHONE.format(path.as_uri()))
    printed, complaints = browser(phone, "--window-size=600,3000", "--dump-dom")
    found = probed(printed)
    assert not complaints and found["window"] == 390 and found["wide"] <= 390 and not found["cut"]


WORST = {
    "id": "a night of a long name " * 3, "channels": [f"EEG long name {i}" for i in range(30)],
    "left_out": {f"another long name {i} {j}": f"reason {i} that is rather long" for i in range(9) for j in range(9)},
    "faults": {f"EEG long name {i}": ["flat in 3 % of the night", "clipped in 7 % of the night"] for i in range(30)},
}  # fmt: skip


def printable(name):
    """A night to print: the usual, the worst, an odd one."""
    stages = np.tile([N2, N2, W, N3, REM, N3], 160)
    worst = night(**WORST, posteriors=posteriors(stages, np.random.default_rng(0), 0.3))
    return worst if name == "worst" else night() if name == "usual" else odd(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["usual", "worst", "ten minutes", "fourteen hours", "no spectrum", "30 s only"]
)
def test_it_prints_on_one_page_without_a_complaint(browser, tmp_path, name):
    path, printed = report(printable(name), tmp_path / "night.html"), tmp_path / "night.pdf"
    _, complaints = browser(path, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    assert not complaints and len(re.findall(rb"/Type\s*/Page\b", content)) == 1
    width, height = map(float, re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", content).groups())
    assert width == pytest.approx(595, abs=1) and height == pytest.approx(842, abs=1)


@pytest.mark.slow
def test_nothing_overlaps_in_print(browser, tmp_path):
    path, text = tmp_path / "night.html", page(printable("worst"))
    # As printed, on a screen as wide as the paper: 190 mm at 96 dpi.
    text = text.replace("@media print", "@media screen").replace("(max-width: 760px)", "(max-width: 1px)")
    path.write_text(text.replace("</body>", PROBE))
    found = probed(browser(path, "--window-size=718,1054", "--dump-dom")[0])
    assert found["window"] == 718 and not found["over"] and not found["cut"] and found["height"] < 1054


def test_gaps_are_neither_doubt_nor_stages():
    unscored = np.arange(960) < 480
    posteriors = np.tile(np.float32([0.02, 0.02, 0.9, 0.03, 0.03]), (960, 1))
    posteriors[unscored] = 0.2
    text = page(night(posteriors=posteriors, unscored=unscored)).replace("\u00a0", " ")
    assert "Median 90 %; below 50 % in 0 of 480 epochs" in text and "N2 90 %" in text
    assert '<path class="gap" d="M0 0H480V200H0Z"/>' in svg(text, "hypnodensity")[2]
    lane = re.search(r'class="lane" d="([^"]*)"', svg(text, "confidence")[2]).group(1)
    assert (levels(lane, 960)[:480] == 100).all() and (levels(lane, 960)[480:] == 10).all()


def test_power_of_an_unknown_unit_is_not_called_microvolts():
    power = np.random.default_rng(0).normal(size=(960, 129))
    assert "re 1 µV²/Hz" in svg(page(night(spectrum=power)), "spectrogram")[2]
    assert "not calibrated" in svg(page(night(spectrum=power, spectrum_unit="AU")), "spectrogram")[2]
