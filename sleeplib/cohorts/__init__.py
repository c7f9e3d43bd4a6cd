"""A manifest in, a list of recordings out. What is peculiar to a data set stands in `data_manifests/*.yaml`.

`manifests` reads and checks them, `downloads` gets the files, `files` finds those of each recording, `nights` reads one
night whatever its format, `splits` keeps persons apart.
"""

from sleeplib.cohorts.files import Entry, recordings, tables_missing
from sleeplib.cohorts.manifests import MANIFESTS, Manifest, load, names
from sleeplib.cohorts.nights import read
from sleeplib.cohorts.overview import describe, facts, table
from sleeplib.cohorts.splits import folds, split

__all__ = [
    "MANIFESTS", "Entry", "Manifest", "describe", "facts", "folds", "load", "names", "read", "recordings", "split",
    "table", "tables_missing",
]  # fmt: skip
