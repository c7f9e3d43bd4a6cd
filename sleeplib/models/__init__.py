"""The networks of both papers, one file per family. `build(name)` makes any of them."""

from dataclasses import fields
from importlib import import_module

from sleeplib.errors import SleeplibError

# name: (module, network, settings). Modules are imported when one of their networks is built.
NETWORKS = {
    "e2e-arnn": ("seqsleepnet", "E2EARNN", "E2EARNNSettings"),
    "seqsleepnet": ("seqsleepnet", "SeqSleepNet", "SeqSleepNetSettings"),
}

# Baselines without a network: `fit(nights)`, then `posteriors(images)`.
CLASSICAL = {"majority": "Majority", "band-power-lda": "BandPowerLDA"}


def baseline(name: str):
    """An unfitted classical baseline, one of `CLASSICAL`."""
    if name not in CLASSICAL:
        raise SleeplibError(f"no baseline is called {name!r}; there are {', '.join(CLASSICAL)}")
    return getattr(import_module("sleeplib.models.classical"), CLASSICAL[name])()


def build(name: str, **settings):
    """A freshly initialised network.

    Parameters
    ----------
    name : one of `NETWORKS`
    settings : fields of the network's settings that differ from the paper's table

    Returns
    -------
    torch.nn.Module
        Image networks take `(B, L, C, T, F)` and return logits `(B, L, 5)`.

    Raises
    ------
    SleeplibError
        If there is no network or setting of that name.
    """
    if name not in NETWORKS:
        raise SleeplibError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    file, network, table = NETWORKS[name]
    module = import_module(f"sleeplib.models.{file}")
    known = [field.name for field in fields(getattr(module, table))]
    unknown = settings.keys() - set(known)
    if unknown:
        raise SleeplibError(f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    return getattr(module, network)(getattr(module, table)(**settings))
