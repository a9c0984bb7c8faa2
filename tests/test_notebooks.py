"""The notebooks run from top to bottom, and their outputs are those of one run."""

import json
import re

import pytest
from helpers import ROOT, environment

PAGES = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
NAMES = [page.stem for page in PAGES]
MEGABYTE = 2**20


def cells(page):
    return json.loads(page.read_text())["cells"]


def shorter(match):
    return "steps=20" if match[0].startswith("steps") else "20)"


def outputs(page):
    return [o for cell in cells(page) for o in cell.get("outputs", [])]


def test_both_notebooks_are_here():
    assert NAMES == ["quickstart", "theory"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_committed_outputs_are_those_of_one_run(page):
    code = [cell for cell in cells(page) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    kinds = {output["output_type"] for output in outputs(page)}
    assert "error" not in kinds
    assert kinds & {"display_data", "execute_result"}
    # Warnings.
    assert not [o for o in outputs(page) if o.get("name") == "stderr"]
    assert page.stat().st_size < MEGABYTE


@pytest.mark.slow
@pytest.mark.notebooks
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
# tornado and zmq warn about the event loop that they find.
@pytest.mark.filterwarnings("default")
def test_a_notebook_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = nbformat.read(page, as_version=4)
    # All cells, with a few updates of each network.
    for cell in notebook.cells:
        cell.source = re.sub(r"steps=\d{3,}|\b[1-9]\d00\)", shorter, cell.source)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    # Nothing is written where the notebook does not say so.
    written = {path.name for path in tmp_path.iterdir()}
    assert written <= {"runs"}
