"""The Hunter of a board: it runs the machine under one schedule after another, and stops at a run that the Monitor objects to."""

from amaranth.hdl import Array, Cat, Module, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..core.seen import status_layout
from ..events import trace_layout
from ..machine import LoadPort
from ..monitor import Monitor
from ..schedule import Scheduler, plan_layout, schedule_layout
from ..share import Bundle, share
from .arena_copy import ArenaCopy
from .rounds import Rounds
from .wire import HUNT_BITS, hunt_layout, orders_layout

__all__ = ["Hunter", "HunterPort"]


class HunterPort(Bundle):
    """What a host asks of a Hunter, seen from the Console.

    write : ``data`` is the word ``address`` of the orders.  begin : begin a hunt, or go on with it, until run number ``data``.
    word : the word ``address`` of what it has found (``rtl.boards.wire.Operation.READ_HUNT``), two clocks later.
    begun : a hunt has begun, and has not been ended.
    """

    def __init__(self):
        super().__init__({
            "write": Out(1),
            "begin": Out(1),
            "address": Out(8),
            "data": Out(HUNT_BITS),
            "word": In(HUNT_BITS),
            "begun": In(1),
        })


class Hunter(wiring.Component):
    """Scheduler, Monitor, the copy of the arena, and the Rounds that use them. What it does to the machine is to load it and to
    give it a schedule; all else comes through the Runner. Outside of a hunt the schedule is 0 and the Monitor hears nothing.

    The Monitor hears of a clock one clock later, through registers, because its logic begins where that of the machine ends. A
    run does not end because of a flag: so its flags are all those that an engine sees.

    Parameters
    ----------
    config : MachineConfig.  room : Room of the Monitor.

    Attributes
    ----------
    copy : MemoryData of the copy of the arena.

    Members
    -------
    port : HunterPort.
    end : end the hunt.
    go, last, hold : of Runner.  running : as its summary has it.
    reset : of the machine.  runs : this is a clock of a run.  run : as of Machine.
    source : what is loaded into the machine.  load : the same, and the arena anew for each run.
    status, quiet, trace : of Machine.  schedule : to it.
    found : a hunt has found something, and no run has begun since. It stays when the hunt is ended.
    """

    def __init__(self, config, room):
        self._config = config
        self._monitor = Monitor(config, room=room)
        self._copy = ArenaCopy(config)
        self.copy = self._copy.data
        super().__init__({
            "port": In(HunterPort()),
            "end": In(1),
            "go": Out(1),
            "last": Out(32),
            "hold": Out(1),
            "running": In(1),
            "reset": In(1),
            "runs": In(1),
            "run": In(1),
            "source": In(LoadPort(config)),
            "load": Out(LoadPort(config)),
            "status": In(data.ArrayLayout(status_layout, config.n_cores)),
            "quiet": In(1),
            "trace": In(trace_layout(config)),
            "schedule": Out(schedule_layout(config)),
            "found": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        monitor, port = self._monitor, self.port
        m.submodules.copy = copy = self._copy
        m.submodules.rounds = ResetInserter(self.end)(rounds := Rounds())
        share(copy, source=self.source, load=self.load)
        share(rounds, running=self.running, hold=self.hold, go=self.go)
        with m.If(rounds.found):
            m.d.sync += self.found.eq(1)
        with m.Elif(self.runs):
            m.d.sync += self.found.eq(0)
        hits = Cat(flag.hit for _, flag in _fields(monitor.flags))
        m.d.comb += [
            copy.restore.eq(rounds.restore), rounds.restored.eq(copy.restored),
            rounds.begin.eq(port.begin), rounds.last.eq(port.data), rounds.hit.eq(hits.any()), port.begun.eq(rounds.begun),
        ]
        orders = self._orders(m)
        m.d.comb += self.last.eq(orders.last)
        self._schedule(m, orders, rounds)
        self._observe(m, orders, rounds)
        state = Signal(hunt_layout)
        m.d.comb += [state.begun.eq(rounds.begun), state.going.eq(rounds.going), state.found.eq(rounds.found), state.hits.eq(hits)]
        words = [state.as_value(), rounds.number, *(flag.clock for _, flag in _fields(monitor.flags))]
        m.d.sync += port.word.eq(Array(words)[port.address])
        return m

    def _orders(self, m):
        """The registers that the host writes, word by word."""
        layout = orders_layout(self._config)
        orders = Signal(layout)
        with m.If(self.port.write), m.Switch(self.port.address):
            for number, start in enumerate(range(0, layout.size, HUNT_BITS)):
                with m.Case(number):
                    m.d.sync += orders.as_value()[start:start + HUNT_BITS].eq(self.port.data)
        return orders

    def _schedule(self, m, orders, rounds):
        m.submodules.scheduler = ResetInserter(self.reset)(scheduler := Scheduler(self._config))
        share(scheduler, status=self.status, schedule=self.schedule)
        m.d.comb += scheduler.run.eq(self.run & rounds.begun)
        m.d.comb += [scheduler.plan[name].eq(value) for name, value in _fields(orders) if name in plan_layout.members]
        # A register, so that the sum is not before the first step of the streams. The run begins many clocks later.
        seed = Signal(32)
        m.d.sync += seed.eq(orders.seed + rounds.number)
        m.d.comb += scheduler.plan.seed.eq(seed)

    def _observe(self, m, orders, rounds):
        m.submodules.monitor = ResetInserter(self.reset)(monitor := self._monitor)
        trace, quiet, runs = Signal.like(self.trace), Signal(), Signal()
        m.d.sync += [trace.eq(self.trace), quiet.eq(self.quiet), runs.eq(self.runs & rounds.begun)]
        m.d.comb += [monitor.trace.eq(trace), monitor.quiet.eq(quiet), monitor.run.eq(runs),
                     monitor.patience.eq(orders.patience), monitor.profile.eq(orders.profile)]


def _fields(view):
    """(name, value) of each field of a struct."""
    return [(name, view[name]) for name, _ in view.shape()]
