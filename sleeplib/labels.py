"""What the channels of any recording are, told by their labels, units and rates: role, electrode, reference, and why.

EEG and EOG are told by a closed grammar: a label with one part that no such label has is none of theirs. Everything
else is told by words, and what no rule knows is "other": to leave a channel out costs little, to take a belt for a
brain costs the night. No pattern of the grammar repeats without bound; labels over `LONGEST` are not looked at.
"""

import re
import unicodedata
from dataclasses import dataclass, replace

from sleeplib.recording import Header, Recording

ROLES = ("EEG", "EOG", "EMG", "ECG", "respiration", "other")
LONGEST = 80  # characters; EDF has room for 16
SLOWEST = {"EEG": 40.0, "EOG": 20.0}  # Hz; spindles end at 16 Hz, eye movements below 10 Hz
TREND = 4.0  # Hz; what comes no faster is a number such as oxygen saturation
MOST = 24  # EEG channels of a night; AnySleep learned from nights with at most 8, MASS has 20


@dataclass(frozen=True)
class Channel:
    """What a label means: one of `ROLES`; electrode and reference of EEG and EOG, "" where the label does not tell."""

    label: str
    role: str
    electrode: str = ""
    reference: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Derivation:
    """What a night network is shown: a channel of the file as it stands, or the difference of two of them."""

    name: str
    role: str
    labels: tuple[str, ...]
    reason: str = ""

    @property
    def expression(self) -> str:
        """As `Recording.channel` takes it."""
        return " - ".join(self.labels)


@dataclass(frozen=True)
class Row:
    """A line of `--list-channels`."""

    label: str
    role: str
    electrode: str
    reference: str
    rate: float
    unit: str
    used: bool
    why: str


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LEFT = _words("left links li lt gauche izquierdo izq esquerdo esq sinistro sin sx os og l g s")
_RIGHT = _words("right rechts recht re rt droite droit derecho der direito dir destro dex dx od r d")
_SIDES = _LEFT + _RIGHT
_SIDE = f"(?:{'|'.join(_SIDES)})"
_CLEAR_SIDE = f"(?:{'|'.join(side for side in _SIDES if len(side) > 2)}|[lr])"
_WAY = (
    "(?:horizontale?|horiz|hor|h|vertical|verticale|vertic|vert|v|diag|lat|upper|lower|up|low|top|bot|haut|bas|oben"
    "|unten|sup|inf)"
)
# 10-20, 10-10 and 10-5 systems, not "F34" or "Fp9". PO2 is a gas unless "EEG" stands before it.
_PLACE = (
    "(?:fp[12z]|(?:af|f|p)(?:z|10|[1-9])|po(?:z|10|[13-9])|(?:fc|cp)[1-6z]|c[1-6z]|t(?:10|[1-9])|(?:ft|tp)(?:10|[789])"
    "|o(?:z|10|[129])|[in]z|cb[12]|afp[12z]|(?:aff|ffc|fft|ftt|fcc|ccp|ttp|cpp|tpp|ppo|poo|oi)(?:z|(?:10|[1-9])h))"
)
_EAR, _EYE = "[am][12]", "(?:e-?[12]|[lr]oc)"
_TWICE = r"(?:2(?!\d))?"  # "C3-A22" is a second C3-A2, "C3-A2 256Hz" is none
_PAIR = rf"(?:a1-?a2|a2-?a1|m1-?m2|m2-?m1|[am]1-?2)(?:-?{_TWICE})"  # also as "(M1+M2)/2"
_LINKED = "cler?|ler?|lm|linked-?(?:ears?|mastoids?)?|(?:avg-?)?(?:ears?|mastoids?)"
_COMMON = (
    r"ref(?:[12](?!\d))?|c?vref|av[gr]?|average|car|common|gnd|ground|g[12]|pg[12]|org|nose?|(?<=-)[amx]"
)
_AGAINST = rf"(?:-?(?P<reference>{_PAIR}|{_EAR}{_TWICE}|{_PLACE}|{_EYE}|{_LINKED}|{_COMMON}|(?<=-)0[12]))?"
# Of devices and programs: "PSG_C3", "DTEEG", "POL C3", "1: C3"; "C3-A2 [uV]", "EEG 200Hz", "ROC-0" (a second ROC).
_BEFORE = r"(?:\d{1,3}-)?(?:(?:psg|dt|raw|cs|pol|ch|dreem)-?)?"
_AFTER = r"(?:-?(?:uv|μv|mv)|-v)?(?:-?\d{2,4}hz)?(?:-?(?:raw|filt|filtered))?(?:-\d{1,2})?"
_EYES = "(?:eyes?|oeil|auge|ojo|occhio|oog|olho)"
_REGION = "(?:central|frontal|occipital|parietal|temporal)"
_GRAMMAR = [  # role, pattern; the first that is the whole label counts
    ("EOG", rf"(?:e[eo]g-?)?(?P<electrode>{_EYE})(?:-?(?:left|right))?(?:-?[lr]?eog)?{_AGAINST}"),
    ("EOG", rf"(?:(?P<a>{_SIDE})-?)?(?:{_WAY}-?)?eog(?:-?(?P<n>[12]))?(?:-?(?P<b>{_SIDE}))?(?:-?{_WAY}){{0,2}}"
            rf"(?:-?(?P<c>{_SIDE}))?(?:-?\d{{1,3}})?{_AGAINST}"),
    ("EOG", rf"(?:eog-?)?(?:(?P<a>{_CLEAR_SIDE})-?{_EYES}|{_EYES}-?(?P<b>{_CLEAR_SIDE})){_AGAINST}"),
    ("EOG", rf"(?P<reference>{_EAR})-(?:(?P<electrode>{_EYE})|eog-?(?P<n>[12]))"),
    ("EEG", rf"(?P<electrode>0[12])-?(?P<reference>{_EAR})"),  # "01-A2", typed with a nought
    ("EEG", rf"(?:eeg-?)?(?P<electrode>{_EAR})(?:-?eeg)?(?:-?(?P<reference>{_EAR}|{_LINKED}|{_COMMON}|[cf]p?z))?"),
    ("EEG", rf"(?:eeg-?)?(?P<reference>{_EAR})-(?P<electrode>{_PLACE})"),
    ("EEG", rf"(?P<electrode>cz)2-(?P<reference>{_EAR})"),  # of DREAMS
    ("EEG", rf"(?:eeg-?)?(?P<electrode>{_PLACE})(?:-?eeg)?{_AGAINST}(?:-?eeg)?"),
    ("EEG", rf"eeg-?(?P<electrode>po2|i[12]){_AGAINST}"),
    ("EEG", rf"(?:(?:left|right)-?)?eeg(?:-?(?:ch|channel))?(?:(?:-?\d{{1,3}})?(?:-?(?:{_CLEAR_SIDE}|{_REGION}|sec"
            rf"|secondary|prim|primary))?|-?\d{{1,3}}{_AGAINST})"),
]  # fmt: skip
# What is something else as often, and believed with a voltage for its unit only: LE is the linked ears, too.
_SHY = [
    ("EEG", rf"(?P<electrode>i[12]){_AGAINST}"),
    ("EEG", rf"(?:(?:left|right|[lr])-?)?{_REGION}"),
    ("EOG", rf"(?:(?P<a>[lr])(?:e|og)|(?P<electrode>[ils]o[12])|{_EYES}){_AGAINST}"),
]
_GRAMMAR, _SHY = (
    [(role, re.compile(_BEFORE + pattern + _AFTER)) for role, pattern in known] for known in (_GRAMMAR, _SHY)
)
# Everything else by words, in English, French, German, Italian, Spanish, Portuguese and Dutch, in the order of their
# weight: sound before breath ("Nasal Snore"), pulse before heart, breath before warmth ("Nasal Temp").
_WORDS = [
    ("other", "a mark or state", "annot hypno stage stade event marker mark trigger status batter elapsed "
     "timestamp clock epoch quality score comment sync counter video machine alarm artefact artifact photic "
     "burst"),
    ("other", "light", "light licht lumi"),
    ("other", "sound", "snor schnarch ronfl ronq ronc russa snurk audio sound soud phon geluid"),
    ("other", "position or movement", "posi lage body gravit accel gyro activ actig movem motion beweg "
     "mouvement elevation posangle possens haltung ligging korper cuerpo"),
    ("other", "oxygen or carbon dioxide", "spo2 sao2 sa02 o2% pao2 sat oxy oxim oxstat masimo sentec co2 capno "
     "ptco"),
    ("other", "pulse or pressure of the blood", "pleth plet ppg puls pouls polso heart herz cardia beat blood "
     "nibp hrate hrv bpm ptt"),
    ("ECG", "the heart", "ecg ekg electrocard elektrokard cardio"),
    ("EMG", "a muscle", "emg chin chiin rchon kinn menton mento submen mental barbill masset massat tibia tib "
     "leg bein jambe gamba pierna perna foot feet fuss pied plm limb lowerleft lowerright upperlower bicep "
     "deltoid should scalen temporalis intercost diaphr quadri gastroc soleus flexor extensor muscl muskel wade"),
    ("respiration", "breath", "resp breath atmung atem adem flow flux fluss flusso flujo fluxo stroom air naf "
     "nasal naso nase nez nariz neus canul cannul kanul therm termi termo thor torac torax chest brust borst "
     "rib rip abd addom bauch buik ventre vientre belly stomach belt gurt sangle banda cinghia effort cpap bpap "
     "xpap epap ipap leak fuite mask pres druck auxac ptaf oral mouth mund bouche tidal volum vent epiglot "
     "esoph"),
    ("other", "warmth", "temp rectal skin"),
    ("other", "an input that may be anything", "exg aux extra bipol unused empty input impedan"),
]  # fmt: skip
_WORDS = [(role, what, _words(words)) for role, what, words in _WORDS]
# Abbreviations count as the whole label only, without numbers and sides.
_SHORT = {
    "other": "hr pr rr bp pos bpos acc mic son sao o po ox gsr eda erg ph dc lux luz luce bip off on ref gnd tmp",
    "ECG": "i ii iii avr avl avf v vf",
    "EMG": "lat rat at ta mas mass arm arms jb fds edb mus sub dxdx sxsx been ext flex scm",
    "respiration": "sum xsum vth vab tho thx can nas np npt flw pap pes prs rc",
}
_SHORT = {word: role for role, words in _SHORT.items() for word in _words(words)}
# ISRUC's inputs X1 to X8, or 24 to 31; no other archive is known to use such labels.
_ISRUC = ("EMG", "ECG", "EMG", "EMG", "other", "respiration", "respiration", "respiration")
_INPUTS = {name: role for i, role in enumerate(_ISRUC, 1) for name in (f"x{i}", f"{23 + i}")}

_EARS = _words("A1 A2 M1 M2")
_WRITTEN = {"e1": "E1", "loc": "E1", "e2": "E2", "roc": "E2", "01": "O1", "02": "O2"}
_SAME = {"A1": "M1", "A2": "M2", "TP9": "M1", "TP10": "M2", "T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_SAME |= dict.fromkeys(("CLE", "CLER", "LE", "LER", "LM", "A1+A2"), "M1+M2")
_RANKS = _words("F3 F4 C3 C4 O1 O2"), _words("Fp1 Fp2 Fz Cz Pz Oz F7 F8 T7 T8 P7 P8 P3 P4")

# Microvolts by the prefix of a unit, some in Cyrillic; "?" is a μ that was lost.
_PREFIXES = dict.fromkeys(("u", "μ", "mc", "mk", "micro", "мк", "?"), 1.0) | {"k": 1e9, "": 1e6}
_PREFIXES |= {"m": 1e3, "milli": 1e3, "м": 1e3, "n": 1e-3, "nano": 1e-3}
_VOLTAGE = re.compile(rf"({'|'.join(map(re.escape, _PREFIXES))})(?:-?v(?:olts?)?|в)")
_SCALE = re.compile(r"[muμ]v\W.*")  # "uV/mm"
_OTHER_UNITS = _words(
    "ml l lpm mmhg cmh2o mbar hpa kpa pa torr bar c f k lux lx db hz s ms sec min h g mg bpm rpm ohm kohm deg grad cm "
    "mm m percent prozent celsius kelvin"
)


def understand(label: str, unit: str = "", rate: float | None = None) -> Channel:
    """The channel that a label names, unless its unit or rate (Hz) rules that out. It never raises.

    Case, blanks, accents and separators do not matter. `channels` knows more: it sees the labels beside this one.
    """
    return _checked(_named(label, unit), unit, rate)


def voltage(unit: str) -> bool | None:
    """Whether a unit is one of voltage; `None` where it says nothing."""
    if microvolts(unit) or _SCALE.fullmatch(_folded(unit)):
        return True
    unit = _folded(unit)
    no_voltage = unit in _OTHER_UNITS or any(sign in unit for sign in "%/°")
    return False if no_voltage and unit != "n/a" else None


def microvolts(unit: str) -> float | None:
    """How many microvolts one of `unit` is; `None` where it is no voltage, or one by something else ("uV/mm")."""
    unit = _folded(unit)
    if known := _VOLTAGE.fullmatch(unit):
        return _PREFIXES[known[1]]
    return 1.0 if unit.endswith("v") and not unit.isascii() else None  # a garbled "µV"


def _folded(unit: str) -> str:
    return unicodedata.normalize("NFKD", unit[:LONGEST]).casefold().strip(" \0.[]()")


def _named(label: str, unit: str) -> Channel:
    text = _plain(label)
    if len("".join(label.split())) > LONGEST:
        return Channel(label, "other", reason=f"no label has over {LONGEST} characters")
    return _by_grammar(label, text, unit) or _of_two(label) or _by_words(label, text)


def _by_grammar(label: str, text: str, unit: str) -> Channel | None:
    for role, known in [*_GRAMMAR, *(_SHY if voltage(unit) else [])]:
        if match := known.fullmatch(text):
            return _electrode(label, role, match.groupdict())
    return None


def _of_two(label: str) -> Channel | None:
    """A channel named after two derivations (F4-M1:F3-M2): of their role, at no place that could be told."""
    parts = (
        [_by_grammar(part, _plain(part), "") for part in label.split(":")] if label.count(":") == 1 else []
    )
    roles = {part.role if part and part.reference else "" for part in parts}
    if len(roles) != 1 or not roles <= SLOWEST.keys():
        return None
    why = "named after two derivations: which electrodes it shows is not known"
    return Channel(label, *roles, reason=why)


def _checked(channel: Channel, unit: str, rate: float | None) -> Channel:
    """A channel whose unit or rate is none of its role is "other", whatever its label says."""
    if channel.role in ("EEG", "EOG", "EMG", "ECG") and voltage(unit) is False:
        return replace(channel, role="other", reason=f"named like {channel.role}, but in {unit.strip()}")
    if channel.role in SLOWEST and rate is not None and not rate > TREND:
        return replace(channel, role="other", reason=f"named like {channel.role}, but {rate:g} Hz is a trend")
    return channel


def _plain(label: str) -> str:
    """A label without case, accents and blanks, each run of other signs a hyphen: " EEG_C3 - A2." is "eegc3-a2"."""
    text = unicodedata.normalize("NFKD", "".join(label.split())[: LONGEST + 1]).casefold()
    text = "".join(sign for sign in text if not unicodedata.combining(sign)).replace("œ", "oe")
    return re.sub(r"[^\w%]+", "-", text.replace("_", "-")).strip("-")


def _electrode(label: str, role: str, parts: dict) -> Channel:
    """A channel of the parts that the grammar found; sides and numbers of eyes are E1 (left) and E2."""
    electrode, reference = _written(parts.get("electrode") or ""), _written(parts.get("reference") or "")
    side = parts.get("a") or parts.get("b") or parts.get("c")
    if side or parts.get("n"):
        electrode = "E1" if side in _LEFT or (not side and parts["n"] == "1") else "E2"
    if electrode in _EARS:
        return Channel(label, "other", electrode, reference, "an ear: a reference for other channels")
    against = reference or "a reference that the label does not tell"
    return Channel(label, role, electrode, reference, f"{electrode or role} against {against}")


def _written(name: str) -> str:
    """An electrode or reference as it is usually written: "fpz" is "Fpz", "a1a2" is "A1+A2"."""
    if re.fullmatch(_PAIR, name):
        return f"{name[0].upper()}1+{name[0].upper()}2"
    name = _WRITTEN.get(name.replace("-", ""), name.upper())
    name = name[:-1] + name[-1].lower() if name.endswith(("Z", "H")) else name
    return name.replace("FP", "Fp") if name.startswith("FP") else name


def _by_words(label: str, text: str) -> Channel:
    flat = text.replace("-", "")
    for role, what, words in _WORDS:
        if word := next((word for word in words if word in flat), None):
            return Channel(label, role, reason=f"{what}: {word!r}")
    letters = re.sub(r"\d", "", flat)
    shorts = [letters, *map(letters.removeprefix, _SIDES), *map(letters.removesuffix, _SIDES)]
    if short := next((short for short in shorts if short in _SHORT), None):
        return Channel(label, _SHORT[short], reason=f"{short!r} is short for {_SHORT[short]}")
    if flat in _INPUTS:
        return Channel(label, _INPUTS[flat], reason="an input of ISRUC's recorder")
    return Channel(label, "other", reason="no rule knows this label; if it is EEG or EOG, name it yourself")


_NUMBERED = re.compile(r"(?:eeg-?)?([a-z])-?(\d{1,3})")
_CAPS = "abcdefgh"
_DREAMS = re.compile(r"p(8|18)-([am][12])")
_HIGHEST = {"a": 2, "e": 2, "m": 2, "c": 6, "f": 10, "o": 10, "p": 10, "t": 10}


def channels(source: Header | Recording) -> list[Channel]:
    """What each channel of a file is, in its order; here the labels of the others count too.

    Caps with numbers for names (E1 to E256 of EGI, A1 to B32 of BioSemi) have no eye in E1 and no ear in A1: all are
    EEG. Where a few numbers stand that no 10-20 electrode has (A1 to A12, electrodes in depth), none is believed.
    P8 beside P18 is an eye, as in DREAMS.
    """
    known = [_named(*each) for each in zip(source.channels, source.units, strict=True)]
    texts = [_plain(label) for label in source.channels]
    eyes = {i: eye for i, text in enumerate(texts) if (eye := _DREAMS.fullmatch(text))}
    if {eye[1] for eye in eyes.values()} == {"8", "18"}:
        for i, eye in eyes.items():
            place, ear = f"P{eye[1]}", eye[2].upper()
            known[i] = Channel(source.channels[i], "EOG", place, ear, "an eye: P8 stands beside P18")
    names = [_NUMBERED.fullmatch(text) for text in texts]
    numbers: dict[str, set[int]] = {}
    for letter, number in (name.groups() for name in names if name):
        numbers.setdefault(letter, set()).add(int(number))
    caps = {letter for letter in _CAPS if sum(n > 10 for n in numbers.get(letter, ())) >= 16}
    depth = {a for a, top in _HIGHEST.items() if sum(n > top for n in numbers.get(a, ())) >= 3} - caps
    for i, name in enumerate(names):
        if name and name[1] in caps:
            known[i] = Channel(
                source.channels[i], "EEG", "".join(name.groups()).upper(), "", "of a numbered cap"
            )
        elif name and name[1] in depth:
            known[i] = Channel(
                source.channels[i], "other", reason="numbered like no electrode of the 10-20 system"
            )
    return [_checked(*each) for each in zip(known, source.units, source.rates, strict=True)]


def derivations(source: Header | Recording, most: int = MOST) -> list[Derivation]:
    """What a night network should be shown of a file: EEG and EOG channels as they stand; electrodes against one
    common reference as differences to the ear of the other side (C3-M2, C4-M1; both eyes to M2), where one is there.

    Left out: what is slower than `SLOWEST`, empty, or there already. Over `most` EEG channels, those of the AASM's
    places stay, then those of the 10-20 system, then every so many-th of the others: caps are numbered by place.
    """
    known = channels(source)
    usable = [i for i, obstacle in enumerate(_obstacles(source, known)) if not obstacle]
    ears = [i for i in usable if known[i].role == "other" and known[i].electrode in _EARS]
    ears = ears or [i for i in usable if known[i].electrode in ("TP9", "TP10") and not known[i].reference]
    brain = [i for i in usable if known[i].role in SLOWEST and i not in ears]
    formed = {i: _formed(i, ears, known, source) for i in brain}
    first: dict[tuple, int] = {}
    # What is there already, then differences.
    for i in sorted(brain, key=lambda i: (len(formed[i].labels), i)):
        first.setdefault(_place(formed[i], known[i]), i)
    kept = _best({i: _rank(known[i]) for i in sorted(first.values()) if known[i].role == "EEG"}, most)
    return [formed[i] for i in sorted(first.values()) if known[i].role == "EOG" or i in kept]


def _obstacles(source: Header | Recording, known: list[Channel]) -> list[str]:
    """Why a channel cannot be used, whatever it is; "" if it can."""
    samples = source.samples if isinstance(source, Header) else [len(x) for x in source.signals]
    found, seen = [], set()
    for channel, rate, size in zip(known, source.rates, samples, strict=True):
        slowest = SLOWEST.get(channel.role, 0.0)
        if channel.label in seen:
            found.append("another channel of this label stands before it")
        elif not size:
            found.append("empty")
        else:
            found.append("" if rate >= slowest else f"{rate:g} Hz; {channel.role} needs at least {slowest:g}")
        seen.add(channel.label)
    return found


def _formed(i: int, ears: list[int], known: list[Channel], source: Header | Recording) -> Derivation:
    """Channel `i` as it stands, or its difference to an ear of the same reference, rate and kind of unit."""
    channel, kind = known[i], voltage(source.units[i])
    fitting = [j for j in ears if (source.rates[j], voltage(source.units[j])) == (source.rates[i], kind)]
    fitting = [j for j in fitting if known[j].reference == channel.reference]
    alike = {_same(known[j].electrode): j for j in reversed(fitting)}
    if not alike or not channel.electrode or _same(channel.reference) in ("M1", "M2", "M1+M2"):
        return Derivation(channel.label, channel.role, (channel.label,), channel.reason)
    right = channel.role == "EEG" and channel.electrode.rstrip("h")[-1] in "02468"
    wanted = "M1" if right else "M2"
    j = alike.get(wanted, min(alike.values()))
    name, only = f"{channel.electrode}-{known[j].electrode}", "" if wanted in alike else ", the only ear"
    return Derivation(
        name, channel.role, (channel.label, known[j].label), f"formed, against {known[j].electrode}{only}"
    )


def _place(derivation: Derivation, channel: Channel) -> tuple:
    """What makes two derivations one: electrode and reference by any of their names; of others the label."""
    reference = derivation.name.rpartition("-")[2] if len(derivation.labels) == 2 else channel.reference
    if not channel.electrode or (channel.role == "EOG" and not reference):
        return derivation.labels
    return channel.role, _same(channel.electrode), _same(reference)


def _same(name: str) -> str:
    """One name for each place: M1 for A1 and TP9, T7 for T3, the linked ears for all their spellings."""
    return _SAME.get(name, name)


def _rank(channel: Channel) -> int:
    place = _same(channel.electrode)
    return next((rank for rank, places in enumerate(_RANKS) if place in places), len(_RANKS))


def _best(ranks: dict[int, int], most: int) -> set[int]:
    """At most so many channels: by rank, and spread evenly over the last."""
    best = sorted((i for i in ranks if ranks[i] < len(_RANKS)), key=ranks.get)[:most]
    others, room = [i for i in ranks if ranks[i] == len(_RANKS)], most - len(best)
    spread = others if len(others) <= room else [others[k * len(others) // room] for k in range(room)]
    return {*best, *spread}


def table(source: Header | Recording, most: int = MOST) -> list[Row]:
    """Every channel of a file in its order, used by `derivations` or not, and why: for `--list-channels`."""
    known, formed = channels(source), derivations(source, most)
    uses = {label: d for d in reversed(formed) for label in reversed(d.labels)}
    uses |= {d.labels[0]: d for d in formed}  # an ear is part of several: of its own role first
    rows = []
    for i, (channel, why) in enumerate(zip(known, _obstacles(source, known), strict=True)):
        used = not why and channel.label in uses
        unused = f"{channel.reason}; not needed: its place is taken, or there are {most} channels without it"
        why = why or (
            uses[channel.label].reason if used else unused if channel.role in SLOWEST else channel.reason
        )
        named = channel.role, channel.electrode, channel.reference
        rows.append(Row(channel.label, *named, source.rates[i], source.units[i], used, why))
    return rows
