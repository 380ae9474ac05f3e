"""The Obligations: what the calls of a core owe, and what was done for them."""

from functools import reduce
from operator import or_

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .context import end_layout
from .operation import MAX_CALLS, Operation, operation_layout, terms_layout

__all__ = ["Obligations", "rest_layout", "verdict_layout"]

#: The findings, each for one clock.
verdict_layout = data.StructLayout({
    "owed": 1,            # the function that began was owed by a call of this core
    "inside": 1,          # the function that began on this core is inside another one that has not called for it
    "early": 1,           # a call ended before the function ended where it must have
    "wrong": 1,           # ... with a wrong result
    "full": 1,            # there is no room for a call, or for what it calls
})

#: What is unfinished.
rest_layout = data.StructLayout({
    "lost": 1,            # a call has not returned, or a core that must run its function has not run it to its end
    "uninterrupted": 1,   # ... has not begun it, and has accepted no interrupt since the call began
    "running": 1,         # this core is in a function
})


class Obligations(wiring.Component):
    """The calls of one caller: which cores must and may run which function, which have begun it, and which are inside it.

    The hardware form of ``sim.obligations.Book``. A call is forgotten once its entry is needed, if it has ended, no core is in its
    function and none may begin it. If a core owes several calls of the same function with the same info, the oldest is served
    first.

    A function inside another that has not called for it is not followed: it is ``inside``, and ``full``.

    The verdicts of clock ``t + 1`` are about the operation of clock ``t``, and what ends in it.

    Parameters
    ----------
    config : MachineConfig
    n_entries : how many calls there may be at a time.

    Members
    -------
    operation : of any core; valid in the clock in which it has the bus.  by : that core, as one bit.  own : it is this one.
    terms : of an ISSUE.  comes : cores that come online.
    spared : cores that need not run what is being requested: they go offline, or have cleared their bits in a mask.
    me : this core, as one bit; held.
    ends : what ends on this core.
    calls : how many calls it is in, in unary.
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
            "spared": In(n),
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
        m.d.sync += self.verdict.eq(0)
        count = self._n_entries
        # The calls that this core is in, the innermost first; unused ones are 0.
        frame_layout = data.StructLayout({"entry": count, "issued": 1, "call": 1, "here": 1, "wait": 1, "fails": 1, "returns": 1})
        frames = Signal(data.ArrayLayout(frame_layout, MAX_CALLS))
        # The functions that it is in, in unary, and the last call that each has made.
        running, made = Signal(MAX_CALLS), Signal(data.ArrayLayout(count, MAX_CALLS))
        entries = [_Entry(self._config, index) for index in range(count)]
        older = [Signal(count, name=f"older{index}") for index in range(count)]       # of each entry: the others that are
        served = self._serve(m, entries, older, running, made)
        chosen, issues = self._begin(m, entries, frames, made)
        keep = self._end(m, entries, frames, running, made)

        m.d.comb += [
            self.rest.running.eq(running[0]),
            self.calls.eq(Cat(frame.entry.any() for frame in frames)),
            self.exit.eq(self.ends.function & running[0] & ~running[1]),
        ]
        inner = self.ends.function & running[1]       # ends: a function that another has called for
        over = [self.exits | Mux(inner & made[1][index], self.me, 0) for index in range(count)]
        under_way = _merge(Mux(frame.issued, frame.entry, 0) for frame in frames)
        asked = _merge(frame.entry for frame in frames)
        terms = self.terms
        for index, entry in enumerate(entries):
            current = frames[0].entry[index]
            comes = Mux(under_way[index], self.comes, 0)
            # The mask in ISSUE was read earlier, so cores are spared as soon as the call is requested.
            spared = Mux(asked[index], self.spared, 0)
            kept = Mux(current, keep, ~0)
            with m.If(chosen[index]):
                m.d.sync += [entry.func.eq(self.operation.a), entry.info.eq(self.operation.b), older[index].eq(~(1 << index))]
            with m.Else():
                m.d.sync += older[index].eq(older[index] & ~chosen)
            with m.If(chosen[index]):
                # No core may begin yet, and none owes anything.
                m.d.sync += [entry.must.eq(~0), entry.begun.eq(~0)]
            with m.Elif(issues & current):
                m.d.sync += [entry.asked.eq(terms.asked), entry.may.eq(terms.online), entry.must.eq(terms.online & entry.must),
                             entry.begun.eq(0), entry.uninterrupted.eq(terms.online & ~Mux(terms.here, self.me, 0))]
            with m.Else():
                m.d.sync += [
                    entry.may.eq((entry.may | entry.asked & comes) & kept),
                    entry.must.eq(entry.must & ~spared & kept),
                    entry.begun.eq(entry.begun | Mux(served[index], self.by, 0)),
                    entry.uninterrupted.eq(entry.uninterrupted & ~self.accepted),
                ]
            m.d.sync += entry.active.eq(entry.active & ~over[index] | Mux(served[index], self.by, 0))
        return m

    def _serve(self, m, entries, older, running, made):
        """A function begins on any core: returns the entry that it is for, as one bit."""
        operation, verdict = self.operation, self.verdict
        serves, served = Signal(len(entries)), Signal(len(entries))
        with m.If(operation.valid & (operation.operation == Operation.RUN)):
            m.d.comb += [
                serves.eq(Cat((entry.func == operation.a[:self._config.pc_bits]) & (entry.info == operation.b)
                              & (entry.open & self.by).any() for entry in entries)),
                served.eq(Cat(serve & ~(serves & others).any() for serve, others in zip(serves, older, strict=True))),
            ]
            m.d.sync += verdict.owed.eq(served.any())
            with m.If(self.own):
                inside = running[0] & ~(served & made[0]).any()
                m.d.sync += [
                    running.eq(Cat(1, running)),
                    made.eq(Cat(C(0, len(entries)), made)),
                    verdict.inside.eq(inside),
                    verdict.full.eq(inside | running[-1]),
                ]
        return served

    def _begin(self, m, entries, frames, made):
        """This core's calls: (the entry of the requested call, as one bit; whether the last requested call begins)."""
        operation, terms, frame, count = self.operation, self.terms, frames[0], len(entries)
        free, chosen, issues = Signal(count), Signal(count), Signal()
        with m.If(operation.valid & self.own):
            with m.Switch(operation.operation):
                with m.Case(Operation.REQUEST):
                    in_use = _merge(item.entry for item in frames)
                    m.d.comb += [
                        free.eq(~(in_use | Cat((entry.open | entry.active).any() for entry in entries))),
                        chosen.eq(free & -free),
                    ]
                    m.d.sync += [
                        frames.eq(Cat(chosen, C(0, len(frame.as_value()) - count), frames)),
                        self.verdict.full.eq(free == 0),
                    ]
                with m.Case(Operation.ISSUE):
                    m.d.comb += issues.eq(~frame.issued)
        with m.If(issues & terms.known):
            m.d.sync += [
                frame.issued.eq(1), made[0].eq(frame.entry),
                *(frame[name].eq(terms[name]) for name in ("call", "here", "wait", "fails", "returns")),
            ]
        return chosen, issues

    def _end(self, m, entries, frames, running, made):
        """Ends of functions, calls and everything. Returns the cores that may still run what the innermost call requested."""
        ends, frame, verdict, n = self.ends, frames[0], self.verdict, self._config.n_cores

        def current(name):
            """A field of the innermost call."""
            return _merge(Mux(frame.entry[index], getattr(entry, name), 0) for index, entry in enumerate(entries))

        with m.If(ends.function):
            m.d.sync += [running.eq(running[1:]), made.eq(Cat(*list(made)[1:]))]
        keep = Signal(n)
        m.d.comb += keep.eq(~0)
        with m.If(ends.call & frame.issued):
            begun, must, late, judged = (Signal(n, name=name) for name in ("begun", "must", "late", "judged"))
            refused = Signal()
            m.d.comb += [
                begun.eq(current("begun")),
                must.eq(current("must")),
                refused.eq(frame.fails & ends.failed),
                # A refusal means that no core runs it; a call that has waited does not expect cores that came too late to be
                # waited for.
                keep.eq(Mux(refused, begun, Mux(frame.wait, must | begun, ~0))),
                late.eq(current("active") & ~self.earlier | must & ~begun & keep),
                judged.eq(Mux(frame.wait, ~0, Mux(frame.here, self.me, 0))),
            ]
            m.d.sync += [
                verdict.early.eq((late & judged).any()),
                verdict.wrong.eq(Mux(frame.returns, ends.failed,
                                     frame.fails & Mux(ends.failed, must.any(), ~current("may").any()))),
            ]
        left = Signal()                   # a call was left without a RESULT
        called = _merge(item.call for item in frames)
        with m.If(ends.call):
            m.d.sync += frames.eq(Cat(*list(frames)[1:]))
        with m.If(ends.program):
            m.d.sync += [frames.eq(0), left.eq(left | called)]
        m.d.comb += [
            self.rest.lost.eq(left | called | _merge(entry.active | entry.must & ~entry.begun for entry in entries).any()),
            self.rest.uninterrupted.eq(_merge(entry.uninterrupted & entry.must & ~entry.begun for entry in entries).any()),
        ]
        return keep


class _Entry:
    """Registers of one call. asked, may, must, begun : as in ``sim.obligations.Obligation``.
    active : cores that are in its function.  uninterrupted : those that had to run it at first, and have accepted no interrupt
    since."""

    def __init__(self, config, index):
        self.func = Signal(config.pc_bits, name=f"func{index}")
        self.info = Signal(config.xlen, name=f"info{index}")
        for name in ("asked", "may", "must", "begun", "active", "uninterrupted"):
            setattr(self, name, Signal(config.n_cores, name=f"{name}{index}"))

    @property
    def open(self):
        """Cores that may begin."""
        return self.may & ~self.begun


def _merge(values):
    return reduce(or_, values)
