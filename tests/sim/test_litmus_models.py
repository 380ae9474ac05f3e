"""The models as programs: single instructions against x86's own words, the classics against what is known of them, all shipped
tests against axioms; and all files of outside collections against axioms and their verdicts, if CROSSCALL_LITMUS names the
folders."""

import csv
import os
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.litmus.command import SHIPPED
from sim.litmus.expected import read_expected
from sim.litmus.models import Model, _Machine, final_states
from sim.litmus.parser import read_test
from sim.litmus.syntax import Mode

from .litmus_samples import SINGLE, SINGLE_64, litmus_test, single, single_64
from .second_opinion import outcomes

COLLECTIONS = [Path(name) for name in os.environ.get("CROSSCALL_LITMUS", "").split(os.pathsep) if name]


@pytest.mark.parametrize("init, instructions, final", SINGLE)
@pytest.mark.parametrize("model", Model)
def test_one_thread_has_one_final_state(model, init, instructions, final):
    assert final_states(single(init, instructions, *final), model) == {tuple(final.values())}


@pytest.mark.parametrize("init, instructions, final", SINGLE_64)
@pytest.mark.parametrize("model", Model)
def test_one_thread_of_64_bits_has_one_final_state(model, init, instructions, final):
    assert final_states(single_64(init, instructions, *final), model) == {tuple(final.values())}


def test_an_address_that_is_none_is_refused():
    test = single_64("x=0", ["movq (x),%rax", "movq (%rax),%rbx"], "0:rbx")
    with pytest.raises(InputError, match="an instruction may access address 0, where there is no location"):
        final_states(test, Model.TSO)


def test_stores_of_other_threads_come_between_the_halves_of_an_update():
    test = litmus_test("{}\n P0 | P1 ;\n ADD [x],$1 | MOV [x],$4 ;\nlocations [x;]\nexists (true)")
    assert final_states(test, Model.SC) == {(1,), (4,), (5,)}


def test_a_filter_drops_states():
    test = litmus_test("{}\n P0 | P1 ;\n MOV [x],$1 | MOV [x],$2 ;\nfilter ~x=1\nexists (x=1)")
    assert final_states(test, Model.SC) == {(2,)}


def test_a_thread_that_never_ends_shows_its_registers_as_they_began():
    test = litmus_test("{ 0:EAX=3; }\n P0 | H0 ;\n MOV EAX,$1 | NOP ;\n HLT | ;\nexists (0:EAX=3)")
    assert final_states(test, Model.TSO, Mode.XAPIC) == {(3,)}


def test_a_program_that_goes_round_for_ever_is_refused():
    test = litmus_test("{}\n P0 ;\n again: JMP again ;\nexists (true)")
    with pytest.raises(InputError, match="sample.litmus: no run of this test ends"):
        final_states(test, Model.PSO)


def test_too_many_states_are_no_answer(monkeypatch):
    monkeypatch.setattr("sim.litmus.models._MAX_WORK", 100)
    assert final_states(read_test(SHIPPED / "IRIW.litmus"), Model.TSO) is None


#: The classics, as textbooks have them: the model from which on the outcome that is asked about is possible; None: in none.
CLASSICS = {
    "SB": Model.TSO, "SB+mfences": None, "SB+mfence+po": Model.TSO, "SB+xchgs": None, "SB+locked-elsewhere": None,
    "SB+sfences": Model.TSO, "SB+rfi-pos": Model.TSO, "SB+youngest": None, "MP": Model.PSO, "MP+sfence+po": None,
    "MP+lock+po": None, "MP+spin": Model.PSO, "LB": None, "LB+cmpxchgs": None, "S": Model.PSO, "S+sfence+po": None, "R": Model.TSO,
    "R+po+mfence": Model.PSO, "R+mfences": None, "2+2W": Model.PSO, "2+2W+sfences": None, "2+2W+xchgs": None, "IRIW": None,
    "IRIW+internal": None, "WRC": None, "WRC+xadd": None, "CoRR": None, "INC": Model.SC, "INC+locks": None,
}
#: The same for interrupts: in xAPIC mode, and in x2APIC mode.
INTERRUPTS = {
    "MP+ipi": (None, Model.TSO), "MP+ipi+mfence": (None, None), "MP+ipi+lfence": (None, Model.TSO), "MP+ipi+lock": (None, None),
    "MP+ipi+xchg": (None, None), "MP+ipi-self": (None, None), "WRC+ipi": (None, Model.TSO), "SB+ipi": (None, Model.TSO),
    "scf-in": (None, None), "scf-out": (Model.PSO, Model.PSO), "coalesce": (None, None), "coalesce-1": (Model.SC, Model.SC),
    "coalesce-2": (Model.SC, Model.SC), "sti-cli": (None, None), "sti-nop-cli": (Model.SC, Model.SC), "sti-hlt": (None, None),
    "hlt": (Model.SC, Model.SC), "cli": (None, None),
}
_ORDER = list(Model)


def possible(name, model, mode=None):
    test = read_test(SHIPPED / f"{name}.litmus")
    return any(map(test.asked, final_states(test, model, mode)))


@pytest.mark.parametrize("name", CLASSICS)
def test_classics(name):
    first = CLASSICS[name]
    assert [possible(name, model) for model in Model] == [
        first is not None and _ORDER.index(model) >= _ORDER.index(first) for model in Model]


@pytest.mark.parametrize("name", INTERRUPTS)
@pytest.mark.parametrize("mode", Mode)
def test_interrupts(name, mode):
    first = INTERRUPTS[name][list(Mode).index(mode)]
    assert [possible(name, model, mode) for model in Model] == [
        first is not None and _ORDER.index(model) >= _ORDER.index(first) for model in Model]


def test_a_fence_for_stores_holds_an_interrupt_back_only_where_it_waits():
    """Under PSO it waits until the buffer is empty, so the interrupt behind it comes late, too; under TSO it does nothing."""
    assert [possible("MP+ipi+sfence", model, Mode.X2APIC) for model in Model] == [False, True, False]


def test_the_shipped_verdicts_are_those_of_the_models():
    expected = read_expected(SHIPPED / "expected.csv")
    for path in sorted(SHIPPED.glob("*.litmus")):
        test = read_test(path)
        for mode in test.modes or (None,):
            states = [final_states(test, model, mode) for model in Model]
            assert states[0] <= states[1] and (test.name == "MP+ipi+sfence" or states[1] <= states[2])
            for model, found in zip(Model, states, strict=True):
                assert expected.proposition(test, model, mode) is test.proposition(found), (path.name, model, mode)


# --- a second opinion -------------------------------------------------------------------------------------------------


def agrees(path):
    """Whether two enumerators agree on a file, under every model; None if one of them does not know its instructions."""
    test = read_test(path)
    try:
        return all(outcomes(test, model) == final_states(test, model) for model in Model)
    except KeyError:
        return None


def test_the_axioms_agree_on_the_shipped_tests():
    opinions = {path.stem: agrees(path) for path in sorted(SHIPPED.glob("*.litmus"))}
    assert False not in opinions.values(), opinions
    assert sum(map(bool, opinions.values())) > 15


def test_the_axioms_would_see_a_difference(monkeypatch):
    """Of an enumerator whose fences do nothing."""
    monkeypatch.setattr(_Machine, "_step", _without_fences(_Machine._step))
    assert agrees(SHIPPED / "SB+mfences.litmus") is False


def _without_fences(step):
    def faulty(self, memory, core, program):
        if type(program.steps[core.pc]).__name__ == "Fence":
            return memory, core._replace(pc=core.pc + 1)
        return step(self, memory, core, program)

    return faulty


def outside(pattern):
    return [path for folder in COLLECTIONS for path in sorted(folder.rglob(pattern))]


@pytest.mark.skipif(not COLLECTIONS, reason="CROSSCALL_LITMUS does not name folders of litmus tests")
def test_the_axioms_agree_on_outside_collections():
    for path in outside("*.litmus"):
        assert agrees(path) is not False, path.name


@pytest.mark.skipif(not COLLECTIONS, reason="CROSSCALL_LITMUS does not name folders of litmus tests")
def test_the_models_agree_with_the_verdicts_of_outside_collections():
    for verdicts in outside("expected.csv"):
        with verdicts.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {row["file"] for row in rows} == {path.name for path in verdicts.parent.glob("*.litmus")}
        for row in rows:
            test = read_test(verdicts.parent / row["file"])
            assert test.proposition(final_states(test, Model.TSO)) == (row["proposition_holds"] == "1"), row["file"]
