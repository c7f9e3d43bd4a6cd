"""`python -m sleeplib.experiments pair | book`: what `make` calls; readers use `sleeplib run`."""

import argparse
import sys

from sleeplib.errors import SleeplibError
from sleeplib.experiments import build_book, pair

COMMANDS = {"pair": pair, "book": build_book}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sleeplib.experiments", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    try:
        COMMANDS[parser.parse_args().command]()
    except SleeplibError as error:
        sys.exit(f"sleeplib: {error}")
