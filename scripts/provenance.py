"""Provenance of measured numbers: commit, machine, versions and date."""

import datetime
import platform
import re
from importlib import metadata
from pathlib import Path

from wgan_jax.config import Config
from wgan_jax.data.stream import usable_cores
from wgan_jax.runs import directory


def provenance(*packages: str) -> dict:
    """Facts about this process that its numbers depend on.

    packages: distributions whose versions are listed after those of JAX and NumPy. The
    commit ends in a plus sign where tracked files have uncommitted changes.
    """
    environment = directory.environment(Config())
    info = Path("/proc/cpuinfo")
    cpu = re.search(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
    return {
        "commit": environment["git_commit"],
        "device": environment["device"],
        "cpu": cpu[1] if cpu else platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("jax", "numpy", *packages)},
        },
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
