"""Cohorts: the same bytes however they are made, whole files only, nothing of others destroyed."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib import cohorts, stages
from sleeplib.errors import SleeplibError
from sleeplib.readers import read
from sleeplib.readers.scorings import read_scorings
from sleeplib.recording import Event, Recording
from sleeplib.simulator import cohort as module
from sleeplib.simulator import files, night, read_truth, simulate, twins
from sleeplib.simulator.population import Population

SMALL = {"seed": 5, "persons": 3, "hours": 0.5, "ages": [25, 60], "scorers": 2}
ONE_CHANNEL = {"channels": {"EEG Fpz-Cz": "Fpz - Cz"}, "rate": 100}  # quick to make


def _bytes(folder):
    """Every file of the cohort, sidecars too."""
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".edf", ".json", ".tsv"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _edfs(folder):
    return [path.name for path in sorted(Path(folder).glob("*.edf"))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort")
    simulate(SMALL, out, name="small", progress=False)
    return out


def test_same_bytes_for_any_number_of_workers(made, tmp_path):
    simulate(SMALL, tmp_path, name="small", jobs=2, progress=False)
    assert _bytes(tmp_path) == _bytes(made)
    assert len(_bytes(made)) == 3 * 4 + 2, "EDF, two scorers and the truth of each; the table and the index"


def test_participants_are_those_of_the_files(made):
    rows = [line.split("\t") for line in (made / "participants.tsv").read_text().splitlines()]
    assert rows[0] == ["participant_id", "age", "sex", "ahi"] and len(rows) == 4
    for name, age, sex, ahi in rows[1:]:
        subject = read(made / f"{name}.edf").subject
        assert (subject.id, subject.age, subject.sex, subject.ahi) == (name, float(age), sex, float(ahi))
        assert 25 <= subject.age <= 60


def test_another_seed_gives_other_nights(made, tmp_path):
    simulate({**SMALL, "seed": 6, "persons": 1}, tmp_path, name="small", progress=False)
    assert _bytes(tmp_path)["small-001.edf"] != _bytes(made)["small-001.edf"]


@pytest.mark.parametrize("step", ["write_edf", "_write_scorings"])
def test_an_interrupted_run_goes_on_where_it_stopped(step, made, tmp_path, monkeypatch):
    write, calls = getattr(twins, step), []

    def interrupted(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 2:
            (tmp_path / "small-002.edf.part").write_bytes(b"half")
            raise KeyboardInterrupt
        write(*arguments, **settings)

    monkeypatch.setattr(twins, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(SMALL, tmp_path, name="small", progress=False)
    assert _edfs(tmp_path) == ["small-001.edf"]
    before = (tmp_path / "small-001.edf").stat().st_mtime_ns
    monkeypatch.setattr(twins, step, write)
    simulate(SMALL, tmp_path, name="small", progress=False)
    assert (tmp_path / "small-001.edf").stat().st_mtime_ns == before
    assert _bytes(tmp_path) == _bytes(made)


@pytest.mark.parametrize("file", ["small-001.edf", "scorer_2/small-001.json", "truth/small-001.tsv"])
def test_a_night_is_made_again_if_any_of_its_files_is_cut_short_or_missing(file, made, tmp_path):
    one = {**SMALL, "persons": 1}
    simulate(one, tmp_path, name="small", progress=False)
    whole = _bytes(tmp_path)
    for cut in (whole[file][:-3], whole[file][: len(whole[file]) // 2], None):
        (tmp_path / file).unlink() if cut is None else (tmp_path / file).write_bytes(cut)
        simulate(one, tmp_path, name="small", progress=False)
        assert _bytes(tmp_path) == whole


def test_nights_of_an_old_version_are_removed_even_if_not_asked_for(tmp_path, monkeypatch):
    quick = {**SMALL, "persons": 2, "site": ONE_CHANNEL}
    simulate(quick, tmp_path, name="small", progress=False)
    before = (tmp_path / "small-001.edf").stat().st_mtime_ns
    monkeypatch.setattr(module, "version", lambda: "another")
    simulate({**quick, "persons": 1}, tmp_path, name="small", progress=False)
    assert (tmp_path / "small-001.edf").stat().st_mtime_ns > before
    assert not list(tmp_path.rglob("small-002*")), "it would be taken for one of the new version"


def test_nights_of_a_version_with_fewer_settings_are_made_again(tmp_path):
    quick = {**SMALL, "persons": 1, "site": ONE_CHANNEL}
    simulate(quick, tmp_path, name="small", progress=False)
    before = (tmp_path / "small-001.edf").stat().st_mtime_ns
    marker = tmp_path / "simulation.json"
    old = json.loads(marker.read_text())
    for setting in ("names", "variants", "onset"):
        del old["settings"][setting]
    marker.write_text(json.dumps({**old, "version": "older"}))
    simulate(quick, tmp_path, name="small", progress=False)
    assert (tmp_path / "small-001.edf").stat().st_mtime_ns > before


def test_files_of_others_are_left_alone(tmp_path):
    foreign = tmp_path / "small-002.edf"
    foreign.write_bytes(b"precious")
    with pytest.raises(SleeplibError, match="unknown origin"):
        simulate(SMALL, tmp_path, name="small", progress=False)
    assert foreign.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1


def test_other_settings_need_another_folder(made):
    before = _bytes(made)
    with pytest.raises(SleeplibError, match="other settings"):
        simulate({**SMALL, "seed": 9}, made, name="small", progress=False)
    assert _bytes(made) == before


BAD = {
    "persons": [0, 1.5, "a"],
    "person": [3],
    "nights": [0, 10],
    "seed": ["a", -1],
    "hours": ["long", 0.1],
    "ages": [[60, 20], 5, [1, 20], "young"],
    "age_mean": [50],
    "share_female": [2, True],
    "ahi": [
        -1,
        {"share_osa": 2},
        {"median": 20},
        {"share_osa": 1, "mean": 20},
        {"share_osa": 1, "median": 2},
    ],
    "scorers": [0, 2.5],
    "scoring": ["r&k"],
    "arousals": ["yes"],
    "dialect": [{"S1": "x"}, {"N1": "drowsy"}, {"N1": "N2"}, {"N1": 1}, "aasm"],
    "site": [5],
    "scorer": [{"x": 1}, {"jitter": "much"}],
}
BAD_SITE = {
    "unknown setting x": [1],
    "noise_uv": ["low"],
    "flips": [2],
    "rate": [0],
    "channels": [["C3"]],
    "eeg_band": [40, [40, 0.3], [0, 40], [0.3, "x"], [80, 90]],
    "awake": [[-5, 0]],
}
CASES = [(key, {key: value}) for key in BAD for value in BAD[key]]
CASES += [(key, {"site": {key.split()[-1]: value}}) for key in BAD_SITE for value in BAD_SITE[key]]


@pytest.mark.parametrize(("told", "bad"), CASES)
def test_bad_settings_get_one_clear_line_and_write_nothing(told, bad, tmp_path):
    with pytest.raises(SleeplibError, match=told) as error:
        simulate({**SMALL, **bad}, tmp_path / "out", progress=False)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_labels_that_edf_cannot_hold_are_refused(tmp_path):
    for label in ("EEG of the left mastoid", "µ", ""):
        with pytest.raises(SleeplibError, match="EDF labels"):
            simulate({**SMALL, "site": {"channels": {label: "Cz"}}}, tmp_path / "out", progress=False)


@pytest.mark.parametrize("manifest", [{"name": "x"}, {"name": "x", "simulation": {}}, {"simulation": 5}, 5])
def test_a_manifest_without_simulation_says_so(manifest, tmp_path):
    with pytest.raises(SleeplibError, match=r"no `simulation` in it|expected a mapping"):
        simulate(manifest, tmp_path / "out", progress=False)


def test_the_truth_is_exact_to_the_sample(made):
    recording = night(np.random.SeedSequence(5, spawn_key=(0,)), hours=0.5, **_first_person(), scorers=2)
    state, events = read_truth(made / "small-001.edf")
    assert state.dtype == np.int8 and np.array_equal(state, recording.truth)
    assert events == recording.true_events and len(events) > 0
    assert read_truth(made / "truth" / "small-001.tsv")[1] == events
    scorings = read_scorings(made / "small-001.edf")
    assert [s.stages.tolist() for s in scorings] == [s.stages.tolist() for s in recording.scorings]
    assert read(made / "small-001.edf").hypnogram.stages.tolist() == recording.hypnogram.stages.tolist()


def _first_person():
    rng = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(0, 99)))
    return Population(ages=(25, 60)).draw(rng)


EVENTS = st.builds(Event, st.sampled_from(["arousal", "apnea"]), st.floats(0, 1e5), st.floats(0, 100))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4000)), min_size=1), st.lists(EVENTS), st.data())
def test_any_truth_is_read_back_and_a_cut_one_is_refused(tmp_path_factory, bouts, events, data):
    path = tmp_path_factory.mktemp("truth") / "x.tsv"
    state = np.repeat(*np.array(bouts).T).astype(np.int8)
    recording = Recording([], [], [], truth=state, true_events=events)
    text = "\n".join(files._rows(recording)) + "\n"
    path.write_text(text)
    back, events_back = read_truth(path)
    assert np.array_equal(back, state) and events_back == events
    path.write_text(text[: data.draw(st.integers(0, len(text) - 2))])
    with pytest.raises(SleeplibError, match=r"x\.tsv: (cut short|not the truth)"):
        read_truth(path)


def test_several_nights_of_a_person_share_the_person_and_differ(tmp_path):
    settings = {"seed": 2, "persons": 2, "nights": 2, "hours": 0.5, "site": ONE_CHANNEL}
    paths = simulate(settings, tmp_path, name="twice", progress=False)
    names = [f"twice-00{i}-{nth}.edf" for i in (1, 2) for nth in (1, 2)]
    assert [path.name for path in paths] == names
    first, second, other, _ = map(read, paths)
    assert first.subject == second.subject and first.subject.id == "twice-001" != other.subject.id
    assert not np.array_equal(first.signals[0], second.signals[0])
    assert not np.array_equal(read_truth(paths[0])[0], read_truth(paths[1])[0])
    assert len((tmp_path / "participants.tsv").read_text().splitlines()) == 3


def test_what_the_experts_did_not_annotate_is_in_the_truth_alone(tmp_path):
    settings = {"seed": 3, "persons": 1, "hours": 0.5, "ahi": 60, "site": ONE_CHANNEL}
    kinds = {}
    for arousals, events in ((True, True), (True, False), (False, True), (False, False)):
        out = tmp_path / f"{arousals}-{events}"
        path = simulate({**settings, "arousals": arousals, "events": events}, out, progress=False)[0]
        kinds[arousals, events] = {event.kind for event in read(path).events}
        true = {event.kind for event in read_truth(path)[1]}
        assert "arousal" in true and true - {"arousal"}
    assert "arousal" in kinds[True, True] and kinds[True, True] - {"arousal"}
    assert kinds[True, False] == {"arousal"} and "arousal" not in kinds[False, True] != set()
    assert kinds[False, False] == set()


def test_twenty_second_epochs_in_a_dialect_of_their_own(tmp_path):
    import edfio

    dialect = {"W": "Wake|0", "N1": "S1", "N2": "S2", "N3": "S4", "REM": "REM sleep|5"}
    settings = {
        "persons": 1,
        "hours": 0.5,
        "site": ONE_CHANNEL,
        "scoring": "rk",
        "dialect": dialect,
        "bouts": False,
    }
    path = simulate(settings, tmp_path, progress=False)[0]
    hypnogram = read(path).hypnogram
    assert hypnogram.epoch_seconds == 20 and len(hypnogram) == 90
    texts = [a for a in edfio.read_edf(path).annotations if stages.is_stage(a.text)]
    assert {a.text for a in texts} <= set(dialect.values()) and {a.duration for a in texts} == {20}


def _draws(n=2000, **settings):
    rng = np.random.default_rng(1)
    return [Population(**settings).draw(rng) for _ in range(n)]


def test_ages_are_even_or_normal_and_keep_their_limits():
    even = np.array([who["age"] for who in _draws(ages=(20, 80))])
    normal = np.array([who["age"] for who in _draws(ages=(40, 90), age_mean=63, age_sd=11)])
    assert even.min() >= 20 and even.max() <= 80 and abs(even.mean() - 50) < 1.5 and even.std() > 16
    assert (
        normal.min() >= 40
        and normal.max() <= 90
        and abs(np.median(normal) - 63) < 1.5
        and 8 < normal.std() < 12
    )


def test_apnea_is_a_share_of_the_population():
    def ahi(**settings):
        return np.array([who["ahi"] for who in _draws(ahi=settings)])

    half = ahi(share_osa=0.5, median=20, sigma=0.8)
    assert abs((half >= 5).mean() - 0.5) < 0.05 and 15 < np.median(half[half >= 5]) < 27
    assert ahi(share_osa=1).min() >= 5 and ahi(share_osa=0).max() < 5 and ahi(share_osa=0).min() > 0
    assert {who["ahi"] for who in _draws(10, ahi=7.5)} == {7.5} and {who["ahi"] for who in _draws(10)} == {
        None
    }
    assert abs(np.mean([who["sex"] == "F" for who in _draws(share_female=0.3)]) - 0.3) < 0.05


def test_the_embedded_manifest_can_be_simulated(tmp_path):
    manifest = vars(cohorts.load("embedded"))
    assert manifest["simulated"] is True and "simulated" in manifest["title"]
    paths = simulate(manifest, tmp_path, persons=1, hours=0.5, progress=False)
    recording = read(paths[0])
    assert paths[0].name == "embedded-001.edf"
    for derivation in manifest["montage"].values():
        assert recording.channel(derivation)[1] == 128
