"""The released networks against the authors' graphs (float32, run by TensorFlow) and naive NumPy (float64)."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.models.released import BNLSTM, GRU
from tests.models import naive

VECTORS = {"seqsleepnet": "seq", "e2e-arnn": "arnn", "multitask-e2e-arnn": "marnn"}
LAMBDA = 1e-3


@pytest.fixture
def reference(shared):
    def load(name):
        path = shared / f"reference/vectors/cc-by-nc/tf_graph_{VECTORS[name]}.npz"
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return np.load(path)

    return load


def formula(names, shapes):
    """The weights of the reference run: a formula of position i in the list and flat index j."""
    arrays = {}
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        shape = [int(n) for n in str(shape).strip("[]").split(",")]
        j = np.arange(np.prod(shape), dtype=float)
        if "pop_var" in name:
            value = 1 + 0.2 * np.sin(0.9 * j + i)
        elif "pop_mean" in name:
            value = 0.05 * np.sin(0.5 * j + i)
        elif "scale" in name:
            value = 0.1 + 0.02 * np.sin(j + i)
        elif len(shape) == 1:
            value = 0.1 * np.sin(0.7 * j + i)
        else:
            value = np.sin(0.7 * j + 1.3 * i) / np.sqrt(shape[0]) * (3 if "filterbank" in name else 1)
        arrays[str(name)] = value.reshape(shape).astype(np.float32)
    return arrays


def authors(name, stored):
    return weights.from_authors(name, formula(stored["names"], stored["shapes"])).double()


def batch(name):
    """Images (B, L, C, T, F) and stages (B, L) or (B, L, 3) of the reference run."""
    r = np.random.RandomState(7)
    x = r.standard_normal((3, 4, 29, 129, 3) if name == "seqsleepnet" else (6, 29, 129, 3))
    y = r.randint(0, 5, {"seqsleepnet": (3, 4), "e2e-arnn": (6,), "multitask-e2e-arnn": (6, 3)}[name])
    x, y = torch.from_numpy(x).movedim(-1, -3), torch.from_numpy(y)
    return (x, y) if name == "seqsleepnet" else (x[:, None], y[:, None])


def losses(net, logits, y):
    """The authors' output and total loss.

    The sum over sequences of the mean over positions (and the sum over heads), and lambda / 2 * |theta|^2 without the
    filterbanks.
    """
    output = cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="sum").item() / y.shape[1]
    penalised = [p for key, p in net.named_parameters() if "filterbank" not in key]
    return output, output + LAMBDA / 2 * sum(p.square().sum() for p in penalised).item()


def positions_first(name, logits):
    """As the authors list their scores: (L, B, 5), (B, 5) or (heads, B, 5)."""
    logits = logits if name == "seqsleepnet" else logits[:, 0]
    return logits.detach().transpose(0, -2).numpy()


@pytest.mark.parametrize("name", VECTORS)
def test_scores_attention_and_losses_are_the_authors(name, reference):
    stored = reference(name)
    net, (x, y) = authors(name, stored), batch(name)
    logits = net(x)
    # The reference is float32: its scores of 0.1 are given to 7e-9, its losses to 5e-7.
    assert np.abs(positions_first(name, logits) - stored["eval_scores"]).max() < 2e-7
    assert np.abs(net.encoder(x.flatten(0, 1)).detach().numpy() - stored["eval_attention"]).max() < 2e-7
    output, total = losses(net, logits, y)
    assert output == pytest.approx(float(stored["eval_output_loss"]), abs=3e-6)
    assert total == pytest.approx(float(stored["eval_total_loss"]), abs=3e-6)
    assert np.array_equal(net.encoder.filterbank.triangles.numpy(), stored["filterbank_T"])


def test_training_scores_losses_and_statistics_are_the_authors(reference):
    stored = reference("seqsleepnet")
    net, (x, y) = authors("seqsleepnet", stored).train(), batch("seqsleepnet")
    net.encoder.rnn.dropout = net.rnn.dropout = 0.0
    logits = net(x)
    # Three rows of variance 1e-7 and an eps of 1e-5 multiply rounding errors by 300 at every step: giving a float32
    # network the sequences in another order changes the first position's scores by 6e-5, the last one's by 1e-6.
    error = np.abs(positions_first("seqsleepnet", logits) - stored["train_scores"]).max(axis=(1, 2))
    assert (error < [5e-5, 3e-5, 1e-5, 3e-6]).all()
    output, total = losses(net, logits, y)
    assert output == pytest.approx(float(stored["train_output_loss"]), abs=2e-5)
    assert total == pytest.approx(float(stored["train_total_loss"]), abs=2e-5)
    mean = net.encoder.rnn.layers[0].norm_h.mean[:, 0, :, 0]  # frame_rnn_layer/fw/BNLSTMCell/hh/pop_mean
    assert np.abs(mean.numpy() - stored["pop_mean_after_one_train_forward"]).max() < 1e-7


@pytest.mark.parametrize(
    "name, settings, count",
    [
        ("seqsleepnet", {"sequence_length": 4}, 207_092),
        ("seqsleepnet", {"sequence_length": 10}, 210_962),
        ("seqsleepnet", {}, 217_412),
        ("seqsleepnet", {"sequence_length": 30}, 223_862),
        ("seqsleepnet", {"depth": 2}, 352_068),
        ("e2e-arnn", {}, 79_013),
        ("multitask-e2e-arnn", {}, 80_303),
    ],
)
def test_as_many_parameters_as_the_authors(name, settings, count):
    net = models.build(name, variant="released", **settings)
    assert sum(p.numel() for p in net.parameters()) == count


def randomised(net):
    """In float64, every parameter and statistic matters."""
    net = net.double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.5)
    for key, buffer in net.named_buffers():
        if "triangles" not in key:
            buffer.copy_(torch.rand_like(buffer) + (0.5 if key.endswith(("var", "std")) else -0.5))
        else:
            buffer.copy_(torch.from_numpy(naive.triangles(*buffer.shape)))
    return net


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("length", [7, 4])
@pytest.mark.parametrize("rnn", [BNLSTM, GRU])
def test_states_equal_naive_numpy(rnn, length, training):
    torch.manual_seed(0)
    net = randomised(rnn(inputs=6, hidden=5, steps=7, depth=2)).train(training)
    x = torch.randn(9, length, 6, dtype=torch.float64)
    expected = naive.bidirectional(net, x.numpy(), batch=training)  # before the statistics move
    assert np.abs(net(x).detach().numpy() - expected).max() < 1e-10


@pytest.mark.parametrize("rnn", [BNLSTM, GRU])
def test_gradients_equal_those_of_finite_differences(rnn):
    torch.manual_seed(1)
    net = randomised(rnn(inputs=3, hidden=2, steps=3)).train()
    x = torch.randn(5, 3, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*net.named_parameters(), strict=True)

    def states(x, *values):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(states, (x, *values), eps=1e-6, atol=1e-5)


def test_networks_start_as_the_authors_do():
    torch.manual_seed(7)
    net = models.build("seqsleepnet", variant="released", hidden=8)
    layer = net.rnn.layers[0]  # W_x (2, 32, 16), W_h (2, 32, 8): orthogonal as a whole, not gate by gate
    for W in (*layer.W_x, *layer.W_h):
        assert torch.allclose(W.T @ W, torch.eye(W.shape[1]), atol=1e-5)
    assert (layer.b[:, :8] == 1).all() and (layer.b[:, 8:] == 0).all() and (layer.b_c == 0).all()
    assert all((gain == 0.1).all() for gain in (layer.gain_x, layer.gain_h, layer.gain_c))
    assert 0.7 < net.classify.bias.abs().max() / (6 / 10) ** 0.5 <= 1
    net = models.build("e2e-arnn", variant="released")
    layer = net.encoder.rnn.layers[0]
    assert 0.95 < layer.W_h.abs().max() / (6 / (96 + 64 + 128)) ** 0.5 <= 1
    assert 0.95 < layer.W_hh.abs().max() / (6 / (96 + 64 + 64)) ** 0.5 <= 1
    assert (layer.b[:, :128] == 1).all() and (layer.b[:, 128:] == 0).all()
    assert 0.09 < net.encoder.attention.W.std() < 0.11 and 0.9 < net.encoder.filterbank.weight.std() < 1.1


def test_population_statistics_of_the_cell_state_follow_the_batch_of_each_step():
    torch.manual_seed(2)
    net = randomised(BNLSTM(inputs=6, hidden=5, steps=4))
    norm, x = net.layers[0].norm_c, torch.randn(50, 4, 6, dtype=torch.float64)
    before = {"mean": norm.mean.clone(), "var": norm.var.clone()}
    cells = [naive.layer(net.layers[0], direction) for direction in range(2)]
    net.train()(x)
    for direction, sequence in enumerate((x.numpy(), x.numpy()[:, ::-1])):
        cells[direction].run(sequence, batch=True)
        c = np.stack(cells[direction].c)  # (T, N, H)
        for what, now, batch in (("mean", norm.mean, c.mean(1)), ("var", norm.var, c.var(1))):
            expected = 0.95 * before[what][:, direction, :, 0].numpy() + 0.05 * batch
            assert np.abs(now[:, direction, :, 0].numpy() - expected).max() < 1e-9


@pytest.mark.parametrize("depth", [1, 2])
def test_seqsleepnet_equals_naive_numpy(depth):
    torch.manual_seed(3)
    sizes = {"channels": 2, "frames": 4, "sequence_length": 5, "hidden": 7, "attention": 6, "depth": depth}
    net = randomised(models.build("seqsleepnet", variant="released", **sizes))
    images = torch.randn(3, 5, 2, 4, 129, dtype=torch.float64)
    epochs = naive.encoder(net.encoder, images.flatten(0, 1).numpy()).reshape(3, 5, -1)
    h = naive.bidirectional(net.rnn, epochs)
    W, b = net.classify.weight.detach().numpy(), net.classify.bias.detach().numpy()
    expected = np.stack([h[:, position] @ W[position].T + b[position] for position in range(5)], axis=1)
    assert np.abs(net(images).detach().numpy() - expected).max() < 1e-9


def test_decisions_about_a_night_are_those_of_each_window():
    torch.manual_seed(4)
    net = randomised(models.build("seqsleepnet", variant="released", channels=1, frames=4, sequence_length=6))
    night = torch.randn(11, 1, 4, 129, dtype=torch.float64)
    windows = torch.stack([night[i : i + 6] for i in range(6)])
    assert torch.allclose(net.decisions(night), net(windows).log_softmax(-1), atol=1e-10)
    short = net.decisions(night[:4])
    assert short.shape == (1, 4, 5) and torch.allclose(short, net(night[None, :4]).log_softmax(-1))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_multitask_decisions_are_those_of_windows_of_three(variant):
    torch.manual_seed(5)
    net = randomised(models.build("multitask-e2e-arnn", variant=variant, channels=1, frames=4))
    night = torch.randn(7, 1, 4, 129, dtype=torch.float64)
    decided, logits = net.decisions(night), net(night[None])[0]
    assert decided.shape == (5, 3, 5)
    for centre in range(1, 6):
        assert torch.allclose(decided[centre - 1], logits[centre].log_softmax(-1))
    pair = net.decisions(night[:2])  # the first epoch and what it says of the next
    assert pair.shape == (1, 2, 5) and torch.allclose(pair[0], logits[0, 1:].log_softmax(-1))
    assert net.decisions(night[:1]).shape == (1, 1, 5)


@pytest.mark.parametrize("name", VECTORS)
def test_attention_weights_sum_to_one_and_make_the_epoch_vector(name):
    torch.manual_seed(6)
    net = randomised(models.build(name, variant="released", channels=1, frames=4))
    images = torch.randn(2, 3, 1, 4, 129, dtype=torch.float64)
    alpha = net.attention(images)
    assert alpha.shape == (2, 3, 4) and torch.allclose(alpha.sum(-1), torch.ones(2, 3, dtype=torch.float64))
    states = net.encoder.states(images.flatten(0, 1)).unflatten(0, (2, 3))
    vectors = (alpha[..., None] * states).sum(2)
    assert torch.allclose(vectors.flatten(0, 1), net.encoder(images.flatten(0, 1)))


def names_of(name, channels=3):
    """Arrays under the authors' names for two hidden units, as a graph of TensorFlow lists them."""
    H, shapes = 2, {}
    for channel in ("eeg", "eog", "emg")[:channels]:
        shapes[f"filterbank-layer-{channel}/Variable:0"] = (129, 32)
    for d in ("fw", "bw"):
        cell = f"frame_rnn_layer/{d}/gru_cell"
        for part, n in (("gates", 2 * H), ("candidate", H)):
            shapes |= {f"{cell}/{part}/kernel:0": (32 * channels + H, n), f"{cell}/{part}/bias:0": (n,)}
    for suffix, shape in (("", (2 * H, 3)), ("_1", (3,)), ("_2", (3,))):
        shapes[f"frame_attention_layer/Variable{suffix}:0"] = shape
    for head in range(3) if name.startswith("multitask") else [None]:
        layer = "output_layer/output" if head is None else f"output_layer/output-{head}"
        shapes |= {f"{layer}/weights:0": (2 * H, 5), f"{layer}/biases:0": (5,)}
    return formula(shapes, [",".join(map(str, shape)) for shape in shapes.values()])


def test_heads_of_the_multitask_network_are_previous_current_next():
    arrays = names_of("multitask-e2e-arnn", channels=1)
    net = weights.from_authors("multitask-e2e-arnn", arrays)
    assert (net.settings.channels, net.settings.hidden, net.settings.attention) == (1, 2, 3)
    images = torch.randn(2, 1, 1, 4, 129)
    vectors = net.encoder(images.flatten(0, 1))
    for head in range(3):
        W, b = (
            torch.from_numpy(arrays[f"output_layer/output-{head}/{key}:0"]) for key in ("weights", "biases")
        )
        assert torch.allclose(net(images)[:, 0, head], vectors @ W + b, atol=1e-6)


def test_stacked_cells_of_the_authors_become_layers():
    H, L, shapes = 2, 3, {"filterbank-layer-eeg/Variable:0": (129, 32)}
    for rnn, inputs, steps in (("frame_rnn_layer", 32, 4), ("epoch_rnn_layer", 2 * H, L)):
        for d in ("fw", "bw"):
            for i in range(2):
                cell = f"{rnn}/{d}/multi_rnn_cell/cell_{i}/BNLSTMCell"
                shapes |= {f"{cell}/W_xh:0": (H if i else inputs, 4 * H), f"{cell}/W_hh:0": (H, 4 * H)}
                for norm, n in (("hh", 4 * H), ("xh", 4 * H), ("c", H)):
                    shapes |= {f"{cell}/{norm}/{key}:0": (n,) for key in ("scale", "offset")}
                    shapes |= {f"{cell}/{norm}/{key}:0": (steps, n) for key in ("pop_mean", "pop_var")}
                del shapes[f"{cell}/xh/offset:0"]
    for suffix, shape in (("", (2 * H, 3)), ("_1", (3,)), ("_2", (3,))):
        shapes[f"frame_attention_layer/Variable{suffix}:0"] = shape
    for position in range(L):
        shapes |= {f"output_layer/output-{position}/{key}:0": shape
                   for key, shape in (("weights", (2 * H, 5)), ("biases", (5,)))}  # fmt: skip
    arrays = formula(shapes, [",".join(map(str, shape)) for shape in shapes.values()])
    net = weights.from_authors("seqsleepnet", arrays)
    assert (net.settings.depth, net.settings.frames, net.settings.sequence_length) == (2, 4, 3)
    W_hh = arrays["epoch_rnn_layer/bw/multi_rnn_cell/cell_1/BNLSTMCell/W_hh:0"]
    assert np.array_equal(net.rnn.layers[1].W_h[1].detach().numpy(), W_hh.T)
    assert net(torch.randn(2, 3, 1, 4, 129)).shape == (2, 3, 5)


def test_arrays_that_do_not_fit_are_refused_and_those_of_the_optimiser_passed_over():
    arrays = names_of("e2e-arnn")
    extra = {"beta1_power:0": np.float32(0.9), "output_layer/output/weights/Adam_1:0": np.zeros((4, 5))}
    assert not weights.from_authors("e2e-arnn", arrays | extra).training
    with pytest.raises(SleeplibError, match="no place for the authors' something"):
        weights.from_authors("e2e-arnn", arrays | {"something:0": np.zeros(3)})
    with pytest.raises(SleeplibError, match="'frame_attention_layer/Variable_2' is missing"):
        weights.from_authors("e2e-arnn", {k: v for k, v in arrays.items() if "Variable_2" not in k})
    with pytest.raises(SleeplibError, match=r"'frame_rnn_layer/fw/\.\.\./W_xh' is missing"):
        weights.from_authors("seqsleepnet", arrays)
    with pytest.raises(SleeplibError, match="do not fit together"):
        weights.from_authors("e2e-arnn", arrays | {"output_layer/output/biases:0": np.zeros(4)})
    with pytest.raises(SleeplibError, match="not of 'chambon'"):
        weights.from_authors("chambon", arrays)
    with pytest.raises(SleeplibError, match=r"'encoders.0.enc.0.weight' is missing"):
        weights.from_authors("anysleep", arrays)
