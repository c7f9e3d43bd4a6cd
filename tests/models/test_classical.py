"""The baselines on hand-crafted features: better than chance, seeded, and honest about stages they never saw."""

import numpy as np
import pytest
import torch

from sleeplib.models.classical import SVM, BandPowerLDA, Majority, RandomForest
from sleeplib.sampling import Nights
from sleeplib.stages import UNSCORED

HERTZ = (20, 10, 14, 2, 6)  # of a stage's rhythm


def nights(seed=0, n=150):
    """Signals `(n, 1, 500)`: noise and the rhythm of the stage; half the epochs are N2, some are unscored."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 2, 2, 2, 3, 4, UNSCORED], n)
    x = rng.normal(0, 5, (n, 1, 500))
    time = np.arange(500) / 100
    for stage, hertz in enumerate(HERTZ):
        x[labels == stage] += 10 * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6))
    return Nights(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels), [n])


def accuracy(posteriors, test):
    scored = (test.labels != UNSCORED).numpy()
    return (posteriors.argmax(1) == test.labels.numpy())[scored].mean()


@pytest.mark.parametrize("baseline", [lambda: RandomForest(trees=30), SVM])
def test_better_than_the_majority_on_nights_they_have_not_seen(baseline):
    train, test = nights(), nights(1)
    posteriors = baseline().fit(train).posteriors(test.inputs)
    assert posteriors.shape == (150, 5) and posteriors.dtype == np.float32
    assert np.allclose(posteriors.sum(1), 1, atol=1e-5) and (posteriors >= 0).all()
    chance = accuracy(Majority().fit(train).posteriors(test.inputs), test)
    assert accuracy(posteriors, test) > 0.9 > 0.7 > chance


@pytest.mark.parametrize("baseline", [lambda: RandomForest(trees=5, seed=3), lambda: SVM(epochs=60, seed=3)])
def test_the_seed_decides(baseline):
    a, b = (baseline().fit(nights()).posteriors(nights(1).inputs) for _ in range(2))
    assert np.array_equal(a, b)
    other = RandomForest(trees=5, seed=4) if a.max() == 1 else SVM(epochs=60, seed=4)
    assert not np.array_equal(other.fit(nights()).posteriors(nights(1).inputs), a)


@pytest.mark.parametrize("baseline", [lambda: RandomForest(trees=5), SVM])
@pytest.mark.parametrize("missing", [[1], [0, 1, 4]])
def test_a_stage_that_training_lacks_is_never_said(baseline, missing):
    train = nights()
    train.labels[np.isin(train.labels, missing)] = UNSCORED
    posteriors = baseline().fit(train).posteriors(nights(1).inputs)
    assert (posteriors[:, missing] == 0).all() and np.allclose(posteriors.sum(1), 1, atol=1e-5)
    seen = [stage for stage in range(5) if stage not in missing]
    assert set(posteriors.argmax(1)) == set(seen)


def test_unscored_epochs_teach_nothing():
    train = nights()
    other = Nights(train.inputs.clone(), train.labels, train.lengths)
    other.inputs[train.labels == UNSCORED] *= 100
    a, b = (SVM().fit(t).posteriors(nights(1).inputs) for t in (train, other))
    assert np.array_equal(a, b)


def test_an_svm_takes_no_more_epochs_than_it_may_with_the_same_stage_shares():
    train = nights(n=400)
    svm = SVM(epochs=100).fit(train).svm
    assert svm[0].n_samples_seen_ == 100
    scored = train.labels[train.labels != UNSCORED]
    shares = np.bincount(scored) / len(scored)
    means = np.stack([nights_mean(train, stage) for stage in range(5)])
    assert np.allclose(svm[0].mean_, shares @ means, atol=0.5 * svm[0].scale_.max())
    assert accuracy(SVM(epochs=100).fit(train).posteriors(nights(1).inputs), nights(1)) > 0.9


def nights_mean(train, stage):
    from sleeplib.models.features import hand_crafted

    return hand_crafted(train.inputs[train.labels == stage]).mean(0).numpy()


def test_two_stages():
    """One distance: its sign is the stage."""
    train = nights()
    train.labels[(train.labels != 2) & (train.labels != 3)] = UNSCORED
    test = nights(1)
    test.labels[(test.labels != 2) & (test.labels != 3)] = UNSCORED
    assert accuracy(SVM().fit(train).posteriors(test.inputs), test) > 0.95


def test_image_baselines_take_inputs():
    images = torch.randn(20, 1, 4, 129)
    train = Nights(images, torch.arange(20) % 5, [20])
    for baseline in (Majority(), BandPowerLDA()):
        assert baseline.fit(train).posteriors(images).shape == (20, 5)
