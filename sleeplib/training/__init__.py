"""Two visible loops. Killed at any step and started again, they end with the same bits (on one CPU configuration)."""

from sleeplib.training.checkpoint import Checkpoint
from sleeplib.training.nights import NightTraining, fit_nights, night_loss, validate
from sleeplib.training.sequences import (
    RECIPES,
    TrainingSettings,
    fit,
    sequence_loss,
    validation_accuracy,
)

__all__ = [
    "RECIPES", "Checkpoint", "NightTraining", "TrainingSettings", "fit", "fit_nights", "night_loss", "sequence_loss",
    "validate", "validation_accuracy",
]  # fmt: skip
