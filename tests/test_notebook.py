"""The notebook in docs/: it runs from top to bottom, and is kept without what it gave."""

import json
import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tour.ipynb"


@pytest.fixture
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def codes(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs(notebook):
    assert len(codes(notebook)) == 10
    for cell in codes(notebook):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


def test_its_code_runs(notebook, tmp_path, monkeypatch, capsys):
    """Without Jupyter: as a script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = {}
    for number, cell in enumerate(codes(notebook), 1):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert names["hunt"].findings and names["again"].violations
    assert names["timeline"](names["result"])._repr_svg_().count("<rect") == len(names["result"].spans)
    assert "violated: O1" in capsys.readouterr().out


@pytest.mark.notebook
def test_it_runs_in_jupyter(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setitem(os.environ, name, str(tmp_path))
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    given = [output for cell in codes(book) for output in cell["outputs"]]
    assert sum("image/svg+xml" in output.get("data", {}) for output in given) == 2
    assert not [output for output in given if output.get("name") == "stderr"]
