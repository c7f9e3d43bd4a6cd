"""Every network, one contract: shapes, gradients, determinism, a round trip to disk."""

import json

import numpy as np
import pytest
import torch

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.preparation import Preparation
from sleeplib.sampling import Nights

NETWORKS = [(name, variant) for variant, networks in models.VARIANTS.items() for name in networks]
SHAPE = {"channels": 2, "frames": 4}
each_network = pytest.mark.parametrize("name, variant", NETWORKS)


# Sizes that keep the tests quick; everything else is as in the papers.
SMALL = {
    "1-max-cnn": {"features": 50, "kernels": (2, 3, 4), "pretraining_steps": 2},
    "multitask-1-max-cnn": {"features": 50, "kernels": (2, 3, 4), "pretraining_steps": 2},
    "e2e-deepsleepnet": {"hidden": 16, "sequence_length": 5},
    "tsinalis": {"context": 3, "dense": 100},
}


def settings(name):
    shape = {"channels": 2, "samples": 500} if name in models.ON_SIGNALS else SHAPE
    return shape | SMALL.get(name, {})


def epochs(name, *rows):
    """Random images `(*rows, C, T, F)` or signals `(*rows, C, T)`, as the network takes them."""
    return torch.randn(*rows, 2, 500) if name in models.ON_SIGNALS else torch.randn(*rows, 2, 4, 129)


def batch(name, rows=3):
    return epochs(name, rows, models.build(name, **settings(name)).sequence_length)


def heads(name):
    """The axes of the logits behind (B, L)."""
    return (3, 5) if name.startswith("multitask") else (5,)


@each_network
def test_logits_have_a_row_for_each_epoch(name, variant):
    net = models.build(name, variant=variant, **settings(name)).eval()
    x = batch(name)
    logits = net(x)
    assert logits.shape == (*x.shape[:2], *heads(name)) and logits.isfinite().all()
    night = net.decisions(epochs(name, 40))
    assert sum(night.shape[:2]) == 41  # `inference.fuse` makes stages of 40 epochs of it
    assert torch.allclose(night.exp().sum(-1), torch.ones(night.shape[:2]), atol=1e-5)


@each_network
def test_every_parameter_has_a_gradient_and_training_lowers_the_loss(name, variant):
    torch.manual_seed(0)
    net = models.build(name, variant=variant, **settings(name) | {"dropout": 0.0})
    x, y = batch(name, 8), torch.randint(0, 5, (8, net.sequence_length, *heads(name)[:-1]))
    stages = y.flatten(0, 1).flatten(1)[:, 0] if y.dim() == 3 else y.flatten()
    net.adapt(Nights(x.flatten(0, 1), stages, [len(stages)]))
    slow = name in ("chambon", "tsinalis")  # ReLUs without batch normalisation die at 1e-2
    rate, steps = (5e-3, 60) if slow else (1e-2, 30)
    optimiser, losses = torch.optim.Adam(net.parameters(), rate), []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x).flatten(0, -2), y.flatten())
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
    assert losses[-1] < 0.7 * losses[0]


@each_network
def test_same_seed_same_bits(name, variant):
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        net = models.build(name, variant=variant, **settings(name))
        outputs.append(net(batch(name)))
    assert torch.equal(*outputs)


@each_network
def test_evaluation_has_no_chance_in_it(name, variant):
    net = models.build(name, variant=variant, **settings(name)).eval()
    x, night = batch(name), epochs(name, 24)
    assert torch.equal(net(x), net(x)) and torch.equal(net.decisions(night), net.decisions(night))


@each_network
def test_weights_and_card_come_back(name, variant, tmp_path):
    net = models.build(name, variant=variant, **settings(name))
    shape = (2,) if name in models.ON_SIGNALS else (2, 129)  # (C,) or (C, F)
    net.normalise(torch.randn(shape), torch.rand(shape) + 1)
    preparation = Preparation({"EEG": "A", "EOG": "B - C"}, rate=100.0)
    path = weights.save(net, name, tmp_path / "w", preparation, cohort="somewhere")
    back = weights.load(path)
    x = batch(name)
    assert torch.equal(net.eval()(x), back(x)) and not back.training
    assert {"sha256", "date", "command", "versions", "git", "device"} <= back.card.keys()
    assert type(back) is type(net)
    assert back.card["cohort"] == "somewhere" and back.preparation == preparation


def test_weights_that_are_not_the_cards_are_refused(tmp_path):
    path = weights.save(
        models.build("e2e-arnn", **SHAPE), "e2e-arnn", tmp_path / "w", Preparation({"EEG": "A"})
    )
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(SleeplibError, match="SHA-256 differs"):
        weights.load(path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text("{")
    with pytest.raises(SleeplibError, match="damaged card"):
        weights.load(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(SleeplibError, match=r"w\.json: missing"):
        weights.load(path)
    assert card["network"] == "e2e-arnn"


def test_unknown_names_and_settings_list_the_known_ones():
    with pytest.raises(SleeplibError, match="e2e-arnn, multitask-e2e-arnn, seqsleepnet"):
        models.build("seqsleepnett")
    with pytest.raises(SleeplibError, match="no setting filter; it has channels"):
        models.build("seqsleepnet", filter=3)
    with pytest.raises(SleeplibError, match="no variant 'code'; it has paper, released"):
        models.build("seqsleepnet", variant="code")


def nights(seed=0, n=300):
    """Images whose stage lifts the power of one band, and some unscored epochs."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 2, 2, 3, 4, 9], n)
    x = rng.normal(0, 3, (n, 2, 4, 129)).astype(np.float32)
    for stage in range(5):
        x[labels == stage, :, :, 2 + 20 * stage : 22 + 20 * stage] += 4
    return Nights(torch.from_numpy(x), torch.from_numpy(labels), [n])


def test_majority_always_says_the_commonest_stage():
    train = nights()
    posteriors = models.baseline("majority").fit(train).posteriors(nights(1).inputs)
    scored = train.labels[train.labels != 9].numpy()
    assert np.allclose(posteriors[0], np.bincount(scored) / len(scored)) and (posteriors.argmax(1) == 2).all()


def test_band_powers_are_means_of_power_and_lda_uses_them():
    from sleeplib.models.classical import BANDS, band_powers

    x = nights().inputs[:3]
    hertz = np.arange(129) * 100 / 256
    features = band_powers(x).reshape(3, 2, len(BANDS))
    for b, (low, high) in enumerate(BANDS.values()):
        inside = [k for k in range(129) if low <= hertz[k] < high]
        expected = 10 * np.log10((10 ** (x[1, 1][:, inside].double().numpy() / 10)).mean())
        assert features[1, 1, b] == pytest.approx(expected, abs=1e-3)
    test = nights(1)
    predicted = models.baseline("band-power-lda").fit(nights()).posteriors(test.inputs).argmax(1)
    scored = (test.labels != 9).numpy()
    assert (predicted == test.labels.numpy())[scored].mean() > 0.9


def test_a_stage_that_training_lacks_is_never_said():
    train = nights()
    train.labels[train.labels == 1] = 9
    posteriors = models.baseline("band-power-lda").fit(train).posteriors(nights(1).inputs)
    assert (
        posteriors.shape[1] == 5
        and (posteriors[:, 1] == 0).all()
        and np.allclose(posteriors.sum(1), 1, atol=1e-5)
    )


@pytest.mark.parametrize(
    "name, setting, value, told",
    [
        ("seqsleepnet", "sequence_length", 0, "a whole number, 1 or more"),
        ("seqsleepnet", "hidden", -3, "a whole number, 1 or more"),
        ("seqsleepnet", "depth", True, "a whole number, 1 or more"),
        ("seqsleepnet", "dropout", 3, "a number from 0 to below 1"),
        ("usleep", "complexity", -1, "a number above 0"),
        ("usleep", "complexity", "abc", "a number above 0"),
        ("usleep", "channels", None, "a whole number, 1 or more"),
        ("anysleep", "norm_first", 1, "true or false"),
        ("1-max-cnn", "kernels", [3, 0], "a list of whole numbers, 1 or more"),
        ("1-max-cnn", "pretraining_steps", 0.5, "a whole number, 1 or more"),
        ("dong-dnn", "hidden", [], "a list of whole numbers, 1 or more"),
        ("dong-dnn", "rate", float("nan"), "a number above 0"),
        ("chambon", "emg", -1, "a whole number, 0 or more"),
        ("deepsleepnet1", "decay", 1.5, "a number from 0 to below 1"),
    ],
)
def test_settings_that_no_network_can_have_are_refused(name, setting, value, told):
    with pytest.raises(SleeplibError, match=rf"^{name}: {setting}=.*; expected {told}$"):
        models.build(name, **{setting: value})
