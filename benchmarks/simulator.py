"""Time and memory of simulating 8-h nights, and whether the cohort is hard enough: `python benchmarks/simulator.py`.

Prints seconds per night (simulated, and with writing EDF+) on one core, the peak memory, and how well linear
discriminant analysis on the log band powers of one EEG channel stages persons whom it has not seen.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: one core

import numpy as np
from scipy.signal import welch

from sleeplib.readers.edf import write_edf
from sleeplib.simulator import night
from sleeplib.stages import STAGES

BANDS = (
    (0.5, 1),
    (1, 2),
    (2, 4),
    (4, 6),
    (6, 8),
    (8, 10),
    (10, 12),
    (12, 14),
    (14, 16),
    (16, 20),
    (20, 30),
    (30, 45),
)


def band_powers(recording, channel="C4-M1"):
    """Log band powers (N, 12) of 30-s epochs."""
    x, rate = recording.channel(channel)
    f, p = welch(x.reshape(-1, int(30 * rate)), rate, nperseg=int(2 * rate), axis=-1)
    return np.log(np.stack([p[:, (f >= low) & (f <= high)].mean(1) for low, high in BANDS], axis=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=16, help="at least two")
    persons = parser.parse_args().persons
    made, written, features, labels = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(persons):
            start = time.perf_counter()
            recording = night(seed, hours=8)
            made.append(time.perf_counter() - start)
            write_edf(recording, Path(folder) / "night.edf")
            written.append(time.perf_counter() - start)
            if not seed:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            features.append(band_powers(recording))
            labels.append(recording.hypnogram.stages)
    print(
        f"s per 8-h night: {np.median(made):.2f}, with EDF+ {np.median(written):.2f} (best {min(written):.2f})"
    )
    print(f"peak memory: {peak:.0f} MB")
    difficulty(features, labels)


def difficulty(features, labels):
    """Print stage shares and the scores of linear discriminant analysis by person-wise cross-validation."""
    # Imported here so that the peak memory above is the simulator's alone.
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import cohen_kappa_score, f1_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    persons, y = np.repeat(np.arange(len(labels)), [len(h) for h in labels]), np.concatenate(labels)
    folds = GroupKFold(min(4, len(labels)))
    p = cross_val_predict(LinearDiscriminantAnalysis(), np.concatenate(features), y, groups=persons, cv=folds)
    print("share  " + by_stage(np.bincount(y, minlength=5) / y.size))
    print(f"LDA on C4-M1, other persons: accuracy {(p == y).mean():.3f}, kappa {cohen_kappa_score(y, p):.3f}")
    print("F1     " + by_stage(f1_score(y, p, average=None)))


def by_stage(numbers):
    return "  ".join(f"{name} {number:.3f}" for name, number in zip(STAGES, numbers, strict=True))


if __name__ == "__main__":
    main()
