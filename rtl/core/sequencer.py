"""The sequencer of a core: when each microword executes, and what it starts, waits for or traps on."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..events import Event
from ..share import share
from .interrupts import Interrupts
from .microword import ENTRY_INTERRUPT, ENTRY_RESET, JUMP_OPS, LOAD_OPS, NO_OPS, SAVED_REGISTERS, STORE_OPS, MicroWord, Op
from .seen import CoreState
from .stack import Stack
from .start import Start

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Executes one microinstruction per clock, unless it waits for memory, for the private stack or for the schedule.

    A word executes in a clock in which ``state`` is RUN and ``go`` is high. ``go`` is ``run & ~stall`` of the previous clock,
    so a stall sampled at a clock edge keeps the next word (or the next step of PUSHA or POPA) from starting; it never affects a
    word that already waits for memory. The microcode store is read synchronously at ``next_pc``; ``word`` is that word in the
    next clock.

    An interrupt is accepted (see Interrupts) in place of a word, or in HALT; but not before the word that an indirect call lands
    on, nor in the middle of PUSHA or POPA. Acceptance takes one clock, which pushes the return address and the interrupt flag on
    the private Stack (one word, the flag above the address). After ``interrupt_entry`` further clocks, the word at ENTRY_INTERRUPT
    executes.

    IRET, and accesses to a local APIC that ``serializes``, wait until all earlier stores are visible (Intel SDM volume 3,
    "Serializing Instructions").

    For an indirect call, an address beyond the microcode store is never an entry point, whatever its low bits are.

    INIT (see Start) resets everything except the registers and the value that VECTOR reads; then the core waits for STARTUP. A
    trap stops the core until INIT.

    A memory operation is issued before its address is checked, because the address is known late in a clock. If the address is
    not valid, the operation is withdrawn in the next clock, which is that of the FAULT. Nothing else starts in that clock, even
    if the word was a store that has completed.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    bootstrap : this core starts by itself, with its first word three clocks after ``run`` rises; the others wait for STARTUP.
    run, stall, hold_interrupt : sampled at the clock edge.
    interrupt_entry, interrupt_return : straps, in clocks.
    word : the microword at ``pc``.  next_pc : address for the synchronous microcode store.
    moved, address, taken : from the datapath.
    memory_done, posts, room, ordered, drained : from the memory path.
    serializes, interrupt, pending_vector : from the local APIC.  accept : to it, in the clock of acceptance.
    init, startup : pulses from the local APIC.
    issue : the word starts a memory operation in this clock.  outside : if so, ``address`` is not valid.
    withdraw : withdraws the operation issued in the previous clock. A register.
    compares : the word is a CAS that waits for memory. A register, because much logic depends on it.
    apic : the word accesses an APIC register in this clock.
    step : PUSHA or POPA moves a register in this clock.
    pushes, pops : which one: PUSHA register ``pushes``, POPA the one ``pops`` below the last; both are 0 in every other word.
        Registers, because all operands depend on them.
    completes : the word completes in this clock.
    trap : the event that stops the core in this clock (Event.PANIC, FAULT, STACK_FAULT), else Event.NONE.
    popped : top of the private stack.  vector : of the interrupt accepted last.
    state, go, pc, interrupts_on, depth : for status and probe.
    starting : an INIT or STARTUP is pending.
    restart : INIT takes effect in this clock.
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
            "moved": In(config.xlen),
            "address": In(config.xlen),
            "taken": In(1),
            "memory_done": In(1),
            "posts": In(1),
            "room": In(1),
            "ordered": In(1),
            "drained": In(1),
            "serializes": In(1),
            "interrupt": In(1),
            "pending_vector": In(8),
            "accept": Out(1),
            "init": In(1),
            "startup": In(1),
            "issue": Out(1),
            "outside": Out(1),
            "withdraw": Out(1),
            "compares": Out(1),
            "apic": Out(1),
            "pushes": Out(3),
            "pops": Out(3),
            "step": Out(1),
            "completes": Out(1),
            "trap": Out(Event),
            "popped": Out(config.xlen),
            "vector": Out(8),
            "state": Out(CoreState, init=CoreState.WAIT_STARTUP),
            "go": Out(1),
            "pc": Out(config.pc_bits),
            "interrupts_on": Out(1),
            "depth": Out(config.stack_bits),
            "starting": Out(1),
            "restart": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.stack = stack = Stack(self._config)
        m.submodules.interrupts = interrupts = Interrupts(self._config)
        m.submodules.start = start = Start()
        index = self.pushes | self.pops
        last = index == SAVED_REGISTERS - 1
        starts = Signal()
        m.d.sync += self.go.eq(self.run & ~self.stall)
        m.d.comb += [
            starts.eq((self.state == CoreState.RUN) & self.go & ~self.accept & ~self.withdraw),
            self.outside.eq(self.address[self._config.address_bits:].any() | (self.address < self._config.NULL_WORDS)),
        ]
        m.d.sync += self.withdraw.eq(self.issue & self.outside)
        with m.If(self.restart):
            m.d.sync += [self.pushes.eq(0), self.pops.eq(0)]
        with m.Elif(self.step):
            beside = Mux(last, 0, index + 1)
            m.d.sync += [self.pushes.eq(Mux(stack.push, beside, 0)), self.pops.eq(Mux(stack.pop, beside, 0))]
        landing, strays = self._land(m)
        self._join(m, stack, interrupts, start, landing, index)
        self._execute(m, stack, starts, strays, last)
        following = Signal(self._config.pc_bits + 1)
        m.d.comb += following.eq(self.pc + self.completes)
        self._push(m, stack, following)
        self._state(m, interrupts, start, starts)
        self._next(m, following)
        return m

    def _land(self, m):
        """(Whether an indirect call lands on this word; whether it does and the word is not an entry point.)"""
        landing, beyond = Signal(), Signal()
        with m.If(self.restart):
            m.d.sync += landing.eq(0)
        with m.Elif(self.completes):
            m.d.sync += [landing.eq(self.word.op == Op.ICALL), beyond.eq(self.moved[self._config.pc_bits:].any())]
        return landing, landing & (beyond | ~self.word.entry)

    def _join(self, m, stack, interrupts, start, landing, index):
        """Connect the parts. index : step of PUSHA or POPA."""
        word, state = self.word, self.state
        share(stack, top=self.popped, clear=self.restart)
        share(interrupts, entry=self.interrupt_entry, leave=self.interrupt_return, interrupt=self.interrupt,
              pending_vector=self.pending_vector, hold=self.hold_interrupt, accept=self.accept, refused=stack.full,
              completes=self.completes, clear=self.restart, on=self.interrupts_on, vector=self.vector, depth=self.depth)
        share(start, bootstrap=self.bootstrap, go=self.go, init=self.init, startup=self.startup, restart=self.restart,
              pending=self.starting)
        m.d.comb += [
            interrupts.between.eq(self.go & ~landing & ~self.withdraw & (index == 0)
                                  & ((state == CoreState.RUN) | (state == CoreState.HALT))),
            interrupts.op.eq(word.op),
            interrupts.popped.eq(Mux(word.op == Op.IRET, self.popped[self._config.pc_bits], self.popped[0])),
            start.waits.eq(state == CoreState.WAIT_STARTUP),
            start.busy.eq(self.issue | (state == CoreState.MEMORY) & ~self.memory_done),
        ]

    def _execute(self, m, stack, starts, strays, last):
        """The effect of the word in this clock, if it executes, and whether it completes. Acceptance pushes."""
        word, completes, trap = self.word, self.completes, self.trap
        with m.If(self.withdraw):
            m.d.comb += trap.eq(Event.FAULT)
        with m.Elif(self.accept):
            m.d.comb += [stack.push.eq(~stack.full), trap.eq(Mux(stack.full, Event.STACK_FAULT, Event.NONE))]
        with m.Elif(starts & strays):
            m.d.comb += trap.eq(Event.PANIC)
        with m.Elif(starts), m.Switch(word.op):
            with m.Case(*STORE_OPS):
                m.d.comb += [self.issue.eq(self.room | ~self.posts), completes.eq(self.room & self.posts)]
            with m.Case(*LOAD_OPS):
                m.d.comb += self.issue.eq(1)
            with m.Case(Op.FENCE):
                m.d.comb += completes.eq(self.ordered)
            with m.Case(Op.CALL, Op.ICALL, Op.PUSH, Op.PUSHA, Op.IRQSAVE):
                with m.If(stack.full):
                    m.d.comb += trap.eq(Event.STACK_FAULT)
                with m.Else():
                    steps = word.op == Op.PUSHA
                    m.d.comb += [stack.push.eq(1), self.step.eq(steps), completes.eq(last | ~steps)]
            with m.Case(Op.RET, Op.POP, Op.POPA, Op.IRET, Op.IRQRESTORE):
                with m.If(stack.empty):
                    m.d.comb += trap.eq(Event.STACK_FAULT)
                with m.Elif(~stack.settling & (self.drained | (word.op != Op.IRET))):
                    steps = word.op == Op.POPA
                    m.d.comb += [stack.pop.eq(1), self.step.eq(steps), completes.eq(last | ~steps)]
            with m.Case(Op.APICRD, Op.APICRDH, Op.APICWR):
                ready = self.drained | ~self.serializes
                m.d.comb += [self.apic.eq(ready), completes.eq(ready)]
            with m.Case(Op.PANIC, *NO_OPS):
                m.d.comb += trap.eq(Event.PANIC)
            with m.Default():
                m.d.comb += completes.eq(1)
        with m.Elif(self.state == CoreState.MEMORY):
            m.d.comb += completes.eq(self.memory_done)

    def _push(self, m, stack, following):
        """The value to push, if any. following : ``pc`` if the word does not complete, else ``pc + 1``."""
        calls = (self.word.op == Op.CALL) | (self.word.op == Op.ICALL)
        with m.If(self.accept | calls):
            m.d.comb += stack.word.eq(Cat(following[:-1], Mux(self.accept, self.interrupts_on, following[-1])))
        with m.Else():
            m.d.comb += stack.word.eq(self.moved)

    def _state(self, m, interrupts, start, starts):
        """INIT and STARTUP take precedence over everything, a trap over what the word would have done."""
        state, following = self.state, Signal(CoreState)
        with m.If(self.restart):
            m.d.comb += following.eq(CoreState.WAIT_STARTUP)
        with m.Elif(self.trap != Event.NONE):
            m.d.comb += following.eq(CoreState.TRAPPED)
        with m.Elif(interrupts.delays):
            m.d.comb += following.eq(CoreState.DELAY)
        with m.Elif(self.issue & ~self.completes):
            m.d.comb += following.eq(CoreState.MEMORY)
        with m.Elif(starts & (self.word.op == Op.HALT)):
            m.d.comb += following.eq(CoreState.HALT)
        with m.Elif(self.accept | start.begin | self.completes | (state == CoreState.DELAY) & interrupts.delayed):
            m.d.comb += following.eq(CoreState.RUN)
        with m.Else():
            m.d.comb += following.eq(state)
        m.d.sync += state.eq(following)
        with m.If(self.restart | self.memory_done | self.withdraw):
            m.d.sync += self.compares.eq(0)
        with m.Elif(starts & (self.word.op == Op.CAS)):
            m.d.sync += self.compares.eq(1)

    def _next(self, m, beside):
        """The address of the next word."""
        word, following = self.word, self.next_pc
        with m.If(self.restart):
            m.d.comb += following.eq(ENTRY_RESET)
        with m.Elif(self.accept):
            m.d.comb += following.eq(ENTRY_INTERRUPT)
        with m.Elif(self.completes & reduce(or_, (word.op == op for op in JUMP_OPS), self.taken)):
            m.d.comb += following.eq(word.target)
        with m.Elif(self.completes & ((word.op == Op.RET) | (word.op == Op.IRET) | (word.op == Op.ICALL))):
            m.d.comb += following.eq(self.moved)
        with m.Else():
            m.d.comb += following.eq(beside)
        m.d.sync += self.pc.eq(following)
