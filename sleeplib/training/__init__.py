"""Two visible loops. Killed at any step and started again, they end with the same bits (on one CPU configuration)."""

from sleeplib.training.checkpoint import Checkpoint
from sleeplib.training.sequences import (
    RECIPES,
    TrainingSettings,
    fit,
    sequence_loss,
    validation_accuracy,
)

__all__ = ["RECIPES", "Checkpoint", "TrainingSettings", "fit", "sequence_loss", "validation_accuracy"]
