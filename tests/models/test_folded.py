"""Folded maps: the same convolutions and decoders, to the last bits of double precision."""

import pytest
import torch

from sleeplib.models.anysleep import EncodedChannelAttention, LateFusionSettings
from sleeplib.models.folded import (
    COME,
    FOLD,
    SPLIT,
    Coarse,
    CoarseDecoder,
    Folded,
    FoldedChannelEncoder,
    FoldedClassifier,
    FoldedDecoder,
    elu_,
    halve,
    rows_of,
)  # fmt: skip
from sleeplib.models.usleep import Classifier, Convolution, Decoder, Encoder, USleepSettings


def trained(layer):
    """With statistics and gains of any sign, as training may leave them."""
    for norm in (m for m in layer.modules() if isinstance(m, torch.nn.BatchNorm1d)):
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.data.normal_()
        norm.running_var.uniform_(0.5, 2)
    return layer.double().eval()


def folded(x, order=COME):
    """A map (1, F, T) as rows (T / FOLD, FOLD * F)."""
    return x[0].T.reshape(-1, FOLD, x.shape[1])[:, list(order)].flatten(1)


@pytest.mark.parametrize("kernel", [1, 2, 3, 8, 9, 13, 21])
@pytest.mark.parametrize("filters", [(1, 3), (5, 2)])
def test_a_folded_convolution_is_the_convolution(kernel, filters):
    torch.manual_seed(0)
    layer = trained(Convolution(*filters, kernel))
    x = torch.randn(1, filters[0], 10 * FOLD, dtype=torch.float64)
    with torch.inference_mode():
        for order, out in ((COME, SPLIT), (SPLIT, COME)):
            fold = Folded.same(layer, order, out=out)
            rows = folded(x, order)
            found = fold(rows_of(rows, -fold.before, len(rows) + fold.after))
            assert torch.allclose(found, folded(layer(x), out), rtol=0, atol=1e-12)
            middle = fold(rows_of(rows, 4 - fold.before, 7 + fold.after))
            assert torch.allclose(middle, found[4:7], rtol=0, atol=1e-12)


def test_halves_of_a_row_are_the_pairs():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 8 * FOLD, dtype=torch.float64)
    even, odd = folded(x, SPLIT).chunk(2, dim=1)
    halved = torch.maximum(even, odd).view(-1, 3).T[None]
    assert torch.equal(halved, Encoder.halve(x)[1])


@pytest.mark.parametrize("kernel", [2, 9, 10])
def test_a_folded_decoder_is_the_decoder_in_any_pieces(kernel):
    torch.manual_seed(0)
    layer = trained(Decoder(5, 3, kernel))
    x = torch.randn(1, 5, 6 * FOLD, dtype=torch.float64)
    skip = torch.randn(1, 3, 12 * FOLD, dtype=torch.float64)
    with torch.inference_mode():
        expected = folded(layer(x, skip))
        decoder, low = FoldedDecoder(layer), x[0].T.reshape(-1, FOLD // 2 * 5)
        for step in (1, 5, 12):
            parts = [
                decoder(low, folded(skip, SPLIT), first, min(first + step, 12))
                for first in range(0, 12, step)
            ]
            assert torch.allclose(torch.cat(parts), expected, rtol=0, atol=1e-12)


def test_elu_is_elu():
    for dtype, tolerance in ((torch.float64, 1e-15), (torch.float32, 1e-7)):
        x = torch.cat([torch.linspace(-40, 40, 1001), torch.tensor([0.0, -1e-9, -1e4, 1e4])]).to(dtype)
        assert torch.allclose(elu_(x.clone()), torch.nn.functional.elu(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("samples", [8 * 3840, 3840 + 3])
def test_a_folded_classifier_is_the_classifier_at_every_resolution(samples):
    torch.manual_seed(0)
    layer = Classifier(USleepSettings()).double().eval()
    x = torch.randn(1, 6, samples, dtype=torch.float64)
    resolutions = (1, 2, 3, 640, 1280, 1920, 3840) if samples % 3840 == 0 else (3840, 1280)
    with torch.inference_mode():
        found = FoldedClassifier(layer)(x, [3840 // n for n in resolutions])
        for n, logits in zip(resolutions, found, strict=True):
            assert torch.allclose(logits, layer(x, n), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 2, 8, 9])
def test_a_coarse_convolution_and_its_pairs_are_those_of_the_encoder(kernel):
    torch.manual_seed(0)
    layer = trained(Encoder(5, 3, kernel))
    for samples in (1, 8, 13):
        x = torch.randn(1, samples, 5, dtype=torch.float64).mT  # lies in memory as (T, F)
        with torch.inference_mode():
            for ours, its in zip(halve(Coarse(layer.convolution)(x)), layer(x), strict=True):
                assert ours.shape == its.shape and torch.allclose(ours, its, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "longer"), [(9, 0), (9, 2), (10, 0), (2, 2)])
def test_a_coarse_decoder_is_the_decoder(kernel, longer):
    torch.manual_seed(0)
    layer = trained(Decoder(5, 3, kernel))
    x = torch.randn(1, 7, 5, dtype=torch.float64).mT
    skip = torch.randn(1, 14 - longer, 3, dtype=torch.float64).mT
    with torch.inference_mode():
        assert torch.allclose(CoarseDecoder(layer)(x, skip), layer(x, skip), rtol=0, atol=1e-12)


def test_the_mean_of_a_channel_encoder_needs_no_second_convolution():
    torch.manual_seed(0)
    encoder = trained(EncodedChannelAttention(6, LateFusionSettings())).encoder
    x = torch.randn(1, 20 * 32 + 17, 6, dtype=torch.float64).mT
    with torch.inference_mode():
        folded_encoder, rows = FoldedChannelEncoder(encoder), x[0].T
        parts = [folded_encoder(rows, slice(first, min(first + 7, 19))) for first in range(0, 19, 7)]
        found = folded_encoder.mean(parts)
        assert torch.allclose(found, encoder(x).mean(-1)[0], rtol=0, atol=1e-12)
