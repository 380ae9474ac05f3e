"""The local APIC: which interrupts are requested of a core, which it serves, and what it sends to others.

Intel SDM volume 3, the APIC chapter: "Interrupt Command Register (ICR)", "Error Handling" (ESR), "Interrupt, Task, and
Processor Priority", "Interrupt Acceptance for Fixed Interrupts", "Signaling Interrupt Servicing Completion" (EOI).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..events import ApicEvent, apic_record_layout
from .message import BROADCAST, DeliveryMode, DeliveryPort, MessagePort, Shorthand, message_layout
from .registers import ApicRegister, ApicRegisterPort

__all__ = ["Highest", "LocalApic"]

#: Vectors of one priority class. Those of class 0 are illegal.
_CLASS = 16
_SEND_ILLEGAL_VECTOR = 5
_RECEIVE_ILLEGAL_VECTOR = 6
#: An integrated APIC. The field "max LVT entry" (bits 23:16) is 0: there is no local vector table.
_VERSION = 0x14


class Highest(wiring.Component):
    """The highest bit set among ``n``, in two levels: the highest class of 16 with a bit set, then the bit inside it.

    Combinational.

    Parameters
    ----------
    n : a power of two, at least 16.

    Members
    -------
    bits : to look at.
    found : there is one.
    index : its number; 0 if there is none.
    """

    def __init__(self, n):
        super().__init__({
            "bits": In(n),
            "found": Out(1),
            "index": Out(exact_log2(n)),
        })

    def elaborate(self, platform):
        m = Module()
        members = Signal(_CLASS)      # of the highest class with a bit set
        m.d.comb += self.found.eq(members.any())
        for number in range(len(self.bits) // _CLASS):
            candidates = self.bits.word_select(number, _CLASS)
            with m.If(candidates.any()):
                m.d.comb += [self.index[4:].eq(number), members.eq(candidates)]
        for number in range(_CLASS):
            with m.If(members[number]):
                m.d.comb += self.index[:4].eq(number)
        return m


class LocalApic(wiring.Component):
    """The local APIC of one core, with the vectors from ``first_vector`` to 0xff.

    *Receiving.* A FIXED message delivered in clock t has set its IRR bit in clock t + 1; ``interrupt`` and ``vector`` are
    registers and show it in clock t + 2, if the vector's class is above that of PPR. ``accept`` moves ``vector`` from IRR to
    ISR at the end of the clock; a message with the same vector delivered in that clock sets IRR again. ``interrupt`` is low
    in the clock after an ``accept``, a write to TPR or a delivered INIT, so it never offers what these took away; one clock
    later it is up to date. A higher vector that arrives while a lower one is offered replaces it after the same two clocks.
    A vector below ``first_vector``, or below 16, is not received; it sets the ESR bit "receive illegal vector".

    INIT clears all registers except the id at the end of the clock (Intel SDM, "Local APIC State After It Receives an INIT"). It
    does not affect a message in transit: that is delivered, and the delivery status is busy until then. ``init`` and ``startup``
    are registers: high for the one clock after the one in which such a message was delivered. The vector of STARTUP is ignored.
    Messages of other modes are not received.

    *Sending.* A write to ICR in clock t shows the message on ``out`` from clock t + 1 until its ``done``; ``out.valid`` is the
    delivery status. The modes are FIXED, INIT and STARTUP, the latter two only with no shorthand or OTHERS. A write that asks for
    anything else (another mode, INIT level de-assert), or that arrives while a message is in transit, sends nothing and changes
    nothing. A FIXED message with a vector below 16 is not sent either, but sets the ESR bit "send illegal vector".

    The destination of an x2APIC is in the upper half of a wide write. Other writes take it from ICR2, as in an xAPIC: an id of
    8 bits, where 0xff names all. A message with a logical destination is then not sent (there is no LDR). So code written for an
    xAPIC runs in both modes: ICR2 exists in both here.

    *Registers.* Reads are combinational and never stale. ICR reads as the message sent last, in an x2APIC with its destination, or
    as 0 if none was sent since INIT; with delivery status in bit 12. ICR2 reads as written. A write to ESR, of any value, moves the
    errors collected since the last one into what is read. The core never accesses a register in the clock of an ``accept``.

    Parameters
    ----------
    config : MachineConfig. Without ``x2apic_mode`` it is an xAPIC; without ``task_priority`` there is no TPR, and without
        ``error_status`` no ESR.

    Members
    -------
    core_id : this APIC's id.  x2apic : the strap, its mode.
    registers : the core's register port.
    interrupt, vector : an interrupt is requested that the core may take, and which.
    accept : the core takes it; only with ``interrupt``.
    out : the way into the fabric. ``out.message`` stays after ``done``: the message sent last.
    delivery : the way from the fabric.
    init, startup : the message was delivered.
    record : SEND, REFUSE, EOI and ACCEPT, in the clock of the register write or of ``accept``.
    due : a vector is requested whose class is above that of PPR; ``interrupt`` follows it. Combinational of state.
    irr, isr : vectors requested and in service; bit i is vector ``first_vector + i``.
    tpr : task priority.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "core_id": In(8),
            "x2apic": In(1),
            "registers": In(ApicRegisterPort()),
            "interrupt": Out(1),
            "vector": Out(8),
            "accept": In(1),
            "out": Out(MessagePort()),
            "delivery": In(DeliveryPort()),
            "init": Out(1),
            "startup": Out(1),
            "record": Out(apic_record_layout(config)),
            "due": Out(1),
            "irr": Out(config.n_vectors),
            "isr": Out(config.n_vectors),
            "tpr": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        index_bits = exact_log2(config.n_vectors)

        def vector_of(index):
            return (index | config.first_vector)[:8]

        def bit_of(vector):
            return 1 << vector[:index_bits]

        # Priority.
        m.submodules.requested = requested = Highest(config.n_vectors)
        m.submodules.service = service = Highest(config.n_vectors)
        service_vector = vector_of(service.index)
        ppr = Signal(8)
        m.d.comb += [
            requested.bits.eq(self.irr),
            service.bits.eq(self.isr),
            ppr.eq(Mux(service.found & (service_vector[4:] > self.tpr[4:]), service_vector & 0xF0, self.tpr)),
        ]

        # What the core asks of it, and what comes in.
        port, delivery = self.registers, self.delivery
        write = port.valid & port.write

        def written(register):
            return write & (port.register == register)

        init = delivery.valid & (delivery.message.mode == DeliveryMode.INIT)
        arrives = delivery.valid & (delivery.message.mode == DeliveryMode.FIXED)
        exists = delivery.message.vector >= max(_CLASS, config.first_vector)
        destination = Signal(8)       # ICR2
        sent = Signal()               # since INIT: ICR shows it
        errors = Signal(8)            # since the last write to ESR
        esr = Signal(8)
        asked = self._asked(m, destination)
        legal = (asked.mode != DeliveryMode.FIXED) | (asked.vector >= _CLASS)
        can_send = self._is_known(asked) & ~self.out.valid
        sends = written(ApicRegister.ICR) & can_send & legal
        with m.If(sends):
            m.d.sync += [self.out.valid.eq(1), self.out.message.eq(asked)]
        with m.Elif(self.out.done):
            m.d.sync += self.out.valid.eq(0)

        # The registers.
        wrong = Signal(8)
        m.d.comb += [
            wrong[_SEND_ILLEGAL_VECTOR].eq(written(ApicRegister.ICR) & can_send & ~legal),
            wrong[_RECEIVE_ILLEGAL_VECTOR].eq(arrives & ~exists),
        ]
        reads_errors = written(ApicRegister.ESR) if config.error_status else 0
        moves_priority = written(ApicRegister.TPR) if config.task_priority else 0
        with m.If(init):
            m.d.sync += [register.eq(0) for register in (self.irr, self.isr, self.tpr, errors, esr, destination, sent)]
        with m.Else():
            m.d.sync += [
                self.irr.eq(self.irr & ~Mux(self.accept, bit_of(self.vector), 0)
                            | Mux(arrives & exists, bit_of(delivery.message.vector), 0)),
                errors.eq(Mux(reads_errors, 0, errors) | wrong),
            ]
            with m.If(self.accept):
                m.d.sync += self.isr.eq(self.isr | bit_of(self.vector))
            with m.Elif(written(ApicRegister.EOI)):
                m.d.sync += self.isr.eq(self.isr & ~bit_of(service.index))
            with m.If(reads_errors):
                m.d.sync += esr.eq(errors)
            with m.If(moves_priority):
                m.d.sync += self.tpr.eq(port.write_data)
            with m.If(written(ApicRegister.ICR2)):
                m.d.sync += destination.eq(port.write_data[24:32])
            with m.If(sends):
                m.d.sync += sent.eq(1)
        m.d.comb += port.serializes.eq(~self._x2apic)
        self._read(m, {
            ApicRegister.ID: Cat(Const(0, 24), self.core_id),
            ApicRegister.VERSION: _VERSION,
            ApicRegister.TPR: self.tpr,
            ApicRegister.PPR: ppr,
            ApicRegister.ESR: esr,
            ApicRegister.ICR: self._command(sent),
            ApicRegister.ICR2: Cat(Const(0, 24), destination),
        })

        # What the core hears.
        requested_vector = vector_of(requested.index)
        m.d.comb += self.due.eq((requested_vector[4:] > ppr[4:]) & requested.found)
        m.d.sync += [
            self.init.eq(init),
            self.startup.eq(delivery.valid & (delivery.message.mode == DeliveryMode.STARTUP)),
            self.vector.eq(requested_vector),
            self.interrupt.eq(self.due & ~(self.accept | moves_priority | init)),
        ]
        with m.If(self.accept):
            m.d.comb += [
                self.record.valid.eq(1),
                self.record.event.eq(ApicEvent.ACCEPT),
                self.record.vector.eq(self.vector),
            ]
        with m.Elif(written(ApicRegister.EOI)):
            m.d.comb += [
                self.record.valid.eq(service.found),
                self.record.event.eq(ApicEvent.EOI),
                self.record.vector.eq(service_vector),
            ]
        with m.Elif(written(ApicRegister.ICR)):
            m.d.comb += [
                self.record.valid.eq(1),
                self.record.event.eq(Mux(sends, ApicEvent.SEND, ApicEvent.REFUSE)),
                *(self.record[name].eq(asked[name]) for name in message_layout.members),
            ]
        return m

    @property
    def _x2apic(self):
        """The strap, where there is a choice."""
        return self.x2apic if self._config.x2apic_mode else Const(0)

    def _read(self, m, readable):
        """What each register reads as; IRR and ISR besides those of ``readable``."""
        for first, bits in (ApicRegister.ISR, self.isr), (ApicRegister.IRR, self.irr):
            vectors = Cat(Const(0, self._config.first_vector), bits)
            for number in range(8):
                readable[first + number] = vectors.word_select(number, 32)
        port = self.registers
        with m.Switch(port.register):
            for register, value in readable.items():
                with m.Case(register):
                    m.d.comb += port.read_data.eq(value)

    def _asked(self, m, destination):
        """The message that a write to ICR asks for. destination : ICR2's."""
        port, asked = self.registers, Signal(message_layout)
        value = port.write_data
        with m.If(self._x2apic & port.wide):
            m.d.comb += asked.destination.eq(value[32:])
        with m.Else():
            m.d.comb += asked.destination.eq(Mux(destination.all(), BROADCAST, destination))
        m.d.comb += Cat(asked.vector, asked.mode, asked.logical, asked.level, asked.trigger, asked.shorthand).eq(
            Cat(value[:12], value[14:16], value[18:20]))
        return asked

    def _command(self, sent):
        """What ICR reads as. sent : a message was, since INIT."""
        message = self.out.message
        command = Cat(message.vector, message.mode, message.logical, Const(0, 2), message.level, message.trigger, Const(0, 2),
                      message.shorthand, Const(0, 12), Mux(self._x2apic, message.destination, 0))
        return Mux(sent, command, 0) | self.out.valid << 12

    def _is_known(self, asked):
        """This APIC sends such messages."""
        none, others = (asked.shorthand == item for item in (Shorthand.NONE, Shorthand.OTHERS))
        deassert = asked.trigger & ~asked.level
        starts = (asked.mode == DeliveryMode.STARTUP) | (asked.mode == DeliveryMode.INIT) & ~deassert
        reachable = ~(none & asked.logical) | self._x2apic & self.registers.wide
        return reachable & ((asked.mode == DeliveryMode.FIXED) | starts & (none | others))
