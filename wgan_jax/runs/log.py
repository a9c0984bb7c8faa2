"""Run logging: metrics.jsonl and TensorBoard."""

import json
import math
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wgan_jax.config import Config, to_json
from wgan_jax.files import write_text

DIVERGED = "diverged"
"""Warning of the record, without metrics, that ends a run that diverged."""


def read_records(path: Path) -> list[dict]:
    """The records of a metrics.jsonl, oldest first; reports the lines that are not.

    A record is what `RunLog.write` writes, with a step above that of the one before.
    """
    records, last = [], -1
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_record(record) and record["step"] > last:
            records.append(record)
            last = record["step"]
    if len(records) < len(lines):
        print(
            f"warning: {path}: dropped {len(lines) - len(records)} of {len(lines)} "
            "lines, which are damaged or out of order"
        )
    return records


def _is_record(value):
    if not isinstance(value, dict) or type(value.get("step")) is not int:
        return False
    warnings = value.get("warnings", {})
    metrics = [v for name, v in value.items() if name != "warnings"]
    return isinstance(warnings, dict) and all(
        type(v) in (int, float) and math.isfinite(v) for v in metrics
    )


class MemoryLog:
    """Records of one run."""

    def __init__(self, records: Iterable[dict] = (), limit: int | None = None):
        """limit: number of the newest records that stay in memory; None is all."""
        self.recent = deque(records, maxlen=limit)
        """The newest records, newest last."""
        self.warnings = warnings_of(self.recent)
        """{kind: sentence} of all records."""

    def write(
        self,
        step: int,
        metrics: dict[str, float],
        warnings: dict[str, str] | None = None,
    ) -> dict:
        """Appends one record, and returns it.

        warnings: {kind: sentence}, the field `warnings` of the record.
        """
        record: dict = {"step": step, **metrics}
        if warnings:
            record["warnings"] = warnings
            self.warnings |= warnings
        self.recent.append(record)
        return record

    def write_divergence(self, step: int, cause: str) -> None:
        """Appends the record of a divergence to metrics.jsonl."""

    def print_warnings(self) -> None:
        """Prints the warnings of the run so far, if any."""
        if self.warnings:
            print("warnings of this run:")
        for sentence in self.warnings.values():
            print(f"  {sentence}")

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a uint8 image [h, w, c] to TensorBoard."""

    def text(self, step: int, name: str, lines: list[str]) -> None:
        """Writes lines of text to TensorBoard."""

    def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Writes a histogram of each array's values to TensorBoard."""

    def configuration(self, config: Config) -> None:
        """Writes the configuration to TensorBoard."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class RunLog(MemoryLog):
    """Log of a run in a directory: a JSON object per logged step, TensorBoard files."""

    def __init__(self, directory, step: int, tensorboard: bool):
        """step: the step the run resumes from; later records are dropped."""
        self.path = Path(directory) / "metrics.jsonl"
        # A killed run may have logged past its last checkpoint, or half a line.
        valid = [r for r in read_records(self.path) if r["step"] <= step]
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in valid))
        super().__init__(valid, limit=100)
        self.warnings = warnings_of(valid)
        self.file = self.path.open("a")
        self.last = (step, {})
        self.board = _open_board(directory, step) if tensorboard else None

    def write(self, step, metrics, warnings=None) -> dict:
        """Appends one record and stores it as `last`."""
        self.last = (step, metrics)
        record = super().write(step, metrics, warnings)
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        if self.board:
            for name, value in metrics.items():
                self.board.add_scalar(name, value, step)
        return record

    def write_divergence(self, step, cause) -> None:
        """Appends the record of a divergence, which a resumed run drops."""
        record = {"step": step, "warnings": {DIVERGED: cause}}
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def picture(self, step, name, image) -> None:
        """Writes a uint8 image [h, w, c] to TensorBoard."""
        if self.board:
            self.board.add_image(name, image, step, dataformats="HWC")

    def text(self, step, name, lines) -> None:
        """Writes lines of text to TensorBoard."""
        if self.board:
            shown = "\n".join(lines)
            self.board.add_text(name, f"```\n{shown}\n```", step)

    def histograms(self, step, arrays) -> None:
        """Writes a histogram of each array's values to TensorBoard."""
        if self.board:
            for name, array in arrays.items():
                self.board.add_histogram(name, np.ravel(array), step)

    def configuration(self, config) -> None:
        """Writes the configuration to TensorBoard."""
        if self.board:
            self.board.add_text("config", f"```\n{to_json(config)}\n```")

    def __exit__(self, *_):
        self.file.close()
        if self.board:
            self.board.close()


def warnings_of(records: Iterable[dict]) -> dict[str, str]:
    """{kind: sentence} of the warnings in records of metrics.jsonl."""
    found = {}
    for record in records:
        found |= record.get("warnings", {})
    return found


def _open_board(directory, step):
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(Path(directory) / "tensorboard"), purge_step=step + 1)


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
