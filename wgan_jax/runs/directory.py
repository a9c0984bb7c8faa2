"""Run directory: creation, compatibility check, environment, reading back.

config.json (resolved), data.json, versions.json, metrics.jsonl, samples/, checkpoints/;
with the tensorboard extra tensorboard/; with run.evaluate_every best.json and
checkpoints-best/.
"""

import dataclasses
import json
import os
import platform
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

import jax

from wgan_jax.config import Config, differences, from_json, to_json
from wgan_jax.data.record import DataRecord
from wgan_jax.errors import UserError
from wgan_jax.files import free_path, write_json, write_text
from wgan_jax.validation import check_fields

BEST_CHECKPOINTS = "checkpoints-best"
DATA_FORMAT = 1
"""Version of data.json; a file of another version is refused."""
NO_DATA = DataRecord()
PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "numpy",
    "pillow",
    "pot",
)


def check_or_create(
    out, config: Config, *, fresh: bool = False, extend: bool = False
) -> Path:
    """Checks that the directory `out` can hold this run; creates it if it is missing.

    fresh: an existing directory is first moved to OUT.1, OUT.2 and so on. extend: a run
    with fewer run.steps is accepted. Raises UserError if `out` holds a different run or
    other files, OSError if it is not writable.
    """
    out = Path(out)
    if fresh and out.exists():
        archive(out)
    if (out / "config.json").exists():
        _check_same_run(out, read_config(out), config, extend)
    elif out.is_dir() and any(not p.name.startswith(".config.") for p in out.iterdir()):
        raise UserError(
            f"--out {out} is not empty and is not a run directory (it has no "
            "config.json): give another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        return out


def initialise(out: Path, config: Config, record: DataRecord = NO_DATA) -> None:
    """Writes config.json, data.json and versions.json and creates samples/.

    record: of the data; NO_DATA for converted weights.
    """
    # First, because it identifies a run: the process may be killed between two lines.
    write_text(out / "config.json", to_json(config))
    write_json(out / "data.json", {"format": DATA_FORMAT} | dataclasses.asdict(record))
    (out / "samples").mkdir(exist_ok=True)
    write_json(out / "versions.json", environment(config))


def read_config(run) -> Config:
    """The configuration of the run in a directory; UserError if it is not a run."""
    path = Path(run) / "config.json"
    if not path.is_file():
        raise UserError(f"{run} is not a run directory: it has no config.json")
    config = from_json(path.read_bytes())
    try:
        check_fields(config)
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return config


def read_data_record(run) -> DataRecord:
    """The record of a run's data. Raises UserError where it cannot be read."""
    path = Path(run) / "data.json"
    try:
        values = json.loads(path.read_text())
        version = values.pop("format", None)
        if version == DATA_FORMAT:
            # JSON has no tuples.
            lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
            return DataRecord(**values | lists)
        reason = f"its format is {version}, not {DATA_FORMAT}"
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise UserError(
        f"{path} cannot be read ({reason}): the train command of this run writes it "
        "again"
    )


def read_best(run) -> dict | None:
    """{step, metric, value} of the best state so far, or None if none is saved."""
    path = Path(run) / "best.json"
    return json.loads(path.read_text()) if path.is_file() else None


def write_best(run, step: int, metric: str, value: float) -> None:
    """Records the best state so far, which BEST_CHECKPOINTS already contains."""
    best = {"step": step, "metric": metric, "value": value}
    write_json(Path(run) / "best.json", best, indent=None)


def environment(config: Config) -> dict:
    """Packages, device, precision and commit of this process, for versions.json."""
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


def archive(out: Path) -> None:
    """Renames OUT to the first free one of OUT.1, OUT.2 and so on, and reports it."""
    archived = free_path(out)
    out.rename(archived)
    print(f"moved the old {out} to {archived}")


def _check_same_run(out, old, new, extend):
    # How images reach the device changes no computed number.
    ignored = ("data.stream:", "data.workers:")
    changed = [line for line in differences(old, new) if not line.startswith(ignored)]
    # At a constant learning rate a longer run has the first steps of a shorter one;
    # with linear decay it differs from its first step.
    longer = old.run.steps < new.run.steps and new.optimizer.decay == "constant"
    only_longer = longer and len(changed) == 1
    if changed and not (only_longer and extend):
        more = ", or --extend to resume it" if only_longer else ""
        raise UserError(
            f"--out {out} holds a run that differs in {', '.join(changed)} (there and "
            f"now): give another --out, or --fresh to move the old run aside{more}"
        )


def _git_commit():
    def git(*arguments):
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout

    try:
        dirty = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short=12", "HEAD").strip() + dirty
    except (OSError, subprocess.CalledProcessError):
        return None
