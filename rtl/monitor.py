"""The Monitor: the oracles that fit in hardware, fed by the trace. It knows no address and no constant of a protocol by itself."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .apic.message import DeliveryMode
from .check.context import VISITS_BITS, findings_layout
from .check.core_monitor import CoreMonitor
from .check.csds import scope_layout
from .check.operation import DELAY, Operation, operation_layout, terms_layout
from .check.returned import Returned, places_layout
from .check.room import Room
from .events import ApicEvent, Whom, contract_layout, trace_layout
from .share import share

__all__ = ["FLAGS", "Monitor", "flag_layout", "flags_layout", "profile_layout"]

#: What a Monitor detects: name of the flag -> when it is set.
FLAGS = {
    "early_return": "a call returns before the function has ended where it must have",
    "not_once": "a core runs a function that no call owes it",
    "lost": "everything has come to rest, and a call has not returned, or a function that must run has not run to its end",
    "list": "a csd is queued that is queued already, or unlinked that is not; or a handler is left in the middle of the queue",
    "refs": "the count of targets falls below 0, or is not 0 when an entry is unlinked",
    "unlock": "a csd is unlocked that is not locked",
    "touch": "a csd is accessed that is its owner's again",
    "interrupt": "everything has come to rest, and a core that must run a function has accepted no interrupt since the call began",
    "walk": "a walk visits more than `visits` entries",
    "owner": "a csd is locked that is locked already, or that another call uses",
    "mask": "the mask given to the APIC is empty or names an offline core; or an interrupt goes to an offline core, or to no core",
    "where": "a function begins with interrupts on, or in the middle of another that has not called for it",
    "result": "a call returns a wrong result",
    "rest": "everything has come to rest, and a csd is locked or a spin lock held",
    "lock": "a spin lock is taken that is held, or released by a core that does not hold it",
    "warn": "a WARN_ON is hit",
    "trap": "a core stops",
    "stuck": "for more than `patience` clocks there was no event, no interrupt moved and no word changed; and no function works",
    "overflow": "there is more to remember than there is room for: no flag of a later clock proves anything",
}

#: One flag. It stays set; ``clock`` is that of the record that set it.
flag_layout = data.StructLayout({"hit": 1, "clock": 32})

#: The findings of a Monitor.
flags_layout = data.StructLayout(dict.fromkeys(FLAGS, flag_layout))


def profile_layout(config):
    """What a Monitor must know about a protocol and its scenario. Held during a run."""
    return data.StructLayout({
        "judged": data.StructLayout(dict.fromkeys(FLAGS, 1)),       # the flags for which the protocol reports enough
        "visits": VISITS_BITS,                                      # see ``walk``
        "online": 1,                                                # cores report when they come online
        "scope": scope_layout,                                      # what is reported of csds
        "places": places_layout(config),                            # see ``touch``
    })


class Monitor(wiring.Component):
    """Judges a run by its records, clock by clock.

    There is a CoreMonitor per core. If its core has done something that others may need to know, an operation, it requests the bus
    in the clock after the record. One core is granted the bus in a clock: the one that has waited longest, so that operations come
    in the order of their records; among several, the lowest. (More than one request in a clock is rare: operations accompany
    accesses to memory.) All CoreMonitors see the operation, and report in the next clock what they know about it.

    ``overflow`` means that the room does not suffice. Context and Obligations document what else is not followed.

    A function counts as working if its core is in it and has had no record for half of the patience. The patience then begins
    anew. (A function that only works is silent; one that spins reads memory.)

    The clock of ``lost``, ``interrupt`` and ``rest`` is the number of clocks in the run. The flags are complete ``LATENCY``
    clocks after the last clock with ``run`` high. Before another run, reset the clock domain.

    Parameters
    ----------
    config : MachineConfig
    room : Room
    core_monitor : what makes the repeated unit from config and room. (The fast engines put a black box in its place.)

    Members
    -------
    run : see Machine; records are judged while it is high.
    trace : all records of this clock.  lost, quiet : see Machine.
    patience : see ``stuck``; held during a run.  profile : likewise.
    flags : registers.
    """

    LATENCY = DELAY + 3
    #: Number of returned csds to remember.
    _RETURNED = 1

    def __init__(self, config, *, room=Room(), core_monitor=CoreMonitor):
        self._config = config
        self._cores = [core_monitor(config, room) for _ in range(config.n_cores)]
        super().__init__({
            "run": In(1),
            "trace": In(trace_layout(config)),
            "lost": In(config.n_cores),
            "quiet": In(1),
            "patience": In(32),
            "profile": In(profile_layout(config)),
            "flags": Out(flags_layout),
        })

    def elaborate(self, platform):
        m = Module()
        config, profile = self._config, self.profile
        operation, last, last_by, online, unknown = self._bus(m)
        m.submodules.returned = returned = Returned(config, self._RETURNED)
        share(returned, operation=last, by=last_by, run=self.run)
        m.d.comb += [
            returned.places.eq(profile.places),
            returned.records.eq(self.trace.core),
            returned.owners.eq(self._every("state", "known")),
        ]

        now = Signal(32)                  # the number of this clock
        with m.If(self.run | (now != 0)):
            m.d.sync += now.eq(now + 1)

        def flag(name, found, clock):
            with m.If(found & profile.judged[name] & ~self.flags[name].hit):
                m.d.sync += [self.flags[name].hit.eq(1), self.flags[name].clock.eq(clock)]

        # The findings in the records of the last clock, ...
        for name in findings_layout.members:
            flag(name, self._some("findings", name), now - 1)
        flag("touch", returned.touched, now - 1)
        # ... about the operation that had the bus in the last clock, ...
        with m.If(last.valid):
            self._look(flag, last, last_by, unknown, now - 2 - last.age)
        # ... about what ends later, ...
        flag("early_return", self._some("verdict", "early"), now - DELAY - 1)
        flag("result", self._some("verdict", "wrong"), now - DELAY - 1)
        # ... about messages, ...
        refused, missed = self._messages(m, online)
        with m.If(profile.online):
            flag("mask", refused, now - 1)
            flag("mask", missed, now - DELAY - 1)
        # ... and at the end of everything.
        rests = Signal(DELAY + 1)
        m.d.sync += rests.eq(Cat(self.run & self.quiet, rests))
        with m.If(rests[-1]):
            flag("lost", self._some("rest", "lost"), now - DELAY)
            flag("interrupt", self._some("rest", "uninterrupted"), now - DELAY)
            flag("rest", self._every("locked").any(), now - DELAY)
        flag("stuck", self._is_stuck(m) & ~rests[0], now - 1)
        return m

    def _every(self, port, part=None):
        """A bit of each CoreMonitor."""
        return Cat(getattr(core, port) if part is None else getattr(core, port)[part] for core in self._cores)

    def _some(self, port, part):
        return self._every(port, part).any()

    def _bus(self, m):
        """Connect the CoreMonitors. Returns (the operation that has the bus; the one that had it in the last clock; the core of the
        latter, as a bit; the online cores; whether a call with an unknown contract has begun)."""
        n, trace, cores, profile = self._config.n_cores, self.trace, self._cores, self.profile
        operation, by = Signal(operation_layout(self._config)), Signal(n)
        last, last_by = Signal(operation_layout(self._config)), Signal(n)
        requests = oldest = self._every("request", "valid")
        for bit in reversed(range(operation.age.shape().width)):
            older = oldest & Cat(core.request.age[bit] for core in cores)
            oldest = Mux(older.any(), older, oldest)
        with m.If(requests.any()):
            m.d.comb += [
                by.eq(oldest & -oldest),
                operation.eq(reduce(or_, (Mux(by[number], core.request.as_value(), 0) for number, core in enumerate(cores)))),
            ]
        m.d.sync += last.valid.eq(operation.valid)
        with m.If(operation.valid):
            m.d.sync += [last.eq(operation), last_by.eq(by)]

        online, unknown = Signal(n), Signal()
        comes, goes, spared = Signal(n), Signal(n), Signal(n)
        terms = self._terms(m, operation, by, online)
        with m.If(operation.valid):
            with m.Switch(operation.operation):
                with m.Case(Operation.ONLINE):
                    m.d.comb += comes.eq(operation.b)
                with m.Case(Operation.OFFLINE):
                    m.d.comb += [goes.eq(operation.b), spared.eq(goes)]
                with m.Case(Operation.UNMASK):
                    m.d.comb += spared.eq(by)
                with m.Case(Operation.ISSUE):
                    m.d.sync += unknown.eq(unknown | ~terms.known)
            m.d.sync += online.eq((online | comes) & ~goes)

        exits, accepted = Signal(n), Signal(n)
        visits, scope = Signal(VISITS_BITS), Signal(scope_layout)
        m.d.comb += [
            exits.eq(self._every("exit")),
            accepted.eq(self._every("accepts")),
            visits.eq(profile.visits),
            scope.eq(profile.scope),
        ]
        for number, core in enumerate(cores):
            m.submodules[f"core{number}"] = core
            share(core, run=self.run, visits=visits, scope=scope, operation=operation, by=by, terms=terms, comes=comes,
                  spared=spared, exits=exits, accepted=accepted)
            m.d.comb += [
                core.granted.eq(by[number]), core.me.eq(1 << number), core.below.eq((1 << number) - 1),
            ]
            with m.If(self.run):
                m.d.comb += [core.record.eq(trace.core[number]), core.interrupt.eq(trace.apic[number])]
        return operation, last, last_by, online, unknown

    def _look(self, flag, last, by, unknown, clock):
        """What the CoreMonitors know about the operation that had the bus."""
        done, every, some = last.operation, self._every, self._some
        linked, locked = some("state", "linked"), some("state", "locked")
        held, deletes = every("holding", "held"), done.as_value().matches(Operation.DEQUEUE, Operation.DELETE)
        flag("not_once", (done == Operation.RUN) & ~some("verdict", "owed") & ~unknown, clock)
        flag("where", some("verdict", "inside"), clock)
        flag("list", (done == Operation.QUEUE) & linked | deletes & ~linked & ~last.again, clock)
        flag("refs", (done == Operation.DELETE) & some("state", "counted"), clock)
        flag("unlock", (done == Operation.UNLOCK) & ~locked, clock)
        flag("owner", (done == Operation.LOCK) & (locked | some("state", "used")), clock)
        flag("lock", (done == Operation.HOLD) & held.any()
             | (done == Operation.RELEASE) & Mux(held.any(), ~(held & by).any(), some("holding", "known")), clock)
        flag("overflow", some("verdict", "full") | some("state", "full") | some("holding", "full"), clock)

    def _terms(self, m, operation, by, online):
        """The terms of the ISSUE on the bus."""
        n = self._config.n_cores
        terms = Signal(terms_layout(self._config))
        contract, others = contract_layout(operation.a[:contract_layout.size]), Signal(n)
        with m.If(operation.valid & (operation.operation == Operation.ISSUE) & contract.known):
            with m.Switch(contract.whom):
                with m.Case(Whom.TARGET):
                    m.d.comb += others.eq(Cat(contract.target == core for core in range(n)))
                with m.Case(Whom.MASK):
                    m.d.comb += others.eq(operation.b & ~by)
                with m.Case(Whom.OTHERS):
                    m.d.comb += others.eq(~by)
            here = Mux(contract.here, by, 0)
            m.d.comb += [
                terms.known.eq(1),
                terms.call.eq((contract.whom != Whom.NOBODY) | contract.here),
                terms.asked.eq(others | here),
                terms.online.eq(others & online | here),
                *(terms[name].eq(contract[name]) for name in ("here", "wait", "fails", "returns")),
            ]
        return terms

    def _messages(self, m, online):
        """(an interrupt has reached no core, and no fault has lost it; one has, ``DELAY`` clocks ago, reached a core that was
        online neither when it was sent nor since it arrived)."""
        n, trace = self._config.n_cores, self.trace
        missed = [Signal(n, name=f"missed{step}") for step in range(DELAY + 1)]
        refused = Signal()
        nobody, strangers = [], []
        then = Signal(data.ArrayLayout(n, n))     # by source: the online cores when its last message was sent
        for core in range(n):
            message, sent = trace.message[core], trace.apic[core]
            interrupt = self.run & message.valid & (message.mode == DeliveryMode.FIXED)
            with m.If(self.run & sent.valid & (sent.event == ApicEvent.SEND)):
                m.d.sync += then[core].eq(online)
            nobody.append(interrupt & ~message.accepted & ~self.lost[core])
            strangers.append(interrupt & message.accepted & ~then[message.source][core])
        m.d.sync += [refused.eq(Cat(nobody).any()), missed[0].eq(Cat(strangers))]
        for before, after in zip(missed, missed[1:], strict=False):
            m.d.sync += after.eq(before & ~online)
        return refused, missed[-1].any()

    def _is_stuck(self, m):
        """Movement is known a clock later, like everything else."""
        moved, ran = Signal(), Signal()
        still = Signal(32)                # clocks since something moved
        spoke = Signal(self._config.n_cores)      # cores with a record since half of the patience has passed
        m.d.sync += ran.eq(self.run)
        with m.If(self.run):
            m.d.sync += moved.eq(Cat(
                *(record.valid for record in self.trace.message),
                *(record.valid & (record.old != record.new) for record in self.trace.bank),
            ).any())
        moves, works, waits = Signal(), Signal(), Signal()
        m.d.comb += [
            moves.eq(moved | self._every("moved").any()),
            works.eq((self._every("rest", "running") & ~spoke).any()),
            waits.eq(ran & ~moves & (still > self.patience)),
        ]
        with m.If(ran):
            m.d.sync += [
                still.eq(Mux(moves | waits & works, 1, still + 1)),
                spoke.eq(Mux(still > self.patience >> 1, spoke | self._every("spoke"), 0)),
            ]
        return waits & ~works
