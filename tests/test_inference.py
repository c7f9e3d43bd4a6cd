"""Fusing decisions, and whole nights."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib import inference, models, readers, store
from sleeplib.errors import SleeplibError
from sleeplib.inference import nights, unet
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
    monkeypatch.setattr(unet, "PIECE", 2 * 3840)
    monkeypatch.setattr(unet, "CACHE", 5000)


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


def test_many_channels_are_the_plain_night(short_pieces):
    """Of more than a few, the maps of two levels more are made again."""
    network = night_network("anysleep")
    x = torch.randn(nights.FEW + 1, 6 * 3840, dtype=torch.float64, generator=torch.manual_seed(0))
    with torch.no_grad():
        plain = network(x[None], 8)[0].softmax(-1)
    assert (inference.night_posteriors(network, x, per_epoch=8) - plain).abs().max() < 1e-10


@pytest.mark.parametrize("name", [*FUSING, "usleep"])
def test_several_resolutions_are_those_one_by_one(name, signals, short_pieces, monkeypatch):
    network, kinds = night_network(name), ("EEG", "EOG", "EEG", "EOG", "EEG")
    resolutions, x, looked_at = (1, 6, 256, 3840), signals[:, : 5 * 3840 + 1], []
    one_by_one = [inference.night_posteriors(network, x, kinds, n) for n in resolutions]
    encode = unet.Pieces.encode
    monkeypatch.setattr(
        unet.Pieces, "encode", lambda self, x, *part: looked_at.append(x) or encode(self, x, *part)
    )
    together = inference.posteriors_at(network, x, resolutions, kinds)
    assert len(looked_at) == {"anysleep-early": 1, "usleep": 6}.get(name, 5)  # once for all resolutions
    for n, alone, ours in zip(resolutions, one_by_one, together, strict=True):
        assert ours.shape == (5 * n, 5)  # the sample that fills no epoch is left out
        assert (ours - alone[: 5 * n]).abs().max() < 1e-10


def test_a_night_too_short_for_two_resolutions_together(signals):
    network, x = night_network("anysleep"), signals[:, :2000]
    assert len(inference.night_posteriors(network, x, per_epoch=2)) == 1
    with pytest.raises(SleeplibError, match="2000 samples are too short for whole stages at all"):
        inference.posteriors_at(network, x, [2, 3])


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


@pytest.mark.parametrize("name", [*FUSING, "usleep"])
def test_sets_of_channels_are_staged_as_one_by_one(name, signals, short_pieces):
    network = night_network(name)
    sets = [[1, 0], [0, 1], [4, 4]] + ([] if name == "usleep" else [[2], [0, 1, 2, 3, 4]])
    staged = list(nights.posteriors_of_sets(network, signals, sets))
    assert len(staged) == len(sets)
    for rows, ours in zip(sets, staged, strict=True):
        with torch.no_grad():
            plain = network(signals[None, rows])[0].softmax(-1)
        assert (ours - plain).abs().max() < 1e-10
    assert not list(nights.posteriors_of_sets(network, signals, []))
    needed = "an EEG and an EOG channel" if name == "usleep" else "one channel or more"
    with pytest.raises(SleeplibError, match=f"takes {needed}, not channels"):
        list(nights.posteriors_of_sets(network, signals, [[0, 1], []]))


def test_a_channel_in_many_sets_is_looked_at_once(signals, monkeypatch):
    network, looked_at = night_network("anysleep"), []
    encode = unet.Pieces.encode
    monkeypatch.setattr(
        unet.Pieces, "encode", lambda self, x, *part: looked_at.append(x) or encode(self, x, *part)
    )
    list(nights.posteriors_of_sets(network, signals, [[0, 1], [1, 3], [3, 0, 1]]))
    assert len(looked_at) == 3


@pytest.mark.parametrize("name", FUSING)
def test_attention_is_that_of_the_plain_night(name, signals, short_pieces):
    network = night_network(name)
    with torch.no_grad():
        plain = network.attention(signals[None])[0]
    weights = inference.attention(network, signals)
    assert torch.allclose(weights, plain, atol=1e-10)
    assert torch.allclose(weights.sum(1), torch.ones(len(weights), dtype=torch.float64))


@pytest.mark.parametrize("given", [{"kernel": 201}, {"kernel": 8}, {"kernel": 1}, {"rate": 2048}])
def test_pieces_fit_any_kernel_and_rate(given, short_pieces):
    torch.manual_seed(1)
    network = models.build("anysleep", depth=3, complexity=0.3, **given).double().eval()
    x = torch.randn(2, 3 * network.classifier.samples + 776, dtype=torch.float64)  # halves thrice
    for per_epoch in (1, 60):
        with torch.no_grad():
            plain = network(x[None], per_epoch)[0].softmax(-1)
        staged = inference.night_posteriors(network, x, per_epoch=per_epoch)
        assert staged.shape == plain.shape and (staged - plain).abs().max() < 1e-10


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


def test_kinds_may_be_an_array(signals):
    network, kinds = night_network("usleep"), ["EOG", "EEG", "EOG", "EEG", "EEG"]
    posteriors = inference.night_posteriors(network, signals, np.array(kinds))
    assert torch.equal(posteriors, inference.night_posteriors(network, signals, kinds))


def test_the_resolution_may_be_any_integer_and_nothing_else(signals):
    network = night_network("anysleep")
    eight = inference.night_posteriors(network, signals, per_epoch=8)
    for same in (np.int64(8), np.uint8(8), np.array(8)):
        assert torch.equal(eight, inference.night_posteriors(network, signals, per_epoch=same))
    for other in (True, np.True_, 8.0, "8", None, np.int64(0), -1):
        with pytest.raises(SleeplibError, match="whole number that divides 3840"):
            inference.night_posteriors(network, signals, per_epoch=other)


def test_arrays_that_torch_cannot_share_are_copied_and_no_others(signals):
    network, x = night_network("anysleep"), signals.numpy()
    read_only = x.copy()
    read_only.flags.writeable = False
    expected = inference.night_posteriors(network, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (x[::-1].copy()[::-1], x[:, ::-1].copy()[:, ::-1], read_only):
            assert torch.equal(expected, inference.night_posteriors(network, same))
    for shared in (x, x[:, : 6 * 3840], x[::2]):
        assert nights.checked(network, shared).data_ptr() == shared.ctypes.data


@pytest.mark.parametrize("name", ["seqsleepnet", "chambon"])
def test_a_spoilt_channel_makes_no_night_of_wake(night, name):
    night.signals[1][5000] = np.nan
    with pytest.raises(SleeplibError, match=r"night 1: samples that are not finite .* in EOG; repair"):
        inference.stage(night, models.build(name))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(night, signals, value):
    signals[1, -1] = signals[4, 0] = value
    for name in models.NIGHT_NETWORKS:
        with pytest.raises(SleeplibError, match=r"not finite .* channels 1, 4, counted from 0; repair"):
            inference.night_posteriors(night_network(name), signals, ["EEG", "EOG", "EEG", "EOG", "EEG"])
    with pytest.raises(SleeplibError, match="channels 1, 4"):
        inference.attention(night_network("anysleep"), signals.numpy())
    night.signals[2][:] = np.nan
    with pytest.raises(SleeplibError, match="channels 2"):
        inference.stage(night, night_network("anysleep", torch.float32))


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
    eog = ["EOG horizontal", "E1-M2", "LOC-Cz", "ROC", "Left EOG", "EOG(R)"]
    others = ["Chin1-Chin2", "EMG", "ECG", "SpO2", "Flow", "Pleth", "Thor", "Position", "CPAP", "F"]
    names = others + eeg + eog
    montage = inference.eeg_and_eog(Recording([np.zeros(1)] * len(names), [128.0] * len(names), names))
    assert list(montage) == [f"EEG {name}" for name in eeg] + [f"EOG {name}" for name in eog]
    with pytest.raises(SleeplibError, match="no EEG or EOG among ECG"):
        inference.eeg_and_eog(Recording([np.zeros(1)], [128.0], ["ECG"]))


def test_electrodes_are_taken_against_the_ear_of_the_other_side():
    names = ["C3", "C4", "M1", "M2", "C3 - M2", "E1"]
    signals = [np.full(2, k) for k in range(6)]
    recording = Recording(signals, [128.0] * 6, names)
    montage = inference.eeg_and_eog(recording)
    assert montage == {"EEG C4-M1": "C4 - M1", "EEG C3 - M2": "C3 - M2", "EOG E1-M2": "E1 - M2"}
    first = [int(recording.channel(name)[0][0]) for name in montage.values()]
    assert first == [1 - 2, 4, 5 - 3]  # a channel that is called so before a difference


LABELS = {  # those of EEG and EOG are in files of data_manifests, others there or elsewhere
    "EEG": """
        F3|f3|C4|c4|T3|O2|F3-M2|C4-M1|O1-A2|T4-A1|F3 - M2|C3 - A2|C3A2|C4A1|C3_M2|F3_F4|F4_O2|FP1_F3|FP1-M2|FP2_O2
        |Fpz-Cz|EEG Fpz-Cz|EEG Pz-Oz|Fz-Cz|Cz-Oz|EEG|EEG1|EEG2|EEG3|EEG sec|EEG(sec)|EEG(SEC)|EEG C4-CLE|EEG O2-LER
        |EEG Fp1-CLE|EEG T5-LER|EEG Cz-CLE|EEG F3-A2|C4-LER""",
    "EOG": """
        E1|E2|E-1|E-2|LOC|ROC|LOC-A2|ROC-A1|E1-M2|E2-M1|E1 - M2|E1-FPz|EOG|EOG1|EOG2|EOG1-A1|EOG-L|EOG-R|L-EOG|R-EOG
        |EOG(L)|EOG(R)|EOG(L)-PG1|EOG horizontal|EOG Left Horiz|EOG Right Horiz|Lefteye|RightEye""",
    None: """
        O2 sat|O2Sat|O2%|P3 pressure|T5-resp|EEG Resp|EEG A2-CLE|EEG ECG|EEG EMG|EEG HR|EOG EMG|E1 press|LOC light
        |C3 flow|SaO2|SpO2|PO2|CO2|EtCO2|Pressure|Position|POS|PULSE|ECG|ECG1|ECG ECGI|ECG-II|EKG|EMG|EMG1|EMG/L
        |EMG Chin1|EMG submental|Chin1-Chin2|L Chin|Lchin-Cchin|CHIN|X1|24|A1|M2|AIRFLOW|CHEST|ABD|Thorax|Abdomen|Light
        |Leg/L|DC8|Temp rectal|Event marker|Soud|CPAP|E12|F34|Fp9""",
}


@pytest.mark.parametrize(
    ("label", "kind"), [(x.strip(), kind) for kind, texts in LABELS.items() for x in texts.split("|")]
)
def test_labels_of_archives(label, kind):
    recording = Recording([np.zeros(1)] * 2, [128.0] * 2, [label, "EEG Cz-Ref"], id="x")
    found = inference.eeg_and_eog(recording)
    assert found == ({f"{kind} {label}": label} if kind else {}) | {"EEG EEG Cz-Ref": "EEG Cz-Ref"}


@pytest.mark.parametrize(
    "label", ["C4:M1", "O1/A1", "F3-Cz", "Fz-Fpz", "C3-Ref", "Cz-A1+A2", "P4-AVG", "LOC:ROC"]
)
def test_references(label):
    assert list(inference.eeg_and_eog(Recording([np.zeros(1)], [128.0], [label])).values()) == [label]


def test_roles_of_night_networks_are_eeg_or_eog(night):
    network = night_network("usleep", torch.float32)
    roles = {"eeg left": "C4-M1", "EOG": "E1-M2", "eog2": "E2-M2"}
    expected = inference.stage(night, network, montage=roles)
    names = {"C4-M1": "C4-M1", "E1-M2": "E1-M2", "E2-M2": "E2-M2"}
    assert np.array_equal(expected, inference.stage(night, network, montage=names))
    chin = {"EMG": "Chin1-Chin2", "Chin": "Chin1-Chin2"}
    for name in models.NIGHT_NETWORKS:
        with pytest.raises(SleeplibError, match="EEG and EOG only, and the montage has EMG, Chin; leave"):
            inference.stage(night, night_network(name, torch.float32), montage=names | chin)


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


@pytest.mark.parametrize("name", [*FUSING, "usleep"])
def test_half_the_bits_say_nearly_the_same(name, signals):
    network, half = night_network(name, torch.float32), night_network(name, torch.bfloat16)
    full = inference.night_posteriors(network, signals[:2].float(), per_epoch=6)
    rough = inference.night_posteriors(half, signals[:2].float(), per_epoch=6)
    assert rough.dtype == torch.float32 and torch.allclose(rough.sum(1), torch.ones(len(rough)))
    assert rough.shape == full.shape and (rough.argmax(1) == full.argmax(1)).float().mean() > 0.8
    if name != "usleep":
        assert 0 < (rough - full).abs().max() < 0.1


def test_staging_leaves_no_mode_behind(signals):
    network = night_network("anysleep").train()
    network.unet.eval()  # frozen, while the rest learns
    staged = inference.posteriors_of_sets(network, signals, [[0], [1, 2]])
    assert len(staged) == 2 and not torch.is_inference_mode_enabled()
    assert network.training and not network.unet.training
    network(signals[None]).sum().backward()
