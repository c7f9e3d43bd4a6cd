"""Deep-learning sleep staging, step by step: the library under the book.

The rooms, in the order in which a night walks through them: `readers` and `simulator` give a
`Recording`; `signals` and `store` prepare it; `sampling`, `models` and `training` learn from it;
`inference` stages it; `analysis`, `plotting` and `results` say how well.

Three names for a night of one's own are here, too, each loaded when it is first asked for:

    night = sleeplib.stage("night.edf")
    night.hypnogram.plot()
"""

from importlib import import_module

__version__ = "0.1.0"
# Modules by name and not by import: this package is below all rooms, and `import sleeplib` is light.
_DOORS = {
    "stage": "sleeplib.staging",
    "Recording": "sleeplib.recording",
    "Hypnogram": "sleeplib.recording",
}


def __getattr__(name: str):
    if name not in _DOORS:
        raise AttributeError(f"module 'sleeplib' has no attribute {name!r}")
    import_module("sleeplib.recording").Hypnogram.plot = _plot
    return getattr(import_module(_DOORS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_DOORS])


def _plot(hypnogram, ax=None, start=None, **look):
    """Draw it by `plotting.hypnogram`, which takes the `look`; `start` is the clock time of the first epoch."""
    return import_module("sleeplib.plotting").hypnogram(
        hypnogram.stages, hypnogram.epoch_seconds, start, ax, **look
    )
