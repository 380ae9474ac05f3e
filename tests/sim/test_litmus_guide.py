"""Guided runs: the machine goes the way of the model, to every final state, and where it does not."""

import pytest

from rtl.config import Straps
from rtl.memory.path import MemoryModel
from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine
from sim.engines.engine import Job
from sim.litmus.command import SHIPPED
from sim.litmus.expected import Expected
from sim.litmus.guide import guide
from sim.litmus.models import Model, explore
from sim.litmus.parser import read_test
from sim.litmus.run import _MODELS, Runner, Verdict
from sim.litmus.translate import translate
from sim.runs.plan import Plan
from tests.rtl.path_model import mutant

from .litmus_samples import litmus_test

#: What interrupts do is not guided.
WITHOUT_INTERRUPTS = [test for test in map(read_test, sorted(SHIPPED.glob("*.litmus"))) if len(test.threads) == test.n_cores]


class Blind:
    def on_clock(self, clock, records, probe):
        return False


@pytest.fixture(scope="module")
def reached():
    """The final state to which the machine comes on a way."""
    engines = {}

    def reached(program, model, way):
        if program.config not in engines:
            engines[program.config] = CompiledEngine(program.config)
        straps = Straps(memory_model=MemoryModel[model.name].value)
        job = Job(program.contents([0] * program.test.n_cores), straps, max_clocks=5000, plan=Plan(kind=ScheduleKind.REPLAY),
                  replay=guide(program, model, way))
        outcome = engines[program.config].run(job, sink=Blind())
        return program.final_state(outcome.arena)

    return reached


@pytest.mark.parametrize("model", Model)
def test_the_machine_goes_every_way(model, reached):
    for test in WITHOUT_INTERRUPTS:
        program, ways = translate(test), explore(test, model)
        assert {state: reached(program, model, way) for state, way in ways.items()} == {state: state for state in ways}, test.name


def test_a_way_may_have_steps_of_several_words(reached):
    test = litmus_test("{}\n P0 | P1 ;\n MOV [x],$100 | MOV [y],$200 ;\n LOCK SUB [z],$1 | INC [x] ;\n"
                       " MOV EAX,[y] | MOV EAX,[z] ;\nlocations [x;y;z;0:EAX;1:EAX;]\nexists (true)")
    program, ways = translate(test), explore(test, Model.PSO)
    assert len(ways) > 4
    assert {reached(program, Model.PSO, way) for way in ways.values()} == set(ways)


def test_the_middle_one_of_three_stores_does_not_leave_first(reached):
    """P1 sees that P0 has read w before y is visible, and x and z are not: then all three are in the buffer."""
    test = litmus_test("{}\n P0 | P1 ;\n MOV [x],$1 | MOV [w],$1 ;\n MOV [y],$1 | MFENCE ;\n MOV [z],$1 | MOV EAX,[y] ;\n"
                       " MOV EAX,[w] | MOV EBX,[y] ;\n | MOV ECX,[x] ;\n | MOV EDX,[z] ;\n"
                       "exists (0:EAX=0 /\\ 1:EAX=0 /\\ 1:EBX=1 /\\ 1:ECX=0 /\\ 1:EDX=0)")
    program = translate(test)
    (state, way), = (item for item in explore(test, Model.PSO).items() if test.asked(item[0]))
    assert reached(program, Model.PSO, way) != state


@pytest.mark.parametrize("said, really, names", [
    (Model.SC, Model.TSO, ("SB", "R", "SB+sfences", "SB+mfence+po")),
    (Model.TSO, Model.PSO, ("MP", "S", "2+2W", "R+po+mfence")),
], ids=["TSO for SC", "PSO for TSO"])
def test_a_machine_that_is_weaker_than_it_says_is_found(said, really, names, monkeypatch):
    monkeypatch.setitem(_MODELS, said, MemoryModel[really.name].value)
    found_in_few_runs(said, names)


@pytest.mark.parametrize("fault, names", [
    ("fence that does nothing", ("SB+mfences", "R+mfences", "R+po+mfence")),
    ("locked operation that does not drain", ("2+2W+xchgs", "MP+lock+po", "SB+locked-elsewhere")),
])
def test_a_barrier_that_is_none_is_found(fault, names, change_hardware):
    change_hardware("rtl.tile.MemoryPath", mutant(fault))
    found_in_few_runs(Model.TSO, names)


def found_in_few_runs(model, names):
    """Whatever the runs that are drawn show."""
    runner = Runner(model=model, runs=16, seed=0, expected=Expected())
    for name in names:
        result, = runner.run(read_test(SHIPPED / f"{name}.litmus"))
        assert result.verdict is Verdict.FORBIDDEN_SEEN, name
