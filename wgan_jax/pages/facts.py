"""Facts of a run, read from the files of its directory without failing.

A part that is missing or that cannot be read is a sentence in `problems`.
"""

import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import get_type_hints

from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.runs import directory
from wgan_jax.runs.lock import holder
from wgan_jax.runs.log import DIVERGED, read_records, warnings_of


@dataclasses.dataclass
class RunFacts:
    """One run, as its files describe it."""

    path: Path
    name: str
    config: Config | None = None
    """None where config.json is of another version."""
    fields: dict[str, object] = dataclasses.field(default_factory=dict)
    """{section.field: value} of config.json."""
    parent: dict = dataclasses.field(default_factory=dict)
    """The record of the run whose weights it started from; empty without one."""
    records: list[dict] = dataclasses.field(default_factory=list)
    """Of metrics.jsonl, without that of the divergence."""
    warnings: dict[str, str] = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)
    """versions.json."""
    data: dict = dataclasses.field(default_factory=dict)
    """data.json."""
    evaluations: list[dict] = dataclasses.field(default_factory=list)
    """The results of evaluation.json."""
    checkpoints: list[int] = dataclasses.field(default_factory=list)
    grids: dict[int, Path] = dataclasses.field(default_factory=dict)
    """{step: picture or lines of the fixed noise}, oldest first."""
    fresh: dict[int, Path] = dataclasses.field(default_factory=dict)
    """{step: picture or lines of fresh noise}, oldest first."""
    diverged: str = ""
    """Cause of the divergence that ended the run."""
    writer: str = ""
    """Process that writes the directory now."""
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def step(self) -> int:
        """The newest step that left a record or a checkpoint."""
        steps = [r["step"] for r in self.records[-1:]] + self.checkpoints[-1:]
        return max(steps, default=0)

    @property
    def steps(self) -> int | None:
        """Steps that the run was configured for."""
        steps = self.fields.get("run.steps")
        return steps if isinstance(steps, int) else None

    @property
    def state(self) -> str:
        """diverged, running, finished, stopped, or empty (nothing is trained yet)."""
        if self.diverged:
            return "diverged"
        if self.writer:
            return "running"
        if not self.step:
            return "empty"
        return "stopped" if self.steps is None or self.step < self.steps else "finished"

    @property
    def seconds(self) -> float:
        """Time of training in seconds, over all sessions."""
        times = [r["seconds"] for r in self.records if "seconds" in r]
        ends = [a for a, b in itertools.pairwise(times) if b < a]
        return sum(ends) + (times[-1] if times else 0)

    @property
    def source(self) -> str:
        """Name of the data."""
        name = self.fields.get("data.name") or self.fields.get("data.source") or "data"
        return str(name)

    def last(self, name: str):
        """The newest recorded value of a metric, None if it was not recorded."""
        return next((r[name] for r in reversed(self.records) if name in r), None)


def find_runs(paths) -> list[Path]:
    """The run directories that paths name: a run itself, or a folder with runs in it.

    Raises UserError for a path that is neither.
    """
    runs = []
    for path in map(Path, paths):
        if (path / "config.json").is_file():
            found = [path]
        else:
            below = [*path.glob("*/config.json"), *path.glob("*/*/config.json")]
            found = sorted((p.parent for p in below), key=_by_number)
        if not found:
            reason = "does not exist" if not path.exists() else "has no config.json"
            raise UserError(
                f"{path} is not a run directory, nor a folder of runs: it {reason}"
            )
        runs += [run for run in found if run not in runs]
    return runs


def _by_number(path):
    """Sorts seed-10 after seed-9."""
    words = re.split(r"(\d+)", str(path))
    return [(int(w), "") if w.isdigit() else (0, w) for w in words]


def read_facts(path: Path, name: str = "") -> RunFacts:
    """All facts of the run in a directory."""
    facts = RunFacts(path, name or path.resolve().name)
    facts.writer = holder(path)
    _read_config(facts)
    records = read_records(path / "metrics.jsonl")
    ends = [r["warnings"][DIVERGED] for r in records if DIVERGED in _warnings(r)]
    facts.diverged = ends[-1] if ends else ""
    facts.records = [r for r in records if DIVERGED not in _warnings(r)]
    facts.warnings = warnings_of(facts.records)
    if not records:
        facts.problems.append("No step is recorded yet: metrics.jsonl has no record.")
    facts.environment = _read_json(facts, "versions.json")
    facts.data = _read_json(facts, "data.json")
    if (path / "evaluation.json").exists():
        results = _read_json(facts, "evaluation.json").get("results")
        results = results if isinstance(results, list) else []
        facts.evaluations = [r for r in results if _is_result(r)]
    steps = [int(p.name) for p in path.glob("checkpoints/*") if p.name.isdigit()]
    facts.checkpoints = sorted(steps)
    facts.grids = _pictures(path, "fixed")
    facts.fresh = _pictures(path, "fresh")
    return facts


def _warnings(record):
    return record.get("warnings", {})


def _read_config(facts):
    raw = _read_json(facts, "config.json")
    parent = raw.pop("parent", None)
    facts.parent = parent if isinstance(parent, dict) else {}
    for section, values in raw.items():
        if isinstance(values, dict):
            facts.fields |= {f"{section}.{name}": v for name, v in values.items()}
    try:
        facts.config = directory.read_config(facts.path)
    except UserError as error:
        facts.problems.append(f"{error}.")


def _read_json(facts, name) -> dict:
    path = facts.path / name
    try:
        value = json.loads(path.read_text(errors="replace"))
        if isinstance(value, dict):
            return value
        reason = "it is not a JSON object"
    except FileNotFoundError:
        reason = "it does not exist"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)
    facts.problems.append(f"{name} cannot be read: {reason}.")
    return {}


def _is_result(result):
    if not isinstance(result, dict) or not isinstance(result.get("measure"), str):
        return False
    value = result.get("value")
    return value is None or (
        isinstance(value, dict) and isinstance(value.get("mean"), (int, float))
    )


def _pictures(path, kind):
    found = {}
    for picture in path.glob(f"samples/{kind}-*.*"):
        digits = picture.stem.removeprefix(f"{kind}-")
        if digits.isdigit() and picture.suffix in (".png", ".txt"):
            found[int(digits)] = picture
    return dict(sorted(found.items()))


def defaults() -> dict[str, object]:
    """{section.field: value} of `Config()`, as JSON has them."""
    config = Config()
    values = {}
    for section in get_type_hints(Config):
        for name, value in dataclasses.asdict(getattr(config, section)).items():
            value = list(value) if isinstance(value, tuple) else value
            values[f"{section}.{name}"] = value
    return values


def changed_fields(fields: dict[str, object]) -> dict[str, tuple[object, object]]:
    """{section.field: (value, default)} of the fields that differ from the defaults."""
    default = defaults()
    return {
        name: (value, default.get(name))
        for name, value in fields.items()
        if name not in default or value != default[name]
    }
