"""The loop of AnySleep: its recipe, what it minimises, when it stops, how it goes on, alone and in company."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from sleeplib import models, training
from sleeplib.errors import SleeplibError
from sleeplib.models.channels_last import ChannelsLast
from sleeplib.preparation import Preparation
from sleeplib.provenance import root
from sleeplib.sampling import Loader, Recordings
from sleeplib.stages import UNSCORED
from sleeplib.store import Store
from sleeplib.training import NightTraining, processes
from sleeplib.training.nights import f1
from tests.sampling.conftest import make

SMALL = {"depth": 2, "complexity": 0.5, "rate": 8, "kernel": 5}  # 240 samples in an epoch
QUICK = {
    "learning_rate": 1e-2, "length": 5, "batch_size": 8, "updates": 4, "training_epochs": 3, "patience": 100,
}  # fmt: skip


def cohort(folder, name, seed, nights=6, n=30):
    """Nights whose stage is told by the mean of every channel, with a few unscored epochs."""
    rng, made = np.random.default_rng(seed), []
    for i in range(nights):
        stages = np.repeat(rng.permutation([0, 1, 2, 3, 4, *rng.integers(5, size=n // 3 - 5)]), 3)
        made.append(
            (f"{name}{i}", np.where(rng.random(len(stages)) < 0.1, UNSCORED, stages), ["EEG", "EEG", "EOG"])
        )
    store = make(folder / name, name, made, seed, Preparation(None, rate=8.0, scaling="robust"))
    for i in range(nights):
        samples = np.load(store.folder / f"{name}{i}.npy")
        level = np.repeat(np.minimum(store.stages(i), 5).astype(int), 240) * 4000 - 10000
        np.save(store.folder / f"{name}{i}.npy", (samples // 10 + level).astype(samples.dtype))
    return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    return [cohort(folder, "a", 1), cohort(folder, "b", 2, nights=4)]


def build(name="anysleep", seed=0):
    torch.manual_seed(seed)
    return models.build(name, **SMALL)


def fit(stores, name="anysleep", folder=None, network=None, fast=None, **changes):
    network = network or build(name)
    settings = NightTraining.for_network(name, **QUICK | changes)
    split = [np.arange(len(s) - 1) for s in stores], [np.array([len(s) - 1]) for s in stores]
    history = training.fit_nights(network, stores, *split, settings, folder, progress=False, fast=fast)
    return network, history


def test_defaults_are_the_papers():
    paper = NightTraining.for_network("anysleep")
    assert (paper.learning_rate, paper.batch_size, paper.length, paper.updates) == (1e-5, 64, 35, 443)
    assert (paper.training_epochs, paper.patience, paper.alpha, paper.channels) == (
        10_000,
        100,
        0.5,
        "subsample",
    )
    assert not (paper.annealed or paper.amp or paper.compile)
    assert NightTraining.for_network("anysleep-late").batch_size == 32
    assert NightTraining.for_network("usleep").channels == "pair"
    assert NightTraining.for_network("anysleep", released=True).updates == 447
    assert NightTraining.for_network("anysleep-late", released=True).updates == 893
    assert pytest.approx(1e6, rel=0.01) == 443 * 64 * 35  # sleep epochs in a training epoch


@pytest.mark.parametrize("name", models.NIGHT_NETWORKS)
def test_training_finds_what_can_be_found(stores, name):
    network, history = fit(stores, name, updates=20, training_epochs=3)
    assert not network.training and [entry["step"] for entry in history] == [20, 40, 60]
    assert max(entry["macro_f1"] for entry in history) > 0.6 and history[-1]["loss"] < history[0]["loss"]
    assert all(len(e["f1"]) == 5 and np.mean(e["f1"]) == pytest.approx(e["macro_f1"]) for e in history)
    assert all(entry["windows_per_second"] > 0 for entry in history)


@pytest.mark.parametrize("fast", [True, False])
def test_steps_are_amsgrad_on_the_mean_over_scored_epochs(stores, fast):
    """At the third step AMSGrad and Adam part: a gradient may have been larger before."""
    network, _ = fit(stores, updates=3, training_epochs=1, fast=fast)
    ends = {}
    for amsgrad in (True, False):
        twin, settings = build(), NightTraining(**QUICK)
        optimiser = torch.optim.Adam(twin.parameters(), 1e-2, amsgrad=amsgrad)
        for batch in Loader(settings.windows(stores, [np.arange(5), np.arange(3)]))(steps=3):
            model = ChannelsLast(twin) if fast else twin
            logits, scored = model(batch.signals()), batch.labels != UNSCORED
            assert 0 < scored.sum() < scored.numel()
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(logits[scored], batch.labels[scored]).backward()
            optimiser.step()
        ends[amsgrad] = [
            torch.allclose(p, q, atol=1e-6)
            for p, q in zip(network.parameters(), twin.parameters(), strict=True)
        ]
    assert all(ends[True]) and not all(ends[False])


def test_unscored_epochs_do_not_count():
    logits, labels = torch.randn(2, 7, 5), torch.randint(0, 5, (2, 7))
    labels[:, ::3] = UNSCORED
    changed = logits.clone()
    changed[:, ::3] = 100.0
    assert training.night_loss(logits, labels) == training.night_loss(changed, labels)
    assert training.night_loss(logits, torch.full((2, 7), UNSCORED)) == 0


def test_a_batch_without_a_scored_epoch_is_no_step(stores, monkeypatch):
    before = build()
    real = Loader._read

    def unscored(self, step, buffer):
        batch = real(self, step, buffer)
        batch.labels.fill_(UNSCORED)
        return batch

    monkeypatch.setattr(Loader, "_read", unscored)
    network, history = fit(stores, updates=2, training_epochs=1)
    state, untouched = network.state_dict(), before.state_dict()
    assert all(torch.equal(state[key], untouched[key]) for key in state) and history[0]["loss"] == 0


def test_validation_pools_full_recordings(stores):
    network, recordings = build(), Recordings(stores, [[0, 3], [1]])
    confusion = training.validate(network, recordings)
    assert network.training
    expected = torch.zeros(5, 5)
    for row in range(3):
        batch = recordings[row]
        with torch.no_grad():
            decided = network.eval()(batch.signals())[0].argmax(-1)
        for truth, stage in zip(batch.labels[0], decided, strict=True):
            if truth != UNSCORED:
                expected[truth, stage] += 1
    assert torch.equal(confusion.float(), expected) and expected.sum() > 60


def test_f1_is_equation_3():
    confusion = torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]], dtype=torch.float64)
    assert f1(confusion).tolist() == pytest.approx([6 / 9, 8 / 11, 1.0])


def test_stops_when_nothing_better_comes_and_keeps_the_earliest_of_the_best(stores, monkeypatch):
    marks = iter([0.3, 0.5, 0.5, 0.4, 0.5, 0.9])
    monkeypatch.setattr(training.nights, "f1", lambda _: torch.full((5,), next(marks)))
    states = []
    monkeypatch.setattr(
        training.nights, "validate", lambda network, *a: states.append(network.classifier.mix.weight.clone())
    )
    network, history = fit(stores, training_epochs=50, patience=3)
    assert [round(entry["macro_f1"], 1) for entry in history] == [0.3, 0.5, 0.5, 0.4, 0.5]
    assert torch.equal(network.classifier.mix.weight, states[1])


def test_the_fast_way_is_taken_on_one_cpu_and_does_the_same_steps(stores, monkeypatch):
    taken, once, real = [], {"updates": 2, "training_epochs": 1}, training.nights.ChannelsLast
    monkeypatch.setattr(training.nights, "ChannelsLast", lambda n: taken.append(n) or real(n))
    losses = [fit(stores, fast=fast, **once)[1][0]["loss"] for fast in (None, True, False)]
    assert len(taken) == 2 and losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-5)


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop", [3, 6])
def test_killed_and_resumed_ends_with_the_same_bits(stores, tmp_path, monkeypatch, stop):
    """In the middle of a training epoch, with the losses of its first steps in the checkpoint."""
    whole, history = fit(stores, folder=tmp_path / "whole", annealed=True)
    write = training.Checkpoint.write

    def stops(self, last=False):
        self._due = 0.0
        write(self, last)
        if self.step == stop:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "write", stops)
        with pytest.raises(Stop):
            fit(stores, folder=tmp_path / "stopped", annealed=True)
    (tmp_path / "stopped" / "metrics.jsonl").unlink()
    resumed, again = fit(stores, folder=tmp_path / "stopped", annealed=True)
    same = ("step", "loss", "macro_f1", "f1")
    assert [[e[k] for k in same] for e in again] == [[e[k] for k in same] for e in history]
    state, expected = resumed.state_dict(), whole.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    metrics.unlink()
    assert fit(stores, folder=tmp_path / "stopped", annealed=True)[1] == again  # finished: nothing is trained
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == again


def test_a_last_piece_of_a_training_epoch_is_validated_too(stores):
    assert [entry["step"] for entry in fit(stores, max_steps=6)[1]] == [4, 6]
    assert [entry["step"] for entry in fit(stores, max_steps=3)[1]] == [3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": 0},
        {"length": 2.5},
        {"learning_rate": "1e-3"},
        {"learning_rate": 0},
        {"amp": "yes"},
        {"patience": True},
        {"alpha": 3},
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(wrong):
    with pytest.raises(SleeplibError, match=f"{next(iter(wrong))}="):
        NightTraining(**wrong)


def test_what_would_fail_later_is_refused_at_once(stores, tmp_path):
    network = models.build("anysleep", depth=2, complexity=0.5)
    with pytest.raises(SleeplibError, match="prepared with rate 8, the network takes 128; run"):
        fit(stores, network=network)
    with pytest.raises(SleeplibError, match="batch_size=1 on 1 processes"):
        fit(stores, batch_size=1)
    with pytest.raises(SleeplibError, match="U-Sleep takes one EEG and one EOG channel"):
        fit(stores, "usleep", channels="subsample")
    settings = NightTraining(**QUICK)
    with pytest.raises(SleeplibError, match="no recording of any cohort is left for validation"):
        training.fit_nights(build(), stores, [np.arange(4)] * 2, [[], []], settings, progress=False)
    with pytest.raises(SleeplibError, match=r"the loss is nan; lower the learning rate"):
        fit(stores, network=nowhere(build()))


def nowhere(network):
    network.classifier.last.bias.data[0] = float("nan")
    return network


def test_validation_without_a_scored_epoch_is_refused(stores, monkeypatch):
    monkeypatch.setattr(
        Store, "stages", lambda self, i, first=0, n=None: np.full(n or self.lengths[i], UNSCORED, np.int8)
    )
    with pytest.raises(SleeplibError, match="no scored epoch"):
        training.validate(build(), Recordings(stores[:1], [[0]]))


def test_a_checkpoint_of_other_settings_or_nights_is_refused(stores, tmp_path):
    fit(stores, folder=tmp_path)
    with pytest.raises(SleeplibError, match="other settings or data"):
        fit(stores, folder=tmp_path, learning_rate=1e-3)
    with pytest.raises(SleeplibError, match="other settings or data"):
        fit(stores[::-1], folder=tmp_path)


def test_mixed_precision_stays_close(stores):
    once = {"updates": 2, "training_epochs": 1}
    plain, mixed = (fit(stores, amp=amp, **once)[1][0]["loss"] for amp in (False, True))
    assert mixed == pytest.approx(plain, rel=0.05) and mixed != plain


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("fast", [None, True])
def test_a_compiled_network_does_the_same_steps(stores, fast):
    torch.manual_seed(0)
    networks = [models.build("usleep", **SMALL | {"depth": 1}) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    once = {"updates": 2, "training_epochs": 1, "channels": "pair"}
    losses = [
        fit(stores, network=network, compile=compiled, fast=fast, **once)[1][0]["loss"]
        for network, compiled in zip(networks, (False, True), strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for p, q in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.allclose(p, q, atol=1e-2)


PROGRAM = """
import sys, torch
if not sys.argv[1].endswith("amp"):
    torch.set_default_dtype(torch.float64)
from sleeplib.sampling.loader import Batch
single = Batch.signals
Batch.signals = lambda self, device="cpu": single(self, device).to(torch.get_default_dtype())
from sleeplib.store import Store
from sleeplib.training import processes
from tests.training.test_nights import fit
amp = sys.argv[1].endswith("amp")
network, history = fit([Store(folder) for folder in sys.argv[2:]], folder=sys.argv[1], amp=amp)
if processes.here()[0] == 0:
    torch.save({"network": network.state_dict(), "loss": [e["loss"] for e in history]}, sys.argv[1] + "/end.pt")
"""


def run(program, out, stores, n):
    """What `n` processes end with."""
    out.mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    result = subprocess.run(
        [*torchrun, program, out, *(store.folder for store in stores)],
        env=os.environ | {"PYTHONPATH": str(root()), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return torch.load(out / "end.pt", weights_only=True)


@pytest.mark.slow
def test_processes_do_the_steps_of_one(stores, tmp_path):
    """float64, so that only what differs in kind would be seen: twelve steps, batch normalisation included.

    Of three processes the last has two windows of eight. In mixed precision the steps are close.
    """
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    one, two, three = (run(program, tmp_path / str(n), stores, n) for n in (1, 2, 3))
    for others in (two, three):
        assert others["loss"] == pytest.approx(one["loss"], rel=1e-9)
        for key, value in one["network"].items():
            assert torch.allclose(others["network"][key], value, rtol=1e-6, atol=1e-9), key
    mixed = run(program, tmp_path / "amp", stores, 2)
    assert mixed["loss"][0] == pytest.approx(one["loss"][0], rel=0.05)


def test_batch_normalisation_over_processes_is_torchs_in_a_single_one(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        for x in (torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 3, 9, dtype=torch.float64)):
            theirs = torch.nn.BatchNorm1d(3).double()
            ours = processes.synchronise(torch.nn.Sequential(torch.nn.BatchNorm1d(3).double()))[0]
            assert type(ours) is processes.GlobalBatchNorm
            a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
            for layer, value in ((theirs, a), (ours, b)):
                (layer(value) * torch.arange(x.numel()).view(x.shape)).sum().backward()
            assert torch.allclose(a.grad, b.grad) and torch.allclose(theirs.weight.grad, ours.weight.grad)
            for key, value in theirs.state_dict().items():
                assert torch.allclose(ours.state_dict()[key], value)
            assert torch.allclose(theirs.eval()(x), ours.eval()(x))
    finally:
        torch.distributed.destroy_process_group()
