"""A staged night in, the epochs out that a person should look at first.

Which these are is our judgement, and the page says so (`RULES`); no paper of the book's defines them.
"""

import numpy as np

from sleeplib.report.tables import per_cent
from sleeplib.staged import Staged
from sleeplib.stages import N3, REM, STAGES, UNSCORED, W

MOST = 12  # entries: what a person looks at, and what a printed page holds
_OF_A_KIND = 4  # entries of one rule of sequence, so that one rule does not fill the list
_APART = 10  # epochs between two doubtful ones: a list of one bad stretch would be of little use
_SURE = 0.9  # confidence above which no epoch is doubtful
_EARLY = 30  # epochs: REM within 15 min of sleep onset
# Pairs of an epoch and its next that sleepers hardly ever show.
_STRANGE = {(W, N3): "W straight to N3", (N3, REM): "N3 straight to REM", (REM, N3): "REM straight to N3"}
RULES = (
    "Sequences that sleepers hardly ever show (W or REM straight to N3, N3 straight to REM, REM within 15 min of sleep "
    "onset), single epochs of REM with none in the two before and after, and the least certain epochs below 90 %, one "
    "at most in 5 min. The choice is the software's own; no manual defines it."
)


def worth(night: Staged) -> tuple[list[dict], int]:
    """The epochs worth a look, in order of time, and how many sequences found no place in the list.

    Each is `epoch` (from 0), `best` (its two most probable stages with their shares) and `why`, in words.
    """
    stages, why = night.hypnogram.stages, {}
    odd = [early_rem(stages), isolated_rem(stages), *(pairs(stages, *pair) for pair in _STRANGE)]
    words = ["REM within 15 min of sleep onset", "a single epoch of REM", *_STRANGE.values()]
    for epochs, reason in zip(odd, words, strict=True):
        for epoch in epochs[:_OF_A_KIND].tolist():
            why.setdefault(epoch, []).append(reason)
    kept = dict(sorted(why.items(), key=lambda item: -len(item[1]))[: MOST - 2])
    more = len(set(np.concatenate(odd).tolist()) - set(kept))
    known = (
        night.posteriors if night.unscored is None else np.where(night.unscored[:, None], 1, night.posteriors)
    )
    for epoch in doubtful(known, MOST):
        if len(kept) < MOST or epoch in kept:
            kept.setdefault(epoch, []).append("among the least certain")
    return [_entry(night.posteriors, epoch, kept[epoch]) for epoch in sorted(kept)], more


def early_rem(stages) -> np.ndarray:
    """The first epoch of REM, if it is within 15 min of the first of sleep."""
    asleep, rem = np.flatnonzero((stages != W) & (stages != UNSCORED)), np.flatnonzero(stages == REM)
    return rem[:1] if rem.size and rem[0] - asleep[0] < _EARLY else rem[:0]


def isolated_rem(stages) -> np.ndarray:
    """Epochs of REM with none in the two before and after."""
    rem = np.pad(stages == REM, 2)
    near = rem[:-4] | rem[1:-3] | rem[3:-1] | rem[4:]
    return np.flatnonzero(rem[2:-2] & ~near)


def pairs(stages, before: int, after: int) -> np.ndarray:
    """Epochs of stage `after` whose epoch before is of stage `before`."""
    return 1 + np.flatnonzero((stages[:-1] == before) & (stages[1:] == after))


def doubtful(posteriors, most: int, apart: int = _APART) -> list[int]:
    """The least confident epochs of posteriors (N, 5), the least first, `apart` epochs or more from one another."""
    chosen: list[int] = []
    best = np.nan_to_num(posteriors).max(1)
    for epoch in np.argsort(best, kind="stable")[: np.count_nonzero(best < _SURE)].tolist():
        if all(abs(epoch - other) >= apart for other in chosen):
            chosen.append(epoch)
            if len(chosen) == most:
                break
    return chosen


def _entry(posteriors, epoch: int, why: list[str]) -> dict:
    shares = np.nan_to_num(posteriors[epoch])
    first, second = np.argsort(-shares, kind="stable")[:2]
    best = ", ".join(f"{STAGES[k]} {per_cent(shares[k])}" for k in (first, second))
    return {"epoch": epoch, "best": best, "why": "; ".join(why)}
