"""One night of a cohort: what is read, what is left out with a note, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sleeplib import cohorts
from sleeplib.cohorts import nights
from sleeplib.cohorts.nights import vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.prepare import prepare
from sleeplib.recording import Event
from sleeplib.simulator import simulate


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
