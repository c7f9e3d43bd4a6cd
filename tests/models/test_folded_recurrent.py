"""Folded recurrent layers: the readable model's numbers, to the last bits of double precision."""

import pytest
import torch

from sleeplib import inference, models
from sleeplib.errors import SleeplibError
from sleeplib.models import folded_recurrent
from sleeplib.models.folded_recurrent import FoldedRNN
from sleeplib.models.recurrent import BNGRU
from sleeplib.models.released import BNLSTM

SMALL = {"channels": 2, "frames": 6, "bins": 17, "filters": 4, "hidden": 5, "attention": 3}


def trained(module):
    """With gains, offsets and statistics of their own at each step, in double precision."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "filterbank" not in name:
            torch.nn.init.normal_(parameter, 0.1, 0.5)
    for name, buffer in module.named_buffers():
        if name.endswith(("mean", "var", "std")):
            buffer.copy_(torch.rand_like(buffer) + (-0.5 if name.endswith("mean") else 0.5))
    return module.double().eval()


def network(name="seqsleepnet", variant="paper", **changes):
    """A small one."""
    sequence = {"sequence_length": 4} if name == "seqsleepnet" else {}
    return trained(models.build(name, variant=variant, **SMALL | sequence | changes))


@pytest.mark.parametrize("kind", [BNGRU, BNLSTM])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("length", [7, 4, 1])
def test_states_are_those_of_the_readable_layers(kind, depth, length):
    rnn = trained(kind(6, 5, steps=7, depth=depth, dropout=0.5))
    x = torch.randn(9, length, 6, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(FoldedRNN(rnn)(x), rnn(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [BNGRU, BNLSTM])
@pytest.mark.parametrize(("epochs", "length"), [(20, 5), (5, 5), (9, 1)])
def test_windows_are_those_cut_out_one_by_one(kind, epochs, length):
    rnn = trained(kind(6, 5, steps=5, depth=2))
    x = torch.randn(epochs, 6, dtype=torch.float64)
    windows = torch.stack([x[first : first + length] for first in range(epochs - length + 1)])
    with torch.inference_mode():
        assert torch.allclose(FoldedRNN(rnn).windows(x, length), rnn(windows), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("seqsleepnet", "paper"),
        ("seqsleepnet", "released"),
        ("e2e-arnn", "paper"),
        ("multitask-e2e-arnn", "paper"),
    ],
)
@pytest.mark.parametrize("epochs", [11, 4, 2, 1])
@pytest.mark.parametrize("rows", [160, 4, 1])
def test_decisions_are_those_of_the_network_in_any_pieces(name, variant, epochs, rows, monkeypatch):
    monkeypatch.setattr(folded_recurrent, "ROWS", rows)
    net = network(name, variant)
    night = torch.randn(epochs, 2, 6, 17, dtype=torch.float64)
    with torch.inference_mode():
        expected = net.decisions(night)
    found = folded_recurrent.decisions(net, night)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_whole_night_in_single_precision_by_several_threads(threads, monkeypatch):
    monkeypatch.setattr(folded_recurrent, "ROWS", 25)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    net = network(frames=29, hidden=64, attention=64, sequence_length=20).float()
    night = torch.randn(60, 2, 29, 17)
    with torch.inference_mode():
        expected = inference.fuse(net.decisions(night))
    assert torch.allclose(inference.posteriors(net, night), expected, rtol=0, atol=1e-5)


def test_inference_folds_by_default(monkeypatch):
    net = network()

    def readable(*_):
        raise AssertionError("the readable layer was called")

    for rnn in (net.encoder.rnn, net.rnn):
        monkeypatch.setattr(type(rnn), "forward", readable)
    assert inference.posteriors(net, torch.randn(9, 2, 6, 17, dtype=torch.float64)).shape == (9, 5)


@pytest.mark.parametrize("name", ["1-max-cnn", "e2e-arnn"])
def test_networks_without_such_layers_keep_their_threads(name, monkeypatch):
    torch.manual_seed(0)
    variant, settings = ("released", SMALL) if name == "e2e-arnn" else ("paper", {"channels": 2})
    net = models.build(name, variant=variant, **settings).eval()
    assert not folded_recurrent.layers(net)
    night = torch.randn(3, 2, net.settings.frames, net.settings.bins)
    with torch.inference_mode():
        expected = inference.fuse(net.decisions(night))
    monkeypatch.delattr(inference.sequences, "workers")
    assert torch.equal(inference.posteriors(net, night), expected)


def test_staging_gives_torch_its_threads_back():
    before = torch.get_num_threads()
    inference.posteriors(network(), torch.randn(9, 2, 6, 17, dtype=torch.float64))
    with pytest.raises(RuntimeError):
        inference.posteriors(network(), torch.randn(9, 7, 6, 17, dtype=torch.float64))
    assert torch.get_num_threads() == before


def test_the_network_is_as_it_was_afterwards():
    net = network().train()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    inference.posteriors(net, torch.randn(9, 2, 6, 17, dtype=torch.float64))
    with pytest.raises(RuntimeError):
        folded_recurrent.decisions(net.eval(), torch.randn(9, 7, 6, 17, dtype=torch.float64))
    assert all("forward" not in vars(module) for module in net.modules())
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


def test_weights_that_change_are_folded_anew():
    net, night = network(), torch.randn(9, 2, 6, 17, dtype=torch.float64)
    before = folded_recurrent.decisions(net, night)
    with torch.no_grad():
        net.rnn.layers[0].W_hh.mul_(-1)
        expected = net.decisions(night)
    found = folded_recurrent.decisions(net, night)
    assert torch.allclose(found, expected, rtol=0, atol=1e-10) and not torch.allclose(found, before)


def test_a_sequence_longer_than_its_statistics_is_refused():
    rnn = FoldedRNN(trained(BNGRU(6, 5, steps=4)))
    with torch.inference_mode():
        with pytest.raises(SleeplibError, match="4 steps and got 5"):
            rnn(torch.randn(2, 5, 6, dtype=torch.float64))
        with pytest.raises(SleeplibError, match="4 steps and got 5"):
            rnn.windows(torch.randn(8, 6, dtype=torch.float64), 5)
