"""Memory of large tensors, kept between the steps of a loop, or given back to the system."""

import ctypes
from contextlib import contextmanager

_TRIM, _MMAP = -1, -3  # options of mallopt
_NEVER = 1 << 30
_USUAL = {_TRIM: 64 << 20, _MMAP: 32 << 20}  # where the C library itself arrives after some large tensors

_open: list = []  # whether memory is being kept


@contextmanager
def kept():
    """Memory that is freed stays with the process until the end of the block.

    The system takes up to a third of a training step on a CPU to hand out and take back the pages of maps of 50 MB.
    GNU's C library has a switch for it; with others nothing happens.
    """
    functions = _functions()
    if _open or not functions:  # a loop within a loop
        yield
        return
    mallopt, trim = functions
    _open.append(1)
    try:
        for option in _USUAL:
            mallopt(option, _NEVER)
        yield
    finally:
        for option, value in _USUAL.items():
            mallopt(option, value)
        trim(0)
        _open.clear()


def release() -> None:
    """Give the system back what has been freed, unless it is `kept`; with other C libraries nothing happens.

    What one part of a computation has freed is in pieces that do not fit the next part's maps, and would lie beside
    them.
    """
    functions = _functions()
    if functions and not _open:
        _, trim = functions
        trim(0)


def _functions():
    """GNU's mallopt and malloc_trim, or None."""
    try:
        libc = ctypes.CDLL(None)
        return libc.mallopt, libc.malloc_trim
    except (OSError, TypeError, AttributeError):
        return None
