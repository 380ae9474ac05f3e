"""The complete board in simulation, over a pseudo-terminal, through the host's own code."""

import json
import os
from contextlib import contextmanager
from functools import cache

import pytest
from amaranth.lib.data import Layout

from rtl.boards.wire import SYNC, Operation
from rtl.config import MachineConfig, Straps
from rtl.core.microword import MicroWord
from rtl.events import Event
from sim.boards import link as link_module
from sim.boards.link import BoardError, open_port
from sim.boards.pty import plugged_in
from sim.boards.run import compare, prepare_for
from sim.boards.session import Session
from sim.boards.terminal import CompiledBoard, PySimBoard
from sim.cli import app
from sim.engines.engine import Contents, Ending, Job
from sim.engines.spec import EngineSpec
from sim.errors import InputError, MissingToolError
from sim.runs.run import run as observe

from .runs import run_prepared

serial = pytest.importorskip("serial", reason="pyserial is not installed")

#: The machine that other tests have, too: it is built once.
CONFIG = MachineConfig(n_cores=2)
#: The smallest there is.
LEAST = MachineConfig(n_cores=1, microcode_depth=64, arena_depth=64, stack_depth=16, store_buffer_depth=0)


@cache
def board():
    return CompiledBoard(CONFIG)


@contextmanager
def session(patience=5.0, **options):
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


def test_every_record_is_that_of_the_simulation():
    """A board with a Digest says so, in a run that is stopped on the way, too; and names the first clock that is another."""
    with plugged_in(CompiledBoard(CONFIG, digest=True)) as name, open_port(name) as port:
        this = Session(port, patience=5.0)
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
        silenced = next(record for record in run_prepared(prepared).records if getattr(record, "event", None) is Event.RAN)
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
        monkeypatch.setattr("sim.boards.session.VERSION", 2)
        with pytest.raises(InputError, match="speaks version 1 of the wire, and this crosscall version 2"):
            Session(port, patience=5.0)


@pytest.mark.parametrize("kind", [CompiledBoard, pytest.param(PySimBoard, marks=pytest.mark.slow)])
def test_both_simulations_of_a_board_are_one(kind):
    """Loaded, run, read and stopped by single clocks; PySim is the reference."""
    with plugged_in(kind(LEAST)) as name, open_port(name) as port:
        this = Session(port, patience=20.0)
        contents = Contents([0x01] * 40, {20: 0xBEEF})          # NOP, then PANIC
        this.load(contents, Straps())
        expected = next(EngineSpec(LEAST, "pysim").make().run_many([Job(contents, Straps(), max_clocks=60)], arena=True))
        assert expected.ending is Ending.TRAP
        assert this.run(5).clock == 5
        summary = this.run(60, seconds=30)
        assert (summary.ending, summary.clock) == (expected.ending, expected.clocks)
        assert this.arena()[20] == 0xBEEF


def test_preloaded_contents_run_at_power_up():
    words, arena = [0x01] * 40, [*[0] * 20, 0xBEEF]
    expected = EngineSpec(LEAST, "pysim").make().run(Job(Contents(words, {}), Straps(), max_clocks=60))
    with plugged_in(CompiledBoard(LEAST, microcode=words, arena=arena, image=0xABCD1234)) as name, open_port(name) as port:
        session = Session(port, patience=5.0)
        assert session.identity.image == 0xABCD1234
        summary = session.run(100)
        assert (summary.ending, summary.clock) == (expected.ending, expected.clocks)
        assert session.arena()[:21] == tuple(arena)


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


def test_what_the_command_refuses(capsys, monkeypatch):
    assert command(capsys, "board", "run")[0] == 2
    assert command(capsys, "board", "fly", "--port", "x")[::2] == (
        2, 'crosscall: a board cannot "fly" (it can: run, identify, simulate)\n')
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
