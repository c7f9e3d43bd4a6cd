"""The recurrent layer against its equations, in both modes, and its gradients."""

import numpy as np
import pytest
import torch

from sleeplib.errors import SleeplibError
from sleeplib.models import recurrent
from tests.models import naive


@pytest.fixture
def rnn():
    torch.manual_seed(0)
    net = recurrent.BNGRU(inputs=6, hidden=5, steps=7, depth=2).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.2, 0.5)
    for name, buffer in net.named_buffers():
        buffer.copy_(torch.rand_like(buffer) + (0.5 if name.endswith("var") else -0.5))
    return net


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("length", [7, 4])
def test_states_equal_equations_3_to_8(rnn, training, length):
    x = torch.randn(9, length, 6, dtype=torch.float64)
    expected = naive.bidirectional(rnn, x.numpy(), batch=training)  # before the statistics move
    states = rnn.train(training)(x)
    assert states.shape == (9, length, 10)
    assert np.abs(states.detach().numpy() - expected).max() < 1e-10


def test_gradients_equal_those_of_finite_differences():
    torch.manual_seed(1)
    net = recurrent.BNGRU(inputs=3, hidden=2, steps=3).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.7)
    x = torch.randn(5, 3, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*net.named_parameters(), strict=True)

    def states(x, *values):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(states, (x, *values), eps=1e-6, atol=1e-6)


def test_population_statistics_follow_the_batch_of_each_step(rnn):
    x = torch.randn(50, 7, 6, dtype=torch.float64)
    norm = rnn.layers[0].norm_s
    before = {"mean": norm.mean.clone(), "var": norm.var.clone()}
    rnn.train()(x)
    W_s = rnn.layers[0].W_s.detach().numpy()
    for direction, sequence in enumerate((x.numpy(), x.numpy()[:, ::-1])):
        projected = sequence @ W_s[direction].T  # (N, T, 3H)
        for what, now, batch in (("mean", norm.mean, projected.mean(0)), ("var", norm.var, projected.var(0))):
            expected = 0.95 * before[what][:, direction, :, 0].numpy() + 0.05 * batch
            assert np.abs(now[:, direction, :, 0].numpy() - expected).max() < 1e-9


def test_statistics_stay_in_evaluation(rnn):
    before = {name: value.clone() for name, value in rnn.named_buffers()}
    rnn.eval()(torch.randn(9, 7, 6, dtype=torch.float64))
    assert all(torch.equal(before[name], value) for name, value in rnn.named_buffers())


def test_the_backward_direction_is_the_forward_one_reversed(rnn):
    with torch.no_grad():  # give both directions the same weights and statistics
        for tensor in [*rnn.parameters(), *rnn.buffers()]:
            first, second = (tensor[0], tensor[1]) if tensor.shape[0] == 2 else (tensor[:, 0], tensor[:, 1])
            second.copy_(first)
    x = torch.randn(4, 7, 6, dtype=torch.float64)
    states, reversed_states = rnn.eval()(x), rnn.eval()(x.flip(1))
    assert torch.allclose(states[:, :, :5], reversed_states.flip(1)[:, :, 5:])


def test_a_sequence_longer_than_its_statistics_is_refused(rnn):
    with pytest.raises(SleeplibError, match="7 steps and got 8"):
        rnn(torch.randn(2, 8, 6, dtype=torch.float64))


def test_dropout_acts_on_input_and_output_in_training_only():
    net = recurrent.BNGRU(6, 5, 7, dropout=0.5)
    x = torch.randn(64, 7, 6)
    net.train()
    share = (net(x) == 0).float().mean().item()
    assert 0.45 < share < 0.55 and not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x)) and (net(x) != 0).all()
