"""The night's architecture: a semi-Markov process of stages, continuous in time, whose rates follow the sleep cycles.

A stage is entered, a time to stay is drawn (log-normal: bouts are not geometric), and the next stage is drawn with odds
that depend on the hour. Slow-wave sleep needs pressure, which falls from cycle to cycle; REM sleep has a window at
the end of each cycle, which grows. Arousals, short awakenings and pauses of breathing are part of the state.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from sleeplib.recording import Event
from sleeplib.simulator.people import Person
from sleeplib.stages import N1, N2, N3, W

RATE = 128  # Hz, of the state


@dataclass(frozen=True)
class Architecture:
    """The night of a forty-year-old; times in minutes unless the comment says otherwise; stages W, N1, N2, N3, REM."""

    before: float = 0.0  # median time awake before lights off, of recordings that begin early ...
    before_spread: float = 1.05  # ... and sigma of its logarithm
    stay: tuple = (0.54, 0.67, 15.5, 18.5, 43.0)  # median time in a stage once entered
    spread: tuple = (1.0, 0.5, 1.07, 0.68, 0.75)  # sigma of its logarithm
    long_wake: float = 0.078  # share of awakenings that last ...
    long_wake_stay: float = 9.8  # ... about so long
    # odds of the next stage, one row for each stage that is left: outside the REM window, and inside it
    odds: tuple = (
        (0.0, 0.98, 0.02, 0.0, 0.0),
        (0.6, 0.0, 1.0, 0.0, 0.0),
        (0.25, 0.11, 0.0, 1.4, 0.0),
        (0.19, 0.05, 1.0, 0.0, 0.0),
        (0.30, 0.10, 1.5, 0.0, 0.0),
    )
    odds_rem: tuple = (
        (0.0, 0.98, 0.02, 0.0, 0.06),
        (0.6, 0.0, 0.4, 0.0, 0.45),
        (0.25, 0.11, 0.0, 0.0, 5.0),
        (0.19, 0.05, 1.0, 0.0, 0.0),
        (0.30, 0.10, 0.10, 0.0, 0.0),
    )
    rem_first: float = 7.3  # length of the first REM window
    rem_growth: float = 12.8  # and what each cycle adds to it
    rem_longest: float = 40.0
    rem_skipped: float = 0.33  # share of nights whose first cycle has no REM sleep
    pressure_decay: float = 0.67  # slow-wave pressure per cycle: exp(-0.67 c)
    deep_until: float = 0.57  # N3 may begin in this first part of a cycle's NREM sleep
    last_wake: float = 0.95  # median time awake before lights on ...
    last_wake_spread: float = 1.5  # ... and sigma of its logarithm
    shortest: float = 0.1  # no bout is shorter
    # arousals and breathing
    arousal_s: tuple = (7.0, 0.45)  # median, s, and sigma of the logarithm; always 3 to 15 s
    arousal_odds: tuple = (0.0, 1.4, 1.0, 0.5, 1.0)  # per second of each stage
    after_arousal: float = 0.33  # share of arousals from N2 that some N1 follows, times the restlessness ...
    after_arousal_s: tuple = (20.0, 0.7)  # ... for so long
    pause_s: tuple = (20.0, 0.35)  # apneas and hypopneas: median, s, and sigma; always 10 to 40 s
    pause_odds: tuple = (0.0, 1.3, 1.0, 0.3, 1.5)
    train: float = 0.9  # they come in trains: sigma of the logarithm of their rate within a night ...
    train_stay: float = 8.0  # ... which changes in so many minutes
    pause_wakes: float = 0.8  # share of them that end in an arousal


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

    Nights shorter than six hours (for quick trials) run through shortened cycles without long awakenings, so that all
    stages appear.
    """
    arch = arch or Architecture()
    minutes = hours * 60
    pace = min(1.0, hours / 6.0)
    bouts = _bouts(person, minutes, pace, rng, arch)
    n = round(hours * 3600) * RATE
    onsets = np.round(np.array([b[0] for b in bouts]) * 60 * RATE).astype(int)
    stages = np.repeat(np.array([b[1] for b in bouts], np.int8), np.diff(np.r_[onsets, n]))
    return _disturb(stages, person, rng, arch)


def cycles(person: Person, minutes: float, pace: float, rng, arch: Architecture) -> list[Cycle]:
    """The plan of a night: cycles from sleep onset until lights on."""
    onset = person.latency + arch.before * np.exp(arch.before_spread * rng.standard_normal())
    start, plan = min(pace * onset, 0.4 * minutes), []
    skips = (rng.random() < arch.rem_skipped) and pace == 1
    while start < minutes:
        c = len(plan)
        length = pace * person.cycle * np.exp(0.09 * rng.standard_normal())
        window = min(arch.rem_first + arch.rem_growth * c, arch.rem_longest) * person.dream
        window *= pace * np.exp(0.25 * rng.standard_normal()) * (c > 0 or not skips)
        pressure = person.deep * np.exp(-arch.pressure_decay * c)
        plan.append(Cycle(start, start + length - min(window, 0.6 * length), start + length, pressure))
        start += length
    return plan


def _bouts(person, minutes, pace, rng, arch) -> list[tuple[float, int]]:
    """Onset in minutes and stage of each bout; the first is wake at lights off."""
    plan = cycles(person, minutes, pace, rng, arch)
    last = minutes - min(
        arch.last_wake * np.exp(arch.last_wake_spread * rng.standard_normal()), 0.1 * minutes
    )
    bouts, t, stage, c = [(0.0, W)], plan[0].start, N1, 0
    while t < last:
        bouts.append((t, stage))
        t = _leave(t, stage, plan[c], person, pace, rng, arch)
        while t >= plan[c].end and c < len(plan) - 1:
            c += 1
        odds = _odds(stage, t, plan[c], person, arch)
        stage = int(np.searchsorted(np.cumsum(odds), rng.random() * odds.sum(), side="right"))
    return [*bouts, (last, W)]


def _leave(t, stage, cycle, person, pace, rng, arch) -> float:
    """When a stage entered at `t` is left: after its stay, or soon after the cycle's next turning point."""
    stay = pace * arch.stay[stage] * np.exp(arch.spread[stage] * rng.standard_normal())
    if stage == W and pace == 1 and rng.random() < arch.long_wake * person.wakeful:
        stay = arch.long_wake_stay * np.exp(0.8 * rng.standard_normal())
    if stage == N3:
        stay *= min(1.4, 0.5 + 0.6 * cycle.pressure)
    turn = cycle.rem if t < cycle.rem else cycle.end
    if stage != W and t + stay > turn:
        stay = turn - t + rng.exponential(1.5 * pace)
    return t + max(stay, arch.shortest)


def _odds(stage, t, cycle, person, arch) -> np.ndarray:
    """Odds (5,) of the next stage on leaving `stage` at minute `t`."""
    deep_end = cycle.start + arch.deep_until * (cycle.rem - cycle.start)
    table = arch.odds if t < cycle.rem else arch.odds_rem
    deep = cycle.pressure * (t < deep_end)
    return np.array(table[stage]) * (person.restless, person.restless, 1.0, deep, 1.0)


def _disturb(stages, person, rng, arch) -> Night:
    """Lay arousals (3-15 s of wake after at least 10 s of sleep) and pauses of breathing (10-40 s) into the night."""
    seconds = stages[: stages.size // RATE * RATE : RATE]
    hours = (seconds != W).sum() / 3600
    own = _draw(rng.poisson(person.arousals * hours), np.array(arch.arousal_odds)[seconds], rng)
    swell = np.exp(arch.train * _slow(seconds.size / 60, arch.train_stay, rng))
    swell = np.repeat(swell, 60)[: seconds.size]
    breath = _draw(int(person.ahi * hours + rng.random()), np.array(arch.pause_odds)[seconds] * swell, rng)
    order = np.argsort(np.r_[own, breath])
    pause = np.r_[np.zeros(own.size), _clipped(arch.pause_s, 10, 40, breath.size, rng)][order]
    arousal = _clipped(arch.arousal_s, 3, 15, order.size, rng)
    arousal[(pause > 0) & (rng.random(order.size) > arch.pause_wakes)] = 0
    onsets = _fit(np.r_[own, breath][order], pause, arousal, stages)
    return _lay(stages, onsets, pause, arousal, person, rng, arch)


def _draw(n, odds, rng) -> np.ndarray:
    """`n` moments in seconds, with these odds (S,) in each second."""
    total = np.cumsum(odds)
    n = n if total[-1] > 0 else 0
    return np.searchsorted(total, rng.random(n) * total[-1], side="right") + rng.random(n)


def _slow(minutes, stay, rng) -> np.ndarray:
    """Noise of unit variance, one value a minute, that is forgotten in about `stay` minutes."""
    keep = np.exp(-1 / stay)
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.standard_normal(int(np.ceil(minutes)) + 99))[99:]


def _clipped(log_normal, low, high, n, rng) -> np.ndarray:
    return np.clip(log_normal[0] * np.exp(log_normal[1] * rng.standard_normal(n)), low, high)


def _fit(onsets, pause, arousal, stages) -> np.ndarray:
    """Onsets moved later, as little as is needed to lie in sleep, apart from wake and from each other; NaN at the end.

    Nothing is dropped before the last sleep ends: what does not fit before an awakening comes after it.
    """
    edges = np.flatnonzero(np.diff(np.r_[True, stages == W, True])) / RATE
    starts, stops = edges[::2], edges[1::2]
    placed, free, i = np.full(onsets.size, np.nan), 0.0, 0
    for j, onset in enumerate(onsets):
        apart = 10.0 if pause[j] == 0 else 3.0  # a pause is itself ten seconds of sleep before its arousal
        length = pause[j] + arousal[j]
        onset = max(onset, free + apart)
        while i < starts.size and max(onset, starts[i] + 10) + length >= stops[i]:
            i += 1
        if i == starts.size:
            break
        placed[j] = max(onset, starts[i] + 10)
        free = placed[j] + length
    return placed


def _lay(stages, onsets, pause, arousal, person, rng, arch) -> Night:
    """The night with its events. The more pauses, the more of them are complete; N1 follows some arousals from N2."""
    state, stages, events = stages.copy(), stages.copy(), []
    complete = rng.random(onsets.size) < person.ahi / 60
    follows = rng.random(onsets.size) < arch.after_arousal * person.restless
    light = arch.after_arousal_s[0] * np.exp(arch.after_arousal_s[1] * rng.standard_normal(onsets.size))
    for j in np.flatnonzero(np.isfinite(onsets)):
        ends = onsets[j] + pause[j]
        if pause[j]:
            events.append(Event("apnea" if complete[j] else "hypopnea", float(onsets[j]), float(pause[j])))
        if arousal[j]:
            first, stop = round(ends * RATE), round((ends + arousal[j]) * RATE)
            state[first:stop] = W
            events.append(Event("arousal", float(ends), float(arousal[j])))
            if follows[j] and stages[first] == N2:
                after = stages[stop : stop + round(light[j] * RATE)]
                lighter = slice(stop, stop + np.argmin(np.r_[after == N2, False]))
                state[lighter] = stages[lighter] = N1
    return Night(state, stages, events)
