"""Notebooks side by side, each in a process of its own, and in an order that keeps them out of each other's way."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from sleeplib.errors import SleeplibError

# What decides how many threads a library starts, and how many processes joblib (`sleeplib.parallel`).
_CORES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
# glibc would give every large block back at once and get it again page by page: a twentieth of the processor time.
_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}


def run_all(
    runs: list, jobs: int, start: Callable[[int, object], object], execute: Callable, done: Callable
) -> None:
    """Execute runs, up to `jobs` at a time, each as early as `may_start` lets it; of several that with most behind it.

    Parameters
    ----------
    start : (number from 1, run) -> what to execute, or None if it needs not be; called just before it starts
    execute : function of what `start` gave, at the top of a module, as another process calls it
    done : (number, run, result of `execute`), called as they end

    An error of one lets those that run come to their end, starts no other, and is raised then. An interruption ends
    them at once.

    Raises
    ------
    SleeplibError
        Of each that failed, or was ended by the system.
    """
    waiting, running, errors = list(enumerate(runs, start=1)), {}, []
    pool = ProcessPoolExecutor(jobs, get_context("spawn"))
    try:
        while (waiting and not errors) or running:
            for number, run in [] if errors else by_length(waiting):
                beside = [r for _, r in running.values()]
                if len(running) == jobs or not may_start(run, beside, _before(waiting, run)):
                    continue
                waiting.remove((number, run))
                try:
                    todo = start(number, run)
                except SleeplibError as error:
                    errors.append(str(error))
                    break
                if todo is not None:
                    cores = _cores() if lonely(run, beside, waiting) else max(_cores() // jobs, 1)
                    running[pool.submit(_on_cores, cores, execute, todo)] = number, run
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                number, run = running.pop(future)
                try:
                    done(number, run, future.result())
                except BrokenProcessPool:
                    errors.append(
                        f"notebook {run.name}: its process was ended from outside; for lack of memory?"
                    )
                except SleeplibError as error:
                    errors.append(str(error))
    except BaseException:
        for process in (pool._processes or {}).values():
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    if errors:
        raise SleeplibError("; and ".join(errors))


def may_start(run, running: list, before: list) -> bool:
    """Whether a run gets in nobody's way: `before` are those before it in order that have not started.

    One that measures times runs alone. One that reads what others write comes after them. Of those that share data
    which the first of them makes, one at a time runs.
    """
    if run.alone or any(other.alone for other in running):
        return not running
    if run.last and (running or before):
        return False
    return not any(run.in_turn & other.in_turn for other in [*running, *before])


def by_length(waiting: list[tuple]) -> list[tuple]:
    """(number, run) of those that wait, first the one with most minutes of work behind it: of those that share data,
    one runs after the other."""

    def minutes(item) -> float:
        """Of a run and of all that share data with it."""
        return sum(r.minutes or 0 for _, r in waiting if r is item[1] or r.in_turn & item[1].in_turn)

    return sorted(waiting, key=minutes, reverse=True)


def lonely(run, running: list, waiting: list[tuple]) -> bool:
    """Whether nothing runs beside a run, nor could: it may have all cores."""
    return not running and not any(may_start(other, [run], _before(waiting, other)) for _, other in waiting)


def _before(waiting: list[tuple], run) -> list:
    """Those that stand before a run in the order of the book, and wait."""
    order = [other for _, other in waiting]
    return order[: order.index(run)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_cores(cores: int, execute: Callable, run):
    """What `execute` gives; the kernel that it starts inherits how many cores it may use, and uses no more.

    A notebook that has one core does its work itself: processes beside it would wait for that core, after they have
    imported everything once more. One that measures has the allocator of everyday life.
    """
    for name in _MEMORY:
        os.environ.pop(name, None)
    os.environ |= dict.fromkeys(_CORES, str(cores)) | ({} if run.alone else _MEMORY)
    return execute(run)
