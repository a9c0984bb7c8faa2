"""What a run tells: metrics.jsonl for programs, TensorBoard and one line for people."""

import json
import sys
from pathlib import Path

import numpy as np


class RunLog:
    """The record of one run: a JSON object a logged step, TensorBoard beside it."""

    def __init__(self, directory, step: int, tensorboard: bool):
        """step: the step the run goes on from; what was logged after it is dropped."""
        self.path = Path(directory) / "metrics.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        # A killed run may have logged past its last checkpoint, or half a line.
        kept = [line for line in lines if _step_of(line) <= step]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(line + "\n" for line in kept))
        temporary.replace(self.path)
        self.file = self.path.open("a")
        self.last = (step, {})
        self.board = _open_board(directory, step) if tensorboard else None

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends one record, which is also kept as `last`."""
        self.last = (step, metrics)
        self.file.write(json.dumps({"step": step, **metrics}) + "\n")
        self.file.flush()
        for name, value in metrics.items() if self.board else ():
            self.board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows uint8 [h, w, c] on TensorBoard."""
        if self.board:
            self.board.add_image(name, image, step, dataformats="HWC")

    def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Shows the distribution of each array's values on TensorBoard."""
        for name, array in arrays.items() if self.board else ():
            self.board.add_histogram(name, np.ravel(array), step)

    def text(self, name: str, text: str) -> None:
        """Shows preformatted text on TensorBoard."""
        if self.board:
            self.board.add_text(name, f"```\n{text}\n```")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        if self.board:
            self.board.close()


def _step_of(line):
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _open_board(directory, step):
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(Path(directory) / "tensorboard"), purge_step=step)


class ProgressLine:
    """One line on a terminal that is written over; one line each time elsewhere."""

    def __init__(self):
        self.rewrites = sys.stdout.isatty()

    def clear(self) -> None:
        """Leaves an empty line to what else shows its progress."""
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
