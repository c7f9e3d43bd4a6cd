"""The night's architecture: a semi-Markov process of stages, continuous in time, whose rates follow the sleep cycles.

A stage is entered, a time to stay is drawn (log-normal: bouts are not geometric), and the next stage is drawn with odds
that depend on the hour. Slow-wave sleep needs pressure, which falls from cycle to cycle; REM sleep has a window at
the end of each cycle, which grows. Arousals and short awakenings are part of the state.
"""

from dataclasses import dataclass

import numpy as np

from sleeplib.recording import Event
from sleeplib.simulator.people import Person
from sleeplib.stages import N1, N2, N3, REM, W

RATE = 128  # Hz, of the state


@dataclass(frozen=True)
class Architecture:
    """The night of a forty-year-old; times in minutes unless the comment says otherwise."""

    stay: tuple = (1.2, 1.4, 10.0, 18.0, 26.0)  # median time in W, N1, N2, N3, REM once entered
    spread: tuple = (1.1, 0.7, 0.8, 0.6, 0.8)  # sigma of its logarithm
    long_wake: float = 0.09  # share of awakenings that last ...
    long_wake_stay: float = 7.0  # ... about so long
    rem_first: float = 9.0  # length of the first REM window
    rem_growth: float = 10.0  # and what each cycle adds to it
    rem_longest: float = 40.0
    pressure_decay: float = 0.62  # slow-wave pressure per cycle: exp(-0.62 c)
    deep_until: float = 0.72  # N3 may begin in this first part of a cycle's NREM sleep
    last_wake: float = 6.0  # median time awake before lights on
    arousal_s: tuple = (7.0, 0.45)  # median, s, and sigma of the logarithm; always 3 to 15 s
    after_arousal: float = 0.3  # share of arousals from N2 that some N1 follows
    shortest: float = 0.1  # no bout is shorter


@dataclass(frozen=True)
class Cycle:
    """One sleep cycle: minutes at which it, its REM window and the next cycle start, and its slow-wave pressure."""

    start: float
    rem: float
    end: float
    pressure: float


@dataclass(frozen=True)
class Night:
    """`state` (T,) int8 at 128 Hz with arousals as W; `stages` (T,), the sleep beneath them; `events` in seconds."""

    state: np.ndarray
    stages: np.ndarray
    events: list[Event]


def simulate(person: Person, hours: float, rng, arch: Architecture | None = None) -> Night:
    """The true state of one night from lights off to lights on.

    Nights shorter than six hours (for quick trials) run through shortened cycles, so that all stages appear.
    """
    arch = arch or Architecture()
    minutes = hours * 60
    pace = min(1.0, hours / 6.0)
    bouts = _bouts(person, minutes, pace, rng, arch)
    n = round(hours * 3600) * RATE
    onsets = np.round(np.array([b[0] for b in bouts]) * 60 * RATE).astype(int)
    stages = np.repeat(np.array([b[1] for b in bouts], np.int8), np.diff(np.r_[onsets, n]))
    return _arousals(stages, person, rng, arch)


def cycles(person: Person, minutes: float, pace: float, rng, arch: Architecture) -> list[Cycle]:
    """The plan of a night: cycles until lights on."""
    start, plan = person.latency * pace, []
    while start < minutes:
        c = len(plan)
        length = pace * person.cycle * np.exp(0.09 * rng.standard_normal())
        window = min(arch.rem_first + arch.rem_growth * c, arch.rem_longest) * person.dream
        window *= pace * np.exp(0.25 * rng.standard_normal())
        pressure = person.deep * np.exp(-arch.pressure_decay * c)
        plan.append(Cycle(start, start + length - min(window, 0.6 * length), start + length, pressure))
        start += length
    return plan


def _bouts(person, minutes, pace, rng, arch) -> list[tuple[float, int]]:
    """Onset in minutes and stage of each bout; the first is wake at lights off."""
    plan = cycles(person, minutes, pace, rng, arch)
    last = minutes - min(arch.last_wake * np.exp(0.8 * rng.standard_normal()), 0.1 * minutes)
    bouts, t, stage = [(0.0, W)], person.latency * pace, N1
    while t < last:
        bouts.append((t, stage))
        now = next(c for c in plan if t < c.end or c is plan[-1])
        t = _leave(t, stage, now, person, pace, rng, arch)
        now = next(c for c in plan if t < c.end or c is plan[-1])
        odds = _odds(stage, t, now, person, arch)
        stage = int(rng.choice(5, p=odds / odds.sum()))
    return [*bouts, (last, W)]


def _leave(t, stage, cycle, person, pace, rng, arch) -> float:
    """When a stage entered at `t` is left: after its stay, or soon after the cycle's next turning point."""
    stay = pace * arch.stay[stage] * np.exp(arch.spread[stage] * rng.standard_normal())
    if stage == W and rng.random() < arch.long_wake * person.restless:
        stay = pace * arch.long_wake_stay * np.exp(0.8 * rng.standard_normal())
    if stage == N3:
        stay *= min(1.4, 0.5 + 0.6 * cycle.pressure)
    turn = cycle.rem if t < cycle.rem else cycle.end
    if stage != W and t + stay > turn:
        stay = turn - t + rng.exponential(1.5 * pace)
    return t + max(stay, arch.shortest)


def _odds(stage, t, cycle, person, arch) -> np.ndarray:
    """Odds (5,) of the next stage on leaving `stage` at minute `t`."""
    dreaming = t >= cycle.rem
    deep_end = cycle.start + arch.deep_until * (cycle.rem - cycle.start)
    deep = 0.0 if dreaming or t > deep_end else cycle.pressure
    light = person.restless
    table = {
        W: (0.0, 0.80, 0.20, 0.0, 0.15 * dreaming),
        N1: (0.18 * light, 0.0, 1.0 - 0.6 * dreaming, 0.0, 0.8 * dreaming),
        N2: (0.20 * light, 0.24 * light, 0.0, 1.6 * deep, 5.0 * dreaming),
        N3: (0.10 * light, 0.10 * light, 1.0, 0.0, 0.0),
        REM: (0.30 * light, 0.22 * light, 0.15 + 1.5 * (not dreaming), 0.0, 0.0),
    }
    return np.array(table[stage])


def _arousals(stages, person, rng, arch) -> Night:
    """Lay arousals (3-15 s of wake after at least 10 s of sleep) and respiratory events into the night."""
    asleep = np.flatnonzero(stages[::RATE] != W)  # seconds
    n_own = rng.poisson(person.arousals * asleep.size / 3600)
    n_breath = rng.poisson(person.ahi * asleep.size / 3600)
    onsets = np.sort(np.r_[rng.choice(asleep, n_own), -rng.choice(asleep, n_breath)])
    breath = onsets < 0  # marked by their sign until they are in order of time
    order = np.argsort(np.abs(onsets))
    state, events, free = stages.copy(), [], 0.0
    for onset, breathing in zip(np.abs(onsets)[order] + rng.random(onsets.size), breath[order], strict=True):
        length = float(np.clip(arch.arousal_s[0] * np.exp(arch.arousal_s[1] * rng.standard_normal()), 3, 15))
        pause = float(np.clip(18 * np.exp(0.35 * rng.standard_normal()), 10, 40)) if breathing else 0.0
        wakes = not breathing or rng.random() < 0.75
        first, stop = round((onset + pause) * RATE), round((onset + pause + length) * RATE)
        if onset - 10 < free or stop >= stages.size or (stages[round((onset - 10) * RATE) : stop] == W).any():
            continue
        free = onset + pause + length
        if breathing:
            events.append(Event("apnea" if rng.random() < person.ahi / 60 else "hypopnea", onset, pause))
        if wakes:
            state[first:stop] = W
            events.append(Event("arousal", onset + pause, length))
            if rng.random() < arch.after_arousal and stages[first] == N2:
                after = stop + round(20 * np.exp(0.7 * rng.standard_normal()) * RATE)
                lighter = slice(stop, stop + np.argmin(np.r_[stages[stop:after] == stages[first], False]))
                state[lighter] = stages[lighter] = N1
    return Night(state, stages, events)
