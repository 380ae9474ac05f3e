"""The Obligations: what the calls of a core owe, and what was done for them."""

from functools import reduce
from operator import or_

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .context import end_layout
from .operation import MAX_CALLS, Operation, operation_layout, terms_layout

__all__ = ["Obligations", "rest_layout", "verdict_layout"]

#: What is found, each for one clock.
verdict_layout = data.StructLayout({
    "owed": 1,            # the function that began was owed by a call of this core
    "inside": 1,          # the function that began on this core is in the middle of one that has not called for it
    "early": 1,           # a call is over before the function has ended where it must have
    "wrong": 1,           # ... with a result that it must not have
    "full": 1,            # there is no room for a call, or for what it calls
})

#: What is left to do.
rest_layout = data.StructLayout({
    "lost": 1,            # a call has not returned, or a core that must run its function has not run it to its end
    "deaf": 1,            # ... has not begun it, and has accepted no interrupt since the call began
    "running": 1,         # this core is in a function
})


class Obligations(wiring.Component):
    """The calls of one core, the caller: who must and who may run which function, who has begun it, who is in it.

    The hardware form of ``sim.obligations.Book``. A call is forgotten when it is over, nobody is in its function and nobody may
    begin it any more, but not before its entry is wanted. Of calls of the same function with the same info that one core owes, it
    serves the one in the lowest entry, which need not be the oldest: they are uses of the same command.

    A function in the middle of another that has not called for it is not followed: it is ``inside``, and ``full``.

    The verdicts of clock ``t + 1`` are on what is done, and what ends, in clock ``t``.

    Parameters
    ----------
    config : MachineConfig
    n_entries : how many calls there may be at a time.

    Members
    -------
    operation : what a core does; valid in the clock in which it has the bus.  by : which one, as one bit.  own : this one.
    terms : of an ISSUE.  comes, goes : cores that come online, and that go or whose bits are cleared in a mask: they need not run.
    me : this core, as one bit; held.
    ends : what ends on this core.
    calls : in how many calls it is, as many ones.
    exit : it has ended a function, and is in none now.  exits : the cores that have.
    earlier : those of them that come before this core in the order of records.
    accepted : cores that have accepted an interrupt.
    verdict, rest : see the layouts.
    """

    def __init__(self, config, n_entries):
        self._config = config
        self._n_entries = n_entries
        n = config.n_cores
        super().__init__({
            "operation": In(operation_layout(config)),
            "by": In(n),
            "own": In(1),
            "terms": In(terms_layout(config)),
            "comes": In(n),
            "goes": In(n),
            "me": In(n),
            "ends": In(end_layout),
            "calls": Out(MAX_CALLS),
            "exit": Out(1),
            "exits": In(n),
            "earlier": In(n),
            "accepted": In(n),
            "verdict": Out(verdict_layout),
            "rest": Out(rest_layout),
        })

    def elaborate(self, platform):
        m = Module()
        config, count, operation, terms, ends, verdict = (
            self._config, self._n_entries, self.operation, self.terms, self.ends, self.verdict)
        n = config.n_cores

        def signals(name, shape=n):
            return [Signal(shape, name=f"{name}{index}") for index in range(count)]

        # The calls that this core is in, the innermost first; all 0 where there is none.
        frame_layout = data.StructLayout({"entry": count, "issued": 1, "call": 1, "here": 1, "wait": 1, "fails": 1, "returns": 1})
        frames = Signal(data.ArrayLayout(frame_layout, MAX_CALLS))
        frame = frames[0]
        left = Signal()                   # a call was left without a RESULT
        # The functions that it is in, and the last call that each has made.
        running, made = Signal(MAX_CALLS), Signal(data.ArrayLayout(count, MAX_CALLS))
        # Of each entry.
        func, info = signals("func", config.pc_bits), signals("info", config.xlen)
        asked, may, must, begun, active = (signals(name) for name in ("asked", "may", "must", "begun", "active"))
        deaf = signals("deaf")            # must, and has accepted no interrupt since

        owing = Signal(count)             # somebody may begin
        busy = Signal(count)              # somebody is in it
        in_use, issued = Signal(count), Signal(count)
        m.d.comb += [
            owing.eq(Cat((allowed & ~started).any() for allowed, started in zip(may, begun, strict=True))),
            busy.eq(Cat(cores.any() for cores in active)),
            in_use.eq(_merge(item.entry for item in frames)),
            issued.eq(_merge(Mux(item.issued, item.entry, 0) for item in frames)),
            self.rest.lost.eq(left | busy.any() | _merge(item.call for item in frames)
                              | _merge(needed & ~started for needed, started in zip(must, begun, strict=True)).any()),
            self.rest.deaf.eq(_merge(silent & needed & ~started
                                     for silent, needed, started in zip(deaf, must, begun, strict=True)).any()),
            self.rest.running.eq(running[0]),
            self.calls.eq(Cat(item.entry.any() for item in frames)),
            self.exit.eq(ends.function & running[0] & ~running[1]),
        ]
        m.d.sync += verdict.eq(0)

        # What this core does as a caller.
        requests, issues = Signal(), Signal()
        free, chosen = Signal(count), Signal(count)
        with m.If(operation.valid & self.own):
            m.d.comb += [
                requests.eq(operation.operation == Operation.REQUEST),
                issues.eq((operation.operation == Operation.ISSUE) & ~frame.issued),
            ]
        m.d.comb += [free.eq(~(in_use | owing | busy)), chosen.eq(Mux(requests, free & -free, 0))]
        with m.If(requests):
            m.d.sync += [frames.eq(Cat(chosen, C(0, frame_layout.size - count), frames)), verdict.full.eq(free == 0)]
        with m.If(issues & terms.known):
            m.d.sync += [
                frame.issued.eq(1), frame.call.eq(terms.call), frame.here.eq(terms.here), frame.wait.eq(terms.wait),
                frame.fails.eq(terms.fails), frame.returns.eq(terms.returns), made[0].eq(frame.entry),
            ]

        # What any core does for it.
        runs = Signal()
        serves, served = Signal(count), Signal(count)
        with m.If(operation.valid & (operation.operation == Operation.RUN)):
            m.d.comb += [
                runs.eq(1),
                serves.eq(Cat((func[index] == operation.a[:config.pc_bits]) & (info[index] == operation.b)
                              & (may[index] & ~begun[index] & self.by).any() for index in range(count))),
                served.eq(serves & -serves),
            ]
            m.d.sync += verdict.owed.eq(served.any())
        with m.If(runs & self.own):
            m.d.sync += [running.eq(Cat(1, running)), made.eq(Cat(C(0, count), made))]
            with m.If(running[-1]):
                m.d.sync += verdict.full.eq(1)
            with m.If(running[0] & ~(served & made[0]).any()):
                m.d.sync += [verdict.inside.eq(1), verdict.full.eq(1)]

        # What ends.
        inner = Signal()                  # a function that another has called for
        with m.If(ends.function):
            m.d.comb += inner.eq(running[1])
            m.d.sync += [running.eq(running[1:]), made.eq(Cat(*list(made)[1:]))]

        def current(cores):
            """Of the innermost call."""
            return _merge(Mux(frame.entry[index], item, 0) for index, item in enumerate(cores))

        keep = Signal(n)                  # who may still run what this call asked for
        m.d.comb += keep.eq(~0)
        with m.If(ends.call & frame.issued):
            started, needed = Signal(n), Signal(n)
            late, judged = Signal(n), Signal(n)
            refused = Signal()
            m.d.comb += [
                started.eq(current(begun)),
                needed.eq(current(must)),
                late.eq(current(active) & ~self.earlier | needed & ~started & keep),
                judged.eq(Mux(frame.wait, ~0, Mux(frame.here, self.me, 0))),
                refused.eq(frame.fails & ends.failed),
                keep.eq(Mux(refused, started, Mux(frame.wait, needed | started, ~0))),
            ]
            m.d.sync += [
                verdict.early.eq((late & judged).any()),
                verdict.wrong.eq(Mux(frame.returns, ends.failed,
                                     frame.fails & Mux(ends.failed, needed.any(), ~current(may).any()))),
            ]
        with m.If(ends.call):
            m.d.sync += frames.eq(Cat(*list(frames)[1:]))
        with m.If(ends.program):
            m.d.sync += [frames.eq(0), left.eq(left | _merge(item.call for item in frames))]

        for index in range(count):
            begins = issues & frame.entry[index]
            kept = Mux(frame.entry[index], keep, ~0)
            with m.If(chosen[index]):
                m.d.sync += [func[index].eq(operation.a), info[index].eq(operation.b)]
            with m.If(begins):
                m.d.sync += [asked[index].eq(terms.asked), may[index].eq(terms.online), must[index].eq(terms.online),
                             begun[index].eq(0), deaf[index].eq(terms.online & ~Mux(terms.here, self.me, 0))]
            with m.Else():
                m.d.sync += [
                    may[index].eq((may[index] | Mux(issued[index], asked[index] & self.comes, 0)) & kept),
                    must[index].eq(must[index] & ~Mux(issued[index], self.goes, 0) & kept),
                    begun[index].eq(begun[index] | Mux(served[index], self.by, 0)),
                    deaf[index].eq(deaf[index] & ~self.accepted),
                ]
            over = self.exits | Mux(inner & made[1][index], self.me, 0)
            m.d.sync += active[index].eq(active[index] & ~over | Mux(served[index], self.by, 0))
        return m


def _merge(values):
    return reduce(or_, values)
