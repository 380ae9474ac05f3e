"""The core: sequencer, datapath and microcode store, connected."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out

from ..apic.registers import ApicRegisterPort
from ..config import straps_layout
from ..events import Event, core_record_layout
from ..memory.port import Fence, MemoryOp, memory_request_layout
from ..share import share
from .datapath import Datapath
from .microword import CONDITIONAL_OPS, MEMORY_OPS, OPERATIONS, MicroWord, Op
from .seen import CoreState, core_probe_layout, status_layout
from .sequencer import Sequencer

__all__ = ["Core"]


class Core(wiring.Component):
    """A microcoded core.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    microcode : MemoryData, the microcode store; its rows are raw microwords.

    Members
    -------
    core_id, now : the values that CPUID and TIME read.
    run, stall, hold_interrupt : sampled at the clock edge (see Sequencer).
    straps : held during a run.
    load_valid, load_address, load_word : write port of the microcode store, for use while ``run`` is low.
    issue, request, withdraw, memory_done, memory_old, posts, room, fence, ordered, drained : to and from the memory path.
    registers : the local APIC's register port.
    interrupt, pending_vector, accept, init, startup : to and from the local APIC.
    record : the record of the word that completes or traps in this clock, if it reports something; otherwise all 0.
    status, probe : see ``rtl/core/seen.py``.
    asleep : the core does nothing until INIT, STARTUP or, with ``interruptible``, an interrupt arrives.
    """

    def __init__(self, config):
        self._config = config
        self.microcode = MemoryData(shape=MicroWord.as_shape().size, depth=config.microcode_depth, init=[])
        super().__init__({
            "core_id": In(8),
            "now": In(config.xlen),
            "run": In(1),
            "stall": In(1),
            "hold_interrupt": In(1),
            "straps": In(straps_layout),
            "load_valid": In(1),
            "load_address": In(config.pc_bits),
            "load_word": In(MicroWord.as_shape().size),
            "issue": Out(1),
            "withdraw": Out(1),
            "request": Out(memory_request_layout(config)),
            "memory_done": In(1),
            "memory_old": In(config.xlen),
            "posts": In(1),
            "room": In(1),
            "fence": Out(Fence),
            "ordered": In(1),
            "drained": In(1),
            "registers": Out(ApicRegisterPort()),
            "interrupt": In(1),
            "pending_vector": In(8),
            "accept": Out(1),
            "init": In(1),
            "startup": In(1),
            "record": Out(core_record_layout(config)),
            "status": Out(status_layout),
            "probe": Out(core_probe_layout(config)),
            "asleep": Out(1),
            "interruptible": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.datapath = datapath = Datapath(config)
        m.submodules.microcode = microcode = Memory(self.microcode)
        load, fetch = microcode.write_port(), microcode.read_port()

        word = MicroWord(fetch.data)
        share(sequencer, run=self.run, stall=self.stall, hold_interrupt=self.hold_interrupt,
              word=word, next_pc=fetch.addr, moved=datapath.moved, address=datapath.address, taken=datapath.taken,
              memory_done=self.memory_done, posts=self.posts, room=self.room, ordered=self.ordered, drained=self.drained,
              serializes=self.registers.serializes, interrupt=self.interrupt, pending_vector=self.pending_vector,
              accept=self.accept, init=self.init, startup=self.startup, issue=self.issue, withdraw=self.withdraw)
        share(datapath, word=word, core_id=self.core_id, now=self.now, vector=sequencer.vector,
              interrupts_on=sequencer.interrupts_on, memory_old=self.memory_old, popped=sequencer.popped,
              apic_read=self.registers.read_data, pushes=sequencer.pushes, pops=sequencer.pops)
        share(load, en=self.load_valid, addr=self.load_address, data=self.load_word)
        m.d.comb += [
            sequencer.bootstrap.eq(self.core_id == 0),
            sequencer.interrupt_entry.eq(self.straps.interrupt_entry),
            sequencer.interrupt_return.eq(self.straps.interrupt_return),
            datapath.write.eq(sequencer.completes | sequencer.step),
            self.fence.eq(word.imm),
        ]

        # The memory request of the word.
        op = Signal(MemoryOp)
        is_memory = Signal()
        with m.Switch(word.op):
            for micro in MEMORY_OPS:
                with m.Case(micro):
                    m.d.comb += [op.eq(OPERATIONS[micro].memory), is_memory.eq(1)]
        # The contents of a request are known earlier than whether it is made. While CAS waits, ``left`` is the value to compare.
        compares = datapath.compares
        m.d.comb += [
            compares.eq(sequencer.compares),
            self.request.op.eq(op),
            self.request.address.eq(datapath.address),
            self.request.data.eq(datapath.data),
            self.request.compare.eq(datapath.left),
        ]

        # APIC registers have 32 or 64 bits. APICWRH stages the bits above the low 16, highest first; APICWR commits all of them.
        # parts: one bit is set per staged part, up to two; an xAPIC ignores it.
        staged, parts = Signal(48 if self._config.x2apic_mode else 16), Signal(2)
        with m.If(sequencer.restart):
            m.d.sync += [staged.eq(0), parts.eq(0)]
        with m.Elif(sequencer.completes & (word.op == Op.APICWRH)):
            m.d.sync += [staged.eq(Cat(datapath.moved[:16], staged)), parts.eq(Cat(1, parts))]
        with m.Elif(sequencer.apic & (word.op == Op.APICWR)):
            m.d.sync += [staged.eq(0), parts.eq(0)]
        m.d.comb += [
            self.registers.valid.eq(sequencer.apic),
            self.registers.register.eq(word.imm),
            self.registers.write.eq(word.op == Op.APICWR),
            self.registers.wide.eq(parts[1]),
            self.registers.write_data.eq(Cat(datapath.moved[:16], staged)),
        ]

        # The record. A conditional branch emits its event only when taken. For a waiting CAS and for a
        # withdrawn operation, it shows the values of the clock of ``issue``. A store that will be withdrawn has not completed.
        shown = {"pc": sequencer.pc, "a": datapath.a, "b": datapath.b, "address": datapath.address}
        first = {name: Signal.like(value, name=f"first_{name}") for name, value in shown.items()}
        with m.If(sequencer.issue):
            m.d.sync += [first[name].eq(value) for name, value in shown.items()]
        shown = {name: Mux(compares | self.withdraw, first[name], value) for name, value in shown.items()}
        completes = Signal()
        m.d.comb += completes.eq(sequencer.completes & ~(sequencer.issue & sequencer.outside))
        conditional = Signal()
        event = Signal(Event)
        trapped = Signal()
        m.d.comb += trapped.eq(sequencer.trap != Event.NONE)
        with m.If(trapped):
            m.d.comb += event.eq(sequencer.trap)
        with m.Elif(completes & (~conditional | datapath.taken)):
            m.d.comb += event.eq(word.event)
        with m.Switch(word.op), m.Case(*CONDITIONAL_OPS):
            m.d.comb += conditional.eq(1)
        with m.If((event != Event.NONE) | (completes & is_memory)):
            m.d.comb += [
                self.record.valid.eq(1),
                self.record.event.eq(event),
                self.record.enabled.eq(sequencer.interrupts_on),
                *(self.record[name].eq(shown[name]) for name in ("pc", "a", "b")),
            ]
            with m.If(is_memory & ~trapped | self.withdraw):
                m.d.comb += self.record.address.eq(shown["address"])
            with m.If(is_memory & ~trapped):
                m.d.comb += [
                    self.record.memory.eq(1),
                    self.record.op.eq(op),
                    self.record.result.eq(Mux(op == MemoryOp.WRITE, 0, self.memory_old)),
                ]

        state = sequencer.state
        m.d.comb += [
            self.status.halted.eq((state == CoreState.HALT) | (state == CoreState.WAIT_STARTUP) | (state == CoreState.TRAPPED)),
            self.status.pausing.eq((state == CoreState.RUN) & (word.op == Op.PAUSE)),
            self.status.waiting.eq(state == CoreState.MEMORY),
            self.status.in_handler.eq(sequencer.depth != 0),
            self.status.trapped.eq(state == CoreState.TRAPPED),
            self.asleep.eq(self.status.halted & ~sequencer.starting),
            self.interruptible.eq((state == CoreState.HALT) & sequencer.interrupts_on),

            self.probe.state.eq(state),
            self.probe.go.eq(sequencer.go),
            self.probe.pc.eq(sequencer.pc),
            self.probe.interrupts_on.eq(sequencer.interrupts_on),
            self.probe.depth.eq(sequencer.depth),
            self.probe.registers.eq(datapath.registers),
        ]
        return m
