"""The simple baselines that stand in every table: the majority class, and a linear discriminant on band powers."""

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sleeplib.sampling import Nights
from sleeplib.stages import STAGES, UNSCORED

# Hz, lower bound included; the field's usual bands.
BANDS = {
    "delta": (0.5, 4),
    "theta": (4, 8),
    "alpha": (8, 12),
    "sigma": (12, 16),
    "beta": (16, 30),
    "gamma": (30, 45),
}


def band_powers(images: torch.Tensor, rate: float = 100.0) -> np.ndarray:
    """Mean power of each band and channel in dB: images `(N, C, T, F)` -> `(N, C * 6)`.

    Power is averaged over bins and frames before the logarithm, as in Welch's method.
    """
    hertz = np.arange(images.shape[-1]) * rate / 256
    power = torch.pow(10.0, images / 10)
    bands = [power[..., (hertz >= low) & (hertz < high)].mean((-2, -1)) for low, high in BANDS.values()]
    return 10 * torch.log10(torch.stack(bands, dim=-1)).flatten(1).numpy()


class Majority:
    """Chance with knowledge of the stage shares: always the most frequent stage of the training nights."""

    def fit(self, train: Nights, rate: float = 100.0) -> "Majority":
        """Count the stages of the training nights; `rate` does not matter."""
        labels = train.labels[train.labels != UNSCORED]
        self.shares = np.bincount(labels, minlength=len(STAGES)) / len(labels)
        return self

    def posteriors(self, images: torch.Tensor) -> np.ndarray:
        """Images `(N, C, T, F)` -> the training shares for each epoch, `(N, 5)`."""
        return np.tile(self.shares.astype(np.float32), (len(images), 1))


class BandPowerLDA:
    """Linear discriminant analysis on the log band powers of each epoch on its own."""

    def fit(self, train: Nights, rate: float = 100.0) -> "BandPowerLDA":
        """Fit on the scored epochs of the training nights; `rate` is that of the signals, in Hz."""
        scored, self.rate = train.labels != UNSCORED, rate
        self.lda = LinearDiscriminantAnalysis().fit(
            band_powers(train.images[scored], rate), train.labels[scored]
        )
        return self

    def posteriors(self, images: torch.Tensor) -> np.ndarray:
        """Images `(N, C, T, F)` -> posteriors `(N, 5)`; a stage that training lacked has none."""
        result = np.zeros((len(images), len(STAGES)), np.float32)
        result[:, self.lda.classes_] = self.lda.predict_proba(band_powers(images, self.rate))
        return result
