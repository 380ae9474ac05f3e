"""What the tests of several files begin with."""

import pytest
from typer.testing import CliRunner

from sim.cli import app


@pytest.fixture
def crosscall(tmp_path, monkeypatch):
    """Runs the command in an empty folder; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call
