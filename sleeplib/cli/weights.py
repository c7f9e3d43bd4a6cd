"""The commands about weights that are there to be used: `weights list | fetch | verify | export`."""

import sys
from pathlib import Path

from sleeplib.cli.common import add_command, positive
from sleeplib.errors import SleeplibError


def add_weights(commands) -> None:
    """The commands of `sleeplib weights`."""
    told = "list, fetch, verify and export weights"
    top = commands.add_parser("weights", help=told, description=f"{told.capitalize()}.")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (add_list, add_fetch, add_verify, add_export):
        add(commands)


def add_list(commands) -> None:
    """Options of `sleeplib weights list`."""
    _add_out(add_command(commands, "list", list_weights, "list the weights that there are"))


def list_weights(a) -> None:
    """List the weights that AnySleep's authors published, and those that come with the project.

    Of the first, `here` tells whether they have been fetched; `sleeplib weights verify` looks whether they are right.
    """
    import pandas as pd

    print(pd.DataFrame(_published(_folder(a)) + _own()).to_string(index=False))


def _published(folder: Path) -> list[dict]:
    """A row for each published checkpoint."""
    from sleeplib.models import published

    here = published.present(folder)
    return [
        _row(c.name, c.network, c.size, "yes" if c.name in here else "no")
        for c in published.catalogue().values()
    ]


def _own() -> list[dict]:
    """A row for each of the project's own weights."""
    import json

    from sleeplib.results import committed_folder

    rows, folder = [], committed_folder().parent / "weights"
    for path in sorted(folder.rglob("*.safetensors")):
        network = json.loads(path.with_suffix(".json").read_text())["network"]
        name = path.relative_to(folder).with_suffix("").as_posix()
        rows.append(_row(name, network, path.stat().st_size, "with the project"))
    return rows


def _row(name: str, network: str, size: int, here: str) -> dict:
    return {"weights": name, "network": network, "kB": f"{size / 1e3:,.0f}", "here": here}


def add_fetch(commands) -> None:
    """Options of `sleeplib weights fetch`."""
    command = add_command(commands, "fetch", fetch, "download published weights")
    command.add_argument("names", nargs="*", metavar="NAME", help="which (default: anysleep-run1)")
    command.add_argument("--all", action="store_true", help="all that were published")
    _add_out(command)
    command.add_argument("--base-url", metavar="URL", help="a mirror of the authors' folder `models`")


def fetch(a) -> int:
    """Download weights that AnySleep's authors published, and convert them to safetensors with a card.

    They count only if size and SHA-256 are those that were published; of others nothing is kept. Those that are there
    already are not fetched again, those cut off are resumed.
    """
    from sleeplib.models import published

    if a.all and a.names:
        raise SleeplibError(f"--all fetches everything; leave it or {' '.join(a.names)} away")
    names = published.catalogue() if a.all else a.names or [published.DEFAULT]
    report = published.fetch(names, _folder(a), a.base_url)
    for problem in report.problems():
        print(f"sleeplib: {problem}", file=sys.stderr)
    print(report)
    return 1 if report.failed else 0


def add_verify(commands) -> None:
    """Options of `sleeplib weights verify`."""
    command = add_command(commands, "verify", verify, "check weights that are here")
    command.add_argument(
        "weights",
        nargs="*",
        metavar="NAME|FILE",
        help="names of published weights, or .safetensors or the authors' .pth (default: all that were fetched)",
    )
    _add_out(command)


def verify(a) -> int:
    """Check weights again: the SHA-256 and the card of converted ones, size and SHA-256 of the authors' files.

    The exit code is 1 if something is wrong.
    """
    from sleeplib.models import published

    folder, bad = _folder(a), 0
    names = a.weights or published.present(folder)
    if not names:
        print(f"no published weights in {folder}; get them by: sleeplib weights fetch")
    for name in names:
        try:
            path = _named(name, folder)
            published.verify(path)
            print(f"{path}: in order")
        except SleeplibError as error:
            bad += 1
            print(f"sleeplib: {error}", file=sys.stderr)
    return 1 if bad else 0


def _named(name: str, folder: Path) -> Path:
    """A file by its path, the project's own weights by their name, or published ones by theirs."""
    from sleeplib.models import published
    from sleeplib.staging import find_weights

    if Path(name).suffix or name in published.catalogue():
        return Path(name) if Path(name).suffix else folder / f"{name}.safetensors"
    return find_weights(name)[0]


def add_export(commands) -> None:
    """Options of `sleeplib weights export`."""
    command = add_command(commands, "export", export, "write weights as an ONNX file")
    command.add_argument(
        "weights", metavar="NAME|PATH", help="a name of `weights list`, or a .safetensors file"
    )
    command.add_argument("file", metavar="FILE.onnx", type=Path, help="what to write")
    command.add_argument(
        "--per-epoch", type=positive, default=1, metavar="N", help="stages per 30 s, of AnySleep and U-Sleep"
    )
    command.add_argument(
        "--night",
        action="store_true",
        help="SeqSleepNet: a whole night in, all decisions fused; not sequences",
    )
    command.add_argument("--force", action="store_true", help="write over a file that is there")


def export(a) -> None:
    """Write weights as an ONNX file, for programs that have onnxruntime and no Python.

    AnySleep, its variants and U-Sleep take any number of nights, channels and samples; SeqSleepNet any number of
    sequences or, with --night, of epochs. Rate, scaling, channels, order of stages and SHA-256 of the weights stand in
    the file's metadata. Published weights that are not here are fetched. Needs the extra `onnx`.
    """
    if a.file.suffix != ".onnx":
        raise SleeplibError(f"{a.file}: the file to write has to end in .onnx")
    from sleeplib.export.writing import may_fill, may_write
    from sleeplib.models import onnx, weights
    from sleeplib.staging import find_weights

    may_write(a.file, a.force)
    may_fill(a.file.parent)
    path, _ = find_weights(a.weights)
    network = weights.load(path)
    onnx.export(network, a.file, a.per_epoch, a.night)
    told = onnx.facts(network, a.per_epoch, a.night)
    print(f"{a.file}: {told['network']}, {a.file.stat().st_size / 1e6:.1f} MB, from {path}")
    print(f"input: {told['input']}")


def _add_out(command) -> None:
    """The option `--out`."""
    command.add_argument("--out", type=Path, help="folder of the weights (default: data/weights)")


def _folder(a) -> Path:
    """Where fetched weights are."""
    from sleeplib.results import data_folder

    return a.out or data_folder() / "weights"


COMMANDS = (add_weights,)
