"""Weights that AnySleep's authors published: fetched, verified, and kept as `weights.save` keeps our own.

A file counts when its size and its SHA-256 are those of the catalogue. Only then is it opened, and only as tensors;
what is kept is its conversion to safetensors, with a card that says where it came from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import pooch
import torch
import yaml

from sleeplib.cohorts import MANIFESTS
from sleeplib.cohorts.downloads import Report
from sleeplib.cohorts.transfer import Line
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.parallel import bar
from sleeplib.preparation import ANYSLEEP, Preparation

CATALOGUE = MANIFESTS / "weights/anysleep.yaml"
DEFAULT = "anysleep-run1"
# The authors' program clips before it scales, and that is what these networks were trained on.
PREPARATION = Preparation(**ANYSLEEP | {"scaling": "robust-authors"})
POINTER = b"version https://git-lfs.github.com/spec/"  # how git-LFS's text in place of a file begins


@dataclass(frozen=True)
class Checkpoint:
    """A published file of weights: whose `network`, its `size` in bytes, its address, and what a user has to know."""

    name: str
    network: str
    size: int
    sha256: str
    base: str
    licence: str
    citation: str

    @property
    def file(self) -> str:
        """Its name in the authors' folder."""
        return f"{self.name}.pth"

    @property
    def origin(self) -> dict:
        """Where the weights come from, for the card of the converted ones."""
        source = {"address": f"{self.base}/{self.file}", "size": self.size, "sha256": self.sha256}
        return {"source": source, "licence": self.licence, "citation": self.citation}


def catalogue() -> dict[str, Checkpoint]:
    """All published checkpoints by name."""
    common = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    checkpoints = common.pop("checkpoints")
    return {name: Checkpoint(name, **common, **rest) for name, rest in checkpoints.items()}


def choose(names: Iterable[str]) -> list[Checkpoint]:
    """These checkpoints, each once.

    Raises
    ------
    SleeplibError
        If there is none of that name.
    """
    known, names = catalogue(), dict.fromkeys(names)
    if unknown := [name for name in names if name not in known]:
        raise SleeplibError(f"no published weights are called {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names]


def fetch(
    names: Iterable[str], out: str | Path, base_url: str | None = None, progress: bool = True,
    timeout: float = 30.0, retries: int = 5, backoff: float = 1.0,
) -> Report:  # fmt: skip
    """Bring checkpoints into the folder `out` as `<name>.safetensors` with their cards.

    Those that are there in order are not fetched again, damaged ones are; a transfer that was cut off goes on where it
    ended. Of a file that is not as published nothing is kept. One that fails does not keep the others.

    Parameters
    ----------
    base_url : a mirror of the authors' folder `models`, instead of their own
    timeout, retries, backoff : as for `transfer.Line`

    Returns
    -------
    Report

    Raises
    ------
    SleeplibError
        If there is no checkpoint of that name.
    """
    chosen, out = choose(names), Path(out)
    report = Report(out)
    total = sum(checkpoint.size for checkpoint in chosen)
    with bar(progress=progress, total=total, unit="B", unit_scale=True, desc="weights", leave=False) as told:
        line = Line(timeout, retries, backoff, count=told.update)
        for checkpoint in chosen:
            try:
                fetched = _bring(checkpoint, out, base_url or checkpoint.base, line)
                (report.fetched if fetched else report.already).append(checkpoint.name)
            except SleeplibError as error:
                report.failed[checkpoint.name] = str(error)
    return report


def _bring(checkpoint: Checkpoint, out: Path, base: str, line: Line) -> bool:
    """Whether it had to be fetched."""
    try:
        network = weights.load(out / checkpoint.name)
    except SleeplibError:  # missing or damaged
        _fetch(checkpoint, out, base, line)
        return True
    if differing := _differing(network, checkpoint):
        raise SleeplibError(
            f"weights with another {differing} stand in {out} under this name; move them away"
        )
    line.count(checkpoint.size)
    return False


def _fetch(checkpoint: Checkpoint, out: Path, base: str, line: Line) -> None:
    """Download, verify and convert; a part stays for resumption as long as it may become the file."""
    part = out / f"{checkpoint.file}.part"
    out.mkdir(parents=True, exist_ok=True)
    line.count(part.stat().st_size if part.exists() else 0)  # came with an earlier run
    line.download(f"{base.rstrip('/')}/{checkpoint.file}", part, checked=True)
    try:
        if told := _wrong(part, checkpoint):
            raise SleeplibError(told)
        network = weights.from_authors(checkpoint.network, _arrays(part))
    except SleeplibError as error:
        _forget(part)
        raise SleeplibError(f"{error}; nothing of it was kept") from error
    weights.save(network, checkpoint.network, out / checkpoint.name, PREPARATION, **checkpoint.origin)
    _forget(part)


def _forget(part: Path) -> None:
    """Remove a part, and the tag that `Line` has put beside it."""
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _wrong(path: Path, checkpoint: Checkpoint) -> str:
    """What tells the file from the authors'."""
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            return "git-LFS's pointer instead of the file itself; in a clone, `git lfs pull` gets it"
    if size != checkpoint.size:
        return f"{size:,} bytes instead of the published {checkpoint.size:,}"
    if pooch.file_hash(path) != checkpoint.sha256:
        return "another SHA-256 than published"
    return ""


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    """The authors' state dict, from a pickle that may hold nothing but tensors."""
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    except (UnpicklingError, EOFError, RuntimeError, LookupError, TypeError, ValueError) as error:
        # torch's own words advise to open it without protection.
        raise SleeplibError(
            f"no pickle of tensors alone under 'state_dict' ({type(error).__name__}), so refused"
        ) from None


def _differing(network, checkpoint: Checkpoint) -> str:
    """What the network's card says otherwise than that of the converted checkpoint."""
    wanted = {"network": checkpoint.network} | checkpoint.origin
    differing = [key for key, value in wanted.items() if network.card.get(key) != value]
    return ", ".join(differing + ["preparation"] * (network.preparation != PREPARATION))


def present(folder: str | Path) -> list[str]:
    """The names of the published weights of which something is in the folder."""
    kinds = (".safetensors", ".json")
    return [name for name in catalogue() if any((Path(folder) / (name + kind)).exists() for kind in kinds)]


def verify(path: str | Path) -> None:
    """Check weights: `.safetensors` against their card, those of the catalogue against the catalogue too.

    A `.pth` is checked against the catalogue by its name, size and SHA-256, without being opened.

    Raises
    ------
    SleeplibError
        If something is wrong.
    """
    path, known = Path(path), catalogue()
    if path.suffix == ".pth":
        [checkpoint] = choose([path.stem])
        if told := _wrong(path, checkpoint):
            raise SleeplibError(f"{path}: {told}")
        return
    network = weights.load(path)
    if path.stem in known and (differing := _differing(network, known[path.stem])):
        raise SleeplibError(f"{path}: the card's {differing} is not as published")
