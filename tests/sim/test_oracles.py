"""Each property with a run that has it and runs that have not: an oracle that cannot fail proves nothing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rtl.apic.message import DeliveryMode
from rtl.events import Event, Whom
from rtl.memory.port import MemoryOp
from sim.calls import CallTracker
from sim.engines.engine import Ending
from sim.oracles import ORACLES, Verdict, Violation, make_oracles
from sim.oracles.oracle import key_of, listed, listing

from .judging import CALL, found, judge, verdict
from .streams import LOCK, SINGLE, WAIT, Stream


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def cfd(stream):
    return stream.address("cfd_data[0]")


@pytest.mark.parametrize("n_cores", [2, 3, 4, 8, 32, 64])
def test_a_correct_run_has_every_property(n_cores):
    stream = Stream(n_cores)
    for caller in range(n_cores):
        stream.single(caller, (caller + 1) % n_cores, info=caller)
        for wait in (True, False):
            stream.many(caller, [core for core in range(n_cores) if core != caller], wait=wait, info=caller)
    assert judge(stream).violations == []


def test_names():
    names = [oracle.name for oracle in ORACLES]
    assert names == ["O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "O9", "O10", "O11", "O12", "SENT", "WHERE", "RESULT",
                     "HOTPLUG", "DATA", "REST", "LOCK", "LOCKORDER", "GRACE", "WARN", "TRAP", "EXPECT"]
    assert all(oracle.title and oracle.title[-1] != "." for oracle in ORACLES)


def test_an_oracle_alone_sees_what_it_sees_in_the_jury(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.leave_call(0)
    oracle = make_oracles(stream.config, stream.image)[0]
    tracker = CallTracker.for_image(stream.config, stream.image)
    for record in stream.records:
        tracker.add(record)
        oracle.add(record, tracker)
    assert oracle.violations == judge(stream, Ending.LIMIT).violations
    assert oracle.violations[0].to_json()["calls"] == ("0.0",)


def test_violations_come_by_clock(stream):
    stream.lock(1, "call_function.lock")
    stream.lock(1, "call_function.lock")
    stream.run(0)
    assert [item.oracle for item in judge(stream, Ending.LIMIT).violations] == ["LOCK", "O2"]


def test_a_core_is_concerned_once(stream):
    """It takes a lock that it holds itself. Sentences name it twice; waves have only the sentence."""
    stream.lock(1, "call_function.lock")
    stream.lock(1, "call_function.lock")
    [item] = judge(stream, Ending.LIMIT).violations
    assert item.cores == (1,) and listed(item.sentence) == [1]
    assert listed(f"{listing([2, 3, 12])} wait for {listing([1])}, and core 3 for core 4") == [2, 3, 12, 1, 4]


# --- the four verdicts ------------------------------------------------------------------------------------------------


def test_nothing_is_said_to_hold_that_has_seen_nothing(stream):
    oracles = {oracle.name: oracle for oracle in judge(stream).oracles}
    assert {name for name, oracle in oracles.items() if oracle.verdict is Verdict.HOLDS} == {"REST", "WARN", "TRAP"}
    assert {name for name, oracle in oracles.items() if oracle.verdict is Verdict.NOT_JUDGED} == {"HOTPLUG"}
    idle = [oracle for oracle in oracles.values() if oracle.verdict is Verdict.NOT_EXERCISED]
    assert len(idle) == len(ORACLES) - 4 and not any(oracle.exercised for oracle in idle)


def test_what_holds_says_how_often(stream):
    stream.many(0, [1, 2])
    stream.many(1, [0, 2, 3], wait=False)
    stream.single(2, 3)
    counts = {oracle.name: oracle.exercised for oracle in judge(stream).oracles if oracle.verdict is Verdict.HOLDS}
    # O1: calls that wait. O2, O8, WHERE: functions that began. O3, O9: calls. O5: refs stored. O4: entries in and out.
    assert counts | {"O4": 6, "O1": 2, "O2": 6, "O3": 3, "O5": 7, "O6": 2, "O7": 3, "O8": 6, "O9": 3, "WHERE": 6, "RESULT": 1,
                     "DATA": 6} == counts


#: What the protocol does not say -> who then does not judge. All others say the same as ever.
UNSAID = {
    ("QUEUE",): {"O4", "O7"},
    ("DEQUEUE",): set(),
    ("LIST_DEL",): set(),
    ("DEQUEUE", "LIST_DEL"): {"O4"},
    ("CSD_UNLOCK", "COMPLETE", "DEQUEUE"): {"O6", "O7"},
    ("CSD_UNLOCK",): {"O6"},
    ("REFS",): {"O5"},
    ("VISIT",): {"O10"},
    ("CSD_LOCK",): {"O11"},
    ("LOCK_TRY", "LOCKED"): {"LOCK", "LOCKORDER"},
    ("UNLOCK",): {"LOCK", "LOCKORDER"},
    ("REQUEST",): {"O1", "O2", "O3", "O8", "O9", "RESULT", "DATA"},
    ("RUN",): {"O1", "O2", "O3", "O8", "O9", "WHERE", "DATA"},
    ("RAN",): {"O1", "O2", "O3", "O8", "O9", "WHERE", "DATA"},
    ("CALL", "TARGET", "TARGETS", "CSD_LOCK", "QUEUE", "NOIPI", "IPI_MASK", "WAIT", "WOKEN", "RETURN", "HANDLE", "DEQUEUE_EMPTY",
     "VISIT", "TAKE", "DEQUEUE", "REFS", "LIST_DEL", "CSD_UNLOCK", "FUNC_ENTRY", "FUNC_EXIT", "COMPLETE", "HANDLE_END", "LOCK_TRY",
     "LOCKED", "UNLOCK", "WARN"): {"SENT", "O4", "O5", "O6", "O7", "O10", "O11", "LOCK", "LOCKORDER"},
}


@pytest.mark.parametrize("unsaid", UNSAID, ids=" ".join)
def test_nobody_is_accused_for_what_he_does_not_say(unsaid):
    """And an oracle that lacks an event says which."""
    stream = Stream(unsaid=unsaid)
    for wait in (True, False):
        stream.many(0, [1, 2], wait=wait)
        stream.many(1, [0, 2, 3], wait=wait, info=9)
    stream.single(2, 3)
    jury = judge(stream)
    assert jury.violations == []
    silent = {oracle.name: oracle.lacks for oracle in jury.oracles if oracle.verdict is Verdict.NOT_JUDGED}
    assert silent.keys() - {"HOTPLUG"} == UNSAID[unsaid]
    for name in UNSAID[unsaid]:
        assert any(event in sentence for event in unsaid for sentence in silent[name])


# --- what the calls owe -----------------------------------------------------------------------------------------------

# O1


def test_o1_returned_while_another_target_has_not_finished(stream, cfd):
    """The defect of v4: refs counts functions begun."""
    stream.publish(0, [1, 2], cfd)
    stream.say(0, "WAIT", cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.begin(1)
    stream.interrupt(0, 2)
    stream.handle(2, 0, cfd)
    stream.say(0, "WOKEN", cfd)
    end = stream.leave_call(0)
    stream.ran(1)
    assert judge(stream, Ending.LIMIT).violations == [Violation(
        "O1", end, ("0.0",), (1,), f"core 1 had not finished the function when {CALL} returned at clock {end}")]


def test_o1_returned_before_anybody_has_begun(stream, cfd):
    stream.publish(0, [1, 2, 3], cfd)
    stream.interrupt(0, 1)
    stream.handle(1, 0, cfd)
    end = stream.leave_call(0)
    assert found(stream) == [f"O1: cores 2 and 3 had not finished the function when {CALL} returned at clock {end}"]


@pytest.mark.parametrize("event", ["WAIT", "WOKEN"])
def test_o1_does_not_believe_what_the_protocol_says_of_waiting(stream, cfd, event):
    """A wait that is a no-op accuses nobody of a call that need not wait, and excuses nobody of one that must."""
    stream.publish(0, [1], cfd, wait=False)
    stream.say(0, event, cfd)
    stream.leave_call(0)
    stream.publish(1, [2], stream.address("cfd_data[1]"), info=6)
    stream.say(1, event, cfd)
    end = stream.leave_call(1)
    call = CALL.replace("0.0", "1.0").replace("core 0", "core 1")
    assert found(stream) == [f"O1: core 2 had not finished the function when {call} returned at clock {end}"]


def test_o1_a_call_that_does_not_wait_may_return(stream, cfd):
    stream.publish(0, [1, 2], cfd, wait=False)
    stream.leave_call(0)
    assert found(stream) == []
    assert verdict(stream, "O1", Ending.LIMIT) == ("not exercised", 0, [])


def test_o1_what_the_caller_runs_itself_is_over_when_it_returns(stream):
    """on_each_cpu(), whether it waits or not."""
    stream.ask(0, Whom.OTHERS, here=True, returns=True)
    for core in (1, 2, 3):
        stream.run(core)
    end = stream.result(0)
    assert found(stream) == [f"O1: core 0 had not finished the function when call 0.0 each from core 0 returned at clock {end}"]


def test_o1_a_core_that_left_is_not_waited_for(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.say(2, "OFFLINE", b=0b100)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.run(1)
    stream.leave_call(0)
    assert found(stream) == []


def test_o1_a_core_that_came_in_the_middle_need_not_be_waited_for(stream, cfd):
    stream.say(2, "OFFLINE", b=0b100)
    stream.publish(0, [1, 2], cfd)
    stream.say(2, "ONLINE", b=0b100)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.run(1)
    stream.leave_call(0)
    assert found(stream) == []


def test_o1_who_has_begun_is_waited_for_whoever_it_is(stream, cfd):
    """A core that came in the middle, and runs the function."""
    stream.say(2, "OFFLINE", b=0b100)
    stream.publish(0, [1, 2], cfd)
    stream.say(2, "ONLINE", b=0b100)
    for core in (1, 2):
        stream.interrupt(0, core)
        stream.take(core, 0, cfd)
        stream.begin(core)
    stream.ran(1)
    end = stream.leave_call(0)
    assert found(stream) == [f"O1: core 2 had not finished the function when {CALL} returned at clock {end}"]


# O2


def test_o2_a_target_runs_the_function_again(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    first = stream.begin(1)
    stream.ran(1)
    again = stream.begin(1)
    assert found(stream) == [f"O2: core 1 ran the function of {CALL} again at clock {again}, after it had at clock {first}"]


def test_o2_somebody_else_runs_the_function(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 3)
    stream.take(3, 0, cfd)
    clock = stream.begin(3)
    assert found(stream) == [f"O2: core 3 ran the function of {CALL} at clock {clock}, but is not one of its targets"]


def test_o2_the_caller_is_none_of_its_targets(stream, cfd):
    """Whatever the mask says: smp_call_function_many() ignores the own core."""
    stream.ask(0, Whom.MASK, 0b111)
    clock = stream.begin(0)
    assert found(stream) == [
        f"O2: core 0 ran the function of call 0.0 many from core 0 at clock {clock}, but is not one of its targets"]


def test_o2_a_function_for_no_call(stream):
    stream.accept(1)
    clock = stream.begin(1)
    assert found(stream) == [f"O2: core 1 ran func_nop at clock {clock} for no call"]


def test_o2_before_the_call_begins_nobody_is_owed_anything(stream):
    stream.request(0)
    clock = stream.begin(1)
    stream.issue(0, Whom.MASK, 0b10)
    assert found(stream) == [f"O2: core 1 ran func_nop at clock {clock} for no call"]


def test_o2_after_the_routine_has_failed_nobody_runs_the_function(stream):
    stream.say(2, "OFFLINE", b=0b100)
    stream.ask(0, Whom.TARGET, target=2, fails=True)
    stream.say(2, "ONLINE", b=0b100)
    stream.result(0, -6)
    clock = stream.begin(2)
    assert found(stream) == [
        f"O2: core 2 ran the function of call 0.0 single from core 0 at clock {clock}, which no longer expects it"]


def test_o2_a_function_of_ones_own_that_says_nothing_is_not_judged():
    stream = Stream()
    stream.image = replace(stream.image, entries=stream.image.entries | {"handler"})
    stream.say(1, "FUNC_ENTRY", stream.image.symbols["handler"], 5)
    stream.say(1, "FUNC_EXIT")
    assert verdict(stream, "O2") == ("not exercised", 0, [])


# O3


def test_o3_a_target_that_never_ran(stream, cfd):
    stream.publish(0, [1, 2], cfd, wait=False)
    stream.interrupt(0, 1)
    stream.handle(1, 0, cfd)
    stream.leave_call(0)
    stream.accept(2)
    stream.say(2, "HANDLE", b=SINGLE)
    end = stream.say(2, "IRET") + 1
    assert [item for item in judge(stream).violations if item.oracle == "O3"] == [
        Violation("O3", end, ("0.0",), (2,), f"{CALL} is lost: core 2 never finished the function")]


def test_o3_a_function_that_never_ended(stream, cfd):
    stream.publish(0, [1], cfd, wait=False)
    stream.leave_call(0)
    stream.begin(1)
    assert found(stream, Ending.QUIET, only="O3") == [f"O3: {CALL} is lost: core 1 never finished the function"]


def test_o3_a_protocol_that_does_nothing_at_all(stream):
    stream.ask(0, Whom.OTHERS, returns=True)
    stream.result(0)
    assert found(stream, Ending.QUIET, only="O3") == [
        "O3: call 0.0 all from core 0 is lost: cores 1, 2 and 3 never finished the function"]


def test_o3_a_waiter_that_was_never_woken(stream):
    stream.single(0, 1)
    del stream.records[-3:]
    assert found(stream, Ending.QUIET, only="O3") == ["O3: call 0.0 smp_call_function_single from core 0 was never woken"]


def test_o3_a_call_that_never_returned(stream):
    stream.ask(0, Whom.MASK, 0)
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    assert found(stream, Ending.QUIET, only="O3") == [f"O3: {CALL} never returned"]


def test_o3_a_refused_call_owes_nothing(stream):
    stream.ask(0, Whom.TARGET, target=9, fails=True, wait=True)
    stream.result(0, -6)
    assert found(stream, Ending.QUIET) == []
    assert verdict(stream, "O3") == ("holds", 1, [])


@pytest.mark.parametrize("ending", [Ending.TRAP, Ending.LIMIT, Ending.STOPPED])
@pytest.mark.parametrize("name", ["O3", "O9", "DATA", "REST"])
def test_a_run_that_has_not_come_to_rest_is_not_judged_at_its_end(stream, cfd, name, ending):
    stream.publish(0, [1, 2], cfd)
    assert found(stream, ending) == []
    assert verdict(stream, name, ending) == ("not judged", 0, ["a run that comes to rest"])


# O8


@pytest.mark.parametrize("func, info, ran", [("func_add", 5, "func_add(0x5)"), ("func_nop", 6, "func_nop(0x6)")])
def test_o8_what_nobody_asked_for(stream, cfd, func, info, ran):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    clock = stream.begin(1, func=func, info=info)
    assert found(stream) == [f"O8: core 1 ran {ran} at clock {clock}, which no call requested; {CALL} requested func_nop(0x5)"]


@pytest.mark.parametrize("func, info", [("func_add", 5), ("func_nop", 6)])
def test_o8_what_a_later_use_asks_for_is_run_twice(stream, cfd, func, info):
    """v4 unlocks before it calls: func and info of the next use, read too late. The next use is then run again, and the first
    never."""
    stream.publish(0, [1], cfd, wait=False)
    stream.leave_call(0)
    stream.publish(0, [1], cfd, func=func, info=info, wait=False)
    stream.leave_call(0)
    first = stream.begin(1, func=func, info=info)
    stream.ran(1)
    again = stream.begin(1, func=func, info=info)
    stream.ran(1)
    call = CALL.replace("0.0", "0.1")
    assert found(stream, Ending.QUIET, only="O2") == [
        f"O2: core 1 ran the function of {call} again at clock {again}, after it had at clock {first}"]
    assert found(stream, Ending.QUIET, only="O3") == [f"O3: {CALL} is lost: core 1 never finished the function"]
    assert verdict(stream, "O8") == ("holds", 2, [])


# O9


def o9(stream, ending=Ending.QUIET):
    return found(stream, ending, only="O9")


def test_o9_a_target_that_is_never_interrupted(stream, cfd):
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.say(1, "IRET")
    stream.publish(0, [1], cfd, wait=False)
    end = stream.leave_call(0) + 1
    issued = next(record.clock for record in stream.records if key_of(record) is Event.ISSUE)
    assert [item for item in judge(stream).violations if item.oracle == "O9"] == [Violation(
        "O9", end, ("0.0",), (1,), f"core 1 was never interrupted after {CALL} began at clock {issued}")]


def test_o9_an_interrupt_is_enough(stream, cfd):
    stream.publish(0, [1], cfd, wait=False)
    stream.leave_call(0)
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.say(1, "IRET")
    assert o9(stream) == []
    assert verdict(stream, "O9") == ("holds", 1, [])


def test_o9_a_handler_that_was_under_way_and_ran_it_is_enough(stream, cfd):
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.publish(0, [1], cfd, wait=False)
    stream.take(1, 0, cfd)
    stream.run(1)
    stream.leave_call(0)
    assert o9(stream) == []


def test_o9_the_caller_needs_no_interrupt_for_its_own_part(stream):
    stream.ask(0, Whom.NOBODY, here=True, returns=True)
    stream.result(0)
    assert o9(stream) == []
    assert verdict(stream, "O9") == ("not exercised", 0, [])


# WHERE


def test_where_interrupts_are_off(stream, cfd):
    stream.publish(0, [1], cfd)
    clock = stream.begin(1, enabled=True)
    assert found(stream) == [f"WHERE: core 1 ran func_nop at clock {clock} with interrupts on"]


def test_where_in_the_middle_of_another_function(stream, cfd):
    """Its handler was left in the middle, or opened interrupts."""
    stream.publish(0, [1], cfd)
    stream.publish(2, [1], stream.address("cfd_data[2]"), info=6)
    stream.begin(1)
    clock = stream.begin(1, info=6)
    assert found(stream) == [f"WHERE: core 1 ran func_nop at clock {clock} in the middle of another function"]


def test_where_a_function_that_calls_its_own_core_is_no_other(stream, cfd):
    """func_nested to the own core, which a protocol may run on the spot."""
    stream.publish(0, [1], cfd)
    stream.begin(1)
    stream.ask(1, Whom.TARGET, target=1, func="func_add", info=6)
    stream.run(1, func="func_add", info=6)
    stream.result(1)
    stream.ran(1)
    assert found(stream) == []
    assert verdict(stream, "WHERE") == ("holds", 2, [])


def test_where_a_lock_that_is_held_is_told_and_not_judged(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.lock(1, "call_function.lock")
    stream.run(1)
    stream.unlock(1, "call_function.lock")
    stream.run(2)
    assert found(stream) == []
    assert judge(stream).facts()["functions_under_lock"] == 1


# RESULT


@pytest.mark.parametrize("target, offline, value, wanted", [
    (1, False, 0, None), (1, False, -6, "-6, not 0"), (1, False, 1, "1, not 0"), (9, False, -6, None),
    (9, False, 0, "0, not -ENXIO"),
    (1, True, -6, None), (1, True, 0, "0, not -ENXIO"), (1, True, -22, "-22, not -ENXIO")])
def test_result_of_a_call_that_may_fail(stream, target, offline, value, wanted):
    if offline:
        stream.say(1, "OFFLINE", b=0b10)
    stream.ask(0, Whom.TARGET, target=target, fails=True)
    end = stream.result(0, value)
    sentence = f"RESULT: call 0.0 single from core 0 returned {wanted[:wanted.index(',')]} at clock {end}" if wanted else ""
    assert found(stream) == ([sentence + wanted[wanted.index(","):]] if wanted else [])
    assert verdict(stream, "RESULT", Ending.LIMIT) == ("violated" if wanted else "holds", 1, [])


@pytest.mark.parametrize("event", ["ONLINE", "OFFLINE"])
@pytest.mark.parametrize("value", [0, -6])
def test_result_of_a_call_to_a_core_that_comes_or_goes_may_be_either(stream, event, value):
    if event == "ONLINE":
        stream.say(1, "OFFLINE", b=0b10)
    stream.ask(0, Whom.TARGET, target=1, fails=True)
    stream.say(1, event, b=0b10)
    stream.result(0, value)
    assert found(stream) == []


def test_result_of_a_call_that_cannot_fail(stream):
    stream.ask(0, Whom.OTHERS, returns=True)
    end = stream.result(0, -6)
    assert found(stream) == [f"RESULT: call 0.0 all from core 0 returned -6 at clock {end}, not 0"]


def test_result_of_a_call_that_returns_nothing_is_not_judged(stream, cfd):
    stream.publish(0, [1], cfd, wait=False)
    stream.leave_call(0, 99)
    assert found(stream) == []
    assert verdict(stream, "RESULT") == ("not exercised", 0, [])


# --- what the protocol says it does -----------------------------------------------------------------------------------

# O4

def test_o4_added_twice(stream, cfd):
    first = stream.publish(0, [1, 2], cfd)
    again = stream.say(0, "QUEUE", 0, cfd)
    assert found(stream) == [f"O4: core 0 queued cfd_data[0].csd at clock {again}, which has been queued since clock {first}"]


def test_o4_deleted_twice(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    first = stream.say(1, "LIST_DEL", cfd)
    again = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O4: core 1 unlinked cfd_data[0].csd at clock {again}, which has been unlinked since clock {first}"]


def test_o4_dequeued_without_having_been_queued(stream):
    stream.accept(1)
    clock = stream.say(1, "DEQUEUE", stream.address("csd_data[0]"))
    assert found(stream) == [f"O4: core 1 unlinked csd_data[0] at clock {clock}, which was never queued"]


def test_o4_a_dequeue_and_its_list_del_are_one_deletion(stream):
    csd = stream.address("csd_data[0]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "QUEUE", 0, csd)
    stream.say(1, "DEQUEUE", csd)
    stream.say(1, "LIST_DEL", csd)
    assert found(stream) == []
    again = stream.say(1, "LIST_DEL", csd)
    assert found(stream) == [f"O4: core 1 unlinked csd_data[0] at clock {again}, which has been unlinked since clock {again - 2}"]


@pytest.mark.parametrize("place", ["csd_data[2]", "cfd_data[2]"])
def test_o4_an_entry_that_is_its_own_successor(stream, place):
    csd = stream.address(place)
    stream.store(0, csd, csd)
    assert found(stream) == []
    stream.say(0, "QUEUE", 0, csd, store=(csd, 16))
    assert found(stream, Ending.STOPPED) == []
    clock = stream.store(0, csd, csd)
    stream.read(1, csd)
    name = stream.image.name_of(csd).removesuffix(".list.next")
    assert found(stream, Ending.STOPPED) == [f"O4: core 0 made {name} its own successor at clock {clock}"]


def test_o4_an_empty_head_is_its_own_successor(stream):
    stream.store(0, 16, 16)
    assert found(stream) == []


def test_o4_a_walk_that_ends_in_the_middle(stream, cfd):
    stream.accept(2)
    stream.say(2, "HANDLE")
    stream.say(2, "VISIT", cfd, 16)
    clock = stream.say(2, "HANDLE_END")
    assert found(stream) == [f"O4: core 2 left its handler at clock {clock} in the middle of the queue, at cfd_data[0].csd"]


def test_o4_a_walk_inside_a_walk(stream, cfd):
    """A function that opens interrupts: the inner walk ends at the head, the outer goes on where it was."""
    stream.accept(2)
    stream.say(2, "HANDLE")
    stream.say(2, "VISIT", cfd, 16)
    stream.accept(2, SINGLE)
    stream.say(2, "HANDLE")
    stream.leave(2)
    clock = stream.say(2, "HANDLE_END")
    assert found(stream) == [f"O4: core 2 left its handler at clock {clock} in the middle of the queue, at cfd_data[0].csd"]


def test_o4_without_list_del_a_taken_entry_may_be_queued_again(cfd):
    """Nobody knows when it was unlinked; one that nobody took still is in its list."""
    stream = Stream(unsaid=["LIST_DEL"])
    for _ in range(2):
        stream.publish(0, [1], cfd)
        stream.interrupt(0, 1)
        stream.take(1, 0, cfd)
    assert found(stream, only="O4") == []
    stream.publish(0, [1], cfd)
    again = stream.say(0, "QUEUE", 0, cfd)
    assert found(stream, only="O4") == [
        f"O4: core 0 queued cfd_data[0].csd at clock {again}, which has been queued since clock {again - 1}"]


# O5

def test_o5_below_zero(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.store(1, cfd + 6, 0)
    stream.take(1, 0, cfd)
    clock = stream.clock
    assert found(stream) == [f"O5: core 1 took refs of cfd_data[0].csd to -1 at clock {clock}"]


def test_o5_deleted_with_a_target_to_come(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O5: core 1 deleted cfd_data[0].csd with refs 1 and mask 0x4 at clock {clock}"]


def test_o5_deleted_with_a_bit_set(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.store(1, cfd + 6, 1)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O5: core 1 deleted cfd_data[0].csd with refs 0 and mask 0x4 at clock {clock}"]


def test_o5_deleted_too_early_by_count(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.store(1, cfd + 6, 3)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O5: core 1 deleted cfd_data[0].csd with refs 2 and mask 0x0 at clock {clock}"]


def test_o5_the_mask_is_where_the_scenario_put_it(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert found(stream, arena={cfd + 7: 900, 900: 8}) == [
        f"O5: core 1 deleted cfd_data[0].csd with refs 0 and mask 0x8 at clock {clock}"]


def test_o5_a_mask_beside_the_count(stream, cfd):
    """Before v4 the mask was in the struct itself."""
    def inside(kind):
        return replace(kind, fields=tuple(replace(field, points_to=None) for field in kind.fields))

    stream.image = replace(stream.image, structs={name: inside(kind) for name, kind in stream.image.structs.items()})
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.store(1, cfd + 7, 2)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O5: core 1 deleted cfd_data[0].csd with refs 0 and mask 0x2 at clock {clock}"]


@pytest.mark.parametrize("counted", [True, False])
def test_o5_on_a_stack(stream, counted):
    """Only what has had its count stored is known to be counted there."""
    csd, mask = stream.address("stack[0][0]"), stream.address("cfd_mask[0]")
    stream.store(0, csd + 7, mask)
    if counted:
        stream.publish(0, [1, 2], csd)
        stream.interrupt(0, 1)
        stream.take(1, 0, csd)
    else:
        stream.store(0, csd + 6, 1)
        stream.store(0, mask, 4)
    clock = stream.say(1, "LIST_DEL", csd)
    stream.say(1, "LIST_DEL", csd)
    assert found(stream, only="O5") == (
        [f"O5: core 1 deleted the csd at stack[0][0] with refs 1 and mask 0x4 at clock {clock}"] if counted else [])


def test_o5_without_a_count_there_is_nothing_to_judge(stream):
    without(stream, "targets.count")
    stream.many(0, [1, 2])
    assert verdict(stream, "O5") == ("not judged", 3, ["the roles targets.count and targets.mask, beside a csd"])


def without(stream, *roles):
    """Nobody plays these roles."""
    stream.image = replace(stream.image, roles={role: parts for role, parts in stream.image.roles.items() if role not in roles})


# O6

def test_o6_an_unlock_of_what_is_not_locked(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.delete(1, cfd)
    clock = stream.say(1, "CSD_UNLOCK", cfd, 0, store=(cfd + 4, 0))
    assert found(stream) == [f"O6: core 1 unlocked cfd_data[0].csd at clock {clock}, which was not locked"]


def test_o6_without_the_flag_there_is_nothing_to_judge(stream, cfd):
    without(stream, "flag.lock", "flag.wait")
    stream.many(0, [1, 2])
    assert verdict(stream, "O6") == ("not judged", 0, ["the role flag.lock"])
    assert verdict(stream, "O7") == ("not judged", 0, ["the roles flag.wait or flag.lock"])


def test_o6_looks_at_what_was_visible(stream, cfd):
    """Locked when the store was executed, not when it left the buffer."""
    stream.store(0, cfd + 4, LOCK)
    stream.say(1, "CSD_UNLOCK", cfd, 0, store=(cfd + 4, 0), late=True)
    stream.say(2, "CSD_UNLOCK", cfd, 0, store=(cfd + 4, 0))
    clock = stream.drain()
    assert found(stream) == [f"O6: core 1 unlocked cfd_data[0].csd at clock {clock}, which was not locked"]


# O7

def test_o7_a_late_reader_of_a_stack(stream):
    csd = stream.address("stack[0][0]")
    stream.single(0, 1)
    gone = next(record.clock for record in stream.records if key_of(record) is Event.COMPLETE)
    stream.read(0, csd)
    clock = stream.read(2, csd + 3)
    assert judge(stream).violations == [Violation(
        "O7", clock, ("0.0",), (2, 0),
        f"core 2 touched the csd at stack[0][0] at clock {clock}, which core 0 has had back since clock {gone}")]


def given_back(stream, csd):
    """Core 1 has given back a csd of core 0. Returns the clock."""
    stream.publish(0, [1], csd, wait=False)
    stream.interrupt(0, 1)
    stream.take(1, 0, csd)
    return stream.delete(1, csd)


@pytest.mark.parametrize("offset, judged", [(0, False), (1, False), (2, True), (3, True), (4, True)])
@pytest.mark.parametrize("write", [False, True])
def test_o7_what_a_csd_says_of_its_call_is_its_owners_again(stream, cfd, offset, judged, write):
    """Wherever it is. Its links are not: who walks the list may stand on it."""
    back = given_back(stream, cfd)
    clock = stream.store(1, cfd + offset, 0) if write else stream.read(1, cfd + offset)
    assert found(stream, only="O7") == ([
        f"O7: core 1 touched cfd_data[0].csd at clock {clock}, which core 0 has had back since clock {back}"] if judged else [])


def test_o7_its_owner_may_do_as_he_likes(stream, cfd):
    given_back(stream, cfd)
    stream.store(0, cfd + 2, 1)
    stream.store(0, cfd + 4, LOCK)
    assert found(stream, only="O7") == []
    assert verdict(stream, "O7", Ending.LIMIT) == ("holds", 1, [])


def test_o7_a_csd_without_flags_is_given_back_when_its_function_begins(stream):
    csd = stream.address("csd_data[0]")
    stream.ask(0, Whom.TARGET, target=1)
    stream.say(0, "QUEUE", 0, csd)
    stream.interrupt(0, 1, SINGLE)
    stream.say(1, "DEQUEUE", csd)
    stream.read(1, csd + 2)
    assert found(stream) == []
    back = stream.begin(1)
    clock = stream.read(1, csd + 2)
    assert found(stream) == [f"O7: core 1 touched csd_data[0] at clock {clock}, which core 0 has had back since clock {back}"]


@pytest.mark.parametrize("who, judged", [(0b001, False), (0b100, True)])
def test_o7_what_a_core_had_that_is_offline_may_be_filled_by_others(stream, who, judged):
    csd = stream.address("csd_data[0]")
    stream.ask(0, Whom.TARGET, target=1)
    stream.say(0, "QUEUE", 0, csd)
    stream.interrupt(0, 1, SINGLE)
    stream.say(1, "DEQUEUE", csd)
    stream.begin(1)
    stream.say(2, "OFFLINE", 0, who)
    stream.read(1, csd + 2)
    assert bool(found(stream, only="O7")) == judged


def test_o7_a_csd_that_two_cores_queue_has_no_owner(stream):
    """As where each target has one for each caller: who gives it back to whom, nobody knows."""
    csd = stream.address("csd_data[0]")
    for core in (0, 2):
        stream.ask(core, Whom.TARGET, target=1, info=core)
        stream.say(core, "CSD_LOCK", csd, store=(csd + 4, LOCK))
        stream.say(core, "QUEUE", 0, csd)
        stream.interrupt(core, 1, SINGLE)
        stream.say(1, "DEQUEUE", csd)
        stream.say(1, "CSD_UNLOCK", csd, 0, store=(csd + 4, 0))
        if core:
            stream.read(1, csd + 2)
            assert found(stream, only="O7") == []


def test_o7_a_frame_that_goes_while_its_csd_is_queued(stream):
    csd, pointer = stream.address("stack[0][2]"), stream.address("stack_pointer[0]")
    stream.store(0, pointer, csd)
    stream.store(0, pointer, csd + 5)
    stream.ask(0, Whom.TARGET, target=1)
    queued = stream.say(0, "QUEUE", 0, csd)
    clock = stream.store(0, pointer, csd)
    assert found(stream) == [
        f"O7: core 0 popped the csd at stack[0][2] from its stack at clock {clock}, which has been queued since clock {queued}"]


@pytest.mark.parametrize("event", ["DEQUEUE", "LIST_DEL"])
def test_o7_a_frame_may_go_when_its_csd_is_out_of_the_list(stream, event):
    csd, pointer = stream.address("stack[0][2]"), stream.address("stack_pointer[0]")
    stream.store(0, pointer, csd + 5)
    stream.ask(0, Whom.TARGET, target=1)
    stream.say(0, "QUEUE", 0, csd)
    stream.say(1, event, csd)
    stream.store(0, pointer, csd)
    assert found(stream) == []


def test_o7_a_csd_queued_again_may_be_touched(stream):
    csd = stream.address("stack[0][0]")
    stream.single(0, 1)
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "QUEUE", 0, csd)
    stream.read(2, csd + 3)
    assert found(stream) == []


def test_o7_not_before_the_completion(stream):
    csd = stream.address("stack[0][0]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.store(0, csd + 4, WAIT | LOCK)
    stream.say(0, "QUEUE", 0, csd)
    stream.say(1, "CSD_UNLOCK", csd, WAIT, store=(csd + 4, WAIT))
    stream.read(1, csd + 4)
    assert found(stream) == []


# O10

def test_o10_a_walk_in_a_ring(stream, cfd):
    stream.accept(1)
    stream.say(1, "HANDLE")
    for _ in range(64):
        stream.say(1, "VISIT", cfd, 16)
    stream.say(1, "VISIT", 16, 16)
    assert judge(stream).violations == []
    clock = stream.say(1, "VISIT", cfd, 16)
    stream.say(1, "VISIT", cfd, 16)
    jury = judge(stream)
    assert [item.sentence for item in jury.violations] == [
        f"core 1 looks at entry 65 of one walk at clock {clock}; at most 64 are expected"]
    assert jury.facts()["most_visits"] == 66


def test_o10_counts_each_walk_by_itself(stream, cfd):
    for _ in range(3):
        stream.accept(1)
        stream.say(1, "HANDLE")
        stream.say(1, "VISIT", cfd, 16)
        stream.leave(1)
    assert found(stream, max_visits=1) == []
    assert judge(stream, max_visits=1).facts()["most_visits"] == 1
    assert verdict(stream, "O10") == ("holds", 6, [])


def test_o10_has_the_bound_that_it_is_given(stream, cfd):
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.say(1, "VISIT", cfd, 16)
    clock = stream.say(1, "VISIT", cfd, 16)
    assert found(stream, max_visits=2) == []
    assert found(stream, max_visits=1) == [f"O10: core 1 looks at entry 2 of one walk at clock {clock}; at most 1 are expected"]


# O11

def test_o11_an_interrupt_that_calls_in_the_middle_of_a_call(stream):
    csd = stream.address("csd_data[0]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    stream.store(1, csd + 4, 0)
    stream.accept(0)
    stream.say(0, "CALL", 112, 6, at="smp_call_function_single")
    clock = stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    assert judge(stream, Ending.LIMIT).violations == [Violation(
        "O11", clock, ("0.1", "0.0"), (0,),
        f"call 0.1 smp_call_function_single from core 0 locked csd_data[0] at clock {clock}, "
        "in the middle of call 0.0 smp_call_function_single from core 0")]


def test_o11_a_csd_locked_between_the_read_and_the_write(stream):
    csd = stream.address("csd_data[0]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.read(0, csd + 4)
    stream.accept(0)
    stream.say(0, "CALL", 112, 6, at="smp_call_function_single")
    stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    stream.say(0, "RETURN")
    stream.say(0, "IRET")
    clock = stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    assert found(stream) == [
        f"O11: call 0.0 smp_call_function_single from core 0 locked csd_data[0] at clock {clock}, which was locked"]


def test_o11_a_csd_used_again_after_the_call_has_returned(stream):
    csd = stream.address("csd_data[0]")
    for _ in range(2):
        stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
        stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
        stream.say(0, "RETURN")
        stream.store(1, csd + 4, 0)
    assert found(stream) == []


# O12

def test_o12_an_empty_mask(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    clock = stream.say(0, "IPI_MASK", 0, 0xF)
    assert found(stream) == [f"O12: {CALL} gave an empty mask to the APIC at clock {clock}"]


def test_o12_a_core_that_is_not_online(stream):
    clock = stream.say(0, "IPI_MASK", 0b1110, 0b0011)
    assert found(stream) == [f"O12: core 0 gave mask 0xe to the APIC at clock {clock}, in which cores 2 and 3 are not online"]


def test_o12_a_mask_of_cores_that_are_online(stream):
    stream.say(0, "IPI_MASK", 0b110, 0b111)
    assert found(stream) == []


def o12_message(stream, destination, **options):
    stream.send(0, destination)
    return stream.deliver(0, destination, **options)


def test_o12_an_interrupt_to_a_core_that_is_not_online(stream):
    """Whatever the mask was, and whether one was said at all."""
    stream.say(2, "OFFLINE", b=0b100)
    clock = o12_message(stream, 2)
    assert found(stream) == [f"O12: core 0 sent interrupt 0xfc to core 2, which is not online; it arrived at clock {clock}"]


def test_o12_an_interrupt_to_a_core_that_leaves_while_it_is_under_way(stream):
    stream.send(0, 2)
    stream.say(2, "OFFLINE", b=0b100)
    stream.deliver(0, 2)
    stream.send(0, 2)
    stream.say(2, "ONLINE", b=0b100)
    stream.deliver(0, 2)
    assert found(stream) == []
    assert verdict(stream, "O12") == ("holds", 2, [])


def test_o12_an_interrupt_to_nobody(stream):
    clock = o12_message(stream, 9, accepted=False)
    assert found(stream) == [f"O12: core 0 sent interrupt 0xfc to 0x9, which is not a core; it was lost at clock {clock}"]


def test_o12_init_and_startup_go_to_whoever_is_to_come(stream):
    stream.say(2, "OFFLINE", b=0b100)
    o12_message(stream, 2, mode=DeliveryMode.INIT)
    assert found(stream) == []
    assert verdict(stream, "O12") == ("not exercised", 0, [])


# LOCK

def test_lock_held_by_one_at_a_time(stream):
    stream.lock(0, "call_function.lock")
    stream.lock(1, "call_function.lock", taken=True)
    stream.unlock(0, "call_function.lock")
    stream.lock(1, "call_function.lock")
    stream.unlock(1, "call_function.lock")
    assert found(stream) == []


@pytest.mark.parametrize("core", [0, 1])
def test_lock_taken_twice(stream, core):
    held = stream.lock(0, "call_function.lock")
    clock = stream.lock(core, "call_function.lock")
    assert found(stream) == [
        f"LOCK: at clock {clock} core {core} took call_function.lock, which core 0 has held since clock {held}"]


def test_lock_given_back_by_another(stream):
    held = stream.lock(0, "call_function.lock")
    clock = stream.unlock(2, "call_function.lock")
    assert judge(stream).violations == [Violation(
        "LOCK", clock, (), (0, 2),
        f"at clock {clock} core 2 released call_function.lock, which core 0 has held since clock {held}")]


def test_lock_given_back_by_nobody(stream):
    stream.lock(0, "call_function.lock")
    stream.unlock(0, "call_function.lock")
    clock = stream.unlock(2, "call_function.lock")
    assert found(stream) == [f"LOCK: at clock {clock} core 2 released call_function.lock, which nobody holds"]


def test_lock_that_never_says_when_it_is_taken_is_not_judged(stream):
    """Another primitive, and no LOCKED: nobody knows who holds it."""
    for core in (1, 2, 2):
        stream.unlock(core, "call_function.lock")
    assert found(stream) == []
    assert verdict(stream, "LOCK") == ("not exercised", 0, [])


def ticket(stream, core, lock="call_function.lock"):
    """A ticket lock: the number is drawn by FADD, and LOCKED is said when it is served."""
    stream.say(core, "LOCK_TRY", store=(stream.address(lock) + 100, 7), op=MemoryOp.ADD, result=0)
    return stream.say(core, "LOCKED", stream.address(lock))


def test_lock_that_is_no_test_and_set(stream):
    held = ticket(stream, 0)
    stream.unlock(0, "call_function.lock")
    assert found(stream) == []
    held = ticket(stream, 1)
    clock = ticket(stream, 2)
    assert found(stream) == [f"LOCK: at clock {clock} core 2 took call_function.lock, which core 1 has held since clock {held}"]


def test_lock_is_taken_where_its_last_word_says_so(stream):
    """A ticket that is drawn is no lock that is held."""
    stream.say(0, "LOCK_TRY", store=(stream.address("call_function.lock"), 7), op=MemoryOp.ADD, result=0)
    stream.say(1, "LOCK_TRY", store=(stream.address("call_function.lock"), 8), op=MemoryOp.ADD, result=1)
    assert found(stream) == []
    assert verdict(stream, "LOCK") == ("not exercised", 0, [])


# WARN and TRAP

def test_warn_names_the_warning(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "WARN", at="csd_unlock")
    other = stream.say(2, "WARN", at="csd_unlock")
    assert found(stream) == [
        f"WARN: core 1 warned at clock {clock} in {CALL}: csd_unlock_not_locked: csd_unlock() of a csd that is not locked",
        f"WARN: core 2 warned at clock {other}: csd_unlock_not_locked: csd_unlock() of a csd that is not locked"]


def test_trap_says_where(stream):
    clock = stream.say(1, "PANIC", at="handler")
    stream.say(2, "FAULT", at="csd_lock", store=(0xFFFF, 0), op=MemoryOp.READ)
    stream.say(3, "STACK_FAULT", at="reset")
    assert found(stream) == [
        f"TRAP: core 1 stopped at clock {clock} in handler: PANIC: a word that is not code or not an entry point",
        f"TRAP: core 2 stopped at clock {clock + 1} in csd_lock: an access to 0xffff, which is outside memory",
        f"TRAP: core 3 stopped at clock {clock + 2} in reset: its private stack overflowed or underflowed"]


def test_the_documentation_has_every_oracle():
    text = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()
    rows = re.findall(r"^\| (O\d+|[A-Z]{4,7}|LOCKORDER) \| (.*?) \|", text, re.M)
    assert rows == [(oracle.name, oracle.title) for oracle in ORACLES]
