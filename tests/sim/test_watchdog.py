"""When a run is stuck, and what is said about it."""

import pytest

from rtl.events import ApicEvent, Whom
from sim.calls import CallTracker
from sim.engines.engine import Ending
from sim.records import ApicRecord
from sim.watchdog import Watchdog

from .streams import SINGLE, Stream

PATIENCE = 100
#: As sentences name the call that most of these runs are about.
CALL = "call 0.0 smp_call_function_single from core 0"


def watch(stream):
    """(watchdog, tracker, clock at which it said that the run is stuck, or None)."""
    tracker = CallTracker.for_image(stream.config, stream.image)
    watchdog = Watchdog(tracker, patience=PATIENCE)
    for record in stream.records:
        tracker.add(record)
        if watchdog.add(record):
            return watchdog, record.clock
    return watchdog, None


def spin(stream, core=0, clocks=PATIENCE + 2):
    """A core reads a word that does not change. Returns the clock of the last event before."""
    last = stream.clock
    for _ in range(clocks):
        stream.read(core, 20)
    return last


def sentences(stream):
    return [item.sentence for item in watch(stream)[0].violations]


@pytest.fixture
def stream():
    return Stream()


def test_a_run_that_goes_on_is_not_stuck(stream):
    for _ in range(20):
        stream.many(0, [1, 2])
        spin(stream, clocks=PATIENCE)
    watchdog, clock = watch(stream)
    assert clock is None and watchdog.violations == []


def test_a_waiter_names_how_far_each_target_has_come(stream):
    csd = stream.address("cfd_data[0]")
    stream.publish(0, [1, 2, 3], csd)
    stream.interrupt(0, 1)
    stream.handle(1, 0, csd)
    sent = stream.send(0, 2)
    delivered = stream.deliver(0, 2)
    stream.interrupt(0, 3)
    stream.take(3, 0, csd)
    entry = stream.begin(3)
    stream.say(0, "WAIT", csd)
    last = spin(stream, core=3)
    watchdog, clock = watch(stream)
    assert clock == last + PATIENCE + 1
    [violation] = watchdog.violations
    assert violation[:4] == ("WATCHDOG", clock, ("0.0",), (0, 2, 3))
    assert violation.sentence == (
        "call 0.0 smp_call_function_many from core 0 waits: core 1 reached exit, "
        f"core 2 was never interrupted (ipi sent at {sent}, delivered at {delivered}), core 3 reached entry at {entry}")


def test_one_sentence_for_each_call(stream):
    for caller in (0, 1):
        stream.say(caller, "CALL", 112, 5, at="smp_call_function_single")
        stream.say(caller, "TARGET", 2)
        stream.say(caller, "QUEUE", 0, stream.address(f"csd_data[{caller}]"))
    noipi = stream.say(1, "NOIPI")
    stream.say(1, "RETURN")
    spin(stream)
    assert sentences(stream) == [
        f"{CALL} got no further than queue at 3: core 2 was never interrupted (no ipi was sent)",
        (f"call 1.0 smp_call_function_single from core 1 returned at {noipi + 1} and is not over: "
         f"core 2 was never interrupted (noipi at {noipi}: its queue was not empty)")]


def test_a_message_under_way(stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 2)
    sent = stream.send(0, 2)
    spin(stream)
    assert sentences(stream) == [
        f"{CALL} got no further than call at 1: core 2 was never interrupted (ipi sent at {sent}, not delivered)"]


@pytest.mark.parametrize("event, found", [("DEQUEUE_EMPTY", "found its queue empty"), ("HANDLE", "did not take the call")])
def test_a_target_that_was_interrupted_in_vain(stream, event, found):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_single")
    stream.say(0, "TARGET", 2)
    accepted = stream.interrupt(0, 2, SINGLE)
    stream.say(2, event)
    spin(stream)
    assert sentences(stream) == [f"{CALL} got no further than call at 1: core 2 was interrupted at {accepted} and {found}"]


def test_a_call_that_has_no_target_yet(stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    spin(stream)
    assert sentences(stream) == ["call 0.0 smp_call_function_many from core 0 got no further than call at 1"]


def test_stuck_without_a_call(stream):
    stream.say(0, "COMMAND")
    spin(stream)
    assert sentences(stream) == ["nothing has happened since clock 1"]


def test_trying_for_a_lock_is_no_progress(stream):
    stream.lock(0, "call_function.lock")
    for _ in range(PATIENCE + 2):
        stream.lock(1, "call_function.lock", taken=True)
    assert watch(stream)[1] == PATIENCE + 2


def test_a_word_that_changes_is_progress(stream):
    for value in range(2 * PATIENCE):
        stream.store(0, 900, value)
    assert watch(stream)[1] is None


# --- the progress of functions ----------------------------------------------------------------------------------------


def test_a_function_that_works_is_progress(stream):
    """It is silent for as long as it works, while everybody waits for it."""
    stream.begin(1)
    spin(stream, clocks=50 * PATIENCE)
    stream.ran(1)
    assert watch(stream)[1] is None


def test_a_function_that_spins_is_none(stream):
    last = stream.begin(1)
    spin(stream, core=1)
    assert watch(stream)[1] == last + PATIENCE + 1


def test_a_function_that_has_ended_is_none(stream):
    stream.begin(1)
    last = stream.ran(1)
    spin(stream)
    assert watch(stream)[1] == last + PATIENCE + 1


def test_of_a_function_that_says_nothing_nobody_knows():
    stream = Stream(unsaid=["RUN"])
    stream.begin(1)
    last = stream.say(1, "FUNC_ENTRY", 112, 5)
    spin(stream)
    assert watch(stream)[1] == last + PATIENCE + 1


@pytest.mark.parametrize("late, stuck", [(0, False), (1, True)])
def test_a_function_works_that_has_been_silent_for_half_of_the_patience(stream, late, stuck):
    last = stream.begin(1)
    spin(stream, core=2, clocks=PATIENCE // 2 - 1 + late)
    stream.read(1, 20)
    spin(stream, core=2, clocks=PATIENCE)
    assert watch(stream)[1] == (last + PATIENCE + 1 if stuck else None)


def test_a_function_inside_another_works_as_well(stream):
    stream.begin(1)
    stream.begin(1)
    last = stream.ran(1)
    spin(stream, clocks=2 * PATIENCE)
    assert watch(stream)[1] is None
    stream.ran(1)
    spin(stream)
    assert watch(stream)[1] > last + 2 * PATIENCE


@pytest.mark.parametrize("ended, stuck", [(False, False), (True, True)])
def test_a_run_that_is_cut_off_in_a_function_is_not_stuck(stream, ended, stuck):
    stream.begin(1)
    if ended:
        stream.ran(1)
    watchdog, _ = watch(stream)
    stream.wait(3 * PATIENCE)
    watchdog.finish(stream.outcome(Ending.LIMIT))
    assert bool(watchdog.violations) == stuck


def test_what_it_says_of_itself(stream):
    stream.many(0, [1, 2])
    watchdog, _ = watch(stream)
    watchdog.finish(stream.outcome())
    assert watchdog.to_json() == {"name": "WATCHDOG", "title": "the run makes progress until it ends", "verdict": "holds",
                                  "exercised": stream.clock + 1, "lacks": []}


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event, why", [("refuse", "was refused at clock"), ("nobody", "to 0x9 reached no core at clock")])
def test_a_message_that_vanished_is_a_reason(stream, event, why):
    stream.ask(0, Whom.TARGET, target=2, wait=True)
    if event == "refuse":
        stream.records.append(ApicRecord(stream.clock, 0, ApicEvent.REFUSE, SINGLE, 2))
    else:
        stream.send(0, 9, SINGLE)
        stream.deliver(0, 9, SINGLE, accepted=False)
    clock = stream.clock
    spin(stream)
    assert sentences(stream)[0].endswith(f"; its interrupt 0xfb {why} {clock}")


def test_it_says_so_once(stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    spin(stream)
    tracker = stream.tracked()
    watchdog = Watchdog(tracker, patience=PATIENCE)
    stuck = [watchdog.add(record) for record in stream.records]
    assert stuck == sorted(stuck) and stuck.count(True) == 4 and len(watchdog.violations) == 1


@pytest.mark.parametrize("ending, stuck", [(Ending.LIMIT, True), (Ending.QUIET, False)])
def test_a_silent_run_is_seen_at_its_end(stream, ending, stuck):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    watchdog, clock = watch(stream)
    assert clock is None
    stream.wait(PATIENCE + 1)
    watchdog.finish(stream.outcome(ending))
    assert bool(watchdog.violations) == stuck


def test_what_is_not_over_can_be_asked_for(stream):
    stream.many(0, [1, 2])
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    watchdog, _ = watch(stream)
    assert watchdog.sentences() == [f"call 0.1 smp_call_function_many from core 0 got no further than call at {stream.clock}"]


@pytest.mark.parametrize("silence, stuck", [(PATIENCE, False), (PATIENCE + 1, True)])
def test_a_silence_that_was_too_long_is_not_mended_by_its_end(stream, silence, stuck):
    """As the Monitor has it: there were more than so many clocks without anything."""
    stream.store(0, 900, 1)
    last = stream.records[-1].clock
    stream.store(0, 900, 2)
    change = next(record for record in stream.records if record.clock > last and hasattr(record, "new"))
    watchdog = Watchdog(stream.tracked(), patience=PATIENCE)
    for record in stream.records[:stream.records.index(change)]:
        assert not watchdog.add(record)
    assert watchdog.add(change._replace(clock=last + silence + 1)) is stuck
