"""Filters side by side: the same logits, gradients and running statistics as of the readable networks."""

import copy

import pytest
import torch
from torch.nn import functional

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models import channels_last
from sleeplib.models.channels_last import ChannelsLast, EluNorm, PairMaxima
from sleeplib.models.usleep import Encoder
from sleeplib.training import processes
from tests.models.test_anysleep import authors_network, loss_of, training_batch, vectors  # noqa: F401

# Wide enough that only the finest maps are folded.
SMALL = {"depth": 3, "epoch_seconds": 1}
each_network = pytest.mark.parametrize("name", models.NIGHT_NETWORKS)


def twins(name, dtype=torch.float64, **settings):
    """A network twice, of gains and shifts that matter."""
    torch.manual_seed(0)
    network = models.build(name, **SMALL | settings).to(dtype)
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm1d)):
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.data.normal_()
    return network, copy.deepcopy(network)


def step(model, network, x, per_epoch=1):
    """Logits, all gradients and all statistics of one step."""
    logits = model.train()(x, per_epoch)
    target = torch.arange(logits[..., 0].numel()) % 5
    functional.cross_entropy(logits.flatten(0, 1), target).backward()
    found = {f"gradient of {key}": p.grad for key, p in network.named_parameters()}
    return found | dict(network.named_buffers()) | {"logits": logits.detach()}


def differences(found, expected):
    """Largest difference of each, as a share of the largest of all gradients or of its own largest value."""
    largest = max(value.abs().max() for key, value in expected.items() if key.startswith("gradient"))
    return {
        key: (
            (found[key] - value).abs().max()
            / (largest if key.startswith("gradient") else value.abs().max().clamp(min=1))
        ).item()
        for key, value in expected.items()
    }


@each_network
@pytest.mark.parametrize("samples", [512, 514, 516, 1025, 643])
def test_a_step_is_that_of_the_readable_network(name, samples):
    network, twin = twins(name)
    x = torch.randn(4, 2, samples, dtype=torch.float64)
    expected, found = step(network, network, x), step(ChannelsLast(twin), twin, x)
    assert found.keys() == expected.keys() and found["logits"].dtype == torch.float64
    assert max(differences(found, expected).values()) < 1e-11


@each_network
def test_in_single_precision_a_step_is_close_to_that_of_the_readable_network(name):
    """Within 1e-5, but where rounding decides which of a pair of nearly equal samples is the larger one."""
    network, twin = twins(name, torch.float32)
    x = torch.randn(8, 2, 1024)
    found = differences(step(ChannelsLast(twin), twin, x), step(network, network, x))
    found = torch.tensor([*found.values()])
    assert found.median() < 2e-6 and found.quantile(0.75) < 1e-5 and found.max() < 1e-3


@pytest.mark.parametrize("kernel, per_epoch", [(2, 1), (4, 8), (5, 128)])
@pytest.mark.parametrize("name", ["usleep", "anysleep"])
def test_every_kernel_and_resolution(name, kernel, per_epoch):
    network, twin = twins(name, kernel=kernel)
    x = torch.randn(3, 2, 520, dtype=torch.float64)
    expected, found = (step(m, n, x, per_epoch) for m, n in ((network, network), (ChannelsLast(twin), twin)))
    assert max(differences(found, expected).values()) < 1e-11


@pytest.mark.parametrize("name", ["usleep", "anysleep"])
def test_a_step_of_full_size(name):
    """Twelve levels of half a minute each and more: deep maps of odd length have to be padded and cropped."""
    network, twin = twins(name, depth=12, epoch_seconds=30)
    x = torch.randn(2, 2, 3 * 3840 + 1234, dtype=torch.float64)
    found = differences(step(ChannelsLast(twin), twin, x), step(network, network, x))
    assert max(found.values()) < 1e-8


@each_network
def test_for_evaluation_and_over_processes_the_networks_own_normalisation_is_used(name, tmp_path):
    network, twin = twins(name)
    x = torch.randn(3, 2, 512, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(ChannelsLast(twin).eval()(x), network.eval()(x), rtol=0, atol=1e-12)
    group = f"file://{tmp_path}/group"
    torch.distributed.init_process_group("gloo", init_method=group, rank=0, world_size=1)
    try:
        found = step(ChannelsLast(processes.synchronise(twin)), twin, x)
    finally:
        torch.distributed.destroy_process_group()
    assert max(differences(found, step(network, network, x)).values()) < 1e-11


@each_network
def test_parameters_are_the_networks_own(name):
    network, _ = twins(name)
    assert [id(p) for p in ChannelsLast(network).parameters()] == [id(p) for p in network.parameters()]


@pytest.mark.parametrize("length", [12, 13, 14])
def test_normalisation_is_torchs(length):
    torch.manual_seed(0)
    norm, x = torch.nn.BatchNorm1d(5).double(), torch.randn(3, length, 5).double().requires_grad_()
    norm.weight.data[0] = 0
    y, mean, variance = EluNorm.apply(x, norm.weight, norm.bias, norm.eps)
    rows = functional.elu(x).flatten(0, 1)
    assert torch.allclose(y.flatten(0, 1), norm(rows)) and torch.allclose(mean, rows.mean(0))
    assert torch.allclose(variance, rows.var(0, correction=0))
    assert torch.autograd.gradcheck(
        lambda *a: EluNorm.apply(*a, norm.eps)[0], (x, norm.weight, norm.bias), fast_mode=True
    )


def test_of_equal_pairs_the_first_is_meant():
    x = torch.randint(0, 3, (2, 60, 3)).double().requires_grad_()
    twin = x.detach().clone().requires_grad_()
    weight = torch.randn(2, 30, 3).double()
    (PairMaxima.apply(x) * weight).sum().backward()
    (Encoder.halve(twin.mT)[1].mT * weight).sum().backward()
    assert torch.equal(x.grad, twin.grad)


def test_two_runs_give_the_same_bits():
    torch.manual_seed(0)
    network = models.build("anysleep", **SMALL)
    x = torch.randn(4, 2, 1024)
    first, second = (step(ChannelsLast(n), n, x) for n in (network, copy.deepcopy(network)))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_maps_are_folded_where_they_can_be(monkeypatch):
    columns, real = [], channels_last._convolution
    monkeypatch.setattr(
        channels_last, "_convolution", lambda x, *a: columns.append(x.shape[2]) or real(x, *a)
    )
    network = models.build("usleep", **SMALL)
    for samples, first in ((512, 4), (513, 2)):
        ChannelsLast(network)(torch.randn(2, 2, samples))
        assert columns[0] == first
        columns.clear()


def test_in_mixed_precision_a_step_is_close():
    network, twin = twins("anysleep", torch.float32)
    x = torch.randn(4, 2, 1024)
    expected = step(network, network, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = step(ChannelsLast(twin), twin, x)
    assert 1e-5 < max(differences(found, expected).values()) < 0.1


def test_what_a_network_refuses_is_refused():
    with pytest.raises(SleeplibError, match="takes signals"):
        ChannelsLast(models.build("anysleep", **SMALL))(torch.randn(2, 512))


@pytest.mark.slow
def test_three_steps_of_amsgrad_are_the_authors(vectors):  # noqa: F811
    network, (x, stages) = authors_network("anysleep", vectors).train(), training_batch()
    optimiser, model = torch.optim.Adam(network.parameters(), lr=1e-5, amsgrad=True), ChannelsLast(network)
    for number in range(3):
        loss = loss_of(model(x), stages)
        assert abs(loss.item() - vectors["train_anysleep_loss"][number]) < 1e-8
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        after = network.eval()(x).flatten(0, 1)
    assert (after - torch.from_numpy(vectors["train_anysleep_eval_after3"])).abs().max() < 1e-8
