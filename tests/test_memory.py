"""Memory that a loop keeps."""

import ctypes
import subprocess
import sys

import pytest

from sleeplib import memory

PROGRAM = """
import resource, torch
from sleeplib import memory
def faults():
    torch.ones(1 << 24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones((1 << 24) - 1024)  # GNU's library before 2.38 looks for a little more than an aligned map takes
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
outside = faults()
with memory.kept():
    print(outside, faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library")
def test_pages_of_a_dropped_map_are_there_for_the_next():
    """Page faults of a map of 64 MB, made where one of hardly more has been."""
    program = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=120)
    outside, inside = map(int, done.stdout.split())
    assert outside > 1000 and inside < outside / 10


def test_without_the_switch_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    with memory.kept():
        done = True
    assert done


def test_errors_go_through():
    with pytest.raises(KeyError), memory.kept():
        raise KeyError


def test_a_loop_within_a_loop_leaves_it_kept():
    with memory.kept():
        with memory.kept():
            pass
        assert memory._open
    assert not memory._open


HOLES = """
import torch
from sleeplib import memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
def holes():
    maps = [torch.ones(1 << 14) for _ in range(2000)]  # 125 MiB in pieces of 64 KiB
    return maps[::100]
kept = holes()
before = resident()
memory.release()
print(before - resident())
with memory.kept():
    more = holes()
    before = resident()
    memory.release()
    print(before - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_holes_between_maps_are_given_back_unless_memory_is_kept():
    """MiB that the process gives back where a map in a hundred is still there."""
    program = [sys.executable, "-c", HOLES]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=120)
    given, kept = map(int, done.stdout.split())
    assert given > 100 and kept == 0
