"""Run logging: metrics.jsonl, TensorBoard, progress line."""

import json
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wgan_jax.files import write_text


class RunLog:
    """Log of one run: a JSON object per logged step, and TensorBoard files."""

    def __init__(self, directory, step: int, tensorboard: bool):
        """step: the step the run resumes from; later records are dropped."""
        self.path = Path(directory) / "metrics.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        # A killed run may have logged past its last checkpoint, or half a line.
        valid = [(line, _parse(line)) for line in lines]
        valid = [(line, record) for line, record in valid if record["step"] <= step]
        write_text(self.path, "".join(line + "\n" for line, _ in valid))
        self.file = self.path.open("a")
        self.recent = deque((record for _, record in valid), maxlen=100)
        """The newest records, newest last."""
        self.warnings = warnings_of(record for _, record in valid)
        """{kind: sentence} of all records."""
        self.last = (step, {})
        self.board = _open_board(directory, step) if tensorboard else None

    def write(
        self,
        step: int,
        metrics: dict[str, float],
        warnings: dict[str, str] | None = None,
    ) -> None:
        """Appends one record and stores it as `last`.

        warnings: {kind: sentence}, the field `warnings` of the record.
        """
        self.last = (step, metrics)
        record = {"step": step, **metrics}
        if warnings:
            record["warnings"] = warnings
            self.warnings |= warnings
        self.recent.append(record)
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        if self.board:
            for name, value in metrics.items():
                self.board.add_scalar(name, value, step)

    def print_warnings(self) -> None:
        """Prints the warnings of the run so far, if any."""
        if self.warnings:
            print("warnings of this run:")
        for sentence in self.warnings.values():
            print(f"  {sentence}")

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a uint8 image [h, w, c] to TensorBoard."""
        if self.board:
            self.board.add_image(name, image, step, dataformats="HWC")

    def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Writes a histogram of each array's values to TensorBoard."""
        if self.board:
            for name, array in arrays.items():
                self.board.add_histogram(name, np.ravel(array), step)

    def text(self, name: str, text: str) -> None:
        """Writes preformatted text to TensorBoard."""
        if self.board:
            self.board.add_text(name, f"```\n{text}\n```")

    def __enter__(self):
        return self

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


def _parse(line) -> dict:
    """The record of a line; of a damaged one {"step": inf}."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if isinstance(record, dict) and isinstance(record.get("step"), int):
        return record
    return {"step": float("inf")}


def _open_board(directory, step):
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(Path(directory) / "tensorboard"), purge_step=step)


class ProgressLine:
    """Progress: one rewritten line on a terminal, one line per update elsewhere."""

    def __init__(self):
        self.rewrites = sys.stdout.isatty()

    def clear(self) -> None:
        """Clears the line for another progress display."""
        if self.rewrites:
            self.show("")

    def show(self, text: str) -> None:
        """Replaces the line."""
        start, end = ("\r\x1b[2K", "") if self.rewrites else ("", "\n")
        print(f"{start}{text}", end=end, flush=True)


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
