"""Cohorts: the same bytes however they are made, whole files only, nothing of others destroyed."""

from pathlib import Path

import pytest
import yaml

from sleeplib.errors import SleeplibError
from sleeplib.readers import read
from sleeplib.simulator import cohort as module
from sleeplib.simulator import simulate

SMALL = {"seed": 5, "persons": 3, "hours": 0.5, "ages": [25, 60]}


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.edf"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort")
    simulate(SMALL, out, name="small", progress=False)
    return out


def test_same_bytes_for_any_number_of_workers(made, tmp_path):
    simulate(SMALL, tmp_path, name="small", jobs=2, progress=False)
    assert _bytes(tmp_path) == _bytes(made) and len(_bytes(made)) == 3
    assert (tmp_path / "participants.tsv").read_text() == (made / "participants.tsv").read_text()


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


def test_an_interrupted_run_goes_on_where_it_stopped(made, tmp_path, monkeypatch):
    write, calls = module.write_edf, []

    def interrupted(recording, path):
        calls.append(path)
        if len(calls) == 2:
            path.with_name(path.name + ".part").write_bytes(b"half")
            raise KeyboardInterrupt
        write(recording, path)

    monkeypatch.setattr(module, "write_edf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(SMALL, tmp_path, name="small", progress=False)
    assert list(_bytes(tmp_path)) == ["small-001.edf"]
    before = (tmp_path / "small-001.edf").stat().st_mtime_ns
    monkeypatch.setattr(module, "write_edf", write)
    simulate(SMALL, tmp_path, name="small", progress=False)
    assert (tmp_path / "small-001.edf").stat().st_mtime_ns == before
    assert _bytes(tmp_path) == _bytes(made)


def test_a_truncated_night_is_made_again_and_an_old_version_too(made, tmp_path, monkeypatch):
    paths = simulate({**SMALL, "persons": 1}, tmp_path, name="small", progress=False)
    paths[0].write_bytes(paths[0].read_bytes()[:100000])
    simulate({**SMALL, "persons": 1}, tmp_path, name="small", progress=False)
    assert _bytes(tmp_path)["small-001.edf"] == _bytes(made)["small-001.edf"]
    before = paths[0].stat().st_mtime_ns
    monkeypatch.setattr(module, "version", lambda: "another")
    simulate({**SMALL, "persons": 1}, tmp_path, name="small", progress=False)
    assert paths[0].stat().st_mtime_ns > before


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


@pytest.mark.parametrize(
    "bad",
    [
        {"persons": 0},
        {"person": 3},
        {"ages": [60, 20]},
        {"ages": 5},
        {"share_female": 2},
        {"site": {"x": 1}},
        {"seed": "a"},
        {"hours": "long"},
    ],
)
def test_bad_settings_get_one_clear_line_and_write_nothing(bad, tmp_path):
    with pytest.raises(SleeplibError) as error:
        simulate({**SMALL, **bad}, tmp_path / "out", progress=False)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_the_embedded_manifest_can_be_simulated(tmp_path):
    manifest = yaml.safe_load((Path(__file__).parents[2] / "data_manifests" / "embedded.yaml").read_text())
    assert manifest["simulated"] is True and "simulated" in manifest["title"]
    paths = simulate(manifest, tmp_path, persons=1, hours=0.5, progress=False)
    recording = read(paths[0])
    assert paths[0].name == "embedded-001.edf"
    for derivation in manifest["montage"].values():
        assert recording.channel(derivation)[1] == 128
