"""Run directory: creation, compatibility check, environment, reading back.

config.json (resolved), data.json, data.npz, versions.json, metrics.jsonl, samples/,
checkpoints/; with the tensorboard extra tensorboard/; with run.evaluate_every best.json
and checkpoints-best/.
"""

import contextlib
import dataclasses
import json
import math
import os
import platform
import subprocess
from functools import partial
from importlib import metadata
from pathlib import Path

import jax
import numpy as np

from wgan_jax import __version__
from wgan_jax.config import Config, differences, from_json, to_json
from wgan_jax.data.record import NO_DATA, DataRecord, describe_change
from wgan_jax.distributed import processes
from wgan_jax.errors import UserError
from wgan_jax.files import read_json, save_npz, write_json
from wgan_jax.runs.lock import DirectoryLock
from wgan_jax.validation import check_fields, check_networks

# Beginnings of the names that a killed command can leave in a directory without a run.
UNFINISHED = (".lock", ".config.", ".processes")
BEST_CHECKPOINTS = "checkpoints-best"
DATA_FORMAT = 1
"""Version of data.json; a file of another version is refused."""
# How images reach the device changes no computed number.
UNIMPORTANT = {"data.stream", "data.workers"}
RESUMABLE = UNIMPORTANT | {"run.steps"}
"""Fields that can change when a run is resumed, run.steps with --extend."""
BEST = ("step", "metric", "value")
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


@contextlib.contextmanager
def claimed(out, config: Config, *, fresh: bool = False, extend: bool = False):
    """Context in which this run alone may write the directory `out`.

    Nothing in it changes before the function that the context yields is called:
    begin(*facts) moves an existing directory to OUT.1, OUT.2 and so on if `fresh`, and
    calls `initialise`. extend: a run with fewer run.steps is accepted. With several
    processes, all call both. Raises UserError if `out` is in use or contains a
    different run or other files, OSError if it is not writable.
    """
    out, lock = Path(out), DirectoryLock(out)
    with contextlib.ExitStack() as stack:

        def claim():
            stack.enter_context(lock)
            if fresh:
                lock.check_below()
            else:
                _check(out, config, extend)

        def begin(*facts):
            if fresh:
                lock.move_aside()
            initialise(out, config, *facts)

        processes.run_in_main(claim)
        processes.check_same_directory(out)
        yield lambda *facts: processes.run_in_main(partial(begin, *facts))


def _check(out, config, extend):
    if (out / "config.json").exists():
        _check_same_run(out, read_config(out), config, extend)
        read_best(out)
    elif any(not p.name.startswith(UNFINISHED) for p in out.iterdir()):
        raise UserError(
            f"--out {out} is not empty and is not a run directory (it has no "
            "config.json): give another --out"
        )


def initialise(
    out: Path,
    config: Config,
    record: DataRecord = NO_DATA,
    parent: dict | None = None,
) -> None:
    """Writes config.json, data.json, data.npz and versions.json and creates samples/.

    record: of the data; NO_DATA for converted weights. parent: see `read_parent`; None
    leaves that of an earlier call.
    """
    # First, because it identifies a run: the process may be killed between two lines.
    content = json.loads(to_json(config, out))
    if parent := parent or read_parent(out):
        content["parent"] = parent
    write_json(out / "config.json", content)
    accepted = read_data_record(out, missing=record).accepted
    _write_data_record(out, dataclasses.replace(record, accepted=accepted))
    (out / "samples").mkdir(exist_ok=True)
    write_json(out / "versions.json", environment(config))


def read_config(run) -> Config:
    """The configuration of the run in a directory; UserError if it is not a run."""
    path = Path(run) / "config.json"
    if not path.is_file():
        raise UserError(f"{run} is not a run directory: it has no config.json")
    config = from_json(json.dumps(read_json(path, "restore it from a copy")), run)
    try:
        check_fields(config)
        check_networks(config)
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return config


def read_parent(run) -> dict | None:
    """The record of the run whose weights a run started from: `branch.Parent.record`.

    None for a run that started from initial weights, and where no run is.
    """
    path = Path(run) / "config.json"
    if not path.is_file():
        return None
    content = read_json(path, "restore it from a copy")
    return content.get("parent") if isinstance(content, dict) else None


def describe_parent(parent: dict) -> str:
    """A record of `read_parent` in words."""
    kind = "averaged weights" if parent.get("averaged") else "weights"
    optimizers = "kept" if parent.get("keep_optimizers") else "new"
    return (
        f"{kind} of {parent.get('run')}, step {parent.get('step')}, with {optimizers} "
        "optimizers"
    )


def parent_options(parent: dict) -> list[str]:
    """Options of `train` that start from the same weights; none without a parent."""
    if not parent:
        return []
    options = ["--init-from", str(parent.get("run"))]
    options += ["--checkpoint", str(parent.get("step"))]
    options += ["--init-averaged"] * bool(parent.get("averaged"))
    return options + ["--keep-optimizers"] * bool(parent.get("keep_optimizers"))


def saved_steps(run) -> list[int]:
    """Steps of the checkpoints in a run directory, damaged ones included."""
    places = Path(run).glob("checkpoints/*")
    return sorted(int(p.name) for p in places if p.name.isdigit())


def read_data_record(run, missing: DataRecord | None = None) -> DataRecord:
    """The record of a run's data. Raises UserError where it cannot be read.

    missing: returned if the file does not exist.
    """
    path = Path(run) / "data.json"
    if missing and not path.exists():
        return missing
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
        f"{path} cannot be read ({reason}): delete it, and the run's train command "
        "writes it again"
    )


def check_same_data(run, record: DataRecord, accept: bool = False) -> None:
    """Raises UserError where the data of a run are not those of its record.

    record: of the data now. accept: the change is saved in data.json instead.
    """
    path = Path(run) / "data.json"
    saved = read_data_record(run, missing=record)
    if not record.fingerprint or saved.fingerprint in ("", record.fingerprint):
        return
    old = with_contents(run, saved)
    if not old.labels and _same_samples(old, record):
        # Labels that the source had not before change nothing in such a run.
        return
    change = describe_change(old, record, read_config(run).data.noun)
    if not accept:
        raise UserError(
            f"{run} was trained on other data: {change}; restore these data, or accept "
            "the change with --accept-changed-data"
        )
    change = {"step": max(saved_steps(run), default=0), "change": change}
    if change not in saved.accepted:
        accepted = (*saved.accepted, change)
        values = _to_json(dataclasses.replace(saved, accepted=accepted))
        write_json(path, values)


def _same_samples(old, new):
    same = old.contents is not None and np.array_equal(old.contents, new.contents)
    return same and (old.train, old.heldout) == (new.train, new.heldout)


def _write_data_record(out, record):
    # First, so that data.json never describes a file that is not there.
    if record.contents is not None:
        arrays = {"contents": record.contents}
        if record.classes is not None:
            largest = max(len(record.labels) - 1, 0)
            arrays["classes"] = record.classes.astype(np.min_scalar_type(largest))
        save_npz(out / "data.npz", **arrays)
    write_json(out / "data.json", _to_json(record))


def _to_json(record):
    values = dataclasses.asdict(record)
    del values["contents"], values["classes"]
    return {"format": DATA_FORMAT} | values


def with_contents(run, record: DataRecord) -> DataRecord:
    """The record with the hashes of data.npz, where these can be read."""
    path = Path(run) / "data.npz"
    with contextlib.suppress(Exception), path.open("rb") as opened:
        arrays = dict(np.load(opened, allow_pickle=False))
        record = dataclasses.replace(record, **arrays)
    return record


def read_best(run) -> dict | None:
    """{step, metric, value} of the best state so far, or None if none is saved."""
    path = Path(run) / "best.json"
    if not path.is_file():
        return None
    remedy = "delete it, and the next evaluation in training writes it"
    best = read_json(path, remedy)
    types = [type(best.get(k)) for k in BEST] if isinstance(best, dict) else []
    if types != [int, str, float] or not math.isfinite(best["value"]):
        raise UserError(f"{path} is damaged: it must have {', '.join(BEST)}; {remedy}")
    return best


def write_best(run, step: int, metric: str, value: float) -> None:
    """Records the best state so far, which BEST_CHECKPOINTS already contains."""
    best = dict(zip(BEST, (step, metric, float(value)), strict=True))
    write_json(Path(run) / "best.json", best, indent=None)


def environment(config: Config) -> dict:
    """Packages, device, precision and commit of this process, for versions.json."""
    device = jax.devices()[0]
    return {
        "wgan_jax": __version__,
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
        "devices": jax.device_count(),
        "cpu_cores": os.cpu_count(),
        "precision": "float32" if device.platform == "cpu" else config.run.precision,
        "dtype": config.model.dtype,
        "git_commit": _git_commit(),
    }


def _check_same_run(out, old, new, extend):
    lines = differences(old, new)
    changed = [line for line in lines if line.split(":")[0] not in UNIMPORTANT]
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


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit():
    """The commit of the repository that contains this file, + if there are changes."""

    def git(*arguments):
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout

    try:
        # Fails for a package that is installed inside another repository.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        dirty = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short=12", "HEAD").strip() + dirty
    except (OSError, subprocess.CalledProcessError):
        return None
