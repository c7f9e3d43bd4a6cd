"""The command for nights of one's own: `stage`."""

import signal
import sys
import threading
from argparse import ArgumentTypeError
from pathlib import Path

from sleeplib.cli.common import add_command, number, positive
from sleeplib.cli.stage_files import Task, expanded, tasks
from sleeplib.errors import SleeplibError

FORMATS = ("edf", "csv", "fine-csv", "bids", "npz", "yasa", "yasa-json", "statistics")
# Columns of the table at the end, their headings and decimals.
_SHOWN = {"night": ("night", 0), "channels": ("channels", 0), "confidence": ("confidence", 2), "TST (min)": ("TST", 1),
          "SE (%)": ("SE %", 1), "SOL (min)": ("SOL", 1), "WASO_lights_on (min)": ("WASO", 1), "%N1": ("N1 %", 1),
          "%N2": ("N2 %", 1), "%N3": ("N3 %", 1), "%REM": ("REM %", 1)}  # fmt: skip


def add_stage(commands) -> None:
    """Options of `sleeplib stage`."""
    command = add_command(commands, "stage", stage, "stage nights of your own: files in, hypnograms out")
    command.add_argument(
        "files",
        nargs="+",
        type=_path,
        metavar="FILE",
        help="recordings (EDF, EDF+, BDF, BDF+, WFDB, HDF5, npz), or folders of them",
    )
    command.add_argument(
        "--out", type=_path, metavar="FOLDER", help="where the results go (default: beside each file)"
    )
    command.add_argument(
        "--format", type=_names, default=["edf", "csv"], metavar="A,B,...",
        help=f"what to write (default: edf,csv); there are {', '.join(FORMATS)}",
    )  # fmt: skip
    command.add_argument("--report", action="store_true", help="write a page of HTML about each night, too")
    command.add_argument(
        "--summary",
        type=_path,
        metavar="FILE",
        help="write the table of all nights as .csv or .tsv, with every statistic",
    )
    command.add_argument(
        "--weights", metavar="NAME|PATH",
        help="what stages (default: the published weights of AnySleep, fetched once; see `sleeplib weights list`)",
    )  # fmt: skip
    command.add_argument(
        "--resolution", type=number(float, 0), default=30.0, metavar="S",
        help="seconds per stage of the fine formats and the report",
    )  # fmt: skip
    command.add_argument(
        "--arousals", action="store_true", help="tell arousals, from stages of 3.75 s or less"
    )
    command.add_argument(
        "--channels", type=_names, metavar="A,B,...",
        help="labels of the files, or differences `A - B` (default: all EEG and EOG that can be found)",
    )  # fmt: skip
    command.add_argument(
        "--list-channels", action="store_true", help="only tell what each channel is, and why"
    )
    command.add_argument(
        "--start", metavar="TIME", help="lights off, as 23:10 or in seconds (default: all of the night)"
    )
    command.add_argument(
        "--end", metavar="TIME", help="lights on, as 06:45 or in seconds (default: all of the night)"
    )
    command.add_argument("--device", default="cpu", help="torch's name of it, such as cpu or cuda")
    command.add_argument(
        "--bfloat16", action="store_true", help="compute in half the bits; some three stages in 1,000 differ"
    )
    command.add_argument(
        "--jobs",
        type=positive,
        default=1,
        help="nights side by side, of which each takes about 1.5 GB of memory",
    )
    command.add_argument(
        "--age", type=number(float, 0, 130), metavar="YEARS",
        help="of the person, for what is usual at that age (default: as the file says, if it does)",
    )  # fmt: skip
    command.add_argument(
        "--anonymous",
        action="store_true",
        help="no name, code or date in any result, which are called night-001 and so on",
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="skip nights whose results are all there, whatever options made them",
    )
    command.add_argument("--force", action="store_true", help="write over results that are there")


def _path(text: str) -> Path:
    """A file or folder as it is typed; of an empty text `Path` would make the current folder."""
    if not text:
        raise ArgumentTypeError("an empty name; the current folder is `.`")
    return Path(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def stage(a) -> int:
    """Stage nights of your own: channels are found by themselves, nothing leaves this machine.

    Beside each recording (or in --out) stand the hypnogram as EDF+ annotations and as a table with probabilities.
    A night that fails does not stop the others; the exit code is then 1.
    """
    main = threading.current_thread() is threading.main_thread()  # only there are signals handled
    before = main and signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # what is half-written is removed
    try:
        return _stage(a)
    except KeyboardInterrupt:
        print("sleeplib: interrupted; add --resume to go on where it stopped", file=sys.stderr)
        return 130
    finally:
        if before:
            signal.signal(signal.SIGTERM, before)


def _stage(a) -> int:
    paths = expanded(a.files)
    if a.list_channels:
        return _list_channels(paths)
    todo = tasks(a, paths)
    if done := len(paths) - len(todo):
        print(f"{done} of {len(paths)} nights have their results and are skipped, in the table too")
    if not todo:
        return 0
    weights, told = _prepared(a)
    if told:
        print(f"sleeplib: {_line(told)}", file=sys.stderr)
    if a.arousals and a.resolution > 3.75:
        print("arousals are told from stages of 3.75 s")
    options = {
        "weights": weights, "resolution": a.resolution, "channels": a.channels, "arousals": a.arousals,
        "start": a.start, "end": a.end, "device": a.device, "age": a.age,
        "bfloat16": a.bfloat16,
    }  # fmt: skip
    from tqdm import tqdm

    from sleeplib.parallel import work

    for task in todo if a.anonymous else ():  # the only place where somebody can read who is who
        print(f"{task.id} is {_line(str(task.path))}")
    items = [(task, a.format, a.report, a.anonymous, a.force, options) for task in todo]
    nights, failed = [], 0
    for task, (night, warned, error) in zip(todo, work(_one, items, a.jobs, desc="staging"), strict=True):
        for line in dict.fromkeys([*warned, *([error] if error else [])]):
            whole = line if str(task.path) in line else f"{task.path}: {line}"
            tqdm.write(f"sleeplib: {_line(whole)}", file=sys.stderr)
        failed += night is None
        nights += [] if night is None else [night]
    _sum_up(a, nights)
    if failed:
        print(f"sleeplib: {failed} of {len(todo)} nights failed, told above", file=sys.stderr)
    return 1 if failed else 0


def _prepared(a) -> tuple[Path, str]:
    """The file of weights and what to know about it, after a look at the options that each night shares."""
    from sleeplib import staging

    staging.stages_per_epoch(a.resolution)
    weights, told = staging.find_weights(a.weights)
    staging.load(weights, a.device, a.bfloat16)
    return weights, told


def _one(task: Task, formats, report: bool, anonymous: bool, force: bool, options: dict):
    """Stage a night and write its files: the night, warnings, and why it failed ("" if it did not)."""
    import warnings

    from sleeplib.staging import StagingWarning

    night, error = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StagingWarning)
        try:
            night = _made(task, formats, report, anonymous, force, options)
        except SleeplibError as problem:
            error = str(problem)
        except OSError as problem:
            reason = (problem.strerror or str(problem)).lower()
            error = f"{task.path}: {problem.filename or task.folder} cannot be used ({reason}); choose another --out"
        except MemoryError:
            error = f"{task.path}: not enough memory; stage a part of it by --start and --end, or fewer --channels"
        except Exception as problem:  # a bug of ours must not cost the other nights
            error = f"{task.path}: an error of sleeplib itself, please report it ({problem!r:.200})"
    return night, [str(each.message) for each in caught if issubclass(each.category, StagingWarning)], error


def _made(task: Task, formats, report: bool, anonymous: bool, force: bool, options: dict):
    """A night whose files are written once all of them are made; without what is large and no table needs.

    Files that are there, of a batch that goes on, stay as they are unless `force`.
    """
    import tempfile
    from dataclasses import replace

    from sleeplib import export, staging
    from sleeplib.report import report as write_report

    night = staging.stage(task.path, **options)
    night = night.anonymous(task.id) if anonymous else replace(night, id=task.id)
    task.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sleeplib-", dir=task.folder) as made:
        export.write(night, made, formats)
        if report:
            write_report(night, Path(made) / task.report)
        for file in Path(made).iterdir():
            if force or not (task.folder / file.name).exists():
                file.replace(task.folder / file.name)
    return replace(night, fine=None, per_epoch=1, attention=None, spectrum=None, hertz=None)


def _line(text: str) -> str:
    """A text of which every sign can be printed, on one line: labels and names come from files."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _sum_up(a, nights: list) -> None:
    if not nights:
        return
    from sleeplib import export

    table = export.summary_table(nights)
    shown = {head: table[name].round(digits) for name, (head, digits) in _SHOWN.items() if name in table}
    rows = [list(shown), *([f"{cell}" for cell in row] for row in zip(*shown.values(), strict=True))]
    _print_table(rows)
    if a.summary:
        print(f"table in {export.summary(nights, a.summary, a.force)}")


def _print_table(rows: list[list[str]]) -> None:
    """Print rows of texts in columns."""
    rows = [[_line(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True)).rstrip())


def _list_channels(paths: list[Path]) -> int:
    """Print what each channel of the files is, what of it a network would be shown, and why."""
    from sleeplib import labels, readers

    failed = 0
    for path in paths:
        try:
            header = readers.header(path)
        except SleeplibError as error:
            failed += 1
            print(f"sleeplib: {_line(str(error))}", file=sys.stderr)
            continue
        print(f"{_line(str(path))}: {len(header.channels)} channels")
        rows = [["label", "role", "electrode", "reference", "Hz", "unit", "used", "why"]]
        for r in labels.table(header):
            named = r.label, r.role, r.electrode, r.reference
            rows.append([*named, f"{r.rate:g}", r.unit, "yes" if r.used else "no", r.why])
        _print_table(rows)
        shown = ", ".join(f"{d.name} ({d.role})" for d in labels.derivations(header))
        print(f"shown to the network: {_line(shown) or 'nothing; name channels by --channels'}\n")
    return 1 if failed else 0


COMMANDS = (add_stage,)
