"""Computational steps against figure 6 of AnySleep, operations against a count by hand."""

import numpy as np
import pytest

from sleeplib import models
from sleeplib.analysis import cost
from sleeplib.errors import SleeplibError

CHANNELS = [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (4, 2)]  # EEG, EOG
FIGURE_6 = {
    "anysleep-early": [31, 32, 33, 33, 34, 35],
    "anysleep": [49, 61, 73, 73, 85, 97],
    "anysleep-late": [50, 74, 98, 98, 122, 146],
    "usleep": [26, 51, 76, 101, 151, 201],
}


@pytest.mark.parametrize("name", FIGURE_6)
def test_steps_are_those_of_figure_6(name):
    assert [cost.steps(name, *channels) for channels in CHANNELS] == FIGURE_6[name]


def test_steps_as_they_are_have_13_attention_modules_and_every_connector():
    steps = {name: cost.steps(name, 2, 1, as_published=False) for name in FIGURE_6}
    assert steps == {"anysleep-early": 33, "anysleep": 65, "anysleep-late": 77, "usleep": 53}


def by_hand(network, channels, samples):
    """Operations of AnySleep: 2 for each weight of a convolution at each sample, and of each attention module."""
    total, length = 0, samples
    for encoder in network.unet.encoders:
        total += channels * 2 * encoder.convolution.conv.weight.numel() * length
        length = -(-length // 2)
    total += channels * 2 * network.unet.connector.conv.weight.numel() * length
    for fusion in network.fusions:
        total += channels * 2 * (fusion.scores.hidden.weight.numel() + fusion.scores.score.weight.numel())
    for level, decoder in enumerate(network.unet.decoders, start=1):
        length = samples >> (network.settings.depth - level)
        total += 2 * (decoder.up.conv.weight.numel() + decoder.merge.conv.weight.numel()) * length
    head = network.classifier
    stages = samples // head.samples
    weights = head.project.weight.numel() + head.last.weight.numel()
    return total + 2 * head.mix.weight.numel() * samples + 2 * weights * stages


def test_operations_are_counted_as_by_hand():
    network = models.build("anysleep", depth=4).train()
    counted, expected = cost.flops(network, 3, 2 * 3840), by_hand(network, 3, 2 * 3840)
    fusing = 2 * 3 * sum(w * (7680 >> min(level, 4)) for level, w in enumerate(network.settings.widths))
    assert counted in (expected, expected + fusing), "torch may count the weighted sums as matrix products"
    assert network.training


@pytest.mark.parametrize("training", [True, False])
def test_a_networks_mode_outlives_an_error(training):
    network = models.build("usleep", depth=4).train(training)
    with pytest.raises(SleeplibError, match="takes 2 channels"):
        cost.flops(network, 3, 3840)
    assert network.training == training


def test_channels_cost_an_encoder_each():
    night = 4 * 3840
    network, one = models.build("anysleep", depth=4), models.build("usleep", depth=4)
    more = [cost.flops(network, channels, night) for channels in (2, 3, 4)]
    assert more[2] - more[1] == more[1] - more[0]
    assert more[0] - (more[1] - more[0]) < cost.flops(one, 2, night) < more[0], "U-Sleep encodes once"


def test_what_cannot_be_staged_has_no_cost():
    with pytest.raises(SleeplibError, match="1 EEG and 0 EOG"):
        cost.steps("usleep", 1, 0)
    with pytest.raises(SleeplibError, match="'seqsleepnet'; it has"):
        cost.steps("seqsleepnet", 1, 1)


def test_seconds_and_memory_are_those_of_another_process():
    settings = {"depth": 4, "complexity": 0.3}
    seconds, small = cost.measure("usleep", [(1, 1), (4, 2)], 0.05, threads=1, **settings)
    assert len(seconds) == 2 and 0 < seconds[0] < seconds[1]  # one pair, eight pairs
    ballast = np.ones(2**26)  # 512 MiB here; the other process does not know
    _, again = cost.measure("usleep", [(4, 2)], 0.05, threads=1, **settings)
    _, large = cost.measure("usleep", [(4, 2)], 2.0, threads=1, **settings)
    assert ballast.nbytes and 100 < small < large and again < small + 100
    with pytest.raises(SleeplibError, match="takes an EEG and an EOG channel"):
        cost.measure("usleep", [(2, 0)], 0.05, threads=1, **settings)
