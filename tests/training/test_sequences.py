"""The loop: the loss, the kept step, and a run that is killed and goes on to the same bits."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from sleeplib import models, training
from sleeplib.errors import SleeplibError
from sleeplib.sampling import Nights
from sleeplib.training import TrainingSettings

SHAPE = {"channels": 1, "frames": 4}


def nights(seed, n=120):
    """Two nights whose stages come in bouts and show in a band of the image."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 5, n // 10), 10)
    x = rng.normal(0, 3, (n, 1, 4, 129)).astype(np.float32)
    for stage in range(5):
        x[labels == stage, :, :, 2 + 20 * stage : 22 + 20 * stage] += 2
    return Nights(torch.from_numpy(x), torch.from_numpy(labels), [n // 2, n // 2])


def test_defaults_are_the_papers():
    s = TrainingSettings()
    assert (s.learning_rate, s.batch_size, s.passes, s.weight_decay, s.validate_every) == (
        1e-4,
        32,
        10,
        1e-3,
        100,
    )
    for name in ("e2e-arnn", "multitask-e2e-arnn"):
        e2e = TrainingSettings.for_network(name, seed=3)
        assert (e2e.passes, e2e.validate_every, e2e.seed, e2e.balanced) == (20, 500, 3, False)
    cnn = TrainingSettings.for_network("1-max-cnn")
    assert (cnn.learning_rate, cnn.batch_size, cnn.passes, cnn.validate_every, cnn.balanced) == (
        1e-4,
        200,
        200,
        50,
        True,
    )
    assert TrainingSettings.for_network("seqsleepnet", "released").weight_decay * 32 == pytest.approx(1e-3)
    assert training.RECIPES.keys() <= models.NETWORKS.keys()


def test_sequence_loss_equals_equation_14():
    logits, labels = torch.randn(3, 4, 5, dtype=torch.float64), torch.randint(0, 5, (3, 4))
    p = logits.softmax(-1).numpy()
    each = [
        -np.mean([np.log(p[n, position, labels[n, position]]) for position in range(4)]) for n in range(3)
    ]
    assert training.sequence_loss(logits, labels).item() == pytest.approx(np.mean(each))


def test_the_multitask_loss_is_the_sum_of_three_cross_entropies():
    logits, labels = torch.randn(6, 1, 3, 5, dtype=torch.float64), torch.randint(0, 5, (6, 3))
    labels[2, 0] = 9  # a neighbour that nobody scored
    p, expected = logits.softmax(-1).numpy(), 0
    for head in range(3):
        rows = [n for n in range(6) if labels[n, head] != 9]
        expected -= np.mean([np.log(p[n, 0, head, labels[n, head]]) for n in rows])
    assert training.sequence_loss(logits, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "name, variant", [(n, v) for v, networks in models.VARIANTS.items() for n in networks]
)
def test_the_penalty_is_on_what_a_network_names(name, variant):
    shape = {"channels": 1, "samples": 500} if name in models.ON_SIGNALS else SHAPE
    kernels = {"kernels": (2, 3, 4), "features": 5} if "1-max" in name else {}
    small = {"dense": 5, "context": 3} if name == "tsinalis" else {}
    net = models.build(name, variant=variant, **shape, **kernels, **small)
    groups = training.sequences._groups(net, 0.5)
    decayed = {id(p) for g in groups if g["weight_decay"] == 0.5 for p in g["params"]}
    assert decayed == {id(p) for p in net.decayed() if p.requires_grad}
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in net.parameters())
    names = {n for n, p in net.named_parameters() if id(p) in decayed}
    everything = {n for n, p in net.named_parameters() if p.requires_grad}
    expected = {
        "deepsleepnet1": {"encoder.small.0.0.weight"},
        "e2e-deepsleepnet": {"encoder.small.0.0.weight"},
        "1-max-cnn": {"classify.weight", "classify.bias"},
        "multitask-1-max-cnn": {"classify.weight", "classify.bias"},
        "chambon": set(), "tsinalis": set(),
    }.get(name, everything)  # fmt: skip
    if variant == "released":
        expected = {n for n in everything if "filterbank" not in n}
    assert names == expected


def test_unscored_epochs_do_not_enter_the_loss():
    logits, labels = torch.randn(1, 4, 5), torch.tensor([[1, 9, 2, 9]])
    changed = logits.clone()
    changed[0, [1, 3]] += torch.randn(2, 5)
    assert training.sequence_loss(logits, labels) == training.sequence_loss(changed, labels)


def test_a_step_is_adam_on_equation_15():
    """One step of `fit` moves the weights as Adam does on cross-entropy + lambda / 2 * |theta|^2."""
    train, settings = (
        nights(0),
        TrainingSettings(max_steps=1, learning_rate=1e-2, weight_decay=0.3, batch_size=8),
    )
    torch.manual_seed(1)
    net = models.build("seqsleepnet", **SHAPE, sequence_length=5, dropout=0.0)
    twin = models.build("seqsleepnet", **SHAPE, sequence_length=5, dropout=0.0)
    twin.load_state_dict(net.state_dict())
    training.fit(net, train, nights(1), settings, progress=False)
    twin.normalise(*train.statistics())
    images, labels = training.sequences.Sequences(train, 5, 8, 0).batch(0)
    loss = training.sequence_loss(twin(images), labels) + 0.15 * sum(
        p.square().sum() for p in twin.parameters()
    )
    loss.backward()
    with torch.no_grad():
        for p in twin.parameters():  # the first step of Adam is lr * sign(gradient), up to its epsilon
            p -= 1e-2 * p.grad / (p.grad.abs() + 1e-8)
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-5)


def test_the_best_validation_step_is_kept_and_normalisation_is_that_of_training():
    torch.manual_seed(0)
    net, train, valid = models.build("e2e-arnn", **SHAPE), nights(0), nights(1)
    settings = TrainingSettings(max_steps=60, validate_every=10, learning_rate=3e-2, passes=100)
    history = training.fit(net, train, valid, settings, progress=False)
    assert [entry["step"] for entry in history] == [10, 20, 30, 40, 50, 60]
    assert not net.training
    assert training.validation_accuracy(net, valid) == max(entry["accuracy"] for entry in history) > 0.5
    assert not net.training, "a look at the validation nights changes no mode"
    mean, std = train.statistics()
    assert torch.equal(net.encoder.filterbank.mean, mean) and torch.equal(net.encoder.filterbank.std, std)


def test_passes_decide_where_no_number_of_steps_is_given():
    net = models.build("seqsleepnet", **SHAPE, sequence_length=5)
    history = training.fit(
        net, nights(0), nights(1), TrainingSettings(passes=2, batch_size=28), progress=False
    )
    assert history[-1]["step"] == 2 * (112 // 28)


SCRIPT = """
import sys, torch
sys.path.insert(0, {root!r})
from tests.training.test_sequences import SHAPE, nights
from sleeplib import models, training
torch.set_num_threads(1)
torch.manual_seed(5)
net = models.build("seqsleepnet", **SHAPE, sequence_length=6)
settings = training.TrainingSettings(max_steps=60, validate_every=7, learning_rate=1e-2, batch_size=8,
passes=100, seed=5)
training.fit(net, nights(0), nights(1), settings, {folder!r}, progress=False)
torch.save(net.state_dict(), {out!r})
"""


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def start(folder, out):
        script = SCRIPT.format(root=root, folder=str(tmp_path / folder), out=str(tmp_path / out))
        return subprocess.Popen([sys.executable, "-c", script])

    assert start("whole", "whole.pt").wait() == 0
    kills = 0
    for _ in range(20):
        process = start("killed", "killed.pt")
        seen = modified(tmp_path / "killed/checkpoint.pt")
        while process.poll() is None and (kills >= 3 or modified(tmp_path / "killed/checkpoint.pt") == seen):
            time.sleep(0.002)
        if process.poll() is None:  # a checkpoint has just appeared: the loop is somewhere behind it
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            break
    assert process.returncode == 0 and kills == 3, "it must have been killed while it ran"
    whole, killed = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "killed.pt"))
    assert whole.keys() == killed.keys() and all(torch.equal(whole[key], killed[key]) for key in whole)


def modified(path):
    return path.stat().st_mtime_ns if path.exists() else None


class Stop(Exception):
    pass


def test_what_adapt_draws_is_drawn_once(tmp_path, monkeypatch):
    """The 1-max CNN trains its filterbank with random frames; a resumed run ends with the bits of one that was not."""
    shape = SHAPE | {"kernels": (2, 3), "features": 5, "pretraining_steps": 3}
    recipe = TrainingSettings(max_steps=6, validate_every=2, learning_rate=1e-2, batch_size=8, balanced=True)

    def fit(folder):
        torch.manual_seed(7)
        net = models.build("1-max-cnn", **shape)
        history = training.fit(net, nights(0), nights(1), recipe, folder, progress=False)
        return net.state_dict(), history

    whole, _ = fit(tmp_path / "whole")
    real, calls = training.validation_accuracy, []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise Stop
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training.sequences, "validation_accuracy", stops)
        with pytest.raises(Stop):
            fit(tmp_path / "stopped")
    with monkeypatch.context() as patch:
        patch.setattr(models.one_max.OneMaxCNN, "adapt", lambda *a: pytest.fail("adapted again"))
        stopped, history = fit(tmp_path / "stopped")
    assert [entry["step"] for entry in history] == [2, 4, 6]
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)


def test_a_checkpoint_is_of_one_network_and_one_pair_of_sets(tmp_path):
    settings = TrainingSettings(max_steps=2)
    training.fit(models.build("e2e-arnn", **SHAPE), nights(0), nights(1), settings, tmp_path, progress=False)
    for net, valid in (("multitask-e2e-arnn", nights(1)), ("e2e-arnn", nights(2))):
        with pytest.raises(SleeplibError, match="other settings or data"):
            training.fit(models.build(net, **SHAPE), nights(0), valid, settings, tmp_path, progress=False)


def test_validation_counts_all_heads():
    net, valid = models.build("multitask-e2e-arnn", **SHAPE).eval(), nights(3)
    right = total = 0
    with torch.no_grad():
        for inputs, labels in valid.split():
            said = net(inputs[:, None])[:, 0].argmax(-1)  # (N, 3)
            for centre in range(1, len(labels) - 1):
                right += sum(int(said[centre, h] == labels[centre - 1 + h]) for h in range(3))
                total += 3
    assert training.validation_accuracy(net, valid) == pytest.approx(right / total)


def test_checkpoints_of_other_settings_and_damaged_ones_are_refused(tmp_path):
    def fit(**changes):
        net = models.build("e2e-arnn", **SHAPE)
        training.fit(
            net, nights(0), nights(1), TrainingSettings(max_steps=2, **changes), tmp_path, progress=False
        )

    fit()
    fit()  # finished: nothing left to do
    with pytest.raises(SleeplibError, match="other settings or data"):
        fit(learning_rate=1e-3)
    with pytest.raises(SleeplibError, match="other settings or data"):
        fit(seed=2)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SleeplibError, match="damaged checkpoint"):
        fit()


@pytest.mark.parametrize(
    "wrong",
    [
        {"passes": 0},
        {"validate_every": 0},
        {"batch_size": 16.0},
        {"max_steps": 0},
        {"learning_rate": 0},
        {"weight_decay": -1e-3},
        {"balanced": 1},
        {"seed": -1},
        {"seed": "abc"},
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(wrong):
    with pytest.raises(SleeplibError, match=f"training: {next(iter(wrong))}="):
        TrainingSettings(**wrong)


def test_a_batch_of_one_sequence_cannot_be_normalised():
    network = models.build("seqsleepnet", sequence_length=20, filters=8, hidden=8, attention=8, **SHAPE)
    with pytest.raises(SleeplibError, match="two sequences in a batch"):
        training.fit(
            network, nights(0), nights(1), TrainingSettings(batch_size=1, max_steps=2), progress=False
        )
    few = nights(0, 40)  # two nights as long as a sequence
    few = Nights(few.inputs[:20], few.labels[:20], [20])
    with pytest.raises(SleeplibError, match="add training nights"):
        training.fit(network, few, nights(1), TrainingSettings(max_steps=2), progress=False)


def test_a_loss_that_is_no_number_ends_the_run():
    network = models.build("chambon", channels=1, samples=3000)
    network.classify.bias.data[0] = float("nan")
    data = Nights(torch.randn(40, 1, 3000), torch.randint(0, 5, (40,)), [40])
    settings = TrainingSettings(max_steps=2, validate_every=2, batch_size=4)
    with pytest.raises(SleeplibError, match="step 2: the loss is nan; lower the learning rate"):
        training.fit(network, data, data, settings, progress=False)
