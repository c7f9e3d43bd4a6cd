"""U-Sleep, AnySleep and its two variants against the authors' networks (float64) and naive NumPy."""

import re
from itertools import pairwise
from math import floor, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models import authors, weights
from sleeplib.models.anysleep import ChannelAttention
from sleeplib.models.usleep import Classifier, Decoder, Encoder, USleepSettings
from sleeplib.preparation import ANYSLEEP, Preparation
from tests.models import naive_night

NETWORKS = tuple(models.NIGHT_NETWORKS)
VECTORS = {"usleep": "usleep", "anysleep": "anysleep", "anysleep-early": "early", "anysleep-late": "late"}
WIDTHS = [6, 9, 11, 15, 20, 28, 40, 55, 77, 108, 152, 214, 302]
# Stages of one second and short nights; everything else that a network has is there.
SMALL = {"depth": 3, "complexity": 0.4, "epoch_seconds": 1}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_agnostic = pytest.mark.parametrize("name", NETWORKS[1:])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks are fastest so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def count(module):
    return sum(p.numel() for p in module.parameters())


def signals(nights=1, channels=2, samples=512, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal((nights, channels, samples)))


def randomised(net, seed=0):
    """In float64 and for evaluation, every parameter and statistic matters."""
    torch.manual_seed(seed)
    net = net.double().eval()
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("running_mean") or value.dim() == 1:
            value.normal_(0, 0.5)
        elif value.dim() > 1:
            value.normal_(0, 2 / sqrt(value[0].numel()))
    return net


def small(name, seed=0, **settings):
    return randomised(models.build(name, **SMALL | settings), seed)


def arrays_of(module):
    return {key: value.numpy() for key, value in module.state_dict().items()}


# Sizes


@pytest.mark.parametrize(
    "name, settings, expected",
    [
        ("usleep", {}, 3_114_337),
        ("anysleep", {}, 3_157_856),
        ("anysleep-early", {}, 3_131_601),
        ("anysleep-late", {}, 3_137_356),
        ("anysleep-early", {"hidden": 32}, 3_130_449),
        ("anysleep-late", {"hidden": 32}, 3_137_068),
    ],
)
def test_as_many_parameters_as_in_the_paper(name, settings, expected):
    with torch.device("meta"):  # shapes without memory
        assert count(models.build(name, **settings)) == expected


def test_each_part_has_the_authors_parameters():
    with torch.device("meta"):
        net, pair, early = (models.build(name) for name in ("anysleep", "usleep", "anysleep-early"))
    encoders = [72, 513, 924, 1530, 2760, 5124, 10200, 19965, 38346, 75168, 148200, 293394]
    decoders = [954868, 481840, 243432, 123816, 63250, 33440, 16520, 8440, 4740, 2574, 1710, 792]
    attention = [401, 521, 601, 761, 961, 1281, 1761, 2361, 3241, 4481, 6241, 8721, 12241]
    assert [count(block) for block in net.unet.encoders] == encoders
    assert [count(block) for block in net.unet.decoders] == decoders
    assert [count(block) for block in net.fusions] == attention
    assert count(net.unet.connector) == 582_558 and count(net.classifier) == 107
    assert sum(buffer.numel() for buffer in net.buffers()) == 6_104
    assert count(pair.unet.encoders[0]) == 126 and count(early.unet.encoders[0]) == 234
    assert sum(buffer.numel() for buffer in pair.buffers()) == 5_051
    for hidden, front, back in ((40, 17_156, 23_073), (32, 16_004, 22_785)):
        assert count(models.build("anysleep-early", depth=2, hidden=hidden).fusion) == front
        assert count(models.build("anysleep-late", depth=2, hidden=hidden).fusion) == back


def test_widths_grow_by_the_square_root_of_two_and_of_the_complexity():
    assert USleepSettings().widths == WIDTHS
    assert USleepSettings(depth=4).widths == WIDTHS[:5]
    assert USleepSettings(complexity=1.0).widths[:7] == [5, 7, 9, 12, 16, 22, 31]
    assert min(USleepSettings(complexity=0.01).widths) == 1
    plain = USleepSettings(complexity=1.0).widths
    assert USleepSettings(complexity=4.0).widths == [2 * filters for filters in plain]
    assert all(b == floor(a * 1.4142) for a, b in pairwise(plain))


def test_lengths_of_35_epochs_are_the_authors():
    net = models.build("usleep", complexity=0.01)
    with torch.no_grad():
        maps = net.unet.encode(torch.randn(1, 2, 35 * 3840))
    lengths = [134400, 67200, 33600, 16800, 8400, 4200, 2100, 1050, 526, 264, 132, 66, 33]
    assert [m.shape[-1] for m in maps] == lengths  # 525 and 263 have a column of zeros in front
    assert not maps[8][..., 0].any() and not maps[9][..., 0].any() and maps[10][..., 0].any()


def test_tables_of_the_chapter_are_those_of_the_networks():
    chapter = Path(__file__).parents[2] / "book/any_channels.md"
    lines = [line for line in chapter.read_text().splitlines() if line[:2] == "| "]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    ladder = [row for row in rows if len(row) == 5 and row[0] in (*map(str, range(12)), "connector")]
    settings, columns = USleepSettings(), 35 * 3840
    for level, (_, column, length, filters, sees) in enumerate(ladder):
        padded = [columns] if columns % 2 == 0 or level == 12 else [columns, columns + 1]
        assert [int(n.replace(",", "")) for n in length.split(" → ")] == padded
        assert int(filters) == settings.widths[level]
        assert float(column.split()[0]) == pytest.approx(2**level / 128, rel=0.07)
        seconds = (counted(level, 9, 1)[0]) / 128
        assert float(sees.split()[0]) == pytest.approx(seconds, rel=0.05) and level < 13
        columns = padded[-1] // 2
    assert len(ladder) == 13
    counts = {row[0]: row[1:] for row in rows if len(row) == 5 and row[1].count(",") == 2}
    called = {"U-Sleep": "usleep", "AnySleep": "anysleep", "early fusion": "anysleep-early"}
    called["late fusion"] = "anysleep-late"
    run = {  # encoders, decoders, attention and classifier, as figure 6 counts them
        "usleep": lambda eeg, eog: 25 * eeg * eog + 1,
        "anysleep": lambda eeg, eog: 12 * (eeg + eog) + 12 + 12 + 1,
        "anysleep-early": lambda eeg, eog: eeg + eog + 4 + 12 + 12 + 1,
        "anysleep-late": lambda eeg, eog: 24 * (eeg + eog) + 1 + 1,
    }
    assert counts.keys() == called.keys()
    for label, (parameters, more, *blocks) in counts.items():
        with torch.device("meta"):
            number = count(models.build(called[label]))
        assert parameters == f"{number:,}"
        assert more == ("" if label == "U-Sleep" else f"{100 * (number / 3_114_337 - 1):.1f} %")
        assert [int(n) for n in blocks] == [run[called[label]](eeg, 1) for eeg in (1, 6)]


# The authors' networks


@pytest.fixture(scope="module")
def vectors(shared):
    path = shared / "reference/vectors/anysleep_model_outputs.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return np.load(path)


def formula(names):
    """The weights of the reference run: a formula of position i in the list and flat index j."""
    arrays = {}
    for i, line in enumerate(names):
        name, shape = str(line).split(" ", 1)
        shape = tuple(int(n) for n in re.findall(r"\d+", shape))
        j = np.arange(np.prod(shape), dtype=float)
        if len(shape) > 1:
            value = 1.5 * np.sin(0.7 * j + 1.3 * i) / np.sqrt(np.prod(shape[1:]))
        elif name.endswith("running_var"):
            value = 1 + 0.2 * np.sin(0.9 * j + i)
        elif name.endswith("running_mean"):
            value = 0.05 * np.sin(0.5 * j + i)
        elif name.endswith("weight"):  # of a batch normalisation
            value = 1 + 0.1 * np.sin(j + i)
        else:
            value = 0.1 * np.sin(0.7 * j + i)
        arrays[name] = value.astype(np.float32).reshape(shape)
    return arrays


def reference_input(epochs, channels, nights=1, seed=None):
    """The signals of the reference run, (B, C, T)."""
    r = np.random.RandomState(100 + 10 * epochs + channels if seed is None else seed)
    t, c = np.arange(epochs * 3840)[:, None], np.arange(channels)
    noise = r.standard_normal((nights, len(t), channels)) * (1.2 + np.sin(2 * np.pi * t / 7680 + c))
    bursts = np.sin(2 * np.pi * t * (0.5 + 1.7 * c) / 128) * (np.sin(2 * np.pi * t / 23040 + c) > 0)
    x = torch.from_numpy((noise + 2 * bursts).astype(np.float32).astype(float))
    return x.transpose(1, 2).contiguous()


def authors_network(name, vectors):
    return weights.from_authors(name, formula(vectors[f"names_{VECTORS[name]}"])).double()


@pytest.mark.parametrize(
    "name, epochs, channels",
    [
        pytest.param("anysleep", 35, 1, marks=pytest.mark.slow),
        pytest.param("anysleep", 35, 2, marks=pytest.mark.slow),
        ("anysleep", 35, 5),
        ("anysleep", 7, 3),
        ("anysleep", 1, 2),
        ("usleep", 35, 2),
        ("anysleep-early", 35, 3),
        ("anysleep-late", 35, 3),
    ],
)
def test_logits_of_four_resolutions_are_the_authors(name, epochs, channels, vectors):
    net, x, features = authors_network(name, vectors), reference_input(epochs, channels), []
    net.classifier.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
    with torch.no_grad():
        net(x)
        outputs = {f: net.classifier(features[0], f)[0].numpy() for f in (1, 8, 128, 3840)}
        whole = net(x, per_epoch=8)[0].numpy() if epochs < 35 else outputs[8]
    assert np.array_equal(whole, outputs[8])
    for f, logits in outputs.items():
        key = f"{VECTORS[name]}_ep{epochs}_ch{channels}_f{f}"
        step = {1: 1, 8: 1, 128: 8}.get(f) or int(vectors[f"{key}_step"])
        assert logits.shape == tuple(vectors[f"{key}_shape"])
        assert np.abs(logits[::step] - vectors[key]).max() < 1e-8
        assert np.abs(logits.mean(0) - vectors[f"{key}_mean"]).max() < 1e-8


def test_attention_is_the_authors(vectors):
    net = authors_network("anysleep", vectors)
    with torch.no_grad():
        alpha = net.attention(reference_input(35, 5))[0].numpy()
    assert alpha.shape == (13, 5)
    assert np.abs(alpha - vectors["anysleep_ep35_ch5_attention"]).max() < 1e-8


def training_batch():
    """Two windows of 35 epochs and their stages, every tenth of them unscored."""
    stages = torch.from_numpy(np.random.RandomState(5).randint(0, 5, 70))
    stages[::10] = 9
    return reference_input(35, 2, nights=2, seed=77), stages


def loss_of(logits, stages):
    return functional.cross_entropy(logits.flatten(0, 1), stages, ignore_index=9)


@pytest.mark.slow
def test_three_steps_of_amsgrad_are_the_authors(vectors):
    net, (x, stages) = authors_network("anysleep", vectors).train(), training_batch()
    stored = {key: vectors[f"train_anysleep_{key}"] for key in ("logits0", "loss", "gradnorm", "eval_after3")}
    # Their parameters in their order, under our names.
    order = [str(line).split(" ")[0] for line in vectors["names_anysleep"]]
    order = [ours(name) for name in order if not name.endswith(("running_mean", "running_var"))]
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-5, amsgrad=True)
    for step in range(3):
        logits = net(x)
        loss = loss_of(logits, stages)
        optimiser.zero_grad()
        loss.backward()
        assert abs(loss.item() - stored["loss"][step]) < 1e-8
        if step == 0:
            assert np.abs(logits.detach().flatten(0, 1).numpy() - stored["logits0"]).max() < 1e-8
            norms = {key: p.grad.norm().item() for key, p in net.named_parameters()}
            assert np.abs(np.array([norms[key] for key in order]) - stored["gradnorm"]).max() < 1e-8
        optimiser.step()
    with torch.no_grad():
        after = net.eval()(x).flatten(0, 1).numpy()
    assert np.abs(after - stored["eval_after3"]).max() < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, expected",
    [("usleep", 1.63086507), ("anysleep-early", 1.64417948), ("anysleep-late", 1.63922915)],
)
def test_first_loss_of_the_others_is_the_authors(name, expected, vectors):
    net, (x, stages) = authors_network(name, vectors).train(), training_batch()
    with torch.no_grad():
        assert loss_of(net(x), stages).item() == pytest.approx(expected, abs=6e-9)  # as printed


# Naive NumPy


def test_an_encoder_block_equals_naive_numpy():
    block = randomised(Encoder(2, 4, 9))
    for samples in (10, 11):
        x = signals(channels=2, samples=samples)
        skip, pooled = block(x)
        expected = naive_night.encoder({f"e.{k}": v for k, v in arrays_of(block).items()}, "e", x[0].numpy())
        assert skip.shape[-1] == 2 * pooled.shape[-1] == samples + samples % 2
        for ours, theirs in zip((skip, pooled), expected, strict=True):
            assert np.abs(ours[0].detach().numpy() - theirs).max() < 1e-12


@pytest.mark.parametrize("kernel", [9, 4])
def test_a_decoder_block_crops_like_naive_numpy(kernel):
    block = randomised(Decoder(4, 3, kernel))
    p = {f"d.{k}": v for k, v in arrays_of(block).items()}
    x = signals(channels=4, samples=7)
    for length in (14, 12):  # without and with a column that the deeper encoder put in front
        skip = signals(channels=3, samples=length, seed=1)
        expected = naive_night.decoder(p, "d", x[0].numpy(), skip[0].numpy())
        assert np.abs(block(x, skip)[0].detach().numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_attention_module_equals_naive_numpy(norm_first):
    settings = models.build("anysleep", **SMALL, hidden=7, norm_first=norm_first).settings
    module = randomised(ChannelAttention(4, settings))
    maps = signals(nights=3, channels=20, samples=9).view(3, 5, 4, 9)
    p = {f"a.{k}": v for k, v in arrays_of(module).items()}
    for night in range(3):
        alpha, total = naive_night.attention(p, "a", maps[night].numpy(), norm_first)
        assert np.abs(module.weights(maps)[night].detach().numpy() - alpha).max() < 1e-12
        assert np.abs(module(maps)[night].detach().numpy() - total).max() < 1e-12


def test_the_classifier_equals_naive_numpy():
    module = randomised(Classifier(USleepSettings(epoch_seconds=1)))
    p = {f"classifier.{k}": v for k, v in arrays_of(module).items()}
    x = signals(channels=6, samples=300)
    for per_epoch in (1, 4, 128):
        expected = naive_night.classify(p, x[0].numpy(), 128 // per_epoch)
        assert np.abs(module(x, per_epoch)[0].detach().numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("samples", [352, 363])  # 363: odd at the first two levels
@each_network
def test_a_network_equals_naive_numpy(name, samples):
    net = small(name)
    x = signals(nights=2, channels=2, samples=samples)
    for night in range(2):
        expected, alpha = naive_night.NETWORKS[name](arrays_of(net), x[night].numpy(), net.settings, 32)
        assert np.abs(net(x, per_epoch=4)[night].detach().numpy() - expected).max() < 1e-10
        if alpha is not None:
            assert np.abs(net.attention(x)[night].detach().numpy() - alpha).max() < 1e-10


# What goes in, what comes out


@pytest.mark.parametrize("extra, stages", [(0, 2), (1, 2), (2, 2), (3839, 3), (1921, 2)])
@each_network
def test_any_length_has_a_stage_for_each_whole_epoch(name, extra, stages):
    net = models.build(name, complexity=0.01).eval()
    with torch.no_grad():
        logits = net(torch.randn(1, 2, 2 * 3840 + extra))
    # An odd number of samples gets one in front: the last sample of an epoch may be missing.
    assert logits.shape == (1, stages, 5) and logits.isfinite().all()


@each_network
def test_an_odd_number_of_samples_gives_one_stage_more_at_128_hz(name):
    net = models.build(name, depth=3, complexity=0.1).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 2, 8681), per_epoch=3840).shape == (1, 8682, 5)


def test_every_divisor_of_an_epoch_is_a_resolution():
    net = models.build("anysleep", complexity=0.01).eval()
    features = torch.randn(1, net.settings.widths[0], 2 * 3840)
    for per_epoch in (n for n in range(1, 3841) if 3840 % n == 0):
        assert net.classifier(features, per_epoch).shape == (1, 2 * per_epoch, 5)
    for per_epoch in (0, -1, 7, 3841, 7680, 2.0, 0.5, None):
        with pytest.raises(SleeplibError, match="whole number that divides 3840"):
            net.classifier(features, per_epoch)


@each_network
def test_what_the_classifier_averages_does_not_depend_on_the_resolution(name):
    """Behind the average everything is pointwise in time, before it nothing knows the resolution."""
    net, x, features = small(name), signals(samples=1024), []
    net.classifier.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
    with torch.no_grad():
        for per_epoch in (1, 8, 128):
            net(x, per_epoch)
    assert torch.equal(features[0], features[1]) and torch.equal(features[0], features[2])


@each_network
def test_signals_of_another_shape_are_refused(name):
    net = small(name)
    for shape in ((2, 512), (1, 1, 2, 512), (1, 0, 512), (1, 2, 0), (0, 2, 512)):
        with pytest.raises(SleeplibError, match=r"takes signals \(nights, channels, samples\)"):
            net(torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(SleeplibError, match="shorter than one stage"):
        models.build(name, depth=2, complexity=0.1).eval()(torch.zeros(1, 2, 3838))


def test_usleep_wants_its_two_channels():
    for channels in (1, 3):
        with pytest.raises(SleeplibError, match=f"takes 2 channels .EEG, then EOG. and got {channels}"):
            small("usleep")(signals(channels=channels))
    net = small("usleep", channels=3)
    assert net(signals(channels=3)).shape == (1, 4, 5)


@each_network
def test_settings_make_other_networks(name):
    settings = {"depth": 4, "complexity": 0.4, "kernel": 4, "rate": 100, "epoch_seconds": 3, "stages": 3}
    if name != "usleep":
        settings["hidden"] = 5
    if name in ("anysleep-early", "anysleep-late"):
        settings |= {"heads": 3, "encoder_filters": 4}
    for more in ({},) if name == "usleep" else ({"norm_first": True}, {"norm_first": False}):
        net = models.build(name, **settings | more).double()
        assert net(signals(nights=2, samples=1200)).shape == (2, 4, 3)
        assert len(net.unet.encoders) == len(net.unet.decoders) == 4
    with pytest.raises(SleeplibError, match="no setting colour"):
        models.build(name, colour="red")


# Channels


@pytest.mark.parametrize("seed", range(5))
@each_agnostic
def test_the_order_of_channels_does_not_matter(name, seed):
    net = small(name, seed)
    r = np.random.RandomState(seed)
    channels = int(r.randint(2, 7))
    x, order = signals(nights=2, channels=channels, seed=seed), r.permutation(channels)
    assert torch.allclose(net(x[:, order]), net(x), rtol=0, atol=1e-10)
    assert torch.allclose(net.attention(x[:, order]), net.attention(x)[..., order], rtol=0, atol=1e-12)


def test_the_order_of_channels_matters_to_usleep():
    net, x = small("usleep"), signals()
    assert (net(x.flip(1)) - net(x)).abs().max() > 0.01


@pytest.mark.parametrize("channels", [1, 2, 5])
@each_agnostic
def test_weights_of_channels_sum_to_one(name, channels):
    net = small(name)
    alpha = net.attention(signals(nights=3, channels=channels))
    modules = {"anysleep": 4, "anysleep-early": 4, "anysleep-late": 1}[name]
    assert alpha.shape == (3, modules, channels) and (alpha > 0).all()
    assert torch.allclose(alpha.sum(-1), torch.ones(3, modules, dtype=torch.float64), rtol=0, atol=1e-12)
    assert channels > 1 or (alpha == 1).all()


@each_agnostic
def test_a_channel_given_twice_is_one_channel(name):
    net, x = small(name), signals(channels=1)
    assert torch.allclose(net(x.repeat(1, 3, 1)), net(x), rtol=0, atol=1e-12)


def test_one_channel_passes_through_attention_unchanged():
    net, x = small("anysleep"), signals(channels=1)
    plain = net.classifier(net.unet(x))
    assert torch.equal(net(x), plain)


def test_nights_of_a_batch_do_not_mix_in_evaluation():
    for name in NETWORKS:
        net, x = small(name), signals(nights=2)
        assert torch.allclose(net(x)[1:2], net(x[1:2]), rtol=0, atol=1e-12)


# The receptive field


def reach(first, last, length, depth, kernel):
    """Samples `(first, last)` of the input that features `first` to `last` can see.

    Backwards through the network in whole numbers: down the decoders, through the connector, up the encoders.
    """
    before, after = (kernel - 1) // 2, kernel // 2
    odd, sizes = [], [length]  # sizes: of the decoders' outputs and, last, the connector's
    for _ in range(depth):
        odd.append(sizes[-1] % 2)
        sizes[-1] += odd[-1]
        sizes.append(sizes[-1] // 2)
    for level in range(depth):
        cut = (2 * sizes[level + 1] - sizes[level]) // 2  # columns cropped in front
        first, last = first - before + cut, last + after + cut
        first, last = (
            first // 2,
            (last + 1) // 2,
        )  # the convolution of 2 looks one ahead; one sample becomes two
    first, last = first - before, last + after
    for level in reversed(range(depth)):
        first, last = 2 * first - odd[level], 2 * last + 1 - odd[level]  # the maximum of a pair
        first, last = first - before, last + after
    return max(first, 0), min(last, length - 1)


def counted(depth, kernel, pooled):
    """The rule of thumb: each filter adds its taps but one, times the samples per step at its level.

    Returns
    -------
    encoders and connector, what the decoders add, all with the average of `pooled` samples
    """
    steps = [2**level for level in range(depth)]
    encoders = 1 + sum((kernel - 1) * step + step for step in steps) + (kernel - 1) * 2**depth
    decoders = sum((kernel - 1) * step + step for step in steps)  # a merge and an up convolution
    return encoders, decoders, encoders + decoders + pooled - 1


def seen(net, x, index, per_epoch):
    """First and last sample that changes the stage `index`, by its gradient."""
    x = x.requires_grad_()
    net(x, per_epoch)[:, index].square().sum().backward()
    samples = x.grad.abs().sum((0, 1)).nonzero().flatten()
    return samples[0].item(), samples[-1].item()


@pytest.mark.parametrize(
    "length", [256, 252, 250, 253]
)  # even throughout; odd at the third, second, first level
@pytest.mark.parametrize("kernel", [3, 4])
def test_gradients_reach_as_far_as_the_arithmetic_says(length, kernel):
    net = small("usleep", kernel=kernel, rate=16)
    for index in (0, 15, 18, 31):
        # Which of a pair is the larger is a matter of chance: many nights find the outermost sample.
        x = signals(nights=100, samples=length)
        size = 16 // 2
        if index < (length + length % 2) // size:
            expected = reach(index * size, index * size + size - 1, length, 3, kernel)
            assert seen(net, x, index, per_epoch=2) == expected


def test_the_receptive_field_of_the_full_network(monkeypatch):
    assert counted(12, 9, 3840) == (69_624, 36_855, 110_318)  # 861.9 s, the paper's 14.36 min
    length = 40 * 4096  # even at each level
    fields = {j: reach(j * 3840, j * 3840 + 3839, length, 12, 9) for j in range(15, 28)}
    sizes = {j: last - first + 1 for j, (first, last) in fields.items()}
    assert set(sizes.values()) == {110_584, 106_488}  # by where the stage lies in the grid of 4,096 samples
    assert sizes[15] == sizes[16] == 106_488 and sizes[20] == 110_584
    # As far as it reaches and no further: a mean of pairs has the reach of their maximum, and no chance in it.
    monkeypatch.setattr(functional, "max_pool1d", functional.avg_pool1d)
    net = models.build("usleep", complexity=0.01).double().eval()
    for j in (16, 20):
        assert seen(net, signals(samples=length), j, per_epoch=1) == fields[j]


def test_attention_sees_the_whole_night():
    net, x = small("anysleep", complexity=0.1), signals(channels=2, samples=4096)
    assert seen(net, x, 0, per_epoch=1) == (0, 4095)
    one = signals(channels=1, samples=4096)
    assert seen(net, one, 0, per_epoch=1)[1] < 1000


# Learning


def silent(name, key):
    """Whether a parameter has no say in the loss of a training step.

    A number added to all scores leaves the softmax as it is, also one added before the linear layer of the scores;
    a number added to all rows before a batch normalisation is taken out by it.
    """
    if name == "anysleep":
        return key.endswith(("score.bias", "hidden.bias"))
    return key.startswith("fusion.heads") and key.endswith(("score.bias", "norm.bias"))


@each_network
def test_gradients_reach_all_parameters_and_training_lowers_the_loss(name):
    torch.manual_seed(0)
    net = models.build(name, **SMALL).double()
    x, stages = signals(nights=6), torch.randint(0, 5, (24,))
    optimiser, losses = torch.optim.Adam(net.parameters(), lr=1e-2, amsgrad=True), []
    for step in range(20):
        optimiser.zero_grad()
        loss = loss_of(net(x), stages)
        loss.backward()
        if step == 0:
            quiet = {key for key, p in net.named_parameters() if p.grad.abs().max() < 1e-12}
            assert quiet == {key for key, _ in net.named_parameters() if silent(name, key)}
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@each_network
def test_same_seed_same_bits(name):
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        net = models.build(name, **SMALL)
        outputs.append(net(torch.randn(2, 2, 512)))
    assert torch.equal(*outputs)


def test_weights_start_as_the_authors_do():
    torch.manual_seed(0)
    net = models.build("anysleep")
    conv = net.unet.connector.conv  # He-normal by fan-out, 302 filters of 9 taps
    assert conv.weight.std().item() == pytest.approx(sqrt(2 / (302 * 9)), rel=0.01)
    assert 0.9 < conv.bias.abs().max().item() * sqrt(214 * 9) <= 1  # PyTorch's own: uniform, by fan-in
    scores = net.fusions[-1].scores
    assert scores.hidden.weight.std().item() == pytest.approx(sqrt(2 / 40), rel=0.03)
    assert not scores.hidden.bias.any() and not scores.score.bias.any()
    norm = net.unet.connector.norm
    assert (norm.weight == 1).all() and not norm.bias.any() and (norm.eps, norm.momentum) == (1e-5, 0.1)


# To disk and back


@each_network
def test_weights_and_card_come_back(name, tmp_path):
    net = models.build(name, **SMALL)
    net(torch.randn(3, 2, 512))  # statistics move
    preparation = Preparation(**ANYSLEEP)
    back = weights.load(weights.save(net, name, tmp_path / "w", preparation, cohort="somewhere"))
    x = torch.randn(1, 2, 640)
    assert torch.equal(net.eval()(x), back(x)) and not back.training
    assert type(back) is type(net) and back.settings == net.settings
    assert back.preparation == preparation and back.card["cohort"] == "somewhere"


def ours(name):
    """Our name for the authors' array."""
    for pattern, replacement in authors.NIGHT_NAMES:
        if re.match(pattern + r"\.\w+$", name):
            return re.sub("^" + pattern, replacement, name)
    raise KeyError(name)


def theirs(net):
    """A network's state dict under the authors' names."""
    state = {}
    for key, value in net.state_dict().items():
        for pattern, replacement in authors.NIGHT_NAMES:
            if match := re.fullmatch(replacement.replace(r"\1", r"(\d+)") + r"(\.\w+)", key):
                *number, ending = match.groups()
                name = pattern.replace(r"(\d+)", *number) if number else pattern
                state[name.replace("\\", "") + ending] = value
    assert {ours(key) for key in state} == set(net.state_dict())
    return state


@pytest.mark.parametrize("form", ["tensors", "arrays", "without counters"])
@each_network
def test_authors_state_dicts_come_in(name, form):
    settings = {"depth": 3}
    if name != "usleep":
        settings["hidden"] = 7
    if name in ("anysleep-early", "anysleep-late"):
        settings |= {"heads": 2, "encoder_filters": 5}
    net = models.build(name, **settings)
    with torch.no_grad():
        net(torch.randn(3, 2, 640), per_epoch=8)  # statistics move
    state = theirs(net)
    assert any(key.endswith("num_batches_tracked") for key in state)
    if form == "arrays":
        state = {key: value.numpy() for key, value in state.items()}
    if form == "without counters":
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    before = dict(state)
    back = weights.from_authors(name, state)
    x = torch.randn(1, 2, 700)
    assert torch.equal(net.eval()(x, per_epoch=8), back(x, per_epoch=8)) and not back.training
    assert back.settings == net.settings
    assert state.keys() == before.keys()  # what was given is left alone


@each_network
def test_any_array_that_is_missing_is_missed(name):
    state = theirs(models.build(name, depth=2))
    for key in state:
        if not key.endswith("num_batches_tracked"):
            with pytest.raises(SleeplibError, match=r"missing|do not fit together"):
                weights.from_authors(name, {k: v for k, v in state.items() if k != key})


@each_network
def test_arrays_that_do_not_fit_are_refused(name):
    state = theirs(models.build(name, depth=2))
    with pytest.raises(SleeplibError, match=r"no place for the authors' encoders\.9\.enc\.1"):
        weights.from_authors(name, state | {"encoders.9.enc.1": np.zeros(3)})
    with pytest.raises(SleeplibError, match="do not fit together"):
        weights.from_authors(name, state | {"connector.0.bias": np.zeros(4)})
    with pytest.raises(SleeplibError, match="missing"):
        weights.from_authors(name, {})


def test_state_dicts_of_other_networks_are_refused():
    states = {name: theirs(models.build(name, depth=2)) for name in NETWORKS}
    for name in NETWORKS:
        for other in NETWORKS:
            if name != other:
                with pytest.raises(SleeplibError):
                    weights.from_authors(name, states[other])
