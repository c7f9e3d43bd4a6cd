"""How often stages flicker: triplets in blocks of a night, and the few numbers of a report beside them."""

import numpy as np

from sleeplib.analysis import architecture
from sleeplib.errors import SleeplibError
from sleeplib.stages import UNSCORED, W, check

BLOCK = 180  # epochs of 30 s: an hour and a half
# Codes of the three stages of each feature, (80, 3): neighbours differ, the first and the third may be the same.
TRIPLETS = np.array(
    [(i, j, k) for i in range(5) for j in range(5) for k in range(5) if i != j and j != k], np.int8
)
STATISTICS = ("asleep (h)", "awake after sleep onset (h)", "N1", "N2", "N3", "REM", "stage changes per hour")
# The same in `architecture.sleep_statistics`, and what its minutes and percents are multiplied with.
_REPORTED = {
    "total sleep time": 1 / 60, "wake after sleep onset": 1 / 60, "share N1": 0.01, "share N2": 0.01,
    "share N3": 0.01, "share REM": 0.01, "transitions": 1,
}  # fmt: skip
_UNSCORED = 5  # in triplets, so that 36 i + 6 j + k is below 256
_CODE = TRIPLETS.astype(int) @ [36, 6, 1]


def triplets(stages, per_epoch: int, stages_30s) -> np.ndarray:
    """How often three neighbouring stages differ, each from the next, in each block of a night.

    Parameters
    ----------
    stages : array (N * per_epoch,)
        Stages at the resolution asked for.
    per_epoch : int
        Stages in 30 s.
    stages_30s : array (N,)
        Stages of the 30-s epochs, by the same system: blocks begin at the first that is sleep and end before the last
        one (the released code leaves that one out). The last block may be shorter; counts are not scaled.

    Returns
    -------
    array (blocks, 80) of int
        In the order of `TRIPLETS`; no block where there is no sleep or a single epoch of it. Unscored epochs are no
        sleep, and triplets with an unscored stage are not counted.

    Raises
    ------
    SleeplibError
        If a code is no stage, or the lengths do not fit together.
    """
    fine, epochs = check(stages, "triplets: stages"), check(stages_30s, "triplets: stages_30s")
    whole = isinstance(per_epoch, int | np.integer) and not isinstance(per_epoch, bool)
    if not whole or per_epoch < 1 or fine.size != per_epoch * epochs.size:
        raise SleeplibError(
            f"triplets: {fine.size} stages do not fit {epochs.size} epochs at per_epoch={per_epoch!r}; "
            "give per_epoch stages for each epoch of 30 s"
        )
    asleep = np.flatnonzero((epochs != W) & (epochs != UNSCORED))
    if asleep.size < 2:
        return np.zeros((0, len(TRIPLETS)), np.int64)
    fine = fine[asleep[0] * per_epoch : asleep[-1] * per_epoch]
    fine, size = np.minimum(fine, _UNSCORED).astype(np.uint8), BLOCK * per_epoch
    code = 36 * fine[:-2] + 6 * fine[1:-1] + fine[2:]
    # All 216 kinds are counted, for which nothing has to be looked up; the 80 are taken from them.
    blocks = [code[start : start + size - 2] for start in range(0, fine.size, size)]
    return np.stack([np.bincount(block, minlength=6**3)[_CODE] for block in blocks])


def statistics_of_a_night(stages_30s) -> np.ndarray:
    """What a report says of a night (N,) of 30-s stages, from its first epoch of sleep to the last: `STATISTICS` (7,).

    They are `architecture.sleep_statistics` of this time, in h and as shares of 1: unscored epochs are time and no
    stage, and no change is counted across them. All are 0 without sleep, and none is ever NaN: REM latency and what
    else a night may lack are not among them.
    """
    epochs = check(stages_30s, "statistics_of_a_night")
    asleep = np.flatnonzero((epochs != W) & (epochs != UNSCORED))
    if not asleep.size:
        return np.zeros(len(STATISTICS))
    report = architecture.sleep_statistics(epochs[asleep[0] : asleep[-1] + 1])
    return np.array([report[name] * unit for name, unit in _REPORTED.items()])
