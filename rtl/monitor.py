"""The Monitor: the oracles that fit in hardware, fed by the trace. It knows no address of the protocol, and no constant of it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .check.context import Context
from .check.deed import Deed, deed_layout
from .check.keys import Keys
from .check.ledger import Ledger
from .events import Event, trace_layout

__all__ = ["FLAGS", "Monitor", "flag_layout", "flags_layout"]

#: What a Monitor looks for: name of the flag -> when it is set.
FLAGS = {
    "early_return": "a caller that waited goes on, and a target of its call has not ended the function",
    "not_once": "a core runs a function again, is none of its call's targets, or runs it for no call",
    "lost": "all has come to rest, and a call is not over or a csd is locked",
    "refs": "the count of targets falls below 0, or an entry is deleted before count and targets have come to nothing",
    "unlock": "a csd is unlocked that is not locked",
    "owner": "a csd is locked that is locked, or that another call of its owner uses",
    "mask": "the mask given to the APIC is empty, or names a core that is not online",
    "lock": "a spin lock is taken that is held, or given back by a core that does not hold it",
    "warn": "a WARN_ON is hit",
    "trap": "a core stops",
    "stuck": "for more clocks than `patience` no event was said, no interrupt moved and no word changed",
    "overflow": "there is more to remember than there is room for: no flag of a later clock proves anything",
}

#: One flag. It stays; ``clock`` is that of the record that set it.
flag_layout = data.StructLayout({"hit": 1, "clock": 32})

#: What a Monitor has found.
flags_layout = data.StructLayout(dict.fromkeys(FLAGS, flag_layout))


class Monitor(wiring.Component):
    """Judges a run by its records, clock by clock.

    A Context per core tells in the clock after a record what the core has done to a csd or a spin lock, and whether it goes on
    after a wait. One deed is heard per clock, the lowest core first; more than one in a clock is rare, because they are
    accesses to memory. It is heard by all Ledgers, one per core, and by the Keys. So a Monitor has registers for ``n_cores *
    entries_per_core`` uses of csds, and comparators for as many.

    A csd is expected to be locked and queued by one core, its owner, and a function that is run in a handler not to be interrupted
    by another handler. Where that, or the room, does not suffice, ``overflow`` says so.

    The clock of ``lost`` is the number of clocks that were run. The flags are complete ``LATENCY`` clocks after the last clock with
    ``run`` high. Before another run the clock domain is reset.

    Parameters
    ----------
    config : MachineConfig
    entries_per_core : uses of csds that one core can have going on at a time. In v4: a call that waits, one that interrupts it,
        and what has not been taken of csd_data and cfd_data.
    keys_per_core : spin locks that a core can hold at a time.

    Members
    -------
    run : as of Machine; records are looked at while it is high.
    trace : all records of this clock.  quiet : as of Machine.
    patience : see ``stuck``; held during a run.
    flags : registers.
    """

    LATENCY = 8

    def __init__(self, config, *, entries_per_core=4, keys_per_core=4):
        self._config = config
        self._entries_per_core = entries_per_core
        self._keys_per_core = keys_per_core
        super().__init__({
            "run": In(1),
            "trace": In(trace_layout(config)),
            "quiet": In(1),
            "patience": In(32),
            "flags": Out(flags_layout),
        })

    def elaborate(self, platform):
        m = Module()
        config, trace = self._config, self.trace
        cores = range(config.n_cores)
        contexts = [Context(config) for _ in cores]
        ledgers = [Ledger(config, self._entries_per_core) for _ in cores]
        m.submodules.keys = keys = Keys(config, self._keys_per_core)
        for core in cores:
            m.submodules[f"context{core}"] = contexts[core]
            m.submodules[f"ledger{core}"] = ledgers[core]

        now = Signal(32)
        with m.If(self.run | (now != 0)):
            m.d.sync += now.eq(now + 1)

        deed, by = Signal(deed_layout(config)), Signal(config.n_cores)
        for core, context in enumerate(contexts):
            with (m.Elif if core else m.If)(context.deed.valid):
                m.d.comb += [deed.eq(context.deed), by.eq(1 << core)]
        exits = Cat(context.exit for context in contexts)
        m.d.comb += [keys.deed.eq(deed), keys.by.eq(by)]
        for core, (context, ledger) in enumerate(zip(contexts, ledgers, strict=True)):
            with m.If(self.run):
                m.d.comb += [context.record.eq(trace.core[core]), context.interrupt.eq(trace.apic[core])]
            m.d.comb += [
                context.heard.eq(by[core]),
                context.taken.eq(Cat(other.taken for other in ledgers).any()),
                ledger.deed.eq(deed),
                ledger.by.eq(by),
                ledger.own.eq(by[core]),
                ledger.exits.eq(exits),
                ledger.earlier.eq(exits[:core]),
                ledger.resumption.eq(context.resumption),
            ]

        # In the clock after its records everything is known of a clock.
        ran, rested, moved = Signal(), Signal(), Signal()
        still = Signal(32)                # clocks since something moved
        m.d.sync += [ran.eq(self.run), rested.eq(self.run & self.quiet)]
        with m.If(self.run):
            m.d.sync += moved.eq(Cat(
                *((core.event != Event.NONE) & ~((core.event == Event.LOCK_TRY) & core.result.any()) for core in trace.core),
                *(record.valid for record in trace.apic),
                *(record.valid for record in trace.message),
                *(record.valid & (record.old != record.new) for record in trace.bank),
            ).any())
        with m.If(ran):
            m.d.sync += still.eq(Mux(moved, 1, still + 1))

        def flag(name, found, clock):
            with m.If(found & ~self.flags[name].hit):
                m.d.sync += [self.flags[name].hit.eq(1), self.flags[name].clock.eq(clock)]

        def some(name, parts):
            return Cat(getattr(part, name) for part in parts).any()

        findings = [context.findings for context in contexts]
        with m.If(Cat(findings).any()):
            for name in ("not_once", "refs", "mask", "warn", "trap", "overflow"):
                flag(name, some(name, findings), now - 1)
        flag("early_return", some("early", ledgers), now - 1)
        with m.If(deed.valid):
            clock = now - 1 - deed.age
            flag("refs", some("bad_delete", ledgers), clock)
            flag("unlock", (deed.deed == Deed.UNLOCK) & ~some("unlocked", ledgers), clock)
            flag("owner", some("bad_lock", ledgers), clock)
            flag("lock", keys.bad, clock)
            flag("overflow", some("full", ledgers) | keys.full, clock)
        with m.If(rested):
            flag("lost", some("busy", contexts) | some("left", ledgers), now)
        with m.Elif(ran & ~moved):
            flag("stuck", still > self.patience, now - 1)
        return m
