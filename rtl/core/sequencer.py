"""The sequencer of a core: which microword is executed in which clock, calls and returns, interrupts, halt, traps."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..events import Event
from ..probe import CoreState
from .microword import ENTRY_INTERRUPT, ENTRY_RESET, JUMP_OPS, LOAD_OPS, NO_OPS, SAVED_REGISTERS, STORE_OPS, MicroWord, Op

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """One microinstruction per clock, unless it waits for memory, for the private stack or for the schedule.

    A word is executed in a clock in which ``state`` is RUN and ``go`` is high. ``go`` is ``run & ~stall`` of the clock before,
    so a stall that is sampled at a clock edge keeps the next word (or the next step of PUSHA and POPA) from starting and never
    touches one that has begun to wait for memory. The microcode store is read synchronously at ``next_pc``; in the clock after,
    ``word`` is that word.

    An interrupt is accepted instead of executing a word (or in HALT) when the local APIC requests one, interrupts are on, the
    word before was no STI that switched them on, the word is not the landing of an indirect call nor a PUSHA or POPA that has
    begun, and the schedule did not hold acceptance at the last edge. Acceptance takes one clock: address and interrupt flag go
    to the private stack (one word, the flag above the address), interrupts go off, and after ``interrupt_entry`` further clocks
    the word at ENTRY_INTERRUPT is executed.

    Accesses to the local APIC in xAPIC mode, and IRET, wait until all earlier stores are visible (Intel SDM volume 3, "Serializing
    Instructions"; memory-mapped registers are uncached).

    An indirect call to an address that the microcode store does not have lands on no entry point either, whatever its low bits.

    INIT (Intel SDM volume 3, "MP Initialization Protocol") resets everything but the registers (and what VECTOR reads) and waits
    for STARTUP; a memory operation under way is finished first. A trap stops the core until INIT.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    bootstrap : this is the core that starts by itself, with its first word three clocks after ``run`` rose; the others wait for
        STARTUP.
    run, stall, hold_interrupt : sampled at the clock edge.
    interrupt_entry, interrupt_return : straps, in clocks.
    word : the microword at ``pc``.  next_pc : address for the synchronous microcode store.
    a, b, address, taken : from the datapath.
    memory_done, posts, room, ordered, drained : from the memory path.
    x2apic : the strap: accesses to the local APIC do not wait for ``drained``.
    interrupt, pending_vector : from the local APIC.  accept : to it, in the clock of acceptance.
    init, startup : pulses from the local APIC.
    issue : the word starts a memory operation in this clock.
    apic : the word accesses an APIC register in this clock.
    index, step : PUSHA and POPA move register ``index`` (POPA counts from the last one down) in this clock.
    completes : the word completes in this clock.
    trap : what stops the core in this clock (Event.PANIC, FAULT, STACK_FAULT), else Event.NONE.
    popped : top of the private stack.  vector : of the interrupt accepted last.
    state, go, pc, interrupts_on, depth : for status and probe.
    starting : an INIT or STARTUP waits to be carried out.
    restart : INIT is carried out in this clock.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "bootstrap": In(1),
            "run": In(1),
            "stall": In(1),
            "hold_interrupt": In(1),
            "interrupt_entry": In(8),
            "interrupt_return": In(8),
            "word": In(MicroWord),
            "next_pc": Out(config.pc_bits),
            "a": In(config.xlen),
            "b": In(config.xlen),
            "address": In(config.xlen),
            "taken": In(1),
            "memory_done": In(1),
            "posts": In(1),
            "room": In(1),
            "ordered": In(1),
            "drained": In(1),
            "x2apic": In(1),
            "interrupt": In(1),
            "pending_vector": In(8),
            "accept": Out(1),
            "init": In(1),
            "startup": In(1),
            "issue": Out(1),
            "apic": Out(1),
            "index": Out(3),
            "step": Out(1),
            "completes": Out(1),
            "trap": Out(Event),
            "popped": Out(config.xlen),
            "vector": Out(8),
            "state": Out(CoreState, init=CoreState.WAIT_STARTUP),
            "go": Out(1),
            "pc": Out(config.pc_bits),
            "interrupts_on": Out(1),
            "depth": Out(4),
            "starting": Out(1),
            "restart": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        word, state, pc = self.word, self.state, self.pc

        m.submodules.stack = stack = Memory(shape=config.xlen, depth=config.stack_depth, init=[])
        push, pop = stack.write_port(), stack.read_port()
        top = Signal(config.stack_bits)           # words on the stack; the last one is never used
        next_top = Signal(config.stack_bits)
        pushed = Signal()                         # the last clock pushed: what the read port shows is older
        pushes, pops = Signal(), Signal()
        m.d.comb += [
            next_top.eq(top + pushes - pops),
            push.en.eq(pushes),
            push.addr.eq(top),
            pop.addr.eq(next_top - 1),
            self.popped.eq(pop.data),
        ]
        m.d.sync += [top.eq(next_top), pushed.eq(pushes)]

        hold = Signal()
        shadow = Signal()                         # the word before was an STI
        landing = Signal()                        # the word before was an ICALL ...
        beyond = Signal()                         # ... to an address beyond the microcode store
        delay = Signal(8)
        m.d.sync += [self.go.eq(self.run & ~self.stall), hold.eq(self.hold_interrupt)]

        last = self.index == SAVED_REGISTERS - 1
        with m.If(self.step):
            m.d.sync += self.index.eq(Mux(last, 0, self.index + 1))

        outside = Signal()
        m.d.comb += outside.eq(self.address[config.address_bits:].any() | (self.address < config.NULL_WORDS))

        m.d.comb += self.next_pc.eq(pc)
        with m.If(self.go & self.interrupt & self.interrupts_on & ~shadow & ~landing & ~hold & (self.index == 0)
                  & ((state == CoreState.RUN) | (state == CoreState.HALT))):
            m.d.comb += self.accept.eq(1)

        with m.If(self.accept):
            m.d.comb += [push.data.eq(Cat(pc, self.interrupts_on)), self.next_pc.eq(ENTRY_INTERRUPT)]
            with m.If(top == config.stack_depth - 1):
                m.d.comb += self.trap.eq(Event.STACK_FAULT)
            with m.Else():
                m.d.comb += pushes.eq(1)
                m.d.sync += [
                    self.vector.eq(self.pending_vector),
                    self.interrupts_on.eq(0),
                    self.depth.eq(self.depth + 1),
                    delay.eq(self.interrupt_entry),
                    state.eq(Mux(self.interrupt_entry == 0, CoreState.RUN, CoreState.DELAY)),
                ]
        with m.Elif((state == CoreState.RUN) & self.go):
            with m.If(landing & (beyond | ~word.entry)):
                m.d.comb += self.trap.eq(Event.PANIC)
            with m.Else():
                m.d.comb += self.completes.eq(1)
                with m.Switch(word.op.as_value()):
                    with m.Case(*STORE_OPS):
                        m.d.comb += self.completes.eq(0)
                        with m.If(outside):
                            m.d.comb += self.trap.eq(Event.FAULT)
                        with m.Elif(self.posts):
                            m.d.comb += [self.issue.eq(self.room), self.completes.eq(self.room)]
                        with m.Else():
                            m.d.comb += self.issue.eq(1)
                            m.d.sync += state.eq(CoreState.MEMORY)
                    with m.Case(*LOAD_OPS):
                        m.d.comb += self.completes.eq(0)
                        with m.If(outside):
                            m.d.comb += self.trap.eq(Event.FAULT)
                        with m.Else():
                            m.d.comb += self.issue.eq(1)
                            m.d.sync += state.eq(CoreState.MEMORY)
                    with m.Case(Op.FENCE):
                        m.d.comb += self.completes.eq(self.ordered)
                    with m.Case(Op.CALL, Op.ICALL, Op.PUSH, Op.PUSHA, Op.IRQSAVE):
                        m.d.comb += push.data.eq(pc + 1)
                        with m.If(word.op == Op.PUSHA):
                            m.d.comb += [push.data.eq(self.a), self.completes.eq(last), self.step.eq(1)]
                        with m.If(word.op == Op.PUSH):
                            m.d.comb += push.data.eq(self.b)
                        with m.If(word.op == Op.IRQSAVE):
                            m.d.comb += push.data.eq(self.interrupts_on)
                            m.d.sync += self.interrupts_on.eq(0)
                        with m.If(top == config.stack_depth - 1):
                            m.d.comb += [self.trap.eq(Event.STACK_FAULT), self.completes.eq(0)]
                        with m.Else():
                            m.d.comb += pushes.eq(1)
                    with m.Case(Op.RET, Op.POP, Op.POPA, Op.IRET, Op.IRQRESTORE):
                        with m.If(top == 0):
                            m.d.comb += [self.trap.eq(Event.STACK_FAULT), self.completes.eq(0)]
                        with m.Elif(pushed | ((word.op == Op.IRET) & ~self.drained)):
                            m.d.comb += self.completes.eq(0)
                        with m.Else():
                            m.d.comb += pops.eq(1)
                            with m.If(word.op == Op.POPA):
                                m.d.comb += [self.completes.eq(last), self.step.eq(1)]
                            with m.If(word.op == Op.IRQRESTORE):
                                m.d.sync += self.interrupts_on.eq(pop.data[0])
                    with m.Case(Op.APICRD, Op.APICRDH, Op.APICWR):
                        ready = self.drained | self.x2apic
                        m.d.comb += [self.apic.eq(ready), self.completes.eq(ready)]
                    with m.Case(Op.HALT):
                        m.d.sync += state.eq(CoreState.HALT)
                    with m.Case(Op.CLI):
                        m.d.sync += self.interrupts_on.eq(0)
                    with m.Case(Op.STI):
                        m.d.sync += self.interrupts_on.eq(1)
                    with m.Case(Op.PANIC, *NO_OPS):
                        m.d.comb += [self.trap.eq(Event.PANIC), self.completes.eq(0)]
        with m.Elif(state == CoreState.MEMORY):
            m.d.comb += self.completes.eq(self.memory_done)
            with m.If(self.memory_done):
                m.d.sync += state.eq(CoreState.RUN)
        with m.Elif(state == CoreState.DELAY):
            m.d.sync += delay.eq(delay - 1)
            with m.If(delay == 1):
                m.d.sync += state.eq(CoreState.RUN)

        with m.If(self.completes):
            m.d.sync += [
                shadow.eq((word.op == Op.STI) & ~self.interrupts_on),
                landing.eq(word.op == Op.ICALL),
                beyond.eq(self.a[config.pc_bits:].any()),
            ]
            with m.If(reduce(or_, (word.op == op for op in JUMP_OPS), self.taken)):
                m.d.comb += self.next_pc.eq(word.target)
            with m.Elif((word.op == Op.RET) | (word.op == Op.IRET)):
                m.d.comb += self.next_pc.eq(pop.data)
            with m.Elif(word.op == Op.ICALL):
                m.d.comb += self.next_pc.eq(self.a)
            with m.Else():
                m.d.comb += self.next_pc.eq(pc + 1)
            with m.If(word.op == Op.IRET):
                m.d.sync += [
                    self.interrupts_on.eq(pop.data[config.pc_bits]),
                    self.depth.eq(self.depth - 1),
                    delay.eq(self.interrupt_return),
                ]
                with m.If(self.interrupt_return != 0):
                    m.d.sync += state.eq(CoreState.DELAY)
        with m.If(self.trap != Event.NONE):
            m.d.sync += state.eq(CoreState.TRAPPED)
        m.d.sync += pc.eq(self.next_pc)

        # INIT and STARTUP wait here until no memory operation is under way. At power-up every core waits for STARTUP, and the
        # bootstrap processor gets it from here.
        init, startup, powered_up = Signal(), Signal(), Signal()
        m.d.comb += self.starting.eq(init | startup | ~powered_up)
        with m.If(self.init):
            m.d.sync += [init.eq(1), startup.eq(0)]
        with m.Elif(self.startup & (init | (state == CoreState.WAIT_STARTUP))):
            m.d.sync += startup.eq(1)
        m.d.comb += self.restart.eq(init & ~self.issue & ((state != CoreState.MEMORY) | self.memory_done))
        with m.If(self.restart):
            m.d.comb += [self.next_pc.eq(ENTRY_RESET), next_top.eq(0)]
            m.d.sync += [
                state.eq(CoreState.WAIT_STARTUP),
                self.interrupts_on.eq(0), self.depth.eq(0), self.index.eq(0), shadow.eq(0), landing.eq(0),
            ]
            with m.If(~self.init):
                m.d.sync += init.eq(0)
        with m.Elif(~powered_up & self.go):
            m.d.sync += powered_up.eq(1)
            with m.If(self.bootstrap):
                m.d.sync += startup.eq(1)
        with m.Elif(startup & (state == CoreState.WAIT_STARTUP)):
            m.d.sync += [startup.eq(0), state.eq(CoreState.RUN)]
        return m
