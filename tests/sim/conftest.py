"""What the tests of several files begin with."""

import re
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import CRASHED, app


@pytest.fixture
def crosscall(tmp_path, tmp_path_factory, monkeypatch):
    """Runs the command in an empty folder; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))

    def call(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        if result.exit_code == CRASHED:
            # What pytest shows if the test does not want that.
            print(Path(re.search(r"file (\S+),", result.stderr)[1]).read_text())
        return result.exit_code, result.stdout, result.stderr

    return call
