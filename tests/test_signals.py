"""Signals against naive references."""

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib import signals
from sleeplib.errors import SleeplibError


def naive_image(x, rate=100):
    """Section III-A with loops: 2-s frames, 1-s hop, symmetric Hamming, 256-point DFT, 20 log10 |X|."""
    size = 2 * rate
    taper = np.array([0.54 - 0.46 * np.cos(2 * np.pi * n / (size - 1)) for n in range(size)])
    dft = np.exp(-2j * np.pi * np.outer(np.arange(129), np.arange(size)) / 256)
    frames = [x[start : start + size] for start in range(0, len(x) - size + 1, rate)]
    return np.array([20 * np.log10(np.abs(dft @ (frame * taper))) for frame in frames])


def test_image_equals_the_naive_one():
    x = np.random.default_rng(0).normal(size=3000)
    image = signals.log_power_image(x)
    assert image.shape == (29, 129) and image.dtype == np.float32
    assert np.abs(image - naive_image(x)).max() < 1e-4


def test_image_equals_the_reference_vector(shared):
    reference = np.load(shared / "reference/vectors/seqsleepnet_stft.npz")["image"]
    x = np.random.RandomState(3).standard_normal(3000)
    assert np.abs(signals.log_power_image(x) - reference).max() < 1e-5


def test_image_of_many_epochs_and_of_short_ones():
    x = np.random.default_rng(1).normal(size=(4, 2, 500)).astype(np.float32)
    images = signals.log_power_image(x)
    assert images.shape == (4, 2, 4, 129)
    assert np.allclose(images[2, 1], naive_image(x[2, 1]), atol=1e-2)


def test_a_tone_stands_in_its_bin_and_last_frame_ends_with_the_epoch():
    t = np.arange(3000) / 100
    image = signals.log_power_image(np.sin(2 * np.pi * 12.5 * t))
    assert (image.argmax(1) == 32).all()  # 12.5 Hz * 256 / 100
    click = np.zeros(3000)
    click[-1] = 1
    image = signals.log_power_image(click)
    silence = 20 * np.log10(signals.SILENCE)
    assert np.allclose(image[:-1], silence) and (image[-1] > silence).all()


def test_a_flat_channel_has_a_floor_and_no_infinities():
    assert np.isfinite(signals.log_power_image(np.zeros((2, 3000)))).all()


@pytest.mark.parametrize(("x", "rate"), [(np.zeros(30_000), 256.0), (np.zeros(150), 100.0)])
def test_windows_that_do_not_fit(x, rate):
    with pytest.raises(SleeplibError):
        signals.log_power_image(x, rate)


@pytest.mark.parametrize(
    ("rate", "new"), [(256, 100), (200, 128), (100, 128), (512, 100), (1 / 3 * 300, 100)]
)
def test_resampling_keeps_a_tone_and_an_offset(rate, new):
    t = np.arange(0, 20, 1 / rate)
    y = signals.resample(500 + np.sin(2 * np.pi * 7 * t), rate, new)
    expected = 500 + np.sin(2 * np.pi * 7 * np.arange(len(y)) / new)
    inside = slice(new, -new)
    assert len(y) == pytest.approx(20 * new, abs=1)
    assert np.abs(y - expected)[inside].max() < 0.02
    assert np.abs(y - 500).max() < 1.2, "no ringing from the offset at the ends"


@pytest.mark.parametrize(
    ("rate", "new"),
    [(255.983, 128), (199.99, 100), (127.994, 128), (99.9952, 100), (256.0001, 100), (100.00005, 100), (255.9999, 128)],
)  # fmt: skip
def test_a_clock_that_is_a_little_off_keeps_the_time_all_night(rate, new):
    t = np.arange(int(8 * 3600 * rate)) / rate
    y = signals.resample(np.sin(2 * np.pi * 2 * t), rate, new)
    last = np.arange(len(y) - 60 * new, len(y) - new)
    assert len(y) == pytest.approx(8 * 3600 * new, abs=1) and y.dtype == np.float32
    assert np.abs(y[last] - np.sin(2 * np.pi * 2 * last / new)).max() < 2 * np.pi * 2 * 0.5 / new
    click = np.zeros(len(t), np.float32)
    click[-1000] = 1
    assert signals.resample(click, rate, new).argmax() == pytest.approx(t[-1000] * new, abs=1.01)


def test_exact_ratios_have_their_polyphase_filters_and_odd_ones_none_of_gigabytes(monkeypatch):
    x = np.random.default_rng(0).normal(size=(2, 40_000)).astype(np.float32)
    for rate, new, up, down in (
        (256, 100, 25, 64),
        (200, 128, 16, 25),
        (500, 128, 32, 125),
        (1024, 100, 25, 256),
    ):
        expected = scipy.signal.resample_poly(x, up, down, axis=-1, padtype="median")
        assert np.array_equal(signals.resample(x, rate, new), expected)
    filters, real = [], scipy.signal.resample_poly
    monkeypatch.setattr(
        scipy.signal, "resample_poly", lambda x, *r, **k: filters.append(r) or real(x, *r, **k)
    )
    assert signals.resample(x, 1.0000051, 100).shape == (2, 3_999_980)
    assert max(filters[0]) < 500_000, "20 taps for each"


def naive_quantised(row):
    """16 bits from the median to the outermost sample."""
    offset = np.float32(np.median(row))
    scale = np.float32(max(np.abs(row - offset).max() / 32767, 1e-12))
    return np.round((row - offset) / scale).astype(np.int16), scale, offset


def test_ordinary_channels_are_quantised_up_to_their_outermost_sample():
    rng = np.random.default_rng(0)
    loud = rng.normal(7, 20, 60_000)
    loud[500:600] = 8000  # an artefact that the amplifier still measured
    off = rng.normal(0, 0.05, 60_000)  # an electrode that is off for five sixths of the night
    off[50_000:] = rng.normal(0, 20, 10_000)
    flat = np.full(60_000, 3.0)
    clicks = np.where(np.arange(60_000) % 100, 0.0, 500.0)
    x = [row.astype(np.float32) for row in (loud, off, flat, clicks)]
    samples, scale, offset = signals.quantise(x, None)
    for i, row in enumerate(x):
        wanted = naive_quantised(row)
        assert np.array_equal(samples[i], wanted[0]) and (scale[i], offset[i]) == wanted[1:]


def test_saturation_leaves_the_signal_its_bits():
    x = np.random.default_rng(0).normal(0, 5, 60_000).astype(np.float32)
    x[777:790], x[5000:8000] = 262_143, -262_144
    samples, scale, offset = signals.quantise([x], None)
    y = samples[0] * scale[0] + offset[0]
    error = np.delete(y - x, np.r_[777:790, 5000:8000])
    assert np.abs(error).max() < 0.2 and y[780] > 5000 and y[6000] < -5000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1000), st.floats(-1e4, 1e4))
def test_robust_scaling_forgets_gain_and_offset(seed, gain, offset):
    x = np.random.default_rng(seed).normal(size=(2, 400))
    scaled = signals.robust_scale(x)
    assert np.allclose(np.percentile(scaled, 75, axis=-1) - np.percentile(scaled, 25, axis=-1), 1, atol=1e-4)
    assert np.allclose(np.median(scaled, axis=-1), 0, atol=1e-5)
    assert np.allclose(signals.robust_scale(gain * x + offset), scaled, atol=1e-3)


def test_a_constant_channel_is_only_centred_and_clipping_clips():
    assert signals.robust_scale(np.full((1, 9), 7.0)).tolist() == [[0.0] * 9]
    assert signals.clip(np.array([-30.0, 3, 25])).tolist() == [-20, 3, 20]


def naive_standardised(images):
    """Bin by bin: subtract the mean over all epochs and frames of the recording, divide by the standard deviation."""
    out = np.empty(images.shape)
    for c in range(images.shape[1]):
        for f in range(images.shape[3]):
            values = images[:, c, :, f]
            mean = values.sum() / values.size
            spread = np.sqrt(((values - mean) ** 2).sum() / values.size)
            out[:, c, :, f] = (values - mean) / (spread if spread > 1e-3 else 1)
    return out


def test_standardised_images_equal_the_naive_ones():
    rng = np.random.default_rng(2)
    images = rng.normal(
        rng.uniform(-20, 40, (1, 2, 1, 129)), rng.uniform(1, 9, (1, 2, 1, 129)), (6, 2, 29, 129)
    )
    found = signals.standardise(images.astype(np.float32))
    assert found.dtype == np.float32 and found.shape == images.shape
    assert np.abs(found - naive_standardised(images)).max() < 1e-4
    assert np.abs(found[0].std(axis=1) - 1).max() > 0.1, "over the recording, not epoch by epoch"


def test_standardised_images_forget_gain_and_filter():
    x = np.random.default_rng(3).normal(0, 20, (8, 1, 3000))
    filtered = np.fft.irfft(np.fft.rfft(x) * np.linspace(2, 0.2, 1501), 3000)
    a, b, c = (signals.standardise(signals.log_power_image(y)) for y in (x, 7 * x, filtered))
    assert np.abs(a - b).max() < 1e-3
    assert np.corrcoef(a.ravel(), c.ravel())[0, 1] > 0.95
    plain = np.corrcoef(signals.log_power_image(x).ravel(), signals.log_power_image(filtered).ravel())[0, 1]
    assert plain < 0.85, "without it the filter would show"


def test_a_silent_channel_is_standardised_to_zeros():
    x = np.random.default_rng(4).normal(0, 20, (3, 2, 3000))
    x[:, 1] = 0
    found = signals.standardise(signals.log_power_image(x))
    assert np.isfinite(found).all() and np.abs(found[:, 1]).max() < 1e-3 < found[:, 0].std()


def test_images_do_not_depend_on_how_many_are_made_at_a_time():
    x = np.random.default_rng(0).normal(size=(2, 37, 3000)).astype(np.float32).swapaxes(0, 1)
    images = signals.log_power_image(x)
    assert images.shape == (37, 2, 29, 129) and images.dtype == np.float32
    np.testing.assert_array_equal(images, [signals.log_power_image(epoch) for epoch in x])
    np.testing.assert_array_equal(signals.log_power_image(x[5, 1]), images[5, 1])
    assert signals.log_power_image(x[:0]).shape == (0, 2, 29, 129)
