"""The 1-max CNNs: sizes, layers by hand, the filterbank that is trained beforehand."""

import numpy as np
import pytest
import torch

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models.one_max import FrameNetwork, train_filterbank
from sleeplib.sampling import Nights
from sleeplib.stages import UNSCORED


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("1-max-cnn", {}, 918_005),
        ("multitask-1-max-cnn", {}, 948_015),
        ("1-max-cnn", {"learn_filterbank": True}, 918_005 + 3 * 129 * 20),
    ],
)
def test_number_of_parameters(name, settings, count):
    """Facts B2.6."""
    with torch.device("meta"):
        assert sum(p.numel() for p in models.build(name, **settings).parameters()) == count


def small_cnn(name="1-max-cnn", **settings):
    return models.build(name, channels=2, frames=9, features=4, **settings).eval()


def test_one_max_cnn_by_hand():
    """Filterbank, convolution, ReLU, global maximum, linear, with loops."""
    net = small_cnn().double()
    p = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    S = np.random.default_rng(0).normal(size=(2, 9, 129))
    x = np.concatenate([S[c] @ p["encoder.filterbank.weight"][c] for c in range(2)], axis=1)  # (9, 40)
    features = []
    for i, kernel in enumerate((3, 5, 7)):
        W, b = p[f"encoder.convolutions.{i}.weight"], p[f"encoder.convolutions.{i}.bias"]
        for w, v in zip(W, b, strict=True):
            features.append(max(max((x[t : t + kernel].T * w).sum() + v, 0) for t in range(10 - kernel)))
    logits = p["classify.weight"] @ np.array(features) + p["classify.bias"]
    assert np.allclose(net(torch.from_numpy(S)[None, None])[0, 0].detach(), logits)


@pytest.mark.parametrize(("frames", "kernels"), [(4, (2, 3, 4)), (7, (3, 5, 7)), (29, (3, 5, 7)), (1, (1,))])
@pytest.mark.parametrize(("name", "heads"), [("1-max-cnn", ()), ("multitask-1-max-cnn", (3,))])
def test_one_max_takes_epochs_as_long_as_its_kernels(frames, kernels, name, heads):
    net = models.build(name, channels=1, frames=frames, kernels=kernels, features=4).eval()
    assert net(torch.randn(2, 3, 1, frames, 129)).shape == (2, 3, *heads, 5)


def test_kernels_that_do_not_fit_are_refused():
    with pytest.raises(SleeplibError, match=r"kernels=\(3, 5, 7\): an epoch has 4 frames; choose shorter"):
        models.build("1-max-cnn", frames=4)


def test_the_filterbank_is_frozen_unless_it_is_to_learn():
    x = torch.randn(2, 1, 2, 9, 129)
    net = small_cnn()
    net(x).sum().backward()
    assert not any("filterbank" in name for name, _ in net.named_parameters())
    assert torch.allclose(net.encoder.filterbank.weight.sum(1), torch.ones(2, 20))  # triangles of equal area
    net = small_cnn(learn_filterbank=True)
    net(x).sum().backward()
    assert net.encoder.filterbank.weight.grad.any()


@pytest.mark.parametrize("learn_filterbank", [False, True])
def test_a_filterbank_can_be_put_in(learn_filterbank):
    net, bank = small_cnn(learn_filterbank=learn_filterbank), torch.rand(2, 129, 20)
    net.set_filterbank(bank)
    S = torch.randn(1, 2, 9, 129)
    expected = torch.cat([S[:, 0] @ bank[0], S[:, 1] @ bank[1]], dim=-1)
    assert torch.allclose(net.encoder.filterbank(S), expected, atol=1e-4)
    with pytest.raises(SleeplibError, match=r"\(129, 20\) does not fit \(C, F, M\) = \(2, 129, 20\)"):
        net.set_filterbank(bank[0])


def test_columns_are_z_scored_over_all_frames_of_training():
    net, images = small_cnn(), torch.randn(50, 2, 9, 129) * 5 - 30
    net.normalise_columns([images])
    columns = net.encoder.filterbank(images).flatten(0, 1)
    assert torch.allclose(columns.mean(0), torch.zeros(40), atol=1e-4)
    assert torch.allclose(columns.std(0, correction=0), torch.ones(40), atol=1e-4)


def nights(seed=0, E=120):
    """Images `(E, 2, 9, 129)`: in channel 0 the stage shows below 30 Hz, in channel 1 above; some unscored."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 3, 4, UNSCORED], E)
    x = rng.normal(-20, 5, (E, 2, 9, 129)).astype(np.float32)
    for stage in range(5):
        for channel in range(2):
            first = 5 + 65 * channel + 10 * stage
            x[labels == stage, channel, :, first : first + 10] += 20
    x[labels == UNSCORED] = np.nan  # an epoch that must not be drawn
    return Nights(torch.from_numpy(x), torch.from_numpy(labels), [E])


def scored(nights):
    keep = nights.labels != UNSCORED
    return Nights(nights.inputs[keep], nights.labels[keep], [int(keep.sum())])


def test_the_filterbank_is_that_of_a_network_on_frames():
    """Training is seeded, changes the triangles inside their support, and weighs bins that tell stages."""
    train, banks = scored(nights()), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        net = small_cnn(pretraining_steps=10)
        net.adapt(train)
        banks.append(net.encoder.filterbank.weight.clone())
    assert torch.equal(banks[0], banks[1]) and not torch.equal(banks[0], banks[2])
    triangles = small_cnn().encoder.filterbank.weight
    assert (banks[0][triangles == 0] == 0).all() and (banks[0] <= triangles).all()
    assert not net.encoder.filterbank.weight.requires_grad
    assert not torch.equal(banks[0][0], banks[0][1])  # each channel has one of its own


def test_frame_network_by_hand():
    """Facts B2.6: 20 filters, 512, 256, 512, 5."""
    net = FrameNetwork(small_cnn().settings).eval()
    p = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    sizes = [p[f"layers.{i}.0.weight"].shape for i in range(3)] + [p["layers.3.weight"].shape]
    assert sizes == [(512, 20), (256, 512), (512, 256), (5, 512)]
    frame = np.random.default_rng(0).normal(size=129).astype(np.float32)
    x = frame @ (p["triangles"] / (1 + np.exp(-p["weight"])))
    for i in range(3):
        x = np.maximum(p[f"layers.{i}.0.weight"] @ x + p[f"layers.{i}.0.bias"], 0)
    expected = p["layers.3.weight"] @ x + p["layers.3.bias"]
    assert np.allclose(net(torch.from_numpy(frame)).detach(), expected, atol=1e-5)


@pytest.fixture
def drawn(monkeypatch):
    """The labels of each batch of frames."""
    batches, entropy = [], torch.nn.functional.cross_entropy
    spy = lambda logits, labels: (batches.append(labels), entropy(logits, labels))[1]  # noqa: E731
    monkeypatch.setattr("torch.nn.functional.cross_entropy", spy)
    return batches


def trained_filterbank(nights, **settings):
    mean, std = torch.full((129,), -20.0), torch.ones(129)
    return train_filterbank(nights.inputs[:, 0], nights.labels, mean, std, small_cnn(**settings).settings)


def test_frames_are_drawn_balanced_and_never_from_unscored_epochs(drawn):
    """Shares are equal whatever the night's are; a stage that is missing has none."""
    rare = nights()
    rare.labels[rare.labels == 1] = UNSCORED
    assert trained_filterbank(rare, pretraining_steps=3).isfinite().all() and len(drawn) == 3
    assert all(torch.bincount(labels, minlength=5).tolist() == [50, 0, 50, 50, 50] for labels in drawn)


def test_pretraining_is_passes_over_the_scored_frames(drawn):
    train = nights()
    frames = 9 * int((train.labels != UNSCORED).sum())
    trained_filterbank(train, pretraining_passes=2)
    assert len(drawn) == 2 * frames // 200


def test_frames_alone_tell_the_stage_after_pretraining():
    """What the filterbank keeps is enough: a network on its columns learns; it does not see the test night."""
    torch.manual_seed(0)
    net, train = small_cnn(pretraining_steps=40), scored(nights())
    net.adapt(train)
    columns = net.encoder.filterbank(train.inputs)
    assert torch.allclose(columns.mean((0, 1)), torch.zeros(40), atol=1e-4)
    assert torch.allclose(columns.flatten(0, 1).std(0, correction=0), torch.ones(40), atol=1e-4)
    centres = torch.stack([columns[train.labels == stage].mean((0, 1)) for stage in range(5)])
    test = scored(nights(1))
    near = torch.cdist(net.encoder.filterbank(test.inputs).mean(1), centres).argmin(1)
    assert (near == test.labels).float().mean() > 0.9


def test_a_filterbank_that_is_to_learn_is_not_trained_beforehand():
    net = small_cnn(learn_filterbank=True)
    before = net.encoder.filterbank.weight.clone()
    net.adapt(scored(nights()))
    assert torch.equal(net.encoder.filterbank.weight, before) and net.encoder.filterbank.column_mean.any()


def test_what_the_penalty_is_on():
    """Facts B2.6: the output layer, weight and bias."""
    for name in ("1-max-cnn", "multitask-1-max-cnn"):
        net = small_cnn(name)
        assert [id(p) for p in net.decayed()] == [id(net.classify.weight), id(net.classify.bias)]


def test_what_training_shows_them():
    assert (small_cnn().sequence_length, small_cnn().reach, small_cnn().signals) == (1, 0, False)
    multitask = small_cnn("multitask-1-max-cnn")
    assert (multitask.sequence_length, multitask.reach) == (1, 1)


@pytest.mark.parametrize("N", [1, 2, 3, 70])
def test_multitask_decisions_are_windows_of_three(N):
    """Row i, position l is about epoch i + l, said by the image of epoch i + 1."""
    net, night = small_cnn("multitask-1-max-cnn"), torch.randn(N, 2, 9, 129)
    decided, heads = net.decisions(night), net(night[None])[0].log_softmax(-1)
    if N >= 3:
        assert decided.shape == (N - 2, 3, 5) and torch.allclose(decided, heads[1:-1], atol=1e-5)
    else:
        assert decided.shape == (1, N, 5) and torch.allclose(decided[0], heads[0, 1 : 1 + N], atol=1e-5)


def test_order_of_epochs():
    net, x = small_cnn(), torch.randn(3, 4, 2, 9, 129)
    assert torch.allclose(net(x)[2, 1], net(x[2:3, 1:2])[0, 0], atol=1e-5)
