"""The Context: what a core is doing and has done, from its records alone."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..events import ApicEvent, Event, apic_record_layout, core_record_layout
from ..memory.port import MemoryOp
from .operation import DELAY, MAX_CALLS, MAX_WAIT, SOURCES, operation_layout

__all__ = ["VISITS_BITS", "Context", "end_layout", "findings_layout"]

#: Calls and interrupts that a core can be inside at the same time.
_MAX_FRAMES = 6
#: Width of the count of entries that a walk has visited.
VISITS_BITS = 16

#: The findings of a Context itself, each for one clock.
findings_layout = data.StructLayout(dict.fromkeys(("refs", "list", "walk", "mask", "where", "warn", "trap", "overflow"), 1))

#: What ends, ``DELAY`` clocks after its record.
end_layout = data.StructLayout({
    "function": 1,        # RAN
    "call": 1,            # RESULT
    "failed": 1,          # ... with a result that is not 0
    "program": 1,         # COMMAND: frames left open never end
})


class Context(wiring.Component):
    """Follows one core through its calls and interrupts, which may be nested.

    REQUEST begins a call and RESULT ends it; ACCEPT begins an interrupt and IRET ends it; COMMAND ends all. The outputs of clock
    ``t + 1`` are about the records of clock ``t``, except ``ends`` and ``accepted``, which are ``DELAY`` clocks late. An operation
    stays until it is granted the bus.

    These are an overflow: an operation that waits for more than MAX_WAIT clocks or until the next one comes (dependent operations
    are at least one access to memory apart); too many calls, or calls and interrupts; a call or a function that begins before the
    end of the last one has taken effect; a RESULT that leaves an interrupt, and an IRET that leaves a call.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    record, interrupt : this core's records; 0 to ignore them.
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
        m.d.sync += self.findings.eq(0)
        self._accepts = Signal()
        m.d.comb += self._accepts.eq(self.interrupt.valid & (self.interrupt.event == ApicEvent.ACCEPT))
        in_call, calls = self._follow(m)
        self._walk(m)
        self._look(m)
        self._operate(m, in_call, calls)
        return m

    def _overflow(self, m):
        m.d.sync += self.findings.overflow.eq(1)

    def _follow(self, m):
        """Calls and interrupts. (Returns whether the innermost is a call, and the calls in unary.)"""
        record = self.record
        # A frame is a call (1) or an interrupt (0); bit 0 is the innermost.
        frames, used = Signal(_MAX_FRAMES), Signal(_MAX_FRAMES)
        calls = Signal(MAX_CALLS)
        in_call, in_interrupt = Signal(), Signal()
        m.d.comb += [in_call.eq(used[0] & frames[0]), in_interrupt.eq(used[0] & ~frames[0])]

        def push(kind):
            m.d.sync += [frames.eq(Cat(kind, frames)), used.eq(Cat(1, used))]
            with m.If(used[-1]):
                self._overflow(m)

        def pop():
            m.d.sync += [frames.eq(frames[1:]), used.eq(used[1:])]

        # What does not go over the bus moves through a delay line.
        lines = {name: Signal(DELAY, name=f"{name}_line") for name in (*end_layout.members, "accepted")}
        starts = {name: Signal(name=f"{name}_starts") for name in lines}
        m.d.sync += [line.eq(Cat(starts[name], line)) for name, line in lines.items()]
        m.d.comb += [self.ends[name].eq(lines[name][-1]) for name in end_layout.members]
        m.d.comb += [self.accepted.eq(lines["accepted"][-1]), starts["accepted"].eq(self._accepts)]

        def is_after(*names):
            """These must not be overtaken by what begins here."""
            with m.If(Cat(lines[name].any() for name in names).any()):
                self._overflow(m)

        with m.If(self._accepts):
            push(0)
        with m.Switch(record.event):
            with m.Case(Event.COMMAND):
                m.d.comb += starts["program"].eq(1)
                m.d.sync += [used.eq(0), calls.eq(0)]
            with m.Case(Event.REQUEST):
                push(1)
                m.d.sync += calls.eq(Cat(1, calls))
                with m.If(calls[-1]):
                    self._overflow(m)
                is_after("call", "program")
            with m.Case(Event.ISSUE):
                is_after("call", "function")
            with m.Case(Event.RUN):
                is_after("function")
            with m.Case(Event.RAN):
                m.d.comb += starts["function"].eq(1)
            with m.Case(Event.RESULT):
                m.d.comb += [starts["call"].eq(in_call), starts["failed"].eq(record.a.any())]
                with m.If(in_call):
                    pop()
                    m.d.sync += calls.eq(calls[1:])
                with m.Elif(calls.any()):
                    self._overflow(m)
            with m.Case(Event.IRET):
                with m.If(in_interrupt):
                    pop()
                with m.Elif((used & ~frames).any()):
                    self._overflow(m)
        return in_call, calls

    def _walk(self, m):
        """The walk over the queue. An interrupt during it may have its own walk."""
        record, findings = self.record, self.findings
        inside = Signal(_MAX_FRAMES)      # it is at an entry, not at the head; bit 0 is the innermost
        seen = Signal(VISITS_BITS)        # entries; forgotten when an interrupt begins or ends, so it may be too low
        with m.If(self._accepts):
            m.d.sync += [inside.eq(Cat(0, inside)), seen.eq(0)]
        with m.Switch(record.event):
            with m.Case(Event.COMMAND):
                m.d.sync += inside.eq(0)
            with m.Case(Event.IRET):
                m.d.sync += [inside.eq(inside[1:]), seen.eq(0)]
            with m.Case(Event.HANDLE):
                m.d.sync += seen.eq(0)
            with m.Case(Event.VISIT):
                m.d.sync += inside[0].eq(record.a != record.b)
                with m.If(record.a != record.b):
                    m.d.sync += [seen.eq(seen + 1), findings.walk.eq(seen == self.visits)]
            with m.Case(Event.HANDLE_END):
                m.d.sync += [inside[0].eq(0), findings.list.eq(inside[0])]

    def _look(self, m):
        """The findings in a single record."""
        record, findings = self.record, self.findings
        with m.Switch(record.event):
            with m.Case(Event.RUN):
                m.d.sync += findings.where.eq(record.enabled)
            with m.Case(Event.REFS):
                m.d.sync += findings.refs.eq(record.b[-1])
            with m.Case(Event.IPI_MASK):
                m.d.sync += findings.mask.eq((record.a == 0) | (record.a & ~record.b).any())
            with m.Case(Event.WARN):
                m.d.sync += findings.warn.eq(1)
            with m.Case(Event.PANIC, Event.FAULT, Event.STACK_FAULT):
                m.d.sync += findings.trap.eq(1)

    def _operate(self, m, in_call, calls):
        """Operations that other cores may need to know."""
        record, operation = self.record, self.operation
        acts, deletes, again = Signal(), Signal(), Signal()
        # DEQUEUE and LIST_DEL of one entry are one deletion.
        deleted = Signal(self._config.xlen)
        half = Signal()                   # only one event of ``deleted`` has occurred: ...
        listed = Signal()                 # ... LIST_DEL
        with m.If(deletes):
            m.d.comb += again.eq(half & (deleted == record.a) & (listed != (record.event == Event.LIST_DEL)))
            m.d.sync += [deleted.eq(record.a), half.eq(~again), listed.eq(record.event == Event.LIST_DEL)]

        with m.If(operation.valid):
            m.d.sync += operation.age.eq(operation.age + 1)
            with m.If(self.granted):
                m.d.sync += operation.valid.eq(0)
            with m.Elif(operation.age == MAX_WAIT):
                self._overflow(m)
        with m.Switch(record.event):
            for event, (kind, a, b) in SOURCES.items():
                with m.Case(event):
                    m.d.sync += [operation.operation.eq(kind), operation.a.eq(record[a]), operation.b.eq(record[b])]
                    m.d.comb += [
                        acts.eq({Event.LOCK_TRY: self._takes(), Event.ISSUE: in_call}.get(event, 1)),
                        deletes.eq(event in (Event.DEQUEUE, Event.LIST_DEL)),
                    ]
        with m.If(acts):
            with m.If(operation.valid & ~self.granted):
                self._overflow(m)
            m.d.sync += [operation.valid.eq(1), operation.age.eq(0), operation.again.eq(again), operation.calling.eq(in_call),
                         operation.calls.eq(calls)]

    def _takes(self):
        """LOCK_TRY takes the lock."""
        record = self.record
        return Cat(record.op == op for op in (MemoryOp.SWAP, MemoryOp.CAS, MemoryOp.OR)).any() & ~record.result.any()
