"""What the store buffer means for a core: which words wait for it, which do not, and that no store is ever lost."""

from dataclasses import replace

import pytest

from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryModel, MemoryOp
from sim.engines.engine import Ending
from sim.records import ApicRecord, CoreRecord

from .machine_runner import NO_WAITING, runner

DEPTH = 4
#: The clock from which on drains are no longer held.
RELEASE = 60


def straps(memory_model, **others):
    return replace(NO_WAITING, memory_model=memory_model.value, **others)


TSO, PSO = straps(MemoryModel.TSO), straps(MemoryModel.PSO)
ALL = [straps(model) for model in MemoryModel]


def held(clock):
    """No core drains before RELEASE."""
    return {"hold_drain": 0b11 * (clock < RELEASE)}


def run(contents, straps, *, cores=1, schedule=held, **options):
    run = runner(cores).run(contents, straps, schedule=schedule, **options)
    assert options or run.ending is Ending.QUIET
    return run


def clock_of(run, event, core=0):
    """The clock in which the only word with this event completed."""
    record, = run.said(event, core)
    return record.clock


def executed(run, core=0):
    """(clock, address) of the stores that the core has executed."""
    return [(record.clock, record.address) for record in run.of(CoreRecord, core) if record.op is MemoryOp.WRITE]


def visible(run, core=0):
    """(clock, address) of those that have become visible."""
    return [(record.clock, record.address) for record in run.commits if record.op is MemoryOp.WRITE and record.core == core]


# --- stores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["st [{}], r0", "stc [{}], 1"])
def test_a_store_takes_one_clock_while_there_is_room(store, assembled):
    """The one that finds the buffer full waits until the first is visible."""
    contents, _ = assembled("\n".join([store.format(20 + number) for number in range(DEPTH + 1)] + ["halt"]))
    done = run(contents, TSO)
    clocks = [clock for clock, _ in executed(done)]
    assert clocks[:DEPTH] == list(range(clocks[0], clocks[0] + DEPTH))
    # The last clock in which the drain is held is RELEASE: hold is sampled at the edge. It takes 3 clocks; then there is room.
    first = visible(done)[0][0]
    assert clocks[DEPTH] == first + 1 > RELEASE
    assert [address for _, address in visible(done)] == list(range(20, 21 + DEPTH))


def test_under_sc_a_store_waits_for_memory(assembled):
    contents, _ = assembled("stc [20], 1\nstc [21], 1\nhalt")
    done = run(contents, straps(MemoryModel.SC))
    assert executed(done) == visible(done)
    assert [clock for clock, _ in executed(done)] == [5, 8], "3 clocks each, whatever the schedule holds"


def test_a_full_buffer_makes_a_store_wait_no_longer_than_a_drain(assembled):
    """Without holds: as many stores as one likes, one every three clocks once the buffer is full."""
    contents, _ = assembled("\n".join([f"stc [{20 + number}], 1" for number in range(20)] + ["halt"]))
    done = run(contents, TSO, schedule=None)
    clocks = [clock for clock, _ in executed(done)]
    assert {later - earlier for earlier, later in zip(clocks[10:], clocks[11:], strict=False)} == {3}


def test_a_core_reads_its_own_stores_early(assembled):
    contents, _ = assembled("stc [20], 1\nstc [20], 2\nld r0, [20]\nnop @TAKE(r0)\nhalt")
    done = run(contents, TSO)
    record, = done.said(Event.TAKE)
    assert record.a == 2
    assert record.clock < RELEASE < visible(done)[0][0]


def test_spinning_with_one_word_does_not_keep_stores_back(assembled):
    """LDZ to itself loads without a clock between: two cores that wait for each other that way once did so for ever."""
    contents, _ = assembled("""
        .org 0
            cpuid r0
            beq r0, 0, boot
            stc [21], 1
        there:
            ldz r1, [20], there
            halt
        boot:
            mov r1, 0x0100
            apicwrh r1
            apicwr r0, APIC_ICR2
            mov r1, MODE_STARTUP << 8
            apicwr r1, APIC_ICR
            stc [20], 1
        here:
            ldz r1, [21], here
            halt
    """, n_cores=2)
    run(contents, TSO, cores=2, schedule=None)


@pytest.mark.parametrize("straps", ALL, ids=lambda item: MemoryModel(item.memory_model).name.lower())
def test_quiet_only_when_everything_is_visible(straps, assembled):
    """A core that sleeps drains."""
    contents, addresses = assembled("stc [20], 1\nstc [21], 2\nhalt")
    done = run(contents, straps)
    assert done.arena[20:22] == [1, 2]
    if straps.memory_model:
        assert done.clocks > RELEASE
        assert done.status[RELEASE - 1][0].halted


# --- what waits -------------------------------------------------------------------------------------------------------

#: A word -> (memory model, x2APIC) in which it waits for the stores before it; the others do not wait.
_EVERYWHERE = {(model, x2apic) for model in (MemoryModel.TSO, MemoryModel.PSO) for x2apic in (0, 1)}
_XAPIC = {(model, 0) for model in (MemoryModel.TSO, MemoryModel.PSO)}
WAITS = {
    "fence FULL": _EVERYWHERE,
    "fence WRITE": {(MemoryModel.PSO, 0), (MemoryModel.PSO, 1)},
    "fence READ": set(),
    "swap r1, [40], r0": _EVERYWHERE,
    "cas r1, [40], r0": _EVERYWHERE,
    "fadd r1, [40], r0": _EVERYWHERE,
    "fand r1, [40], r0": _EVERYWHERE,
    "fandn r1, [40], r0": _EVERYWHERE,
    "for r1, [40], r0": _EVERYWHERE,
    "apicwr r0, APIC_ICR2": _XAPIC,
    "apicwr r0, APIC_EOI": _XAPIC,
    "apicrd r1, APIC_ICR": _XAPIC,
    "apicrdh r1, APIC_ICR2": _XAPIC,
    "apicwrh r0": set(),
    "ld r1, [40]": set(),
    "ld r1, [20]": set(),
    "sti": set(),
    "irqsave": set(),
    "call next": set(),
    "nop": set(),
}


@pytest.mark.parametrize("word", WAITS)
def test_what_waits_for_the_stores_before_it(word, assembled):
    contents, _ = assembled(f"stc [20], 1\nstc [21], 2\n{word}\nnext:\nnop @TAKE\nhalt")
    for model in MemoryModel:
        for x2apic in (0, 1):
            done = run(contents, straps(model, x2apic=x2apic))
            after = clock_of(done, Event.TAKE)
            if (model, x2apic) in WAITS[word]:
                assert after > visible(done)[-1][0] > RELEASE
            else:
                assert after < RELEASE


#: The main program sends itself an interrupt with a store in the buffer, which is why it needs x2APIC mode; the handler stores.
HANDLER = """
    .org 0
        jmp main
    .org ENTRY_INTERRUPT
        ld r2, [20] @HANDLE
        nop @TAKE(r2)
        stc [21], 2
        iret @IRET
    main:
        sti
        nop
        stc [20], 1 @QUEUE
        mov r1, 0x40
        apicwr r1, APIC_ICR
"""


def test_an_interrupt_comes_between_a_store_and_its_drain(assembled):
    """The handler reads what the core has stored. Its IRET waits until everything is visible, its own store too."""
    contents, _ = assembled(f"{HANDLER}\nwait:\nld r3, [21]\nbeq r3, 0, wait\nnop @WOKEN\ncli\nhalt")
    done = run(contents, straps(MemoryModel.TSO, x2apic=1))
    accepted, = (record.clock for record in done.of(ApicRecord) if record.event is ApicEvent.ACCEPT)
    assert clock_of(done, Event.QUEUE) < accepted < RELEASE
    assert done.said(Event.TAKE)[0].a == 1
    last = visible(done)[-1]
    assert last[1] == 21 and clock_of(done, Event.IRET) == last[0] + 1 > RELEASE
    assert clock_of(done, Event.WOKEN) > last[0]


def test_in_xapic_mode_the_interrupt_is_sent_behind_the_store(assembled):
    contents, _ = assembled(f"{HANDLER}\nwait:\nld r3, [21]\nbeq r3, 0, wait\ncli\nhalt")
    done = run(contents, TSO)
    sent, = (record.clock for record in done.of(ApicRecord) if record.event is ApicEvent.SEND)
    assert sent > visible(done)[0][0] > RELEASE


def test_sti_halt_sleeps_with_stores_in_the_buffer(assembled):
    """An interrupt wakes it before they are visible, and none is lost."""
    contents, _ = assembled("""
        .org 0
            jmp main
        .org ENTRY_INTERRUPT
            nop @HANDLE
            iret
        main:
            stc [20], 1
            mov r1, 0x40
            apicwr r1, APIC_ICR
            sti
            halt
            cli
            halt
    """)
    done = run(contents, straps(MemoryModel.TSO, x2apic=1))
    assert clock_of(done, Event.HANDLE) < RELEASE < visible(done)[0][0]
    assert done.arena[20] == 1


# --- traps and INIT ---------------------------------------------------------------------------------------------------


def test_a_store_that_faults_stores_nothing_and_those_before_it_are_kept(assembled):
    """It traps in the clock after it is issued, which is when there is room."""
    contents, _ = assembled("\n".join([f"stc [{20 + number}], 1" for number in range(DEPTH)] + ["stc [2], 7", "stc [30], 1"]))
    done = run(contents, TSO, through_traps=True)
    fault, = done.said(Event.FAULT)
    assert (fault.address, fault.op) == (2, None)
    assert fault.clock == visible(done)[0][0] + 2 > RELEASE
    assert [address for _, address in visible(done)] == list(range(20, 20 + DEPTH))
    assert done.arena[2] == 0


def test_init_keeps_what_has_been_executed(assembled):
    """A core that INIT hits with stores in its buffer has executed them: they become visible, and its next life reads them."""
    contents, _ = assembled("""
        .org 0
            cpuid r0
            beq r0, 0, boot
            ld r2, [20]
            bne r2, 0, second
            stc [20], 1
            stc [21], 2 @QUEUE
            halt
        second:
            nop @TAKE(r2)
            stc [22], 3
            halt
        boot:
            mov r1, 0x0100
            apicwrh r1
            apicwr r0, APIC_ICR2
            mov r1, MODE_STARTUP << 8
            apicwr r1, APIC_ICR
            mov r2, 15
        lives:
            loop r2, r2, lives
            mov r1, MODE_INIT << 8
            apicwr r1, APIC_ICR
            mov r2, 5
        dies:
            loop r2, r2, dies
            mov r1, MODE_STARTUP << 8
            apicwr r1, APIC_ICR
            halt
    """, n_cores=2)
    done = run(contents, TSO, cores=2)
    assert clock_of(done, Event.QUEUE, core=1) < clock_of(done, Event.TAKE, core=1) < RELEASE < visible(done, core=1)[0][0]
    assert [address for _, address in visible(done, core=1)] == [20, 21, 22]
    assert done.arena[20:23] == [1, 2, 3]


def test_init_in_the_clock_of_a_store(assembled):
    """Whatever the clock in which INIT comes: every store that the core says it has executed becomes visible, and no other."""
    many = "\n".join(f"stc [{20 + number}], 1" for number in range(40))
    lost = []
    for delay in range(1, 12):
        contents, _ = assembled(f"""
            .const DELAY ?= 1
            .org 0
                cpuid r0
                beq r0, 0, boot
                {many}
                halt
            boot:
                mov r1, 0x0100
                apicwrh r1
                apicwr r0, APIC_ICR2
                mov r1, MODE_STARTUP << 8
                apicwr r1, APIC_ICR
                mov r2, DELAY
            lives:
                loop r2, r2, lives
                mov r1, MODE_INIT << 8
                apicwr r1, APIC_ICR
                halt
        """, n_cores=2, DELAY=delay)
        done = run(contents, TSO, cores=2, schedule=None)
        stores = [address for _, address in executed(done, core=1)]
        assert [address for _, address in visible(done, core=1)] == stores
        lost.append(len(stores))
    assert 0 < min(lost) < max(lost) < 40, "INIT has come in the middle"
