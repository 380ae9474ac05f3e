"""The core of a one-core Machine: random programs against the model, clocks, interrupts, traps, the schedule, INIT and STARTUP."""

import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rtl.config import MachineConfig, Straps
from rtl.core.microword import CONDITIONAL_OPS, MEMORY_BLOCK, MEMORY_OPS, NO_OPS, OPERATIONS, MicroWord, Op
from rtl.events import ApicEvent, Event
from rtl.machine import Machine
from sim.engines.engine import Contents, Ending, Job
from sim.engines.spec import EngineSpec
from sim.records import ApicRecord, CoreRecord, MessageRecord

from .core_model import CoreModel
from .core_programs import noise, program
from .machine_runner import FIRST_WORD, NO_WAITING, Recorder, follow, runner

POPS = (Op.RET, Op.POP, Op.POPA, Op.IRET, Op.IRQRESTORE)


def contents_of(words, arena=None):
    raw = [word if isinstance(word, int) else MicroWord.const(word).as_bits() for word in words]
    return Contents(microcode=raw, arena=arena or {})


def events(records):
    return [record.event for record in records if record.event is not Event.NONE]


# --- random programs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, pytest.param("pysim", marks=pytest.mark.slow)], ids=["compiled", "pysim"])
@pytest.mark.parametrize("xlen, n_banks", [(16, 1), (32, 2), (64, 4)])
def test_random_programs(xlen, n_banks, kind):
    """The core says what the model says, clock by clock, and leaves the same arena."""
    config = MachineConfig(n_cores=1, xlen=xlen, n_banks=n_banks, arena_depth=128, stack_depth=32, n_vectors=64)
    engine = EngineSpec(config, kind).make()
    seen = Counter()
    for number in range(66):
        seed = 1000 * xlen + number
        rng = random.Random(seed)
        straps = Straps(fabric_latency=rng.randrange(5), arena_latency=rng.choice([0, 0, 1, 3]),
                        interrupt_entry=rng.choice([0, 1, 3]), interrupt_return=rng.choice([0, 1, 3]))
        contents = noise(rng, config) if number % 3 == 2 else program(rng, config, interrupts=number % 3 == 1)
        sink = Recorder(config)
        outcome = engine.run(Job(contents, straps, max_clocks=300 if number % 3 == 2 else 2500), sink=sink)
        try:
            model = follow(config, contents, straps, SimpleNamespace(
                clocks=outcome.clocks, ending=outcome.ending, records=sink.records, arena=outcome.arena))
        except AssertionError as error:
            error.add_note(f"xlen {xlen}, seed {seed}")
            raise
        seen += model.seen
    wanted = {op for op in Op if op is not Op.PANIC}
    wanted |= {(op, taken) for op in (*CONDITIONAL_OPS, Op.CAS) for taken in (False, True)}
    wanted |= {(Op.SHL, "modulo xlen"), (Op.BIT, "modulo xlen"), (Op.FFS, "none"), (Op.ICALL, "trap")}
    wanted |= {(op, form) for op in (Op.JMP, Op.CALL) for form in ("[ra + imm]", "[imm]")}
    wanted |= {Event.PANIC, Event.FAULT, Event.STACK_FAULT, "interrupt"}
    missing = wanted - set(seen)
    assert not missing


# --- clocks per operation ---------------------------------------------------------------------------------------------


def documented(op, straps, after_a_push):
    """Clocks of an operation as the table says it."""
    text = OPERATIONS[op].clocks
    fixed = {
        "3 + contention": 3 + straps.arena_latency,
        "1 + drain": 1,
        "1 + interrupt_return": 1 + straps.interrupt_return,
    }
    if text in fixed:
        return fixed[text] + (after_a_push and op in POPS)
    now, comma, then = text.removesuffix(" after a push or call").partition(", ")
    assert not after_a_push or comma
    return int(then if after_a_push else now)


def clocks_of(op, straps, after_a_push=False):
    """Clocks between the words before and after the operation, which say COMMAND and COMMAND_DONE."""
    words = [{"op": Op.NOP}, {"op": Op.MOV, "use_imm": 1}, *({"op": Op.PUSH} for _ in range(7))]
    if not after_a_push:
        words.append({"op": Op.NOP})
    words[-1]["event"] = Event.COMMAND
    done = len(words) + 1
    words[1]["imm"] = done            # where RET, IRET and ICALL go
    memory = op in MEMORY_OPS
    words += [{"op": op, "rd": 1, "target": done, "use_imm": int(memory), "imm": 20 if memory else 0},
              {"op": Op.NOP, "event": Event.COMMAND_DONE, "entry": 1}, {"op": Op.CLI}, {"op": Op.HALT}]
    run = runner().run(contents_of(words), straps)
    assert run.ending is Ending.QUIET
    return run.said(Event.COMMAND_DONE)[0].clock - run.said(Event.COMMAND)[0].clock - 1


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op not in (Op.PANIC, Op.HALT)], ids=lambda op: op.name.lower())
def test_clocks(op):
    """Every operation takes the clocks that its description says."""
    assert clocks_of(op, NO_WAITING) == documented(op, NO_WAITING, False)
    if op in POPS:
        assert clocks_of(op, NO_WAITING, after_a_push=True) == documented(op, NO_WAITING, True)
    if op in MEMORY_OPS or op is Op.IRET:
        slow = Straps(fabric_latency=0, arena_latency=2, interrupt_entry=3, interrupt_return=5)
        assert clocks_of(op, slow) == documented(op, slow, False)


@pytest.mark.parametrize("rounds", [1, 2, 17])
def test_loop_to_itself_works_for_so_many_clocks(rounds, assembled):
    contents, _ = assembled("""
        .const ROUNDS ?= 0
            mov r0, ROUNDS @COMMAND
        work:
            loop r0, r0, work
            nop @COMMAND_DONE
            halt
    """, ROUNDS=rounds)
    run = runner().run(contents)
    assert run.said(Event.COMMAND_DONE)[0].clock - run.said(Event.COMMAND)[0].clock - 1 == rounds


# --- interrupts -------------------------------------------------------------------------------------------------------

#: The handler says HANDLE, TAKE with the vector, and IRET.
INTERRUPTS = """
    .macro send number
        mov r1, number
        apicwr r1, APIC_ICR
    .end
    .macro send_and_wait number
        send number
        mov r1, 12
    .until_it_is_there:
        loop r1, r1, .until_it_is_there
    .end
    .org 0
        jmp main
    .org ENTRY_INTERRUPT
        nop @HANDLE
        push r0
        vector r0
        nop @TAKE(r0)
        mov r0, 0
        apicwr r0, APIC_EOI
        pop r0
        iret @IRET
"""
HANDLED = [Event.HANDLE, Event.TAKE, Event.IRET]


def accepted(run):
    return [record for record in run.of(ApicRecord) if record.event is ApicEvent.ACCEPT]


def test_interrupts_on_after_the_word_that_follows(assembled):
    """STI has a shadow of one word; one that finds interrupts on has none, and neither has IRQRESTORE."""
    contents, _ = assembled(INTERRUPTS + """
        main:
            send_and_wait 0x40
            sti
            nop @CSD_LOCK
            nop @CSD_UNLOCK
            cli
            send_and_wait 0x41
            sti
            sti @QUEUE
            nop @NOIPI
            cli
            send_and_wait 0x42
            mov r0, 1
            push r0
            irqrestore @WAIT
            nop @WOKEN
            cli
            halt
    """)
    assert events(runner().run(contents).of(CoreRecord)) == [
        Event.CSD_LOCK, *HANDLED, Event.CSD_UNLOCK,
        Event.QUEUE, *HANDLED, Event.NOIPI,
        Event.WAIT, *HANDLED, Event.WOKEN,
    ]


@pytest.mark.parametrize("apart", [False, True])
def test_sti_halt_never_loses_a_wake_up(apart, assembled):
    """Whenever the interrupt comes: who looks for work with interrupts off, and goes to sleep with STI and HALT, is woken.

    With a word between the two he is not always: this test can see a wake-up that is lost.
    """
    contents, _ = assembled("""
        .const APART ?= 0
        .org 0
            jmp main
        .org ENTRY_INTERRUPT
            stc [20], 1
            apicwr r0, APIC_EOI
            iret
        main:
            mov r1, 0x40
            apicwr r1, APIC_ICR
        look:
            cli
            ldnz r2, [20], work
            sti
        .if APART
            nop
        .end
            halt
            jmp look
        work:
            nop @COMMAND_DONE
            halt
    """, APART=int(apart))
    woken = [bool(runner().run(contents, Straps(fabric_latency=latency, arena_latency=0, interrupt_entry=0, interrupt_return=0))
                  .said(Event.COMMAND_DONE)) for latency in range(20)]
    assert any(woken)
    assert all(woken) != apart


def test_no_interrupt_at_the_landing_of_an_indirect_call(assembled):
    contents, _ = assembled(INTERRUPTS + """
        main:
            send_and_wait 0x40
            mov r0, function
            sti
            icall r0 @FUNC_ENTRY
            halt
        .entry function
            nop @VISIT
            nop @FUNC_EXIT
            cli
            halt
    """)
    assert events(runner().run(contents).of(CoreRecord)) == [Event.FUNC_ENTRY, Event.VISIT, *HANDLED, Event.FUNC_EXIT]


def test_an_interrupt_in_every_clock(assembled):
    """One interrupt is held back until each clock of a program in turn. It is accepted in the first clock after that in which a
    word could start, but not in the shadow of STI nor at the landing of ICALL; registers and private stack are as the model has
    them after it."""
    contents, _ = assembled(INTERRUPTS + """
        main:
            send_and_wait 0x40
            mov r0, 7
            sti
            nop @COMMAND
            mov r2, function
            pusha @CALL
            popa @RETURN(r0)
            irqsave
            irqrestore
            icall r2 @FUNC_ENTRY
            st [20], r0
            fadd r3, [20], r0 @REFS(r3, r0)
            pusha
            popa
            push r0
            pop r4
            halt
        .entry function
            nop @VISIT
            ret @FUNC_EXIT
    """)
    straps = Straps(fabric_latency=0, arena_latency=1, interrupt_entry=2, interrupt_return=3)
    model = CoreModel(runner().config, contents, straps, start=FIRST_WORD)
    possible = []
    while not model.halted:
        if model.interruptible:
            possible.append(model.clock)
        model.step()
    first, asleep = possible[0], model.clock
    assert len(possible) < asleep - first - 20, "there is much that may not be interrupted"
    for release in range(first - 2, asleep + 3):
        run = runner().run(contents, straps, schedule=lambda clock, release=release: {"hold_interrupt": int(clock < release)})
        assert accepted(run)[0].clock == next(
            clock for clock in (*possible, *range(asleep, asleep + 9)) if clock > release), f"released in clock {release}"
        follow(runner().config, contents, straps, run)


@pytest.mark.parametrize("cost", [0, 1, 8])
def test_interrupt_entry_and_return_cost_what_the_straps_say(cost, assembled):
    contents, _ = assembled(INTERRUPTS + """
        main:
            send_and_wait 0x40
            sti
            nop
            nop @WOKEN
            cli
            halt
    """)
    other = 3
    for entry, back in (cost, other), (other, cost):
        run = runner().run(contents, Straps(fabric_latency=0, interrupt_entry=entry, interrupt_return=back))
        accept, = accepted(run)
        assert accept.vector == run.said(Event.TAKE)[0].a == 0x40
        assert run.said(Event.HANDLE)[0].clock == accept.clock + 1 + entry
        assert run.said(Event.WOKEN)[0].clock == run.said(Event.IRET)[0].clock + 1 + back


def test_nested_interrupts(assembled):
    """A handler that lets others in: each goes back to where it came from, with what it had on the private stack."""
    contents, _ = assembled("""
        .org 0
            jmp main
        .org ENTRY_INTERRUPT
            push r2
            vector r0
            push r0
            nop @TAKE(r0)
            bge r0, 0x70, highest
            add r1, r0, 0x10
            apicwr r1, APIC_ICR
            sti
            mov r2, 12
        let_it_in:
            loop r2, r2, let_it_in
            cli
        highest:
            pop r0
            mov r1, 0
            apicwr r1, APIC_EOI
            pop r2
            nop @DEQUEUE(r0)
            iret @IRET
        main:
            mov r1, 0x50
            apicwr r1, APIC_ICR
            sti
            halt
            getif r3
            nop @WOKEN(r3)
            cli
            halt
    """)
    run = runner().run(contents)
    assert [(record.event, record.a) for record in run.of(CoreRecord) if record.event is not Event.IRET] == [
        (Event.TAKE, 0x50), (Event.TAKE, 0x60), (Event.TAKE, 0x70),
        (Event.DEQUEUE, 0x70), (Event.DEQUEUE, 0x60), (Event.DEQUEUE, 0x50), (Event.WOKEN, 1),
    ]
    in_handler = [clock for clock, status in enumerate(run.status) if status[0].in_handler]
    assert in_handler == list(range(accepted(run)[0].clock + 1, run.said(Event.IRET)[-1].clock + 1))


@pytest.mark.parametrize("times", [63, 64], ids=["what the stack holds", "one more"])
def test_as_many_interrupts_nest_as_the_private_stack_holds(times, assembled):
    """The core is in a handler at every depth, also at those that are 0 in fewer bits."""
    contents, _ = assembled("""
        .const TIMES ?= 1
        .org 0
            jmp main
        .org ENTRY_INTERRUPT
            apicwr r1, APIC_EOI
            sub r0, r0, 1
            beq r0, 0, innermost
            apicwr r2, APIC_ICR
            sti
            halt
            cli
        innermost:
            iret @IRET
        main:
            mov r0, TIMES
            mov r1, 0
            mov r2, 0x50
            apicwr r2, APIC_ICR
            sti
            halt
            cli
            halt
    """, TIMES=times)
    run = runner(stack_depth=64).run(contents, through_traps=True)
    begin = accepted(run)[0].clock + 1
    left = run.said(Event.IRET)
    assert len(left) == (63 if times == 63 else 0)
    assert len(run.said(Event.STACK_FAULT)) == times - 63
    in_handler = [clock for clock, status in enumerate(run.status) if status[0].in_handler]
    assert in_handler == list(range(begin, left[-1].clock + 1 if left else run.clocks))


def test_the_deepest_microcode_store(assembled, convert):
    """Its last word is a target of jumps and calls, an entry point, and where the address goes round."""
    depth = 2048
    config = MachineConfig(n_cores=1, microcode_depth=depth)
    with pytest.raises(ValueError, match="^microcode_depth must be a power of two from 64 to 2048"):
        replace(config, microcode_depth=2 * depth)
    convert(Machine(config))
    contents, _ = assembled("""
        .org 0
            jmp main
        .org 1000
        main:
            call last
            mov r0, last
            icall r0 @FUNC_ENTRY
            jmp before
        after:
            halt @PROGRAM_DONE
        .org 2045
        before:
            jmp after @VISIT
            nop
        .entry last
            ret @RAN
    """)
    assert len(contents.microcode) == depth
    run = runner(microcode_depth=depth).run(contents)
    assert [(record.event, record.pc) for record in run.of(CoreRecord)] == [
        (Event.RAN, 2047), (Event.FUNC_ENTRY, 1002), (Event.RAN, 2047), (Event.VISIT, 2045), (Event.PROGRAM_DONE, 1004)]


# --- traps ------------------------------------------------------------------------------------------------------------


#: Words of the microcode store.
DEPTH = MachineConfig().microcode_depth


def trapped(words):
    """Run into a trap: gives the record of it, after checking that nothing follows."""
    run = runner().run(contents_of(words), through_traps=True, max_clocks=60)
    record = run.of(CoreRecord)[-1]
    assert all(status[0].trapped and status[0].halted for status in run.status[record.clock + 1:])
    assert not any(status[0].trapped for status in run.status[:record.clock + 1])
    assert not [commit for commit in run.commits if commit.clock >= record.clock]
    assert run.clocks > record.clock
    return record


def test_panic():
    assert trapped([{"op": Op.NOP}, {"op": Op.JMP, "target": 40}])[2:-1] == (Event.PANIC, 40, 0, 0, None, 0, 0)
    assert trapped([{"op": Op.PANIC, "event": Event.COMMAND}])[2:-1] == (Event.PANIC, 0, 0, 0, None, 0, 0)


def test_memory_operations_are_known_by_their_upper_bits():
    assert [op for op in Op if op.value >> 4 == MEMORY_BLOCK] == sorted(MEMORY_OPS, key=lambda op: op.value)


@pytest.mark.parametrize("number", NO_OPS)
def test_what_is_no_operation_is_a_panic(number):
    busy = MicroWord.const({"rd": 1, "ra": 1, "imm": 20, "target": 9, "event": Event.COMMAND}).as_bits()
    assert trapped([{"op": Op.NOP}, busy | number])[2:-1] == (Event.PANIC, 1, 0, 0, None, 0, 0)


@pytest.mark.parametrize("function, lands", [(3, 3), (4, None), (200, 200), (0xFF10, 0xFF10 % DEPTH), (4 + DEPTH, 4)])
def test_indirect_call_lands_on_entry_points_only(function, lands):
    """Also not on a word that is an entry point by the low bits of the address alone: 0xff10 is a poisoned pointer."""
    words = [{"op": Op.NOP} for _ in range(0x120)]
    words[0:3] = [{"op": Op.MOV, "rd": 5, "use_imm": 1, "imm": function}, {"op": Op.ICALL, "ra": 5, "event": Event.FUNC_ENTRY},
                  {"op": Op.HALT}]
    words[4] = {"op": Op.RET, "entry": 1, "event": Event.FUNC_EXIT}
    words[0x110] = {"op": Op.RET, "entry": 1}
    if lands is None:
        assert events(runner().run(contents_of(words)).of(CoreRecord)) == [Event.FUNC_ENTRY, Event.FUNC_EXIT]
    else:
        assert trapped(words)[2:4] == (Event.PANIC, lands)


@pytest.mark.parametrize("op", MEMORY_OPS, ids=lambda op: op.name.lower())
def test_fault(op):
    """The words of NULL, and all that lies beyond the arena, for every operation; the words right beside them are memory."""
    depth = runner().config.arena_depth
    for base, offset in (0, 0), (15, 0), (0, depth), (1, 0xFF10), (0xFFFF, 1), (0, 0x8000 + 20):
        record = trapped([{"op": Op.MOV, "rd": 2, "use_imm": 1, "imm": base},
                          {"op": op, "ra": 2, "rb": 2, "rd": 1, "imm": offset, "event": Event.QUEUE}])
        b = 1 << 3 | 2 if op is Op.STC else base
        assert record[2:-1] == (Event.FAULT, 1, base, b, None, base + offset & 0xFFFF, 0)
    for base, offset in (0, 16), (0xFFFF, 17), (1, depth - 2):
        run = runner().run(contents_of([{"op": Op.MOV, "rd": 2, "use_imm": 1, "imm": base},
                                       {"op": op, "ra": 2, "imm": offset, "target": 2}, {"op": Op.HALT}]))
        assert run.ending is Ending.QUIET
        assert [commit.address for commit in run.commits] == [base + offset & 0xFFFF]


@pytest.mark.parametrize("op", [Op.PUSH, Op.CALL, Op.ICALL, Op.IRQSAVE, Op.PUSHA], ids=lambda op: op.name.lower())
def test_stack_overflow(op):
    """The private stack holds one word less than it has rows. What fits, fits."""
    room = runner().config.stack_depth - 1
    filled = [{"op": Op.MOV, "use_imm": 1, "imm": 60}, *[{"op": Op.PUSH}] * room]
    last = {"op": op, "event": Event.CALL, "target": 60}
    for pushed in (*range(room - 6, room), room) if op is Op.PUSHA else [room]:
        assert trapped([*filled[:1 + pushed], last])[2:4] == (Event.STACK_FAULT, 1 + pushed)
    words = [*filled[:-7 if op is Op.PUSHA else -1], last, {"op": Op.HALT}]
    words += [{"op": Op.HALT, "entry": 1}] * (61 - len(words))
    run = runner().run(contents_of(words))
    assert run.ending is Ending.QUIET
    assert events(run.of(CoreRecord)) == [Event.CALL]


def test_no_room_for_an_interrupt(assembled):
    contents, addresses = assembled(INTERRUPTS + """
        .const ROOM ?= 0
        main:
            mov r2, ROOM
        fill:
            push r2
            loop r2, r2, fill
            send_and_wait 0x40
            sti
            nop @COMMAND
        next:
            ld r2, [20] @COMMAND_DONE
            halt
    """, ROOM=runner().config.stack_depth - 1)
    run = runner().run(contents)
    assert run.ending is Ending.TRAP
    assert run.of(CoreRecord)[-1][2:-1] == (Event.STACK_FAULT, addresses["next"], 0, 0, None, 0, 0)


@pytest.mark.parametrize("op", POPS, ids=lambda op: op.name.lower())
def test_stack_underflow(op):
    word = {"op": op, "event": Event.RETURN}
    assert trapped([word])[2:4] == (Event.STACK_FAULT, 0)
    assert trapped([{"op": Op.PUSH}, {"op": Op.POP}, word])[2:4] == (Event.STACK_FAULT, 2)
    if op is Op.POPA:
        assert trapped([*[{"op": Op.PUSH}] * 6, word])[2:4] == (Event.STACK_FAULT, 6)


# --- the schedule -----------------------------------------------------------------------------------------------------


def test_stall(assembled):
    """What starts after the edge that samples the stall waits; what has started before ends in its time."""
    contents, _ = assembled("""
            mov r2, 3
        again:
            st [20], r2 @REFS(r2, r2)
            nop @VISIT
            call routine @CALL
            fadd r3, [20], r2 @QUEUE
            apicwr r2, APIC_TPR @IPI_MASK
            loop r2, r2, again @WAIT
            halt
        routine:
            nop
            ret @RETURN
    """)
    straps = Straps(fabric_latency=0, arena_latency=1, interrupt_entry=0, interrupt_return=0)
    plain = runner().run(contents, straps).of(CoreRecord)
    # The clocks in which a word starts: all but those in which an operation is under way in the arena.
    waiting = {clock - waited for clock in (record.clock for record in plain if record.op is not None) for waited in range(3)}
    for stalled in range(FIRST_WORD, FIRST_WORD + 30):
        end = stalled + 20
        run = runner().run(contents, straps, schedule=lambda clock, first=stalled, end=end: {"stall": int(first <= clock < end)})
        held = next(clock for clock in range(stalled + 1, end) if clock not in waiting)
        assert run.of(CoreRecord) == [record if record.clock < held else record._replace(clock=record.clock + end + 1 - held)
                                      for record in plain], f"stalled from clock {stalled}"


@pytest.mark.parametrize("seed", range(4))
def test_a_schedule_changes_when_and_not_what(seed, assembled):
    """Whatever is stalled and held: main and handler each say the same, in the same order, and leave the same arena."""
    contents, addresses = assembled("""
        .org 0
            jmp main
        .org ENTRY_INTERRUPT
            pusha
            vector r0 @HANDLE
            fadd r1, [30], r0 @TAKE(r0)
            apicwr r1, APIC_EOI
            popa
            iret @IRET
        main:
            sti
            mov r5, 1
            mov r6, 8
        round:
            add r1, r6, 0x40
            apicwr r1, APIC_ICR @IPI_MASK(r1)
            add r4, r4, r1
            st [20], r4 @REFS(r4, r4)
            push r4
            call double, r5, [r5 + 1]
            pusha
            cas r2, [20], r5 @QUEUE(r2, r5)
            popa
            pop r3
            xor r5, r5, r3
            nop @CSD_LOCK(r5, r2)
        wait:
            ld r3, [30]
            beq r3, r7, wait
        waited:
            mov r7, r3
            loop r6, r6, round @VISIT(r6, r6)
            cli
            halt @PROGRAM_DONE(r7)
        double:
            add r5, r5, r5
            irqsave
            st [21], r5 @DEQUEUE
            irqrestore
            ret @RETURN(r5)
    """)
    straps = Straps(fabric_latency=3, arena_latency=1, interrupt_entry=2, interrupt_return=1)
    rng = random.Random(seed)
    density = rng.choice([0.1, 0.4, 0.7])

    def held(clock):
        return {name: int(rng.random() < density) for name in ("stall", "hold_interrupt", "hold_message")}

    def seen(run):
        """What main says, but for its waiting; what the handler says; what is left."""
        assert run.ending is Ending.QUIET
        records = [record._replace(clock=0) for record in run.of(CoreRecord)]
        handler = [record for record in records if record.pc < addresses["main"]]
        main = [record for record in records if record.pc >= addresses["main"]
                and not addresses["wait"] <= record.pc < addresses["waited"]]
        assert events(handler) == [Event.HANDLE, Event.TAKE, Event.IRET] * 8
        return main, handler, run.arena

    plain = runner().run(contents, straps)
    disturbed = runner().run(contents, straps, schedule=held, max_clocks=5000)
    assert disturbed.clocks > plain.clocks
    assert seen(disturbed) == seen(plain), f"seed {seed}"


@pytest.mark.parametrize("memory_model, x2apic", [(0, 0), (1, 1), (2, 0)], ids=["SC", "TSO, x2APIC", "PSO"])
def test_random_programs_under_random_schedules(memory_model, x2apic):
    """Alone and without interrupts, a program has one result: whenever it is stalled, and whatever waits in the store buffer."""
    straps = Straps(fabric_latency=0, memory_model=memory_model, x2apic=x2apic)
    for seed in range(6):
        contents = program(random.Random(seed), runner().config, interrupts=False, timeless=True)
        rng = random.Random(seed)

        def held(clock, rng=rng):
            return {"stall": rng.randrange(2), "hold_drain": int(rng.random() < 0.9), "reorder_drain": rng.randrange(2)}

        plain = runner().run(contents, through_traps=True)
        held_back = runner().run(contents, straps, schedule=held, max_clocks=8000, through_traps=True)
        where = f"seed {seed}"
        assert [record[1:] for record in plain.of(CoreRecord)] == [record[1:] for record in held_back.of(CoreRecord)], where
        assert plain.ending is held_back.ending is Ending.QUIET, where
        assert plain.arena == held_back.arena, where


# --- what is seen from outside ----------------------------------------------------------------------------------------


def test_status(assembled):
    contents, _ = assembled("""
        start:
            nop @COMMAND
            pause on
        on:
            ld r0, [20] @REFS
            nop
            halt @PROGRAM_DONE
    """)
    run = runner().run(contents)
    start, = run.said(Event.COMMAND)
    done, = run.said(Event.REFS)
    asleep, = run.said(Event.PROGRAM_DONE)

    def clocks(name):
        return [clock for clock, status in enumerate(run.status) if getattr(status[0], name)]

    assert clocks("pausing") == [start.clock + 1]
    assert clocks("waiting") == [done.clock - 1, done.clock]
    assert clocks("halted") == [*range(start.clock), asleep.clock + 1]
    assert clocks("in_handler") == clocks("trapped") == []
    assert run.clocks == asleep.clock + 2, "quiet as soon as nothing is left to happen, and not before the start"


def test_high_half_of_an_apic_register_is_staged_once(assembled):
    contents, _ = assembled("""
            mov r0, 0xab00
            mov r1, 0x1234
            apicwrh r0
            apicwr r1, APIC_ICR2
            apicrdh r2, APIC_ICR2
            apicrd r3, APIC_ICR2
            nop @VISIT(r2, r3)
            apicwr r1, APIC_ICR2
            apicrdh r2, APIC_ICR2
            nop @VISIT(r2, r3)
            halt
    """)
    assert [(record.a, record.b) for record in runner().run(contents).said(Event.VISIT)] == [(0xAB00, 0), (0, 0)]


@pytest.mark.parametrize(("x2apic", "destination"), [(0, 9), (1, 0x1234_0000)])
def test_an_icr_of_64_bits_is_staged_from_the_top(x2apic, destination, assembled):
    """An x2APIC takes the id from what was staged, an xAPIC from ICR2."""
    contents, _ = assembled("""
            mov r0, 0x900
            apicwrh r0
            apicwr r1, APIC_ICR2
            mov r0, 0x1234
            apicwrh r0
            mov r0, 0
            apicwrh r0
            mov r0, 1 << 2
            apicwrh r0                      ; shorthand: self
            mov r0, 0xf1
            apicwr r0, APIC_ICR
            halt
    """)
    sent, = (record for record in runner().run(contents, replace(NO_WAITING, x2apic=x2apic)).of(ApicRecord)
             if record.event is ApicEvent.SEND)
    assert (sent.vector, sent.shorthand, sent.destination) == (0xF1, 1, destination)


@pytest.mark.parametrize("on", [False, True])
def test_quiet_waits_for_what_is_under_way(on, assembled):
    """A message that travels is something that will happen; what it brings counts only if it will wake the core."""
    contents, _ = assembled(INTERRUPTS + """
        .const ON ?= 0
        main:
            send 0x40
        .if ON
            sti
        .end
            halt @PROGRAM_DONE
            cli
            halt @COMMAND_DONE
    """, ON=int(on))
    run = runner().run(contents, Straps(fabric_latency=40))
    assert run.ending is Ending.QUIET
    delivered, = (record for record in run.records if type(record) is MessageRecord)
    assert delivered.clock > run.said(Event.PROGRAM_DONE)[0].clock + 30
    assert len(run.said(Event.COMMAND_DONE)) == on
    if not on:
        assert run.clocks == delivered.clock + 2


def test_quiet_although_an_interrupt_is_requested_that_the_priority_keeps_away(assembled):
    contents, _ = assembled(INTERRUPTS + """
        main:
            mov r2, 0x40
            apicwr r2, APIC_TPR
            send 0x4f
            sti
            halt @PROGRAM_DONE
    """)
    run = runner().run(contents, max_clocks=100)
    assert run.ending is Ending.QUIET
    assert events(run.of(CoreRecord)) == [Event.PROGRAM_DONE]


# --- INIT and STARTUP -------------------------------------------------------------------------------------------------

#: Core 0 starts core 1, sends it INIT after DELAY clocks, starts it again, and once more for nothing. Core 1 stages half a
#: register, fills its private stack and then does what LIFE says; in its second life it says what it finds.
LIVES = """
    .const DELAY ?= 1
    .const LIFE ?= 0
    .global life: word
    .global counter: word
    .macro command number
        mov r1, number
        apicwr r1, APIC_ICR @TARGET
    .on_its_way:
        apicrd r1, APIC_ICR
        bts r1, 1 << 12, .on_its_way
    .end
    .macro work clocks
        mov r2, clocks
    .again:
        loop r2, r2, .again
    .end
    .org 0
        jmp start
    .org ENTRY_INTERRUPT
        jmp ENTRY_INTERRUPT @HANDLE
    start:
        cpuid r0 @ONLINE
        beq r0, 0, boot
        mov r2, 1
        fadd r1, [life], r2
        beq r1, 0, first
        getif r1
        nop @VISIT(r5, r1)
        pusha @CALL
        popa
        mov r1, 0
        apicwr r1, APIC_ICR2
        apicrdh r1, APIC_ICR2
        nop @TAKE(r1)
        mov r2, 60
    alive:
        loop r2, r2, alive
        pop r1
        halt
    first:
        mov r5, 0x1234
        push r5
        apicwrh r5
    .if LIFE == 0
        sti
    again:
        fadd r1, [counter], r2
        pusha
        popa
        jmp again
    .end
    .if LIFE == 1
        halt @PROGRAM_DONE
    .end
    .if LIFE == 2
        ld r0, [0]
    .end
    .if LIFE == 3
        mov r1, 0x0100
        apicwrh r1
        apicwr r0, APIC_ICR2
        mov r1, 0x40
        apicwr r1, APIC_ICR
        apicwrh r5
        sti
        halt
    .end
    boot:
        mov r1, 0x0100
        apicwrh r1
        apicwr r0, APIC_ICR2
        command MODE_STARTUP << 8
        work 50
        work DELAY
        command MODE_INIT << 8
        work 30
        command MODE_STARTUP << 8
        work 20
        command MODE_STARTUP << 8
        halt
"""


def check_second_life(run, addresses):
    """Between INIT and STARTUP core 1 does nothing; then it begins at the reset entry, with its registers and nothing else.

    Gives the clock in which INIT was delivered.
    """
    start, init, again, ignored = (record.clock for record in run.records
                                   if type(record) is MessageRecord and record.target == 1 and record.mode)
    assert all(status[1].halted and not status[1].in_handler and not status[1].trapped
               for status in run.status[init + 10:again])
    second = [record for record in run.of(CoreRecord, 1) if record.clock > again]
    assert not [record for record in run.of(CoreRecord, 1) if init + 9 < record.clock <= again]
    assert second[0].event is Event.ONLINE
    assert second[0].clock < ignored < second[-1].clock
    assert run.arena[addresses["life"]] == 2
    found, call, staged, fault = second[-4:]
    assert (found.event, found.a, found.b) == (Event.VISIT, 0x1234, 0), "registers kept, interrupts off"
    assert call.clock == found.clock + 7, "all of PUSHA"
    assert (staged.event, staged.a) == (Event.TAKE, 0), "no half register is staged"
    assert fault.event is Event.STACK_FAULT, "the private stack is empty"
    return init


@pytest.mark.slow
def test_init_in_every_clock(assembled):
    """INIT hits a core in a memory operation, and in the middle of PUSHA and POPA. What the arena was asked for is done, and the
    core knows of it."""
    straps = Straps(fabric_latency=0, arena_latency=3, interrupt_entry=0, interrupt_return=0)
    late = set()
    for delay in range(1, 23):
        contents, addresses = assembled(LIVES, n_cores=2, DELAY=delay)
        run = runner(2).run(contents, straps, through_traps=True)
        assert run.ending is Ending.QUIET
        init = check_second_life(run, addresses)
        done = [record for record in run.of(CoreRecord, 1) if record.address == addresses["counter"]]
        assert [(commit.clock, commit.old) for commit in run.commits if commit.address == addresses["counter"]] == [
            (record.clock, record.result) for record in done]
        late.add(done[-1].clock - init)
    # The core knows of INIT in the second clock after; what it starts in that one takes five more.
    assert max(late) == 2 + 5, "one has been hit as it started"


@pytest.mark.parametrize("life", [1, 2, 3], ids=["asleep with interrupts off", "trapped", "in a handler"])
def test_init_ends_every_state(life, assembled):
    contents, addresses = assembled(LIVES, n_cores=2, LIFE=life)
    run = runner(2).run(contents, NO_WAITING, through_traps=True)
    check_second_life(run, addresses)


def test_only_core_0_starts_by_itself(assembled):
    contents, _ = assembled("""
            cpuid r0
            nop @ONLINE(r0, r0)
            halt
    """, n_cores=3)
    run = runner(3).run(contents)
    assert run.ending is Ending.QUIET
    assert [(record.core, record.clock, record.a) for record in run.records] == [(0, FIRST_WORD + 1, 0)]
    assert all(status[core].halted for status in run.status for core in (1, 2))
