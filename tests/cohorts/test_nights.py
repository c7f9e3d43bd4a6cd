"""One night of a cohort: what is read, what is left out with a note, and what is refused."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from sleeplib import cohorts, readers
from sleeplib.cohorts import nights
from sleeplib.cohorts.nights import vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.prepare import prepare
from sleeplib.readers.edf import write_edf, write_edf_annotations
from sleeplib.recording import Event, Recording
from sleeplib.simulator import simulate

START = datetime(1999, 1, 1, 23, 0, 0)


def twin(name, folder, persons=1, **changes):
    """A short twin's manifest, made in `folder`."""
    manifest = cohorts.load(name)
    simulation = manifest.simulation | {"persons": persons, "hours": 0.5} | changes
    manifest = replace(manifest, simulation=simulation)
    simulate(manifest, folder, progress=False)
    return manifest


def scored(manifest, folder):
    (entry,) = cohorts.recordings(manifest, folder)
    return nights.score(manifest, entry, nights.header_of(entry))


def test_events_of_each_cohort_under_one_vocabulary():
    def named(cohort, *texts):
        return [
            e.kind for e in vocabulary(cohorts.load(cohort), [Event(t, i, 1.0) for i, t in enumerate(texts)])
        ]

    arousals = (
        "Arousal|Arousal ()",
        "ASDA arousal|Arousal (ADSA)",
        "AROUSAL|AROUSAL  (STANDARD)",
        "Arousal ()",
    )
    assert named("shhs", *arousals) == ["arousal"] * 4
    assert (
        named("shhs", "Respiratory effort related arousal|RERA", "SpO2 artifact|SpO2 artifact", "Wake|0")
        == []
    )
    assert named("shhs", "obstructive_apnea|Obstructive Apnea", "HYPOPNEA|Hypopnea") == [
        "obstructive apnea", "hypopnea"
    ]  # fmt: skip
    assert (
        named("abc", "Unsure|Unsure")
        == named("mesa", "Unsure|Unsure")
        == named("mros", "Unsure|Unsure")
        == ["hypopnea"]
    )
    assert named("chat", "Unsure|Unsure") == ["mixed apnea"]
    assert named("phys", "arousal_rera", "arousal_noise", "resp_centralapnea", "resp_partialobstructive") == [
        "arousal", "central apnea"
    ]  # fmt: skip
    assert named("svuh", "HYP-C", "APNEA-M", "APNEA-B", "HYP-B") == [
        "hypopnea",
        "mixed apnea",
        "apnea",
        "hypopnea",
    ]
    mark = '<Event channel="{}" groupName="{}" name="CARSM expert" scoringType="expert"/>'
    assert named(
        "mass-c1", mark.format("EEG C3-CLE", "MicroArousal"), mark.format("EMG Chin", "MicroArousal")
    ) == ["arousal"]
    assert named("mass-c3", mark.format("Resp Cannula", "ObstructiveApnea")) == ["obstructive apnea"]


def test_two_hypnograms_of_one_scorer_are_refused(tmp_path):
    manifest = twin("sedf-st", tmp_path, nights=1)
    hypnogram = next(tmp_path.glob("*Hypnogram.edf"))
    hypnogram.with_name(hypnogram.name.replace("P-Hyp", "Z-Hyp")).write_bytes(hypnogram.read_bytes())
    with pytest.raises(
        SleeplibError, match=r"2 hypnograms beside it \(ST7011JP-Hypnogram.edf, ST7011JZ-.*keep 1"
    ):
        scored(manifest, tmp_path)


def test_scorer_one_counts_and_two_where_he_is_missing(tmp_path):
    manifest = twin("isruc-sg3", tmp_path)
    both = scored(manifest, tmp_path)
    assert len(both.scorings) == 2 and np.array_equal(both.hypnogram.stages, both.scorings[0].stages)
    (tmp_path / "1/1_1.txt").unlink()
    one = scored(manifest, tmp_path)
    assert one.scorings == [] and np.array_equal(one.hypnogram.stages, both.scorings[1].stages)


def test_scorers_that_do_not_fit_are_left_out_with_a_note(tmp_path):
    manifest = twin("dodh", tmp_path)
    whole = scored(manifest, tmp_path)
    assert len(whole.scorings) == 5 and whole.notes == []
    first = next(tmp_path.glob("scorers/dodh/scorer_1/*.json"))
    text = first.read_text()
    first.write_text(json.dumps(json.loads(text)[:-40] + [-1] * 40))
    shorter = scored(manifest, tmp_path)
    assert shorter.scorings == [] and "do not fit the 60 of the signals" in shorter.notes[0]
    first.unlink()
    fewer = scored(manifest, tmp_path)
    assert fewer.scorings == [] and fewer.notes == ["4 of 5 scorers' hypnograms are here; they are left out"]
    assert np.array_equal(fewer.hypnogram.stages, whole.hypnogram.stages)
    prepared, failures = prepare(manifest, tmp_path, tmp_path / "store", progress=False)
    assert not failures and len(prepared.scorings(0)) == 0
    assert "4 of 5 scorers" in (tmp_path / "store/quality.tsv").read_text()


def test_clock_times_without_a_start_are_one_nights_failure(tmp_path):
    manifest = twin("svuh", tmp_path, persons=2, ahi=60)
    path = tmp_path / "ucddb001.rec"
    raw = bytearray(path.read_bytes())
    raw[168:184] = b"xx.xx.xxyy.yy.yy"
    path.write_bytes(raw)
    prepared, failures = prepare(manifest, tmp_path, tmp_path / "store", progress=False)
    assert prepared.ids == ["002"] and len(failures) == 1 and "does not say when it starts" in failures[0]


def test_20_s_epochs_are_for_networks_that_read_epoch_by_epoch(tmp_path):
    manifest = twin("mass", tmp_path / "files", persons=2)
    for_images, failures = prepare(manifest, tmp_path / "files", tmp_path / "images", progress=False)
    assert not failures and for_images.ids == ["01-01-0001", "01-02-0002"]
    from sleeplib.preparation import ANYSLEEP

    read_on, failures = prepare(manifest, tmp_path / "files", tmp_path / "any", progress=False, **ANYSLEEP)
    assert read_on.ids == ["01-01-0001"]
    assert len(failures) == 1 and "epochs of 20 s; those of this cohort have 30 s" in failures[0]


def test_the_first_good_night_tells_the_length_of_the_epochs(tmp_path):
    manifest = twin("mass", tmp_path / "files", persons=2)
    first = next((tmp_path / "files").rglob("01-01-0001 Base.edf"))
    first.write_bytes(first.read_bytes()[:700])
    prepared, failures = prepare(manifest, tmp_path / "files", tmp_path / "store", progress=False)
    assert prepared.ids == ["01-02-0002"] and len(failures) == 1 and "truncated" in failures[0]


def test_samples_of_wfdb_belong_to_what_a_night_is_made_of(tmp_path):
    manifest = twin("phys", tmp_path / "files")
    prepared, _ = prepare(manifest, tmp_path / "files", tmp_path / "store", progress=False)
    before = prepared.digest
    mat = next((tmp_path / "files").rglob("*.mat"))
    raw = np.fromfile(mat, np.int16)
    raw[12:] = np.roll(raw[12:], 13 * 1000)
    raw.tofile(mat)
    again, failures = prepare(manifest, tmp_path / "files", tmp_path / "store", progress=False)
    assert failures or again.digest != before


def test_a_cohort_without_its_tables_says_so(tmp_path):
    manifest = twin("shhs", tmp_path / "files")
    table = next((tmp_path / "files/datasets").iterdir())
    assert prepare(manifest, tmp_path / "files", tmp_path / "a", progress=False)[0].notes == []
    table.write_text(table.read_text().replace("\n200001,", "\n200001,young", 1))
    prepared, failures = prepare(manifest, tmp_path / "files", tmp_path / "b", progress=False)
    assert not failures and prepared.recordings[0]["subject"]["age"] is None
    assert "is not a number" in (tmp_path / "b/quality.tsv").read_text()
    table.unlink()
    assert prepare(manifest, tmp_path / "files", tmp_path / "c", progress=False)[0].notes == [
        "no table datasets/shhs1-dataset-*.csv here: ages and sexes may be unknown"
    ], "of the visit that is here"


def test_families_without_a_name_are_an_error(tmp_path):
    manifest = twin("cfs", tmp_path, persons=3)
    assert [e.group for e in cohorts.recordings(manifest, tmp_path)] == [
        "family 11",
        "family 11",
        "family 12",
    ]
    next((tmp_path / "datasets").iterdir()).unlink()
    assert [e.group for e in cohorts.recordings(manifest, tmp_path)] == [
        "family 11",
        "family 11",
        "family 12",
    ]
    for path in [*tmp_path.rglob("*.edf"), *tmp_path.rglob("*.xml")]:
        path.rename(path.with_name(path.name.replace("-famID11", "").replace("-famID12", "")))
    with pytest.raises(
        SleeplibError, match="the family of 800001 stands neither in the file's name nor in datasets/cfs"
    ):
        cohorts.recordings(manifest, tmp_path)


def test_names_in_capitals_and_a_twin_behind_a_link(tmp_path):
    manifest = twin("svuh", tmp_path / "files", persons=2)
    (tmp_path / "files/ucddb001.rec").rename(tmp_path / "files/UCDDB001.REC")
    assert [e.id for e in cohorts.recordings(manifest, tmp_path / "files")] == ["001", "002"]
    (tmp_path / "linked").mkdir()
    for path in (tmp_path / "files").glob("*.*"):
        if path.suffix != ".json":
            (tmp_path / "linked" / path.name).symlink_to(path)
    prepared, _ = prepare(manifest, tmp_path / "linked", tmp_path / "store", progress=False)
    assert prepared.simulated and prepared.title.startswith("Simulated twin of")


def cassette(folder, late=0.0, start=START, texts="W12341R" * 2):
    """A night of ten minutes as Sleep-EDF keeps them, whose hypnogram begins `late` s after the signals."""
    names = ["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"]
    waves = [np.random.default_rng(i).normal(0, 20, 60_000).astype(np.float32) for i in range(3)]
    write_edf(Recording(waves, [100.0] * 3, names, start=start), folder / "SC4001E0-PSG.edf")
    marks = [Event(f"Sleep stage {text}", 30.0 * i, 30.0) for i, text in enumerate(texts)]
    theirs = late if isinstance(late, datetime) else start + timedelta(seconds=late)
    write_edf_annotations(folder / "SC4001EC-Hypnogram.edf", marks, theirs)
    return scored(cohorts.load("sedf-sc"), folder)


@pytest.mark.parametrize("late", [90.0, 0.75, 3.5])
def test_a_hypnogram_that_begins_later_is_moved_by_the_clock(late, tmp_path):
    night = cassette(tmp_path, late)
    assert night.hypnogram.onset == pytest.approx(late) and len(night.hypnogram) == 14
    assert night.notes == [
        f"SC4001EC-Hypnogram.edf begins {late:g} s after the signals by its clock; it is moved"
    ]


def test_a_hypnogram_that_begins_before_the_signals_loses_what_lies_there(tmp_path):
    night = cassette(tmp_path, -40.0, texts="W12341R" * 3)
    assert night.hypnogram.onset == pytest.approx(20) and night.hypnogram.stages[:3].tolist() == [2, 3, 3]
    assert "begins 40 s before" in night.notes[0]


@pytest.mark.parametrize(
    "late",
    [
        0.0,
        datetime(1985, 1, 1),  # a clock that was taken away
        datetime(1999, 1, 1),
        datetime(2003, 1, 1, 23, 0, 40),  # another day
        13 * 3600.0,
    ],
)
def test_a_hypnogram_without_a_clock_to_believe_stays(late, tmp_path):
    night = cassette(tmp_path, late)
    assert night.hypnogram.onset == 0 and len(night.hypnogram) == 14 and not night.notes


def test_a_hypnogram_that_would_not_fit_the_signals_stays(tmp_path):
    night = cassette(tmp_path, 300.0)  # the time at which it was exported
    assert night.hypnogram.onset == 0 and night.notes[0].endswith("where it does not fit; it is not moved")


def test_events_of_a_file_of_their_own_are_moved_too(tmp_path):
    names = ["EEG C4-LER", "EEG C3-LER", "EOG Left Horiz", "EOG Right Horiz", "EMG Chin1"]
    waves, start = [np.zeros(256 * 600, np.float32)] * 5, START.replace(microsecond=750_000)
    write_edf(Recording(waves, [256.0] * 5, names, start=start), tmp_path / "01-03-0001 PSG.edf")
    stages = [Event(f"Sleep stage {text}", 5.75 + 30.0 * i, 30.0) for i, text in enumerate("W12341RW123WR12")]
    arousal = (
        '<Event channel="EEG C4-LER" groupName="MicroArousal" name="CARSM expert" scoringType="expert"/>'
    )
    write_edf_annotations(tmp_path / "01-03-0001 Base.edf", stages, START)
    write_edf_annotations(tmp_path / "01-03-0001 Annotations.edf", [Event(arousal, 40.75, 4.0)], START)
    night = scored(cohorts.load("mass-c3"), tmp_path)
    assert night.hypnogram.onset == pytest.approx(5) and len(night.notes) == 2
    assert [(event.kind, event.onset) for event in night.events] == [("arousal", pytest.approx(40))]


def test_a_damaged_annotation_beside_the_signals_does_not_cost_the_night(tmp_path):
    cassette(tmp_path)
    names = ["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"]
    waves = [np.ones(60_000, np.float32)] * 3
    marked = Recording(waves, [100.0] * 3, names, start=START, events=[Event("x" * 20, 5.0, 1.0)])
    path = tmp_path / "SC4001E0-PSG.edf"
    write_edf(marked, path)
    path.write_bytes(path.read_bytes().replace(b"x" * 20 + b"\x14", b"x" * 20 + b"\0"))
    with pytest.raises(SleeplibError, match="cannot be read"):
        readers.read(path)
    manifest = cohorts.load("sedf-sc")
    (entry,) = cohorts.recordings(manifest, tmp_path)
    assert len(nights.read(manifest, entry).hypnogram) == 14
