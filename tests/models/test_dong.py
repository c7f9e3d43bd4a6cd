"""Dong et al.'s networks: layers by hand, statistics of the training nights, what the LSTM sees."""

import numpy as np
import pytest
import torch

from sleeplib.models.dong import DongDNN, DongDNNSettings, DongMNN, DongMNNSettings
from sleeplib.models.features import FEATURES, hand_crafted
from sleeplib.sampling import Nights

SMALL = {"channels": 2, "samples": 500, "hidden": (12, 8)}


def dnn(**settings):
    torch.manual_seed(0)
    return DongDNN(DongDNNSettings(**SMALL | settings)).eval()


def mnn(**settings):
    torch.manual_seed(0)
    return DongMNN(DongMNNSettings(**SMALL | {"memory": 6, "sequence_length": 4} | settings)).eval()


def nights(n=30, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 500, generator=rng) * 20
    return Nights(x, torch.randint(0, 5, (n,), generator=rng), [n])


def test_dnn_by_hand():
    """z-score, two rectifier layers, a linear one."""
    net, train = dnn(), nights()
    net.adapt(train)
    p = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    x = (hand_crafted(train.inputs[:3]).numpy() - p["feature_mean"]) / p["feature_std"]
    for layer in range(2):
        x = np.maximum(x @ p[f"rectifiers.{layer}.0.weight"].T + p[f"rectifiers.{layer}.0.bias"], 0)
    expected = x @ p["classify.weight"].T + p["classify.bias"]
    assert np.allclose(net(train.inputs[None, :3])[0].detach(), expected, atol=1e-4)


@pytest.mark.parametrize("build", [dnn, mnn])
def test_adapt_takes_the_training_nights_and_nothing_else(build):
    net, train = build(), nights()
    train.inputs[:, 1] = 5.0  # silence, which is only centred
    net.adapt(train)
    z = (hand_crafted(train.inputs) - net.feature_mean) / net.feature_std
    D = len(FEATURES)
    assert torch.allclose(z.mean(0), torch.zeros(2 * D), atol=1e-3)
    assert torch.allclose(z[:, :D].std(0, correction=0), torch.ones(D), atol=1e-3)
    assert (net.feature_std[D:] == 1).all()
    assert not net.mean.any() and (net.std == 1).all()  # signals stay in microvolts
    before = net.feature_mean.clone()
    net.decisions(nights(seed=1).inputs)
    assert torch.equal(net.feature_mean, before)


@pytest.mark.parametrize("build", [dnn, mnn])
def test_features_have_no_parameters_and_get_no_gradient(build):
    net = build()
    x = (torch.randn(2, net.sequence_length, 2, 500) * 20).requires_grad_()
    net(x).sum().backward()
    assert x.grad is None and all(p.grad.isfinite().all() for p in net.parameters())


def test_an_epoch_of_the_dnn_is_on_its_own():
    net, x = dnn(), torch.randn(2, 3, 2, 500) * 20
    assert net(x).shape == (2, 3, 5)
    assert torch.allclose(net(x)[1, 2], net(x[1:, 2:])[0, 0], atol=1e-5)


def test_the_lstm_never_sees_the_future():
    net = mnn()
    x = torch.randn(1, 6, 2, 500) * 20
    later = x.clone()
    later[:, 3:] *= 2
    a, b = net(x)[0], net(later)[0]
    assert torch.allclose(a[:3], b[:3], atol=1e-5) and not torch.isclose(a[3:], b[3:]).all(-1).any()


@pytest.mark.parametrize("N", [1, 3, 4, 70])
def test_a_decision_sees_the_epoch_and_those_before_it(N):
    """The last position of the window that ends at the epoch; at the start, all epochs so far."""
    net, night = mnn(), torch.randn(N, 2, 500) * 20
    net.adapt(nights())
    with torch.no_grad():
        decided = net.decisions(night)
        assert decided.shape == (N, 1, 5)
        for epoch in range(N):
            window = night[None, max(epoch - 3, 0) : epoch + 1]
            assert torch.allclose(decided[epoch, 0], net(window)[0, -1].log_softmax(-1), atol=1e-4)


@pytest.mark.parametrize(("network", "settings"), [(DongDNN, DongDNNSettings), (DongMNN, DongMNNSettings)])
@pytest.mark.parametrize(("channels", "samples"), [(1, 500), (3, 3000)])
def test_shapes_and_seeds(network, settings, channels, samples):
    outputs = []
    for _ in range(2):
        torch.manual_seed(1)
        net = network(settings(channels=channels, samples=samples))
        outputs.append(net(torch.randn(2, net.sequence_length, channels, samples)))
    assert outputs[0].shape == (2, net.sequence_length, 5) and torch.equal(*outputs)
    assert net.signals and net.reach == 0
    assert net.sequence_length == (5 if network is DongMNN else 1)
