"""The folder a run leaves behind: how it is begun, gone on with, and read back.

config.json (resolved), versions.json, metrics.jsonl, samples/, checkpoints/, with the
extra tensorboard/ and, with run.evaluate_every, best.json and checkpoints-best/.
"""

import json
import os
import platform
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

import jax

from wgan_jax.config import Config, differences, from_json, to_json
from wgan_jax.errors import UserError

BEST_CHECKPOINTS = "checkpoints-best"
PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets"),
    *("numpy", "pillow", "pot"),
)


def check_or_create(
    out, config: Config, *, fresh: bool = False, extend: bool = False
) -> Path:
    """Makes sure that this run can live in the directory `out`; writes nothing there.

    fresh: what is there is moved aside first, to OUT.1, OUT.2 and so on. extend: the
    run there may have had fewer run.steps. Raises UserError where another run, or
    something else, is there, OSError where the directory cannot be written to.
    """
    out = Path(out)
    if fresh and out.exists():
        archive(out)
    if (out / "config.json").exists():
        _refuse_another(out, read_config(out), config, extend)
    elif out.is_dir() and any(p.name != "config.tmp" for p in out.iterdir()):
        raise UserError(
            f"--out {out} is not empty and holds no run (no config.json): give "
            "another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        return out


def initialise(out: Path, config: Config) -> None:
    """Writes what is known before the first step, once all of it was found good."""
    # First, as a directory is known by it: a run may be killed between any two lines.
    _write(out / "config.json", to_json(config))
    (out / "samples").mkdir(exist_ok=True)
    versions = json.dumps(environment(config), indent=2) + "\n"
    _write(out / "versions.json", versions)


def read_config(run) -> Config:
    """The configuration of the run in a directory; UserError where there is none."""
    path = Path(run) / "config.json"
    if not path.is_file():
        raise UserError(f"{run} is no run directory: it has no config.json")
    return from_json(path.read_text())


def read_best(run) -> dict | None:
    """{step, metric, value} of the best state so far, or None where none was kept."""
    path = Path(run) / "best.json"
    return json.loads(path.read_text()) if path.is_file() else None


def write_best(run, step: int, metric: str, value: float) -> None:
    """Records which state, kept before in BEST_CHECKPOINTS, is the best so far."""
    told = {"step": step, "metric": metric, "value": value}
    _write(Path(run) / "best.json", json.dumps(told) + "\n")


def environment(config: Config) -> dict:
    """Packages, device, precision and code of this process, as results need them."""
    device = jax.devices()[0]
    return {
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
        "devices": jax.device_count(),
        "cpu_cores": os.cpu_count(),
        "precision": "float32" if device.platform == "cpu" else config.run.precision,
        "dtype": config.model.dtype,
        "git_commit": _git_commit(),
    }


def _refuse_another(out, old, new, extend):
    # How the images come to the device shapes nothing that is computed there.
    how = ("data.stream:", "data.workers:")
    found = [line for line in differences(old, new) if not line.startswith(how)]
    # At a constant learning rate a longer run passes through all that a shorter one
    # did; a linear decay would have been another one from its first step.
    longer = old.run.steps < new.run.steps and new.optimizer.decay == "constant"
    only_longer = longer and len(found) == 1
    if found and not (only_longer and extend):
        more = ", or --extend to go on with it" if only_longer else ""
        raise UserError(
            f"--out {out} holds a run that differs in {', '.join(found)} (there and "
            f"now): give another --out, or --fresh to move the old run aside{more}"
        )


def archive(out: Path) -> None:
    """Renames OUT to the first of OUT.1, OUT.2 and so on that is free, and says so."""
    number = 1
    while (place := out.with_name(f"{out.name}.{number}")).exists():
        number += 1
    out.rename(place)
    print(f"moved the old {out} to {place}")


def _write(path, text):
    # At no moment is there half a file under the name that a later start reads.
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _git_commit():
    here = Path(__file__).parent

    def git(*arguments):
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout

    try:
        dirty = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short=12", "HEAD").strip() + dirty
    except (OSError, subprocess.CalledProcessError):
        return None
