"""The book of what calls owe: who must and who may run what, for which call a run counts, and what may come back."""

from types import SimpleNamespace

import pytest

from rtl.events import Event, Whom, contract_layout
from sim.obligations import Book, Contract, cores_of, judged_functions
from sim.scenarios.contracts import CONTRACTS, contract_of
from sim.scenarios.reader import Command

from .streams import Stream

#: Two functions that say RUN, and one that does not.
FUNC, OTHER, SILENT = 0x70, 0x80, 0x90
INFO = 5


class Scribe(Book):
    """A book that takes a contract by its fields, and counts the clocks itself."""

    def __init__(self, n_cores=4, xlen=16):
        super().__init__(n_cores, xlen, {FUNC, OTHER})
        self.set_online((1 << n_cores) - 1)
        self.clock = 0

    def ask(self, core, whom=Whom.MASK, mask=0, *, func=FUNC, info=INFO, **contract):
        self.clock += 1
        parts = {"known": True, "whom": whom, **dict.fromkeys(("here", "wait", "fails", "returns", "target"), 0), **contract}
        return self.issue(core, func, info, Contract(**parts).encode(), mask, self.clock)

    def begin(self, core, *, func=FUNC, info=INFO, enabled=False, level=1):
        self.clock += 1
        return self.run(core, func, info, self.clock, enabled=enabled, level=level)

    def end(self, core):
        self.clock += 1
        return self.ran(core, self.clock)

    def serve(self, core, **function):
        run = self.begin(core, **function)
        self.end(core)
        return run.obligation

    def back(self, item, value=0):
        self.clock += 1
        self.result(item, value, self.clock)
        return item


@pytest.fixture
def book():
    return Scribe()


# --- contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", [
    Contract(True, Whom.TARGET, False, True, True, False, 255), Contract(False, Whom.NOBODY, True, False, False, True, 0),
    Contract(True, Whom.OTHERS, True, True, False, True, 63)])
def test_a_contract_is_a_word(contract):
    assert Contract.decode(contract.encode()) == contract
    assert Contract.decode(contract.encode() | 1 << contract_layout.size) == contract
    assert contract.encode() < 1 << 16


@pytest.mark.parametrize("whom, asked", [(Whom.NOBODY, 0), (Whom.TARGET, 0b0010), (Whom.MASK, 0b1001), (Whom.OTHERS, 0b1011)])
def test_whom_a_call_is_for(whom, asked):
    """The caller, core 2, is in the mask and is left out; there is no core 4."""
    contract = Contract(True, whom, False, False, False, False, 1)
    assert contract.asked(2, 0b11101, 4) == asked


def test_a_target_may_be_the_caller_or_nobody():
    contract = Contract(True, Whom.TARGET, False, False, False, False, 2)
    assert contract.asked(2, 0, 4) == 0b0100
    assert contract._replace(target=4).asked(2, 0, 4) == contract._replace(target=255).asked(2, 0, 4) == 0


def command(call, **parts):
    return Command(**{"call": call, "func": "nop", "target": 0, "mask": 0, "wait": False, "at": 0, "delay": 0, "repeat": 1,
                      "nested": 0, "frozen": False, **parts})


@pytest.mark.parametrize("call, parts, owes", [
    ("single", {"target": 2, "wait": True}, {"whom": Whom.TARGET, "target": 2, "wait": True, "fails": True}),
    # To the own core: the function is called directly.
    ("single", {"target": 1}, {"here": True, "returns": True, "target": 1}),
    ("single", {"target": 99}, {"whom": Whom.TARGET, "target": 99, "fails": True}),
    ("single", {"target": 300}, {"whom": Whom.TARGET, "target": 255, "fails": True}),
    ("csd", {"target": 1}, {"whom": Whom.TARGET, "target": 1}),
    ("many", {"wait": True}, {"whom": Whom.MASK, "wait": True}),
    ("all", {}, {"whom": Whom.OTHERS, "returns": True}),
    ("each", {"wait": True}, {"whom": Whom.OTHERS, "here": True, "returns": True, "wait": True}),
    ("hold_call_lock", {}, {"here": True}),
    ("cpu_down", {"target": 1}, {"target": 1}),
    ("nothing", {}, {}),
    ("mine", {}, {"known": False}),
    ("mine", {"like": "all"}, {"whom": Whom.OTHERS, "returns": True})])
def test_what_the_calls_of_a_scenario_owe(call, parts, owes):
    """Core 1 asks."""
    wanted = {"known": True, "whom": Whom.NOBODY, **dict.fromkeys(("here", "wait", "fails", "returns"), False), "target": 0}
    assert contract_of(command(call, **parts), 1, Stream().image) == Contract(**wanted | owes)


def test_every_call_has_a_contract_that_is_known():
    assert all(contract.known for contract in CONTRACTS.values())


@pytest.mark.parametrize("unsaid", ["RUN", "RAN", "REQUEST", "ISSUE", "RESULT"])
def test_of_a_function_that_does_not_say_all_nothing_is_known(unsaid):
    image = Stream(unsaid=[unsaid]).image
    assert judged_functions(image) == frozenset()
    assert not contract_of(command("all"), 0, image).known


def test_a_function_must_say_run_with_its_first_word():
    image = Stream().image
    assert judged_functions(image) == {image.symbols["func_nop"], image.symbols["func_add"]}
    late = SimpleNamespace(events={event: {0} for event in Event}, entries={"func_nop"}, symbols={"func_nop": 7})
    assert judged_functions(late) == frozenset()


# --- who must, who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whom, mask, contract, must", [
    (Whom.MASK, 0b1111, {}, 0b0110), (Whom.OTHERS, 0, {}, 0b0110), (Whom.OTHERS, 0, {"here": True}, 0b0111),
    (Whom.TARGET, 0, {"target": 2}, 0b0100), (Whom.TARGET, 0, {"target": 3}, 0), (Whom.NOBODY, 0b1111, {"here": True}, 0b0001),
    (Whom.NOBODY, 0b1111, {}, 0)])
def test_only_cores_that_are_online_owe_anything(book, whom, mask, contract, must):
    """Core 0 asks; core 3 is offline."""
    book.set_offline(0b1000)
    item = book.ask(0, whom, mask, **contract)
    assert item.must == item.may == must
    assert item.unfinished == cores_of(must)


def test_a_core_that_leaves_may_and_need_not(book):
    item = book.ask(0, mask=0b0110, wait=True)
    book.set_offline(0b0100)
    assert (item.must, item.may, item.unfinished) == (0b0010, 0b0110, [1])
    assert book.serve(2) is item
    assert (item.unfinished, item.late) == ([1], [1])


def test_a_core_that_comes_may_and_need_not(book):
    book.set_offline(0b0100)
    item = book.ask(0, mask=0b0110)
    book.set_online(0b0100)
    assert (item.must, item.may, item.unfinished) == (0b0010, 0b0110, [1])
    assert book.serve(2) is item


def test_a_core_that_was_not_asked_for_does_not_become_a_target_by_coming(book):
    book.set_offline(0b1000)
    item = book.ask(0, mask=0b0110)
    book.set_online(0b1000)
    assert item.may == 0b0110
    assert book.serve(3) is None


def test_a_core_that_leaves_and_comes_back_need_not(book):
    """Its queue may be gone."""
    item = book.ask(0, mask=0b0110)
    book.set_offline(0b0100)
    book.set_online(0b0100)
    assert (item.must, item.may) == (0b0010, 0b0110)


def test_the_interval_ends_when_the_routine_is_back(book):
    """Who comes then is no target; who leaves then must all the same: the call is under way to it."""
    book.set_offline(0b1000)
    item = book.back(book.ask(0, Whom.OTHERS))
    book.set_online(0b1000)
    book.set_offline(0b0010)
    assert (item.must, item.may) == (0b0110, 0b0110)


def test_who_came_too_late_to_be_waited_for_comes_too_late(book):
    book.set_offline(0b1100)
    item = book.ask(0, Whom.OTHERS, wait=True)
    book.set_online(0b1100)
    for core in (1, 2):
        book.serve(core)
    book.back(item)
    assert item.may == 0b0110
    assert book.serve(3) is None
    # Without waiting it may be on its way.
    book.set_offline(0b1000)
    item = book.ask(0, Whom.OTHERS)
    book.set_online(0b1000)
    book.back(item)
    assert book.serve(3) is item


# --- for which call a run counts --------------------------------------------------------------------------------------


def test_of_equal_calls_the_oldest_is_served_first(book):
    first, second = (book.ask(caller, mask=0b1100) for caller in (0, 1))
    assert [book.serve(core) for core in (2, 3, 2, 3, 2)] == [first, first, second, second, None]
    assert [sorted(item.runs) for item in (first, second)] == [[2, 3], [2, 3]]


def test_an_older_call_that_a_core_has_served_is_passed_over(book):
    first = book.ask(0, mask=0b0100)
    assert book.serve(2) is first
    second = book.ask(0, mask=0b1100)
    assert book.serve(2) is second
    assert book.serve(3) is second


def test_who_must_comes_before_who_only_may(book):
    """Core 2 came while the first call was under way, which had not seen it: what it runs is for the second."""
    book.set_offline(0b0100)
    first = book.ask(0, mask=0b0110)
    book.set_online(0b0100)
    book.back(first)
    second = book.ask(0, mask=0b0110)
    assert book.serve(2) is second
    assert second.unfinished == [1]
    # It may have seen it all the same.
    assert book.serve(2) is first
    assert book.serve(2) is None
    assert [book.serve(1), book.serve(1)] == [first, second]


@pytest.mark.parametrize("func, info", [(OTHER, INFO), (FUNC, INFO + 1)])
def test_another_function_or_another_info_is_another_call(book, func, info):
    first = book.ask(0, mask=0b0100)
    second = book.ask(1, mask=0b0100, func=func, info=info)
    assert book.serve(2, func=func, info=info) is second
    assert book.serve(2, func=func, info=info) is None
    assert book.serve(2) is first


def test_who_began_and_who_ended(book):
    item = book.ask(0, mask=0b0110, wait=True)
    run = book.begin(1, enabled=True, level=2)
    assert (run.core, run.func, run.info, run.begun, run.enabled, run.level, run.ended) == (1, FUNC, INFO, 2, True, 2, None)
    assert item.runs == {1: run} and (item.begun, item.open, item.unfinished) == (0b0010, 0b0100, [1, 2])
    assert book.running(1) is run
    assert book.end(1) is run and run.ended == 3
    assert (item.open, item.unfinished, book.running(1)) == (0b0100, [2], None)
    assert book.end(1) is None


def test_what_a_core_owes_and_what_was_asked_for(book):
    first, second = book.ask(0, mask=0b0110), book.ask(1, mask=0b0100)
    assert (book.owed_by(2), book.owed_by(3)) == (first, None)
    book.serve(2)
    assert book.owed_by(2) is second
    assert book.asked_for(FUNC, INFO) == [first, second]
    assert book.asked_for(OTHER, INFO) == []
    assert book.obligations == [first, second]


# --- what comes back --------------------------------------------------------------------------------------------------


def test_late_is_who_a_call_that_waits_has_not_waited_for(book):
    item = book.ask(0, mask=0b0110, wait=True)
    book.serve(1)
    book.begin(2)
    assert book.back(item).late == [2]
    book.end(2)
    assert item.late == []


def test_a_call_that_does_not_wait_is_late_only_with_its_own_part(book):
    item = book.ask(0, Whom.OTHERS, here=True)
    assert item.late == [0]
    book.serve(0, level=0)
    assert book.back(item).late == [] and item.unfinished == [1, 2, 3]


def test_the_result_is_signed(book):
    assert book.back(book.ask(0, Whom.TARGET, target=9, fails=True), 0xFFFA).result == -6
    wide = Scribe(xlen=32)
    assert wide.back(wide.ask(0, Whom.TARGET, target=9, fails=True), 0xFFFA).result == 0xFFFA


@pytest.mark.parametrize("moves, results", [([], {0}), (["off"], {0, -6}), (["off", "on"], {0, -6})])
def test_a_target_that_leaves_may_be_refused(book, moves, results):
    item = book.ask(0, Whom.TARGET, target=2, fails=True)
    for move in moves:
        (book.set_offline if move == "off" else book.set_online)(0b0100)
    assert book.back(item).results == results


@pytest.mark.parametrize("moves, results", [([], {-6}), (["on"], {0, -6}), (["on", "off"], {0, -6})])
def test_a_target_that_comes_may_be_refused(book, moves, results):
    book.set_offline(0b0100)
    item = book.ask(0, Whom.TARGET, target=2, fails=True)
    for move in moves:
        (book.set_offline if move == "off" else book.set_online)(0b0100)
    assert book.back(item).results == results


def test_an_absent_target_is_refused(book):
    assert book.back(book.ask(0, Whom.TARGET, target=99, fails=True)).results == {-6}


@pytest.mark.parametrize("contract, results", [({"returns": True}, {0}), ({}, None)])
def test_others_return_0_or_nothing_that_counts(book, contract, results):
    item = book.ask(0, Whom.OTHERS, **contract)
    assert item.results is None
    assert book.back(item).results == results


def test_an_error_closes_the_call(book):
    """It says that nobody runs the function; who has begun has begun."""
    item = book.back(book.ask(0, Whom.TARGET, target=2, fails=True), 0xFFFA)
    assert (item.must, item.may, item.unfinished) == (0, 0, [])
    assert book.serve(2) is None
    item = book.ask(0, Whom.TARGET, target=2, fails=True, info=6)
    book.begin(2, info=6)
    book.back(item, 0xFFFA)
    assert item.unfinished == [2]


def test_what_a_routine_returns_that_cannot_fail_closes_nothing(book):
    item = book.back(book.ask(0, Whom.OTHERS, returns=True), 0xFFFA)
    assert item.must == 0b1110


# --- what nobody knows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [{"known": False}, {"func": SILENT}])
def test_after_a_call_that_nobody_knows_a_run_may_be_for_it(book, parts):
    assert not book.begin(3).excused
    book.end(3)
    assert book.ask(0, mask=0b1000, **parts) is None
    assert book.unknown and book.obligations == []
    assert book.begin(3).excused
    book.end(3)
    # What is owed to a known call is run for it, all the same.
    item = book.ask(0, mask=0b1000)
    run = book.begin(3)
    assert run.obligation is item and not run.excused


# --- functions that call on -------------------------------------------------------------------------------------------


def test_a_function_inside_another(book):
    book.ask(0, mask=0b0010)
    book.ask(2, mask=0b0010, func=OTHER)
    assert not book.begin(1).inside
    inner = book.begin(1, func=OTHER)
    assert inner.inside
    assert book.end(1) is inner
    assert not book.begin(2).inside


def test_what_a_function_calls_may_be_run_in_its_middle(book):
    """If it is for this core, it is run where it was called from."""
    book.ask(0, mask=0b0010)
    outer = book.begin(1)
    item = book.ask(1, Whom.TARGET, target=1, func=OTHER)
    assert outer.calls is item
    inner = book.begin(1, func=OTHER)
    assert inner.obligation is item and not inner.inside
    # Anything else is not.
    book.ask(3, mask=0b0010, func=OTHER, info=6)
    assert book.begin(1, func=OTHER, info=6).inside


@pytest.mark.parametrize("n_cores", [1, 2, 33, 64])
def test_sizes(n_cores):
    book = Scribe(n_cores, 64)
    everybody = (1 << n_cores) - 1
    item = book.ask(n_cores - 1, Whom.OTHERS, here=True)
    assert item.must == everybody
    for core in range(n_cores):
        assert book.serve(core) is item
    assert item.unfinished == [] and item.begun == everybody
