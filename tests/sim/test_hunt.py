"""The hunt: what it finds, that it finds the same however it is interrupted, and how it ends when something is wrong."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import pytest

from rtl.schedule import ScheduleKind
from sim.engines.compiled.many import LaneEngine
from sim.engines.engine import Job
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.hunt.hunt import Hunt
from sim.hunt.store import State, Store
from sim.microcode.protocols import find_protocol
from sim.runs.plan import Plan
from sim.runs.prepare import load, prepare
from sim.runs.schedule import read_run
from sim.scenarios.reader import find_scenario

from .runs import COMMAND


def _hunt(out, name, *, found=lambda finding: None, progress=lambda *numbers: None, processes=2, engine=None, **arguments):
    return Hunt(prepare(name), out=out, found=found, progress=progress, processes=processes, engine=engine).run(**arguments)


def _what(report):
    """What must not depend on how long it took, and in how many pieces."""
    return report.runs, report.clocks, report.following, [(item.flag, item.number, item.clock) for item in report.violations]


# --- what it finds ----------------------------------------------------------------------------------------------------


def test_it_finds_the_early_return_in_many(crosscall, tmp_path):
    """v4's defect, in a scenario that was not written for it."""
    code, out, err = crosscall("hunt", "many", "--runs", 300, "--json")
    assert (code, err) == (1, "")
    report = json.loads(out)
    assert report["engine"] == "lanes" and report["runs"] == report["following"] == 300 and report["disagreements"] == []
    assert report["clocks"] > 100_000 and report["seconds"] > 0
    found, = report["violations"]
    assert found.keys() == {"oracle", "flag", "number", "clock", "sentence", "schedule"}
    assert (found["oracle"], found["flag"]) == ("O1", "early_return") and found["number"] < 300
    assert found["schedule"] == "waves/many.early_return.schedule"
    assert read_run(found["schedule"]).violation == ("early_return", found["clock"])
    # Its number alone repeats it.
    _, out, _ = crosscall("hunt", "many", "--first", found["number"], "--runs", 1, "--json", "--out", "again")
    assert json.loads(out)["violations"] == [{**found, "schedule": "again/many.early_return.schedule"}]
    assert (tmp_path / "again/many.early_return.schedule").read_bytes() == (tmp_path / found["schedule"]).read_bytes()


class _Records:
    """A Sink that keeps all."""

    def __init__(self):
        self.all = []

    def on_clock(self, clock, records, probe):
        self.all.append((clock, list(records)))
        return False


@pytest.mark.slow
def test_its_schedule_is_the_same_run_on_every_engine(crosscall, tmp_path):
    code, out, _ = crosscall("hunt", "early-return", "--runs", 1)
    assert code == 1 and "crosscall replay waves/early-return.early_return.schedule" in out
    path = "waves/early-return.early_return.schedule"
    recipe = read_run(path)
    results = []
    for engine in ("compiled", "pysim"):
        code, out, err = crosscall("replay", path, "--engine", engine, "--json")
        assert (code, err) == (1, "")
        result = json.loads(out)
        assert result["engine"] == engine and result["violations"][0]["clock"] == recipe.violation[1]
        results.append({**result, "engine": None})
    assert results[0] == results[1]
    assert (tmp_path / "waves/early-return.early_return.vcd").is_file()
    assert not (tmp_path / "waves/early-return.vcd").exists()
    outcomes = []
    prepared = load(recipe, file=path)
    for engine, plan, replay in (("compiled", recipe.plan, ()), ("pysim", Plan(kind=ScheduleKind.REPLAY), recipe.schedule)):
        sink = _Records()
        job = Job(prepared.contents, recipe.straps, max_clocks=5000, plan=plan, replay=replay)
        outcome = EngineSpec(recipe.config, engine).make().run(job, sink=sink)
        outcomes.append((outcome.clocks, outcome.ending, outcome.arena, outcome.flags, sink.all))
    assert outcomes[0] == outcomes[1]


def test_a_run_in_which_the_violation_is_not_where_it_was_is_refused(crosscall, tmp_path):
    crosscall("hunt", "early-return", "--runs", 1)
    path = tmp_path / "waves/early-return.early_return.schedule"
    document = json.loads(path.read_text())
    clock = document["violation"]["clock"]
    for violation, what in (({"flag": "early_return", "clock": 7}, f"early_return came at clock {clock}, recorded at clock 7"),
                            ({"flag": "lost", "clock": 9}, "lost did not come, recorded at clock 9")):
        path.write_text(json.dumps({**document, "violation": violation}))
        code, _, err = crosscall("replay", path, "--no-vcd")
        assert code == 2
        assert err == f"crosscall: {path}: this is not the run that was recorded: {what}; the hardware has changed since\n"


def test_a_schedule_can_be_taken_elsewhere(crosscall, tmp_path):
    """It carries the user's own files; what is there in their place now is not run."""
    scenario = find_scenario("early-return").read_text()
    (tmp_path / "mine.toml").write_text(scenario)
    (tmp_path / "mine.uasm").write_text(find_protocol("v4").read_text())
    assert crosscall("hunt", "mine.toml", "--protocol", "mine.uasm", "--runs", 1)[0] == 1
    for name in ("mine.toml", "mine.uasm"):
        (tmp_path / name).unlink()
    schedule = "waves/mine.early_return.schedule"
    code, alone, err = crosscall("replay", schedule, "--no-vcd", "--json")
    assert (code, err) == (1, "")
    (tmp_path / "mine.toml").write_text(scenario.replace("cores = 3", "cores = 4"))
    code, again, err = crosscall("replay", schedule, "--no-vcd", "--json")
    assert (code, again) == (1, alone)
    assert err == ("crosscall: mine.toml: has changed since; the run is repeated with the scenario in the schedule\n")


@pytest.mark.slow
def test_a_deadlock_is_told_and_repeated(crosscall):
    """A core that never hears of its call: the Monitor's patience and the watchdog's are the same."""
    code, out, _ = crosscall("hunt", "many", "--memory", "tso", "--set", "x2apic=1", "--without", "smp_mb_before_ipi", "--without",
                             "x2apic_fence", "--first", 215, "--runs", 2, "--json")
    found = {item["flag"]: item for item in json.loads(out)["violations"]}
    assert code == 1 and found["stuck"]["oracle"] == "WATCHDOG"
    assert crosscall("replay", found["stuck"]["schedule"], "--no-vcd")[0] == 1


def test_nothing_found_is_exit_0(crosscall):
    code, out, err = crosscall("hunt", "single", "--runs", 70)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("70 schedules, ")
    assert out.splitlines()[2].startswith("no kinds of violation found; the next number is 70 (--resume continues from ")


def test_what_only_one_of_monitor_and_oracles_sees_is_said(crosscall, monkeypatch):
    monkeypatch.setattr("sim.hunt.explanation.ORACLES_OF_FLAG", {"early_return": ("O2",), "not_once": ("O1",)})
    monkeypatch.setattr("sim.hunt.explanation.FLAG_OF_ORACLE", {"O2": "early_return", "O1": "not_once"})
    code, out, _ = crosscall("hunt", "early-return", "--runs", 1)
    assert code == 1
    lines = [line.split(": ", 1)[1] for line in out.splitlines() if line.startswith("monitor and oracles disagree")]
    clock = lines[0].split("clock ")[1].split(",")[0]
    assert lines == [f"run 0: the monitor flags early_return at clock {clock}, but O2 holds",
                     f"run 0: O1 is violated at clock {clock}, but the monitor does not flag not_once"]


@pytest.mark.slow
def test_without_a_compiler_it_runs_on_pysim(tmp_path):
    def call(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.modules['ziglang'] = None; from sim.cli import main; main()", *arguments],
            cwd=tmp_path, text=True, capture_output=True,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "PATH": str(tmp_path), "CC": ""})
        return done.returncode, done.stdout, done.stderr

    code, out, err = call("hunt", "single", "--runs", "2", "--json")
    slow = json.loads(out)
    assert code == 0 and err.startswith("crosscall: running on PySim, which is slow: ") and err.count("\n") == 1
    fast = _hunt(tmp_path / "fast", "single", runs=2)
    assert slow["engine"] == "pysim" and (slow["runs"], slow["clocks"]) == (fast.runs, fast.clocks)
    code, out, err = call("hunt", "single", "--engine", "compiled")
    assert (code, out, err.count("\n")) == (3, "", 1) and err.startswith("crosscall: the compiled engine needs a C compiler")


def test_without_lanes_it_is_the_same_hunt(tmp_path, monkeypatch):
    lanes = _hunt(tmp_path / "lanes", "many", runs=64)
    monkeypatch.setattr(LaneEngine, "SENSIBLE", 3)
    compiled = _hunt(tmp_path / "compiled", "many", runs=64)
    assert (lanes.engine, compiled.engine) == ("lanes", "compiled")
    assert _what(lanes) == _what(compiled)


# --- interrupted, and gone on with -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_in_pieces_it_is_the_same_hunt(tmp_path):
    whole = _hunt(tmp_path / "whole", "queue-irq", runs=300, processes=1)
    assert [(item.flag, item.number) for item in whole.violations][0] == ("early_return", 33)
    pieces = tmp_path / "pieces"
    told = []

    def until(limit):
        def progress(runs, *_):
            if runs >= limit:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        _hunt(pieces, "queue-irq", runs=300, progress=until(1))
    with pytest.raises(KeyboardInterrupt):
        _hunt(pieces, "queue-irq", resume=True, progress=until(90))
    report = _hunt(pieces, "queue-irq", resume=True, found=told.append)
    assert _what(report) == _what(whole)
    assert 0 < report.here < 300
    assert [item.flag for item in told] == [item.flag for item in whole.violations]
    for path in pieces.glob("*.schedule"):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


def test_how_far_it_goes(tmp_path):
    assert _hunt(tmp_path, "single", runs=40, first=7).following == 47
    report = _hunt(tmp_path, "single", runs=60, resume=True)
    assert (report.runs, report.here, report.following) == (60, 20, 67)
    assert _hunt(tmp_path, "single", runs=60, resume=True).here == 0
    report = _hunt(tmp_path, "single", seconds=0.3, resume=True)
    assert report.here > 0 and 0.3 <= report.seconds < 5


def test_what_is_told_is_safe_before(tmp_path):
    def found(finding):
        with closing(sqlite3.connect(tmp_path / "early-return.hunt.sqlite")) as notebook:
            assert notebook.execute("SELECT flag FROM findings").fetchall() == [(finding.flag,)]
        assert read_run(finding.schedule).violation == (finding.flag, finding.clock)
        told.append(finding)

    told = []
    assert _hunt(tmp_path, "early-return", runs=64, found=found).violations == tuple(told) != ()


@pytest.fixture
def start(tmp_path):
    """Starts the command as the head of a process group."""
    started = []

    def start(*arguments):
        process = subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=tmp_path, start_new_session=True, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()})
        started.append(process)
        return process

    yield start
    for process in started:
        if _alive(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _alive(process):
    """Whether somebody is left of its group."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(condition):
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _following(notebook):
    """The next number of a hunt; 0 if it has noted none."""
    if not notebook.exists():
        return 0
    with closing(sqlite3.connect(notebook)) as file, suppress(sqlite3.OperationalError):
        noted = file.execute("SELECT following FROM hunt").fetchone()
        return noted[0] if noted else 0
    return 0


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_printed(start, tmp_path):
    process = start("hunt", "storm", "--first", 700, "--runs", 200)
    line = process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert line.startswith("O12 (mask), run 700, ")
    assert read_run(tmp_path / "waves/storm.mask.schedule").violation[0] == "mask"
    again = _hunt(tmp_path / "waves", "storm", resume=True)
    assert _what(again) == _what(_hunt(tmp_path / "whole", "storm", first=700, runs=200))


def test_ctrl_c(start, tmp_path):
    process = start("hunt", "single", "--seconds", 60)
    notebook = tmp_path / "waves/single.hunt.sqlite"
    _wait(lambda: _following(notebook))
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=100) == ("", "crosscall: interrupted\n")
    assert process.returncode == 130
    assert not _alive(process)
    assert os.listdir(notebook.parent) == [notebook.name]


@pytest.mark.slow
def test_nobody_is_left_when_only_the_head_is_killed(start, tmp_path):
    process = start("hunt", "single", "--seconds", 60)
    _wait(lambda: (tmp_path / "waves/single.hunt.sqlite").exists())
    process.kill()
    _wait(lambda: not _alive(process))
    assert process.communicate() == ("", "")


# --- refused, or broken ------------------------------------------------------------------------------------------------


def test_notebooks_that_are_none(crosscall, tmp_path):
    notebook = tmp_path / "waves/single.hunt.sqlite"
    assert crosscall("hunt", "single", "--resume") == (
        2, "", "crosscall: waves/single.hunt.sqlite: there is no hunt to resume\n")
    for octets in (b"[]", b"SQLite format 3\0" + bytes(200)):
        notebook.write_bytes(octets)
        code, out, err = crosscall("hunt", "single", "--resume")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("crosscall: waves/single.hunt.sqlite: is not the notebook of a hunt, or is damaged: ")
        assert notebook.read_bytes() == octets
    notebook.unlink()
    crosscall("hunt", "single", "--runs", 1)
    whole = notebook.read_bytes()
    for change in ("UPDATE hunt SET following = -1", "UPDATE hunt SET first = 'x'", "UPDATE hunt SET end = 'x'", "DELETE FROM hunt",
                   "INSERT INTO hunt SELECT * FROM hunt", "DROP TABLE findings", "PRAGMA user_version = 9",
                   "INSERT INTO findings VALUES ('O1', 'lost', 'x', 1, '', '')"):
        with closing(sqlite3.connect(notebook)) as file, file:
            file.execute(change)
        code, out, err = crosscall("hunt", "single", "--resume")
        assert (code, out) == (2, "") and err.startswith("crosscall: waves/single.hunt.sqlite: is not the notebook of a"), change
        notebook.write_bytes(whole)
    before = notebook.read_bytes()
    for other in (["--set", "fabric_latency=9"], ["--without", "handler_mb"], ["--cores", 3]):
        code, out, err = crosscall("hunt", "single", "--resume", *other)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("crosscall: waves/single.hunt.sqlite: is the notebook of another hunt: ")
    assert notebook.read_bytes() == before


def test_a_kill_before_the_first_note_leaves_no_notebook(tmp_path, monkeypatch):
    """At each statement: what a kill would leave is copied, and then read and gone on with."""
    notebook = tmp_path / "x.hunt.sqlite"
    left = []

    def copied(statement):
        left.append(tmp_path / str(len(left)))
        left[-1].mkdir()
        for path in tmp_path.glob(f"{notebook.name}*"):
            shutil.copy(path, left[-1])

    def connect(*arguments, **options):
        connection = sqlite3.Connection(*arguments, **options)
        connection.set_trace_callback(copied)
        return connection

    with monkeypatch.context() as patch, Store(notebook, "this") as store:
        patch.setattr("sim.hunt.store.sqlite3.connect", connect)
        store.write(State(3, 3))
        store.write(State(3, 9))
    seen = []
    for folder in left:
        path = folder / notebook.name
        with Store(path, "this") as store:
            assert not store.is_of_another()
            try:
                seen.append(store.read().following)
            except InputError as error:
                assert error.message == "there is no hunt to resume"
                seen.append(None)
            store.write(State(3, 4))
        with Store(path, "this") as store:
            assert store.read() == State(3, 4)
    assert sorted(set(seen), key=seen.index) == [None, 3], seen


def test_two_hunts_do_not_write_the_same_notebook(start, crosscall, tmp_path):
    first = start("hunt", "single", "--seconds", 600)
    notebook = tmp_path / "waves/single.hunt.sqlite"
    _wait(lambda: notebook.exists())
    assert crosscall("hunt", "single", "--memory", "tso", "--runs", 1) == (2, "", (
        f"crosscall: waves/single.hunt.sqlite: another hunt (process {first.pid}) is writing it; wait, or choose another folder "
        "with --out\n"))
    # Another scenario, or another folder, is nobody's business.
    assert crosscall("hunt", "demo", "--runs", 1)[0] == 0
    assert crosscall("hunt", "single", "--runs", 1, "--out", "other")[0] == 0
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(timeout=100) == 130
    assert crosscall("hunt", "single", "--resume", "--runs", 1)[0] == 0


def test_a_notebook_that_is_begun_anew_is_said(crosscall):
    assert crosscall("hunt", "single", "--runs", 1)[2] == ""
    assert crosscall("hunt", "single", "--runs", 2)[2] == ""
    err = crosscall("hunt", "single", "--runs", 1, "--memory", "tso")[2]
    assert err.startswith("crosscall: waves/single.hunt.sqlite: was the notebook of another hunt") and err.count("\n") == 1


@pytest.mark.parametrize("arguments, message", [
    (["nothing"], 'there is no scenario "nothing"'),
    (["single", "--engine", "fast"], 'there is no engine "fast"'),
    (["single", "--out", "file/waves"], "file/waves: cannot be created: Not a directory"),
    (["single", "--runs", "0"], "invalid value for '--runs'"),
    (["single", "--resume", "--first", "3"], "--resume continues where the notebook ends"),
])
def test_bad_input(crosscall, tmp_path, arguments, message):
    (tmp_path / "file").touch()
    code, out, err = crosscall("hunt", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"crosscall: {message}")


@pytest.mark.parametrize("end, how", [
    (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by signal 9 (is there enough memory?)"),
    (lambda: os._exit(5), "ended with exit code 5"),
])
def test_a_process_that_breaks_is_one_line(crosscall, tmp_path, monkeypatch, end, how):
    monkeypatch.setattr("sim.hunt.work.Hunter.batch", lambda *batch: end())
    assert crosscall("hunt", "single", "--processes", 2) == (3, "", f"crosscall: one of 2 processes {how}\n")
    assert os.listdir(tmp_path / "waves") == ["single.hunt.sqlite"]
