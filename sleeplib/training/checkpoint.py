"""All that a run needs to go on where it was stopped."""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch

from sleeplib.errors import SleeplibError


def annealed(done: float) -> float:
    """Share of the learning rate that is left when a share of the steps is `done`: half a cosine from 1 to 0."""
    return (1 + math.cos(math.pi * done)) / 2


class Checkpoint:
    """Weights, optimiser, random state, step, the best weights so far and the history of a run.

    Beside it, `metrics.jsonl` has the history as lines of JSON. The samplers need nothing: their batches depend on the
    seed and the step alone.

    Parameters
    ----------
    folder : path or None
        Where `checkpoint.pt` lies; None keeps nothing on disk.
    score : the entry of the history by which the best weights are chosen
    ties : which of equally good weights are kept, the "later" or the "earlier"
    identity : what tells this run from others: settings, data

    Attributes
    ----------
    step : steps done
    seconds : spent on them
    history : list of dict
    best : state dict of the best entry, or None
    losses : of the steps since the last entry
    """

    def __init__(self, folder, network, optimiser, score: str = "accuracy", ties: str = "later", **identity):
        self.network, self.optimiser, self.score, self.ties = network, optimiser, score, ties
        identity |= {"network": [type(network).__name__, asdict(network.settings)]}
        self.identity = json.dumps(identity, sort_keys=True)
        self.step, self.seconds, self.history, self.best = 0, 0.0, [], None
        self.losses: list[torch.Tensor] = []
        self.path = Path(folder) / "checkpoint.pt" if folder else None
        self._due = 0.0  # when the next may be written

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder; False if there is none.

        Raises
        ------
        SleeplibError
            If it is damaged, or that of another run.
        """
        if not (self.path and self.path.exists()):
            return False
        device = next(self.network.parameters()).device
        try:
            saved = torch.load(self.path, weights_only=True, map_location=device)
            identity, rng, cuda_rng = saved["identity"], saved["rng"].cpu(), saved["cuda_rng"]
        except Exception as error:  # torch raises many kinds on a damaged file
            raise SleeplibError(
                f"{self.path}: damaged checkpoint ({error}); delete it to start again"
            ) from error
        if identity != self.identity:
            raise SleeplibError(
                f"{self.path}: checkpoint of a run with other settings or data; choose another folder or delete it"
            )
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        torch.set_rng_state(rng)
        if device.type == "cuda" and len(cuda_rng):
            torch.cuda.set_rng_state(cuda_rng.cpu(), device)
        self.step, self.seconds, self.best = saved["step"], saved["seconds"], saved["best"]
        self.history, self.losses = json.loads(saved["history"]), list(saved["losses"])
        return True

    def mean_loss(self) -> float:
        """Mean of the losses since the last entry.

        Raises
        ------
        SleeplibError
            If it is not a number any more.
        """
        loss = torch.stack(self.losses).mean().item()
        if not math.isfinite(loss):
            raise SleeplibError(
                f"step {self.step}: the loss is {loss}; lower the learning rate and start again"
            )
        return loss

    def kept(self) -> dict | None:
        """The entry whose weights are kept: the best, of equal ones the later or the earlier."""
        sign = 1 if self.ties == "later" else -1
        return max(self.history, key=lambda e: (e[self.score], sign * e["step"]), default=None)

    def note(self, entry: dict) -> None:
        """Add a validation to the history, and keep the weights if they are the best so far."""
        self.history.append(entry)
        self.losses = []
        if self.kept() is entry:
            self.best = {key: value.clone() for key, value in self.network.state_dict().items()}

    def write(self, last: bool = False) -> None:
        """Write the checkpoint; where that takes long, not each time: a tenth of the time at most goes into it."""
        begun = time.perf_counter()
        if self.path is None or (begun < self._due and not last):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part, device = self.path.with_suffix(".part"), next(self.network.parameters()).device
        content = {
            "identity": self.identity, "history": json.dumps(self.history), "losses": torch.tensor(self.losses),
            "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "best": self.best,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else [],
            "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(content, part)
        part.replace(self.path)
        self.write_metrics()
        self._due = 10 * (time.perf_counter() - begun) + begun

    def write_metrics(self) -> None:
        """The history as lines of JSON; of several processes only one may write it."""
        if self.path is None:
            return
        path = self.path.with_name("metrics.jsonl")
        part = path.with_suffix(".part")
        part.write_text("".join(json.dumps(entry) + "\n" for entry in self.history))
        part.replace(path)
