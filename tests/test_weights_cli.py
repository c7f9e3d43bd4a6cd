"""`sleeplib weights export`: from a name or a file to an ONNX file, or one clear line."""

import pytest

from sleeplib import cli, models
from sleeplib.models import weights
from sleeplib.preparation import ANYSLEEP, Preparation

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")


@pytest.fixture
def saved(tmp_path):
    network = models.build("anysleep", complexity=0.1, depth=3)
    return weights.save(network, "anysleep", tmp_path / "any", Preparation(**ANYSLEEP))


def call(*arguments) -> int:
    return cli.main(["weights", "export", *map(str, arguments)])


def test_weights_become_a_file_that_knows_them(saved, tmp_path, capsys):
    path = tmp_path / "new/any.onnx"
    assert call(saved, path, "--per-epoch", 30) == 0
    told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert told["sha256"] == weights.load(saved).card["sha256"] and told["seconds_per_stage"] == "1"
    out = capsys.readouterr().out
    assert str(path) in out and str(saved) in out and "any number in any order" in out
    before = path.read_bytes()
    assert call(saved, path) == 2 and path.read_bytes() == before
    assert "any.onnx exists; choose another name or pass --force" in capsys.readouterr().err
    assert call(saved, path, "--force") == 0 and path.read_bytes() != before


def test_the_projects_own_by_name(tmp_path, capsys):
    assert call("real-eeg/seqsleepnet-30", tmp_path / "net.onnx", "--night") == 0
    assert "epochs of a night, 30 or more" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("any.safetensors", "any.onnx", "--per-epoch", 7), "7 stages per epoch"),
        (("any.safetensors", "any.onnx", "--night"), "takes whole nights anyway"),
        (("any.safetensors", "any.pt"), "has to end in .onnx"),
        (("nosuch", "any.onnx"), "no weights 'nosuch'"),
        (("demo/chambon-et-al", "any.onnx"), "Chambon cannot be written as ONNX"),
        (("any.safetensors", "any.json/any.onnx"), "any.json"),
    ],
)
def test_what_is_wrong_is_one_line(saved, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not list(tmp_path.glob("*.onnx*"))
