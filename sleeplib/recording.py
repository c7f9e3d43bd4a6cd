"""What every room passes on: `Recording` and its `Header`, `Hypnogram`, `Event`, `Subject`."""

from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.stages import EPOCH_SECONDS, UNSCORED, check


@dataclass(frozen=True)
class Subject:
    """A person: what is known about them, `None` where it is not. Age in years, sex "F" or "M", AHI in events/h."""

    id: str
    age: float | None = None
    sex: str | None = None
    ahi: float | None = None


UNDATED = date(1985, 1, 1)  # the day of a start of which only the clock time is known, or shall be

# The vocabulary of events, as `cohorts.read` gives them in any cohort; "apnea" is one whose type nobody wrote down.
AROUSAL = "arousal"
APNEAS = ("obstructive apnea", "central apnea", "mixed apnea", "apnea")
HYPOPNEA = "hypopnea"
EVENTS = (AROUSAL, *APNEAS, HYPOPNEA)


@dataclass(frozen=True)
class Event:
    """Something with a beginning and an end, in seconds from the start of the recording: an arousal, an apnea.

    `kind` is one of `EVENTS`; straight from a file (`readers.read`) it is the text that stands there.
    """

    kind: str
    onset: float
    duration: float


@dataclass
class Hypnogram:
    """Stages on a regular grid: `stages` `(N,)` int8 codes of `sleeplib.stages`, the first epoch starting
    at `onset` s."""

    stages: np.ndarray
    epoch_seconds: float = EPOCH_SECONDS
    onset: float = 0.0
    scorer: str = ""

    def __post_init__(self):
        self.stages = check(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    @property
    def scored(self) -> np.ndarray:
        """Mask `(N,)` of the epochs that have a stage."""
        return self.stages != UNSCORED


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its signals are read: channels, `rates` (samples per second), `units`,
    `samples` of each channel, `start` by the clock, and `gaps` (onset, duration) in seconds between its records."""

    channels: list[str]
    rates: list[float]
    units: list[str]
    samples: list[int]
    id: str = ""
    start: datetime | None = None
    subject: Subject | None = None
    gaps: tuple[tuple[float, float], ...] = ()

    @property
    def duration(self) -> float:
        """Seconds from the first sample to the end of the longest channel."""
        return max((n / rate for n, rate in zip(self.samples, self.rates, strict=True)), default=0.0)


@dataclass
class Recording:
    """One night: signals with their names and rates, and whatever is known about them.

    Attributes
    ----------
    signals : list of C arrays (T_c,)
        In microvolts where the unit is a voltage (`units` says what each channel is in).
    rates : list of C floats
        Samples per second; channels of one file may differ.
    channels : list of C names
    start : datetime or None
        Clock time of the first sample.
    hypnogram : Hypnogram or None
        What the scorer says; the majority where there are several.
    scorings : list of Hypnogram
        One of each scorer where there are several; empty otherwise.
    events : list of Event
        What an expert annotated.
    gaps : list of (onset, duration)
        Seconds in which the recorder was off (discontinuous EDF+); the signals hold zeros there.
    truth : array (T,) int8 or None
        Simulated nights only: the state at 128 Hz that produced the signals.
    true_events : list of Event
        Simulated nights only: every arousal, apnea and hypopnea that happened, seen by the expert or not.
    """

    signals: list[np.ndarray]
    rates: list[float]
    channels: list[str]
    id: str = ""
    units: list[str] | None = None
    start: datetime | None = None
    subject: Subject | None = None
    hypnogram: Hypnogram | None = None
    events: list[Event] = field(default_factory=list)
    truth: np.ndarray | None = None
    scorings: list[Hypnogram] = field(default_factory=list)
    true_events: list[Event] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self):
        if self.units is None:
            self.units = ["uV"] * len(self.channels)
        if not len(self.signals) == len(self.rates) == len(self.channels) == len(self.units):
            raise SleeplibError(f"recording {self.id}: as many signals, rates, units and names are needed")

    @property
    def duration(self) -> float:
        """Seconds from the first sample to the end of the longest channel."""
        return max((len(x) / rate for x, rate in zip(self.signals, self.rates, strict=True)), default=0.0)

    def channel(self, name: str) -> tuple[np.ndarray, float]:
        """Signal and rate of a channel, or of a difference `A - B` of two (with spaces around the minus).

        Raises
        ------
        SleeplibError
            If the channel is missing, naming the ones that are there.
        """
        plus, _, minus = name.partition(" - ")
        if minus and name not in self.channels:
            (a, rate), (b, rate_b) = self.channel(plus), self.channel(minus)
            if rate != rate_b:
                raise SleeplibError(
                    f"recording {self.id}: {plus} has {rate:g} Hz and {minus} {rate_b:g} Hz; cannot subtract"
                )
            return a - b, rate
        if name not in self.channels:
            raise SleeplibError(
                f"recording {self.id} has no channel {name!r}; it has {', '.join(self.channels)}"
            )
        i = self.channels.index(name)
        return self.signals[i], self.rates[i]
