"""The complete board in simulation, over a pseudo-terminal, through the host's own code."""

import json
import os
import random
import re
import tty
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from threading import Event, Thread

import pytest
from amaranth.lib.data import Layout

from rtl import events
from rtl.boards.wire import SYNC, Operation
from rtl.check.room import Room
from rtl.config import MachineConfig, Straps
from rtl.core.microword import MicroWord
from sim.boards import link as link_module
from sim.boards.hunt import all_plans, hunt, plan_with
from sim.boards.link import BoardError, open_port
from sim.boards.pty import plugged_in, serve
from sim.boards.run import compare, prepare_for
from sim.boards.session import Session
from sim.boards.terminal import CompiledBoard, PySimBoard
from sim.cli import app
from sim.engines.engine import Contents, Ending, Job
from sim.engines.spec import EngineSpec
from sim.errors import InputError, MissingToolError
from sim.runs.run import run as observe
from sim.runs.schedule import read_run

from .runs import run_prepared

serial = pytest.importorskip("serial", reason="pyserial is not installed")

#: The machine that other tests have, too: it is built once.
CONFIG = MachineConfig(n_cores=2)
#: The smallest there is.
LEAST = MachineConfig(n_cores=1, microcode_depth=64, arena_depth=64, stack_depth=16, store_buffer_depth=0)


NOP = 0x01


@cache
def board():
    return CompiledBoard(CONFIG)


@cache
def hunter():
    return CompiledBoard(CONFIG, room=Room(), digest=True)


@contextmanager
def session(patience=5.0, board=board, **options):
    with plugged_in(board(), **options) as name, open_port(name) as port:
        yield Session(port, patience=patience)


def test_a_scenario_is_the_same_on_the_board():
    with session() as this:
        assert this.config == CONFIG
        for scenario in ("single", "storm"):
            found = compare(this, prepare_for(this.config, scenario))
            assert found.difference is None
            assert found.summary.ending is Ending.QUIET and not found.summary.running
            assert found.calls and all(call.result is not None for call in found.calls)
            assert not found.repeated
            assert [status["halted"] for status in found.status] == [True, True]


def test_every_clock_is_that_of_the_simulation():
    """Stopped in the middle, with memory operations and interrupts under way, and going on from there."""
    with session() as this:
        prepared = prepare_for(this.config, "single", assignments=("memory_model=1", "arena_latency=3"))
        engine = EngineSpec(CONFIG).make()
        for clocks in (1, 700, 701, 702, 703):
            expected = next(engine.run_many([prepared.under(max_clocks=clocks).job], arena=True))
            this.load(prepared.contents, prepared.run.straps)
            for part in (clocks // 2, clocks - 1, clocks):
                if part:
                    assert this.run(part).clock == part
            assert this.arena() == expected.arena, clocks


@pytest.mark.slow
def test_every_record_is_that_of_the_simulation():
    """A board with a Digest says so, in a run that is stopped on the way, too; and names the first clock that is another."""
    with session(board=hunter) as this:
        assert this.identity.digest
        for scenario in ("single", "storm"):
            prepared = prepare_for(this.config, scenario)
            found = compare(this, prepared)
            assert found.difference is None
            assert found.digest == observe(prepared).digest
        this.load(prepared.contents, prepared.run.straps)
        for clocks in (300, 700, 701, 1500):
            assert this.run(clocks).clock == clocks
            assert this.digest() == observe(prepared.under(max_clocks=clocks)).digest, clocks

        # A word that has lost its event: nothing else becomes another for it.
        prepared = prepare_for(this.config, "single")
        silenced = next(record for record in run_prepared(prepared).records if getattr(record, "event", None) is events.Event.RAN)
        words = list(prepared.contents.microcode)
        words[silenced.pc] &= ~(127 << Layout.cast(MicroWord)["event"].offset)
        load, this.load = this.load, lambda contents, *rest: load(Contents(words, contents.arena), *rest)
        found = compare(this, prepared)
        assert found.difference == f"clock {silenced.clock} is the first whose records differ from the simulation's"
        assert found.calls == () and found.to_json()["equal"] is False


def test_a_trap_ends_the_run_on_the_board_as_in_simulation():
    with session() as this:
        prepared = prepare_for(this.config, "single")
        contents = Contents(prepared.contents.microcode[:100], prepared.contents.arena)
        expected = next(EngineSpec(CONFIG).make().run_many([Job(contents, Straps(), max_clocks=2000)], arena=True))
        assert expected.ending is Ending.TRAP
        this.load(contents, Straps())
        summary = this.run(2000)
        assert (summary.ending, summary.clock) == (Ending.TRAP, expected.clocks)
        assert board().lights["violation"] == 1
        assert this.arena() == expected.arena


def test_a_difference_is_named():
    with session() as this:
        prepared = prepare_for(this.config, "single")
        place = prepared.image.address_of("counter")
        other = Contents(prepared.contents.microcode, {**prepared.contents.arena, place: 7})
        load, this.load = this.load, lambda contents, *rest: load(other, *rest)
        found = compare(this, prepared)
        assert found.difference.startswith(f"counter (arena word {place:#x}) is 0x")
        assert found.difference.endswith("in the simulation")
        assert found.to_json()["equal"] is False and found.calls == ()
        other = Contents(prepared.contents.microcode, {})
        found = compare(this, prepared)
        assert "the board's run ended at clock" in found.difference or "goes on" in found.difference


def test_memories_are_not_touched_during_a_run():
    with session() as this:
        prepared = prepare_for(this.config, "single")
        this.load(prepared.contents, prepared.run.straps)
        assert this.run(100).clock == 100
        for ask in (lambda: this.link.write(Operation.WRITE_ARENA, 20, [1]), lambda: this.link.read(Operation.READ_ARENA, 0, 4),
                    lambda: this.link.write(Operation.WRITE_MICROCODE, 0, [1]),
                    lambda: this.link.write(Operation.WRITE_STRAPS, 0, [1])):
            with pytest.raises(BoardError, match="does not .* during a run"):
                ask()
        assert this.run(200).clock == 200


class Spoiled:
    """A wire that flips one bit of every so many octets, as often as it is told."""

    def __init__(self, every, times):
        self._every, self._times, self._count = every, times, 0

    def __call__(self, octets):
        octets = bytearray(octets)
        for number in range(len(octets)):
            self._count += 1
            if self._count % self._every == 0 and self._times:
                self._times -= 1
                octets[number] ^= 1 << self._count % 8
        return bytes(octets)


@pytest.mark.parametrize("every", [5, 700])
def test_a_flipped_bit_is_sent_again(every):
    """In headers and in words; what is in the memories then is what was meant."""
    with session(patience=0.5, wire=Spoiled(every, 4 if every > 9 else 2)) as this:
        found = compare(this, prepare_for(this.config, "single"))
        assert found.difference is None
        assert this.link.repeated > 0


def test_a_wire_that_always_spoils_is_said():
    with session(patience=1.0) as this:
        this.link._port.write = lambda frame, write=this.link._port.write: write(frame[:-3] + bytes([frame[-3] ^ 1]) + frame[-2:])
        with pytest.raises(BoardError, match="the board does not answer .* tried 5 times"):
            this.link.write(Operation.WRITE_ARENA, 20, [1, 2, 3])


def test_noise_before_a_request_does_no_harm():
    with plugged_in(board()) as name, open_port(name) as port:
        port.write(bytes([SYNC, 1, 2, SYNC, SYNC]))
        assert Session(port, patience=2.0).config == CONFIG


def test_unplugged_in_the_middle_is_one_sentence():
    master, slave = os.openpty()
    name = os.ttyname(slave)
    with open_port(name) as port:
        os.close(master)
        os.close(slave)
        with pytest.raises(BoardError) as said:
            Session(port)
    assert str(said.value).startswith(f"{name}: the board is gone") and "\n" not in str(said.value)


def test_nobody_at_the_port():
    master, slave = os.openpty()
    with open_port(os.ttyname(slave)) as port, pytest.raises(BoardError) as said:
        Session(port, patience=0.1)
    assert str(said.value) == f"{os.ttyname(slave)}: the board does not answer (nothing comes from it; tried 5 times)"
    os.close(master)
    os.close(slave)


def test_a_board_of_another_version(monkeypatch):
    with plugged_in(board()) as name, open_port(name) as port:
        monkeypatch.setattr("sim.boards.session.vocabulary", lambda: 0)
        with pytest.raises(InputError, match="another version of crosscall"):
            Session(port, patience=5.0)
        monkeypatch.setattr("sim.boards.session.VERSION", 3)
        with pytest.raises(InputError, match="speaks version 2 of the wire, and this crosscall version 3"):
            Session(port, patience=5.0)


@pytest.mark.parametrize("kind", [CompiledBoard, pytest.param(PySimBoard, marks=pytest.mark.slow)])
def test_both_simulations_of_a_board_are_one(kind):
    """Loaded, run, read and stopped by single clocks; PySim is the reference."""
    with plugged_in(kind(LEAST)) as name, open_port(name) as port:
        this = Session(port, patience=20.0)
        contents = Contents([NOP] * 40, {20: 0xBEEF})          # NOP, then PANIC
        this.load(contents, Straps())
        expected = next(EngineSpec(LEAST, "pysim").make().run_many([Job(contents, Straps(), max_clocks=60)], arena=True))
        assert expected.ending is Ending.TRAP
        assert this.run(5).clock == 5
        summary = this.run(60, seconds=30)
        assert (summary.ending, summary.clock) == (expected.ending, expected.clocks)
        assert this.arena()[20] == 0xBEEF


def test_preloaded_contents_run_at_power_up():
    words, arena = [NOP] * 40, [*[0] * 20, 0xBEEF]
    expected = EngineSpec(LEAST, "pysim").make().run(Job(Contents(words, {}), Straps(), max_clocks=60))
    with plugged_in(CompiledBoard(LEAST, microcode=words, arena=arena, image=0xABCD1234)) as name, open_port(name) as port:
        session = Session(port, patience=5.0)
        assert session.identity.image == 0xABCD1234
        summary = session.run(100)
        assert (summary.ending, summary.clock) == (expected.ending, expected.clocks)
        assert session.arena()[:21] == tuple(arena)


# --- hunting ------------------------------------------------------------------------------------------------------------

#: A scenario that some schedules keep from ending, with what it needs: on two cores, the first such seed is 4 (BOUNDED).
STUCK = {"scenario": "no-memory-rendezvous", "protocol": "v2.6.27-rc1"}
SEED = 4
LIMIT = 20_000


def hunted(this, scenario="single", *, protocol=None, kind="bounded", plan=(), max_clocks=LIMIT, runs, out, **options):
    prepared = prepare_for(this.config, scenario, protocol=protocol).under(max_clocks=max_clocks)
    return hunt(this, prepared, [(plan_with(kind, plan), runs)], runs=runs, out=out, **options)


@pytest.mark.slow
def test_a_hunt_finds_the_plan_that_fails_in_simulation_in_the_same_clock(tmp_path):
    with session(board=hunter) as this:
        found = hunted(this, **STUCK, plan=["seed=2"], runs=9, out=tmp_path)
        prepared = prepare_for(CONFIG, STUCK["scenario"], protocol=STUCK["protocol"]).under(max_clocks=LIMIT)
        engine = EngineSpec(CONFIG, room=Room()).make()
        for seed in (2, 3, SEED):
            expected = next(engine.run_many(prepared.jobs([plan_with("bounded", [f"seed={seed}"])])))
            assert bool(expected.flags) is (seed == SEED)
        assert (found.number, found.runs, found.plan.seed) == (SEED - 2, SEED - 1, SEED)
        assert (found.flags, found.summary.clock, found.summary.ending) == (expected.flags, expected.clocks, Ending.LIMIT)
        assert found.difference is None and not found.clean and not found.disagreements
        [finding] = found.violations
        assert (finding.flag, finding.number, finding.clock) == ("stuck", SEED - 2, expected.flags["stuck"])
        assert hunter().lights["violation"] == 1
        assert read_run(finding.schedule).plan == found.plan
        assert read_run(finding.schedule).violation == ("stuck", finding.clock)
        # And the board is as good as new.
        assert compare(this, prepare_for(CONFIG, "single")).difference is None
        assert hunter().lights["violation"] == 0


@pytest.mark.slow
def test_a_hunt_finds_the_early_return_of_v4(tmp_path):
    """On three cores, of which the scenario needs as many."""
    config = MachineConfig(n_cores=3)
    with session(board=lambda: CompiledBoard(config, room=Room())) as this:
        for scenario, kind, number in (("early-return", "bounded", None), ("back-to-back", "pct", None)):
            found = hunted(this, scenario, kind=kind, runs=20, out=tmp_path)
            assert found.difference is None and [item.flag for item in found.violations] == ["early_return"], number


@pytest.mark.slow
def test_a_clean_hunt_compares_its_last_run(tmp_path):
    with session(board=hunter) as this:
        for scenario, kind, clocks in (("storm", "pct", LIMIT), ("single", "random", LIMIT), ("single", "bounded", 2000)):
            found = hunted(this, scenario, kind=kind, plan=["seed=7"], max_clocks=clocks, runs=3, out=tmp_path)
            assert found.clean and found.runs == 3 and found.plan.seed == 9
            # What has had its clocks is no finding by itself, as in a hunt in simulation.
            assert found.summary.ending is (Ending.LIMIT if clocks == 2000 else Ending.QUIET)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_flags_of_a_board_are_those_of_an_engine():
    """Of programs with one word left out: flags that are set in the middle of a run, and those that are set when all is over."""
    engine, chance = EngineSpec(CONFIG, room=Room()).make(), random.Random(1)
    prepared = prepare_for(CONFIG, "single")
    job, wanted = next(prepared.jobs([plan_with("bounded", ["seed=1"])])), {"lost", "rest", "not_once"}
    with session(board=hunter) as this:
        for place in chance.sample(range(len(prepared.contents.microcode)), len(prepared.contents.microcode)):
            words = list(prepared.contents.microcode)
            words[place] = NOP
            broken = replace(job, contents=Contents(words, prepared.contents.arena), max_clocks=9000)
            expected = engine.run(broken)
            if expected.ending is Ending.QUIET and wanted & expected.flags.keys():
                wanted -= expected.flags.keys()
                this.load(broken.contents, broken.straps)
                found = this.hunt(broken, 3)
                assert (found.number, found.flags, this.summary().clock) == (0, expected.flags, expected.clocks), place
            if not wanted:
                return
    raise AssertionError(wanted)


@pytest.mark.slow
def test_plans_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.boards.hunt._ROW", 2)
    with session(board=hunter) as this:
        found = hunt(this, prepare_for(CONFIG, "single"), all_plans(5), runs=5, out=tmp_path)
        [*_, (last, _)] = [plan for plan, _ in zip(all_plans(5), range(3), strict=False)]
        assert (found.runs, found.plan) == (5, last) and found.clean


@pytest.mark.slow
def test_what_is_ignored_is_no_finding(tmp_path):
    with session(board=hunter) as this:
        found = hunted(this, **STUCK, plan=[f"seed={SEED}"], runs=1, ignore=["WATCHDOG"], out=tmp_path)
        assert found.clean and not found.flags and found.summary.clock == LIMIT
        with pytest.raises(InputError, match="--ignore STUCK: there is no such flag or oracle"):
            hunted(this, runs=1, ignore=["STUCK"], out=tmp_path)


@pytest.mark.slow
def test_a_run_of_which_the_monitor_cannot_remember_all_is_judged_by_the_oracles(tmp_path):
    with session(board=hunter) as this:
        found = hunted(this, "refill", protocol="v2.6.27-rc1", kind="pct", plan=["seed=1"], runs=4, out=tmp_path)
        assert found.by_oracles > 0 and found.difference is None and found.runs == 4


@pytest.mark.slow
def test_what_differs_from_simulation_is_said(tmp_path):
    with session(board=hunter) as this:
        load = this.load
        place = prepare_for(CONFIG, "single").image.address_of("counter")
        this.load = lambda contents, *rest: load(Contents(contents.microcode, {**contents.arena, place: 7}), *rest)
        found = hunted(this, runs=2, out=tmp_path)
        assert found.difference.startswith(f"counter (arena word {place:#x}) is 0x") and not found.clean
        assert found.to_json()["equal"] is False
        this.load = load
        ask, this.hunt = this.hunt, lambda job, *rest, **options: ask(replace(job, patience=300), *rest, **options)
        found = hunted(this, **STUCK, plan=[f"seed={SEED}"], runs=3, out=tmp_path)
        assert found.number == 0 and "stuck" in found.flags and not found.violations
        assert re.fullmatch("the Monitor of the board flags stuck at clock [0-9]+, and the Monitor of the simulation flags stuck "
                            "at clock [0-9]+", found.difference)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_asked_of_a_hunt_and_when():
    """Requests may be repeated; nothing disturbs a hunt; a hunt does not disturb a run."""
    with session(board=hunter) as this:
        prepared, link = prepare_for(CONFIG, "single"), this.link
        this.load(prepared.contents, prepared.run.straps)
        job = next(prepared.jobs([plan_with("bounded", ())]))
        assert this.hunt(job, 2).number == 1
        clock = this.summary().clock
        for _ in range(2):
            link.write(Operation.HUNT, 0, [1])
            assert (this._hunted().going, this._hunted().number, this.summary().clock) == (False, 1, clock)
        for operation, words in ((Operation.RUN, [99]), (Operation.WRITE_ORDERS, [1]), (Operation.WRITE_ARENA, [1])):
            with pytest.raises(BoardError, match="does not .* during a run"):
                link.write(operation, 0, words)
        with pytest.raises(BoardError, match="does not read arena during a run"):
            link.read(Operation.READ_ARENA, 0, 1)
        # It goes on from where it stands, and is as if it had been asked for at once.
        link.write(Operation.HUNT, 0, [2])
        while this._hunted().going:
            pass
        clock = this.summary().clock
        assert this.hunt(job, 3).number == 2 and this.summary().clock == clock
        # HOLD ends it, in the middle, too.
        link.write(Operation.HUNT, 0, [1 << 31])
        link.ask(Operation.HOLD)
        assert not this._hunted().going and not this.summary().begun
        link.write(Operation.RUN, 0, [99])
        with pytest.raises(BoardError, match="does not hunt during a run"):
            link.write(Operation.HUNT, 0, [1])
        link.ask(Operation.HOLD)


@pytest.mark.slow
def test_a_flipped_bit_in_a_hunt_is_sent_again(tmp_path):
    with session(board=hunter, patience=0.5, wire=Spoiled(40, 12)) as this:
        found = hunted(this, **STUCK, plan=["seed=3"], runs=5, out=tmp_path)
        assert found.difference is None and [item.flag for item in found.violations] == ["stuck"] and found.number == 1
        assert found.repeated > 0


@pytest.mark.slow
def test_a_board_that_falls_silent_in_a_hunt(tmp_path):
    silent = Event()
    with session(board=hunter, wire=lambda octets: b"" if silent.is_set() else octets) as this:

        def fall_silent(text):
            if text.startswith("run "):
                silent.set()
                this.link._patience = 0.1

        with pytest.raises(BoardError) as said:
            hunted(this, runs=1000, out=tmp_path, progress=fall_silent)
        assert silent.is_set()
        assert str(said.value) == f"{this.link.name}: the board does not answer (nothing comes from it; tried 5 times)"


@pytest.mark.slow
def test_a_board_that_is_unplugged_in_a_hunt(tmp_path):
    master, slave = os.openpty()
    tty.setraw(slave)
    unplugged = Event()
    server = Thread(target=serve, args=(hunter(), master, unplugged.is_set))
    server.start()

    def unplug(text):
        if text.startswith("run ") and not unplugged.is_set():
            unplugged.set()
            server.join()
            os.close(master)

    name = os.ttyname(slave)
    try:
        with open_port(name) as port, pytest.raises(BoardError) as said:
            hunted(Session(port, patience=5.0), runs=1000, out=tmp_path, progress=unplug)
    finally:
        unplugged.set()
        os.close(slave)
    assert str(said.value).startswith(f"{name}: the board is gone") and "\n" not in str(said.value)


def test_a_board_without_a_hunter(tmp_path):
    with session() as this:
        with pytest.raises(InputError) as said:
            hunted(this, runs=1, out=tmp_path / "none")
        assert str(said.value) == f"{this.link.name}: the bitstream has no Hunter; build one with crosscall synth --hunter"
        assert not (tmp_path / "none").exists()
        for ask in (lambda: this.link.write(Operation.HUNT, 0, [0]), lambda: this.link.read(Operation.READ_HUNT, 0, 1),
                    lambda: this.link.write(Operation.WRITE_ORDERS, 0, [0])):
            with pytest.raises(BoardError, match="the board has nothing that can "):
                ask()


@pytest.mark.slow
def test_pysim_hunts_the_same():
    """A program that traps: each run ends in the same way, and says so."""
    contents = Contents([NOP] * 40, {20: 0xBEEF})
    job = Job(contents, Straps(), max_clocks=60, plan=plan_with("random", ["seed=5"]))
    expected = EngineSpec(LEAST, "pysim", room=Room(2, 2, 1)).make().run(job)
    assert "trap" in expected.flags
    for kind in (CompiledBoard, PySimBoard):
        with plugged_in(kind(LEAST, room=Room(2, 2, 1))) as name, open_port(name) as port:
            this = Session(port, patience=30.0)
            this.load(contents, Straps())
            found = this.hunt(job, 3)
            assert (found.number, found.flags, this.summary().clock) == (0, expected.flags, expected.clocks)
            assert this.hunt(job, 3, ignore=frozenset(expected.flags)).number == 2
            assert this.arena()[20] == 0xBEEF


# --- the command ----------------------------------------------------------------------------------------------------


def command(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        app([*map(str, words)])
    return ended.value.code, *capsys.readouterr()


def test_the_command(capsys):
    with plugged_in(board()) as name:
        code, out, _ = command(capsys, "board", "run", "single", "--port", name, "--json")
        told = json.loads(out)
        assert code == 0 and told["equal"] is True and told["difference"] is None and told["calls"] and told["clock"] > 1000
        code, out, _ = command(capsys, "board", "run", "single", "--port", name, "--max-clocks", 300)
        assert code == 0 and "limit at clock 300" in out
        code, out, _ = command(capsys, "board", "identify", "--port", name, "--json")
        assert code == 0 and json.loads(out)["store_buffer_depth"] == 4
        code, _, said = command(capsys, "board", "run", "single", "--port", name, "--set", "arena_depth=99")
        assert code == 2 and "arena_depth" in said


@pytest.mark.slow
def test_the_command_that_hunts(capsys, tmp_path):
    with plugged_in(hunter()) as name:
        asked = ("--port", name, "--kind", "bounded", "--max-clocks", LIMIT, "--out", tmp_path, "--protocol", STUCK["protocol"])
        code, out, said = command(capsys, "board", "hunt", STUCK["scenario"], *asked, "--runs", 2, "--json")
        told = json.loads(out)
        assert (code, said) == (0, "") and told["equal"] and (told["runs"], told["violations"]) == (2, [])
        code, out, _ = command(capsys, "board", "hunt", STUCK["scenario"], *asked, "--runs", 9, "--plan", "seed=3", "--json")
        told = json.loads(out)
        [finding] = told["violations"]
        assert code == 1 and told["equal"] and told["run"]["plan"]["seed"] == SEED and told["run"]["flags"] == {
            "stuck": finding["clock"]}
        code, out, _ = command(capsys, "replay", finding["schedule"], "--out", tmp_path, "--no-vcd", "--json")
        assert code == 1 and [item["clock"] for item in json.loads(out)["violations"]] == [finding["clock"]]
        code, out, _ = command(capsys, "board", "hunt", "single", "--port", name, "--runs", 2, "--out", tmp_path)
        assert code == 0 and "nothing found" in out and "2 runs in " in out
        for words, sentence in ((("--kind", "fair"), '--kind fair: there is no such kind of schedule'),
                                (("--plan", "stall=3"), "--plan stall=3: say --kind as well"),
                                (("--kind", "pct", "--plan", "stal=3"), "--plan stal=3: a plan has no such field"),
                                (("--kind", "pct", "--plan", "stall=256"), "--plan stall=256: must be from 0 to 255")):
            code, _, said = command(capsys, "board", "hunt", "single", "--port", name, *words)
            assert code == 2 and said.startswith(f"crosscall: {sentence}")


def test_the_command_that_hunts_needs_a_hunter(capsys):
    with plugged_in(board()) as name:
        assert command(capsys, "board", "hunt", "single", "--port", name)[::2] == (
            2, f"crosscall: {name}: the bitstream has no Hunter; build one with crosscall synth --hunter\n")


def test_what_the_command_refuses(capsys, monkeypatch):
    assert command(capsys, "board", "run")[0] == 2
    assert command(capsys, "board", "fly", "--port", "x")[::2] == (
        2, 'crosscall: a board cannot "fly" (it can: run, hunt, identify, simulate)\n')
    code, _, said = command(capsys, "board", "run", "--port", "no-such-port")
    assert code == 3 and said.startswith("crosscall: no-such-port: cannot be opened as a serial port") and said.count("\n") == 1
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    code, _, said = command(capsys, "board", "run", "--port", "no-such-port")
    assert (code, said) == (3, "crosscall: a board is spoken to through pyserial: pip install 'crosscall[boards]'\n")


def test_without_a_compiler_there_is_no_simulated_board(monkeypatch):
    monkeypatch.setattr("sim.boards.terminal.load", lambda *_, **__: (_ for _ in ()).throw(MissingToolError("no compiler")))
    with pytest.raises(MissingToolError):
        CompiledBoard(CONFIG)
    assert link_module.BAUD == 115_200
