"""The Monitor: the oracles that fit in hardware, fed by the trace. It knows no address of the protocol, and no constant of it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .check.deed import Deed, deed_layout
from .check.witness import Witness
from .events import trace_layout
from .memory.arbiter import number_of
from .share import share

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

    There is a Witness per core. It tells, in the clock after a record, what its core has done to a csd or a spin lock. One deed is
    heard per clock, that of the lowest core first; more than one in a clock is rare, because they go with accesses to memory.
    It is heard by all Witnesses, which answer in the clock after.

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
    witness : what makes the repeated unit from config, ``entries_per_core`` and ``keys_per_core``. (The fast engines put a black
        box in its place.)

    Members
    -------
    run : as of Machine; records are looked at while it is high.
    trace : all records of this clock.  quiet : as of Machine.
    patience : see ``stuck``; held during a run.
    flags : registers.
    """

    LATENCY = 8
    #: ``entries_per_core`` and ``keys_per_core``, if nothing is said.
    ROOM = (4, 4)

    def __init__(self, config, *, entries_per_core=ROOM[0], keys_per_core=ROOM[1], witness=Witness):
        self._config = config
        self._witnesses = [witness(config, entries_per_core, keys_per_core) for _ in range(config.n_cores)]
        super().__init__({
            "run": In(1),
            "trace": In(trace_layout(config)),
            "quiet": In(1),
            "patience": In(32),
            "flags": Out(flags_layout),
        })

    def elaborate(self, platform):
        m = Module()
        config, trace, witnesses = self._config, self.trace, self._witnesses
        # What is heard in this clock, and what was in the last one, which is answered now.
        deed, by = Signal(deed_layout(config)), Signal(config.n_cores)
        answered, asked = Signal(deed_layout(config)), Signal(config.n_cores)
        deeds = Signal(data.ArrayLayout(deed_layout(config), config.n_cores))
        waiting = Signal(config.n_cores)
        m.d.comb += [
            deeds.eq(Cat(witness.does for witness in witnesses)),
            waiting.eq(Cat(witness.does.valid for witness in witnesses)),
        ]
        with m.If(waiting.any()):
            m.d.comb += [by.eq(waiting & -waiting), deed.eq(deeds[number_of(by)])]
        m.d.sync += answered.valid.eq(deed.valid)
        with m.If(deed.valid):
            m.d.sync += [answered.eq(deed), asked.eq(by)]

        answers = [witness.answers for witness in witnesses]
        told = Signal(config.n_cores)
        with m.If(answered.valid & (answered.deed == Deed.TAKE)):
            m.d.comb += told.eq(asked)
        exits = Signal(config.n_cores)
        m.d.comb += exits.eq(Cat(witness.exit for witness in witnesses))
        taken = Signal()
        m.d.comb += taken.eq(_some("taken", answers))
        for core, witness in enumerate(witnesses):
            m.submodules[f"witness{core}"] = witness
            share(witness, run=self.run, record=trace.core[core], interrupt=trace.apic[core], deed=deed, by=by, exits=exits,
                  taken=taken)
            m.d.comb += [
                witness.own.eq(by[core]),
                witness.told.eq(told[core]),
                witness.below.eq((1 << core) - 1),
            ]

        # What has moved, known a clock later as everything else.
        ran, rested, moved = Signal(), Signal(), Signal()
        still = Signal(32)                # clocks since something moved
        m.d.sync += [ran.eq(self.run), rested.eq(self.run & self.quiet)]
        with m.If(self.run):
            m.d.sync += moved.eq(Cat(
                *(record.valid for record in trace.message),
                *(record.valid & (record.old != record.new) for record in trace.bank),
            ).any())
        moves = moved | _some("moved", witnesses)
        with m.If(ran):
            m.d.sync += still.eq(Mux(moves, 1, still + 1))

        now = Signal(32)
        with m.If(self.run | (now != 0)):
            m.d.sync += now.eq(now + 1)

        def flag(name, found, clock):
            with m.If(found & ~self.flags[name].hit):
                m.d.sync += [self.flags[name].hit.eq(1), self.flags[name].clock.eq(clock)]

        findings = [witness.findings for witness in witnesses]
        with m.If(Cat(findings).any()):
            for name in ("not_once", "refs", "mask", "warn", "trap", "overflow"):
                flag(name, _some(name, findings), now - 1)
        flag("early_return", _some("early", answers), now - 2)
        with m.If(answered.valid):
            clock = now - 2 - answered.age
            held = Cat(witness.held for witness in witnesses)
            flag("lock", (answered.deed == Deed.HOLD) & held.any(), clock)
            flag("lock", (answered.deed == Deed.RELEASE) & ~(held & asked).any(), clock)
            flag("refs", _some("bad_delete", answers), clock)
            flag("unlock", (answered.deed == Deed.UNLOCK) & ~_some("unlocked", answers), clock)
            flag("owner", _some("bad_lock", answers), clock)
            flag("overflow", _some("full", answers), clock)
        with m.If(rested):
            flag("lost", _some("busy", witnesses) | _some("left", witnesses), now)
        with m.Elif(ran & ~moves):
            flag("stuck", still > self.patience, now - 1)
        return m


def _some(name, parts):
    return Cat(getattr(part, name) for part in parts).any()
