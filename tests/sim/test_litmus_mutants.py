"""A faulty memory path is found by the litmus tests that the project ships: they see it if the machine is not what it says."""

import pytest

from sim.litmus.command import SHIPPED
from sim.litmus.expected import Expected
from sim.litmus.models import Model
from sim.litmus.parser import read_test
from sim.litmus.run import Runner, Verdict
from tests.rtl.path_model import mutant

#: Mutant -> the tests that show an outcome which the model does not have. The other mutants change what a withdrawn operation or a
#: forwarded load does at the port: that is not in a final state.
FOUND = {
    "no forwarding": ("SB+rfi-pos", "SB+youngest"),
    "forwarding from the oldest store": ("SB+youngest",),
    "fence that does nothing": ("SB+mfences", "R+mfences"),
    "locked operation that does not drain": ("SB+locked-elsewhere",),
    "drain from the youngest store": ("MP",),
}


def verdicts(names):
    runner = Runner(model=Model.TSO, runs=150, seed=0, expected=Expected())
    return {name: result.verdict for name in names for result in runner.run(read_test(SHIPPED / f"{name}.litmus"))}


@pytest.mark.parametrize("name", FOUND)
def test_mutants_are_found(name, change_hardware):
    change_hardware("rtl.tile.MemoryPath", mutant(name))
    assert verdicts(FOUND[name]) == dict.fromkeys(FOUND[name], Verdict.FORBIDDEN_SEEN)


def test_the_right_path_passes():
    names = [name for names in FOUND.values() for name in names]
    assert Verdict.FORBIDDEN_SEEN not in verdicts(names).values()
