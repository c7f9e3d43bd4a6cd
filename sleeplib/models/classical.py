"""The simple baselines that stand in every table: chance, a linear discriminant on band powers, and the two classifiers
on hand-crafted features that Table II of Phan et al. (2019) has from Dong et al. (2017).

All have `fit(nights, rate)` and `posteriors(inputs)`. Majority and BandPowerLDA take images, the others signals.
"""

import numpy as np
import torch
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import resample

from sleeplib.models.features import BANDS, hand_crafted
from sleeplib.models.raw import in_chunks
from sleeplib.sampling import Nights
from sleeplib.stages import STAGES, UNSCORED


def band_powers(images: torch.Tensor, rate: float = 100.0) -> np.ndarray:
    """Mean power of each band and channel in dB: images `(N, C, T, F)` -> `(N, C * 6)`.

    Power is averaged over bins and frames before the logarithm, as in Welch's method. Bands above half the `rate` are
    left out.
    """
    hertz = np.arange(images.shape[-1]) * rate / 256
    bands = [(hertz >= low) & (hertz < high) for low, high in BANDS.values()]

    def of(images: torch.Tensor) -> torch.Tensor:
        power = torch.pow(10.0, images / 10)
        means = [power[..., band].mean((-2, -1)) for band in bands if band.any()]
        return 10 * torch.log10(torch.stack(means, dim=-1)).flatten(1)

    return in_chunks(of, images, 1024).numpy()


def of_all_stages(known: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Posteriors `(N, len(classes))` -> `(N, 5)`; a stage that training lacked has 0."""
    result = np.zeros((len(known), len(STAGES)), np.float32)
    result[:, classes] = known
    return result


class Majority:
    """Chance with knowledge of the stage shares: always the most frequent stage of the training nights."""

    signals = False

    def fit(self, train: Nights, rate: float = 100.0) -> "Majority":
        """Count the stages of the training nights; `rate` does not matter."""
        labels = train.labels[train.labels != UNSCORED]
        self.shares = np.bincount(labels, minlength=len(STAGES)) / len(labels)
        return self

    def posteriors(self, inputs: torch.Tensor) -> np.ndarray:
        """Images or signals `(N, ...)` -> the training shares for each epoch, `(N, 5)`."""
        return np.tile(self.shares.astype(np.float32), (len(inputs), 1))


class BandPowerLDA:
    """Linear discriminant analysis on the log band powers of each epoch on its own."""

    signals = False

    def fit(self, train: Nights, rate: float = 100.0) -> "BandPowerLDA":
        """Fit on the scored epochs of the training nights; `rate` is that of the signals, in Hz."""
        scored, self.rate = train.labels != UNSCORED, rate
        powers = band_powers(train.inputs, rate)[scored]
        self.lda = LinearDiscriminantAnalysis().fit(powers, train.labels[scored])
        return self

    def posteriors(self, inputs: torch.Tensor) -> np.ndarray:
        """Images `(N, C, T, F)` -> posteriors `(N, 5)`; a stage that training lacked has none."""
        return of_all_stages(self.lda.predict_proba(band_powers(inputs, self.rate)), self.lda.classes_)


class RandomForest:
    """A random forest (Breiman 2001) on the hand-crafted features of each epoch on its own.

    Dong et al.'s settings are not known to us: these are scikit-learn's, with more trees.
    """

    signals = True

    def __init__(self, trees: int = 200, seed: int = 0):
        self.forest = RandomForestClassifier(trees, n_jobs=1, random_state=seed)

    def fit(self, train: Nights, rate: float = 100.0) -> "RandomForest":
        """Fit on the scored epochs of the training nights; `rate` is that of the signals, in Hz."""
        scored, self.rate = train.labels != UNSCORED, rate
        self.forest.fit(hand_crafted(train.inputs, rate)[scored], train.labels[scored])
        return self

    def posteriors(self, inputs: torch.Tensor) -> np.ndarray:
        """Signals `(N, C, S)` -> mean of the trees' posteriors, `(N, 5)`."""
        return of_all_stages(self.forest.predict_proba(hand_crafted(inputs, self.rate)), self.forest.classes_)


class SVM:
    """A support-vector machine with a Gaussian kernel on the z-scored hand-crafted features of each epoch on its own.

    Its cost grows with the square of the training epochs: of more than `epochs`, a random part with the same stage
    shares is taken. Dong et al.'s settings are not known to us: `C` and the kernel's width are scikit-learn's.
    """

    signals = True

    def __init__(self, epochs: int = 10_000, C: float = 1.0, seed: int = 0):
        self.epochs, self.seed = epochs, seed
        self.svm = make_pipeline(StandardScaler(), SVC(C=C))

    def fit(self, train: Nights, rate: float = 100.0) -> "SVM":
        """Fit on scored epochs of the training nights; `rate` is that of the signals, in Hz."""
        taken, self.rate = np.flatnonzero(train.labels != UNSCORED), rate
        if len(taken) > self.epochs:
            taken = resample(
                taken,
                replace=False,
                n_samples=self.epochs,
                stratify=train.labels[taken].numpy(),
                random_state=self.seed,
            )
        self.svm.fit(hand_crafted(train.inputs[taken], rate), train.labels[taken])
        return self

    def posteriors(self, inputs: torch.Tensor) -> np.ndarray:
        """Signals `(N, C, S)` -> `(N, 5)`: the softmax of the decision function.

        That ranks the stages but is no calibrated probability; a calibration would cost several more fits.
        """
        decision = self.svm.decision_function(hand_crafted(inputs, self.rate))
        if decision.ndim == 1:  # two stages have one distance, positive on the second's side
            decision = np.stack([-decision, decision], axis=1)
        return of_all_stages(softmax(decision, axis=1), self.svm.classes_)
