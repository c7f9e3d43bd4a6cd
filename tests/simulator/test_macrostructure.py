"""The architecture of the simulated night, without signals: fast enough for dozens of nights."""

import numpy as np
import pytest

from sleeplib.simulator import macrostructure, people, scorers
from sleeplib.stages import N1, N2, N3, REM, W


def _night(seed, age=40.0, hours=8.0, **given):
    who, night, scorer = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    person = people.draw(who, age=age, **given)
    truth = macrostructure.simulate(person, hours, night)
    return truth, scorers.score(scorers.rules(truth.state), scorer)


@pytest.fixture(scope="module")
def nights():
    return [_night(seed) for seed in range(30)]


def test_stage_shares_of_forty_year_olds(nights):
    share = np.mean([np.bincount(read, minlength=5) / read.size for _, read in nights], axis=0)
    limits = {W: (0.09, 0.18), N1: (0.045, 0.10), N2: (0.40, 0.54), N3: (0.13, 0.23), REM: (0.155, 0.22)}
    for stage, (low, high) in limits.items():
        assert low < share[stage] < high, f"stage {stage}: {share.round(3)}"


def test_slow_wave_sleep_comes_early_and_rem_sleep_late(nights):
    early, late, latency = [], [], []
    for _, read in nights:
        third = read.size // 3
        early.append((read[:third] == N3).sum() / (read == N3).sum())
        late.append((read[-third:] == REM).sum() / (read == REM).sum())
        latency.append(((read == REM).argmax() - ((read > W) & (read < 5)).argmax()) / 2)
    assert np.mean(early) > 0.45
    assert np.mean(late) > 0.42
    assert 65 < np.median(latency) < 125


def test_the_state_is_continuous_in_time(nights):
    edges = np.concatenate([np.flatnonzero(np.diff(truth.stages)) + 1 for truth, _ in nights])
    assert (edges % (30 * macrostructure.RATE) == 0).mean() < 0.02


def test_arousals_are_short_wakes_after_ten_seconds_of_sleep(nights):
    truth = nights[0][0]
    arousals = [e for e in truth.events if e.kind == "arousal"]
    assert len(arousals) > 30
    for event in arousals:
        first, stop = (round(t * macrostructure.RATE) for t in (event.onset, event.onset + event.duration))
        assert 2.99 <= event.duration <= 15.01
        assert (truth.state[first:stop] == W).all()
        assert (truth.state[first - 10 * macrostructure.RATE : first] != W).all()


def test_age_and_apnea_break_sleep_up():
    def arousals_and_n3(**given):
        truths = [_night(seed, **given)[0] for seed in range(12)]
        index = np.mean([sum(e.kind == "arousal" for e in t.events) for t in truths])
        return index, np.mean([(t.state == N3).mean() for t in truths])

    young, old = arousals_and_n3(age=25.0, ahi=1), arousals_and_n3(age=70.0, ahi=1)
    apnea = arousals_and_n3(age=40.0, ahi=50)
    assert old[0] > 1.3 * young[0]
    assert old[1] < young[1]
    assert apnea[0] > 2 * young[0]


def test_short_nights_pass_through_all_stages():
    for seed in range(10):
        truth, read = _night(seed, hours=1.5)
        assert read.size == 180
        assert len(np.unique(truth.state)) >= 4
    assert all(REM in _night(seed, hours=3.0)[0].state for seed in range(10))


def test_rules_and_scorer():
    state = np.repeat(np.int8([W, N2, N3, REM]), 30 * macrostructure.RATE)
    state[35 * macrostructure.RATE : 42 * macrostructure.RATE] = W  # an arousal does not change an epoch
    state[62 * macrostructure.RATE : 78 * macrostructure.RATE] = (
        N2  # slow waves in a fifth of it are enough for N3
    )
    assert scorers.rules(state).tolist() == [W, N2, N3, REM]
    exact = scorers.Scorer(jitter=0.0, confusions=tuple(map(tuple, np.eye(5))))
    stages = np.random.default_rng(0).integers(0, 5, 200).astype(np.int8)
    assert (scorers.score(stages, np.random.default_rng(0), exact) == stages).all()


def test_scorer_agrees_with_the_rules_but_not_always(nights):
    agreement = [(read == scorers.rules(truth.state)).mean() for truth, read in nights]
    assert 0.90 < np.mean(agreement) < 0.98
