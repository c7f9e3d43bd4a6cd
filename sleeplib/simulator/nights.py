"""One simulated night."""

from dataclasses import fields, replace
from datetime import datetime, timedelta

import numpy as np

from sleeplib import cohorts
from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram, Recording, Subject
from sleeplib.simulator import macrostructure, microstructure, people
from sleeplib.simulator.scorers import SECONDS, Scorer, annotate_arousals, majority
from sleeplib.simulator.scorers import read as read_night
from sleeplib.simulator.sites import Site
from sleeplib.stages import W

_EVENING = datetime(2000, 1, 1, 22, 45)  # simulated nights happen on no day in particular


def streams(seed, nth: int = 0) -> list[np.random.Generator]:
    """Independent generators for the person, the night, the signals and the scorers, from an int or a SeedSequence.

    The person's is the same for every `nth` night.
    """
    try:
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(int(seed))
    except (TypeError, ValueError) as error:
        raise SleeplibError(f"seed {seed!r}: expected a whole number, 0 or more") from error
    # Children by key, not by spawn(): spawn() counts its calls, so that a sequence would not give the same night twice.
    keys = [(0,), *[(i, nth) if nth else (i,) for i in (1, 2, 3)]]
    return [
        np.random.Generator(
            np.random.SFC64(np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, *key)))
        )
        for key in keys
    ]


def settings(kind, given):
    """An instance of the dataclass `kind` from a mapping (or `None`, or an instance).

    Raises
    ------
    SleeplibError
        If a key is unknown, naming the known ones.
    """
    if isinstance(given, kind):
        return given
    known, given = [f.name for f in fields(kind)], dict(given or {})
    strange = sorted(set(given) - set(known))
    if strange:
        what = f"unknown setting {', '.join(map(str, strange))}; known: {', '.join(known)}"
        raise SleeplibError(f"simulated {kind.__name__.lower()}: {what}")
    return kind(**given)


def night(
    seed,
    age=None,
    sex=None,
    ahi=None,
    site=None,
    hours=None,
    scorer=None,
    id=None,
    nth=0,
    scorers=1,
    scoring="aasm",
    signals=True,
    architecture=None,
) -> Recording:
    """Simulate one night, by default of nine channels at 128 Hz from lights off to lights on.

    Parameters
    ----------
    seed : int or SeedSequence
        The same seed gives the same night. What is not given below is drawn from it.
    age, ahi : float
        Years; apneas and hypopneas per hour of sleep.
    sex : "F" or "M"
    site : str or mapping
        The name of a cohort whose site and scorers to use ("mass-c3"), or settings of `sites.Site`.
    hours : float
        From lights off to lights on. Below six hours the cycles are shortened, so that all stages appear.
    scorer : mapping
        Style of the scorers: settings of `scorers.Scorer`.
    nth : int
        Another night of the same person.
    scorers : int
        How many read the night; the hypnogram is the majority's.
    scoring : "aasm" or "rk"
        Rules of the AASM, 30-s epochs, or of Rechtschaffen and Kales, 20-s epochs.
    signals : bool
        False: no channels, everything else the same, in a few hundredths of a second.
    architecture : mapping
        Settings of `macrostructure.Architecture`.

    Returns
    -------
    Recording
        Signals in uV; `truth` (T,) int8, the state at 128 Hz with arousals as wake, and `true_events`; what humans make
        of it: the `hypnogram`, `scorings` where there are several, and in `events` the arousals and respiratory
        events that the first of them annotated; age, sex and AHI of the `subject`.

    Raises
    ------
    SleeplibError
        If an argument is out of range or a setting unknown.
    """
    site, style, scorers, scoring = _cohort(site, scorer, scorers, scoring)
    rng_person, rng_night, rng_signals, rng_scorers = streams(seed, nth)
    person = people.draw(rng_person, age, sex, ahi)
    drawn = np.clip(rng_night.normal(7.9, 0.35), 7, 9)
    if hours is not None:
        people.check_number("hours of a simulated night", hours, 0.5, 14)
    hours = round((drawn if hours is None else hours) * 60) / 60  # whole epochs of 20 and of 30 s
    plan = settings(macrostructure.Architecture, architecture)
    truth = _awake(macrostructure.simulate(person, hours, rng_night, plan), site.awake)
    channels = list(site.channels) if signals else []
    traces = microstructure.render(truth, person, site, rng_signals) if signals else []
    hypnograms = _read(truth, rng_scorers, style, scorers, scoring, site.awake)
    marks = annotate_arousals(truth.events, style, rng_scorers, truth.stages)
    breaths = [event for event in truth.events if event.kind != "arousal"]
    name = id or (f"night-{seed}" if isinstance(seed, int | np.integer) else "night")
    return Recording(
        signals=traces,
        rates=[float(site.rates.get(label, site.rate)) for label in channels],
        channels=channels,
        id=name,
        start=_EVENING + timedelta(minutes=round(float(rng_night.normal(0, 25)) - site.awake[0])),
        subject=Subject(name, round(person.age, 1), person.sex, round(person.ahi, 1)),
        hypnogram=Hypnogram(majority([h.stages for h in hypnograms]), SECONDS[scoring], scorer="simulated"),
        scorings=hypnograms if scorers > 1 else [],
        events=sorted(marks + breaths, key=lambda e: e.onset),
        truth=truth.state,
        true_events=truth.events,
    )


def _cohort(site, scorer, scorers, scoring) -> tuple[Site, Scorer, int, str]:
    """Site, scorers' style, their number and rules, from settings or from a cohort's manifest."""
    people.check_number("scorers", scorers, 1, 20)
    if isinstance(site, str):
        known = cohorts.load(site).simulation
        site, scorer = known.get("site"), scorer or known.get("scorer")
        scorers = known.get("scorers", 1) if scorers == 1 else scorers
        scoring = known.get("scoring", scoring)
    if scoring not in SECONDS:
        raise SleeplibError(f"scoring {scoring!r}: expected one of {', '.join(SECONDS)}")
    return settings(Site, site), settings(Scorer, scorer), int(scorers), scoring


def _read(truth, rng, style, n, scoring, awake) -> list[Hypnogram]:
    """What each of `n` scorers makes of the night; all of them know when the lights were on."""
    seconds = SECONDS[scoring]
    first, last = (round(60 * minutes / seconds) for minutes in awake)
    readings = read_night(truth, rng, style, n, scoring)
    for stages in readings:
        stages[:first] = stages[stages.size - last :] = W
    return [Hypnogram(stages, seconds, scorer=f"simulated {i + 1}") for i, stages in enumerate(readings)]


def _awake(night: macrostructure.Night, minutes) -> macrostructure.Night:
    """The night with so many minutes up and about before lights off and after lights on."""
    before, after = (round(m * 60 * macrostructure.RATE) for m in minutes)
    if not before and not after:
        return night
    state, stages = (np.pad(x, (before, after), constant_values=W) for x in (night.state, night.stages))
    return macrostructure.Night(
        state, stages, [replace(e, onset=e.onset + before / macrostructure.RATE) for e in night.events]
    )
