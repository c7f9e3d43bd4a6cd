"""Notebooks side by side, each in a process of its own, and in an order that keeps them out of each other's way."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

# What decides how many threads a library starts.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_all(
    runs: list, jobs: int, start: Callable[[int, object], object], execute: Callable, done: Callable
) -> None:
    """Execute runs, up to `jobs` at a time, each as early as `may_start` lets it.

    Parameters
    ----------
    start : (number from 1, run) -> what to execute, or None if it needs not be; called just before it starts
    execute : function of what `start` gave, at the top of a module, as another process calls it
    done : (number, run, result of `execute`), called as they end

    An error of one lets those that run come to their end, starts no other, and is raised then.
    """
    waiting, running, error = list(enumerate(runs, start=1)), {}, None
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (_threads(jobs),)) as pool:
        while (waiting and not error) or running:
            for number, run in [] if error else list(waiting):
                if len(running) < jobs and may_start(
                    run, [r for _, r in running.values()], _before(waiting, run)
                ):
                    waiting.remove((number, run))
                    try:
                        todo = start(number, run)
                    except Exception as problem:
                        error = problem
                        break
                    if todo is not None:
                        running[pool.submit(execute, todo)] = number, run
            ended: set[Future] = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in ended:
                number, run = running.pop(future)
                error = error or future.exception()
                if not future.exception():
                    done(number, run, future.result())
    if error:
        raise error


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


def _before(waiting: list, run) -> list:
    return [other for _, other in waiting[: [other for _, other in waiting].index(run)]]


def _threads(jobs: int) -> int:
    return (
        max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, jobs)
        // jobs
    )


def _begin(threads: int) -> None:
    """The kernels inherit it: together they start as many threads as there are cores."""
    os.environ |= dict.fromkeys(_THREADS, str(threads))
