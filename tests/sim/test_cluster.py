"""The hunt on a cluster: the same as on one machine, whoever works there and whoever of them is killed."""

import importlib.util
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from sim.errors import MissingToolError
from sim.hunt.hunt import Hunt
from sim.hunt.work import batch_of
from sim.runs.prepare import prepare

#: Of the hunt that is interrupted: more than are done before anybody can be killed.
_RUNS = 500
#: Seconds that nothing here takes, however busy the machine is.
_LONG = 900


def needs_dask(test):
    absent = importlib.util.find_spec("distributed") is None
    return pytest.mark.cluster(pytest.mark.skipif(absent, reason="Dask is not installed")(test))


_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd(), "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False"}


@pytest.fixture
def start(tmp_path):
    """Starts a Python module as the head of a process group; its standard error goes into a file."""
    started = []

    def start(module, *arguments):
        log = open(tmp_path / f"{len(started)}.log", "w")
        process = subprocess.Popen([sys.executable, "-m", module, *map(str, arguments)], cwd=tmp_path, env=_ENVIRONMENT, text=True,
                                   start_new_session=True, stdout=subprocess.PIPE, stderr=log)
        log.close()
        process.log = tmp_path / f"{len(started)}.log"
        started.append(process)
        return process

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()


def _wait(condition, seconds=_LONG):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def scheduler(start):
    """The address of a scheduler."""
    process = start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    return _wait(lambda: (found := re.search(r"Scheduler at:\s+(tcp://\S+)", process.log.read_text())) and found[1])


def _worker(start, scheduler):
    process = start("distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard", "--no-nanny")
    _wait(lambda: "Registered to:" in process.log.read_text())
    return process


def _hunt(start, name, *arguments):
    return start("sim", "hunt", name, "--json", *arguments)


def _told(report):
    """A Report, as the command prints it."""
    return json.loads(json.dumps(report.to_json()))


def _what(report):
    """What must not depend on who has done it."""
    return (report["runs"], report["clocks"], report["following"], report["disagreements"],
            [{**item, "schedule": None} for item in report["violations"]])


def _following(notebook):
    if not notebook.exists():
        return 0
    try:
        with closing(sqlite3.connect(notebook)) as file:
            return file.execute("SELECT following FROM hunt").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@needs_dask
def test_a_worker_that_is_killed_loses_nothing(start, scheduler, tmp_path):
    """Of two workers one is killed at its work, then the other; the hunt is interrupted, and resumed by a third."""
    whole = _told(Hunt(prepare("many"), out=tmp_path / "whole", processes=2).run(runs=_RUNS))
    assert [item["flag"] for item in whole["violations"]] == ["early_return"]
    notebook = tmp_path / "waves/many.hunt.sqlite"
    first, second = _worker(start, scheduler), _worker(start, scheduler)
    hunt = _hunt(start, "many", "--cluster", scheduler, "--runs", _RUNS)
    _wait(lambda: _following(notebook))
    os.kill(first.pid, signal.SIGKILL)
    reached = _following(notebook)
    _wait(lambda: _following(notebook) > reached)
    os.kill(second.pid, signal.SIGKILL)
    _wait(lambda: "has no workers; waiting for some" in hunt.log.read_text() or hunt.poll() is not None)
    os.kill(hunt.pid, signal.SIGTERM)
    assert hunt.wait(timeout=_LONG) == 143
    assert 0 < _following(notebook) < _RUNS, "it was over before anybody was killed"
    _worker(start, scheduler)
    again = _hunt(start, "many", "--cluster", scheduler, "--resume")
    out, _ = again.communicate(timeout=_LONG)
    assert again.returncode == 1, again.log.read_text()
    report = json.loads(out)
    assert _what(report) == _what(whole) and 0 < report["here"] < _RUNS
    for path in (tmp_path / "whole").glob("*.schedule"):
        assert path.read_bytes() == (tmp_path / "waves" / path.name).read_bytes()


@needs_dask
def test_a_cluster_of_its_own(start, tmp_path):
    """And what was begun there is resumed here."""
    process = _hunt(start, "early-return", "--cluster", "local", "--processes", 2, "--runs", 40)
    out, _ = process.communicate(timeout=_LONG)
    assert (process.returncode, process.log.read_text()) == (1, "")
    whole = _told(Hunt(prepare("early-return"), out=tmp_path / "whole", processes=1).run(runs=60))
    assert json.loads(out)["violations"][0]["number"] == whole["violations"][0]["number"]
    process = _hunt(start, "early-return", "--resume", "--runs", 60)
    out, _ = process.communicate(timeout=_LONG)
    assert _what(json.loads(out)) == _what(whole)


@needs_dask
@pytest.mark.parametrize(("address", "code", "message"), [
    ("somewhere", 2, "--cluster somewhere: must be local, or the address of a Dask scheduler, such as tcp://HOST:PORT"),
    ("tcp://127.0.0.1", 2, "--cluster tcp://127.0.0.1: must be local, or the address"),
    ("tcp://127.0.0.1:PORT", 3, "there is no Dask scheduler at tcp://127.0.0.1:PORT ("),
])
def test_no_scheduler(start, tmp_path, address, code, message):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = _hunt(start, "single", "--cluster", address.replace("PORT", port) if code == 3 else address)
    out, _ = process.communicate(timeout=_LONG)
    err = process.log.read_text()
    assert (process.returncode, out, err.count("\n")) == (code, "", 1), err
    assert err.startswith(f"crosscall: {message.replace('PORT', port) if code == 3 else message}")


def test_without_dask(crosscall, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert crosscall("hunt", "single", "--cluster", "local") == (
        3, "", "crosscall: --cluster needs Dask: `pip install 'crosscall[cluster]'`\n")


def test_another_crosscall_is_refused():
    with pytest.raises(MissingToolError, match="a worker of the cluster has another version of crosscall"):
        batch_of(None, "another", (0, 1))
