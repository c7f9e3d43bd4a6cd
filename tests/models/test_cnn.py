"""Chambon and Tsinalis: sizes, layers by hand, edges of the context."""

import numpy as np
import pytest
import torch

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models.raw import with_neighbours

TSINALIS = {"channels": 2, "samples": 500, "dense": 10}


def parameters(name, **settings):
    with torch.device("meta"):
        return sum(p.numel() for p in models.build(name, **settings).parameters())


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("chambon", {}, 13_005),
        # convolutions, two dense layers, softmax, by hand
        ("tsinalis", {}, 20 * 201 + 400 * (20 * 30 + 1) + 500 * (400 * 721 + 1) + 500 * 501 + 5 * 501),
    ],
)
def test_number_of_parameters(name, settings, count):
    """Facts B2.6."""
    assert parameters(name, **settings) == count


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("samples", [3000, 500, 777])
def test_chambon_takes_any_channels_and_lengths(channels, samples):
    net = models.build("chambon", channels=channels, samples=samples).eval()
    assert net(torch.randn(2, 4, channels, samples)).shape == (2, 4, 5)


def test_chambons_original_and_single_epochs():
    net = models.build(
        "chambon", channels=2, samples=3840, context=1, kernel=64, pool=16, dropout=0.25
    ).eval()
    assert net(torch.randn(1, 2, 2, 3840)).shape == (1, 2, 5)
    with pytest.raises(SleeplibError, match="context=2: an odd number"):
        models.build("chambon", context=2)
    with pytest.raises(SleeplibError, match="emg=4: there are 3 channels"):
        models.build("chambon", emg=4)


def test_emg_has_a_branch_of_its_own():
    net = models.build("chambon", samples=500).eval()
    assert net.groups == [2, 1] and models.build("chambon", channels=3, emg=0).groups == [3]
    x = torch.randn(1, 3, 500)
    louder = x.clone()
    louder[:, 2] *= 3
    a, b = net.encode(x), net.encode(louder)
    eeg_eog = net.branches[0].size
    assert torch.equal(a[:, :eeg_eog], b[:, :eeg_eog]) and not torch.equal(a[:, eeg_eog:], b[:, eeg_eog:])


def test_chambons_branch_by_hand():
    """One channel, the two convolutions written as sums."""
    net = models.build("chambon", channels=1, samples=60, kernel=4, pool=3, filters=2).eval().double()
    branch = net.branches[0]
    p = {key: value.detach().numpy() for key, value in branch.state_dict().items()}
    signal = np.random.default_rng(0).normal(size=60)
    x = (p["mix.weight"][0, 0, 0] * signal + p["mix.bias"][0])[None]
    for layer in (0, 3):
        W, b = p[f"convolutions.{layer}.weight"], p[f"convolutions.{layer}.bias"]
        padded = np.pad(x, ((0, 0), (1, 2)))
        x = np.array(
            [
                [(padded[:, t : t + 4] * w).sum() + v for t in range(x.shape[1])]
                for w, v in zip(W, b, strict=True)
            ]
        )
        x = np.maximum(x, 0)
        left = (-x.shape[1] % 3) // 2
        x = np.array(
            [[r[max(3 * i - left, 0) : 3 * i - left + 3].max() for i in range(-(-len(r) // 3))] for r in x]
        )
    assert np.allclose(net.encode(torch.from_numpy(signal)[None, None])[0].detach(), x.ravel())


def test_edges_repeat_the_edge_epoch():
    epochs = torch.arange(4.0)[None, :, None]
    context = with_neighbours(epochs, 3)[0, :, :, 0].tolist()
    assert context == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert with_neighbours(epochs, 5)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 2]
    assert with_neighbours(epochs[:, :1], 5)[0, 0, :, 0].tolist() == [0] * 5
    assert torch.equal(with_neighbours(epochs, 1)[:, :, 0], epochs)


@pytest.mark.parametrize(("name", "reach"), [("chambon", 1), ("tsinalis", 2)])
def test_an_epoch_sees_its_neighbours_and_no_more(name, reach):
    settings = TSINALIS if name == "tsinalis" else {"channels": 2, "samples": 500}
    net = models.build(name, **settings).eval()
    x = torch.randn(1, 9, 2, 500)
    other = x.clone()
    other[0, 4] = torch.randn(2, 500) * 5
    changed = (net(x) != net(other)).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == list(range(4 - reach, 5 + reach))


@pytest.mark.parametrize(("name", "reach"), [("chambon", 1), ("tsinalis", 2)])
def test_a_sequence_and_its_night_agree_inside(name, reach):
    """Away from a sequence's edges its logits are the decisions about the night; at the night's edges too."""
    settings = TSINALIS if name == "tsinalis" else {"channels": 2, "samples": 500}
    net = models.build(name, **settings).eval()
    night = torch.randn(70, 2, 500)
    with torch.no_grad():
        decided = net.decisions(night)
        assert decided.shape == (70, 1, 5)
        part = net(night[None, 30:40])[0].log_softmax(-1)
        assert torch.allclose(part[reach:-reach], decided[30 + reach : 40 - reach, 0], atol=1e-5)
        start = net(night[None, :10])[0].log_softmax(-1)
        assert torch.allclose(start[:-reach], decided[: 10 - reach, 0], atol=1e-5)


def test_tsinalis_joins_signals_in_order_of_time():
    net = models.build("tsinalis", **TSINALIS).eval()
    x = torch.randn(1, 6, 2, 500)
    joined = net.join(x)
    assert joined.shape == (1, 2, 10 * 500)
    epochs = joined[0].unflatten(1, (10, 500)).transpose(0, 1)
    assert torch.equal(epochs, x[0, [0, 0, 0, 1, 2, 3, 4, 5, 5, 5]])


@pytest.mark.parametrize(("samples", "context"), [(500, 5), (500, 3), (3000, 1)])
def test_tsinalis_on_a_sequence_is_tsinalis_on_each_window(samples, context):
    """The windows share the convolutions and get what each would get alone; an epoch repeats at the edges."""
    net = models.build("tsinalis", **TSINALIS | {"samples": samples, "context": context}).eval()
    x = torch.randn(2, 4, 2, samples)
    windows = with_neighbours(x, context).transpose(2, 3).flatten(3).flatten(0, 1)  # (B*L, C, context*T)
    alone = net.dense(net.convolutions(windows)).unflatten(0, (2, 4))
    assert torch.allclose(net(x), alone, atol=1e-5)


def test_tsinalis_has_the_lengths_of_the_facts():
    with torch.device("meta"):
        net = models.build("tsinalis")
        lengths, x = [], torch.empty(1, 1, 15000)
        for layer in net.convolutions:
            x = layer(x)
            lengths.append(x.shape[-1])
    assert lengths == [14801, 1479, 1479, 1450, 721, 721] and net.steps == 721
    with pytest.raises(SleeplibError, match="1 epochs of 500 samples are too short"):
        models.build("tsinalis", samples=500, context=1)
    with pytest.raises(SleeplibError, match="samples=770: a multiple of 20"):
        models.build("tsinalis", samples=770)


def test_the_penalty_is_on_nothing():
    """Facts B2.6."""
    assert models.build("chambon").decayed() == [] == models.build("tsinalis", **TSINALIS).decayed()


def test_what_training_shows_them():
    chambon = models.build("chambon")
    assert (chambon.sequence_length, chambon.reach, chambon.signals) == (3, 0, True)


def test_order_of_epochs():
    chambon, x = models.build("chambon", channels=2, samples=500).eval(), torch.randn(3, 4, 2, 500)
    assert torch.allclose(chambon(x[[1, 2, 0]]), chambon(x)[[1, 2, 0]], atol=1e-5)
