"""Where a number comes from: the checkout, its commit, the versions of the packages, the machine."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("sleeplib", "torch", "numpy", "scipy", "scikit-learn", "pandas", "mne")


def root() -> Path:
    """The checkout that holds this package; the current folder where it was installed without one."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers, as far as they are installed."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **installed}


def commit() -> dict | None:
    """Commit of the checkout and whether files differ from it; None outside a checkout."""
    if not (root() / ".git").exists():
        return None
    command = ["git", "-C", str(root())]
    try:
        commit = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run(
            [*command, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):  # git is not installed, or there is no commit yet
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}


def device() -> dict:
    """The machine: processor, cores and, where torch is in use, its threads and the GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    models.append(platform.processor() or platform.machine())
    found = {"cpu": models[0], "cores": os.cpu_count()}
    if torch := sys.modules.get("torch"):
        found["torch_threads"] = torch.get_num_threads()
        found["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return found
