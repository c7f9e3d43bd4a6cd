"""The loop for U-Sleep and AnySleep: windows of many cohorts, drawn anew for each step (AnySleep, section 4.3).

Mixed precision, compilation, several GPUs and going on after an interruption are a few lines of `fit_nights` each.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from sleeplib import memory
from sleeplib.errors import SleeplibError
from sleeplib.inference import night_posteriors
from sleeplib.models.channels_last import ChannelsLast
from sleeplib.models.usleep import USleep
from sleeplib.sampling import Loader, Recordings, Windows
from sleeplib.stages import STAGES, UNSCORED
from sleeplib.training import processes
from sleeplib.training.checkpoint import Checkpoint, annealed
from sleeplib.training.recipes import COUNT, RATE, SEED, SHARE, SWITCH, check


@dataclass(frozen=True)
class NightTraining:
    """The recipe of AnySleep, section 4.3. `for_network` knows where U-Sleep and late fusion differ."""

    learning_rate: float = 1e-5
    annealed: bool = False  # the learning rate falls to 0 along half a cosine
    length: int = 35  # epochs of a window
    batch_size: int = 64  # windows, over all processes
    updates: int = 443  # steps of a training epoch; the authors' code makes 447
    training_epochs: int = 10_000  # at most
    max_steps: int | None = None  # stop earlier
    patience: int = 100  # training epochs without a better validation
    alpha: float = 0.5  # eq. 1
    channels: str = "subsample"
    edges: str = "authors"
    seed: int = 0
    amp: bool = False  # activations in bfloat16
    compile: bool = False  # torch.compile

    @classmethod
    def for_network(cls, name: str, released: bool = False, **changes) -> "NightTraining":
        """The published recipe for a network, with `changes`; `released`: with the updates of the authors' code."""
        recipe = {"channels": "pair"} if name == "usleep" else {}
        if name == "anysleep-late":
            recipe |= {"batch_size": 32} | ({"updates": 893} if released else {})
        elif released:
            recipe |= {"updates": 447}
        return cls(**recipe | changes)

    def __post_init__(self):
        check(
            self, length=COUNT, batch_size=COUNT, updates=COUNT, training_epochs=COUNT, max_steps=COUNT, patience=COUNT,
            learning_rate=RATE, alpha=SHARE, annealed=SWITCH, amp=SWITCH, compile=SWITCH,
            seed=SEED,
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """Of the whole run, if it is not stopped earlier."""
        return min(self.updates * self.training_epochs, self.max_steps or 10**12)

    def windows(self, stores, which=None) -> Windows:
        """What it draws from the training recordings."""
        return Windows(
            stores, which, self.length, self.batch_size, self.alpha, self.channels, self.edges, self.seed
        )

    def recordings(self, stores, which=None) -> Recordings:
        """The validation recordings: for AnySleep all their channels, for U-Sleep one pair of each."""
        return Recordings(stores, which, "pair" if self.channels == "pair" else "all", self.seed)


def night_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies of all scored epochs.

    Parameters
    ----------
    logits : tensor (B, N, 5)
    labels : tensor (B, N)
    """
    return functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=UNSCORED, reduction="sum"
    )


@torch.no_grad()
def validate(network, recordings: Recordings, device="cpu") -> torch.Tensor:
    """Confusion matrix `(5, 5)`, truth by decision, of full recordings, one at a time and pooled.

    Of several processes, each takes its share of the recordings, and all of them get the whole.
    """
    rank, world = processes.here()
    confusion = torch.zeros(len(STAGES), len(STAGES), dtype=torch.float64)
    for row in range(rank, len(recordings), world):
        batch = recordings[row]
        decided = night_posteriors(network, batch.signals(device)[0]).argmax(-1)
        truth = batch.labels[0]
        scored = truth != UNSCORED
        confusion.index_put_((truth[scored], decided[scored]), confusion.new_ones(()), accumulate=True)
    confusion = processes.total(confusion.to(device)).cpu()
    if not confusion.any():
        raise SleeplibError("the validation nights have no scored epoch")
    return confusion


def f1(confusion: torch.Tensor) -> torch.Tensor:
    """F1 of each stage `(5,)` from a confusion matrix (eq. 3); a stage that neither occurs nor is decided has 1."""
    hits, involved = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    return torch.where(involved > 0, 2 * hits / involved.clamp(min=1), 1.0)


@memory.kept()
def fit_nights(
    network,
    stores,
    train: list,
    valid: list,
    settings: NightTraining,
    folder=None,
    progress: bool = True,
    device="cpu",
    workers: int = 2,
    fast: bool | None = None,
) -> list[dict]:
    """Train a network; it ends with the weights of its best training epoch.

    Under `torchrun` every process trains on its share of each batch. The steps are those of a single process, but for
    rounding: batch normalisation and loss are those of the whole batch.

    Parameters
    ----------
    network : nn.Module
        One of `models.NIGHT_NETWORKS`.
    stores : list of Store, one for each cohort
    train, valid : lists of arrays, one for each store
        Numbers of its recordings; of different persons. A cohort without validation recordings is given an empty one.
    settings : NightTraining
    folder : path, optional
        Where `checkpoint.pt` and `metrics.jsonl` are kept. A run that finds a checkpoint of the same settings goes on
        from it, at the step where it was.
    workers : threads that read windows
    fast : whether to compute the same steps with the filters of a sample side by side (`models.channels_last`); by
        default where that is known to be faster: in one process on a CPU, not compiled

    Returns
    -------
    list of dict
        For each training epoch: `step`, mean `loss`, `macro_f1` and `f1` (of the validation recordings, pooled),
        `seconds`, `windows_per_second`. The same are the lines of `metrics.jsonl`.

    Raises
    ------
    SleeplibError
        If a checkpoint is damaged or that of another run, the nights were prepared otherwise than the network takes
        them, none is there for validation, or the loss is not a number any more.
    """
    rank, world = processes.here()
    _check(network, stores, valid, settings, world)
    windows, recordings = settings.windows(stores, train), settings.recordings(stores, valid)
    _tell(rank, training=windows.selection, validation=recordings.selection)
    network.to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate, amsgrad=True)
    data = [[s.digest, *(np.asarray(w[i]).tolist() for w in (train, valid))] for i, s in enumerate(stores)]
    state = Checkpoint(
        folder, network, optimiser, "macro_f1", "earlier", training=asdict(settings), data=data
    )
    if state.resume() and rank == 0:
        state.write_metrics()  # which may have been lost
    if fast is None:
        fast = torch.device(device).type == "cpu" and world == 1 and not settings.compile
    model = ChannelsLast(network) if fast else network
    model = DistributedDataParallel(processes.synchronise(model)) if world > 1 else model
    if settings.compile:  # of known lengths only are the fast maps' rows known
        model = torch.compile(model, dynamic=False if fast else None)
    left = 0 if _stopped(state, settings) else settings.steps - state.step
    batches = Loader(windows, workers, part=(rank, world))(state.step, left)
    started, begun, first = time.perf_counter() - state.seconds, time.perf_counter(), state.step

    with tqdm(
        batches, "training", settings.steps, initial=state.step, unit="step", disable=not progress or rank
    ) as bar:
        for batch in bar:
            for group in optimiser.param_groups if settings.annealed else ():
                group["lr"] = settings.learning_rate * annealed(state.step / settings.steps)
            state.losses.append(_learn(model, batch, optimiser, settings.amp, device, world))
            state.step += 1
            validated = state.step % settings.updates == 0 or state.step == settings.steps
            if validated:
                rate = (state.step - first) * settings.batch_size / (time.perf_counter() - begun)
                entry = {"step": state.step, "loss": state.mean_loss()}
                scores = f1(validate(network, recordings, device))
                entry |= {"macro_f1": scores.mean().item(), "f1": scores.tolist(), "windows_per_second": rate}
                entry["seconds"] = time.perf_counter() - started
                state.note(entry)
                bar.set_postfix(
                    loss=f"{entry['loss']:.3f}", valid=f"{entry['macro_f1']:.3f}", rate=f"{rate:.1f}/s"
                )
                begun, first = time.perf_counter(), state.step
            state.seconds = time.perf_counter() - started
            if rank == 0:
                state.write(last=validated)
            if validated and _stopped(state, settings):
                break
    network.load_state_dict(state.best)
    network.eval()
    return state.history


def _learn(model, batch, optimiser, amp: bool, device, world: int) -> torch.Tensor:
    """One step on a batch, or on this process's share of it; the mean loss over the whole batch's scored epochs."""
    n_scored = processes.count((batch.labels != UNSCORED).sum().item(), device)
    loss = torch.zeros((), device=device)
    if n_scored:  # else there is nothing to learn, not even statistics
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=amp):
            loss = night_loss(model(batch.signals(device)), batch.labels.to(device)) / n_scored
        optimiser.zero_grad()
        (loss * world).backward()  # several processes average their gradients
        optimiser.step()
    return processes.total(loss.detach())


def _tell(rank: int, **selections) -> None:
    """Say once which recordings are left out, and why."""
    for part, selection in selections.items():
        if selection.skipped and rank == 0:
            print(f"{part}: {selection.why()}")


def _check(network, stores, valid: list, settings: NightTraining, world: int) -> None:
    """Refuse what would fail after the first steps, or not at all."""
    for store in stores:
        for setting in ("rate", "epoch_seconds"):
            theirs, ours = getattr(store, setting), getattr(network.settings, setting)
            if theirs != ours:
                raise SleeplibError(
                    f"{store.folder}: prepared with {setting} {theirs:g}, the network takes {ours}; run "
                    "`sleeplib prepare --for anysleep`"
                )
    if isinstance(network, USleep) and settings.channels != "pair":
        raise SleeplibError(
            f"channels={settings.channels!r}: U-Sleep takes one EEG and one EOG channel; choose 'pair'"
        )
    if settings.batch_size < max(2, world):
        raise SleeplibError(
            f"batch_size={settings.batch_size} on {world} processes: batch normalisation needs two windows, and each "
            "process one"
        )
    if not any(map(len, valid)):
        raise SleeplibError("no recording of any cohort is left for validation")


def _stopped(state: Checkpoint, settings: NightTraining) -> bool:
    """Whether `patience` training epochs in a row brought nothing better."""
    kept = state.kept()
    return (
        kept is not None and state.history[-1]["step"] - kept["step"] >= settings.patience * settings.updates
    )
