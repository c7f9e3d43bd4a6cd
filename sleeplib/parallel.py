"""Work side by side: everything parallel in this library is one call of `work`, which is one call of joblib."""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized

from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm import tqdm

from sleeplib.errors import SleeplibError

BACKENDS = ("loky", "threading", "ray")
# joblib takes a process that has loaded nights for one that leaks, and starts another. Nothing is lost.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")


def work(
    function: Callable, items: Iterable[tuple], jobs: int = 1, backend: str = "loky", desc: str = "",
    unit: str = "night", progress: bool = True,
) -> Iterator:  # fmt: skip
    """Results of `function(*item)` for each item, in the order of the items, with a progress bar.

    Parameters
    ----------
    items : sequence of tuples of arguments
    jobs : how many side by side, of processes no more than there are cores (or than the environment variable
        LOKY_MAX_CPU_COUNT says); the results are the same for any number, but for the rounding of torch, whose sums
        depend on its threads
    backend : "loky" (processes of this machine), "threading" (for work that waits) or "ray" (a Ray cluster: that of
        the environment variable RAY_ADDRESS, else one started on this machine; needs the extra `cluster`)

    Raises
    ------
    SleeplibError
        If the backend is unknown, or Ray is not installed.
    """
    if backend not in BACKENDS:
        raise SleeplibError(f"backend {backend!r} is not known; choose {', '.join(BACKENDS)}")
    if backend == "ray":
        _join_ray()
    items = items if isinstance(items, Sized) else list(items)
    jobs = side_by_side(jobs, items, backend)
    with parallel_config(backend):
        # Ray's backend of joblib cannot hand out results one by one.
        as_they_come = "list" if backend == "ray" else "generator"
        results = Parallel(n_jobs=jobs, return_as=as_they_come)(delayed(function)(*item) for item in items)
    yield from bar(results, progress and len(items), total=len(items), desc=desc, unit=unit)


def bar(items: Iterable | None = None, progress=True, **options) -> tqdm:
    """A progress bar over some items, if one is wanted and somebody can see it: in a terminal or a notebook."""
    seen = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    return tqdm(items, disable=not (progress and seen), **options)


def side_by_side(jobs: int, items: Sized, backend: str = "loky") -> int:
    """How many of the items `work` has under way at once; of one at a time this process does each itself."""
    return min(jobs, len(items), cpu_count() if backend == "loky" else jobs) or 1


def _join_ray() -> None:
    """Let joblib know Ray, on the cluster of RAY_ADDRESS or on this machine."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise SleeplibError(
            "the backend ray needs the extra `cluster`: pip install 'sleeplib[cluster]'"
        ) from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    register_ray()
