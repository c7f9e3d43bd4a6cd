"""A file, a `Recording` or MNE's `Raw` in, a staged night out: the door for nights of one's own."""

from collections.abc import Sequence

import numpy as np

from sleeplib import Hypnogram, inference  # noqa: F401, the first of them draws itself once it is imported so
from sleeplib.analysis import arousals as short_wake
from sleeplib.errors import SleeplibError
from sleeplib.labels import Derivation
from sleeplib.models.usleep import NightNetwork
from sleeplib.montages import Montage
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.recording import Header, Recording
from sleeplib.staged import Staged
from sleeplib.stages import EPOCH_SECONDS, RESOLUTIONS, STAGES, W
from sleeplib.staging.channels import Row, choose, distrust, left_out, look, rows, tell_slow
from sleeplib.staging.networks import StagingWarning, find_weights, load, posteriors
from sleeplib.staging.sources import Night, aged, opened, part, span

__all__ = ["StagingWarning", "find_weights", "stage", "stages_per_epoch"]

AROUSALS_AT = 8  # stages per epoch, of 3.75 s; arousals last 3 to 15 s
WINDOW = 35  # epochs of a window of attention, as in training


def stage(
    source, weights=None, resolution: float = EPOCH_SECONDS, channels: Sequence[str] | None = None,
    arousals: bool = False, start: float | str | None = None, end: float | str | None = None, device: str = "cpu",
    age: float | None = None, bfloat16: bool = False,
) -> Staged:  # fmt: skip
    """Stage a night: a file of any kind that `readers` know, a `Recording`, or an `mne.io.Raw`.

    Parameters
    ----------
    weights : name or path, or a network, optional
        By default the published weights of AnySleep, fetched once; see `find_weights`.
    resolution : float
        Seconds per stage; 30 s hold a whole number of them, which divides 3840.
    channels : list of str, optional
        Labels of the file or differences "A - B" to look at; by default all EEG and EOG channels that `labels` finds.
    arousals : bool
        Whether to tell arousals from the stages; if these are longer than 3.75 s, from stages of 3.75 s.
    start, end : float or str, optional
        In seconds from the start of the recording, or by the clock: "23:10", "23:10:30".
    device : str
        Torch's name of it.
    age : float, optional
        Of the person in years, for what is usual; by default as the file says, if it does.
    bfloat16 : bool
        Half the bits: on processors with such instructions a fifth faster; of 1,000 stages of 30 s some three differ.

    Returns
    -------
    Staged
        Epochs that a gap of the recording touches have no stage.

    Raises
    ------
    SleeplibError
        If the file cannot be read, no channel can be used, or an option does not fit. `StagingWarning` tells what a
        result may suffer from.
    """
    per_epoch = stages_per_epoch(resolution)
    network = load(weights, device, bfloat16)
    night = opened(source)
    night = night._replace(header=aged(night.header, age))
    begin, stop = span(night.header, start, end)
    if isinstance(network, NightNetwork):
        return _by_night_network(network, night, per_epoch, channels, arousals, begin, stop)
    if per_epoch != 1 or arousals:
        raise SleeplibError(f"{network.about['title']} gives stages of 30 s without arousals; take AnySleep")
    return _by_sequences(network, night, channels, begin, stop)


def stages_per_epoch(resolution: float) -> int:
    """Stages per 30 s, for so many seconds per stage.

    Raises
    ------
    SleeplibError
        If no whole number of them that divides 3840 fills 30 s, naming the nearest possible lengths.
    """
    finest = RESOLUTIONS[-1]
    possible = [n for n in range(1, finest + 1) if finest % n == 0]
    wanted = EPOCH_SECONDS / resolution if resolution > 0 else np.inf
    near = min(possible, key=lambda n: abs(n - wanted))
    if not abs(near - wanted) < 1e-3 * near:
        around = (
            max((n for n in possible if n < wanted), default=1),
            min((n for n in possible if n > wanted), default=finest),
        )
        told = " or ".join(dict.fromkeys(f"{EPOCH_SECONDS / n:.7g}" for n in around))
        raise SleeplibError(
            f"stages of {resolution:g} s do not fill 30 s as a number that divides 3840; take {told} s"
        )
    return near


def _by_night_network(
    network, night: Night, per_epoch: int, channels, arousals: bool, begin: float, stop: float
) -> Staged:
    """A night staged by AnySleep, its variants or U-Sleep, all resolutions and the attention in one go."""
    header = night.header
    preparation = getattr(network, "preparation", None) or Preparation(**ANYSLEEP)
    size = round(EPOCH_SECONDS * preparation.rate)
    shown = choose(header, channels, night.bad)
    tell_slow(header, shown)
    x, used, found = _signals(night, shown, preparation, begin, stop)
    seen = [row.shown for row in used]
    unscored = _touched(header, begin, x.shape[1] // size)
    fine = per_epoch if per_epoch >= AROUSALS_AT or not arousals else AROUSALS_AT
    at, attention = posteriors(
        network, x, [d.role for d in seen], sorted({1, per_epoch, fine}), WINDOW * size
    )
    for p in at.values():
        p[np.repeat(unscored, len(p) // len(unscored))] = 1 / len(STAGES)  # nobody knows
    dead = {row.shown.name: row.dead for row in found if row.shown not in seen}
    return Staged(
        header.id, at[1], network.about, begin, header.start, header.subject, per_epoch,
        fine=at[per_epoch] if per_epoch > 1 else None,
        arousals=_arousals(at[fine], fine, unscored) if arousals else None,
        arousal_seconds=EPOCH_SECONDS / fine if arousals else None,
        channels=[d.name for d in seen],
        left_out=left_out(header, shown, channels, night.bad) | dead,
        faults={row.shown.name: row.faults for row in found if row.faults},
        attention=attention, attention_seconds=WINDOW * EPOCH_SECONDS,
        unscored=unscored if unscored.any() else None,
        **_drawn(used, unscored, header),
    )  # fmt: skip


def _signals(
    night: Night, shown, preparation: Preparation, begin: float, stop: float
) -> tuple[np.ndarray, list[Row], list[Row]]:
    """Whole epochs (C, T) of the channels that tell something, their rows, and all rows; these without signals.

    If none does, all that are there are taken, with a warning.
    """
    found = list(rows(night, shown, preparation, begin, stop))
    used = [row for row in found if not row.dead]
    if not used:
        distrust(night.header, f"{found[0].dead} in every channel that could be shown")
        used = [row for row in found if len(row.x)]
    size = round(EPOCH_SECONDS * preparation.rate)
    length = min((len(row.x) for row in used), default=0) // size * size
    if not length:
        raise SleeplibError(f"{night.header.id}: less than an epoch of 30 s in its signals")
    x = np.empty((len(used), length), np.float32)
    for i, row in enumerate(used):
        x[i] = row.x[:length]
    labels = {row.shown.labels for row in used}
    bare = [row._replace(x=None) for row in found]  # the network needs the memory
    return x, [row for row in bare if row.shown.labels in labels], bare


def _drawn(used: list[Row], unscored: np.ndarray, header: Header) -> dict:
    """The spectrum that shows most, the last that was looked for, as `Staged` has it; empty if there is none."""
    row = next((row for row in reversed(used) if row.spectrum is not None), None)
    if row is None:
        return {}
    spectrum = row.spectrum[: len(unscored)]
    spectrum[unscored] = np.nan
    return {
        "spectrum": spectrum,
        "hertz": np.arange(spectrum.shape[1]) / 2,
        "spectrum_channel": row.shown.name,
        "spectrum_unit": header.units[header.channels.index(row.shown.labels[0])],
    }


def _arousals(fine: np.ndarray, per_epoch: int, unscored: np.ndarray) -> np.ndarray:
    """Arousals (n, 2) in seconds from the first epoch; a gap counts as wake, which is too long to be one."""
    stages = np.where(np.repeat(unscored, per_epoch), W, fine.argmax(1))
    return short_wake.detect(stages, per_epoch)


def _touched(header: Header, begin: float, n: int) -> np.ndarray:
    """Mask (n,) of the epochs that a gap touches; an error if it is all of them."""
    starts = begin + EPOCH_SECONDS * np.arange(n)
    mask = np.zeros(n, bool)
    for onset, duration in header.gaps:
        mask |= (starts + EPOCH_SECONDS > onset) & (starts < onset + duration)
    if mask.all():
        raise SleeplibError(
            f"{header.id}: gaps of the recording touch all of its {n} epochs; none can be staged"
        )
    return mask


def _by_sequences(network, night: Night, channels, begin: float, stop: float) -> Staged:
    """A night staged by a network of sequences of epochs, which takes the channels of its own montage."""
    header = night.header
    if network.preparation.epoch_seconds != EPOCH_SECONDS:
        raise SleeplibError(
            f"{network.about['title']} stages epochs of {network.preparation.epoch_seconds:g} s; take a network of "
            f"epochs of {EPOCH_SECONDS:g} s"
        )
    montage = network.preparation.montage or inference.PAPER_MONTAGE
    if channels is not None:
        if len(channels) != len(montage):
            raise SleeplibError(
                f"{network.about['title']} takes {len(montage)} channels: {', '.join(montage)}"
            )
        montage = dict(zip(montage, channels, strict=True))
    shown = _formed(header, montage)
    tell_slow(header, shown)
    names = list(dict.fromkeys(label for d in shown for label in d.labels))
    recording = part(night.read(names), names, begin, stop)
    found = inference.stage(recording, network, montage=montage)
    faults = _faults(recording, header, shown)
    unscored = _touched(header, begin, len(found))
    found[unscored] = 1 / len(STAGES)
    return Staged(
        header.id, found, network.about, begin, header.start, header.subject, channels=[d.name for d in shown],
        left_out={name: "not in the network's montage" for name in header.channels if name not in names},
        faults=faults, unscored=unscored if unscored.any() else None,
    )  # fmt: skip


def _formed(header: Header, montage: dict) -> list[Derivation]:
    """The channel or difference of each role of a montage; without one, the error says how to name them."""
    try:
        found = Montage({}, header).roles(montage)
    except SleeplibError as error:
        told = f"name a channel for each role, in this order: --channels {','.join(montage)}"
        raise SleeplibError(f"{error}; {told}") from error
    return [Derivation(" - ".join(d.terms), d.type, tuple(d.terms)) for d in found]


def _faults(recording: Recording, header: Header, shown: list[Derivation]) -> dict[str, list[str]]:
    """The faults of each channel that has some; a warning if one tells nothing, for none can be left out."""
    found, dead = {}, {}
    for d in shown:
        with np.errstate(over="ignore", invalid="ignore"):  # as where channels are prepared
            _, found[d.name], dead[d.name] = look(part(recording, list(d.labels)), d.role)
    if all(dead.values()):
        distrust(header, f"{next(iter(dead.values()))} in every channel that could be shown")
    elif any(dead.values()):
        told = ", ".join(f"{name} is {why}" for name, why in dead.items() if why)
        distrust(header, f"{told}, and this network can leave no channel out")
    return {name: faults for name, faults in found.items() if faults}
