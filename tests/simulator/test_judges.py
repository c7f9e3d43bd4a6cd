"""YASA, a stager and detectors made on thousands of real nights, looks at simulated ones that it has never seen.

Raphael Vallat and Matthew Walker, "An open-source, high-performance tool for automated sleep staging", eLife 2021.
"""

import logging
import warnings

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.metrics import cohen_kappa_score, f1_score

from sleeplib.simulator import night, scorers
from sleeplib.stages import N2, N3, REM

CODES = {"WAKE": 0, "W": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 4, "R": 4}
SEEDS = (300, 301, 302)

pytestmark = pytest.mark.slow


def _judge(seed):
    """Stages by rule and as YASA sees them, and the numbers of its detections in each stage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its pickled label encoder is older than this scikit-learn
        import mne
        import yasa

        for logger in ("yasa", "mne"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        r = night(seed, ahi=1)
        rules = scorers.rules(r.truth)
        guess = _stages(mne, yasa, r)
        return rules, guess[: len(rules)], _detections(yasa, r, rules)


def _stages(mne, yasa, r):
    picks = {"C4-M1": "eeg", "E1-M2": "eog", "Chin1-Chin2": "emg"}
    volts = np.stack([r.channel(name)[0] for name in picks]).astype(float) * 1e-6
    info = mne.create_info(list(picks), 128, list(picks.values()))
    raw = mne.io.RawArray(volts, info, verbose="ERROR")
    who = {"age": int(r.subject.age), "male": r.subject.sex == "M"}
    found = yasa.SleepStaging(raw, "C4-M1", eog_name="E1-M2", emg_name="Chin1-Chin2", metadata=who).predict()
    return np.array([CODES[str(stage)] for stage in getattr(found, "hypno", found)])


def _detections(yasa, r, rules):
    hypno = np.repeat(rules, 30 * 128).astype(int)
    x = {
        name: r.channel(name)[0][: hypno.size].astype(float) for name in ("C4-M1", "F4-M1", "E1-M2", "E2-M2")
    }
    how = {"sf": 128, "hypno": hypno, "include": (0, 1, 2, 3, 4), "verbose": "ERROR"}
    found = {
        "spindles": yasa.spindles_detect(x["C4-M1"], **how),
        "slow waves": yasa.sw_detect(x["F4-M1"], **how),
        "eye movements": yasa.rem_detect(x["E1-M2"], x["E2-M2"], **how),
    }
    return {
        name: np.zeros(5) if one is None else np.bincount(one.summary()["Stage"].astype(int), minlength=5)
        for name, one in found.items()
    }


@pytest.fixture(scope="module")
def judged():
    return Parallel(n_jobs=2)(delayed(_judge)(seed) for seed in SEEDS)


def test_a_stager_trained_on_real_nights_recognises_simulated_ones(judged):
    assert np.median([cohen_kappa_score(rules, guess) for rules, guess, _ in judged]) >= 0.65
    rules, guess = (np.concatenate(parts) for parts in list(zip(*judged, strict=True))[:2])
    f1 = f1_score(rules, guess, labels=range(5), average=None)
    assert f1.min() >= 0.35, f1.round(2)


def _density(judged, what):
    """Detections per minute of each stage, (5,)."""
    minutes = np.sum([np.bincount(rules, minlength=5) / 2 for rules, _, _ in judged], axis=0)
    return np.sum([found[what] for _, _, found in judged], axis=0) / minutes


def test_spindles_are_as_frequent_in_n2_as_in_real_nights(judged):
    density = _density(judged, "spindles")
    assert 1 <= density[N2] <= 4 and density[N2] > 2 * density[REM], density.round(2)


def test_slow_waves_fill_n3(judged):
    density = _density(judged, "slow waves")
    assert 5 <= density[N3] <= 40 and density[N3] > 2 * density[N2] > density[REM], density.round(2)


def test_eyes_move_rapidly_in_rem(judged):
    density = _density(judged, "eye movements")
    assert 2 <= density[REM] <= 12 and density[REM] > 2 * density[N3], density.round(2)
