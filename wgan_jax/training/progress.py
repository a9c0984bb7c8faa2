"""Progress of training: a live block on a terminal, lines in a pipe, or JSON."""

import contextlib
import dataclasses
import io
import json
import sys
from collections import deque
from typing import Literal

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wgan_jax.algorithm.constraints import make_constraint
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.config import Config
from wgan_jax.runs.log import duration

LogFormat = Literal["auto", "lines", "json"]

BARS = "▁▂▃▄▅▆▇█"


@dataclasses.dataclass(frozen=True)
class Status:
    """One record of a run, or of several runs that train together."""

    step: int
    steps: int
    rate: float
    """Steps per second."""
    values: dict[str, float]
    """Metrics by their names in metrics.jsonl."""
    figures: list[str]
    """The main metrics as text, such as "wasserstein 3.21"."""
    estimate: str
    """Name of the metric whose course is drawn."""
    name: str = ""
    """Name of the run among several."""

    @property
    def seconds_left(self) -> float:
        """Remaining time of training at this rate."""
        return (self.steps - self.step) / self.rate

    @property
    def text(self) -> str:
        """The record in one line."""
        left = f"{duration(self.seconds_left)} left"
        return "  ".join([f"step {self.step}/{self.steps}", *self.figures, left])


class Lines(contextlib.AbstractContextManager):
    """One line per record."""

    def show(self, status: Status) -> None:
        """Shows a record."""
        print(status.text, flush=True)

    def clear(self) -> None:
        """Makes room for another display, until the next record."""

    def __exit__(self, *_):
        pass


class RewrittenLine(Lines):
    """The newest record, in one line that is written over: for notebooks."""

    def __init__(self):
        self._width = 0

    def show(self, status):
        """Shows a record."""
        text = status.text
        print(f"\r{text:{self._width}}", end="", flush=True)
        self._width = len(text)

    def clear(self):
        """Erases what is shown, until the next record."""
        if self._width:
            print(f"\r{'':{self._width}}\r", end="", flush=True)
            self._width = 0

    def __exit__(self, *_):
        if self._width:
            print(flush=True)


class JsonLines(Lines):
    """One JSON object per record, with the event "progress"."""

    def __init__(self, events):
        self._events = events

    def show(self, status):
        """Shows a record."""
        name = {"run": status.name} if status.name else {}
        left = round(status.seconds_left, 1)
        position = {"step": status.step, "steps": status.steps, "seconds_left": left}
        self._events.write_event("progress", **name, **position, **status.values)


class LiveBlock(Lines):
    """The newest record in a block that a terminal redraws; prints appear above it."""

    def __init__(self):
        self._live = None
        self._course = deque(maxlen=60)

    def show(self, status):
        """Shows a record."""
        self._course.append(status.values[status.estimate])
        block = _block(status, self._course)
        if self._live is None:
            # Nothing else may be drawn between records, so it needs no thread.
            self._live = Live(console=Console(), auto_refresh=False)
            self._live.start()
        self._live.update(block, refresh=True)

    def clear(self):
        """Erases what is shown, until the next record."""
        if self._live:
            self._live.transient = True
            self._live.stop()
            self._live = None

    def __exit__(self, *_):
        if self._live:
            self._live.stop()


def make_progress() -> Lines:
    """Progress on standard output, a context manager; see `log_output`."""
    if isinstance(sys.stdout, _Events):
        return JsonLines(sys.stdout)
    if sys.stdout.isatty() and not Console().is_dumb_terminal:
        return LiveBlock()
    if type(sys.stdout).__module__.startswith("ipykernel"):
        return RewrittenLine()
    return Lines()


@contextlib.contextmanager
def log_output(log_format: LogFormat):
    """Formats all that is printed.

    lines: as where standard output is not a terminal. json: each line becomes an
    object, {"event": "message", "text": ...}; warnings have the event "warning", and
    records the event "progress".
    """
    if log_format == "auto":
        yield
        return
    stream = (_Events if log_format == "json" else _Plain)(sys.stdout)
    with contextlib.redirect_stdout(stream):
        try:
            yield
        finally:
            stream.end()


def run_status(
    config: Config, step: int, values: dict, evaluated: dict, name: str = ""
) -> Status:
    """Status of a run: the rate, the main metrics and the scores `evaluated`."""
    rate = values["cycles_per_second"]
    estimate = make_losses(config.objective).metric
    samples_per_second = rate * config.objective.n_critic * config.data.batch_size
    noun = "points" if config.data.is_points else config.data.noun
    figures = [
        f"{rate:.3g} cycles/s",
        f"{samples_per_second:.3g} {noun}/s",
        f"{estimate} {values[estimate]:.4g}",
    ]
    if f"heldout_{estimate}" in values:
        figures.append(f"held-out {values[f'heldout_{estimate}']:.4g}")
    names = {"gradient_penalty": "penalty", "gradient_norm": ""}
    for metric in make_constraint(config.objective).metrics:
        if metric in values and (shown := names.get(metric, metric)):
            figures.append(f"{shown} {values[metric]:.3g}")
    figures += [f"{name} {value:.4g}" for name, value in evaluated.items()]
    figures.append(f"generator loss {values['generator_loss']:.4g}")
    if "data_wait_fraction" in values:
        figures.append(f"waiting for data {values['data_wait_fraction']:.0%}")
    return Status(step, config.run.steps, rate, values, figures, estimate, name)


def sparkline(values) -> str:
    """A character of eight heights per value, from the least to the greatest."""
    least, span = min(values), max(values) - min(values)
    top = len(BARS) - 1
    return "".join(
        BARS[round(top * (value - least) / span) if span else 0] for value in values
    )


def _block(status, course):
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    head.add_row(
        f"step {status.step}/{status.steps}",
        ProgressBar(total=status.steps, completed=status.step),
        f"{duration(status.seconds_left)} left",
    )
    drawn = f"{status.estimate} {sparkline(course)}"
    figures = Columns(status.figures, padding=(0, 2))
    return Group(head, figures, Text(drawn, style="cyan"))


class _Plain(io.TextIOBase):
    """A text stream that hides that another one is a terminal."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        return self.stream.write(text)

    def flush(self):
        self.stream.flush()

    def isatty(self):
        return False

    def end(self):
        """Writes a line that has no end."""


class _Events(_Plain):
    """A text stream that writes each line as a JSON object to another one."""

    def __init__(self, stream):
        super().__init__(stream)
        self._rest = ""

    def write(self, text):
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            event = "warning" if line.startswith("warning: ") else "message"
            self.write_event(event, text=line.strip().removeprefix("warning: "))
        return len(text)

    def write_event(self, event: str, **fields) -> None:
        """Writes one object in a line."""
        print(json.dumps({"event": event, **fields}), file=self.stream, flush=True)

    def end(self):
        self.write("\n")
