"""Each property with a run that has it and runs that have not: an oracle that cannot fail proves nothing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rtl.events import Event
from rtl.memory.port import MemoryOp
from sim.calls import CallTracker
from sim.engines.engine import Ending
from sim.oracles import ORACLES, Jury, Violation, make_oracles
from sim.oracles.oracle import key_of

from .streams import LOCK, SINGLE, WAIT, Stream

#: As sentences name the call that most of these runs are about.
CALL = "call 0.0 smp_call_function_many from core 0"


def judge(stream, ending=Ending.QUIET, **options):
    """A jury that has seen the whole run."""
    jury = Jury(make_oracles(stream.config, stream.image, **options))
    tracker = CallTracker.for_image(stream.config, stream.image)
    for record in stream.records:
        tracker.add(record)
        jury.add(record, tracker)
    jury.finish(stream.outcome(ending))
    return jury


def found(stream, ending=Ending.LIMIT, **options):
    """["O1: sentence", ...] of everything found in a run that has not come to rest, so that O3 is silent."""
    return [f"{item.oracle}: {item.sentence}" for item in judge(stream, ending, **options).violations]


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
    assert names == ["O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "O9", "O10", "O11", "O12", "LOCK", "WARN", "TRAP"]
    assert all(oracle.title and oracle.title[-1] != "." for oracle in ORACLES)


def test_an_oracle_alone_sees_what_it_sees_in_the_jury(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.say(0, "WAIT", cfd)
    stream.say(0, "WOKEN", cfd)
    oracle = make_oracles(stream.config, stream.image)[0]
    tracker = CallTracker.for_image(stream.config, stream.image)
    for record in stream.records:
        tracker.add(record)
        oracle.add(record, tracker)
    assert oracle.violations == judge(stream, Ending.LIMIT).violations
    assert oracle.violations[0].to_json()["calls"] == ("0.0",)


def test_violations_come_by_clock(stream):
    stream.say(1, "UNLOCK", store=(18, 0))
    stream.say(0, "FUNC_ENTRY", 112, 5)
    assert [item.oracle for item in judge(stream).violations] == ["LOCK", "O2"]


# O1

def test_o1_woken_while_another_target_has_not_finished(stream, cfd):
    """The defect of v4: refs counts functions begun."""
    stream.publish(0, [1, 2], cfd)
    stream.say(0, "WAIT", cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.interrupt(0, 2)
    stream.handle(2, 0, cfd)
    woken = stream.say(0, "WOKEN", cfd)
    stream.say(0, "RETURN")
    stream.run(1)
    assert judge(stream).violations == [Violation(
        "O1", woken, ("0.0",), (1,),
        f"core 1 had not finished the function when {CALL} was woken at clock {woken}")]


def test_o1_returned_without_having_been_woken(stream, cfd):
    stream.publish(0, [1, 2, 3], cfd)
    stream.say(0, "WAIT", cfd)
    stream.interrupt(0, 1)
    stream.handle(1, 0, cfd)
    end = stream.say(0, "RETURN")
    assert found(stream) == [f"O1: cores 2 and 3 had not finished the function when {CALL} returned at clock {end}"]


def test_o1_a_call_that_does_not_wait_may_return(stream, cfd):
    stream.publish(0, [1, 2], cfd, wait=False)
    stream.say(0, "RETURN")
    assert found(stream) == []


def _two_csds(stream, woken):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    for core, csd in ((1, 700), (2, 710)):
        stream.say(0, "TARGET", core)
        stream.say(0, "QUEUE", 0, csd)
    stream.interrupt(0, 1, SINGLE)
    stream.say(1, "DEQUEUE", 700)
    stream.run(1)
    stream.say(0, "WAIT", woken)
    return stream.say(0, "WOKEN", woken)


def test_o1_a_wait_for_one_csd_is_for_its_target(stream):
    _two_csds(stream, 700)
    assert found(stream) == []


def test_o1_a_wait_for_one_csd_whose_target_is_late(stream):
    woken = _two_csds(stream, 710)
    assert found(stream) == [f"O1: core 2 had not finished the function when {CALL} was woken at clock {woken}"]


def test_o1_nobody_waits_for_what_the_caller_runs_itself(stream, cfd):
    stream.say(0, "CALL", 112, 5, at="on_each_cpu")
    stream.say(0, "TARGETS", 0b111)
    stream.many(0, [1, 2])
    stream.run(0)
    stream.say(0, "RETURN")
    assert found(stream) == []


# O2

def test_o2_a_target_runs_the_function_again(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    first = stream.clock + 1
    stream.run(1)
    stream.say(1, "TAKE", cfd, 2)
    again = stream.run(1) - 1
    assert found(stream) == [f"O2: core 1 ran the function of {CALL} again at clock {again}, after it had at clock {first}"]


def test_o2_somebody_else_runs_the_function(stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 3)
    stream.take(3, 0, cfd)
    clock = stream.run(3) - 1
    assert found(stream) == [f"O2: core 3 ran the function of {CALL} at clock {clock}, but is none of its targets"]


def test_o2_a_function_for_no_call(stream):
    stream.accept(1)
    stream.say(1, "DEQUEUE", 700)
    clock = stream.run(1) - 1
    assert found(stream)[1:] == [f"O2: core 1 ran func_nop at clock {clock} for no call"]


# O3

def test_o3_a_target_that_never_ran(stream, cfd):
    stream.publish(0, [1, 2], cfd, wait=False)
    stream.interrupt(0, 1)
    stream.handle(1, 0, cfd)
    stream.say(0, "RETURN")
    stream.accept(2)
    stream.say(2, "HANDLE", b=SINGLE)
    end = stream.say(2, "IRET") + 1
    assert judge(stream).violations == [
        Violation("O3", end, ("0.0",), (2,),
                  f"{CALL} is lost: core 2 never finished the function"),
        Violation("O3", end, (), (), f"cfd_data[0].csd is still locked at the end of the run, at clock {end}")]


def test_o3_a_waiter_that_was_never_woken(stream):
    stream.single(0, 1)
    del stream.records[-2:]
    assert found(stream, Ending.QUIET) == ["O3: call 0.0 smp_call_function_single from core 0 was never woken"]


def test_o3_a_call_that_never_returned(stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    assert found(stream, Ending.QUIET) == ["O3: call 0.0 smp_call_function_single from core 0 never returned"]


def test_o3_a_refused_call_owes_nothing(stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 3)
    stream.say(0, "RETURN", 0xFFFA)
    assert found(stream, Ending.QUIET) == []


@pytest.mark.parametrize("ending", [Ending.TRAP, Ending.LIMIT, Ending.STOPPED])
def test_o3_says_nothing_of_a_run_that_has_not_come_to_rest(stream, cfd, ending):
    stream.publish(0, [1, 2], cfd)
    assert found(stream, ending) == []


# O4

def test_o4_added_twice(stream, cfd):
    first = stream.publish(0, [1, 2], cfd)
    again = stream.say(0, "QUEUE", 0, cfd)
    assert found(stream) == [f"O4: core 0 queued cfd_data[0].csd at clock {again}, which is queued since clock {first}"]


def test_o4_deleted_twice(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    first = stream.say(1, "LIST_DEL", cfd)
    again = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O4: core 1 unlinked cfd_data[0].csd at clock {again}, which is unlinked since clock {first}"]


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
    assert found(stream) == [f"O4: core 1 unlinked csd_data[0] at clock {again}, which is unlinked since clock {again - 2}"]


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

    stream.image = replace(stream.image, objects=tuple(replace(item, type=inside(item.type)) for item in stream.image.objects))
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.store(1, cfd + 7, 2)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert found(stream) == [f"O5: core 1 deleted cfd_data[0].csd with refs 0 and mask 0x2 at clock {clock}"]


# O6

def test_o6_an_unlock_of_what_is_not_locked(stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.delete(1, cfd)
    clock = stream.say(1, "CSD_UNLOCK", cfd, 0, store=(cfd + 4, 0))
    assert found(stream) == [f"O6: core 1 unlocked cfd_data[0].csd at clock {clock}, which was not locked"]


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
        f"core 2 touched the csd at stack[0][0] at clock {clock}, which core 0 has back since clock {gone}")]


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


# O8

@pytest.mark.parametrize("func, info, ran", [("func_add", 5, "func_add(0x5)"), ("func_nop", 6, "func_nop(0x6)")])
def test_o8_what_a_later_use_asks_for(stream, cfd, func, info, ran):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    clock = stream.run(1, func=func, info=info) - 1
    assert found(stream) == [f"O8: core 1 ran {ran} at clock {clock} for {CALL}, which asked for func_nop(0x5)"]


# O9

def test_o9_a_target_that_enters_no_handler(stream, cfd):
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.say(1, "IRET")
    queued = stream.publish(0, [1], cfd, wait=False)
    end = stream.say(0, "RETURN") + 1
    jury = judge(stream)
    assert [item for item in jury.violations if item.oracle == "O9"] == [Violation(
        "O9", end, ("0.0",), (1,),
        f"core 1 entered no handler after {CALL} was queued at clock {queued}")]


def test_o9_a_handler_that_was_entered_is_enough(stream, cfd):
    stream.publish(0, [1], cfd, wait=False)
    stream.say(0, "RETURN")
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.say(1, "IRET")
    assert "O9" not in {item.oracle for item in judge(stream).violations}


def test_o9_a_walk_that_was_under_way_is_enough(stream, cfd):
    stream.accept(1)
    stream.say(1, "HANDLE")
    stream.publish(0, [1], cfd, wait=False)
    stream.take(1, 0, cfd)
    assert "O9" not in {item.oracle for item in judge(stream).violations}


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
    assert jury.facts() == {"most_visits": 66}


def test_o10_counts_each_walk_by_itself(stream, cfd):
    for _ in range(3):
        stream.accept(1)
        stream.say(1, "HANDLE")
        stream.say(1, "VISIT", cfd, 16)
        stream.leave(1)
    assert found(stream, max_visits=1) == []
    assert judge(stream, max_visits=1).facts() == {"most_visits": 1}


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
    assert found(stream) == [f"LOCK: at clock {clock} core {core} took call_function.lock, which core 0 holds since clock {held}"]


def test_lock_given_back_by_another(stream):
    held = stream.lock(0, "call_function.lock")
    clock = stream.unlock(2, "call_function.lock")
    assert judge(stream).violations == [Violation(
        "LOCK", clock, (), (0, 2),
        f"at clock {clock} core 2 gave back call_function.lock, which core 0 holds since clock {held}")]


def test_lock_given_back_by_nobody(stream):
    clock = stream.unlock(2, "call_function.lock")
    assert found(stream) == [f"LOCK: at clock {clock} core 2 gave back call_function.lock, which nobody holds"]


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
        f"TRAP: core 1 stopped at clock {clock} in handler: PANIC, a word that is no code or no entry point",
        f"TRAP: core 2 stopped at clock {clock + 1} in csd_lock: an access at 0xffff, which is no memory",
        f"TRAP: core 3 stopped at clock {clock + 2} in reset: its private stack ran over or under"]


def test_the_documentation_has_every_oracle():
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    assert re.findall(r"^\| (O\d+|[A-Z]{4}) \| (.*?) \|", text, re.M) == [(oracle.name, oracle.title) for oracle in ORACLES]
