"""A night that a network has staged: everything that its files, its table and its report are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.recording import UNDATED, Hypnogram, Subject
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED, edf_text, parse, to_intervals

_OLDEST = 90  # years; higher ages are rare enough to name somebody


@dataclass(frozen=True)
class Staged:
    """One night's stages and what is worth knowing about them. N epochs of 30 s, C channels, K windows, F frequencies.

    Attributes
    ----------
    id : str
    posteriors : array (N, 5)
        Of 30-s epochs.
    network : dict
        Of what staged it: `name`, `title` in words, `simulated` (it has seen simulated nights only), `licence`.
    onset : float
        Seconds from the start of the recording to the first epoch.
    start : datetime or None
        Clock time of the start of the recording.
    subject : Subject or None
    per_epoch : int
        Stages per epoch of `fine`.
    fine : array (N * per_epoch, 5) or None
        Posteriors at the resolution that was asked for, if that is not 30 s.
    arousals : array (n, 2) or None
        Beginnings and ends in seconds from the first epoch; None if they were not asked for.
    channels : list of C names
        That the network was shown.
    left_out : dict of channel to reason
    faults : dict of channel to what is wrong with its signal, in words
    attention : array (K, C) or None
        Mean weight of each channel in windows of `attention_seconds`.
    spectrum : array (N, F) or None
        Power of `spectrum_channel` in dB, the median of each epoch, at `hertz` (F,); re 1 uV^2/Hz if `spectrum_unit`
        is "uV", re nothing that is known if it is another.
    unscored : array (N,) bool or None
        Epochs without a stage, as the recorder was off; nobody knows their posteriors, which are equal.
    arousal_seconds : float or None
        Length of the stages that the arousals were told from.
    """

    id: str
    posteriors: np.ndarray
    network: dict
    onset: float = 0.0
    start: datetime | None = None
    subject: Subject | None = None
    per_epoch: int = 1
    fine: np.ndarray | None = None
    arousals: np.ndarray | None = None
    channels: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    attention: np.ndarray | None = None
    attention_seconds: float = 1050.0
    spectrum: np.ndarray | None = None
    hertz: np.ndarray | None = None
    spectrum_channel: str = ""
    spectrum_unit: str = "uV"
    unscored: np.ndarray | None = None
    arousal_seconds: float | None = None

    def __post_init__(self):
        shape = (len(self.posteriors), len(STAGES))
        if self.posteriors.shape != shape or not len(self.posteriors):
            raise SleeplibError(
                f"{self.id}: posteriors of shape {self.posteriors.shape}; expected (epochs, 5)"
            )
        if self.fine is not None and self.fine.shape != (shape[0] * self.per_epoch, shape[1]):
            raise SleeplibError(
                f"{self.id}: {len(self.fine)} fine posteriors; expected {self.per_epoch} for each of {shape[0]} epochs"
            )
        if self.unscored is not None and self.unscored.shape != shape[:1]:
            raise SleeplibError(
                f"{self.id}: a mask {self.unscored.shape} of epochs without a stage; there are {shape[0]}"
            )

    @property
    def hypnogram(self) -> Hypnogram:
        """The stages of 30-s epochs."""
        return self._hypnogram(self.posteriors, EPOCH_SECONDS)

    @property
    def fine_hypnogram(self) -> Hypnogram:
        """The stages at the resolution that was asked for; those of 30 s if it was that."""
        if self.fine is None:
            return self.hypnogram
        return self._hypnogram(self.fine, EPOCH_SECONDS / self.per_epoch)

    def _hypnogram(self, posteriors: np.ndarray, seconds: float) -> Hypnogram:
        stages = posteriors.argmax(1).astype(np.int8)
        if self.unscored is not None:
            stages[np.repeat(self.unscored, len(stages) // len(self.unscored))] = UNSCORED
        return Hypnogram(stages, seconds, self.onset, self.network["name"])

    @property
    def begins(self) -> datetime | None:
        """Clock time of the first epoch."""
        return self.start + timedelta(seconds=self.onset) if self.start else None

    def corrected(self, changes: Mapping[int, str], scorer: str) -> "Staged":
        """The night with some epochs as a person sees them, under that person's name and with probabilities of 1.

        Parameters
        ----------
        changes : epoch, counted from 1 as in the report, to stage: {212: "REM", 213: "N2", 220: "?"}

        Raises
        ------
        SleeplibError
            If there is no such epoch, or no such stage.
        """
        posteriors, n = self.posteriors.copy(), len(self.posteriors)
        unscored = np.zeros(n, bool) if self.unscored is None else self.unscored.copy()
        for epoch, text in changes.items():
            if epoch not in range(1, n + 1):
                raise SleeplibError(f"{self.id}: no epoch {epoch} to be corrected; there are 1 to {n}")
            stage = parse(str(text))
            unscored[epoch - 1] = stage == UNSCORED
            posteriors[epoch - 1] = 1 / len(STAGES) if stage == UNSCORED else np.arange(len(STAGES)) == stage
        title = f"{self.network.get('title') or self.network['name']}; {len(changes)} epochs corrected by {scorer}"
        return replace(
            self,
            id=f"{self.id}_{scorer}",
            posteriors=posteriors,
            network=self.network | {"name": scorer, "title": title},
            per_epoch=1,
            fine=None,
            unscored=unscored if unscored.any() else None,
        )

    def anonymous(self, id: str) -> "Staged":
        """The night without what names the person: another id, no code, no AHI, no date, no labels of unused channels.

        Channels that the network was shown keep their labels, others are numbered, as people write names there. Sex,
        time of day and age stay (over 89 as 90): the statistics need them. The date is 1985-01-01, which stands
        for none.
        """
        person = self.subject
        age = None if person is None or person.age is None else min(person.age, _OLDEST)
        others = [name for name in dict.fromkeys([*self.left_out, *self.faults]) if name not in self.channels]
        numbered = {name: f"channel {i}" for i, name in enumerate(others, 1)}
        return replace(
            self,
            id=id,
            left_out={numbered.get(name, name): why for name, why in self.left_out.items()},
            faults={numbered.get(name, name): what for name, what in self.faults.items()},
            subject=person and Subject(id, age, person.sex),
            start=self.start and datetime.combine(UNDATED, self.start.time()),
        )

    def annotations(self):
        """Stages by bouts, and arousals, as `mne.Annotations` in the texts of EDF+, for `raw.set_annotations`.

        Raises
        ------
        SleeplibError
            If MNE is not installed.
        """
        try:
            import mne
        except ImportError as error:
            raise SleeplibError("annotations are MNE's, which is not installed: pip install mne") from error
        bouts = to_intervals(self.hypnogram.stages)
        arousals = [] if self.arousals is None else np.reshape(self.arousals, (-1, 2)).tolist()
        found = [(onset, duration, edf_text(code)) for onset, duration, code in bouts]
        found += [(begin, stop - begin, "EEG arousal") for begin, stop in arousals]
        onsets, durations, texts = zip(*found, strict=True)
        return mne.Annotations(self.onset + np.array(onsets), durations, texts)
