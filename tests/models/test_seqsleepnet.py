"""SeqSleepNet and E2E-ARNN against the paper's equations and Table I."""

import numpy as np
import pytest
import torch

from sleeplib import models
from sleeplib.models.seqsleepnet import E2EARNNSettings, SeqSleepNetSettings, triangular_filterbank
from tests.models import naive


def randomised(name, **settings):
    """A network in float64 whose every parameter and statistic matters."""
    torch.manual_seed(0)
    net = models.build(name, **settings).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.5)
    for key, buffer in net.named_buffers():
        if "triangles" not in key:
            buffer.copy_(torch.rand_like(buffer) + (0.5 if key.endswith(("var", "std")) else -0.5))
    net.encoder.filterbank.triangles.copy_(
        torch.from_numpy(naive.triangles(*net.encoder.filterbank.triangles.shape))
    )
    return net.eval()


def test_defaults_are_table_1():
    s = SeqSleepNetSettings()
    assert (s.sequence_length, s.filters, s.hidden, s.attention, s.dropout) == (20, 32, 64, 64, 0.25)
    assert E2EARNNSettings().attention == 32
    assert (s.channels, s.frames, s.bins) == (3, 29, 129)


def test_triangles_equal_the_naive_ones_and_the_authors(shared):
    assert np.abs(triangular_filterbank().numpy() - naive.triangles()).max() < 1e-7
    authors = np.load(shared / "reference/vectors/seqsleepnet_filterbank_T.npz")["T"]
    assert np.abs(triangular_filterbank().numpy() - authors).max() < 1e-7


def test_filterbank_equals_equations_1_and_2():
    net = randomised("e2e-arnn", channels=2, frames=4)
    bank = net.encoder.filterbank
    S = torch.randn(3, 2, 4, 129, dtype=torch.float64)
    W, mean, std = (p.detach().numpy() for p in (bank.weight, bank.mean, bank.std))
    expected = np.stack([naive.filterbank(epoch, W, naive.triangles(), mean, std) for epoch in S.numpy()])
    assert np.abs(bank(S).detach().numpy() - expected).max() < 1e-9


def test_attention_equals_equations_10_to_12():
    net = randomised("e2e-arnn", channels=1, frames=4)
    a = torch.randn(6, 4, 32, dtype=torch.float64)
    w = net.encoder.attention.W_att.detach().numpy()
    expected = np.stack([naive.attention(epoch, w) for epoch in a.numpy()])
    assert np.abs(net.encoder.attention(a).detach().numpy() - expected).max() < 1e-10


@pytest.mark.parametrize("depth", [1, 2])
def test_seqsleepnet_equals_equations_1_to_13(depth):
    net = randomised(
        "seqsleepnet", channels=2, frames=4, sequence_length=5, hidden=7, attention=6, depth=depth
    )
    images = torch.randn(3, 5, 2, 4, 129, dtype=torch.float64)
    epochs = naive.encoder(net.encoder, images.flatten(0, 1).numpy()).reshape(3, 5, -1)
    h = naive.bidirectional(net.rnn, epochs)
    expected = h @ net.classify.weight.detach().numpy().T + net.classify.bias.detach().numpy()
    assert np.abs(net(images).detach().numpy() - expected).max() < 1e-9


def test_e2e_arnn_equals_equations_1_to_12_and_a_softmax_layer():
    net = randomised("e2e-arnn", channels=3, frames=5)
    images = torch.randn(4, 1, 3, 5, 129, dtype=torch.float64)
    encoded = naive.encoder(net.encoder, images[:, 0].numpy())
    expected = encoded @ net.classify.weight.detach().numpy().T + net.classify.bias.detach().numpy()
    assert np.abs(net(images)[:, 0].detach().numpy() - expected).max() < 1e-9


def test_decisions_about_a_night_are_those_of_each_window():
    net = randomised("seqsleepnet", channels=1, frames=4, sequence_length=6)
    night = torch.randn(11, 1, 4, 129, dtype=torch.float64)
    windows = torch.stack([night[i : i + 6] for i in range(6)])
    assert torch.allclose(net.decisions(night), net(windows).log_softmax(-1), atol=1e-10)
    short = net.decisions(night[:4])
    assert short.shape == (1, 4, 5) and torch.allclose(short, net(night[None, :4]).log_softmax(-1))


def test_one_epoch_at_a_time_sees_no_neighbour():
    net = randomised("e2e-arnn", channels=1, frames=4)
    images = torch.randn(2, 3, 1, 4, 129, dtype=torch.float64)
    logits = net(images)
    images[:, 1] += 1
    changed = (net(images) != logits).any(-1)
    assert changed.tolist() == [[False, True, False]] * 2


def test_a_sequence_network_sees_its_neighbours():
    net = randomised("seqsleepnet", channels=1, frames=4, sequence_length=3)
    images = torch.randn(2, 3, 1, 4, 129, dtype=torch.float64)
    logits = net(images)
    images[:, 1] += 1
    assert (net(images) != logits).any(-1).all()


def test_normalisation_inside_the_filterbank_is_that_of_the_images():
    plain = randomised("e2e-arnn", channels=2, frames=4)
    plain.normalise(torch.zeros(2, 129), torch.ones(2, 129))
    images = torch.randn(3, 1, 2, 4, 129, dtype=torch.float64)
    mean, std = torch.randn(2, 129), torch.rand(2, 129) + 0.5
    expected = plain((images - mean[:, None]) / std[:, None])
    plain.normalise(mean, std)
    assert torch.allclose(plain(images), expected, atol=1e-9)


def test_attention_weights_sum_to_one_over_the_frames():
    net = randomised("seqsleepnet", channels=1, frames=4, sequence_length=3)
    alpha = net.attention(torch.randn(2, 3, 1, 4, 129, dtype=torch.float64))
    assert alpha.shape == (2, 3, 4) and torch.allclose(alpha.sum(-1), torch.ones(2, 3, dtype=torch.float64))
