"""The networks of both papers, one file per family. `build(name)` makes any of them."""

from dataclasses import fields
from importlib import import_module
from numbers import Integral, Real
from typing import get_type_hints

from sleeplib.errors import SleeplibError

# name: (module, network, settings). Modules are imported when one of their networks is built.
NETWORKS = {
    "e2e-arnn": ("seqsleepnet", "E2EARNN", "E2EARNNSettings"),
    "multitask-e2e-arnn": ("seqsleepnet", "MultitaskE2EARNN", "E2EARNNSettings"),
    "seqsleepnet": ("seqsleepnet", "SeqSleepNet", "SeqSleepNetSettings"),
    "1-max-cnn": ("one_max", "OneMaxCNN", "OneMaxCNNSettings"),
    "multitask-1-max-cnn": ("one_max", "MultitaskOneMaxCNN", "OneMaxCNNSettings"),
    "deepsleepnet1": ("deepsleepnet", "DeepSleepNet1", "DeepSleepNet1Settings"),
    "e2e-deepsleepnet": ("deepsleepnet", "E2EDeepSleepNet", "E2EDeepSleepNetSettings"),
    "chambon": ("cnn", "Chambon", "ChambonSettings"),
    "tsinalis": ("cnn", "Tsinalis", "TsinalisSettings"),
    "dong-dnn": ("dong", "DongDNN", "DongDNNSettings"),
    "dong-mnn": ("dong", "DongMNN", "DongMNNSettings"),
}

# The networks again where the authors' released code differs from the text.
RELEASED = {
    "e2e-arnn": ("released", "ReleasedE2EARNN", "ReleasedE2EARNNSettings"),
    "multitask-e2e-arnn": ("released", "ReleasedMultitaskE2EARNN", "ReleasedE2EARNNSettings"),
    "seqsleepnet": ("released", "ReleasedSeqSleepNet", "ReleasedSeqSleepNetSettings"),
}

# Those that take a night's signals at 128 Hz, `(B, C, T)`, and return stages of any length, `(B, N, 5)`.
NIGHT_NETWORKS = {
    "usleep": ("usleep", "USleep", "USleepSettings"),
    "anysleep": ("anysleep", "AnySleep", "AnySleepSettings"),
    "anysleep-early": ("anysleep", "EarlyFusion", "EarlyFusionSettings"),
    "anysleep-late": ("anysleep", "LateFusion", "LateFusionSettings"),
}

VARIANTS = {"paper": NETWORKS, "released": RELEASED}

# Baselines without a network: `fit(nights, rate)`, then `posteriors(inputs)`.
CLASSICAL = {
    "majority": "Majority",
    "band-power-lda": "BandPowerLDA",
    "random-forest": "RandomForest",
    "svm": "SVM",
}

# Who takes raw signals `(B, L, C, T)`; all others take images `(B, L, C, T, F)`.
ON_SIGNALS = (
    *("deepsleepnet1", "e2e-deepsleepnet", "chambon", "tsinalis", "dong-dnn", "dong-mnn"),
    *("random-forest", "svm"),
)


def baseline(name: str, **settings):
    """An unfitted classical baseline, one of `CLASSICAL`."""
    if name not in CLASSICAL:
        raise SleeplibError(f"no baseline is called {name!r}; there are {', '.join(CLASSICAL)}")
    return getattr(import_module("sleeplib.models.classical"), CLASSICAL[name])(**settings)


def shape(name: str, inputs, rate: float = 100.0) -> dict:
    """The settings of a network that follow from its inputs.

    These are images `(E, C, T, F)`, or signals `(E, C, S)` at `rate` Hz for those of `ON_SIGNALS`.
    """
    if name in ON_SIGNALS:
        file, _, table = NETWORKS[name]
        known = {field.name for field in fields(getattr(import_module(f"sleeplib.models.{file}"), table))}
        found = {"channels": inputs.shape[1], "samples": inputs.shape[2], "rate": rate}
        return {key: value for key, value in found.items() if key in known}
    return {"channels": inputs.shape[1], "frames": inputs.shape[2], "bins": inputs.shape[3]}


def build(name: str, variant: str = "paper", **settings):
    """A freshly initialised network.

    Parameters
    ----------
    name : one of `NETWORKS` or `NIGHT_NETWORKS`
    variant : "paper" for the paper's text or "released" for what the authors' code does
    settings : fields of the network's settings that differ from their defaults

    Returns
    -------
    torch.nn.Module
        Image networks take `(B, L, C, T, F)` and return logits `(B, L, 5)`, multitask ones `(B, L, 3, 5)`;
        signal networks take `(B, L, C, T)`; night networks `(B, C, T)` and return `(B, N, 5)`.

    Raises
    ------
    SleeplibError
        If there is no network, variant or setting of that name, or a setting is nothing that it can be.
    """
    known = VARIANTS | {"paper": NETWORKS | NIGHT_NETWORKS}
    if name not in known["paper"]:
        raise SleeplibError(f"no network is called {name!r}; there are {', '.join(known['paper'])}")
    variants = [key for key, networks in known.items() if name in networks]
    if variant not in variants:
        raise SleeplibError(f"{name} has no variant {variant!r}; it has {', '.join(variants)}")
    file, network, table = known[variant][name]
    module = import_module(f"sleeplib.models.{file}")
    names = [field.name for field in fields(getattr(module, table)) if field.init]
    unknown = settings.keys() - set(names)
    if unknown:
        raise SleeplibError(f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(names)}")
    kinds = get_type_hints(getattr(module, table))
    for setting, value in settings.items():
        if expected := _wrong(setting, kinds[setting], value):
            raise SleeplibError(f"{name}: {setting}={value!r}; expected {expected}")
    return getattr(module, network)(getattr(module, table)(**settings))


def _wrong(setting: str, kind, value) -> str:
    """What a setting of this kind must be, if the value is not so; else ""."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    real = isinstance(value, Real) and not isinstance(value, bool)
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    if setting in ("dropout", "decay"):
        return "" if real and 0 <= value < 1 else "a number from 0 to below 1"
    if kind is float:
        return "" if real and 0 < value < float("inf") else "a number above 0"
    if kind == tuple[int, ...]:
        numbers = value if isinstance(value, list | tuple) else []
        fit = len(numbers) and not any(_wrong(setting, int, number) for number in numbers)
        return "" if fit else "a list of whole numbers, 1 or more"
    if value is None and kind == int | None:
        return ""
    least = 0 if setting == "emg" else 1  # the number of a channel; all others are sizes
    return "" if whole and value >= least else f"a whole number, {least} or more"
