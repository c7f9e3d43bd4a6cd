"""ONNX files under onnxruntime against the networks: one file for any number of nights, channels and samples."""

import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch

from sleeplib import inference, models
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.models.onnx import export
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.provenance import root

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `test` is not installed")

SMALL = {"channels": 2, "frames": 6, "bins": 17, "filters": 4, "hidden": 5, "attention": 3}
# Nights, channels, samples: one stage, one sample more, halves that are odd again and again, many channels.
SHAPES = [(1, 1, 3840), (1, 2, 3841), (2, 7, 3 * 3840 + 1235), (3, 1, 4095), (1, 2, 8191), (1, 3, 12346)]


def trained(network):
    """With statistics and gains of their own, as after training."""
    torch.manual_seed(0)
    for name, buffer in network.named_buffers():
        if name.endswith(("mean", "var", "std")):
            buffer.copy_(torch.rand_like(buffer) + (-0.5 if name.endswith("mean") else 0.5))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def opened(path):
    """What onnxruntime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session, x) -> list[np.ndarray]:
    """The outputs for the one input."""
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


@torch.no_grad()
def check(network, session, x, *more) -> None:
    """The file's outputs are the network's logits and posteriors."""
    expected = network(x, *more)
    logits, posteriors = run(session, x)
    assert logits.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(posteriors), expected.softmax(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("anysleep", {}),
        ("anysleep", {"norm_first": False, "depth": 5, "kernel": 8}),
        ("usleep", {}),
        ("anysleep-early", {}),
        ("anysleep-late", {}),
        ("anysleep-late", {"heads": 2, "depth": 3, "norm_first": True}),
    ],
)
def test_one_file_takes_any_nights_channels_and_samples(name, settings, tmp_path):
    network = trained(models.build(name, complexity=0.02, **settings))
    session = opened(export(network, tmp_path / "network.onnx"))
    for nights, channels, samples in SHAPES:
        check(network, session, torch.randn(nights, 2 if name == "usleep" else channels, samples))


@pytest.mark.parametrize("factor", [1, 1e3, -1e3])
def test_scores_far_apart_neither_overflow_nor_vanish(factor, tmp_path):
    network = trained(models.build("anysleep", complexity=0.02, depth=2))
    for fusion in network.fusions:
        fusion.scores.score.weight.data *= factor
    x = torch.randn(1, 12, 3841) * torch.arange(12)[:, None]
    assert factor == 1 or (network.attention(x) > 0.999).any()
    check(network, opened(export(network, tmp_path / "network.onnx")), x)


def test_what_is_shorter_than_a_stage_has_none(tmp_path):
    session = opened(
        export(trained(models.build("usleep", complexity=0.02, depth=3)), tmp_path / "network.onnx")
    )
    try:
        stages = run(session, torch.randn(1, 2, 3000))[0].size
    except Exception:  # onnxruntime may refuse maps without a column
        stages = 0
    assert stages == 0


def test_a_night_shorter_than_a_window_is_refused(tmp_path):
    network = trained(models.build("seqsleepnet", sequence_length=4, **SMALL))
    session = opened(export(network, tmp_path / "network.onnx", night=True))
    with pytest.raises(Exception, match=r"[Rr]eshape"):
        run(session, torch.randn(3, 2, 6, 17))


def test_half_the_bits_are_written_in_full(tmp_path):
    network = trained(models.build("usleep", complexity=0.02, depth=3)).bfloat16()
    session, x = opened(export(network, tmp_path / "network.onnx")), torch.randn(1, 2, 3840)
    check(network.float(), session, x)


@pytest.mark.parametrize("per_epoch", [2, 30, 640, 3840])
def test_finer_stages(per_epoch, tmp_path):
    network = trained(models.build("anysleep", complexity=0.02, depth=4))
    session = opened(export(network, tmp_path / "network.onnx", per_epoch))
    for samples in (3840, 2 * 3840 + 1919):
        check(network, session, torch.randn(1, 2, samples), per_epoch)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("depth", [1, 2])
def test_sequences_any_number_of_them(variant, depth, tmp_path):
    network = trained(
        models.build("seqsleepnet", variant=variant, sequence_length=4, depth=depth, **SMALL)
    ).train()
    session = opened(export(network, tmp_path / "network.onnx"))
    assert network.training
    for sequences in (1, 2, 9):
        check(network.eval(), session, torch.randn(sequences, 4, 2, 6, 17))


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("epochs", [4, 5, 30])
def test_a_whole_night_of_sequences_is_fused(variant, epochs, tmp_path):
    network = trained(models.build("seqsleepnet", variant=variant, sequence_length=4, **SMALL))
    night = torch.randn(epochs, 2, 6, 17)
    [found] = run(opened(export(network, tmp_path / "network.onnx", night=True)), night)
    expected = inference.posteriors(network, night)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-5)


def test_networks_that_were_trained(tmp_path):
    """Those that come with the project, at full size."""
    folder = root() / "book/weights"
    network = weights.load(folder / "any/anysleep-0/anysleep")
    check(
        network,
        opened(export(network, tmp_path / "any.onnx")),
        torch.randn(1, 3, 4 * 3840 + 17).clamp(-20, 20),
    )
    network = weights.load(folder / "real-eeg/seqsleepnet-30/seqsleepnet")
    s = network.settings
    night = 10 * torch.randn(40, s.channels, s.frames, s.bins)
    [found] = run(opened(export(network, tmp_path / "sequences.onnx", night=True)), night)
    expected = inference.posteriors(network, night)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-5)


def facts(path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_the_file_says_what_a_user_has_to_know(tmp_path):
    network = trained(models.build("anysleep", complexity=0.02, depth=3))
    preparation = Preparation(**ANYSLEEP | {"scaling": "robust-authors"})
    weights.save(network, "anysleep", tmp_path / "any", preparation, licence="CC0", citation="Nobody (1900)")
    network = weights.load(tmp_path / "any")
    told = facts(export(network, tmp_path / "folder/any.onnx", per_epoch=30))
    assert told["network"] == "anysleep" and told["sha256"] == network.card["sha256"]
    assert Preparation(**json.loads(told["preparation"])) == preparation
    assert told["rate_hz"] == "128" and "clipped to +-20" in told["scaling"]
    assert told["stages"] == "W,N1,N2,N3,REM"
    assert told["stages_per_epoch"] == "30" and told["seconds_per_stage"] == "1"
    assert told["licence"] == "CC0" and told["citation"] == "Nobody (1900)"
    assert json.loads(told["settings"]) == asdict(network.settings)
    session = opened(tmp_path / "folder/any.onnx")
    assert session.get_modelmeta().custom_metadata_map == told
    assert [x.shape for x in session.get_inputs()] == [["nights", "channels", "samples"]]
    assert [x.shape for x in session.get_outputs()] == [["nights", "stages", 5]] * 2
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["any.onnx"]


def test_a_montage_and_its_order_are_told(tmp_path):
    network = trained(models.build("seqsleepnet", sequence_length=4, **SMALL))
    preparation = Preparation({"EEG": "C4-M1", "EOG": "E1-M2"}, images="standardised")
    weights.save(network, "seqsleepnet", tmp_path / "net", preparation)
    told = facts(export(weights.load(tmp_path / "net"), tmp_path / "net.onnx", night=True))
    assert list(json.loads(told["montage"]).items()) == list(preparation.montage.items())
    assert told["rate_hz"] == "100" and "microvolts" in told["scaling"]
    assert "4 or more" in told["input"] and "z-scored over its night" in told["input"]


@pytest.mark.parametrize("name", ["anysleep", "usleep", "anysleep-early", "anysleep-late", "seqsleepnet"])
def test_files_are_valid(name, tmp_path):
    network = models.build(name) if name == "seqsleepnet" else models.build(name, complexity=0.02)
    model = onnx.load(export(network, tmp_path / "network.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(x.domain, x.version) for x in model.opset_import] == [("", 18)] and model.ir_version == 10


def test_what_cannot_be_written_is_told(tmp_path):
    path = tmp_path / "network.onnx"
    sequences, nights = models.build("seqsleepnet", **SMALL), models.build("usleep", complexity=0.02)
    for given, message in {
        (sequences, 2): "SeqSleepNet gives one stage per epoch, not 2",
        (nights, 7): "7 stages per epoch: it has to be a whole number that divides 3840",
        (nights, 1, True): "USleep takes whole nights anyway",
        (models.build("e2e-arnn", **SMALL),): "E2EARNN cannot be written as ONNX",
    }.items():
        with pytest.raises(SleeplibError, match=message):
            export(given[0], path, *given[1:])
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for part in ("graph", "nights", "sequences"):
        monkeypatch.delitem(sys.modules, f"sleeplib.models.onnx.{part}", raising=False)
    with pytest.raises(SleeplibError, match=r"pip install 'sleeplib\[onnx\]'"):
        export(models.build("usleep", complexity=0.02), tmp_path / "network.onnx")
