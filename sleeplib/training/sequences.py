"""The loop for SeqSleepNet and its relatives: sequences of epochs that have been cut out and prepared before."""

import hashlib
import time
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch.nn import functional
from tqdm import tqdm

from sleeplib.errors import SleeplibError
from sleeplib.models import folded_recurrent
from sleeplib.sampling import Nights, Sequences
from sleeplib.stages import UNSCORED
from sleeplib.training.checkpoint import Checkpoint, annealed
from sleeplib.training.recipes import COUNT, RATE, SEED, SHARE, SWITCH, check


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe of SeqSleepNet, section V-B. `for_network` knows those of the other systems of Table II."""

    learning_rate: float = 1e-4
    batch_size: int = 32  # sequences
    passes: int = 10  # over all overlapping sequences
    max_steps: int | None = None  # stop earlier
    annealed: bool = False  # the learning rate falls to 0 along half a cosine
    weight_decay: float = 1e-3  # lambda of eq. 15, on what the network's `decayed` names
    balanced: bool = False  # each stage equally often in the middle of a sequence, whose label alone counts
    validate_every: int = 100  # steps; the step of best validation accuracy is kept
    seed: int = 0

    def __post_init__(self):
        check(
            self, learning_rate=RATE, batch_size=COUNT, passes=COUNT, max_steps=COUNT, annealed=SWITCH,
            weight_decay=SHARE, balanced=SWITCH, validate_every=COUNT, seed=SEED,
        )  # fmt: skip

    @classmethod
    def for_network(cls, name: str, variant: str = "paper", **changes) -> "TrainingSettings":
        """The published recipe for a network, with `changes`.

        The released program sums the loss over the 32 sequences of a batch instead of averaging: to Adam, that is a
        penalty 32 times weaker.
        """
        released = {"weight_decay": 1e-3 / 32} if variant == "released" else {}
        return cls(**RECIPES.get(name, {}) | released | changes)


_ONE_EPOCH = {"passes": 20, "validate_every": 500}  # section V-C
# The authors' earlier CNNs: 200 passes over balanced batches, 40 epochs of each stage (facts B2.6).
_BALANCED = {"batch_size": 200, "passes": 200, "balanced": True, "validate_every": 50}

# Where they differ from SeqSleepNet's. What is not published for a system is as for its nearest relative.
RECIPES = {
    "e2e-arnn": _ONE_EPOCH,
    "multitask-e2e-arnn": _ONE_EPOCH,
    "1-max-cnn": _BALANCED,
    "multitask-1-max-cnn": _BALANCED,
    "chambon": _BALANCED | {"learning_rate": 1e-3, "batch_size": 100},
    "tsinalis": _BALANCED | {"batch_size": 100},
    "deepsleepnet1": _BALANCED | {"batch_size": 100, "passes": 100},
    "dong-dnn": _ONE_EPOCH,
    "dong-mnn": _ONE_EPOCH,
}


def sequence_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Eqs. 14 and 15 without the regulariser: cross-entropy averaged over positions and sequences.

    Of multitask networks, the sum of the three heads' (previous, current and next epoch). Unscored epochs do not count.

    Parameters
    ----------
    logits : tensor (B, L, 5), or (B, L, H, 5) of H heads
    labels : tensor (B, L + H - 1)
    """
    heads = logits.unsqueeze(2) if logits.dim() == 3 else logits
    truth = labels.unfold(1, heads.shape[2], 1)  # (B, L, H)
    losses = [
        functional.cross_entropy(
            heads[:, :, h].flatten(0, 1), truth[:, :, h].flatten(), ignore_index=UNSCORED
        )
        for h in range(heads.shape[2])
        if (truth[:, :, h] != UNSCORED).any()
    ]
    return torch.stack(losses).sum()


@torch.no_grad()
def validation_accuracy(network, nights: Nights) -> float:
    """Share of right decisions over all windows and positions, without fusion, as the authors choose their step."""
    mode, device = network.training, next(network.parameters()).device
    network.eval()
    folded = bool(folded_recurrent.layers(network))
    decide = partial(folded_recurrent.decisions, network) if folded else network.decisions
    right = total = 0
    for inputs, labels in nights.split():
        decided = decide(inputs.to(device)).argmax(-1).cpu()
        truth = labels.unfold(0, decided.shape[1], 1)
        right += (decided == truth).sum().item()
        total += (truth != UNSCORED).sum().item()
    network.train(mode)
    if not total:
        raise SleeplibError("the validation nights have no scored epoch")
    return right / total


def fit(
    network,
    train: Nights,
    valid: Nights,
    settings: TrainingSettings,
    folder=None,
    progress: bool = True,
    device="cpu",
) -> list[dict]:
    """Train a network; it ends with the weights of its best validation step.

    Parameters
    ----------
    network : nn.Module
        One of `models.NETWORKS`. What it needs to know of its inputs before (their normalisation), it takes from
        `train`.
    train, valid : Nights
        Of different persons.
    settings : TrainingSettings
    folder : path, optional
        Where the checkpoint is kept, at each validation. A run that finds one of the same settings goes on from it.

    Returns
    -------
    list of dict
        `step`, `loss` (mean since the last entry), `accuracy` (validation), `seconds` at each validation.

    Raises
    ------
    SleeplibError
        If the nights are too few or too short, none of the validation epochs is scored, a checkpoint is damaged or
        that of another run, or the loss is not a number any more.
    """
    sequences = Sequences(
        train, network.sequence_length, settings.batch_size, settings.seed, network.reach, settings.balanced
    )
    if sequences.batch_size < 2 and folded_recurrent.layers(network):
        raise SleeplibError(
            "recurrent batch normalisation needs two sequences in a batch; raise batch_size or add training nights"
        )
    torch.manual_seed(settings.seed)
    network.to(device).train()
    optimiser = torch.optim.Adam(_groups(network, settings.weight_decay), settings.learning_rate)
    steps = min(settings.passes * sequences.steps_per_pass, settings.max_steps or 10**12)
    started = time.perf_counter()
    data = [_digest(nights) for nights in (train, valid)]
    state = Checkpoint(folder, network, optimiser, training=asdict(settings), data=data)
    if state.resume():
        state.write_metrics()  # which may have been lost
    else:
        network.adapt(train)
    started -= state.seconds

    with tqdm(total=steps, initial=state.step, desc="training", unit="step", disable=not progress) as bar:
        while state.step < steps:
            if settings.annealed:
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * annealed(state.step / steps)
            inputs, labels = sequences.batch(state.step)
            loss = sequence_loss(network(inputs.to(device)), labels.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            state.losses.append(loss.detach())
            state.step += 1
            bar.update()
            if state.step % settings.validate_every == 0 or state.step == steps:
                accuracy = validation_accuracy(network, valid)
                mean_loss = state.mean_loss()
                state.seconds = time.perf_counter() - started
                state.note(
                    {"step": state.step, "loss": mean_loss, "accuracy": accuracy, "seconds": state.seconds}
                )
                state.write(last=state.step == steps)
                bar.set_postfix(loss=f"{mean_loss:.3f}", valid=f"{accuracy:.3f}")
    network.load_state_dict(state.best)
    network.eval()
    return state.history


def _groups(network, weight_decay: float) -> list[dict]:
    """Adam's parameters with and without L2 penalty.

    Its weight decay adds lambda * theta to the gradient: the gradient of lambda / 2 * |theta|^2 (eq. 15).
    """
    chosen = {id(p) for p in network.decayed()}
    learned = [p for p in network.parameters() if p.requires_grad]
    parts = [[p for p in learned if (id(p) in chosen) == decayed] for decayed in (True, False)]
    return [
        {"params": part, "weight_decay": decay}
        for part, decay in zip(parts, (weight_decay, 0.0), strict=True)
        if part
    ]


def _digest(nights: Nights) -> str:
    """The inputs' mean and the stages tell one set of nights from another."""
    content = nights.statistics()[0].numpy().tobytes() + nights.labels.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()
