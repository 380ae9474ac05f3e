"""The Monitor against the Python oracles: on records written down here, on the machine, and on protocols that are broken."""

from dataclasses import replace
from functools import cache

import pytest
from amaranth.sim import Simulator

from rtl.apic.message import DeliveryMode
from rtl.check.room import Room
from rtl.events import Whom
from rtl.memory.port import MemoryOp
from rtl.monitor import FLAGS, Monitor
from rtl.schedule import ScheduleKind
from sim.calls import CallTracker
from sim.engines.engine import Ending
from sim.engines.spec import EngineSpec
from sim.microcode.protocols import find_protocol
from sim.oracles import ORACLES, Jury, make_oracles
from sim.records import Sources
from sim.runs.monitor import ORACLES_OF_FLAG, OVERFLOW, PARTIAL, clocks_of_flags
from sim.runs.plan import Plan
from sim.runs.prepare import patience_of, prepare
from sim.runs.profile import profile_of, room_of
from sim.scenarios.reader import shipped_scenarios
from sim.watchdog import Watchdog
from tests.sim.lockstep import prepare_or_skip
from tests.sim.streams import LOCK, WAIT, Stream, make_image

#: In a Stream each record has a clock of its own. In the machine what depends on each other is further apart.
STRETCH = 8
PATIENCE = 1000


class Observer:
    """Tracker, oracles and watchdog of a run, and the clock at which each oracle saw something first."""

    def __init__(self, config, image, arena=None, *, patience=PATIENCE, visits=None):
        self.sources = Sources(config)
        self.tracker = CallTracker.for_image(config, image, arena or ())
        self.jury = Jury(make_oracles(config, image, arena=arena, max_visits=visits))
        self.watchdog = Watchdog(self.tracker, patience=patience)

    def on_clock(self, clock, records, probe):
        return any(self.add(self.sources.decode(clock, index, raw)) for index, raw in records)

    def add(self, record):
        self.tracker.add(record)
        self.jury.add(record, self.tracker)
        return self.watchdog.add(record)

    def finish(self, outcome):
        """{flag: clock} of what a Monitor looks for, too."""
        self.jury.finish(outcome, self.tracker)
        self.watchdog.finish(outcome)
        flag_of = {oracle: flag for flag, oracles in ORACLES_OF_FLAG.items() for oracle in oracles}
        first = {}
        for item in (*self.jury.violations, *self.watchdog.violations):
            if item.oracle in flag_of:
                flag = flag_of[item.oracle]
                first[flag] = min(item.clock, first.get(flag, item.clock))
        return first


def test_every_flag_has_its_oracle():
    known = {oracle.name for oracle in (*ORACLES, Watchdog)}
    assert {oracle for oracles in ORACLES_OF_FLAG.values() for oracle in oracles} <= known
    assert set(FLAGS) == {*ORACLES_OF_FLAG, OVERFLOW}
    assert PARTIAL < set(FLAGS)


# Records written down here.

@pytest.fixture(scope="module")
def watch():
    """Have a Monitor watch a Stream: {flag: clock}, in clocks of the stream. The oracles must see the same.

    apart : flags that only the one or only the other has.
    """
    made = {}

    def run(stream, *, rests=False, patience=PATIENCE, visits=None, stretch=STRETCH, compared=True, apart=(), room=Room()):
        key = stream.config.n_cores, room
        if key not in made:
            monitor = Monitor(stream.config, room=room)
            simulator = Simulator(monitor)
            made[key] = simulator, [None]

            async def the_last_one(ctx):
                await made[key][1][0](ctx, monitor)

            simulator.add_clock(1e-6)
            simulator.add_testbench(the_last_one)
        else:
            made[key][0].reset()
        sources = Sources(stream.config)
        widths = [sources.layouts[kind].size for kind in sources.kinds]
        at = [sum(widths[:index]) for index in range(len(widths))]
        traces = {}
        for record in stream.records:
            index, raw = sources.encode(record)
            traces[record.clock] = traces.get(record.clock, 0) | raw << at[index]
        flags = {}
        profile = profile_of(stream.config, stream.image, visits=visits)

        async def testbench(ctx, monitor):
            trace = monitor.trace.as_value()
            ctx.set(monitor.patience, patience * stretch)
            ctx.set(monitor.profile, profile.as_const())
            ctx.set(monitor.run, 1)
            for clock in range(stream.clock + 1):
                raw = traces.get(clock, 0)
                ctx.set(trace, raw)
                for _ in range(stretch):
                    await ctx.tick()
                    ctx.set(trace, 0)
            if rests:
                ctx.set(monitor.quiet, 1)
                await ctx.tick()
            ctx.set(monitor.run, 0)
            await ctx.tick().repeat(Monitor.LATENCY)
            flags.update(clocks_of_flags(ctx.get(monitor.flags.as_value())))
            # They are complete.
            await ctx.tick().repeat(10)
            assert flags == clocks_of_flags(ctx.get(monitor.flags.as_value()))

        made[key][1][0] = testbench
        made[key][0].run()
        flags = {flag: clock // stretch for flag, clock in flags.items()}
        if compared:
            observer = Observer(stream.config, stream.image, patience=patience, visits=visits)
            for record in stream.records:
                if observer.add(record):
                    break
            seen = observer.finish(stream.outcome(Ending.QUIET if rests else Ending.LIMIT))
            differing = {flag for flag in {*flags, *seen} if flags.get(flag) != seen.get(flag)}
            assert differing == set(apart), (flags, seen)
        return flags

    return run


@pytest.fixture
def stream():
    return Stream(3)


@pytest.fixture
def cfd(stream):
    return stream.address("cfd_data[0]")


@pytest.mark.parametrize("n_cores", [2, 3, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_a_correct_run_sets_no_flag(watch, n_cores):
    stream = Stream(n_cores)
    for caller in range(n_cores):
        stream.single(caller, (caller + 1) % n_cores, info=caller)
        for wait in (True, False):
            stream.many(caller, [core for core in range(n_cores) if core != caller], wait=wait, info=caller)
    assert watch(stream, rests=True) == {}


# early_return

def test_returned_too_early(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.begin(1)
    stream.interrupt(0, 2)
    stream.handle(2, 0, cfd)
    early = stream.leave_call(0)
    stream.ran(1)
    stream.say(1, "IRET")
    assert watch(stream, rests=True) == {"early_return": early}


def test_returned_before_a_target_has_begun(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.handle(1, 0, cfd)
    assert watch(stream) == {}
    returned = stream.leave_call(0)
    assert watch(stream) == {"early_return": returned}
    # What comes late is still for this call.
    stream.interrupt(0, 2)
    stream.handle(2, 0, cfd)
    assert watch(stream, rests=True) == {"early_return": returned}


@pytest.mark.parametrize("caller, target", [(0, 1), (1, 0)])
def test_in_one_clock_the_lower_core_is_the_earlier(watch, stream, caller, target):
    stream.ask(caller, Whom.TARGET, target=target, wait=True)
    end = stream.run(target)
    returned = stream.result(caller)
    stream.records = [record._replace(clock=end) if record.clock == returned else record for record in stream.records]
    stream.records.sort(key=lambda record: (record.clock, record.core))
    assert watch(stream) == ({"early_return": end} if caller < target else {})


@pytest.mark.parametrize("ran, flags", [(True, False), (False, True)])
def test_nobody_waits_for_what_the_caller_runs_itself_but_itself(watch, stream, ran, flags):
    stream.ask(0, Whom.OTHERS, here=True, wait=False, returns=True)
    if ran:
        stream.run(0)
    clock = stream.result(0)
    assert watch(stream) == ({"early_return": clock} if flags else {})


def test_a_call_that_says_no_error_need_not_wait_for_who_comes_too_late(watch):
    """Core 2 comes online in the middle of the call: it may run the function, and need not."""
    stream = Stream(3, unsaid=["ONLINE"])
    stream.unsaid = frozenset()
    stream.image = make_image(stream.config)
    stream.say(0, "ONLINE", 0, 0b011)
    stream.ask(0, Whom.OTHERS, wait=True, returns=True)
    stream.say(2, "ONLINE", 0, 0b100)
    stream.run(1)
    stream.result(0)
    assert watch(stream, rests=True) == {}
    late = stream.begin(2)
    stream.ran(2)
    assert watch(stream) == {"not_once": late}


def test_who_goes_owes_nothing_any_more(watch, stream):
    stream.ask(0, Whom.OTHERS, wait=True, returns=True)
    stream.run(1)
    stream.say(2, "OFFLINE", 0, 0b100)
    stream.result(0)
    assert watch(stream, rests=True) == {}


@pytest.mark.parametrize("early", [False, True])
def test_who_clears_its_bit_before_a_call_begins_owes_it_nothing(watch, stream, early):
    """The command loop reads the mask before it says ISSUE; but behind REQUEST."""
    if early:
        stream.say(2, "UNMASK", 5)
    stream.request(0)
    if not early:
        stream.say(2, "UNMASK", 5)
    stream.issue(0, mask=0b110)
    stream.interrupt(0, 1)
    stream.run(1)
    stream.result(0)
    assert watch(stream, rests=True) == ({"lost": stream.clock + 1, "interrupt": stream.clock + 1} if early else {})


@pytest.mark.parametrize("clears", [True, False])
def test_who_clears_its_bit_in_the_middle_of_a_call_owes_it_nothing(watch, stream, clears):
    stream.ask(0, Whom.MASK, 0b110)
    stream.run(1)
    if clears:
        stream.say(2, "UNMASK", 5)
    stream.accept(2)
    stream.say(2, "IRET")
    stream.result(0)
    assert watch(stream, rests=True) == ({} if clears else {"lost": stream.clock + 1})


# not_once

def test_a_target_runs_the_function_again(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.run(1)
    again = stream.run(1) - 1
    assert watch(stream) == {"not_once": again}


def test_somebody_else_runs_the_function(watch, stream, cfd):
    stream.publish(0, [1], cfd)
    clock = stream.run(2) - 1
    assert watch(stream) == {"not_once": clock}


@pytest.mark.parametrize("function", [{"func": "func_add"}, {"info": 6}])
def test_a_function_that_nobody_asked_for(watch, stream, cfd, function):
    stream.publish(0, [1], cfd)
    clock = stream.run(1, **function) - 1
    assert watch(stream) == {"not_once": clock}


def test_a_function_for_no_call(watch, stream):
    clock = stream.run(1) - 1
    assert watch(stream) == {"not_once": clock}


def test_a_function_before_its_call_begins(watch, stream):
    stream.request(0)
    clock = stream.run(1) - 1
    stream.issue(0, Whom.TARGET, target=1)
    assert watch(stream) == {"not_once": clock}


def test_after_a_call_that_nobody_knows_no_function_is_too_many(watch, stream):
    stream.ask(0, known=False)
    stream.run(1)
    stream.result(0, -1)
    stream.run(2)
    assert watch(stream, rests=True) == {}


def test_equal_calls_that_do_not_wait(watch, stream):
    for _ in range(3):
        stream.ask(0, Whom.TARGET, target=1)
        stream.result(0)
    for _ in range(3):
        stream.run(1)
    assert watch(stream, rests=True) == {}
    clock = stream.run(1) - 1
    assert watch(stream) == {"not_once": clock}


# lost, interrupt

def test_a_target_that_never_ran(watch, stream):
    stream.ask(0, Whom.OTHERS)
    for core in (1, 2):
        stream.accept(core)
    stream.run(1)
    for core in (1, 2):
        stream.say(core, "IRET")
    stream.result(0)
    assert watch(stream) == {}
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_target_that_was_never_interrupted(watch, stream):
    stream.accept(1)
    stream.say(1, "IRET")
    stream.ask(0, Whom.TARGET, target=1)
    stream.result(0)
    assert watch(stream, rests=True) == {"lost": stream.clock + 1, "interrupt": stream.clock + 1}
    stream.accept(1)
    stream.say(1, "IRET")
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_function_that_never_ended(watch, stream):
    stream.ask(0, Whom.TARGET, target=1)
    stream.result(0)
    stream.accept(1)
    stream.begin(1)
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_call_that_never_returned(watch, stream):
    stream.ask(0, Whom.MASK, 0)
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_call_that_the_program_left(watch, stream):
    stream.ask(0, Whom.MASK, 0)
    stream.say(0, "COMMAND", 300)
    stream.ask(0, Whom.NOBODY)
    stream.result(0)
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_what_asks_nobody_is_no_call(watch, stream):
    stream.ask(0, Whom.NOBODY)
    assert watch(stream, rests=True) == {}


# result

@pytest.mark.parametrize("contract, there, value, bad", [
    pytest.param({"returns": True}, True, 0, False, id="0"),
    pytest.param({"returns": True}, True, -6, True, id="an error of what has none"),
    pytest.param({"fails": True}, True, 0, False, id="0 of an online target"),
    pytest.param({"fails": True}, True, -6, True, id="an error of an online target"),
    pytest.param({"fails": True}, False, -6, False, id="an error of an absent target"),
    pytest.param({"fails": True}, False, 0, True, id="0 of an absent target"),
    pytest.param({}, True, 77, False, id="nothing"),
])
def test_what_comes_back(watch, stream, contract, there, value, bad):
    stream.ask(0, Whom.TARGET, target=1 if there else 7, **contract)
    if there:
        stream.run(1)
    clock = stream.result(0, value)
    assert watch(stream) == ({"result": clock} if bad else {})


@pytest.mark.parametrize("value", [0, -6])
def test_a_target_that_comes_in_the_middle_of_the_call(watch, stream, value):
    stream.say(0, "OFFLINE", 0, 0b010)
    stream.ask(0, Whom.TARGET, target=1, fails=True)
    stream.say(1, "ONLINE", 0, 0b010)
    stream.result(0, value)
    assert watch(stream, rests=True) == {}
    clock = stream.run(1) - 1
    assert watch(stream) == ({"not_once": clock} if value else {})


def test_a_refused_call_owes_nothing(watch, stream):
    stream.ask(0, Whom.TARGET, target=1, fails=True, wait=True)
    stream.say(1, "OFFLINE", 0, 0b010)
    stream.result(0, -6)
    assert watch(stream, rests=True) == {}


# where

def test_a_function_with_interrupts_on(watch, stream):
    stream.ask(0, Whom.TARGET, target=1)
    clock = stream.run(1, enabled=True) - 1
    assert watch(stream) == {"where": clock}


def test_a_function_in_the_middle_of_another(watch, stream):
    for caller in (0, 1):
        stream.ask(caller, Whom.TARGET, target=2, info=caller)
    stream.begin(2, info=0)
    clock = stream.begin(2, info=1)
    stream.ran(2)
    stream.ran(2)
    flags = watch(stream, apart={"overflow"})
    assert flags == {"where": clock, "overflow": clock}


def test_a_function_that_another_has_called_for(watch, stream):
    """Core 1 calls itself from the function that it runs for core 0, and is still in that when the inner one has ended."""
    stream.ask(0, Whom.TARGET, target=1, wait=True)
    stream.begin(1)
    stream.ask(1, Whom.NOBODY, info=6, here=True, returns=True)
    stream.run(1, info=6)
    stream.result(1)
    early = list(stream.records), stream.clock
    stream.ran(1)
    stream.result(0)
    assert watch(stream, rests=True) == {}
    stream.records, stream.clock = early
    returned = stream.result(0)
    assert watch(stream) == {"early_return": returned}


def test_a_nested_call_is_one_of_its_own(watch, stream):
    """Core 1 calls core 2 from the function that it runs for core 0, and goes on; core 0 waits for the function, not for that."""
    stream.ask(0, Whom.TARGET, target=1, wait=True)
    stream.accept(1)
    stream.begin(1)
    stream.ask(1, Whom.TARGET, info=6, target=2)
    stream.result(1)
    stream.ran(1)
    stream.say(1, "IRET")
    stream.result(0)
    stream.accept(2)
    stream.run(2, info=6)
    stream.say(2, "IRET")
    assert watch(stream, rests=True) == {}


def test_an_interrupt_between_request_and_issue(watch, stream):
    """... whose function calls on. What was requested last is what begins."""
    stream.ask(1, Whom.TARGET, target=0)
    stream.request(0, info=8)
    stream.accept(0)
    stream.begin(0)
    stream.ask(0, Whom.TARGET, info=6, target=2)
    stream.result(0)
    stream.ran(0)
    stream.say(0, "IRET")
    stream.issue(0, Whom.TARGET, target=1, wait=True)
    stream.run(1, info=8)
    stream.result(0)
    stream.accept(2)
    stream.run(2, info=6)
    stream.say(2, "IRET")
    stream.result(1)
    assert watch(stream, rests=True) == {}


# list, walk

def test_queued_twice(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    again = stream.say(0, "QUEUE", 0, cfd)
    assert watch(stream) == {"list": again}


def test_queued_by_another_what_is_queued(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    again = stream.say(1, "QUEUE", 0, cfd)
    assert watch(stream) == {"list": again}


def test_a_dequeue_and_its_list_del_are_one_deletion(watch, stream):
    csd = stream.address("stack[0][0]")
    for events in (("DEQUEUE", "LIST_DEL"), ("LIST_DEL", "DEQUEUE")):
        stream.say(0, "QUEUE", 0, csd)
        for event in events:
            stream.say(1, event, csd)
    assert watch(stream) == {}
    again = stream.say(1, "LIST_DEL", csd)
    assert watch(stream) == {"list": again}


@pytest.mark.parametrize("core, event", [(1, "LIST_DEL"), (2, "DEQUEUE")])
def test_unlinked_twice(watch, stream, core, event):
    csd = stream.address("stack[0][0]")
    stream.say(0, "QUEUE", 0, csd)
    stream.say(1, "LIST_DEL", csd)
    again = stream.say(core, event, csd)
    assert watch(stream) == {"list": again}


def test_unlinked_without_having_been_queued(watch, stream):
    clock = stream.say(1, "DEQUEUE", 700)
    assert watch(stream) == {"list": clock}


def test_a_protocol_that_says_no_list_del(watch):
    stream = Stream(3, unsaid=["LIST_DEL"])
    csd = stream.address("csd_data[0]")
    for _ in range(6):
        stream.say(0, "QUEUE", 0, csd)
        stream.say(1, "TAKE", csd)
    assert watch(stream) == {}


@pytest.mark.parametrize("entry, flags", [(70, True), (16, False)])
def test_a_handler_that_is_left_in_the_middle_of_the_queue(watch, stream, entry, flags):
    stream.accept(1)
    stream.say(1, "VISIT", 70, 16)
    stream.accept(1)
    stream.say(1, "VISIT", 16, 16)
    stream.say(1, "HANDLE_END")
    stream.say(1, "IRET")
    stream.say(1, "VISIT", entry, 16)
    clock = stream.say(1, "HANDLE_END")
    assert watch(stream) == ({"list": clock} if flags else {})


def test_a_long_walk(watch, stream):
    for visits in (4, 5):
        stream.accept(1)
        stream.say(1, "HANDLE")
        for _ in range(visits):
            clock = stream.say(1, "VISIT", 70, 16)
        stream.say(1, "VISIT", 16, 16)
        stream.say(1, "HANDLE_END")
        stream.say(1, "IRET")
    assert watch(stream, visits=5) == {}
    assert watch(stream, visits=4) == {"walk": clock}


# refs, unlock, owner, touch, rest

def test_the_count_falls_below_zero(watch, stream, cfd):
    stream.publish(0, [1], cfd)
    stream.store(1, cfd + 6, 0)
    stream.take(1, 0, cfd)
    assert watch(stream) == {"refs": stream.clock}


def test_deleted_before_the_count_has_come_to_nothing(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert watch(stream) == {"refs": clock}


def test_an_unlock_of_what_is_not_locked(watch, stream, cfd):
    stream.many(0, [1])
    clock = stream.say(1, "CSD_UNLOCK", cfd, 0, store=(cfd + 4, 0))
    assert watch(stream) == {"unlock": clock, "touch": clock}


def lock(stream, csd):
    return stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))


def test_a_csd_locked_in_the_middle_of_another_call(watch, stream):
    csd = stream.address("csd_data[0]")
    stream.ask(0, Whom.MASK)
    lock(stream, csd)
    stream.say(1, "CSD_UNLOCK", csd, 0, store=(csd + 4, 0))
    stream.accept(0)
    stream.ask(0, Whom.MASK)
    clock = lock(stream, csd)
    assert watch(stream) == {"owner": clock}


def test_a_csd_locked_again_by_the_same_call_or_the_next(watch, stream):
    csd = stream.address("csd_data[0]")
    for _ in range(3):
        stream.ask(0, Whom.MASK)
        for _ in range(2):
            lock(stream, csd)
            stream.say(1, "CSD_UNLOCK", csd, 0, store=(csd + 4, 0))
        stream.result(0)
    assert watch(stream, rests=True) == {}


def test_a_csd_locked_twice(watch, stream):
    csd = stream.address("csd_data[0]")
    for _ in range(2):
        stream.ask(0, Whom.MASK)
        clock = lock(stream, csd)
        stream.result(0)
    assert watch(stream) == {"owner": clock}


def test_a_csd_that_stays_locked(watch, stream):
    stream.ask(0, Whom.MASK)
    lock(stream, stream.address("csd_data[0]"))
    stream.result(0)
    assert watch(stream, rests=True) == {"rest": stream.clock + 1}


def test_a_spin_lock_that_stays_held(watch, stream):
    stream.lock(2, "call_function.lock")
    assert watch(stream, rests=True) == {"rest": stream.clock + 1}


def given_back(stream, owner, csd):
    stream.store(owner, csd + 4, WAIT)
    stream.say(owner, "QUEUE", 0, csd)
    stream.say(1, "DEQUEUE", csd)
    stream.complete(1, csd)


@pytest.mark.parametrize("name", ["stack[0][0]", "csd_data[0]"])
@pytest.mark.parametrize("offset", [2, 3, 4])
def test_a_csd_that_its_owner_has_back_is_touched(watch, stream, name, offset):
    csd = stream.address(name)
    given_back(stream, 0, csd)
    stream.read(0, csd + offset)
    clock = stream.read(1, csd + offset)
    assert watch(stream) == {"touch": clock}


def test_a_csd_that_is_in_use_again_may_be_touched(watch, stream):
    csd = stream.address("csd_data[0]")
    given_back(stream, 0, csd)
    stream.read(1, csd + 1)
    stream.say(0, "QUEUE", 0, csd)
    stream.read(1, csd + 2)
    assert watch(stream) == {}


@pytest.mark.parametrize("who, flags", [(0b001, set()), (0b100, {"touch"})])
def test_a_csd_of_a_core_that_is_offline_may_be_touched(watch, stream, who, flags):
    """Another core fills it before its owner comes back."""
    csd = stream.address("csd_data[0]")
    given_back(stream, 0, csd)
    stream.say(2, "OFFLINE", 0, who)
    stream.read(1, csd + 2)
    assert watch(stream).keys() == flags


@pytest.mark.parametrize("owner, name", [(0, "csd_data[1]"), (1, "csd_data[1]")])
def test_a_csd_that_is_for_the_core_that_took_it(watch, stream, owner, name):
    """Queued by its own core, or declared for the one and queued by the other: nobody gets it back."""
    csd = stream.address(name)
    given_back(stream, owner, csd)
    stream.read(1, csd + 2)
    stream.read(2, csd + 2)
    assert watch(stream) == {}


# mask

@pytest.mark.parametrize("mask, online, bad", [(0, 7, True), (6, 3, True), (6, 7, False)])
def test_the_mask_of_an_interrupt(watch, stream, mask, online, bad):
    clock = stream.say(0, "IPI_MASK", mask, online)
    assert watch(stream) == ({"mask": clock} if bad else {})


@pytest.mark.parametrize("before, after, bad", [
    pytest.param([], [], False, id="online"),
    pytest.param(["OFFLINE"], [], True, id="offline"),
    pytest.param(["OFFLINE"], ["ONLINE"], False, id="comes online"),
    pytest.param([], ["OFFLINE"], False, id="goes offline"),
])
def test_an_interrupt_to_a_core_that_is_not_online(watch, stream, before, after, bad):
    for event in before:
        stream.say(0, event, 0, 0b100)
    stream.send(0, 2)
    for event in after:
        stream.say(0, event, 0, 0b100)
    clock = stream.deliver(0, 2)
    assert watch(stream) == ({"mask": clock} if bad else {})


@pytest.mark.parametrize("mode, bad", [(DeliveryMode.FIXED, True), (DeliveryMode.INIT, False)])
def test_an_interrupt_that_reaches_nobody(watch, stream, mode, bad):
    stream.send(0, 9)
    clock = stream.deliver(0, 9, mode=mode, accepted=False)
    assert watch(stream) == ({"mask": clock} if bad else {})


def test_without_online_nobody_knows_who_is(watch):
    stream = Stream(3, unsaid=["ONLINE"])
    stream.interrupt(0, 2)
    assert watch(stream) == {}


# lock, warn, trap, stuck

@pytest.mark.parametrize("core", [0, 1])
def test_a_spin_lock_taken_twice(watch, stream, core):
    stream.lock(0, "call_function.lock")
    stream.lock(1, "call_function.lock", taken=True)
    clock = stream.lock(core, "call_function.lock")
    stream.unlock(core, "call_function.lock")
    assert watch(stream) == {"lock": clock}


@pytest.mark.parametrize("held", [False, True])
def test_a_spin_lock_given_back_by_another(watch, stream, held):
    stream.lock(0, "call_function.lock")
    if not held:
        stream.unlock(0, "call_function.lock")
    stream.lock(1, "cfd_data[1].lock")
    stream.unlock(1, "cfd_data[1].lock")
    clock = stream.unlock(1, "call_function.lock")
    assert watch(stream) == {"lock": clock}


def test_a_lock_of_which_nobody_says_when_it_is_taken(watch, stream):
    stream.unlock(1, "call_function.lock")
    assert watch(stream) == {}


def test_a_try_that_reads_takes_nothing(watch, stream):
    for core in (0, 1):
        stream.say(core, "LOCK_TRY", op=MemoryOp.READ, store=(stream.address("call_function.lock"), 0))
    assert watch(stream) == {}


def test_a_lock_that_is_no_test_and_set(watch, stream):
    address = stream.address("call_function.lock")
    stream.say(0, "LOCKED", address)
    clock = stream.say(1, "LOCKED", address)
    stream.unlock(1, "call_function.lock")
    assert watch(stream) == {"lock": clock}


@pytest.mark.parametrize("event, flag", [("WARN", "warn"), ("PANIC", "trap"), ("FAULT", "trap"), ("STACK_FAULT", "trap")])
def test_what_the_machine_says_itself(watch, stream, event, flag):
    stream.say(1, "ONLINE", 0, 2)
    clock = stream.say(1, event, at="csd_unlock")
    stream.say(2, event, at="csd_unlock")
    assert watch(stream) == {flag: clock}


def test_nothing_happens_any_more(watch, stream):
    stream.lock(0, "call_function.lock")
    moved = stream.clock
    for _ in range(40):
        stream.lock(1, "call_function.lock", taken=True)
        stream.read(2, 18)
    assert watch(stream, patience=30, compared=False) == {"stuck": moved + 30}
    assert watch(stream, patience=90) == {}


@pytest.mark.parametrize("spins, flags", [(False, False), (True, True)])
def test_a_function_that_works_is_silent(watch, stream, spins, flags):
    stream.ask(0, Whom.TARGET, target=1, wait=True)
    begun = stream.begin(1)
    for _ in range(50):
        stream.read(1 if spins else 0, 18)
    stream.ran(1)
    stream.result(0)
    seen = watch(stream, patience=20, compared=False)
    assert seen == ({"stuck": begun + 20} if flags else {})


# What a protocol does not say.

@pytest.mark.parametrize("unsaid", [
    *(pytest.param(unsaid, marks=pytest.mark.slow) for unsaid in (
        ["DEQUEUE", "LIST_DEL"], ["CSD_UNLOCK"], ["CSD_LOCK"], ["REFS"], ["QUEUE"], ["VISIT"], ["TARGET", "TARGETS"],
        ["CALL", "RETURN", "WAIT", "WOKEN"])),
    ["REQUEST", "ISSUE", "RESULT", "RUN", "RAN"],
    ["CSD_LOCK", "CSD_UNLOCK", "QUEUE", "DEQUEUE", "LIST_DEL", "REFS", "TAKE", "COMPLETE", "IPI_MASK", "HANDLE", "HANDLE_END"],
])
def test_what_is_not_said_is_not_held_against_it(watch, unsaid):
    stream = Stream(3, unsaid=unsaid)
    for caller in range(3):
        for _ in range(2):
            stream.single(caller, (caller + 1) % 3, info=caller)
            for wait in (True, False):
                stream.many(caller, [core for core in range(3) if core != caller], wait=wait, info=caller)
    assert watch(stream, rests=True) == {}


# Where the room does not suffice, it says so.

def test_more_calls_than_entries(watch, stream):
    for index in range(3):
        last = stream.request(0, info=index)
        stream.issue(0, Whom.TARGET, target=1)
        stream.result(0)
    assert watch(stream) == {}
    assert watch(stream, room=Room(obligations=2), compared=False) == {"overflow": last}


def test_room_is_used_again(watch, stream):
    for index in range(3):
        for target in (1, 2):
            stream.ask(0, Whom.TARGET, info=index, target=target)
            stream.result(0)
        for target in (1, 2):
            stream.run(target, info=index)
    assert watch(stream, rests=True, room=Room(obligations=2)) == {}


def test_more_csds_than_entries(watch, stream):
    for index in range(3):
        last = stream.say(0, "QUEUE", 0, 700 + 8 * index)
    assert watch(stream) == {}
    assert watch(stream, room=Room(csds=2), compared=False) == {"overflow": last}


def test_more_locks_than_entries(watch, stream):
    stream.lock(0, "call_function.lock")
    clock = stream.lock(0, "cfd_data[0].lock")
    assert watch(stream) == {}
    assert watch(stream, room=Room(locks=1), compared=False) == {"overflow": clock}


def test_more_interrupts_than_there_are(watch, stream):
    for _ in range(6):
        stream.accept(1)
    assert watch(stream) == {}
    clock = stream.accept(1)
    assert watch(stream, compared=False) == {"overflow": clock}


@pytest.mark.parametrize("calls", [3, 4])
def test_more_calls_in_the_middle_of_calls_than_there_are(watch, stream, calls):
    for info in range(calls):
        stream.ask(0, Whom.MASK, info=info)
    requested = stream.clock - 1
    for _ in range(calls):
        stream.result(0)
    assert watch(stream, rests=calls == 3, compared=calls == 3) == ({} if calls == 3 else {"overflow": requested})


def test_a_call_that_an_interrupt_leaves(watch, stream):
    stream.accept(0)
    stream.ask(0, Whom.MASK)
    clock = stream.say(0, "IRET")
    assert watch(stream, compared=False) == {"overflow": clock}


def test_an_interrupt_that_a_call_leaves(watch, stream):
    stream.ask(0, Whom.MASK)
    stream.accept(0)
    clock = stream.result(0)
    assert watch(stream, compared=False) == {"overflow": clock}


def test_a_function_at_once_after_another(watch, stream):
    stream.ask(0, Whom.TARGET, target=1)
    stream.run(1)
    stream.ask(0, Whom.TARGET, target=2)
    clock = stream.begin(1)
    assert watch(stream, stretch=1, compared=False).keys() >= {"overflow"}
    assert watch(stream) == {"not_once": clock}


def test_what_has_waited_for_the_bus_has_it_before_what_comes_later(watch, stream):
    """Core 2 gives a lock back in a clock in which core 0 has the bus; in the next one core 1 takes it."""
    stream.lock(2, "call_function.lock")
    stream.lock(0, "cfd_data[0].lock")
    clock = stream.unlock(2, "call_function.lock") - 1
    stream.lock(1, "call_function.lock")
    stream.records = [record._replace(clock=clock) if record.clock == clock + 1 else
                      record._replace(clock=clock + 1) if record.clock > clock else record for record in stream.records]
    assert watch(stream, stretch=1) == {}


def test_operations_of_one_clock_have_the_bus_one_after_the_other(watch):
    """Cores take what core 7 holds, all in one clock, and the flag has its clock. Five are too many to have the bus in time."""
    for many in (4, 5):
        stream = Stream(8)
        for core in range(many):
            stream.lock(7, f"cfd_data[{core}].lock") if core < 4 else None
        clock = stream.clock + 1
        taken = len(stream.records)
        for core in range(many):
            stream.lock(core, f"cfd_data[{min(core, 3)}].lock")
        late = [record._replace(clock=clock) for record in stream.records[taken:] if hasattr(record, "pc")]
        stream.records[taken:] = late
        stream.clock = clock
        flags = watch(stream, compared=False)
        assert flags.pop("lock") == clock
        assert list(flags) == ([] if many == 4 else ["overflow"])


# The machine.

def judge(prepared, engine, plan):
    """(flags, what the oracles saw of the same, ending) of one run. Without the flags of which the oracles see more."""
    config, scenario = prepared.settings.config, prepared.scenario
    patience = patience_of(scenario, plan)
    observer = Observer(config, prepared.image, prepared.contents.arena, patience=patience, visits=scenario.visits)
    outcome = engine.run(prepared.under(plan=plan, max_clocks=30_000).job, sink=observer)
    flags, seen = outcome.flags, observer.finish(outcome)
    full = flags.get(OVERFLOW)
    unseen = {flag for flag, clock in seen.items() if flag not in flags and (flag in PARTIAL or full is not None and clock >= full)}
    return ({flag: clock for flag, clock in flags.items() if flag != OVERFLOW and (full is None or clock < full or flag in seen)},
            {flag: clock for flag, clock in seen.items() if flag not in unseen}, outcome.ending)


#: One of each kind.
PLANS = (
    Plan(),
    Plan(kind=ScheduleKind.RANDOM, seed=1, stall=60, hold_interrupt=100, hold_message=60),
    Plan(kind=ScheduleKind.BOUNDED, seed=2, stall=3, hold_message=3, delay=6),
    Plan(kind=ScheduleKind.PCT, seed=3, changes=4, horizon=11),
)


@cache
def engine_for(config, room, name=None):
    """The compiled engine, if there is a C compiler."""
    return EngineSpec(config, name, room).make()


@pytest.mark.parametrize("engine", [None, pytest.param("pysim", marks=pytest.mark.slow)], ids=["compiled", "pysim"])
@pytest.mark.parametrize("name, cores", [("single", 2), ("early-return", 3), ("two-senders", 4)])
def test_monitor_and_oracles_agree(name, cores, engine):
    prepared = prepare(name, cores=cores)
    engine = engine_for(prepared.settings.config, room_of(prepared.scenario), engine)
    for plan in PLANS:
        flags, seen, _ = judge(prepared, engine, plan)
        assert flags == seen, plan
        expected = {oracle for flag in flags for oracle in ORACLES_OF_FLAG[flag]}
        assert plan.kind is not ScheduleKind.NONE or expected == set(prepared.expected)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", shipped_scenarios())
def test_monitor_and_oracles_agree_everywhere(name, cores):
    prepared = prepare_or_skip(name, cores, seed=1)
    engine = engine_for(prepared.settings.config, room_of(prepared.scenario))
    for plan in (*PLANS, *(replace(plan, seed=plan.seed + 10 * more) for plan in PLANS[1:] for more in range(1, 6))):
        flags, seen, _ = judge(prepared, engine, plan)
        assert flags == seen, plan


def broken(tmp_path, old, new):
    """v4 with a change, as a file."""
    text = find_protocol("v4").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "broken.uasm"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("scenario, old, new, expected", [
    pytest.param("many", "    call  send_call_func_ipi\n", "", {"interrupt", "stuck"}, id="no interrupt is sent"),
    pytest.param("single", "    btc   t0, CSD_FLAG_LOCK, .call\n    call  csd_unlock\n", "    call  csd_unlock\n",
                 {"unlock", "warn"}, id="a csd that is not locked is unlocked"),
    pytest.param("many", "    sub   r3, t0, 1\n", "    sub   r3, t0, 2\n", {"refs"}, id="the count falls by two"),
    pytest.param("two-senders", "    call  spin_unlock, t1, [data + cfd.lock] !cfd_lock ; H6  spin_unlock(&data->lock)\n",
                 "    call  spin_unlock, t1, [data + cfd.lock]\n    call  spin_unlock, t1, [data + cfd.lock]\n", {"lock"},
                 id="a lock is given back twice"),
])
def test_broken_protocols_turn_red(tmp_path, scenario, old, new, expected):
    prepared = prepare(scenario, protocol=broken(tmp_path, old, new), cores=4 if scenario == "two-senders" else None)
    engine = engine_for(prepared.settings.config, Room())
    flags, seen, _ = judge(prepared, engine, Plan())
    assert flags == seen
    assert set(flags) & expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cfd_lock", "call_function_lock", "call_single_queue_lock", "smp_mb_before_ipi"])
@pytest.mark.parametrize("model", [0, 1, 2])
def test_monitor_and_oracles_agree_on_what_is_knocked_out(name, model):
    prepared = prepare("storm", without=[name], assignments=[f"memory_model={model}", "x2apic=1"])
    engine = engine_for(prepared.settings.config, room_of(prepared.scenario))
    for plan in PLANS:
        flags, seen, _ = judge(prepared, engine, replace(plan, hold_drain=100))
        assert flags == seen, plan
