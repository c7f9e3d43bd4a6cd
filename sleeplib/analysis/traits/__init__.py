"""From stages to a person: how often the stage flickers, and what forests make of it (age, sex, sleep apnea).

After AnySleep, sections 2.3 and 4.5 (Perslev et al. 2021 before it); facts A4.6. A night is cut into blocks of an hour
and a half; of each, 80 kinds of stage triplets are counted. A forest is trained on blocks and judged on persons.
"""

from sleeplib.analysis.traits.counts import BLOCK, STATISTICS, TRIPLETS, statistics_of_a_night, triplets
from sleeplib.analysis.traits.forest import (
    Forest,
    forests,
    grid,
    predict,
    predict_simply,
    published_forests,
    splits,
)
from sleeplib.analysis.traits.scoring import (
    METRIC,
    PER,
    TASKS,
    best,
    change,
    coin_flips,
    decide,
    leave_one_out_mean,
    rmse,
    score,
    scores,
    summary,
    tallies,
)

__all__ = [
    "BLOCK", "METRIC", "PER", "STATISTICS", "TASKS", "TRIPLETS", "Forest", "best", "change", "coin_flips", "decide",
    "forests", "grid", "leave_one_out_mean", "predict", "predict_simply", "published_forests", "rmse", "score",
    "scores", "splits", "statistics_of_a_night", "summary", "tallies", "triplets",
]  # fmt: skip
