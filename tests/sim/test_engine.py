"""What every engine promises, on the reference engine: how a run ends, and what its sink is told."""

import pytest

from rtl.config import MachineConfig, Straps
from rtl.core.microword import MicroWord, Op
from rtl.events import Event
from sim.engines.engine import Contents, Ending, Job
from sim.engines.pysim import PySimEngine

STRAPS = Straps()


@pytest.fixture(scope="module")
def engine():
    return PySimEngine(MachineConfig(n_cores=1, n_banks=2, arena_depth=64))


class Listener:
    """Keeps what it is told; asks for the end at a clock."""

    def __init__(self, until=None):
        self.until = until
        self.told = []

    def on_clock(self, clock, records, probe):
        self.told.append((clock, [index for index, _ in records], probe))
        return clock == self.until


def contents(*words, arena=None):
    return Contents(microcode=[MicroWord.const(word).as_bits() for word in words], arena=arena or {})


SPEAK = {"op": Op.JMP, "target": 0, "event": Event.COMMAND}
WORK = {"op": Op.JMP, "target": 0}
STORE = {"op": Op.STC, "rb": 5, "use_imm": 1, "imm": 33}


def test_quiet(engine):
    job = Job(contents(STORE, {"op": Op.HALT}, arena={32: 7, 33: 8, 34: 9}), STRAPS, max_clocks=100)
    outcome = engine.run(job, sink=Listener())
    assert outcome.ending is Ending.QUIET
    assert outcome.arena == tuple({32: 7, 33: 5, 34: 9}.get(address, 0) for address in range(64))


def test_trap_is_told_before_the_end(engine):
    sink = Listener()
    outcome = engine.run(Job(contents(), STRAPS, max_clocks=100), sink=sink)
    assert outcome.ending is Ending.TRAP
    assert [told[:2] for told in sink.told] == [(outcome.clocks - 2, [0])]


@pytest.mark.parametrize("limit", [1, 17])
def test_limit(limit, engine):
    outcome = engine.run(Job(contents(SPEAK), STRAPS, max_clocks=limit), sink=Listener())
    assert (outcome.ending, outcome.clocks) == (Ending.LIMIT, limit)


def test_stopped_by_the_sink(engine):
    sink = Listener(until=9)
    outcome = engine.run(Job(contents(SPEAK), STRAPS, max_clocks=100), sink=sink)
    assert (outcome.ending, outcome.clocks) == (Ending.STOPPED, 10)
    assert sink.told[-1][0] == 9


def test_sink_is_told_of_clocks_with_records(engine):
    sink = Listener()
    engine.run(Job(contents(STORE, WORK), STRAPS, max_clocks=20), sink=sink)
    assert sink.told
    assert all(index for _, index, _ in sink.told)
    assert {probe for _, _, probe in sink.told} == {None}
    # A core and the bank of an odd address, in one clock.
    assert [0, 4] in [index for _, index, _ in sink.told]


def test_sink_is_told_of_every_clock_if_it_wants_the_probe(engine):
    sink = Listener()
    outcome = engine.run(Job(contents(WORK), STRAPS, max_clocks=20), sink=sink, probe=True)
    assert [clock for clock, _, _ in sink.told] == list(range(outcome.clocks))
    assert not any(index for _, index, _ in sink.told)
    assert len({probe for _, _, probe in sink.told}) > 1


def test_straps_reach_the_machine(engine):
    """And those of one run are not those of the next."""
    words = contents(STORE, {"op": Op.HALT})
    jobs = [Job(words, Straps(arena_latency=latency), max_clocks=100) for latency in (0, 9, 0)]
    clocks = [engine.run(job, sink=Listener()).clocks for job in jobs]
    assert clocks == [clocks[0], clocks[0] + 9, clocks[0]]
