"""DeepSleepNet1 and E2E-DeepSleepNet: sizes, "SAME" padding, the LSTM, the order of epochs."""

import numpy as np
import pytest
import torch

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models.deepsleepnet import LSTM, BiLSTM
from sleeplib.models.raw import SameConv1d, SameMaxPool1d, same_size
from sleeplib.sampling import Nights

SMALL = {"channels": 2, "samples": 500, "hidden": 8, "sequence_length": 4}


def parameters(name, **settings):
    with torch.device("meta"):
        return sum(p.numel() for p in models.build(name, **settings).parameters())


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("deepsleepnet1", {"channels": 1}, 619_397),
        ("deepsleepnet1", {}, 676_997),
        ("e2e-deepsleepnet", {"channels": 1}, 22_639_493),
        ("e2e-deepsleepnet", {}, 22_697_093),
        ("e2e-deepsleepnet", {"channels": 1, "peepholes": True}, 22_645_637),
        ("e2e-deepsleepnet", {"peepholes": True}, 22_703_237),
    ],
)
def test_number_of_parameters(name, settings, count):
    """Facts B2.5 and B2.6."""
    assert parameters(name, **settings) == count


def same_edges(size, kernel, stride):
    """TensorFlow's documentation, with its two cases."""
    total = max(kernel - (stride if size % stride == 0 else size % stride), 0)
    return total // 2, total - total // 2


def naive_convolution(x, weight, stride):
    """x (C, T), weight (filters, C, kernel) -> (filters, ceil(T / stride)), zeros outside."""
    kernel = weight.shape[-1]
    x = np.pad(x, ((0, 0), same_edges(x.shape[1], kernel, stride)))
    starts = range(0, x.shape[1] - kernel + 1, stride)
    return np.array([[(x[:, t : t + kernel] * w).sum() for t in starts] for w in weight])


def naive_maximum(x, kernel, stride):
    """x (C, T) -> (C, ceil(T / stride)); only what lies inside counts."""
    left, _ = same_edges(x.shape[1], kernel, stride)
    starts = [i * stride - left for i in range(-(-x.shape[1] // stride))]
    return np.array([[row[max(t, 0) : t + kernel].max() for t in starts] for row in x])


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [(60, 8, 1), (60, 5, 1), (60, 5, 2), (61, 8, 3), (100, 50, 6), (101, 40, 5), (7, 9, 4), (30, 3, 5)],
)
def test_same_padding_is_tensorflows(size, kernel, stride):
    x = torch.randn(2, 3, size, dtype=torch.float64)
    convolution = SameConv1d(3, 4, kernel, stride, bias=False).double()
    expected = [naive_convolution(row, convolution.weight.detach().numpy(), stride) for row in x.numpy()]
    assert np.allclose(convolution(x).detach(), expected)
    assert convolution(x).shape[-1] == same_size(size, stride) == -(-size // stride)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(63, 4, 4), (500, 8, 8), (15, 2, 2), (60, 5, 3)])
def test_padded_steps_are_never_the_maximum(size, kernel, stride):
    x = -torch.rand(2, 3, size) - 1
    pooled = SameMaxPool1d(kernel, stride)(x)
    assert np.allclose(pooled, [naive_maximum(row, kernel, stride) for row in x.numpy()])


def test_an_even_kernel_looks_one_sample_further_ahead_than_back():
    convolution = SameConv1d(1, 1, 4, bias=False)
    torch.nn.init.ones_(convolution.weight)
    impulse = torch.zeros(1, 1, 9)
    impulse[0, 0, 4] = 1
    assert convolution(impulse)[0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("samples", "features"), [(3000, 2048 + 1024), (500, 384 + 256), (2001, 1408 + 768)])
def test_the_shapes_of_epochs_of_any_length(samples, features):
    net = models.build("deepsleepnet1", channels=1, samples=samples).eval()
    assert net.encoder(torch.randn(2, 1, samples)).shape == (2, features)
    assert net(torch.randn(2, 3, 1, samples)).shape == (2, 3, 5)


def test_figure_3b_layer_by_layer():
    """Lengths after each convolution and maximum for 30 s at 100 Hz (facts B2.5)."""
    net = models.build("deepsleepnet1", channels=1).eval()
    small, large = (branch[:-1] for branch in (net.encoder.small, net.encoder.large))  # before the flattening
    for branch, expected in ((small, [500, 63, 63, 63, 63, 63, 16]), (large, [60, 15, 15, 15, 15, 15, 8])):
        lengths, x = [], torch.randn(1, 1, 3000)
        for layer in branch:
            x = layer(x)
            lengths.append(x.shape[-1])
        assert lengths == expected


def test_batch_normalisation_keeps_999_of_1000():
    net = models.build("deepsleepnet1", channels=1, samples=500)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert len(norms) == 8 and all(m.eps == 1e-5 and m.momentum == pytest.approx(0.001) for m in norms)


def test_an_epoch_of_another_length_is_refused():
    net = models.build("deepsleepnet1", channels=2)
    with pytest.raises(SleeplibError, match="2 channels and 3000 samples and got 2 and 500"):
        net(torch.randn(1, 1, 2, 500))


def test_lstm_is_torchs_lstm():
    """Torch has gates i, f, g, o and two biases; the forget gate's starts at 1 as in TensorFlow."""
    ours = LSTM(6, 5).double()
    assert ours.b.flatten().tolist() == ([0.0] * 5 + [1.0] * 5 + [0.0] * 10) * 2
    torch.nn.init.normal_(ours.b)
    theirs = torch.nn.LSTM(6, 5, bidirectional=True).double()
    with torch.no_grad():
        for direction, suffix in enumerate(("", "_reverse")):
            getattr(theirs, f"weight_ih_l0{suffix}").copy_(ours.W[direction].T)
            getattr(theirs, f"weight_hh_l0{suffix}").copy_(ours.U[direction].T)
            getattr(theirs, f"bias_ih_l0{suffix}").copy_(ours.b[direction, 0])
            getattr(theirs, f"bias_hh_l0{suffix}").zero_()
    x = torch.randn(7, 3, 6, dtype=torch.float64)
    states = ours(torch.stack([x, x.flip(0)], dim=1))
    assert torch.allclose(torch.cat([states[:, 0], states[:, 1].flip(0)], dim=-1), theirs(x)[0])


def test_peepholes_by_hand():
    ours = LSTM(3, 2, peepholes=True).double()
    x = torch.randn(4, 2, 1, 3, dtype=torch.float64)
    states = ours(x).detach().numpy()
    W, U, b, p = (v.detach().numpy() for v in (ours.W, ours.U, ours.b, ours.p))

    def sigm(v):
        return 1 / (1 + np.exp(-v))

    for d in range(2):
        h = c = np.zeros(2)
        for t in range(4):
            i, f, j, o = np.split(x[t, d, 0].numpy() @ W[d] + h @ U[d] + b[d, 0], 4)
            i, f = sigm(i + p[0, d, 0] * c), sigm(f + p[1, d, 0] * c)
            c = f * c + i * np.tanh(j)
            h = sigm(o + p[2, d, 0] * c) * np.tanh(c)
            assert np.allclose(states[t, d, 0], h)


def test_the_two_directions_do_not_exchange():
    rnn = BiLSTM(3, 4, 2, 0.0, False)
    x = torch.randn(1, 6, 3)
    later = x.clone()
    later[:, 3:] += 1
    a, b = rnn(x), rnn(later)
    assert torch.equal(
        a[:, :3, :4], b[:, :3, :4]
    )  # forward states do not know the future, through both layers
    assert not torch.isclose(a[:, :3, 4:], b[:, :3, 4:]).any(-1).all()


def test_order_of_epochs_and_of_sequences():
    """Each row and position of the logits is about that epoch."""
    net = models.build("e2e-deepsleepnet", **SMALL).eval()
    x = torch.randn(3, 4, 2, 500)
    logits = net(x)
    assert torch.allclose(net(x[[2, 0, 1]]), logits[[2, 0, 1]], atol=1e-5)
    assert not torch.allclose(net(x.flip(1)).flip(1), logits, atol=1e-3)  # the sequence has a direction
    alone = models.build("deepsleepnet1", channels=2, samples=500).eval()
    assert torch.allclose(alone(x.flip(1)).flip(1), alone(x), atol=1e-5)
    assert torch.allclose(alone(x)[1, 2], alone(x[1:2, 2:3])[0, 0], atol=1e-5)


@pytest.mark.parametrize("N", [1, 3, 4, 70])
def test_decisions_are_those_of_all_windows(N):
    net = models.build("e2e-deepsleepnet", **SMALL).eval()
    for norm in net.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(norm.running_mean)
    night, L = torch.randn(N, 2, 500), min(4, N)
    windows = torch.stack([night[i : i + L] for i in range(N - L + 1)])
    with torch.no_grad():
        assert torch.allclose(net.decisions(night), net(windows).log_softmax(-1), atol=1e-5)


def test_a_z_score_is_the_same_as_scaled_signals():
    net = models.build("deepsleepnet1", channels=2, samples=500).eval()
    x, mean, std = torch.randn(2, 1, 2, 500), torch.tensor([3.0, -2.0]), torch.tensor([10.0, 0.1])
    before = net(x)
    net.normalise(mean, std)
    assert torch.allclose(net(x * std[:, None] + mean[:, None]), before, atol=1e-4)


@pytest.mark.parametrize(("name", "settings"), [("deepsleepnet1", {}), ("e2e-deepsleepnet", {"hidden": 8})])
def test_the_penalty_is_on_the_first_short_filters_alone(name, settings):
    """Facts B2.5: the first convolution of the branch of 50 samples."""
    net = models.build(name, channels=2, samples=500, **settings)
    (weight,) = net.decayed()
    assert weight is net.encoder.small[0][0].weight and weight.shape == (64, 2, 50)


def test_adapt_takes_the_z_score_of_the_training_nights():
    net = models.build("deepsleepnet1", channels=2, samples=500)
    train = Nights(torch.randn(6, 2, 500) * 7 + 3, torch.zeros(6).long(), [6])
    net.adapt(train)
    z = net.standardise(train.inputs)
    assert torch.allclose(z.mean((0, 2)), torch.zeros(2), atol=1e-4)
    assert torch.allclose(z.square().mean((0, 2)), torch.ones(2), atol=1e-4)
