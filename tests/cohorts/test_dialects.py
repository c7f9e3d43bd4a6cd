"""What the manifests say of labels, texts and names, held against what is known of the archives."""

import pytest

from sleeplib import cohorts
from sleeplib.cohorts.files import compiled
from sleeplib.cohorts.nights import vocabulary
from sleeplib.cohorts.splits import read_usleep_split
from sleeplib.montages import Montage
from sleeplib.recording import EVENTS, Event, Header

NSRR = [name for name in cohorts.names() if cohorts.load(name).hypnogram["format"] == "nsrr"]


def kinds(name, *texts):
    events = vocabulary(cohorts.load(name), [Event(text, i, 1) for i, text in enumerate(texts)])
    return [event.kind for event in events]


@pytest.mark.parametrize("name", NSRR)
def test_profusions_names_mean_what_nsrrs_concepts_do(name):
    told = cohorts.load(name).events
    concepts = {t: kind for kind in EVENTS for t in told.get(kind, []) if "|" in t and "*" not in t}
    assert len(concepts) >= 5
    for concept, kind in concepts.items():
        assert kinds(name, concept, concept.rpartition("|")[2]) == [kind, kind], concept
    for unsure in ("Unsure|Unsure", "Unsure"):
        expected = {"abc": "hypopnea", "mesa": "hypopnea", "mros": "hypopnea", "chat": "mixed apnea"}
        assert kinds(name, unsure) == ([expected[name]] if name in expected else [])


def test_apneas_of_svuh_of_which_nobody_wrote_down_the_type():
    texts = ("APNEA-B", "APNEA-O", "APNEA-C", "APNEA-M", "APNEA", "HYP-B", "AROUSAL", "POSSIBLE")
    assert kinds("svuh", *texts) == [
        "apnea", "obstructive apnea", "central apnea", "mixed apnea", "apnea", "hypopnea", "arousal"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels", "role", "terms"),
    [
        ("mass", ["EEG C4-LER", "EEG A1-CLE", "EEG A1-LER"], "EEG", {"EEG C4-LER": 1, "EEG A1-CLE": -1}),
        ("mass", ["EEG C4-LER", "EEG C3-LER", "EEG A1-LER"], "EEG", {"EEG C4-LER": 1, "EEG A1-LER": -1}),
        ("mass", ["EEG C4-LER", "EEG C3-LER", "EEG A2-CLE"], "EEG", {"EEG C3-LER": 1, "EEG A2-CLE": -1}),
        ("mass", ["EEG C4-LER", "EEG C3-LER", "EEG A2-LER"], "EEG", {"EEG C3-LER": 1, "EEG A2-LER": -1}),
        ("mass", ["EEG C4-CLE", "EEG C3-LER"], "EEG", {"EEG C4-CLE": 1}),
        ("hpap", ["E1-E2"], "EOG", {"E1-E2": 1}),
        ("hpap", ["Chin1", "Chin2-Chin3"], "EMG", {"Chin2-Chin3": 1}),
        ("hpap", ["LCHIN", "Rchon"], "EMG", {"LCHIN": 1, "Rchon": -1}),
        ("hpap", ["Lchin", "Rchin", "Cchin"], "EMG", {"Lchin": 1, "Cchin": -1}),
    ],
)
def test_roles_are_formed_of_what_a_file_has(name, labels, role, terms):
    manifest, n = cohorts.load(name), len(labels)
    header = Header(labels, [256.0] * n, ["uV"] * n, [1] * n)
    (found,) = Montage(manifest.channels, header).roles({role: manifest.montage[role]})
    assert found.terms == terms


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["E1", "E2", "M1", "M2"], ["E1-M2", "E2-M1", "E1", "E2"]),
        (["E1-M2", "E2-M1"], ["E1-M2", "E2-M1"]),
        (["L-EOG", "R-EOG"], ["E1", "E2"]),
    ],
)
def test_eyes_of_hpap_stand_alone_beside_their_derivations(labels, expected):
    n = len(labels)
    plan = Montage(cohorts.load("hpap").channels, Header(labels, [200.0] * n, ["uV"] * n, [1] * n))
    assert [d.name for d in plan.every(("EOG",))] == expected


def test_nobody_has_the_name_of_somebody_in_another_archive(shared):
    split = read_usleep_split(shared / "reference/vectors/usleep_split.yaml")
    cohort_of = {}
    for part in split.values():
        for name, ids in part.items():
            files = cohorts.load(name).files
            pattern = compiled(files["id"], files["fields"])
            for one in ids:
                person = files.get("person", "{person}").format(**pattern.fullmatch(one).groupdict())
                assert cohort_of.setdefault(person, name) == name, person
    assert len(cohort_of) > 15_000


@pytest.mark.parametrize(
    ("one", "other", "first", "second"),
    [
        ("sedf-sc", "sleep-edf-npz", "SC4112E0-PSG.edf", "SC4112E0.npz"),
        ("sedf-st", "sleep-edf-npz", "ST7011J0-PSG.edf", "ST7011J0.npz"),
        ("mass", "mass-c1", "01-01-0003 PSG.edf", "01-01-0003 PSG.edf"),
        ("mass", "mass-c3", "01-03-0003 PSG.edf", "01-03-0003 PSG.edf"),
    ],
)
def test_a_person_of_two_manifests_is_one(one, other, first, second, tmp_path):
    persons = []
    for name, file in ((one, first), (other, second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        persons += [entry.subject.id for entry in cohorts.recordings(cohorts.load(name), tmp_path / name)]
    assert len(persons) == 2 and len(set(persons)) == 1
