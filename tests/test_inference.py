"""Fusing decisions, and whole nights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib import inference, models, readers, store
from sleeplib.errors import SleeplibError
from sleeplib.preparation import Preparation
from sleeplib.recording import Hypnogram, Recording
from tests.models import naive


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 99))
def test_fusion_equals_equations_16_to_18_at_every_epoch(windows, L, seed):
    torch.manual_seed(seed)
    decisions = torch.randn(windows, L, 5, dtype=torch.float64).log_softmax(-1)
    posteriors = inference.fuse(decisions)
    mean_log = naive.fuse(decisions.numpy())
    assert posteriors.shape == (windows + L - 1, 5)
    assert (posteriors.argmax(-1).numpy() == mean_log.argmax(-1)).all()
    expected = np.exp(mean_log) / np.exp(mean_log).sum(-1, keepdims=True)
    assert np.abs(posteriors.numpy() - expected).max() < 1e-12


def test_fusion_is_the_product_of_probabilities():
    p = torch.tensor([[0.6, 0.4], [0.1, 0.9]], dtype=torch.float64)
    decisions = (
        p.log().view(2, 1, 2).expand(2, 2, 2)
    )  # two windows of two epochs, the same verdict at both positions
    middle = inference.fuse(decisions)[1]
    product = (p[0] * p[1]).sqrt()
    assert torch.allclose(middle, product / product.sum())


def test_fusion_of_three_heads_is_the_product_over_neighbours():
    """Multitask networks: heads of epochs 1 ... N-2 for the epoch before, itself and the next are windows of three."""
    logits = torch.randn(40, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before, own, after = logits.softmax(-1).unbind(1)
    product = torch.ones(42, 5, dtype=torch.float64)
    for head, first in ((before, 0), (own, 1), (after, 2)):
        product[first : first + 40] *= head
    fused = inference.fuse(logits.log_softmax(-1))
    assert (fused.argmax(-1) == product.argmax(-1)).all()
    assert torch.allclose(fused[0], before[0]) and torch.allclose(fused[-1], after[-1])


def test_many_certain_decisions_do_not_underflow():
    decisions = torch.full((400, 200, 5), -300.0)
    decisions[..., 2] = 0
    assert torch.equal(inference.fuse(decisions).argmax(-1), torch.full((599,), 2))


@pytest.fixture
def night():
    rng = np.random.default_rng(0)
    names = ["C4-M1", "E1-M2", "E2-M2", "Chin1-Chin2"]
    return Recording(
        [rng.normal(0, 30, 128 * 30 * 25 + 500) for _ in names], [128.0] * 4, names, id="night 1"
    )


def test_a_night_is_staged_from_its_first_epoch_to_its_last_whole_one(night):
    posteriors = inference.stage(night, models.build("seqsleepnet", sequence_length=10))
    assert posteriors.shape == (25, 5) and np.allclose(posteriors.sum(1), 1, atol=1e-5)


def test_a_night_shorter_than_a_sequence_is_staged_too(night):
    assert inference.stage(night, models.build("seqsleepnet", sequence_length=40)).shape == (25, 5)


def test_the_networks_own_preparation_decides(night):
    network = models.build("e2e-arnn", channels=1)
    network.preparation = Preparation({"EEG": "E1-M2"})
    alone = inference.stage(night, network)
    assert np.array_equal(alone, inference.stage(night, network, montage={"EEG": "E1-M2"}))
    assert not np.array_equal(alone, inference.stage(night, network, montage={"EEG": "C4-M1"}))


def test_staging_leaves_the_network_as_it_was(night):
    network = models.build("e2e-arnn").train()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    inference.stage(night, network)
    assert network.training and all(
        torch.equal(state[key], value) for key, value in network.state_dict().items()
    )


def test_what_cannot_be_staged_is_told(night):
    network = models.build("e2e-arnn")
    with pytest.raises(SleeplibError, match="no channel 'O1'"):
        inference.stage(night, network, montage={"EEG": "O1", "EOG": "E1-M2", "EMG": "Chin1-Chin2"})
    with pytest.raises(SleeplibError, match="takes 3 channels"):
        inference.stage(night, network, montage={"EEG": "C4-M1"})
    with pytest.raises(SleeplibError, match="one stage per epoch, not 128"):
        inference.stage(night, network, per_epoch=128)
    night.signals = [x[:1000] for x in night.signals]
    with pytest.raises(SleeplibError, match="shorter than an epoch"):
        inference.stage(night, network)


def test_a_clinical_file_can_be_staged(shared):
    recording = readers.read(shared / "data/edf-samples/dreams-excerpt3.edf")
    montage = {"EEG": "C3-A1", "EOG": "EOG1-A1 - EOG2-A1", "EMG": "EMG1"}
    assert inference.stage(recording, models.build("seqsleepnet"), montage=montage).shape == (60, 5)


@pytest.mark.parametrize("images", ["dB", "standardised"])
def test_the_store_and_the_recording_give_the_same_posteriors(night, tmp_path, images):
    """What a network was trained on, images from the store, is what it sees when it stages a recording."""
    rng = np.random.default_rng(1)
    night.id = "night"
    night.hypnogram = Hypnogram(rng.integers(0, 5, 25))
    louder = np.repeat(rng.uniform(0.1, 4, 26), 128 * 30)[: night.signals[0].size]
    night.signals = [x * louder for x in night.signals]
    preparation = Preparation(inference.PAPER_MONTAGE, images=images)
    sidecar = store.add(night, tmp_path, preparation)
    store.write_index(tmp_path, [sidecar], preparation, cohort="toy", title="Toy", simulated=True)
    torch.manual_seed(0)
    network = models.build("seqsleepnet", sequence_length=10)
    with torch.no_grad():
        network.classify.weight *= 100  # untrained networks hardly look at what they see
    network.preparation = preparation
    stored = inference.posteriors(network, torch.from_numpy(store.Store(tmp_path).images(0))).numpy()
    direct = inference.stage(night, network)
    network.preparation = replace(preparation, images={"dB": "standardised", "standardised": "dB"}[images])
    other = inference.stage(night, network)
    assert np.abs(other - direct).max() > 0.1, "the other images are other images"
    assert np.abs(stored - direct).max() < 0.1 * direct.std(axis=0).max(), "less than epochs differ"


def test_unknown_images_get_one_clear_line():
    with pytest.raises(SleeplibError, match="'mel' is not known; choose dB or standardised") as error:
        Preparation(inference.PAPER_MONTAGE, images="mel")
    assert "\n" not in str(error.value)
