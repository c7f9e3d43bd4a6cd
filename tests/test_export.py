"""Files that other tools open: each is read back by one that is not ours."""

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import edfio
import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeplib import export, readers
from sleeplib.analysis.architecture import report_statistics
from sleeplib.errors import SleeplibError
from sleeplib.recording import Event, Hypnogram, Recording, Subject
from sleeplib.staged import Staged
from sleeplib.stages import STAGES, UNSCORED, edf_text, to_intervals

HYPNOGRAM = Hypnogram([0, 0, 1, 2, 2, 9, 4], onset=60.0)
START = datetime(2001, 2, 3, 22, 15, 7)
NETWORK = {
    "name": "anysleep-demo",
    "title": "AnySleep",
    "simulated": True,
    "licence": "MIT",
    "sha256": "ab12",
}
COLUMNS = ["onset", "duration", "stage", "p_W", "p_N1", "p_N2", "p_N3", "p_REM"]


def _night(stages=(0, 0, 1, 2, 2, 3, 3, 2, 4, 4, 0), seed=0, **what) -> Staged:
    """A night of these stages, with probabilities that fit them."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(5), len(stages)) + 2 * np.eye(5)[list(stages)]
    return Staged("night", (p / 3).astype(np.float32), NETWORK, **what)


NIGHT = _night(
    onset=60.0, start=START, subject=Subject("p1", 41, "F"), arousals=np.array([[65.0, 70.25], [200.5, 208]]),
    channels=["C4-M1", "E1-M2"], left_out={"ECG": "no EEG or EOG"},
)  # fmt: skip
FINE = replace(NIGHT, per_epoch=3, fine=np.repeat(NIGHT.posteriors, 3, axis=0))


def _table(path, **how):
    return pd.read_csv(path, **how)


# --- EDF+


def _heard(path) -> list[tuple[float, float, str]]:
    """The annotations of a file as MNE has them."""
    mine = mne.read_annotations(path)
    assert mine.orig_time is None  # seconds from the recording's start
    return list(zip(mine.onset.tolist(), mine.duration.tolist(), mine.description.tolist(), strict=True))


def test_annotations_are_read_by_another_reader_and_by_ours(tmp_path):
    path = export.to_edf(HYPNOGRAM, tmp_path / "h.edf", start=datetime(2001, 2, 3, 22, 0))
    theirs = [(a.onset, a.duration, a.text) for a in edfio.read_edf(path).annotations]
    assert theirs[:2] == [(60.0, 60.0, "Sleep stage W"), (120.0, 30.0, "Sleep stage N1")]
    ours = readers.read_hypnogram(path)
    assert ours.stages.tolist() == HYPNOGRAM.stages.tolist() and ours.onset == 60


def test_stages_and_arousals_stand_in_one_file_on_the_recordings_time_axis(tmp_path):
    path = export.edf(NIGHT, tmp_path / "h.edf")
    expected = [
        (60.0, 60.0, "Sleep stage W"), (120.0, 30.0, "Sleep stage N1"), (125.0, 5.25, "EEG arousal"),
        (150.0, 60.0, "Sleep stage N2"), (210.0, 60.0, "Sleep stage N3"), (260.5, 7.5, "EEG arousal"),
        (270.0, 30.0, "Sleep stage N2"), (300.0, 60.0, "Sleep stage R"), (360.0, 30.0, "Sleep stage W"),
    ]  # fmt: skip
    assert sorted(_heard(path)) == expected
    theirs = edfio.read_edf(path)
    assert sorted((a.onset, a.duration, a.text) for a in theirs.annotations) == expected
    assert (theirs.startdatetime, theirs.patient.code, theirs.patient.sex) == (START, "p1", "F")
    ours = readers.read(path)
    assert ours.hypnogram.stages.tolist() == NIGHT.hypnogram.stages.tolist()
    assert ours.events == [Event("EEG arousal", 125, 5.25), Event("EEG arousal", 260.5, 7.5)]


def test_annotations_lie_on_the_signals_of_the_file_that_was_staged(tmp_path):
    signal = np.random.default_rng(0).standard_normal(100 * 400)
    source = tmp_path / "night.edf"
    readers.edf.write_edf(Recording([signal], [100], ["C4-M1"], start=START), source)
    raw = mne.io.read_raw_edf(source, verbose="error")
    marks = export.edf(NIGHT, tmp_path / "h.edf")
    raw.set_annotations(mne.read_annotations(marks))
    assert raw.info["meas_date"].replace(tzinfo=None) == edfio.read_edf(marks).startdatetime
    events, ids = mne.events_from_annotations(raw, chunk_duration=30, regexp="Sleep stage", verbose="error")
    assert (events[:, 0] / 100).tolist() == [60 + 30 * i for i in range(11)]
    names = {code: text for text, code in ids.items()}
    assert [names[k] for k in events[:, 2]] == [edf_text(k) for k in NIGHT.hypnogram.stages.tolist()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([*range(5), UNSCORED]), min_size=1, max_size=60),
    st.integers(0, 10**8).map(lambda n: n / 1024),
    st.one_of(st.none(), st.datetimes(datetime(1850, 1, 1), datetime(2200, 1, 1))),
)
def test_any_hypnogram_comes_back_from_edf(tmp_path, stages, onset, start):
    path = export.to_edf(Hypnogram(stages, onset=onset), tmp_path / "any.edf", start, force=True)
    bouts = to_intervals(stages, 30)
    heard = _heard(path)
    assert [text for *_, text in heard] == [edf_text(k) for *_, k in bouts]
    times = np.array([(o + onset, d) for o, d, _ in bouts])
    assert np.array([h[:2] for h in heard]) == pytest.approx(times, abs=1e-6, rel=0)
    theirs = edfio.read_edf(path)
    assert np.array([(a.onset, a.duration) for a in theirs.annotations]) == pytest.approx(
        times, abs=1e-6, rel=0
    )
    assert theirs.starttime == (start.time() if start else datetime.min.time())
    if start and 1985 <= start.year < 2085:
        assert theirs.startdate == start.date()


def test_without_a_start_the_date_is_marked_as_unknown(tmp_path):
    path = export.edf(replace(NIGHT, start=None), tmp_path / "h.edf")
    theirs = edfio.read_edf(path)
    assert theirs.local_recording_identification.startswith("Startdate X ")
    with pytest.raises(edfio.AnonymizedDateError):
        _ = theirs.startdate
    raw = mne.io.read_raw_edf(path, verbose="error")
    assert raw.info["meas_date"] == datetime(1985, 1, 1, tzinfo=UTC)
    assert _heard(path)[0] == (60.0, 60.0, "Sleep stage W")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Müller, Zoë", "Muller,_Zoe"),
        ("☾", "X"),
        ("夜", "X"),
        ("a b\tc\n", "a_b_c"),
        ("n" * 200, "n" * 40),
        ("", "X"),
    ],
)
def test_names_that_edf_cannot_hold(tmp_path, name, code):
    night = replace(NIGHT, subject=Subject(name, 41, "F"))
    path = export.edf(night, tmp_path / f"{name[:50].strip()}_Nacht ☾.edf")
    assert edfio.read_edf(path).patient.code == code and len(_heard(path)) == 9


def test_a_start_with_a_time_zone_keeps_its_clock(tmp_path):
    path = export.edf(replace(NIGHT, start=START.replace(tzinfo=UTC)), tmp_path / "h.edf")
    assert edfio.read_edf(path).startdatetime == START


def test_ten_days_of_epochs(tmp_path):
    rng = np.random.default_rng(0)
    long = _night(np.repeat(rng.integers(0, 5, 9600), 3), arousals=np.arange(8000).reshape(-1, 2) * 100.0)
    heard = _heard(export.edf(long, tmp_path / "h.edf"))
    assert len(heard) == len(to_intervals(long.hypnogram.stages)) + 4000
    assert sum(d for _, d, text in heard if text != "EEG arousal") == 28_800 * 30
    assert max(onset for onset, *_ in heard) > 860_000
    assert len(np.loadtxt(export.yasa(long, tmp_path / "h.txt"))) == 28_800


# --- tables


def test_a_table_with_probabilities(tmp_path):
    p = np.full((7, 5), 0.2)
    table = _table(export.to_csv(HYPNOGRAM, tmp_path / "new/h.csv", p))
    assert table.columns.tolist() == COLUMNS
    assert table.onset.tolist()[:2] == [60, 90]
    assert table.stage.tolist() == ["W", "W", "N1", "N2", "N2", "?", "REM"]


def test_the_table_of_a_night(tmp_path):
    table = _table(export.csv(NIGHT, tmp_path / "h.csv"))
    assert table.columns.tolist() == COLUMNS and len(table) == 11
    assert table[COLUMNS[3:]].to_numpy() == pytest.approx(NIGHT.posteriors, abs=5.1e-5)
    assert [STAGES.index(name) for name in table.stage] == NIGHT.hypnogram.stages.tolist()


def test_the_table_at_a_finer_resolution(tmp_path):
    table = _table(export.fine_csv(FINE, tmp_path / "h.csv"))
    assert len(table) == 33 and set(table.duration) == {10} and table.onset.tolist()[:3] == [60, 70, 80]
    assert table.stage.tolist() == np.repeat(np.array(STAGES)[NIGHT.hypnogram.stages], 3).tolist()
    plain = export.fine_csv(NIGHT, tmp_path / "plain.csv"), export.csv(NIGHT, tmp_path / "h30.csv")
    assert plain[0].read_text() == plain[1].read_text()  # 30 s is all that there is


# --- BIDS


def test_bids_events_are_read_by_pandas_and_by_our_reader(tmp_path):
    path = export.bids(NIGHT, tmp_path / "sub-1_task-sleep_events.tsv")
    table = _table(path, sep="\t", na_values="n/a")
    assert table.columns.tolist() == ["onset", "duration", "trial_type", *COLUMNS[2:]]
    assert table.onset.is_monotonic_increasing and "nan" not in path.read_text().lower()
    epochs, arousals = table[table.stage.notna()], table[table.stage.isna()]
    assert epochs.onset.tolist() == [60 + 30 * i for i in range(11)] and set(epochs.duration) == {30}
    assert epochs.trial_type.tolist() == [edf_text(k) for k in NIGHT.hypnogram.stages.tolist()]
    assert epochs[COLUMNS[3:]].to_numpy() == pytest.approx(NIGHT.posteriors, abs=5.1e-5)
    assert arousals[["onset", "duration"]].to_numpy().tolist() == [[125, 5.25], [260.5, 7.5]]
    assert set(arousals.trial_type) == {"EEG arousal"} and arousals[COLUMNS[3:]].isna().all(axis=None)
    hypnogram, events = readers.bids.read_bids(path)
    assert hypnogram.stages.tolist() == [UNSCORED] * 2 + NIGHT.hypnogram.stages.tolist()
    assert events == [Event("EEG arousal", 125, 5.25), Event("EEG arousal", 260.5, 7.5)]
    again, _ = readers.bids.read_bids(path, "trial_type")
    assert again.stages.tolist() == hypnogram.stages.tolist() == readers.read_hypnogram(path).stages.tolist()


def test_the_sidecar_describes_every_column_and_level(tmp_path):
    path = export.bids(NIGHT, tmp_path / "n_events.tsv")
    sidecar, table = json.loads(path.with_suffix(".json").read_text()), _table(path, sep="\t")
    assert set(sidecar) == {*table.columns, "GeneratedBy"}
    assert all(sidecar[column]["Description"] for column in table)
    for column in ("trial_type", "stage"):
        assert set(table[column].dropna()) <= set(sidecar[column]["Levels"])
    numbers = table.columns.drop(["trial_type", "stage"])
    assert {column: sidecar[column]["Units"] for column in numbers[:3]} == {
        "onset": "s",
        "duration": "s",
        "p_W": "1",
    }
    (origin,) = sidecar["GeneratedBy"]
    assert origin["Network"] == NETWORK and re.match(r"\d+\.\d+", origin["Version"])
    assert origin["Channels"] == ["C4-M1", "E1-M2"] and origin["ChannelsLeftOut"] == {"ECG": "no EEG or EOG"}


# Nearer than 10 ms to the grid of the recording's start, our reader takes an onset to be on it.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 10**6).map(lambda n: n / 64))
def test_any_night_comes_back_from_bids(tmp_path, stages, onset):
    path = export.bids(_night(stages, onset=onset), tmp_path / "any_events.tsv", force=True)
    hypnogram = readers.read_hypnogram(path)
    first = round((onset - hypnogram.onset) / 30)
    assert hypnogram.stages.tolist() == [UNSCORED] * first + stages
    assert hypnogram.onset + 30 * first == pytest.approx(onset, abs=1e-6, rel=0)


def test_bids_events_end_in_tsv(tmp_path):
    with pytest.raises(SleeplibError, match=r"n\.json: BIDS events are a \.tsv file"):
        export.bids(NIGHT, tmp_path / "n.json")


# --- arrays and YASA


def test_arrays_need_no_pickle(tmp_path):
    with np.load(export.arrays(FINE, tmp_path / "h.npz"), allow_pickle=False) as file:
        content = {name: file[name] for name in file}
    assert (
        content["stages"].dtype == np.int8 and content["stages"].tolist() == NIGHT.hypnogram.stages.tolist()
    )
    assert np.array_equal(content["posteriors"], NIGHT.posteriors) and np.array_equal(
        content["fine"], FINE.fine
    )
    assert (content["onset"], content["epoch_seconds"], content["per_epoch"]) == (60, 30, 3)
    assert content["channels"].tolist() == ["C4-M1", "E1-M2"] and content["stage_names"].tolist() == list(
        STAGES
    )
    assert np.array_equal(content["arousals"], NIGHT.arousals)
    assert str(content["start"]) == "2001-02-03T22:15:07" and str(content["id"]) == "night"
    assert json.loads(str(content["generated_by"]))["Network"] == NETWORK


def test_arrays_tell_no_arousals_from_arousals_nobody_looked_for(tmp_path):
    with np.load(
        export.arrays(replace(NIGHT, arousals=None, start=None, channels=[]), tmp_path / "a.npz")
    ) as file:
        assert "arousals" not in file and file["channels"].size == 0 and not str(file["start"])
        assert file["per_epoch"] == 1 and np.array_equal(file["fine"], NIGHT.posteriors)
    with np.load(export.arrays(replace(NIGHT, arousals=np.empty((0, 2))), tmp_path / "b.npz")) as file:
        assert file["arousals"].shape == (0, 2)


@pytest.fixture(scope="module")
def yasa():
    return pytest.importorskip("yasa", reason="reads its own hypnograms; in the extra `test`")


def test_yasa_reads_its_codes(tmp_path, yasa):
    path = export.yasa(NIGHT, tmp_path / "h.txt")
    codes = np.loadtxt(path, int, ndmin=1)
    theirs = yasa.Hypnogram.from_integers(codes)
    assert codes.tolist() == NIGHT.hypnogram.stages.tolist() == theirs.as_int().tolist()
    words = yasa.Hypnogram(_table(export.csv(NIGHT, tmp_path / "h.csv")).stage)
    assert words.hypno.tolist() == theirs.hypno.tolist()
    ours = report_statistics(NIGHT.hypnogram.stages)
    stats = theirs.sleep_statistics()
    assert {k: ours[k].value for k in stats} == pytest.approx(stats, abs=5.1e-5, nan_ok=True)


class Gapped(Staged):
    """A night with epochs that have no stage."""

    @property
    def hypnogram(self):
        return Hypnogram(
            np.where(np.isnan(self.posteriors[:, 0]), UNSCORED, self.posteriors.argmax(1)), onset=self.onset
        )


def test_epochs_without_a_stage_stay_in_their_place_in_every_format(tmp_path, yasa):
    p = _night([0, 0, 1, 2, 2, 0, 4, 0]).posteriors.copy()
    p[[5, 7]] = np.nan
    night, stages = Gapped("night", p, NETWORK, start=START), [0, 0, 1, 2, 2, UNSCORED, 4, UNSCORED]
    assert readers.read_hypnogram(export.edf(night, tmp_path / "h.edf")).stages.tolist() == stages
    path = export.bids(night, tmp_path / "h_events.tsv")
    assert readers.read_hypnogram(path).stages.tolist() == stages
    table = _table(path, sep="\t", na_values="n/a")
    assert table.p_W.isna().tolist() == [k == UNSCORED for k in stages] and table.stage[5] == "?"
    assert _table(export.csv(night, tmp_path / "h.csv")).stage.tolist()[4:] == ["N2", "?", "REM", "?"]
    with np.load(export.arrays(night, tmp_path / "h.npz")) as file:
        assert file["stages"].tolist() == stages
    theirs = yasa.Hypnogram.from_integers(np.loadtxt(export.yasa(night, tmp_path / "h.txt")).astype(int))
    assert theirs.hypno.tolist()[4:] == ["N2", "UNS", "REM", "UNS"]
    again = yasa.Hypnogram.from_json(export.yasa_json(night, tmp_path / "h.json"))
    assert again.as_int().tolist() == theirs.as_int().tolist() and again.proba is None
    ours = export.summary_table([night])
    assert (ours["UNS (min)"][0], ours["TST (min)"][0]) == (1, theirs.sleep_statistics()["TST"]) == (1, 2)


def test_yasa_places_its_hypnogram_by_the_clock(tmp_path, yasa):
    theirs = yasa.Hypnogram.from_json(export.yasa_json(NIGHT, tmp_path / "h.json"))
    assert theirs.as_int().tolist() == NIGHT.hypnogram.stages.tolist()
    assert theirs.start == START + timedelta(seconds=60) and theirs.scorer == "anysleep-demo"
    assert theirs.proba.columns.tolist() == ["WAKE", *STAGES[1:]]
    assert theirs.proba.to_numpy() == pytest.approx(NIGHT.posteriors, abs=1e-6)
    raw = mne.io.RawArray(np.zeros((1, 10 * 420)), mne.create_info(["C4"], 10.0, "eeg"), verbose="error")
    raw.set_meas_date(START.replace(tzinfo=UTC))
    spread = np.asarray(theirs.upsample_to_data(raw, verbose="error"))
    assert spread[5 * 30 :: 300].tolist() == [-2] * 2 + NIGHT.hypnogram.stages.tolist() + [-2]


def test_yasa_gets_no_probabilities_that_it_would_refuse(tmp_path, yasa):
    votes = replace(NIGHT, posteriors=NIGHT.posteriors * 0.9, start=None)
    theirs = yasa.Hypnogram.from_json(export.yasa_json(votes, tmp_path / "h.json"))
    assert theirs.proba is None and theirs.start is None


# --- statistics and summary


def test_statistics_of_a_night_as_a_table(tmp_path):
    table = _table(export.statistics(NIGHT, tmp_path / "s.csv"), na_values="n/a").set_index("statistic")
    ours = report_statistics(NIGHT.hypnogram.stages, arousals=NIGHT.arousals)
    assert table.index.tolist() == list(ours) and "AI" in ours
    assert table.value.to_dict() == pytest.approx(
        {k: s.value for k, s in ours.items()}, abs=5.1e-5, nan_ok=True
    )
    assert table.unit.to_dict()["SE"] == "%" and table.meaning.notna().all()


def test_a_table_of_nights(tmp_path):
    nights = [
        NIGHT,
        _night([0] * 20, seed=1),
        replace(NIGHT, id='Nächte, \t"3"\n', arousals=None, subject=None),
    ]
    table = export.summary_table(nights)
    assert table.night.tolist() == [night.id for night in nights] and table.simulated.all()
    assert table["TST (min)"].tolist() == [4, 0, 4] and np.isnan(table["SOL (min)"][1])
    assert table["%REM"][0] == 25 and table["AI (/h)"].notna().tolist() == [True, False, False]
    assert table.begins[0] == START + timedelta(seconds=60) and table.age[0] == 41 and pd.isna(table.age[2])
    assert table.confidence[0] == pytest.approx(NIGHT.posteriors.max(axis=1).mean())
    gap = np.arange(len(NIGHT.posteriors)) >= 5  # where nothing was recorded
    confidence = export.summary_table([replace(NIGHT, unscored=gap)]).confidence[0]
    assert confidence == pytest.approx(NIGHT.posteriors[~gap].max(axis=1).mean())
    nothing = export.summary_table([replace(NIGHT, unscored=np.ones_like(gap))])
    assert pd.isna(nothing.confidence[0])
    for path, separator in ((tmp_path / "s.csv", ","), (tmp_path / "s.tsv", "\t")):
        again = _table(export.summary(nights, path), sep=separator, na_values="n/a")
        assert (
            again.columns.tolist() == table.columns.tolist() and again.night.tolist() == table.night.tolist()
        )
        numbers = table.select_dtypes("float")
        assert again[numbers.columns].to_numpy() == pytest.approx(numbers.to_numpy(), abs=5.1e-5, nan_ok=True)


def test_no_summary_of_nothing_or_of_another_kind(tmp_path):
    with pytest.raises(SleeplibError, match="no nights"):
        export.summary([], tmp_path / "s.csv")
    with pytest.raises(SleeplibError, match=r"kind '\.xlsx'; known: \.csv, \.tsv"):
        export.summary([NIGHT], tmp_path / "s.xlsx")
    assert not any(tmp_path.iterdir())


# --- whole files or none

WRITERS = {name: format.write for name, format in export.FORMATS.items()} | {
    "summary": lambda night, path, force=False: export.summary([night], path, force)
}


def _path(folder, name):
    return folder / ("h" + (export.FORMATS[name].ending if name in export.FORMATS else ".csv"))


@pytest.mark.parametrize("name", WRITERS)
def test_no_format_overwrites_unless_asked(tmp_path, name):
    path = _path(tmp_path, name)
    path.write_text("mine")
    with pytest.raises(SleeplibError, match=re.escape(f"{path} exists; choose another name or pass --force")):
        WRITERS[name](NIGHT, path)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]
    assert WRITERS[name](NIGHT, path, force=True) == path and path.read_bytes() != b"mine"


def test_neither_file_of_bids_is_overwritten(tmp_path):
    (tmp_path / "n.json").write_text("mine")
    with pytest.raises(SleeplibError, match=r"n\.json exists"):
        export.bids(NIGHT, tmp_path / "n.tsv")
    assert (tmp_path / "n.json").read_text() == "mine" and not (tmp_path / "n.tsv").exists()


def test_hypnograms_are_not_overwritten_unless_asked(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("mine")
    with pytest.raises(SleeplibError, match="--force"):
        export.to_csv(HYPNOGRAM, path)
    assert path.read_text() == "mine"
    export.to_csv(HYPNOGRAM, path, force=True)
    with pytest.raises(SleeplibError, match="3 posteriors do not fit 7 stages"):
        export.to_csv(HYPNOGRAM, tmp_path / "p.csv", np.ones((3, 5)))


INNERMOST = {
    "edf": "edfio.Edf.write", "npz": "numpy.savez_compressed", "yasa": "numpy.savetxt",
    "yasa-json": "pathlib.Path.write_text",
}  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("name", WRITERS)
def test_an_interrupted_write_leaves_what_was_there(tmp_path, monkeypatch, name, error):
    path = _path(tmp_path, name)

    def half(*where, **_):
        for place in where:
            if isinstance(place, os.PathLike):
                with open(place, "wb") as file:
                    file.write(b"half")
        raise error

    before = WRITERS[name](NIGHT, path).read_bytes()
    monkeypatch.setattr(INNERMOST.get(name, "pandas.DataFrame.to_csv"), half)
    expected = SleeplibError if isinstance(error, OSError) else KeyboardInterrupt
    files = sorted(tmp_path.iterdir())
    with pytest.raises(expected, match="no space left" if expected is SleeplibError else None) as caught:
        WRITERS[name](NIGHT, path, force=True)
    assert (
        "\n" not in str(caught.value) and path.read_bytes() == before and sorted(tmp_path.iterdir()) == files
    )
    fresh = _path(tmp_path / "new", name)
    with pytest.raises(expected):
        WRITERS[name](NIGHT, fresh)
    assert not any(fresh.parent.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path, name):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/deeper"):
        with pytest.raises(SleeplibError, match=r"cannot be written .*; choose another folder") as caught:
            WRITERS[name](NIGHT, _path(folder, name))
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    path = _path(tmp_path, name)
    path.mkdir()
    with pytest.raises(SleeplibError, match="is a folder"):
        WRITERS[name](NIGHT, path, force=True)
    with pytest.raises(SleeplibError, match=r"cannot be written .*too long"):
        WRITERS[name](NIGHT, _path(tmp_path, name).with_stem("n" * 300))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SleeplibError, match="permission denied"):
        export.csv(NIGHT, tmp_path / "h.csv")
    tmp_path.chmod(0o700)


# --- several formats at once


def test_all_formats_stand_beside_the_recording(tmp_path):
    night = replace(FINE, id="Nacht ☾ 1")
    (tmp_path / "Nacht ☾ 1.edf").write_text("the recording")
    paths = export.write(night, tmp_path, export.FORMATS)
    assert len(set(paths)) == len(export.FORMATS) and all(path.stat().st_size for path in paths)
    assert len(list(tmp_path.iterdir())) == len(paths) + 2  # the recording, and BIDS' sidecar
    assert (tmp_path / "Nacht ☾ 1.edf").read_text() == "the recording"
    assert mne.read_annotations(paths[0]).description[0] == "Sleep stage W"


def test_one_file_in_the_way_and_nothing_is_written(tmp_path):
    (tmp_path / "night_yasa.txt").write_text("mine")
    with pytest.raises(SleeplibError, match=r"night_yasa\.txt exists"):
        export.write(NIGHT, tmp_path, export.FORMATS)
    assert [path.name for path in tmp_path.iterdir()] == ["night_yasa.txt"]
    (tmp_path / "night_events.json").write_text("mine")
    with pytest.raises(SleeplibError, match=r"night_events\.json exists"):
        export.write(NIGHT, tmp_path, ["edf", "bids"])
    assert len(list(tmp_path.iterdir())) == 2


def test_events_of_a_bids_data_set_are_a_derivative(tmp_path):
    night = replace(NIGHT, id="sub-1_task-Sleep_acq-psg_eeg")
    assert export.targets(night, tmp_path, ["bids"]) == {
        "bids": tmp_path / "sub-1_task-Sleep_acq-psg_desc-sleeplib_events.tsv"
    }


def test_unknown_formats_and_hostile_names_are_refused(tmp_path):
    with pytest.raises(SleeplibError, match="no format xml; known: edf, csv"):
        export.write(NIGHT, tmp_path, ["xml"])
    for name in ("", "..", "../night", "a/b", "a\\b", "a\0b"):
        with pytest.raises(SleeplibError, match="the id cannot name a file"):
            export.write(replace(NIGHT, id=name), tmp_path)
    assert not any(tmp_path.iterdir())


def test_epochs_without_a_stage_have_no_probabilities_and_no_confidence(tmp_path):
    unscored = np.ones(len(NIGHT.posteriors), bool)
    table = _table(export.csv(replace(NIGHT, unscored=unscored), tmp_path / "h.csv"))
    assert table[COLUMNS[3:]].isna().all(axis=None)
    row = export.summary_table([replace(NIGHT, unscored=unscored)])
    assert np.isnan(row.confidence[0]) and row.confidence.dtype == float


def test_a_name_that_is_no_utf_8_costs_no_table(tmp_path):
    path = export.summary([replace(NIGHT, id="M\udcfcller")], tmp_path / "s.csv")
    assert "M\\udcfcller" in path.read_text()


@pytest.mark.parametrize("id, entities", [("sub-01_eeg", "sub-01"), ("sub-01_night", "sub-01_night")])
def test_only_suffixes_of_bids_are_left_away(tmp_path, id, entities):
    paths = export.targets(replace(NIGHT, id=id), tmp_path, ["bids"])
    assert paths["bids"].name == f"{entities}_desc-sleeplib_events.tsv"
