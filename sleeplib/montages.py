"""Channels of a cohort: the labels in its files made into harmonised derivations."""

import re
from dataclasses import dataclass

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.recording import Header

TYPES = ("EEG", "EOG", "EMG")


@dataclass(frozen=True)
class Derivation:
    """A harmonised channel as a weighted sum of channels of a file: `C3-M2` is `{"C3": 1, "M2": -1}`."""

    name: str
    type: str
    terms: dict[str, float]


class Montage:
    """What can be derived from the channels of one file, by the `channels` of a cohort's manifest.

    Labels are compared as they stand, then without case and blanks. A difference is formed only if both of its channels
    are there, have the same rate, and are told apart by the manifest: nothing is replaced silently.
    """

    def __init__(self, channels: dict, header: Header):
        self.known, self.header = channels, header
        # Where a label stands twice, the first counts; where that is empty, none.
        samples = dict(zip(reversed(header.channels), reversed(header.samples), strict=True))
        self.rates = dict(zip(reversed(header.channels), reversed(header.rates), strict=True))
        self.exact = {label for label, n in samples.items() if n}
        first = {_plain(label): label for label in reversed(header.channels)}
        self.here = {plain: label for plain, label in first.items() if label in self.exact}

    def every(self, types=("EEG", "EOG")) -> list[Derivation]:
        """All harmonised channels of these types that the file has what it takes for, in the manifest's order."""
        found = []
        for kind in types:
            for name in self.known.get(kind.lower(), {}):
                terms = self._harmonised(name)
                if terms:
                    found.append(Derivation(name, kind, terms))
        return found

    def roles(self, montage: dict) -> list[Derivation]:
        """One derivation for each role of a montage: the first of its alternatives that can be formed.

        Raises
        ------
        SleeplibError
            If a role has none, naming the channels of the file.
        """
        found = []
        for role, wanted in montage.items():
            terms = self._first(wanted)
            if not terms:
                wanted = " or ".join([wanted] if isinstance(wanted, str) else wanted)
                raise SleeplibError(
                    f"{self.header.id}: no channel {wanted!r} for {role}; it has {', '.join(self.header.channels)}"
                )
            found.append(Derivation(role, _type(role), terms))
        return found

    def _harmonised(self, name: str) -> dict[str, float]:
        for kind in TYPES:
            wanted = self.known.get(kind.lower(), {}).get(name)
            if wanted:
                return self._first(wanted, inside=True)
        return {}

    def _first(self, wanted, inside: bool = False) -> dict[str, float]:
        options = [wanted] if isinstance(wanted, str) else wanted
        return next(filter(None, (self._terms(option, inside) for option in options)), {})

    def _terms(self, expression: str, inside: bool) -> dict[str, float]:
        """The sum of channels that an expression `A` or `A - B` means here; empty where one of them is missing.

        A label may look like a difference itself, unless the manifest says what goes under its name.
        """
        if expression in self.exact and expression not in self.known.get("labels", {}):
            return {expression: 1.0}
        plus, _, minus = expression.partition(" - ")
        terms = dict(self._single(plus, inside))
        if minus and terms:
            other = self._single(minus, inside)
            for label, weight in other.items():
                terms[label] = terms.get(label, 0.0) - weight
            terms = {label: weight for label, weight in terms.items() if weight} if other else {}
        return terms if len({self.rates[label] for label in terms}) == 1 else {}

    def _single(self, name: str, inside: bool) -> dict[str, float]:
        name = name.strip()
        for label in (*_list(self.known.get("labels", {}).get(name)), name):
            if found := label if label in self.exact else self.here.get(_plain(label)):
                return {found: 1.0}
        # Roles are made of harmonised channels, harmonised channels of those of the file.
        return {} if inside else self._harmonised(name)


def derive(derivation: Derivation, read) -> tuple[np.ndarray, float]:
    """Signal `(T,)` float32 of a derivation and its rate.

    Parameters
    ----------
    read : function of a list of labels that gives a Recording with these channels
    """
    labels = list(derivation.terms)
    parts = read(labels)
    lengths = min(len(x) for x in parts.signals)
    total = np.float32(derivation.terms[labels[0]]) * parts.signals[0][:lengths]
    for label, x in zip(labels[1:], parts.signals[1:], strict=True):
        total += np.float32(derivation.terms[label]) * x[:lengths]
    return total, parts.rates[0]


def _plain(label: str) -> str:
    return re.sub(r"\s+", "", label).casefold()


def _list(value) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _type(role: str) -> str:
    """EEG, EOG or EMG, by the beginning of a role's name; anything else counts as EEG."""
    return next((kind for kind in TYPES if role.upper().startswith(kind)), "EEG")
