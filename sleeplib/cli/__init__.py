"""The door: `sleeplib stage | cohorts | fetch | simulate | prepare | train | evaluate | ... | weights | run`."""

import argparse
import os
import sys

from sleeplib import __version__
from sleeplib.cli import data, networks, stage, train, weights
from sleeplib.errors import SleeplibError

# Nothing heavy is imported in this room: each command imports what it needs, so that --help answers at once.

EPILOG = """\
a night of your own (a folder works, too):
  sleeplib stage night.edf --report      its hypnogram and a page about it, beside the file

a first tour, from a seed to a table (simulated nights, a few minutes on a laptop):
  sleeplib simulate embedded --persons 10 --out data/embedded
  sleeplib prepare embedded --root data/embedded --out data/prepared/embedded
  sleeplib train seqsleepnet --store data/prepared/embedded --out runs/first --steps 300 --learning-rate 1e-3
  sleeplib evaluate runs/first/seqsleepnet.safetensors --store data/prepared/embedded

the experiments of the book:
  sleeplib run --plan                    what there is, what it needs and how long it takes
  sleeplib run --profile demo            run them all; finished ones are skipped
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0 done, 1 some recordings failed, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # a sign that a terminal does not know must not cost the work
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = parser().parse_args(argv)
    try:
        return arguments.command(arguments) or 0
    except SleeplibError as error:
        print(f"sleeplib: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone: `sleeplib run --plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # no permission, no space left
        print(f"sleeplib: {error.filename or 'disk'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sleeplib: interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="sleeplib",
        description="Deep-learning sleep staging, step by step: stage nights of your own; simulate or prepare nights, "
        "train, evaluate, run the book's experiments.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sleeplib {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (*stage.COMMANDS, *data.COMMANDS, *train.COMMANDS, *networks.COMMANDS, *weights.COMMANDS):
        add(commands)
    return top
