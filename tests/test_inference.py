"""Fusing decisions, and whole nights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib import inference, models, readers, store
from sleeplib.errors import SleeplibError
from sleeplib.inference import nights
from sleeplib.preparation import ANYSLEEP, Preparation
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


def night_network(name, dtype=torch.float64):
    """A narrow night network whose maps are long enough for several pieces."""
    torch.manual_seed(1)
    return models.build(name, depth=9, complexity=0.3).to(dtype).eval()


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(nights, "PIECE", 2 * 3840)


@pytest.fixture
def signals():
    """Five channels of different loudness, 6 epochs and a rest of an odd number of samples."""
    loud = torch.tensor([1.0, 3.0, 0.3, 2.0, 0.5], dtype=torch.float64)[:, None]
    return loud * torch.randn(5, 6 * 3840 + 777, dtype=torch.float64, generator=torch.manual_seed(0))


FUSING = ["anysleep", "anysleep-early", "anysleep-late"]


@pytest.mark.parametrize("name", FUSING)
def test_a_night_in_pieces_is_the_plain_night(name, signals, short_pieces):
    network = night_network(name)
    for samples, per_epoch in ((6 * 3840, 1), (signals.shape[1], 1), (signals.shape[1], 256), (3840, 3840)):
        x = signals[:, :samples]
        with torch.no_grad():
            plain = network(x[None], per_epoch)[0].softmax(-1)
        staged = inference.night_posteriors(network, x, per_epoch=per_epoch)
        assert staged.shape == plain.shape and (staged - plain).abs().max() < 1e-10


@pytest.mark.parametrize("name", FUSING)
def test_pieces_round_no_worse_than_the_plain_night(name, signals, short_pieces):
    network, single = night_network(name), night_network(name, torch.float32)
    for per_epoch, tolerance in ((1, 1e-5), (3840, 1e-3)):
        with torch.no_grad():
            exact = network(signals[None], per_epoch)[0].softmax(-1)
            plain = single(signals.float()[None], per_epoch)[0].softmax(-1)
        staged = inference.night_posteriors(single, signals, per_epoch=per_epoch)
        assert (staged - exact).abs().max() < 3 * (plain - exact).abs().max() + 1e-6
        assert (staged - plain).abs().max() < tolerance


@pytest.mark.parametrize("name", FUSING)
def test_attention_is_that_of_the_plain_night(name, signals, short_pieces):
    network = night_network(name)
    with torch.no_grad():
        plain = network.attention(signals[None])[0]
    weights = inference.attention(network, signals)
    assert torch.allclose(weights, plain, atol=1e-10)
    assert torch.allclose(weights.sum(1), torch.ones(len(weights), dtype=torch.float64))


def test_several_heads_of_late_fusion_are_averaged(signals, short_pieces):
    torch.manual_seed(0)
    network = models.build("anysleep-late", depth=3, heads=3).double().eval()
    with torch.no_grad():
        plain = network(signals[None])[0].softmax(-1)
    assert torch.allclose(inference.night_posteriors(network, signals), plain, atol=1e-10)


def test_scores_far_apart_neither_overflow_nor_vanish(signals, short_pieces):
    network = night_network("anysleep")
    with torch.no_grad():
        for fusion in network.fusions:
            fusion.scores.score.weight *= 1e4
        plain = network(signals[None])[0].softmax(-1)
    assert torch.allclose(inference.night_posteriors(network, signals), plain, atol=1e-10)


def test_u_sleep_lets_every_pair_vote(signals, short_pieces):
    network, kinds = night_network("usleep"), ("EEG", "EOG", "EEG", "EOG", "EEG")
    rows = [[0, 1], [0, 3], [2, 1], [2, 3], [4, 1], [4, 3]]
    with torch.no_grad():
        each = torch.stack([network(signals[pair][None], 8)[0] for pair in rows])  # (pairs, N, 5)
    votes = torch.nn.functional.one_hot(each.argmax(-1), 5).sum(0)
    shares = inference.night_posteriors(network, signals, kinds, per_epoch=8)
    assert torch.allclose(shares.sum(1), torch.ones(len(votes), dtype=torch.float64))
    assert (shares - votes / 6).abs().max() < 1e-3
    elected = votes.gather(1, shares.argmax(1, keepdim=True))[:, 0]
    assert (elected == votes.max(1).values).all()
    mean = inference.night_posteriors(network, signals, kinds, per_epoch=8, pairs="mean")
    assert torch.allclose(mean, each.softmax(-1).mean(0))


def test_ties_are_broken_at_random_and_the_same_way_again():
    tied = [torch.eye(5)[[stage]].expand(4000, 5) for stage in (1, 1, 3, 3, 4)]
    elected = nights.elect(tied, seed=0).argmax(1)
    assert torch.equal(elected, nights.elect(tied, seed=0).argmax(1))
    assert not torch.equal(elected, nights.elect(tied, seed=1).argmax(1))
    assert set(elected.tolist()) == {1, 3} and abs((elected == 1).double().mean() - 0.5) < 0.05


@pytest.mark.parametrize("name", models.NIGHT_NETWORKS)
@pytest.mark.parametrize("per_epoch", [1, 128])
def test_night_networks_stage_a_recording_at_any_resolution(night, name, per_epoch):
    network = night_network(name, torch.float32).train()
    posteriors = inference.stage(night, network, per_epoch)
    assert posteriors.shape == (25 * per_epoch, 5) and posteriors.dtype == np.float32
    assert np.allclose(posteriors.sum(1), 1, atol=1e-5) and network.training
    without_chin = {"EEG": "C4-M1", "EOG1": "E1-M2", "EOG2": "E2-M2"}
    assert np.array_equal(posteriors, inference.stage(night, network, per_epoch, without_chin))


def test_a_night_networks_own_preparation_decides(night):
    network = night_network("anysleep", torch.float32)
    network.preparation = Preparation(**ANYSLEEP | {"montage": {"EEG": "C4-M1"}})
    assert np.array_equal(
        inference.stage(night, network), inference.stage(night, network, montage={"EEG": "C4-M1"})
    )
    everything = night_network("anysleep", torch.float32)
    assert not np.array_equal(inference.stage(night, network), inference.stage(night, everything))


def test_eeg_and_eog_channels_are_told_by_their_names():
    eeg = ["EEG Fpz-Cz", "C4-M1", "F3", "O2-A1", "Fp1-A2", "POz", "T3 - A2"]
    eog = ["EOG horizontal", "E1-M2", "LOC-A2", "ROC", "Left EOG", "EOG(R)"]
    others = ["Chin1-Chin2", "EMG", "ECG", "SpO2", "Flow", "Pleth", "Thor", "Position", "M1", "CPAP", "F"]
    names = others + eeg + eog
    montage = inference.eeg_and_eog(Recording([np.zeros(1)] * len(names), [1.0] * len(names), names))
    assert list(montage) == [f"EEG {name}" for name in eeg] + [f"EOG {name}" for name in eog]
    with pytest.raises(SleeplibError, match="no EEG or EOG among ECG"):
        inference.eeg_and_eog(Recording([np.zeros(1)], [1.0], ["ECG"]))


def test_what_night_networks_cannot_stage_is_told(night, signals):
    network, u_sleep = night_network("anysleep"), night_network("usleep")
    with pytest.raises(SleeplibError, match="7 stages per epoch"):
        inference.stage(night, network, per_epoch=7)
    with pytest.raises(SleeplibError, match="an EEG and an EOG channel; here are EEG, EEG"):
        inference.stage(night, u_sleep, montage={"EEG1": "C4-M1", "EEG2": "E1-M2"})
    with pytest.raises(SleeplibError, match="100 samples are shorter than one stage"):
        inference.night_posteriors(network, signals[:, :100])
    with pytest.raises(SleeplibError, match="takes signals"):
        inference.night_posteriors(network, signals[0])
    with pytest.raises(SleeplibError, match="5 channels and 2 kinds"):
        inference.night_posteriors(u_sleep, signals)
    with pytest.raises(SleeplibError, match="'median' is not known"):
        inference.night_posteriors(u_sleep, signals[:2], pairs="median")
    with pytest.raises(SleeplibError, match="USleep does not weigh channels"):
        inference.attention(u_sleep, signals)


def test_staging_gives_torch_its_threads_back(signals):
    threads = torch.get_num_threads()
    inference.night_posteriors(night_network("anysleep"), signals)
    assert torch.get_num_threads() == threads and not torch.is_inference_mode_enabled()
