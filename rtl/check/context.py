"""The Context: what a core is busy with, from its records alone."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..events import ApicEvent, Event, apic_record_layout, core_record_layout
from .deed import LEVEL_BITS, MAX_FRAMES, Deed, deed_layout

__all__ = ["Context", "findings_layout", "resumption_layout"]


class _Kind(enum.Enum, shape=2):
    INTERRUPT = 0
    CALL = 1
    HANDLER = 2
    FUNCTION = 3


def resumption_layout(config):
    """A caller goes on: it was woken, or its calls from ``level`` on are over."""
    return data.StructLayout({
        "woken": 1,
        "csd": config.xlen,           # woken: what it waited for
        "over": 1,
        "waited": 1,                  # over: the call has waited
        "level": LEVEL_BITS,
    })


#: What a Context finds by itself, each for one clock.
findings_layout = data.StructLayout(dict.fromkeys(("not_once", "refs", "mask", "warn", "trap", "overflow"), 1))

#: What looks at the top or moves it.
_FRAMES = (Event.COMMAND, Event.IRET, Event.CALL, Event.RETURN, Event.TAKE, Event.DEQUEUE, Event.VISIT, Event.HANDLE_END,
           Event.FUNC_ENTRY, Event.FUNC_EXIT)

#: Event -> the deed, and where the record has the address.
_DEEDS = {
    Event.CSD_LOCK: (Deed.LOCK, "a"),
    Event.CSD_UNLOCK: (Deed.UNLOCK, "a"),
    Event.QUEUE: (Deed.QUEUE, "b"),
    Event.TAKE: (Deed.TAKE, "a"),
    Event.DEQUEUE: (Deed.TAKE, "a"),
    Event.REFS: (Deed.COUNT, "a"),
    Event.LIST_DEL: (Deed.DELETE, "a"),
    Event.LOCK_TRY: (Deed.HOLD, "address"),
    Event.UNLOCK: (Deed.RELEASE, "address"),
}


class Context(wiring.Component):
    """Follows one core through its activities, each of which may be interrupted, or may call, and is then gone on with.

    A frame of the stack is one activity; below all frames is the core's program.

    =============  ==========================================  ===============================================================
    frame          pushed by                                   popped by
    =============  ==========================================  ===============================================================
    ``INTERRUPT``  ACCEPT                                      IRET
    ``CALL``       CALL, if the top is no ``CALL`` frame       the RETURN that closes its outermost CALL
    ``HANDLER``    TAKE, DEQUEUE                               the next TAKE, DEQUEUE or VISIT, HANDLE_END, IRET
    ``FUNCTION``   FUNC_ENTRY                                  FUNC_EXIT
    =============  ==========================================  ===============================================================

    COMMAND pops all. The outputs of clock ``t + 1`` tell of the records of clock ``t``; a deed stays until it is heard.

    It is an overflow if a deed waits for more than three clocks or until the next one comes (what depends on each other is at
    least one access to memory apart), if a handler goes on to its function before the answer to a TAKE, if the frames do not
    suffice, if a handler begins in the middle of a handler, and if an IRET leaves a call or a function open.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    record, interrupt : this core's records; 0 if they are not to be looked at.
    deed : what it has done to a csd or a spin lock.  heard : now.
    told, taken : after a TAKE was heard: whether what was taken was for this core.
    exit : it has ended a function that it ran in a handler.
    resumption, findings : pulses.
    busy : it is in a call or a function, or has left a call without RETURN.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "record": In(core_record_layout(config)),
            "interrupt": In(apic_record_layout(config)),
            "deed": Out(deed_layout(config)),
            "heard": In(1),
            "told": In(1),
            "taken": In(1),
            "exit": Out(1),
            "resumption": Out(resumption_layout(config)),
            "findings": Out(findings_layout),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, record, deed, resumption, findings = self._config, self.record, self.deed, self.resumption, self.findings
        frame_layout = data.StructLayout({
            "kind": _Kind,
            "spent": 1,                   # CALL, HANDLER: its function was run. HANDLER: or is not for this core
            "waited": 1,                  # CALL
            "calls": 3,                   # CALL: that have not returned, without the outermost
            "targets": config.n_cores,    # CALL: said last
        })
        frames = Signal(data.ArrayLayout(frame_layout, MAX_FRAMES))       # 0: the top
        depth = Signal(LEVEL_BITS)
        stack, width, top = frames.as_value(), frame_layout.size, frames[0]

        def has(kind, index=0):
            return (depth > index) & (frames[index].kind == kind)

        def among(kind):
            """Whether there is such a frame."""
            return Cat(has(kind, index) for index in range(MAX_FRAMES)).any()

        is_call, is_handler, is_function = Signal(), Signal(), Signal()
        lost = Signal()                   # a call was left without RETURN
        m.d.comb += [
            is_call.eq(has(_Kind.CALL)),
            is_handler.eq(has(_Kind.HANDLER)),
            is_function.eq(has(_Kind.FUNCTION)),
            self.busy.eq(lost | among(_Kind.CALL) | among(_Kind.FUNCTION)),
        ]

        def push(**frame):
            m.d.sync += [stack.eq(Cat(frame_layout.const(frame), stack)), depth.eq(depth + 1)]
            with m.If(depth == MAX_FRAMES):
                m.d.sync += [depth.eq(MAX_FRAMES), findings.overflow.eq(1)]

        def pop(count=1):
            m.d.sync += [stack.eq(stack[count * width:]), depth.eq(depth - count)]

        m.d.sync += [self.exit.eq(0), resumption.woken.eq(0), resumption.over.eq(0), resumption.waited.eq(0), findings.eq(0)]
        with m.If(deed.valid):
            m.d.sync += deed.age.eq(deed.age + 1)
            with m.If(self.heard):
                m.d.sync += deed.valid.eq(0)
            with m.Elif(deed.age == 3):
                m.d.sync += findings.overflow.eq(1)

        accepts = Signal()
        m.d.comb += accepts.eq(self.interrupt.valid & (self.interrupt.event == ApicEvent.ACCEPT))
        with m.If(accepts):
            push(kind=_Kind.INTERRUPT)
        asks = Signal()                   # whether what it has taken was for it
        hangs = Signal()                  # on the answer, or on the top that waits for it
        with m.Switch(record.event), m.Case(*_FRAMES):
            m.d.comb += hangs.eq(1)
        with m.If(asks & (accepts | hangs)):
            m.d.sync += findings.overflow.eq(1)
        with m.If(self.told):
            m.d.sync += [asks.eq(0), top.spent.eq(~self.taken)]

        with m.If(record.event != Event.NONE), m.Switch(record.event):
            with m.Case(Event.COMMAND):
                with m.If(among(_Kind.CALL)):
                    m.d.sync += [lost.eq(1), resumption.over.eq(1), resumption.level.eq(0)]
                m.d.sync += depth.eq(0)
            with m.Case(Event.IRET):
                with m.If(has(_Kind.INTERRUPT)):
                    pop()
                with m.Elif(is_handler & has(_Kind.INTERRUPT, 1)):
                    pop(2)
                with m.Elif(depth != 0):
                    m.d.sync += findings.overflow.eq(1)

            with m.Case(Event.CALL):
                with m.If(is_call):
                    m.d.sync += top.calls.eq(top.calls + 1)
                    with m.If(top.calls.all()):
                        m.d.sync += findings.overflow.eq(1)
                with m.Else():
                    push(kind=_Kind.CALL)
            with m.Case(Event.TARGET):
                m.d.sync += top.targets.eq(Cat(record.a == core for core in range(config.n_cores)))
            with m.Case(Event.TARGETS):
                m.d.sync += top.targets.eq(record.a)
            with m.Case(Event.WAIT):
                m.d.sync += top.waited.eq(1)
            with m.Case(Event.WOKEN):
                m.d.sync += [resumption.woken.eq(is_call), resumption.csd.eq(record.a), resumption.level.eq(depth)]
            with m.Case(Event.RETURN):
                with m.If(is_call & (top.calls != 0)):
                    m.d.sync += top.calls.eq(top.calls - 1)
                with m.Elif(is_call):
                    pop()
                    m.d.sync += [resumption.over.eq(1), resumption.waited.eq(top.waited), resumption.level.eq(depth)]

            with m.Case(Event.TAKE, Event.DEQUEUE):
                m.d.sync += asks.eq(1)
                with m.If(is_handler):
                    m.d.sync += top.spent.eq(0)
                with m.Else():
                    push(kind=_Kind.HANDLER)
                    with m.If(among(_Kind.HANDLER)):
                        m.d.sync += findings.overflow.eq(1)
            with m.Case(Event.VISIT, Event.HANDLE_END):
                with m.If(is_handler):
                    pop()
            with m.Case(Event.FUNC_ENTRY):
                push(kind=_Kind.FUNCTION)
                m.d.sync += [findings.not_once.eq(~(is_call | is_handler) | top.spent), frames[1].spent.eq(1)]
            with m.Case(Event.FUNC_EXIT):
                with m.If(is_function):
                    pop()
                    m.d.sync += self.exit.eq(has(_Kind.HANDLER, 1))

            with m.Case(Event.REFS):
                m.d.sync += findings.refs.eq(record.b[-1])
            with m.Case(Event.IPI_MASK):
                m.d.sync += findings.mask.eq((record.a == 0) | (record.a & ~record.b).any())
            with m.Case(Event.WARN):
                m.d.sync += findings.warn.eq(1)
            with m.Case(Event.PANIC, Event.FAULT, Event.STACK_FAULT):
                m.d.sync += findings.trap.eq(1)

        does = Signal()
        with m.Switch(record.event):
            for event, (done, address) in _DEEDS.items():
                with m.Case(event):
                    m.d.comb += does.eq(record.result == 0 if event is Event.LOCK_TRY else 1)
                    m.d.sync += [deed.deed.eq(done), deed.address.eq(record[address])]
        with m.If(does):
            with m.If(deed.valid & ~self.heard):
                m.d.sync += findings.overflow.eq(1)
            m.d.sync += [
                deed.valid.eq(1), deed.age.eq(0), deed.level.eq(depth), deed.calling.eq(is_call),
                deed.targets.eq(Mux(is_call, top.targets, 0)), deed.zero.eq(record.b == 0),
            ]
        return m
