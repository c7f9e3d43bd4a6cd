"""The vocabulary: five stages and "unscored", the dialects of hypnograms, and epoch arithmetic.

Codes everywhere in the code base: 0 W, 1 N1, 2 N2, 3 N3, 4 REM, 9 unscored (movement, artefact, unknown).
Unscored epochs keep their place in time and are left out of losses and metrics.
"""

import re
from itertools import pairwise

import numpy as np

from sleeplib.errors import SleeplibError

STAGES = ("W", "N1", "N2", "N3", "REM")
W, N1, N2, N3, REM = range(5)
UNSCORED = 9
EPOCH_SECONDS = 30.0
# Stages per 30 s at which AnySleep is asked, from one to each sample at 128 Hz (section 2.3).
RESOLUTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 384, 640, 960, 1920, 3840)
LONGEST = 1_000_000  # epochs of one hypnogram; more is a damaged file, not a night

# Rechtschaffen & Kales' S3 and S4 are the AASM's N3; movement time has no stage.
_SPELLINGS = {
    W: ("w", "wake", "sleep stage w", "stage w", "awake"),
    N1: ("n1", "s1", "1", "sleep stage 1", "sleep stage n1", "stage 1", "stage n1", "stage 1 sleep", "nrem1"),
    N2: ("n2", "s2", "2", "sleep stage 2", "sleep stage n2", "stage 2", "stage n2", "stage 2 sleep", "nrem2"),
    N3: ("n3", "s3", "3", "sleep stage 3", "sleep stage n3", "stage 3", "stage n3", "stage 3 sleep", "nrem3",
         "n4", "s4", "4", "sleep stage 4", "sleep stage n4", "stage 4", "stage n4", "stage 4 sleep", "nrem4"),
    REM: ("r", "rem", "sleep stage r", "sleep stage rem", "stage r", "stage rem", "rem sleep"),
    UNSCORED: ("?", "sleep stage ?", "stage ?", "mt", "m", "movement time", "movement", "unscored", "unknown",
               "artefact"),
}  # fmt: skip
_CODE = {spelling: code for code, spellings in _SPELLINGS.items() for spelling in spellings}


def parse(label: str) -> int:
    """Stage code of a label in any dialect: AASM (`N3`), R&K (`S4`), EDF+ (`Sleep stage 4`), NSRR (`REM sleep|5`).

    Digits alone are R&K stage numbers ("1" is N1). Case and white space do not matter.

    Raises
    ------
    SleeplibError
        If the label is not known: a label is never guessed.
    """
    text = re.sub(r"\s+", " ", label.split("|")[0]).strip().lower()
    if text not in _CODE:
        raise SleeplibError(f"unknown sleep stage label {label!r}; known labels: {', '.join(sorted(_CODE))}")
    return _CODE[text]


def is_stage(label: str) -> bool:
    """Whether `parse` knows the label (EDF+ files mix stages with other annotations)."""
    try:
        parse(label)
    except SleeplibError:
        return False
    return True


def edf_text(stage: int) -> str:
    """The EDF+ standard text of a stage: `Sleep stage W`, `Sleep stage N1`, ..., `Sleep stage ?`."""
    if stage == UNSCORED:
        return "Sleep stage ?"
    return "Sleep stage " + ("R" if stage == REM else STAGES[stage])


def check(stages, where: str = "hypnogram") -> np.ndarray:
    """Stages as int8 after a check that each code is one of 0-4 and 9.

    Raises
    ------
    SleeplibError
        Naming `where` and the codes that are no stages.
    """
    stages = np.asarray(stages)
    strange = np.setdiff1d(stages, [*range(5), UNSCORED])
    if stages.ndim != 1 or strange.size:
        what = f"codes {strange.tolist()}" if strange.size else f"shape {stages.shape}"
        raise SleeplibError(
            f"{where}: {what} in the stages; expected a list of 0 W, 1 N1, 2 N2, 3 N3, 4 REM, 9 unscored"
        )
    return stages.astype(np.int8)


def from_intervals(
    onsets, durations, codes, n_epochs: int | None = None, epoch_seconds: float = EPOCH_SECONDS
):
    """Stages `(N,)` int8 on the epoch grid that starts at 0 s, from scored intervals in seconds.

    Each epoch takes the code that covers its middle; epochs that no interval covers are unscored. Where intervals
    overlap, the later one in the list wins. `n_epochs` cuts or pads; by default the last interval's end decides.
    """
    onsets, durations = np.asarray(onsets, float), np.asarray(durations, float)
    if n_epochs is None:
        n_epochs = int(np.ceil(np.max(onsets + durations, initial=0.0) / epoch_seconds - 1e-6))
    if n_epochs > LONGEST:
        raise SleeplibError(
            f"scored intervals that end after {n_epochs * epoch_seconds / 86400:.0f} days are damaged"
        )
    stages = np.full(n_epochs, UNSCORED, np.int8)
    first = np.ceil(onsets / epoch_seconds - 0.5 - 1e-9).astype(int)
    last = np.ceil((onsets + durations) / epoch_seconds - 0.5 - 1e-9).astype(int)
    for start, stop, code in zip(first, last, codes, strict=True):
        stages[max(start, 0) : max(stop, 0)] = code
    return stages


def to_intervals(stages, epoch_seconds: float = EPOCH_SECONDS) -> list[tuple[float, float, int]]:
    """Bouts of equal stage as `(onset, duration, code)` in seconds; the inverse of `from_intervals`."""
    stages = np.asarray(stages)
    if stages.size == 0:
        return []
    edges = np.flatnonzero(np.r_[True, stages[1:] != stages[:-1], True])
    return [
        (float(start * epoch_seconds), float((stop - start) * epoch_seconds), int(stages[start]))
        for start, stop in pairwise(edges)
    ]
