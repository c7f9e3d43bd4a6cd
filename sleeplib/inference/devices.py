"""The name of a device in, the device out if it can be used."""

import torch

from sleeplib.errors import SleeplibError


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def known_device(name: str | None) -> torch.device:
    """The device of that name, by default the default device.

    Raises
    ------
    SleeplibError
        If torch knows none of that name, or there is none on this machine.
    """
    try:
        device = torch.device(name or default_device())
        torch.zeros(1, device=device).item()
    # No such name or no driver; a torch without CUDA; a backend that cannot compute.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SleeplibError(f"device {name!r} cannot be used ({reason}); choose cpu or cuda") from error
    return device
