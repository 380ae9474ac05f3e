"""Who a record belongs to, and what a call says about itself."""

import json

import pytest

from rtl.apic.message import DeliveryMode, Shorthand
from rtl.config import MachineConfig
from rtl.events import ApicEvent, Event, Whom
from rtl.memory.port import MemoryOp
from sim.calls import CallTracker, Stage
from sim.records import ApicRecord, CommitRecord, CoreRecord

from .streams import MANY, SINGLE, Stream


def test_a_call_of_many_is_followed_from_call_to_return():
    stream = Stream()
    end = stream.many(0, [1, 2])
    [call] = stream.tracked().calls
    first, second = call.visits[1], call.visits[2]
    assert call.to_json() == {
        "id": "0.0", "kind": "smp_call_function_many", "name": "smp_call_function_many", "caller": 0, "targets": [1, 2],
        "wait": True, "func": "func_nop", "info": 5, "csd": stream.address("cfd_data[0]"), "generation": 1,
        "entries": [{"csd": stream.address("cfd_data[0]"), "generation": 1, "target": None}],
        "stages": {"call": 2, "lock": 5, "queue": 9, "wait": 14, "woken": 38, "return": 40},
        "per_target": {
            "1": {"ipi": 10, "noipi": None, "delivered": 11, "gotipi": 15, "empty": None, "handle": 18, "unlock": None, "entry": 20,
                  "exit": 21, "complete": None},
            "2": {"ipi": 12, "noipi": None, "delivered": 13, "gotipi": 25, "empty": None, "handle": 28, "unlock": 31, "entry": 32,
                  "exit": 33, "complete": 34},
        },
        "latency": 38, "completion": 31, "result": 0,
    }
    assert json.loads(json.dumps(call.to_json())) == call.to_json()
    assert end == 40 and call.over and (first.runs, second.runs) == (1, 1)
    assert str(call) == "call 0.0 smp_call_function_many from core 0"


def test_stages_that_were_not_reached_are_none():
    stream = Stream()
    stream.publish(0, [1, 2], stream.address("cfd_data[0]"))
    stream.send(0, 1)
    data = stream.tracked().calls[0].to_json()
    assert data["stages"] == {"call": 2, "lock": 5, "queue": 9, "wait": None, "woken": None, "return": None}
    assert data["per_target"]["1"]["ipi"] == 10
    assert set(data["per_target"]["2"].values()) == {None}
    assert (data["wait"], data["latency"], data["completion"], data["result"]) == (True, None, None, None)


def test_ordinals_count_per_caller():
    stream = Stream()
    stream.single(0, 1)
    stream.single(1, 0)
    stream.single(0, 1)
    assert [call.id for call in stream.tracked().calls] == ["0.0", "1.0", "0.1"]


def test_generations_count_the_uses_of_a_csd():
    stream = Stream()
    for _ in range(3):
        stream.single(0, 1)
    calls = stream.tracked().calls
    assert [(call.entries[0].owner, call.entries[0].csd, call.entries[0].generation) for call in calls] == [
        (0, stream.address("stack[0][0]"), generation) for generation in (1, 2, 3)]


def test_a_csd_used_again_before_the_function_of_its_last_use_has_run():
    """v4 unlocks before it calls: core 2 runs the function of the first generation while the second is already under way."""
    stream = Stream()
    csd = stream.address("cfd_data[0]")
    stream.publish(0, [1, 2], csd, wait=False, info=5)
    stream.interrupt(0, 1)
    stream.handle(1, 0, csd, info=5)
    stream.interrupt(0, 2)
    stream.take(2, 0, csd)
    stream.delete(2, csd)
    stream.leave_call(0)
    stream.publish(0, [1, 2], csd, wait=False, info=9)
    stream.leave_call(0)
    stream.interrupt(0, 1)
    stream.take(1, 0, csd)
    stream.begin(1, info=9)
    entry = stream.begin(2, info=5)
    exits = stream.ran(1), stream.ran(2)
    stream.take(2, 0, csd)
    stream.delete(2, csd)
    late = stream.run(2, info=9)
    first, second = stream.tracked().calls
    assert (first.entries[0].generation, second.entries[0].generation) == (1, 2)
    assert first.visits[2].at(Stage.ENTRY) == entry and first.visits[2].at(Stage.EXIT) == exits[1]
    assert second.visits[1].at(Stage.EXIT) == exits[0] and second.visits[2].at(Stage.EXIT) == late
    assert [visit.runs for call in (first, second) for visit in (call.visits[1], call.visits[2])] == [1, 1, 1, 1]
    assert first.at(Stage.RETURN) < entry and first.over and second.over


def test_an_inner_routine_goes_on_with_the_call():
    """smp_call_function_many takes its fast path through smp_call_function_single."""
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 3)
    stream.say(0, "QUEUE", 0, stream.address("stack[0][0]"))
    stream.say(0, "RETURN")
    tracker = stream.tracked()
    [call] = tracker.calls
    assert call.kind == "smp_call_function_many" and call.targets == {3} and not call.returned
    assert tracker.context_of(0) == ("0.0", Stage.QUEUE)
    end = stream.say(0, "RETURN")
    tracker = stream.tracked()
    assert tracker.calls[0].at(Stage.RETURN) == end
    assert tracker.context_of(0) == (None, Stage.NONE)


def test_a_call_inside_a_function_is_its_own():
    stream = Stream()
    csd = stream.address("stack[0][0]")
    stream.queue_single(0, 1, csd)
    stream.deliver(0, 1, SINGLE)
    stream.accept(1, SINGLE)
    stream.say(1, "DEQUEUE", csd)
    stream.begin(1)
    stream.ask(1, Whom.TARGET, func="func_add", info=7, target=1)
    stream.say(1, "CALL", 128, 7, at="smp_call_function_single")
    stream.say(1, "TARGET", 1)
    stream.run(1, func="func_add", info=7)
    inner_end = stream.leave_call(1)
    outer_exit = stream.ran(1)
    outer, inner = stream.tracked().calls
    assert (inner.id, inner.function, inner.targets, inner.at(Stage.RETURN)) == ("1.0", "func_add", {1}, inner_end)
    assert inner.visits[1].runs == 1
    assert outer.visits[1].at(Stage.EXIT) == outer_exit and outer.visits[1].runs == 1


def test_a_call_from_an_interrupt_is_its_own():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.accept(0, 0xEF)
    stream.say(0, "CALL", 128, 7, at="smp_call_function_single")
    stream.say(0, "RETURN")
    stream.say(0, "IRET")
    stream.say(0, "TARGETS", 0b110)
    outer, inner = stream.tracked().calls
    assert inner.returned and not inner.targets
    assert outer.targets == {1, 2} and not outer.returned


def test_a_function_that_the_caller_runs_itself():
    """on_each_cpu: the others by interrupt, then this core."""
    stream = Stream()
    stream.ask(0, Whom.OTHERS, here=True)
    stream.say(0, "CALL", 112, 5, at="on_each_cpu")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    for core in (1, 2, 3):
        stream.interrupt(0, core)
        stream.run(core)
        stream.say(core, "IRET")
    stream.say(0, "RETURN")
    stream.run(0)
    stream.leave_call(0)
    [call] = stream.tracked().calls
    assert (call.kind, call.targets, call.over) == ("on_each_cpu", {0, 1, 2, 3}, True)
    assert call.visits[0].at(Stage.IPI) is None and call.visits[0].runs == 1
    assert call.completion == call.visits[0].at(Stage.EXIT) - call.at(Stage.CALL)


def test_several_csds_per_call():
    """From 3.10 a call of many queues one csd for each target."""
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.say(0, "TARGETS", 0b110)
    for core, csd in ((1, 700), (2, 710)):
        stream.say(0, "TARGET", core)
        stream.say(0, "CSD_LOCK", csd)
        stream.say(0, "QUEUE", 0, csd)
    [call] = stream.tracked().calls
    assert [(entry.csd, entry.target) for entry in call.entries] == [(700, 1), (710, 2)]
    assert (call.at(Stage.LOCK), call.at(Stage.QUEUE)) == (4, 5)


def test_waits_for_one_csd_after_another():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    first = stream.say(0, "WAIT", 700)
    stream.say(0, "WOKEN", 700)
    stream.say(0, "WAIT", 710)
    [call] = stream.tracked().calls
    assert call.waiting
    last = stream.say(0, "WOKEN", 710)
    [call] = stream.tracked().calls
    assert (call.at(Stage.WAIT), call.at(Stage.WOKEN), call.waiting) == (first, last, False)


def test_no_ipi_when_the_queue_was_not_empty():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 1)
    stream.say(0, "QUEUE", 0, 700)
    clock = stream.say(0, "NOIPI")
    tracker = stream.tracked()
    assert tracker.calls[0].visits[1].at(Stage.NOIPI) == clock
    assert tracker.context_of(0) == ("0.0", Stage.NOIPI)


def test_the_interrupt_that_counts_is_the_one_whose_handler_took_the_call():
    """The walker that one call's interrupt has started finds another call; its own interrupt comes when all is done."""
    stream = Stream()
    csds = [stream.address(f"cfd_data[{core}]") for core in (0, 1)]
    for caller in (0, 1):
        stream.publish(caller, [2], csds[caller])
    first = stream.interrupt(0, 2)
    stream.send(1, 2)
    stream.deliver(1, 2)
    for caller in (0, 1):
        stream.take(2, caller, csds[caller])
        stream.run(2)
    stream.leave(2)
    stream.accept(2)
    stream.say(2, "DEQUEUE_EMPTY")
    a, b = stream.tracked().calls
    assert b.visits[2].at(Stage.EMPTY) is None
    assert a.visits[2].at(Stage.GOTIPI) == b.visits[2].at(Stage.GOTIPI) == first


def test_messages_merged_in_irr_are_one_interrupt():
    stream = Stream()
    for caller in (0, 1):
        stream.publish(caller, [2], stream.address(f"cfd_data[{caller}]"))
        stream.send(caller, 2)
    for caller in (0, 1):
        stream.deliver(caller, 2)
    clock = stream.accept(2)
    tracker = stream.tracked()
    interrupt = tracker.interrupt_of(2)
    assert (interrupt.level, interrupt.vector, interrupt.clock) == (1, MANY, clock)
    assert [(message.source, message.call.id) for message in interrupt.messages] == [(0, "0.0"), (1, "1.0")]
    assert [call.visits[2].at(Stage.GOTIPI) for call in tracker.calls] == [clock, clock]
    assert tracker.call is None


def test_one_message_to_several_is_bound_to_each_that_accepts_it():
    """A message by shorthand, with one of its deliveries held for so long that the caller sends another."""
    stream = Stream()
    stream.publish(0, [1, 2], stream.address("cfd_data[0]"))
    sent = stream.send(0, 0, shorthand=Shorthand.OTHERS.value)
    first = stream.deliver(0, 2)
    accepted = stream.accept(2)
    tracker = stream.tracked()
    assert [(message.source, message.named, message.call.id) for message in tracker.interrupt_of(2).messages] == [
        (0, (1, 2, 3), "0.0")]
    assert [tracker.calls[0].visits[core].at(Stage.IPI) for core in (1, 2)] == [sent, sent]
    assert tracker.calls[0].visits[1].at(Stage.DELIVERED) is None

    stream.send(0, 0, 0x40, shorthand=Shorthand.OTHERS.value)
    other = stream.deliver(0, 1, 0x40)
    second = stream.deliver(0, 1)
    again = stream.accept(1)
    stream.deliver(0, 2, 0x40)
    tracker = stream.tracked()
    visits = tracker.calls[0].visits
    assert [(visits[core].at(Stage.DELIVERED), visits[core].at(Stage.GOTIPI)) for core in (1, 2)] == [
        (other, again), (first, accepted)]
    assert second > other, "the same call has asked for both"
    assert (tracker.messages.sent, tracker.messages.delivered, tracker.messages.unaccepted) == (2, 4, 2)


@pytest.mark.parametrize(("fields", "named"), [
    ({"destination": 1}, [1]), ({"destination": 2}, []), ({"destination": 0xFF}, []), ({"destination": 0xFFFFFFFF}, [0, 1]),
    ({"shorthand": 1, "destination": 1}, [0]), ({"shorthand": 2}, [0, 1]), ({"shorthand": 3}, [1]),
    ({"logical": 1, "destination": 2}, [1]), ({"logical": 1, "destination": 0xFFFF}, [0, 1]),
    ({"logical": 1, "destination": 0x10002}, []), ({"shorthand": 3, "logical": 1, "destination": 1}, [1]),
])
def test_whom_a_record_names(fields, named):
    assert ApicRecord(0, 0, ApicEvent.SEND, 0xFB, **fields).named(2) == named


def test_a_handler_that_finds_nothing():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 1)
    stream.say(0, "QUEUE", 0, 700)
    accepted = stream.interrupt(0, 1, SINGLE)
    empty = stream.say(1, "DEQUEUE_EMPTY")
    stream.say(1, "IRET")
    tracker = stream.tracked()
    visit = tracker.calls[0].visits[1]
    assert (visit.at(Stage.GOTIPI), visit.at(Stage.EMPTY), visit.at(Stage.HANDLE)) == (accepted, empty, None)
    again = stream.accept(1, SINGLE)
    stream.say(1, "DEQUEUE", 700)
    assert stream.tracked().calls[0].visits[1].at(Stage.GOTIPI) == again


def test_a_message_that_reached_nobody_is_not_delivered():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 1)
    stream.send(0, 1)
    stream.deliver(0, 1, accepted=False)
    stream.accept(1)
    visit = stream.tracked().calls[0].visits[1]
    assert visit.at(Stage.IPI) == 3 and visit.at(Stage.DELIVERED) is None and visit.at(Stage.GOTIPI) is None


def test_an_nmi_asks_for_no_vector():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 1)
    stream.send(0, 1, 2)
    stream.deliver(0, 1, 2, mode=DeliveryMode.NMI)
    stream.accept(1, 2)
    assert stream.tracked().interrupt_of(1).messages == ()


def test_one_entry_after_another():
    stream = Stream()
    for caller, csd in ((0, 700), (1, 710)):
        stream.say(caller, "CALL", 112, 5, at="smp_call_function_single")
        stream.say(caller, "TARGET", 2)
        stream.say(caller, "QUEUE", 0, csd)
    stream.accept(2, SINGLE)
    stream.say(2, "HANDLE")
    for csd in (700, 710):
        stream.say(2, "DEQUEUE", csd)
    assert stream.tracked().context_of(2) == ("1.0", Stage.HANDLE)
    stream.say(2, "HANDLE_END")
    assert stream.tracked().context_of(2) == (None, Stage.HANDLE)


def test_what_is_queued_by_no_call_is_not_taken_for_an_earlier_one():
    stream = Stream()
    stream.single(0, 1)
    csd = stream.address("stack[0][0]")
    stream.say(0, "QUEUE", 0, csd)
    stream.accept(1, SINGLE)
    stream.say(1, "DEQUEUE", csd)
    assert stream.tracked().call is None


def test_the_result_is_signed():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 9)
    stream.say(0, "RETURN", 0xFFFA)
    [call] = stream.tracked().calls
    assert (call.result, call.error, call.over) == (-6, -6, True)


@pytest.mark.parametrize("contract, result", [({}, 0), ({"returns": True}, 7), ({"fails": True}, 7)])
def test_a_routine_that_returns_nothing_has_not_failed(contract, result):
    """Whatever it has left in the register."""
    stream = Stream()
    stream.ask(0, Whom.NOBODY, here=True, **contract)
    stream.result(0, 7)
    [call] = stream.tracked().calls
    assert (call.result, call.error, call.returned) == (result, result or None, True)
    assert call.over == bool(result)


def test_a_command_ends_what_was_left_open():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.say(0, "COMMAND", 0x300)
    stream.say(0, "CALL", 112, 6, at="smp_call_function_many")
    stream.say(0, "RETURN")
    assert [(call.id, call.info, call.returned) for call in stream.tracked().calls] == [("0.0", 5, False), ("0.1", 6, True)]


def test_what_waves_show_of_a_core():
    stream = Stream()
    tracker = CallTracker.for_image(stream.config, stream.image)
    shown = {0: [tracker.context_of(0)], 2: [tracker.context_of(2)]}
    stream.many(0, [1, 2])
    for record in stream.records:
        tracker.add(record)
        for core, steps in shown.items():
            if tracker.context_of(core) != steps[-1]:
                steps.append(tracker.context_of(core))
    assert [(call, stage.text) for call, stage in shown[0]] == [
        (None, ""), ("0.0", "call"), ("0.0", "lock"), ("0.0", "queue"), ("0.0", "ipi"), ("0.0", "wait"), ("0.0", "woken"),
        (None, "")]
    assert [(call, stage.text) for call, stage in shown[2]] == [
        (None, ""), (None, "gotipi"), (None, "handle"), ("0.0", "handle"), ("0.0", "unlock"), ("0.0", "entry"),
        ("0.0", "exit"), ("0.0", "complete"), (None, "handle"), (None, "")]


def test_a_commit_belongs_to_the_call_that_executed_the_store():
    """The stores leave their buffer after the call has returned."""
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.say(0, "CSD_LOCK", 69, store=(73, 2), late=True)
    stream.say(0, "RETURN")
    stream.store(0, 73, 0, late=True)
    stream.drain()
    tracker = stream.tracked()
    assert tracker.call.id == "0.0" and tracker.origin.event is Event.CSD_LOCK
    stream.drain()
    tracker = stream.tracked()
    assert tracker.call is None and tracker.origin.event is Event.NONE


def test_every_record_belongs_to_the_call_of_its_context():
    stream = Stream()
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.read(0, 20)
    stream.read(1, 20)
    tracker = CallTracker.for_image(stream.config, stream.image)
    assert [call and call.id for call in map(tracker.add, stream.records)] == [None, "0.0", "0.0", "0.0", None, None]


@pytest.mark.parametrize("n_cores", [1, 2, 3, 4, 8, 32, 64])
def test_everybody_calls_everybody(n_cores):
    stream = Stream(n_cores)
    for caller in range(n_cores):
        targets = [core for core in range(n_cores) if core != caller]
        stream.many(caller, targets)
    tracker = stream.tracked()
    assert all(call.over and call.targets == set(range(n_cores)) - {call.caller} for call in tracker.calls)
    assert all(tracker.context_of(core) == (None, Stage.NONE) for core in range(n_cores))


def test_any_order_of_records_is_taken():
    """A stream that no protocol would give (a knock-out, a trap) must not stop the judging."""
    config = MachineConfig(n_cores=1)
    tracker = CallTracker(config, lambda pc: None, hex)
    for clock, event in enumerate([*Event, *reversed(Event), *Event]):
        record = CoreRecord(clock, 0, event, 3, 0, 0, MemoryOp.WRITE, 40, 0)
        tracker.add(record)
        tracker.add(CommitRecord(clock, 0, MemoryOp.WRITE, 0, 40, 0, 1))
    assert {call.kind for call in tracker.calls} == {"0x3"}


def test_a_core_that_does_not_exist_handles_nothing():
    """A protocol that has gone wild may ask one; at the end of a run it is asked what holds the call up."""
    tracker = CallTracker(MachineConfig(n_cores=2), lambda pc: None, hex)
    assert [tracker.handled(core) for core in (0, 1, 2, 256)] == [None] * 4
