"""Scores and charts of a run, which notebooks show."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wgan_jax import pictures
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.table import Measure
from wgan_jax.files import write_text
from wgan_jax.pages.charts import Series, chart, draw


class Scores(dict):
    """{name: (mean, standard deviation)} of the measures of a run.

    The deviation is NaN for a single measurement; a measure that is withheld is (NaN,
    NaN). Printed, it is the table of the command `evaluate`.
    """

    def __init__(self, measures: Mapping[str, Measure], labels: Mapping[str, str]):
        super().__init__(
            {
                key: (m.value.mean, m.value.std) if m.value else (np.nan, np.nan)
                for key, m in measures.items()
            }
        )
        self.measures = dict(measures)
        """{name: Measure}, with references, counts of samples and warnings."""
        self.text = "\n".join(table.format_table(self.measures, dict(labels)))

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        return f"<pre>{html.escape(self.text)}</pre>"


class Plot:
    """A chart of metrics over the steps; a notebook shows it."""

    def __init__(self, series: Sequence[Series], title: str):
        self._series = series
        self._title = title

    def _repr_html_(self):
        return chart(self._series, title=self._title, x_label="step")

    def save(self, path) -> Path:
        """Writes the chart to PATH.svg or PATH.png; returns the path."""
        path = Path(path)
        if path.suffix not in (".svg", ".png"):
            raise UserError(f"{path} must end in .svg or .png")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".svg":
            write_text(path, chart(self._series, title=self._title, x_label="step"))
        else:
            pictures.save_png(
                path, draw(self._series, title=self._title, x_label="step")
            )
        return path
