"""Long nights in segments: the same result as the plain network on the whole night."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib import inference, models
from sleeplib.inference import nights, segments, unet
from sleeplib.models.usleep import USleepSettings
from sleeplib.staging import WINDOW, networks

NAMES = ["usleep", "anysleep", "anysleep-early", "anysleep-late"]


@pytest.fixture
def short(monkeypatch):
    """Nights over three epochs are long, and their segments a little over one."""
    monkeypatch.setattr(segments, "LONGEST", 3 * 3840)
    monkeypatch.setattr(segments, "PART", 5000)
    monkeypatch.setattr(unet, "PIECE", 3840)
    monkeypatch.setattr(unet, "CACHE", 5000)


def night_network(name, **given):
    """Its batch normalisation has statistics, so that it shows where zeros are put."""
    torch.manual_seed(1)
    network = models.build(name, **{"depth": 5, "complexity": 0.3} | given).double()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    return network.eval()


def plain(network, x, per_epoch):
    with torch.no_grad():
        return network(x[None], per_epoch)[0].softmax(-1)


def loud(channels, samples, seed=0):
    """Channels whose loudness changes along the night, so that no part of it has the mean of all of it."""
    x = torch.randn(channels, samples, dtype=torch.float64, generator=torch.manual_seed(seed))
    return x * torch.linspace(0.2, 2, samples, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [8 * 3840, 8 * 3840 - 96, 30_001, 30_002, 29_989])
def test_a_long_night_is_the_plain_night(name, samples, short):
    network, x = night_network(name), loud(2, samples)
    assert len(nights.segments(samples, network.settings)) > 4
    for per_epoch in (1, 5, 3840):
        staged = inference.night_posteriors(network, x, per_epoch=per_epoch, pairs="mean")
        exact = plain(network, x, per_epoch)
        assert staged.shape == exact.shape and (staged - exact).abs().max() < 1e-10


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(NAMES), st.integers(1, 6), st.sampled_from([1, 3, 8, 9]), st.integers(2500, 9000),
    st.integers(100, 2500), st.sampled_from([60, 128]),
)  # fmt: skip
def test_any_depth_kernel_and_length(name, depth, kernel, samples, part, per_epoch):
    network = night_network(name, depth=depth, kernel=kernel, epoch_seconds=15)
    x = loud(2, samples, samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "LONGEST", 2000)
        patch.setattr(segments, "PART", part)
        ours = inference.posteriors_at(network, x, [per_epoch, 4], pairs="mean")
    assert (ours[0] - plain(network, x, per_epoch)[: len(ours[0])]).abs().max() < 1e-10
    assert (ours[1] - plain(network, x, 4)[: len(ours[1])]).abs().max() < 1e-10


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("samples", [8 * 3840, 30_001])
def test_attention_is_that_of_the_whole_night(name, samples, short):
    network, x = night_network(name), loud(3, samples)
    with torch.no_grad():
        exact = network.attention(x[None])[0]
    assert (inference.attention(network, x) - exact).abs().max() < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_sets_of_channels_of_a_long_night(name, short):
    network, x = night_network(name), loud(3, 30_001)
    sets = [[0, 1], [2, 0]]
    for rows, ours in zip(sets, inference.posteriors_of_sets(network, x, sets), strict=True):
        assert (ours - plain(network, x[rows], 1)).abs().max() < 1e-10


@settings(deadline=None)
@given(st.integers(segments.LONGEST + 1, 10**8), st.sampled_from([1, 30, 3840]))
def test_segments_share_the_night_among_them(samples, size):
    found = segments.segments(samples, USleepSettings())
    assert [s.last for s in found[:-1]] == [s.first for s in found[1:]]
    assert found[0].start == found[0].first == 0 and found[-1].stop == found[-1].last == samples
    end = 0
    for s in found:
        stages = s.stages(samples + samples % 2, size)
        assert stages.start + s.start == end and stages.step == size
        end = stages.stop + s.start
    assert end == (samples + samples % 2) // size * size
    for s in found:
        assert s.stop - s.start < 1.2 * segments.PART  # bounded, whatever the night
        for level in range(s.depth + 1):
            first, last = s.columns(level)
            assert last > first >= 0


def test_half_a_day_is_looked_at_in_one_part():
    assert len(segments.segments(segments.LONGEST, USleepSettings())) == 1


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_attention_in_windows_of_a_long_night(name, monkeypatch):
    network, x, window = night_network(name), loud(3, 9 * 3840).numpy(), 2 * 3840
    at, whole = networks.posteriors(network, x, ["EEG"] * 3, [1, 128], window)
    monkeypatch.setattr(segments, "LONGEST", 3 * 3840)
    monkeypatch.setattr(segments, "PART", window)
    in_segments, found = networks.posteriors(network, x, ["EEG"] * 3, [1, 128], window)
    assert found.shape == whole.shape == (5, 3) and abs(found - whole).max() < 1e-6
    assert all(abs(in_segments[n] - at[n]).max() < 1e-6 for n in at)


def test_segments_hold_whole_windows_of_attention():
    """Where windows begin anew in each segment, they begin where they would in the whole night."""
    assert segments.PART % (WINDOW * 3840) == 0 and segments.PART % (1 << USleepSettings().depth) == 0
