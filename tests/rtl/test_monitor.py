"""The Monitor against the Python oracles: on records written down here, on the machine, and on protocols that are broken."""

from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from rtl.check.room import Room
from rtl.monitor import FLAGS, Monitor
from rtl.schedule import ScheduleKind
from sim.calls import CallTracker
from sim.engines.compiled import CompiledEngine
from sim.engines.engine import Ending
from sim.engines.pysim import PySimEngine
from sim.microcode.protocols import find_protocol
from sim.monitor import ORACLES_OF_FLAG, OVERFLOW, PARTIAL, clocks_of_flags
from sim.oracles import ORACLES, Jury, make_oracles
from sim.profile import profile_of
from sim.records import Sources
from sim.run import prepare
from sim.scenarios.reader import shipped_scenarios
from sim.schedules import Plan
from sim.watchdog import Watchdog
from tests.sim.lockstep import prepare_or_skip
from tests.sim.streams import LOCK, SINGLE, WAIT, Stream

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

            async def bench(ctx):
                await made[key][1][0](ctx, monitor)

            simulator.add_clock(1e-6)
            simulator.add_testbench(bench)
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

        async def bench(ctx, monitor):
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

        made[key][1][0] = bench
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


@pytest.mark.parametrize("n_cores", [2, 3, 4, 8])
def test_a_correct_run_sets_no_flag(watch, n_cores):
    stream = Stream(n_cores)
    for caller in range(n_cores):
        stream.single(caller, (caller + 1) % n_cores, info=caller)
        for wait in (True, False):
            stream.many(caller, [core for core in range(n_cores) if core != caller], wait=wait, info=caller)
    assert watch(stream, rests=True) == {}


def test_woken_too_early(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.say(0, "WAIT", cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.interrupt(0, 2)
    stream.handle(2, 0, cfd)
    woken = stream.say(0, "WOKEN", cfd)
    stream.run(1)
    stream.say(0, "RETURN")
    assert watch(stream) == {"early_return": woken}


def test_returned_without_having_been_woken(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.say(0, "WAIT", cfd)
    assert watch(stream) == {}
    returned = stream.say(0, "RETURN")
    assert watch(stream) == {"early_return": returned}


@pytest.mark.parametrize("caller, target", [(0, 1), (1, 0)])
def test_in_one_clock_the_lower_core_is_the_earlier(watch, stream, caller, target):
    csd = stream.address(f"cfd_data[{caller}]")
    stream.publish(caller, [target], csd)
    stream.say(caller, "WAIT", csd)
    stream.interrupt(caller, target)
    stream.take(target, caller, csd)
    stream.delete(target, csd)
    end = stream.run(target)
    woken = stream.say(caller, "WOKEN", csd)
    stream.say(caller, "RETURN")
    stream.records = [record._replace(clock=end) if record.clock == woken else record for record in stream.records]
    stream.records.sort(key=lambda record: (record.clock, getattr(record, "core", 0)))
    assert watch(stream) == ({"early_return": end} if caller < target else {})


@pytest.mark.parametrize("woken, flags", [(700, False), (710, True)])
def test_a_wait_for_one_csd_is_for_its_target(watch, stream, woken, flags):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    for core, csd in ((1, 700), (2, 710)):
        stream.say(0, "TARGET", core)
        stream.say(0, "QUEUE", 0, csd)
    stream.interrupt(0, 1, SINGLE)
    stream.say(1, "DEQUEUE", 700)
    stream.run(1)
    stream.say(0, "WAIT", woken)
    clock = stream.say(0, "WOKEN", woken)
    assert watch(stream) == ({"early_return": clock} if flags else {})


def test_nobody_waits_for_what_the_caller_runs_itself(watch, stream):
    stream.say(0, "CALL", 112, 5, at="on_each_cpu")
    stream.many(0, [1, 2])
    stream.run(0)
    stream.say(0, "RETURN")
    assert watch(stream, rests=True) == {}


def test_a_target_runs_the_function_again(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.run(1)
    stream.say(1, "TAKE", cfd, 2)
    again = stream.run(1) - 1
    assert watch(stream) == {"not_once": again}


def test_the_function_twice_for_one_take(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.run(1)
    again = stream.run(1) - 1
    assert watch(stream) == {"not_once": again}


def test_somebody_else_runs_the_function(watch, stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 2)
    stream.take(2, 0, cfd)
    clock = stream.run(2) - 1
    assert watch(stream) == {"not_once": clock}


def test_a_function_for_no_call(watch, stream):
    stream.accept(1)
    stream.say(1, "DEQUEUE", 700)
    clock = stream.run(1) - 1
    assert watch(stream) == {"not_once": clock}


def test_a_target_that_never_ran(watch, stream, cfd):
    stream.publish(0, [1, 2], cfd, wait=False)
    stream.interrupt(0, 1)
    stream.handle(1, 0, cfd)
    stream.say(0, "RETURN")
    assert watch(stream) == {}
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_csd_that_stays_locked(watch, stream):
    csd = stream.address("csd_data[0]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    stream.say(0, "RETURN")
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_call_that_never_returned(watch, stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_a_call_that_the_program_left(watch, stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "COMMAND", 300)
    assert watch(stream, rests=True) == {"lost": stream.clock + 1}


def test_the_count_falls_below_zero(watch, stream, cfd):
    stream.publish(0, [1], cfd)
    stream.interrupt(0, 1)
    stream.store(1, cfd + 6, 0)
    stream.take(1, 0, cfd)
    assert watch(stream) == {"refs": stream.clock}


@pytest.mark.parametrize("targets, count", [([1, 2], 2), ([1, 2], 1), ([1], 3)])
def test_deleted_before_count_and_targets_have_come_to_nothing(watch, stream, cfd, targets, count):
    stream.publish(0, targets, cfd)
    stream.interrupt(0, 1)
    stream.store(1, cfd + 6, count)
    stream.take(1, 0, cfd)
    clock = stream.say(1, "LIST_DEL", cfd)
    assert watch(stream) == {"refs": clock}


def test_an_unlock_of_what_is_not_locked(watch, stream, cfd):
    stream.many(0, [1])
    clock = stream.say(1, "CSD_UNLOCK", cfd, 0, store=(cfd + 4, 0))
    assert watch(stream) == {"unlock": clock}


def test_a_csd_locked_in_the_middle_of_another_call(watch, stream):
    csd = stream.address("csd_data[0]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    stream.say(1, "CSD_UNLOCK", csd, 0, store=(csd + 4, 0))
    stream.accept(0)
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    clock = stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
    assert watch(stream) == {"owner": clock}


def test_a_csd_locked_twice(watch, stream):
    csd = stream.address("csd_data[0]")
    for _ in range(2):
        stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
        clock = stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
        stream.say(0, "RETURN")
    assert watch(stream) == {"owner": clock}


@pytest.mark.parametrize("mask, online, bad", [(0, 7, True), (6, 3, True), (6, 7, False)])
def test_the_mask_of_an_interrupt(watch, stream, mask, online, bad):
    clock = stream.say(0, "IPI_MASK", mask, online)
    assert watch(stream) == ({"mask": clock} if bad else {})


@pytest.mark.parametrize("core", [0, 1])
def test_a_spin_lock_taken_twice(watch, stream, core):
    stream.lock(0, "call_function.lock")
    stream.lock(1, "call_function.lock", taken=True)
    clock = stream.lock(core, "call_function.lock")
    stream.unlock(core, "call_function.lock")
    assert watch(stream) == {"lock": clock}


@pytest.mark.parametrize("held", [False, True])
def test_a_spin_lock_given_back_by_another(watch, stream, held):
    if held:
        stream.lock(0, "call_function.lock")
    stream.lock(1, "cfd_data[1].lock")
    stream.unlock(1, "cfd_data[1].lock")
    clock = stream.unlock(1, "call_function.lock")
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
    assert watch(stream, patience=STRETCH * 30, compared=False) == {"stuck": moved + 30}
    assert watch(stream, patience=STRETCH * 90) == {}


def test_a_nested_call_is_one_of_its_own(watch, stream, cfd):
    """Core 1 calls core 2 from the function that it runs for core 0, and goes on; core 0 waits for the function, not for that."""
    nested = stream.address("csd_data[1]")
    stream.publish(0, [1], cfd)
    stream.say(0, "WAIT", cfd)
    stream.interrupt(0, 1)
    stream.take(1, 0, cfd)
    stream.delete(1, cfd)
    stream.say(1, "FUNC_ENTRY", 112, 5)
    stream.say(1, "CALL", 112, 6, at="smp_call_function_single")
    stream.say(1, "TARGET", 2)
    stream.say(1, "QUEUE", 0, nested)
    stream.say(1, "RETURN")
    early = list(stream.records), stream.clock
    stream.say(1, "FUNC_EXIT")
    stream.complete(1, cfd)
    stream.leave(1)
    stream.say(0, "WOKEN", cfd)
    stream.say(0, "RETURN")
    stream.interrupt(1, 2, SINGLE)
    stream.say(2, "DEQUEUE", nested)
    stream.run(2, info=6)
    stream.say(2, "HANDLE_END")
    stream.say(2, "IRET")
    assert watch(stream, rests=True) == {}
    stream.records, stream.clock = early
    woken = stream.say(0, "WOKEN", cfd)
    assert watch(stream) == {"early_return": woken}


def test_an_interrupted_caller_goes_on_with_its_own_call(watch, stream):
    """Core 0 is interrupted while it waits, and calls on from there. Its wait is still for its own call."""
    mine, theirs = stream.address("stack[0][0]"), stream.address("cfd_data[1]")
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 2)
    stream.store(0, mine + 4, WAIT)
    stream.say(0, "QUEUE", 0, mine)
    stream.say(0, "WAIT", mine)
    stream.publish(1, [0], theirs, wait=False)
    stream.say(1, "RETURN")
    stream.accept(0)
    stream.handle(0, 1, theirs)
    woken = stream.say(0, "WOKEN", mine)
    assert watch(stream) == {"early_return": woken}


def test_a_csd_used_again_while_functions_of_the_last_call_run(watch, stream):
    """v4 unlocks before the function: csd_data has a second use while the target of the first still works."""
    csd = stream.address("csd_data[0]")
    for target in (1, 2):
        stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
        stream.say(0, "CSD_LOCK", csd, store=(csd + 4, LOCK))
        stream.say(0, "TARGET", target)
        stream.say(0, "QUEUE", 0, csd)
        stream.say(0, "RETURN")
        stream.interrupt(0, target, SINGLE)
        stream.say(target, "DEQUEUE", csd)
        stream.say(target, "CSD_UNLOCK", csd, 0, store=(csd + 4, 0))
        stream.say(target, "FUNC_ENTRY", 112, 5)
    for target in (2, 1):
        stream.say(target, "FUNC_EXIT")
        stream.say(target, "HANDLE_END")
        stream.say(target, "IRET")
    assert watch(stream, rests=True) == {}


# Where the room does not suffice, it says so.

def test_more_uses_than_entries(watch, stream):
    for index in range(3):
        stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
        stream.say(0, "TARGET", 1)
        last = stream.say(0, "QUEUE", 0, 700 + 8 * index)
        stream.say(0, "RETURN")
    assert watch(stream) == {}
    assert watch(stream, entries_per_core=2, compared=False) == {"overflow": last}


def test_more_locks_than_keys(watch, stream):
    stream.lock(0, "call_function.lock")
    clock = stream.lock(0, "cfd_data[0].lock")
    assert watch(stream) == {}
    assert watch(stream, keys_per_core=1, compared=False) == {"overflow": clock}


def test_more_frames_than_there_are(watch, stream):
    for _ in range(6):
        stream.accept(1)
    assert watch(stream) == {}
    clock = stream.accept(1)
    assert watch(stream, compared=False) == {"overflow": clock}


def test_a_handler_in_the_middle_of_a_handler(watch, stream, cfd):
    stream.publish(0, [1], cfd)
    stream.accept(1)
    stream.take(1, 0, cfd)
    stream.say(1, "FUNC_ENTRY", 112, 5)
    stream.accept(1)
    clock = stream.say(1, "DEQUEUE", 700)
    assert watch(stream, compared=False) == {"overflow": clock}


def test_a_function_before_it_is_known_whose(watch, stream, cfd):
    stream.publish(0, [1], cfd)
    stream.accept(1)
    stream.say(1, "TAKE", cfd)
    clock = stream.say(1, "FUNC_ENTRY", 112, 5)
    assert watch(stream, stretch=1, compared=False) == {"overflow": clock}


def test_deeds_of_one_clock_are_heard_one_after_the_other(watch):
    """Cores give back what nobody holds, all in one clock, and the flag has its clock. Five are too many to be heard in time."""
    for many in (4, 5):
        stream = Stream(8)
        clock = stream.clock + 1
        for core in range(many):
            stream.unlock(core, f"cfd_data[{core}].lock")
        stream.records = [record._replace(clock=clock) for record in stream.records if hasattr(record, "pc")]
        flags = watch(stream, compared=False)
        assert flags.pop("lock") == clock
        assert list(flags) == ([] if many == 4 else ["overflow"])


# The machine.

def judge(prepared, engine, plan):
    """(flags by oracle, what the oracles saw, ending) of one run."""
    config = prepared.settings.config
    observer = Observer(config, prepared.image, prepared.contents.arena, patience=3000)
    outcome = engine.run(prepared.contents, prepared.settings.straps, max_clocks=30_000, sink=observer, plan=plan, patience=3000)
    return by_oracle(outcome.flags), observer.finish(outcome), outcome.ending


#: One of each kind.
PLANS = (
    Plan(),
    Plan(kind=ScheduleKind.RANDOM, seed=1, stall=60, hold_interrupt=100, hold_message=60),
    Plan(kind=ScheduleKind.BOUNDED, seed=2, stall=3, hold_message=3, delay=6),
    Plan(kind=ScheduleKind.PCT, seed=3, changes=4, horizon=11),
)


@pytest.mark.parametrize("name, cores", [("single", 2), ("early-return", 3), ("two-senders", 4)])
def test_monitor_and_oracles_agree(name, cores):
    prepared = prepare(name, cores=cores)
    engine = PySimEngine(prepared.settings.config)
    for plan in PLANS if cores < 4 else PLANS[:2]:
        flags, seen, _ = judge(prepared, engine, plan)
        assert flags == seen, plan
        assert plan.kind is not ScheduleKind.NONE or set(flags) == set(prepared.scenario.expected)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", shipped_scenarios())
def test_monitor_and_oracles_agree_everywhere(name, cores):
    prepared = prepare_or_skip(name, cores, seed=1)
    engine = CompiledEngine(prepared.settings.config)
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
    pytest.param("many", "    call  send_call_func_ipi\n", "", {"O3", "WATCHDOG"}, id="no interrupt is sent"),
    pytest.param("single", "    btc   t0, CSD_FLAG_LOCK, .call\n    call  csd_unlock\n", "    call  csd_unlock\n", {"O6", "WARN"},
                 id="a csd that is not locked is unlocked"),
    pytest.param("many", "    sub   r3, t0, 1\n", "    sub   r3, t0, 2\n", {"O5"}, id="the count falls by two"),
    pytest.param("two-senders", "    call  spin_unlock, t1, [data + cfd.lock] !cfd_lock ; H6  spin_unlock(&data->lock)\n",
                 "    call  spin_unlock, t1, [data + cfd.lock]\n    call  spin_unlock, t1, [data + cfd.lock]\n", {"LOCK"},
                 id="a lock is given back twice"),
])
def test_broken_protocols_turn_red(tmp_path, scenario, old, new, expected):
    prepared = prepare(scenario, protocol=broken(tmp_path, old, new), cores=4 if scenario == "two-senders" else None)
    engine = PySimEngine(prepared.settings.config)
    flags, seen, _ = judge(prepared, engine, Plan())
    assert flags == seen
    assert set(flags) & expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cfd_lock", "call_function_lock", "call_single_queue_lock", "smp_mb_before_ipi"])
@pytest.mark.parametrize("model", [0, 1, 2])
def test_monitor_and_oracles_agree_on_what_is_knocked_out(name, model):
    prepared = prepare("storm", without=[name], assignments=[f"memory_model={model}", "x2apic=1"])
    engine = CompiledEngine(prepared.settings.config)
    for plan in PLANS:
        flags, seen, _ = judge(prepared, engine, replace(plan, hold_drain=100))
        assert flags == seen, plan

