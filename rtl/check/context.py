"""The Context: what a core is busy with, and what it has done, from its records alone."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..events import ApicEvent, Event, apic_record_layout, core_record_layout
from ..memory.port import MemoryOp
from .operation import DELAY, MAX_CALLS, MAX_WAIT, SOURCES, operation_layout

__all__ = ["VISITS_BITS", "Context", "end_layout", "findings_layout"]

#: Calls and interrupts that a core can be in at a time.
_MAX_FRAMES = 6
#: Of the count of entries that a walk has looked at.
VISITS_BITS = 16

#: What a Context finds by itself, each for one clock.
findings_layout = data.StructLayout(dict.fromkeys(("refs", "list", "walk", "mask", "where", "warn", "trap", "overflow"), 1))

#: What ends, ``DELAY`` clocks after its record.
end_layout = data.StructLayout({
    "function": 1,        # RAN
    "call": 1,            # RESULT
    "failed": 1,          # ... with a result that is not 0
    "program": 1,         # COMMAND: whatever was left open never ends
})


class Context(wiring.Component):
    """Follows one core through its calls and interrupts, one in the middle of the other.

    REQUEST begins a call and RESULT ends it; ACCEPT begins an interrupt and IRET ends it; COMMAND ends all. The outputs of clock
    ``t + 1`` are about the records of clock ``t``, but ``ends`` and ``accepted``, which are ``DELAY`` clocks late. An operation
    stays until it is granted the bus.

    These are an overflow: an operation that waits for more than MAX_WAIT clocks or until the next one comes (what depends on each
    other is at least one access to memory apart); too many calls, or calls and interrupts; a call or a function that begins before
    the end of the last one has taken effect; a RESULT that leaves an interrupt, and an IRET that leaves a call.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    record, interrupt : this core's records; 0 if they are not to be looked at.
    visits : entries that a walk may look at; held during a run.
    operation : what it has done.  granted : it has the bus in this clock.
    ends, findings : pulses.
    accepted : it has accepted an interrupt, ``DELAY`` clocks ago.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "record": In(core_record_layout(config)),
            "interrupt": In(apic_record_layout(config)),
            "visits": In(VISITS_BITS),
            "operation": Out(operation_layout(config)),
            "granted": In(1),
            "ends": Out(end_layout),
            "findings": Out(findings_layout),
            "accepted": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        record, operation, findings = self.record, self.operation, self.findings

        # A frame is a call (1) or an interrupt (0); bit 0 is the innermost.
        frames, used = Signal(_MAX_FRAMES), Signal(_MAX_FRAMES)
        calls = Signal(MAX_CALLS)
        in_call, in_interrupt = Signal(), Signal()
        m.d.comb += [in_call.eq(used[0] & frames[0]), in_interrupt.eq(used[0] & ~frames[0])]

        def push(kind):
            m.d.sync += [frames.eq(Cat(kind, frames)), used.eq(Cat(1, used))]
            with m.If(used[-1]):
                m.d.sync += findings.overflow.eq(1)

        def pop():
            m.d.sync += [frames.eq(frames[1:]), used.eq(used[1:])]

        # The walk over the queue, at this depth of interrupts: it stands at an entry, not at the head.
        inside = Signal(_MAX_FRAMES)
        seen = Signal(VISITS_BITS)

        m.d.sync += findings.eq(0)
        accepts = Signal()
        m.d.comb += accepts.eq(self.interrupt.valid & (self.interrupt.event == ApicEvent.ACCEPT))
        with m.If(accepts):
            push(0)
            m.d.sync += [inside.eq(Cat(0, inside)), seen.eq(0)]

        # What goes over no bus: in a line, of which the last comes out.
        ending = {name: Signal(DELAY, name=f"{name}_line") for name in (*end_layout.members, "accepted")}
        starting = {name: Signal(name=f"{name}_now") for name in ending}
        for name, line in ending.items():
            m.d.sync += line.eq(Cat(starting[name], line))
        m.d.comb += [self.ends[name].eq(ending[name][-1]) for name in end_layout.members]
        m.d.comb += [self.accepted.eq(ending["accepted"][-1]), starting["accepted"].eq(accepts)]

        acts, again = Signal(), Signal()
        with m.Switch(record.event):
            with m.Case(Event.NONE):
                pass

            with m.Case(Event.COMMAND):
                m.d.comb += starting["program"].eq(1)
                m.d.sync += [used.eq(0), calls.eq(0), inside.eq(0)]
            with m.Case(Event.REQUEST):
                push(1)
                m.d.sync += calls.eq(Cat(1, calls))
                with m.If(calls[-1] | ending["call"].any() | ending["program"].any()):
                    m.d.sync += findings.overflow.eq(1)
            with m.Case(Event.ISSUE):
                with m.If(ending["function"].any() | ending["call"].any()):
                    m.d.sync += findings.overflow.eq(1)
            with m.Case(Event.RESULT):
                m.d.comb += [starting["call"].eq(in_call), starting["failed"].eq(record.a.any())]
                with m.If(in_call):
                    pop()
                    m.d.sync += calls.eq(calls[1:])
                with m.Elif(calls.any()):
                    m.d.sync += findings.overflow.eq(1)
            with m.Case(Event.IRET):
                m.d.sync += [inside.eq(inside[1:]), seen.eq(0)]
                with m.If(in_interrupt):
                    pop()
                with m.Elif((used & ~frames).any()):
                    m.d.sync += findings.overflow.eq(1)

            with m.Case(Event.RUN):
                m.d.sync += findings.where.eq(record.enabled)
                with m.If(ending["function"].any()):
                    m.d.sync += findings.overflow.eq(1)
            with m.Case(Event.RAN):
                m.d.comb += starting["function"].eq(1)

            with m.Case(Event.HANDLE):
                m.d.sync += seen.eq(0)
            with m.Case(Event.VISIT):
                m.d.sync += inside[0].eq(record.a != record.b)
                with m.If(record.a != record.b):
                    m.d.sync += [seen.eq(seen + 1), findings.walk.eq(seen == self.visits)]
            with m.Case(Event.HANDLE_END):
                m.d.sync += [inside[0].eq(0), findings.list.eq(inside[0])]
            with m.Case(Event.REFS):
                m.d.sync += findings.refs.eq(record.b[-1])
            with m.Case(Event.IPI_MASK):
                m.d.sync += findings.mask.eq((record.a == 0) | (record.a & ~record.b).any())
            with m.Case(Event.WARN):
                m.d.sync += findings.warn.eq(1)
            with m.Case(Event.PANIC, Event.FAULT, Event.STACK_FAULT):
                m.d.sync += findings.trap.eq(1)

        # A DEQUEUE and a LIST_DEL of one entry are one deletion.
        deleted = Signal(self._config.xlen)
        half = Signal()                   # of ``deleted`` only one was said: ...
        listed = Signal()                 # ... LIST_DEL
        deletes = Signal()
        with m.If(deletes):
            m.d.comb += again.eq(half & (deleted == record.a) & (listed != (record.event == Event.LIST_DEL)))
            m.d.sync += [deleted.eq(record.a), half.eq(~again), listed.eq(record.event == Event.LIST_DEL)]

        with m.If(operation.valid):
            m.d.sync += operation.age.eq(operation.age + 1)
            with m.If(self.granted):
                m.d.sync += operation.valid.eq(0)
            with m.Elif(operation.age == MAX_WAIT):
                m.d.sync += findings.overflow.eq(1)
        with m.Switch(record.event):
            for event, (kind, a, b) in SOURCES.items():
                with m.Case(event):
                    m.d.sync += [operation.operation.eq(kind), operation.a.eq(record[a]), operation.b.eq(record[b])]
                    if event is Event.LOCK_TRY:
                        takes = Cat(record.op == op for op in (MemoryOp.SWAP, MemoryOp.CAS, MemoryOp.OR)).any()
                        m.d.comb += acts.eq(takes & ~record.result.any())
                    elif event is Event.ISSUE:
                        m.d.comb += acts.eq(in_call)
                    else:
                        m.d.comb += acts.eq(1)
                    if event in (Event.DEQUEUE, Event.LIST_DEL):
                        m.d.comb += deletes.eq(1)
        with m.If(acts):
            with m.If(operation.valid & ~self.granted):
                m.d.sync += findings.overflow.eq(1)
            m.d.sync += [operation.valid.eq(1), operation.age.eq(0), operation.again.eq(again), operation.calling.eq(in_call),
                         operation.calls.eq(calls)]
        return m
