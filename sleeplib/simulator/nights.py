"""One simulated night."""

from dataclasses import fields
from datetime import datetime, timedelta

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram, Recording, Subject
from sleeplib.simulator import macrostructure, microstructure, people, scorers

_EVENING = datetime(2000, 1, 1, 22, 45)  # simulated nights happen on no day in particular


def streams(seed) -> list[np.random.Generator]:
    """Independent generators for the person, the night, the signals and the scorer, from an int or a SeedSequence."""
    try:
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(int(seed))
    except (TypeError, ValueError) as error:
        raise SleeplibError(f"seed {seed!r}: expected a whole number, 0 or more") from error
    # Children by key, not by spawn(): spawn() counts its calls, so that a sequence would not give the same night twice.
    return [
        np.random.Generator(
            np.random.SFC64(np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, i)))
        )
        for i in range(4)
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


def night(seed, age=None, sex=None, ahi=None, site=None, hours=None, scorer=None, id=None) -> Recording:
    """Simulate one night of nine channels at 128 Hz, from lights off to lights on.

    Parameters
    ----------
    seed : int or SeedSequence
        The same seed gives the same night. What is not given below is drawn from it.
    age, ahi : float
        Years; apneas and hypopneas per hour of sleep.
    sex : "F" or "M"
    site, scorer : mapping
        Settings of `microstructure.Site` (amplifier and noise) and `scorers.Scorer`.
    hours : float
        Length of the night. Below six hours the cycles are shortened, so that all stages appear.

    Returns
    -------
    Recording
        Signals in uV; `truth` (T,) int8, the state at 128 Hz with arousals as wake; the 30-s `hypnogram` of one virtual
        scorer; arousals and respiratory events; age, sex and AHI of the `subject`.

    Raises
    ------
    SleeplibError
        If an argument is out of range or a setting unknown.
    """
    rng_person, rng_night, rng_signals, rng_scorer = streams(seed)
    person = people.draw(rng_person, age, sex, ahi)
    drawn = np.clip(rng_night.normal(7.9, 0.35), 7, 9)
    if hours is not None:
        people.check_number("hours of a simulated night", hours, 0.5, 14)
    hours = round((drawn if hours is None else hours) * 120) / 120  # whole epochs
    truth = macrostructure.simulate(person, hours, rng_night)
    signals = microstructure.render(truth, person, settings(microstructure.Site, site), rng_signals)
    read = scorers.score(scorers.rules(truth.state), rng_scorer, settings(scorers.Scorer, scorer))
    name = id or (f"night-{seed}" if isinstance(seed, int | np.integer) else "night")
    return Recording(
        signals=list(signals),
        rates=[float(macrostructure.RATE)] * len(signals),
        channels=list(microstructure.CHANNELS),
        id=name,
        start=_EVENING + timedelta(minutes=round(float(rng_night.normal(0, 25)))),
        subject=Subject(name, round(person.age, 1), person.sex, round(person.ahi, 1)),
        hypnogram=Hypnogram(read, scorer="simulated"),
        events=truth.events,
        truth=truth.state,
    )
