"""The order of locks and of calls, and how long interrupts stay off."""

import pytest

from rtl.events import Whom
from rtl.memory.port import MemoryOp
from sim.calls import CallTracker
from sim.oracles import Verdict
from sim.oracles.discipline import GracePeriod, LockOrder
from sim.oracles.jury import Jury
from sim.oracles.measures import InterruptsOff, OrderOfCalls
from sim.oracles.places import Places
from sim.runs.prepare import prepare
from sim.runs.run import run
from tests.sim.streams import Stream


@pytest.fixture
def stream():
    return Stream(3)


def _judged(kind, stream):
    oracle, tracker = kind(stream.config, Places(stream.image)), CallTracker.for_image(stream.config, stream.image)
    jury = Jury([oracle])
    for record in stream.records:
        tracker.add(record)
        jury.add(record, tracker)
    return oracle


ONE, OTHER, GLOBAL = "cfd_data[0].lock", "cfd_data[1].lock", "call_function.lock"


def _nest(stream, core, *names):
    for name in names:
        stream.lock(core, name)
    for name in reversed(names):
        stream.unlock(core, name)


@pytest.mark.parametrize("first, second, bad", [
    ((ONE, GLOBAL), (OTHER, GLOBAL), False),
    # The other way round, also by locks of the same kinds only.
    ((ONE, GLOBAL), (GLOBAL, OTHER), True),
    # One of a kind in the middle of another is as it may be.
    ((ONE, OTHER), (OTHER, ONE), False),
])
def test_locks_are_taken_in_one_order(stream, first, second, bad):
    _nest(stream, 0, *first)
    _nest(stream, 1, *second)
    violations = _judged(LockOrder, stream).violations
    assert [item.oracle for item in violations] == ["LOCKORDER"] * bad
    if bad:
        assert violations[0].sentence.startswith("core 1 took cfd_data.lock while it held call_function.lock at clock ")


@pytest.mark.parametrize("enabled", [False, True])
def test_what_a_handler_takes_is_held_with_interrupts_off(stream, enabled):
    stream.accept(1)
    _nest(stream, 1, GLOBAL)
    stream.say(1, "IRET")
    stream.say(0, "LOCK_TRY", store=(stream.address(GLOBAL), 1), op=MemoryOp.SWAP, enabled=enabled)
    stream.unlock(0, GLOBAL)
    violations = _judged(LockOrder, stream).violations
    assert len(violations) == enabled
    if enabled:
        assert "core 0 held call_function.lock with interrupts on" in violations[0].sentence


@pytest.mark.parametrize("enabled", [False, True])
def test_interrupts_stay_off_until_a_lock_is_released(stream, enabled):
    stream.accept(1)
    _nest(stream, 1, GLOBAL)
    stream.say(1, "IRET")
    stream.lock(0, GLOBAL)
    stream.say(0, "UNLOCK", store=(stream.address(GLOBAL), 0), enabled=enabled)
    assert [item.oracle for item in _judged(LockOrder, stream).violations] == ["LOCKORDER"] * enabled


@pytest.mark.parametrize("ended, late", [((), "cores 1 and 2"), ((1,), "core 2"), ((1, 2), None)])
def test_what_walkers_visit_is_freed_when_their_walks_have_ended(stream, ended, late):
    entry, other = stream.address("cfd_data[0]"), stream.address("cfd_data[1]")
    for core in (1, 2):
        stream.say(core, "VISIT", entry, 16)
        # It is past the entry: in another run it might not be.
        stream.say(core, "VISIT", other, 16)
    unlinked = stream.say(1, "LIST_DEL", entry)
    for core in ended:
        stream.say(core, "HANDLE_END")
    # If the walk of core 2 has ended, this is another one, which cannot come to the entry.
    stream.say(2, "VISIT", other, 16)
    freed = stream.say(0, "FREE", entry)
    oracle = _judged(GracePeriod, stream)
    assert oracle.exercised == 1
    sentence = f"core 0 freed cfd_data[0].csd at clock {freed}, and the walk of {late} has not ended since it was unlinked at clock"
    assert [item.sentence for item in oracle.violations] == ([f"{sentence} {unlinked}"] if late else [])


def test_what_no_walker_visits_may_be_freed_at_once(stream):
    """A csd for one core; and an object that has been allocated for something else since."""
    entry, other = stream.address("cfd_data[0]"), stream.address("cfd_data[1]")
    stream.say(1, "VISIT", other, 16)
    stream.say(2, "LIST_DEL", entry)
    stream.say(2, "FREE", entry)
    stream.say(2, "LIST_DEL", other)
    stream.say(0, "ALLOC", other)
    stream.say(0, "FREE", other)
    oracle = _judged(GracePeriod, stream)
    assert not oracle.violations and oracle.verdict is Verdict.NOT_EXERCISED


@pytest.mark.parametrize("order, overtaken", [((5, 6), 0), ((6, 5), 1)])
def test_a_call_that_is_overtaken(stream, order, overtaken):
    for info in (5, 6):
        stream.ask(0, Whom.TARGET, target=1, info=info)
        stream.result(0)
    for info in order:
        stream.run(1, info=info)
    oracle = _judged(OrderOfCalls, stream)
    assert oracle.facts()["overtaken"] == overtaken
    assert not oracle.violations
    if overtaken:
        assert oracle.first.startswith("core 1 came to call 0.0 ") and "after call 0.1 " in oracle.first


def test_interrupts_that_are_off(stream):
    stream.request(0)
    for enabled in (True, False, False, False, True, False):
        stream.say(1, "NONE", enabled=enabled)
    assert _judged(InterruptsOff, stream).longest == 2


@pytest.mark.slow
def test_6_12_lets_those_who_wait_go_first():
    """Two calls of core 0 come to a core that is busy: the later one waits."""
    from sim.scenarios.reader import find_scenario
    result = run(prepare(find_scenario("queue-irq"), protocol="v6"))
    assert result.facts["overtaken"] > 0 and "after call" in result.facts["first_overtaken"]
