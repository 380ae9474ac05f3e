"""The local APIC of a core: the interrupts requested, the interrupts in service, and the messages sent.

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

#: Number of vectors in a priority class. The vectors of class 0 are illegal.
_CLASS = 16
#: Bits of ICR and ESR.
_DELIVERY_STATUS = 12
_SEND_ILLEGAL_VECTOR = 5
_RECEIVE_ILLEGAL_VECTOR = 6
#: An integrated APIC. The field "max LVT entry" (bits 23:16) is 0: there is no local vector table.
_VERSION = 0x14


class Highest(wiring.Component):
    """Finds the highest set bit of ``n``, in two levels: the highest class of 16 with a set bit, then the bit inside it.

    Combinational.

    Parameters
    ----------
    n : a power of two, at least 16.

    Members
    -------
    bits : the input.
    found : a bit is set.
    index : number of the highest set bit; 0 if no bit is set.
    """

    def __init__(self, n):
        super().__init__({
            "bits": In(n),
            "found": Out(1),
            "index": Out(exact_log2(n)),
        })

    def elaborate(self, platform):
        m = Module()
        members = Signal(_CLASS)      # bits of the highest class with a set bit
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
    """The local APIC of one core, for the vectors from ``first_vector`` to 0xff.

    *Receiving.* The IRR bit of a FIXED message delivered in clock t is set in clock t + 1; ``interrupt`` and ``vector`` are
    registers and show it in clock t + 2, if the vector's class is above that of PPR. ``accept`` moves ``vector`` from IRR to
    ISR at the end of the clock; a message with the same vector delivered in that clock sets IRR again. ``interrupt`` is low
    in the clock after an ``accept``, a write to TPR or a delivered INIT, so it never offers an outdated vector; one clock later
    it is up to date. A higher vector that arrives while a lower one is offered replaces it after the same two clocks.
    A vector below ``first_vector``, or below 16, is not received; it sets the ESR bit "receive illegal vector".

    INIT clears all registers except the id at the end of the clock (Intel SDM, "Local APIC State After It Receives an INIT"). It
    does not affect a message in transit: the message is delivered, and the delivery status stays busy until then. ``init`` and
    ``startup`` are registers, high for one clock: the one after the delivery of such a message. The vector of STARTUP is ignored.
    Messages of other modes are not received.

    *Sending.* After a write to ICR in clock t, ``out`` shows the message from clock t + 1 until its ``done``; ``out.valid`` is the
    delivery status. The modes are FIXED, INIT and STARTUP, the latter two only without a shorthand or with OTHERS. A write
    that requests anything else (another mode, INIT level de-assert), or that occurs while a message is in transit, sends and
    changes nothing. A FIXED message with a vector below 16 is not sent either, but sets the ESR bit "send illegal vector".

    In an x2APIC, the upper half of a wide write is the destination. Other writes take it from ICR2, as in an xAPIC: an id of
    8 bits, or 0xff for all. They cannot send to a logical destination (there is no LDR). Code written for an xAPIC runs in both
    modes, because ICR2 exists in both here.

    *Registers.* Reads are combinational and never stale. ICR reads as the message sent last (in an x2APIC with its destination),
    or as 0 if none was sent since INIT; bit 12 is the delivery status. ICR2 reads as written. A write of any value to ESR makes
    the errors collected since the previous write readable. The core never accesses a register in the clock of an ``accept``.

    Parameters
    ----------
    config : MachineConfig. Without ``x2apic_mode`` this is an xAPIC; without ``task_priority`` there is no TPR, and without
        ``error_status`` no ESR. Without ``register_reads``, every bit reads 0 but the delivery status.

    Members
    -------
    core_id : this APIC's id.  x2apic : the strap that selects its mode.
    registers : the core's register port.
    interrupt, vector : a requested interrupt that the core may accept, and its vector.
    accept : the core accepts it; only with ``interrupt``.
    out : the port into the fabric. ``out.message`` keeps the message sent last after its ``done``.
    delivery : the port from the fabric.
    init, startup : such a message was delivered in the previous clock.
    record : SEND, REFUSE, EOI and ACCEPT, in the clock of the register write or of ``accept``.
    due : a requested vector has a class above that of PPR; ``interrupt`` follows in the next clock. A function of state.
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

        # Register accesses of the core, and delivered messages.
        port, delivery = self.registers, self.delivery
        write = port.valid & port.write

        def written(register):
            return write & (port.register == register)

        init = delivery.valid & (delivery.message.mode == DeliveryMode.INIT)
        arrives = delivery.valid & (delivery.message.mode == DeliveryMode.FIXED)
        exists = delivery.message.vector >= max(_CLASS, config.first_vector)
        destination = Signal(8)       # ICR2
        sent = Signal()               # any message since INIT: ICR shows it
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
            ApicRegister.ICR: self.out.valid << _DELIVERY_STATUS,
        } if not config.register_reads else {
            **self._vectors(),
            ApicRegister.ID: Cat(Const(0, 24), self.core_id),
            ApicRegister.VERSION: _VERSION,
            ApicRegister.TPR: self.tpr,
            ApicRegister.PPR: ppr,
            ApicRegister.ESR: esr,
            ApicRegister.ICR: self._command(sent),
            ApicRegister.ICR2: Cat(Const(0, 24), destination),
        })

        # The outputs to the core.
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
        """The strap; 0 in a machine without ``x2apic_mode``."""
        return self.x2apic if self._config.x2apic_mode else Const(0)

    def _vectors(self):
        """Number of each register of IRR and ISR -> its value."""
        return {first + number: Cat(Const(0, self._config.first_vector), bits).word_select(number, 32)
                for first, bits in ((ApicRegister.ISR, self.isr), (ApicRegister.IRR, self.irr)) for number in range(8)}

    def _read(self, m, readable):
        """The registers in ``readable`` have these values when read, all others 0."""
        port = self.registers
        with m.Switch(port.register):
            for register, value in readable.items():
                with m.Case(register):
                    m.d.comb += port.read_data.eq(value)

    def _asked(self, m, destination):
        """The message that a write to ICR requests. destination : the one in ICR2."""
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
        """The value of ICR when read. sent : a message was sent since INIT."""
        message = self.out.message
        command = Cat(message.vector, message.mode, message.logical, Const(0, 2), message.level, message.trigger, Const(0, 2),
                      message.shorthand, Const(0, 12), Mux(self._x2apic, message.destination, 0))
        return Mux(sent, command, 0) | self.out.valid << _DELIVERY_STATUS

    def _is_known(self, asked):
        """Whether this APIC sends such messages."""
        none, others = (asked.shorthand == item for item in (Shorthand.NONE, Shorthand.OTHERS))
        deassert = asked.trigger & ~asked.level
        starts = (asked.mode == DeliveryMode.STARTUP) | (asked.mode == DeliveryMode.INIT) & ~deassert
        reachable = ~(none & asked.logical) | self._x2apic & self.registers.wide
        return reachable & ((asked.mode == DeliveryMode.FIXED) | starts & (none | others))
