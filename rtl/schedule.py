"""The schedule: which cores are held in which clock, and the generators that draw one. All zero is the plain machine.

Probabilistic concurrency testing (PCT) is due to Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with
probabilistic guarantees of finding bugs", ASPLOS 2010. The streams are Marsaglia's xorshift ("Xorshift RNGs", 2003) with a
constant added in each step.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from .apic.faults import fault_layout
from .core.seen import status_layout

__all__ = ["ScheduleKind", "Scheduler", "plan_layout", "schedule_layout"]


def schedule_layout(config):
    """The ``schedule`` port of a Machine, one bit per core (or source) and kind. Each is sampled at the clock edge and
    holds what would *start* in the clock after it; what has started continues.

    stall : no new microinstruction starts. Memory, drains and fabric continue.
    hold_drain : the store buffer starts no new drain.
    reorder_drain : under PSO, a drain that starts takes the youngest allowed store instead of the oldest.
    hold_interrupt : no interrupt is accepted.
    hold_message : the message of this source is not delivered; for one to several cores, each delivery has its bit (see Fabric).
    """
    return data.StructLayout({
        "stall": config.n_cores,
        "hold_drain": config.n_cores,
        "hold_interrupt": config.n_cores,
        "hold_message": config.n_cores,
        "reorder_drain": config.n_cores,
    })


class ScheduleKind(enum.Enum, shape=3):
    """How a Scheduler obtains its schedule."""

    #: Nothing is ever held.
    NONE = 0
    #: In each clock each core (source) is held at the plan's rates.
    RANDOM = 1
    #: Priorities: only the first core that can run does; at the change points it becomes the last.
    PCT = 2
    #: As RANDOM, but a hold lasts for 1 to ``2**delay`` clocks.
    BOUNDED = 3
    #: The ``replay`` port.
    REPLAY = 4


#: What a Scheduler does; held during a run. Rates are in 1/256.
plan_layout = data.StructLayout({
    "kind": ScheduleKind,
    "seed": 32,
    "start": 32,            # the first clock in which anything may be held; at least Scheduler.warm_up + 1
    "stall": 8,             # rate (RANDOM, BOUNDED)
    "hold_drain": 8,        # rates (RANDOM, BOUNDED, PCT)
    "hold_interrupt": 8,
    "hold_message": 8,
    "delay": 4,             # BOUNDED: the longest hold is 2**delay clocks
    "changes": 3,           # PCT: number of change points
    "horizon": 5,           # PCT: they are drawn from the 2**horizon clocks that follow ``start``
    # Faults; the Scheduler ignores them.
    **{name: field.shape for name, field in fault_layout},
})

_GAMMA = 0x9E3779B9


class Scheduler(wiring.Component):
    """Draws the schedule of a run from a plan: the same plan and the same status, the same schedule.

    *Streams.* There is a stream of 32-bit words for each core and one, number ``n_cores``, for all together. While ``run`` is
    low, stream ``i`` is ``seed ^ (i + 1) * 0x9e3779b9`` (modulo 2**32). With ``run`` high it steps in each clock::

        x ^= x << 13; x ^= x >> 17; x ^= x << 5; x += 0x9e3779b9

    unless the kind is NONE or REPLAY. Nothing is held in the first ``warm_up`` clocks, in which the streams mix their seeds (after
    eight steps each bit of the seed has reached all bits), nor before clock ``start``.

    *Rates.* The word of core ``i`` has a byte for each kind of hold, the lowest for ``stall``, then ``hold_drain``,
    ``hold_interrupt``, ``hold_message``: a byte below its rate holds in the next clock. For BOUNDED, the bytes are ignored while
    the core is held: for 1 clock plus the low ``delay`` bits of the common word.
    ``reorder_drain`` has no rate: it is the lowest bit of the byte for ``hold_drain``, unless that has the rate 0.

    *PCT.* The cores are in a row, at first in random order. The first core that is not halted has the turn. The others are
    stalled, except halted ones, which must be able to take an interrupt. The core that has the turn goes to the end of the row

    - at each change point: in the clock in which the number of clocks since the start is one of ``changes`` numbers drawn;
    - when it executes PAUSE, because it then waits for a core behind it;
    - when it has had the turn for 512 consecutive clocks: it may wait for another core without PAUSE.

    So spinning cores, alone or together, never keep the core that they wait for from running. A core that waits for memory keeps
    its turn: the wait ends by itself, and if the next core ran during each load, little of the order would be left.
    The random order comes from the warm-up: in each clock the core whose number is in the highest bits of the common word goes to
    the end (none, if there is no such core). The change points are the low ``horizon`` bits of the common words of the last seven
    clocks before the start, the last one first.

    *Clocks.* ``schedule`` is a register. What is drawn in a clock, from the streams and ``status`` of this clock, is in force in
    the next one. The same holds for ``replay``, even before ``run`` rises. So the schedule that was in force in clock ``c``
    is replayed by setting ``replay`` to it in clock ``c - 1``. Before another run the clock domain is reset.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    warm_up : clocks at the start of a run in which nothing is drawn.

    Members
    -------
    run, plan, status : see above.
    replay : the schedule to follow if the kind is REPLAY.
    schedule : in force.
    """

    #: Change points that there can be.
    MAX_CHANGES = 7
    #: Clocks for which a core may have the turn.
    TURN = 512

    def __init__(self, config):
        self._config = config
        self.warm_up = 16 * config.n_cores
        super().__init__({
            "run": In(1),
            "plan": In(plan_layout),
            "status": In(data.ArrayLayout(status_layout, config.n_cores)),
            "replay": In(schedule_layout(config)),
            "schedule": Out(schedule_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        plan, schedule = self.plan, self.schedule
        n = self._config.n_cores

        draws = Signal()
        with m.Switch(plan.kind), m.Case(ScheduleKind.RANDOM, ScheduleKind.PCT, ScheduleKind.BOUNDED):
            m.d.comb += draws.eq(1)
        lead = Signal(32)                         # clocks until the start
        started = Signal()
        m.d.comb += started.eq(draws & self.run & (lead == 0))
        with m.If(~self.run):
            m.d.sync += lead.eq(Mux(plan.start <= self.warm_up, self.warm_up, plan.start - 1))
        with m.Elif(draws & (lead != 0)):
            m.d.sync += lead.eq(lead - 1)

        streams = [self._stream(m, number, draws) for number in range(n + 1)]
        common = streams[n]

        is_pct = Signal()
        m.d.comb += is_pct.eq(plan.kind == ScheduleKind.PCT)
        stalled = self._pct(m, is_pct, lead, started, common)

        longest = Signal(16)
        with m.If(plan.kind == ScheduleKind.BOUNDED):
            m.d.comb += longest.eq((1 << plan.delay) - 1)
        with m.If(plan.kind == ScheduleKind.REPLAY):
            m.d.sync += schedule.eq(self.replay)
        with m.Elif(started):
            for core in range(n):
                word = streams[core]
                hits = Signal(4, name=f"hits{core}")
                left = Signal(16, name=f"left{core}")
                m.d.comb += hits.eq(Cat(
                    Mux(is_pct, stalled[core], word[:8] < plan.stall),
                    word[8:16] < plan.hold_drain,
                    word[16:24] < plan.hold_interrupt,
                    word[24:] < plan.hold_message,
                ))
                with m.If(left != 0):
                    m.d.sync += left.eq(left - 1)
                with m.Else():
                    m.d.sync += [
                        Cat(schedule.stall[core], schedule.hold_drain[core], schedule.hold_interrupt[core],
                            schedule.hold_message[core]).eq(hits),
                        schedule.reorder_drain[core].eq(word[8] & plan.hold_drain.any()),
                    ]
                    with m.If(hits.any()):
                        m.d.sync += left.eq(common & longest)
        return m

    def _stream(self, m, number, draws):
        word, left, right = (Signal(32, name=f"{name}{number}") for name in ("stream", "left_of", "right_of"))
        m.d.comb += [
            left.eq(word ^ word << 13),
            right.eq(left ^ left >> 17),
        ]
        with m.If(~self.run):
            m.d.sync += word.eq(self.plan.seed ^ (number + 1) * _GAMMA & 0xFFFFFFFF)
        with m.Elif(draws):
            m.d.sync += word.eq((right ^ right << 5)[:32] + _GAMMA)
        return word

    def _pct(self, m, is_pct, lead, started, common):
        """The cores that PCT stalls from this clock on."""
        n = self._config.n_cores
        plan = self.plan

        # The row, as a matrix: which cores are before each core.
        before = [Signal(n, init=(1 << core) - 1, name=f"before{core}") for core in range(n)]
        able, turn, pausing, stalled, last = Signal(n), Signal(n), Signal(n), Signal(n), Signal(n)
        with m.If(is_pct & started):
            m.d.comb += [
                able.eq(~Cat(status.halted for status in self.status)),
                pausing.eq(Cat(status.pausing for status in self.status)),
                turn.eq(Cat(able[core] & ~(able & before[core]).any() for core in range(n))),
                stalled.eq(able & ~turn),
            ]

        points = [Signal(32, name=f"point{number}") for number in range(self.MAX_CHANGES)]
        since = Signal(32)
        change = Signal()
        held = Signal(range(self.TURN))
        to_end = Signal(n)
        with m.If(is_pct & started):
            m.d.sync += [since.eq(since + 1), last.eq(turn), held.eq(Mux(turn == last, held + 1, 0))]
            m.d.comb += change.eq(Cat((plan.changes > number) & (point == since) for number, point in enumerate(points)).any())
            with m.If(change | (turn & pausing).any() | (held == self.TURN - 1)):
                m.d.comb += to_end.eq(turn)
        with m.Elif(is_pct & self.run):
            m.d.comb += to_end.eq(1 << common[32 - self._config.core_bits:])
            with m.If(lead <= self.MAX_CHANGES):
                m.d.sync += [
                    points[0].eq(common & (1 << plan.horizon) - 1),
                    *(later.eq(point) for point, later in zip(points, points[1:], strict=False)),
                ]
        with m.If(to_end.any()):
            for core in range(n):
                m.d.sync += before[core].eq(Mux(to_end[core], Const(~(1 << core), n), before[core] & ~to_end))
        return stalled
