"""The command is interrupted, terminated and killed at any moment: no noise, no process, no half file."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from sim.runs.schedule import read_run

#: Hears Ctrl-C even where the tests were started not to; says when there is something to interrupt that is not yet Python alone.
_MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from sim.__main__ import at_once, main
with at_once():
    print("begun", flush=True)
    main()
"""
COMMANDS = {
    "run": ["run", "demo"],
    "build": ["run", "single", "--cores", "3"],         # with an empty cache
    "hunt": ["hunt", "storm", "--first", "700", "--runs", "3000", "--processes", "2"],
    "litmus": ["litmus"],
    "bench": ["bench", "speed", "--cores", "1", "--engines", "pysim,compiled", "--seconds", "0.5"],
}
#: Signal -> (exit code, what it says).
ENDS = {signal.SIGINT: (130, "crosscall: interrupted\n"), signal.SIGTERM: (143, "crosscall: terminated\n")}
SEED = 20091


def _somebody(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _end(command, folder, number, moment, everybody):
    """Start a command in a folder, send it (or its whole group) a signal after so many seconds, and look at what is left. Gives
    (exit code, standard output, standard error); if the command was faster, None."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    if command == "build":
        environment["XDG_CACHE_HOME"] = str(folder / "cache")
    process = subprocess.Popen([sys.executable, "-c", _MAIN, *COMMANDS[command]], cwd=folder, text=True, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        assert process.stdout.readline() == "begun\n"
        time.sleep(moment)
        faster = process.poll() is not None
        if not faster:
            (os.killpg if everybody else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)
        deadline = time.monotonic() + 60
        # Who is only the head of a group that was killed leaves a compiler at its work.
        while _somebody(process.pid):
            assert time.monotonic() < deadline, "somebody is left"
            time.sleep(0.02)
    finally:
        if _somebody(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    return None if faster else (process.returncode, out, err)


def _whole(folder):
    """Every file in the folder is as it should be."""
    for path in (folder / "waves").rglob("*"):
        if path.suffix in (".notebook", ".json"):
            json.loads(path.read_text())
        elif path.suffix == ".schedule":
            read_run(path)
        elif path.name.endswith(".hunt.sqlite"):
            with closing(sqlite3.connect(path)) as notebook:
                assert notebook.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                # Before the first transaction there is nothing in it.
                if notebook.execute("SELECT name FROM sqlite_master").fetchall():
                    assert len(notebook.execute("SELECT * FROM hunt").fetchall()) == 1
        elif path.suffix == ".vcd":
            assert path.read_text().endswith(" $end\n")
        elif path.suffix == ".jsonl":
            for line in path.read_text().splitlines():
                json.loads(line)
        else:
            assert (path.is_dir() or path.suffix in (".gtkw", ".sucl", ".txt", ".lock")
                    or path.name.endswith(".hunt.sqlite-journal")), path


def _check(command, folder, number, moment, everybody):
    ended = _end(command, folder, number, moment, everybody)
    _whole(folder)
    if ended is None:
        return
    code, out, err = ended
    if number == signal.SIGKILL:
        assert (code, err) == (-signal.SIGKILL, "")
    elif err:
        assert (code, err) == ENDS[number]
    else:
        # Ended at once, or just before, or when there was nothing left to do but to go.
        assert code in (ENDS[number][0], 0, 1, -number)
    if number != signal.SIGKILL:
        assert not list(folder.rglob("*.lock")) and not list(folder.rglob("building-*"))
    if command == "hunt" and "O12 (mask), run 700" in out:
        assert (folder / "waves/storm.mask.schedule").is_file()


@pytest.mark.parametrize("command, number, moment", [
    ("run", signal.SIGTERM, 0.05), ("run", signal.SIGINT, 0.05), ("run", signal.SIGINT, 0.6), ("build", signal.SIGTERM, 1.5),
    ("hunt", signal.SIGTERM, 2.5),
])
def test_it_is_ended(tmp_path, command, number, moment):
    _check(command, tmp_path, number, moment, everybody=False)


@pytest.mark.slow
@pytest.mark.parametrize("everybody", [False, True], ids=["head", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["int", "term", "kill"])
@pytest.mark.parametrize("command", COMMANDS)
def test_at_any_moment(tmp_path, command, number, everybody):
    chance = random.Random(f"{SEED} {command} {number} {everybody}")
    for turn in range(20):
        moment = chance.choice((chance.uniform(0, 0.3), chance.uniform(0, 4)))
        print(f"seed {SEED}, turn {turn}: after {moment} s")
        folder = tmp_path / str(turn)
        folder.mkdir()
        _check(command, folder, number, moment, everybody)


def _heard(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20,
                          env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")


def test_processes_that_nobody_has_come_to_use_end():
    """The signal comes while they are made, or between that and the first task."""
    _heard("""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from multiprocessing.context import ForkProcess
from sim.interruption import unwind
from sim.workers.processes import Workers
unwind()
start = ForkProcess.start

def interrupted(process):
    start(process)
    signal.raise_signal(signal.SIGINT)

ForkProcess.start = interrupted
try:
    Workers(2, abs)
except KeyboardInterrupt:
    print("heard")
""")


def test_what_is_half_made_is_not_complained_of():
    """Whoever hears of the interruption, and however late he says so."""
    _heard("""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from sim.interruption import unwind
unwind()
from amaranth.hdl import Elaboratable, Fragment, Module

class Part(Elaboratable):
    def elaborate(self, platform):
        return Module()

# Before the first is elaborated Amaranth complains of none.
Fragment.get(Part(), None)
try:
    half = Part()
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    del half
    print("heard")
""")


def test_an_exception_that_a_destructor_swallows_comes_again():
    """Python prints what is raised in the middle of a destructor, and goes on."""
    _heard("""
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from sim.interruption import unwind
unwind()

class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)

try:
    Dying()
    time.sleep(10)
except KeyboardInterrupt:
    print("heard")
""")
