"""What all tests share: quiet threads, no windows, and the material beside the checkout."""

import os
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    """Equal thread counts on every machine: small networks are fastest so, and sums keep their order."""
    import torch

    torch.set_num_threads(min(2, os.cpu_count()))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference vectors and real nights beside the checkout, or where `SLEEPLIB_SHARED` says."""
    folder = Path(os.environ.get("SLEEPLIB_SHARED") or ROOT.parent / "shared")
    if not folder.exists():
        pytest.skip(f"{folder} is not here; name it with SLEEPLIB_SHARED")
    return folder
