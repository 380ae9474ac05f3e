"""Faults of an interrupt fabric: one message that is lost, duplicated or late, and an interrupt that no core has sent."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FaultInjector", "FaultKind", "fault_layout", "faults_layout"]


class FaultKind(enum.Enum, shape=2):
    """What happens to the message."""

    NONE = 0
    #: It travels, and reaches no core.
    DROP = 1
    #: It is delivered to each core that it names, and then to each of them a second time.
    TWICE = 2
    #: It arrives later.
    LATE = 3


#: Which faults a run has; held during it. All 0: none.
fault_layout = data.StructLayout({
    "fault": FaultKind,
    "fault_source": 8,      # the sender of the interrupt (a message of mode FIXED)
    "fault_number": 16,     # how many interrupts that core has sent before it
    "fault_delay": 16,      # LATE: by how many clocks
    "resend_clock": 32,     # in this clock of the run, or as soon as nothing else arrives there,
    "resend_target": 8,     # this core receives an interrupt
    "resend_vector": 8,     # with this vector; 0: it does not
})


def faults_layout(n):
    """The faults of this clock: by source, of the interrupt that it has in transit; and what to deliver to which targets."""
    return data.StructLayout({"drop": n, "twice": n, "late": n, "inject": n, "vector": 8})


class FaultInjector(wiring.Component):
    """Finds the plan's message, and its clock.

    ``faults`` is combinational in ``plan`` and state. If ``plan`` is 0, ``faults`` is 0, and synthesis removes all of this.

    Parameters
    ----------
    n : sources, and targets.

    Members
    -------
    run : counts clocks while it is high.
    plan : see ``fault_layout``; held during a run.
    valid : by source: it has an interrupt in transit.  done : by source: it ends in this clock.
    injected : by target: the injected interrupt is delivered in this clock.
    faults : see ``faults_layout``.
    """

    def __init__(self, n):
        self._n = n
        super().__init__({
            "run": In(1),
            "plan": In(fault_layout),
            "valid": In(n),
            "done": In(n),
            "injected": In(n),
            "faults": Out(faults_layout(n)),
        })

    def elaborate(self, platform):
        m = Module()
        n, plan, faults = self._n, self.plan, self.faults
        has, sends = plan.fault != FaultKind.NONE, plan.resend_vector != 0

        source, sent, waited = Signal(n), Signal(16), Signal(16)
        with m.If(has):
            m.d.comb += source.eq(Const(1, n) << plan.fault_source)
            with m.If((self.done & source).any()):
                m.d.sync += sent.eq(sent + 1)
            with m.If(sent == plan.fault_number):
                m.d.comb += [
                    faults.drop.eq(Mux(plan.fault == FaultKind.DROP, source & self.valid, 0)),
                    faults.twice.eq(Mux(plan.fault == FaultKind.TWICE, source & self.valid, 0)),
                    faults.late.eq(Mux((plan.fault == FaultKind.LATE) & (waited != plan.fault_delay), source & self.valid, 0)),
                ]
                with m.If(faults.late.any()):
                    m.d.sync += waited.eq(waited + 1)

        now, gone = Signal(32), Signal()
        with m.If(sends & self.run):
            m.d.sync += now.eq(now + 1)
            with m.If((now >= plan.resend_clock) & ~gone):
                m.d.comb += [
                    faults.inject.eq(Cat(plan.resend_target == target for target in range(n))),
                    faults.vector.eq(plan.resend_vector),
                ]
                m.d.sync += gone.eq((self.injected & faults.inject).any())
        return m
