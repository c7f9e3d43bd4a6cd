"""Sleep statistics against hand-made hypnograms, loops that count epoch by epoch, and YASA."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.analysis import architecture
from sleeplib.errors import SleeplibError
from sleeplib.provenance import root
from sleeplib.simulator import macrostructure, people, scorers
from sleeplib.stages import N1, N2, N3, REM, STAGES, UNSCORED, W

# lights off, 2 min awake, N1 N2 N2, an awakening, N1, an artefact, N2, REM, N2, 1 min awake
NIGHT = np.array([W, W, W, W, N1, N2, N2, W, N1, UNSCORED, N2, N2, REM, REM, REM, N2, W, W], np.int8)


def test_a_night_counted_by_hand():
    report = architecture.sleep_statistics(NIGHT)
    expected = {
        "time in bed": 9.0,
        "total sleep time": 5.0,
        "sleep period": 6.0,
        "sleep latency": 2.0,
        "wake after sleep onset": 1.5,
        "REM latency": 4.0,
        "sleep efficiency": 100 * 5 / 9,
        "awakenings": 2,
        "transitions": 7 / 0.15,
        "share W": 100 * 7 / 18,
        "share N1": 20.0,
        "share N2": 50.0,
        "share N3": 0.0,
        "share REM": 30.0,
        "bout W": 3.5 / 3,
        "bout N1": 0.5,
        "bout N2": 2.5 / 3,
        "bout REM": 1.5,
    }
    assert np.isnan(report.pop("bout N3"))
    assert report == pytest.approx(expected)


def test_shorter_epochs_of_the_same_night_change_no_time():
    fine = architecture.sleep_statistics(np.repeat(NIGHT, 3), epoch_seconds=10)
    assert fine == pytest.approx(architecture.sleep_statistics(NIGHT), nan_ok=True)


@pytest.mark.parametrize("night", [[], [W, W, W], [UNSCORED, UNSCORED], [REM]], ids=str)
def test_what_a_night_cannot_have_is_missing(night):
    report = architecture.sleep_statistics(np.array(night, np.int8))
    slept = REM in night
    assert np.isnan(report["REM latency"]) != slept
    assert np.isnan(report["sleep latency"]) != slept
    assert report["total sleep time"] == 0.5 * slept


def test_codes_that_are_no_stages_are_refused():
    with pytest.raises(SleeplibError, match=r"codes \[7\]"):
        architecture.sleep_statistics([W, 7])


def _naive_matrix(nights):
    counts = np.zeros((5, 5))
    for night in nights:
        for now, then in pairwise(night):
            if UNSCORED not in (now, then):
                counts[now, then] += 1
    return counts / counts.sum(axis=1, keepdims=True)


def test_transition_matrix_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    nights = [rng.choice([*range(5), UNSCORED], size) for size in (400, 300)]
    assert architecture.transition_matrix(nights) == pytest.approx(_naive_matrix(nights))
    assert architecture.transition_matrix(nights[0]) == pytest.approx(_naive_matrix(nights[:1]))
    assert np.isnan(architecture.transition_matrix([W, W, N2, W])[[N1, N3, REM]]).all()


def test_summary_leaves_out_what_a_night_does_not_have():
    dreamless = np.where(NIGHT == REM, N2, NIGHT)
    table = architecture.summary([NIGHT, dreamless, np.r_[NIGHT, np.int8([N3])], dreamless])
    assert table["REM latency"] == (4.0, 0.0)
    assert table["bout N3"][0] == 0.5 and np.isnan(table["bout N3"][1])  # one night is no spread
    awake = architecture.sleep_statistics([W] * 10)
    assert np.isnan([awake["wake after sleep onset"], awake["sleep latency"]]).all()
    shares = [architecture.sleep_statistics(night)["share N3"] for night in (NIGHT, dreamless)]
    assert shares == [0, 0]
    assert table["share N2"][0] == pytest.approx(np.mean([50, 80, 500 / 11, 80]))
    assert table["share N2"][1] == pytest.approx(np.std([50, 80, 500 / 11, 80], ddof=1))
    assert set(table) > {f"bout {name}" for name in STAGES}


def test_the_typical_night_is_the_middle_one():
    def night(deep):
        return np.repeat([W, N2, N3, N2, REM, W], [20, 300, deep, 300, 200, 20])

    assert (
        architecture.typical([night(20), night(300), night(140), night(150), night(900)]) == 1
    )  # the mean is 302


# --- the report of a sleep laboratory


def _values(*night, **settings):
    return {name: s.value for name, s in architecture.report_statistics(*night, **settings).items()}


ODD = {
    "no sleep": [W] * 40,
    "no sleep, partly unscored": [W, UNSCORED, W, UNSCORED],
    "nothing scored": [UNSCORED] * 12,
    "sleep to the end": [W] * 5 + [N2] * 30,
    "sleep from the start": [N3] * 30 + [W] * 7,
    "sleep all along": [N1, N2, N3, REM] * 10,
    "no REM sleep": [W] * 4 + [N1, N2, N3] * 20 + [W],
    "REM sleep only": [REM] * 25,
    "one epoch of sleep": [W] * 20 + [N1] + [W] * 20,
    "never five minutes": ([N2] * 9 + [W]) * 10,
    "five minutes and no more": [W, N2, W] + [N2] * 10 + [W],
    "five minutes broken by an artefact": [N2] * 9 + [UNSCORED] + [N2] * 9 + [W],
    "unscored at both ends": [UNSCORED] * 5 + [W, N2, N2, W] + [UNSCORED] * 5,
    "awakening behind an artefact": [N2, UNSCORED, W, N2, W, UNSCORED, N2],
    "two epochs": [W, N2],
}


def _random(seed):
    """Epochs with or without memory, and with some to most of them unscored."""
    rng = np.random.default_rng(seed)
    stages = rng.choice([*range(5), UNSCORED], rng.integers(2, 1200), p=rng.dirichlet(np.full(6, 0.5)))
    return np.repeat(stages, rng.integers(1, 20)) if seed % 2 else stages


def _simulated(seed):
    """What one scorer says of a simulated night, with some epochs lost."""
    rng = np.random.default_rng(seed)
    truth = macrostructure.simulate(people.draw(rng), 7.0, rng, None)
    stages = np.array(scorers.read(truth, rng)[0])
    return np.where(rng.random(stages.size) < 0.02 * (seed % 3), UNSCORED, stages)


@pytest.fixture(scope="module")
def nights():
    return {
        **{name: np.array(night, np.int8) for name, night in ODD.items()},
        **{f"random {seed}": _random(seed) for seed in range(300)},
        **{f"simulated {seed}": _simulated(seed) for seed in range(100)},
    }


@pytest.mark.parametrize(("seconds", "every"), [(30, 1), (20, 4), (10, 4)])
def test_the_report_is_that_of_yasa(nights, seconds, every):
    yasa = pytest.importorskip("yasa", reason="the judge of sleep statistics; in the extra `test`")
    codes = {**dict(enumerate(("WAKE", *STAGES[1:]))), UNSCORED: "UNS"}
    for name, night in list(nights.items())[::every]:
        ours = _values(night, seconds)
        theirs = yasa.Hypnogram([codes[k] for k in night.tolist()], freq=f"{seconds}s").sleep_statistics()
        assert {"SOL_5min", "Lat_REM", "SFI", "SME", "%N3"} <= set(theirs) <= set(ours)
        same = {key: ours[key] for key in theirs}
        assert same == pytest.approx(theirs, abs=5.1e-5, nan_ok=True), name  # they round to 4 decimals
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            older = yasa.sleep_statistics(np.where(night == UNSCORED, -2, night), 1 / seconds)
        assert {"Lat_N1", "Lat_N3", "NREM", "%NREM"} <= set(older) <= set(ours)
        assert {key: ours[key] for key in older} == pytest.approx(older, nan_ok=True), name


def test_the_report_of_a_night_counted_by_hand():
    arousals = [[40, 50], [130, 133], [235, 240], [370, 380], [372, 376], [539, 540], [600, 610]]
    values = _values(NIGHT, arousals=np.array(arousals))  # in W, N1, W, REM, REM, W, and after the end
    expected = {
        "TIB": 9, "SPT": 6, "TST": 5, "WASO": 0.5, "WASO_lights_on": 1.5, "SE": 100 * 5 / 9, "SME": 100 * 5 / 6,
        "SOL": 2, "Lat_N1": 2, "Lat_N2": 2.5, "Lat_REM": 6, "Lat_REM_sleep": 4, "WAKE": 3.5, "N1": 1, "N2": 2.5,
        "N3": 0, "REM": 1.5, "NREM": 3.5, "UNS": 0.5, "%N1": 20, "%N2": 50, "%N3": 0, "%REM": 30, "%NREM": 70,
        "awakenings": 2, "SFI": 24, "SFI_W_N1": 24, "shifts": 7, "SSI": 84, "arousals": 6, "AI": 72,
        "AI_NREM": 60 / 3.5, "AI_REM": 80,
    }  # fmt: skip
    assert np.isnan([values.pop("SOL_5min"), values.pop("Lat_N3")]).all()
    assert values == pytest.approx(expected)


def test_both_reports_agree_where_their_definitions_do(nights):
    pairs = {
        "TIB": "time in bed", "TST": "total sleep time", "WASO_lights_on": "wake after sleep onset",
        "SE": "sleep efficiency", "SOL": "sleep latency", "Lat_REM_sleep": "REM latency",
        "awakenings": "awakenings", "%N2": "share N2",
    }  # fmt: skip
    for night in nights.values():
        report, values = architecture.sleep_statistics(night), _values(night)
        if values["TST"]:  # without sleep one of them has no wake after it, and the other 0 min
            assert [values[k] for k in pairs] == pytest.approx(
                [report[k] for k in pairs.values()], nan_ok=True
            )
        assert values["shifts"] / (values["TIB"] / 60) == pytest.approx(report["transitions"])


def test_fragmentation_is_that_of_a_loop(nights):
    for night in list(nights.values())[::7]:
        changes = [(a, b) for a, b in pairwise(night.tolist()) if UNSCORED not in (a, b) and a != b]
        to_wake = [a for a, b in changes if a != W and b == W]
        lighter = [a for a, b in changes if a in (N2, N3, REM) and b == N1]
        values, hours = _values(night), np.isin(night, [N1, N2, N3, REM]).sum() / 120
        assert (values["awakenings"], values["shifts"]) == (len(to_wake), len(changes))
        if hours:
            indices = values["SFI"], values["SFI_W_N1"], values["SSI"]
            counts = len(to_wake), len(to_wake) + len(lighter), len(changes)
            assert indices == pytest.approx(np.array(counts) / hours)


@given(
    st.lists(st.sampled_from([*range(5), UNSCORED]), max_size=80),
    st.sampled_from([30.0, 20.0, 3.75, 30 / 128]),
    st.lists(st.tuples(st.floats(-50, 3000), st.floats(0, 30)), max_size=20),
)
def test_what_a_report_adds_up_to(stages, seconds, arousals):
    events = np.array([(begin, begin + length) for begin, length in arousals]).reshape(-1, 2)
    values = _values(stages, seconds, arousals=events)
    parts = values["WAKE"] + values["NREM"] + values["REM"] + values["UNS"]
    assert parts == pytest.approx(values["TIB"]) == pytest.approx(len(stages) * seconds / 60)
    assert values["NREM"] + values["REM"] == pytest.approx(values["TST"])
    assert values["TST"] <= values["SPT"] + 1e-9 <= values["TIB"] + 2e-9
    inside = [begin for begin, _ in arousals if 0 <= begin < len(stages) * seconds]
    assert values["arousals"] == len(inside)
    if values["TST"]:
        assert values["WASO"] <= values["WASO_lights_on"] + 1e-9
        assert values["AI"] == pytest.approx(60 * len(inside) / values["TST"])
        assert sum(values[f"%{name}"] for name in STAGES[1:]) == pytest.approx(100)
        in_rem = [b for b in inside if stages[min(int(b / seconds), len(stages) - 1)] == REM]
        assert np.nan_to_num(values["AI_REM"]) * values["REM"] / 60 == pytest.approx(len(in_rem))
    else:
        assert np.isnan(
            [values[k] for k in ("WASO", "SOL", "SME", "AI", "SFI", "%REM", "Lat_REM_sleep")]
        ).all()


def test_lights_off_and_on_cut_the_night():
    arousals = np.array([[10.0, 15], [130, 133], [400, 410]])
    cut = _values(NIGHT, arousals=arousals, lights=(60, 390))
    assert cut == pytest.approx(_values(NIGHT[2:13], arousals=arousals[1:2] - 60), nan_ok=True)
    assert cut["SOL"] == 1 and cut["TIB"] == 5.5 and cut["arousals"] == 1
    assert _values(NIGHT, lights=(None, 300))["TIB"] == 5 and _values(NIGHT, lights=(300, None))["TIB"] == 4
    # epochs by their middles, and no more than there are
    assert [_values(NIGHT, lights=(off, 1e6))["TIB"] for off in (74, 76, -90)] == [8, 7.5, 9]
    assert "AI" not in _values(NIGHT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lights": (60, 30)}, "lights on at 30 s, off at 60 s"),
        ({"epoch_seconds": 0}, "epochs of 0 s"),
        ({"arousals": np.ones((3, 3))}, r"arousals of shape \(3, 3\)"),
    ],
)
def test_a_report_of_nonsense_is_refused(settings, message):
    with pytest.raises(SleeplibError, match=message):
        architecture.report_statistics(NIGHT, **settings)


def test_every_number_of_the_report_has_a_unit_and_a_meaning():
    report = architecture.report_statistics(NIGHT, arousals=np.empty((0, 2)))
    assert {s.unit for s in report.values()} == {"min", "%", "/h", ""}
    assert all(s.meaning and isinstance(s.value, float) for s in report.values())
    assert report["AI"].value == 0 and report["TST"] == (5.0, "min", "total sleep time")


def test_norms_follow_the_published_change_with_age():
    at = {age: architecture.normative(age) for age in (25, 40, 50, 60, 80)}
    names = set(architecture.report_statistics(NIGHT, arousals=np.empty((0, 2))))
    assert (
        set(at[40])
        == {"TST", "SE", "WASO_lights_on", "SOL", "Lat_REM_sleep", "%N1", "%N2", "%N3", "%REM", "AI"}
        <= names
    )
    for name, slope in {
        "TST": -10.1,
        "SE": -2.1,
        "WASO_lights_on": 9.7,
        "SOL": 1.1,
        "%N1": 0.5,
        "%N3": -2,
    }.items():
        assert at[50][name].mean - at[40][name].mean == pytest.approx(slope)
    assert at[80]["%N3"] == at[60]["%N3"] and at[80]["SE"].mean < at[60]["SE"].mean
    assert (at[40]["TST"].low, at[40]["TST"].high) == (340, 450)
    assert [at[age]["AI"].mean for age in at] == [14.7, 17.8, 17.8, 27.1, 27.1]
    for norm in at[80].values():
        assert np.isnan(norm.low) == np.isnan(norm.high) == ("unknown" in norm.band)
        assert not norm.low > norm.mean and not norm.high < norm.mean


def test_norms_cite_what_the_book_cites():
    known = set(re.findall(r"^@\w+\{([^,]+),", (root() / "book/references.bib").read_text(), re.M))
    assert {key for norm in architecture.normative(50).values() for key in norm.sources} <= known


def test_no_norms_without_an_adult_age():
    assert architecture.normative(None) == architecture.normative(12) == {}
    for age in (-1, np.nan, 200, "40"):
        with pytest.raises(SleeplibError, match="age"):
            architecture.normative(age)
