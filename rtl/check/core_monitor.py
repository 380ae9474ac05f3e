"""The CoreMonitor: what a Monitor has of each core."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..events import Event, apic_record_layout, core_record_layout
from .context import VISITS_BITS, Context, findings_layout
from .csds import Csds, scope_layout, state_layout
from .locks import Locks, holding_layout
from .obligations import Obligations, rest_layout, verdict_layout
from .operation import operation_layout, terms_layout

__all__ = ["CoreMonitor"]


class CoreMonitor(wiring.Component):
    """Context, Obligations, Csds and Locks of the same core. All CoreMonitors are the same circuit, and all outputs are
    functions of state.

    Parameters
    ----------
    config : MachineConfig
    room : ``rtl.monitor.Room``.

    Members
    -------
    run : the records are to be looked at.
    record, interrupt : this core's records.
    me : this core, as one bit; held.  below : the cores of lower number; held.
    visits, scope : see Context and Csds; held.
    wants : what this core has done.  own : that has the bus.
    operation, by : what has the bus, and whose it is, as one bit.
    terms, comes, goes, exit, exits, accepted, verdict, rest : see Obligations.  accepts : see Context, ``accepted``.
    state, holding, findings : see Csds, Locks and Context.
    over : a call of this core is over.
    locked : a csd of this core is locked, or it holds a spin lock.
    moved : it said an event that is no vain try of a lock, or an interrupt moved, in the last clock with ``run`` high.
    spoke : it had a record then.
    """

    def __init__(self, config, room):
        self._config = config
        self._room = room
        n = config.n_cores
        super().__init__({
            "run": In(1),
            "record": In(core_record_layout(config)),
            "interrupt": In(apic_record_layout(config)),
            "me": In(n),
            "below": In(n),
            "visits": In(VISITS_BITS),
            "scope": In(scope_layout),
            "wants": Out(operation_layout(config)),
            "own": In(1),
            "operation": In(operation_layout(config)),
            "by": In(n),
            "terms": In(terms_layout(config)),
            "comes": In(n),
            "goes": In(n),
            "exit": Out(1),
            "exits": In(n),
            "accepts": Out(1),
            "accepted": In(n),
            "verdict": Out(verdict_layout),
            "state": Out(state_layout),
            "holding": Out(holding_layout),
            "findings": Out(findings_layout),
            "rest": Out(rest_layout),
            "locked": Out(1),
            "moved": Out(1),
            "spoke": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, room, record = self._config, self._room, self.record
        m.submodules.context = context = Context(config)
        m.submodules.obligations = obligations = Obligations(config, room.obligations)
        m.submodules.csds = csds = Csds(config, room.csds)
        m.submodules.locks = locks = Locks(config, room.locks)
        with m.If(self.run):
            m.d.comb += [context.record.eq(record), context.interrupt.eq(self.interrupt)]
            m.d.sync += [
                self.moved.eq(self.interrupt.valid
                              | (record.event != Event.NONE) & ~((record.event == Event.LOCK_TRY) & record.result.any())),
                self.spoke.eq(record.valid),
            ]
        for part in (obligations, csds, locks):
            m.d.comb += [part.operation.eq(self.operation), part.own.eq(self.own)]
        m.d.comb += [
            context.visits.eq(self.visits),
            context.granted.eq(self.own),
            self.wants.eq(context.operation),
            self.accepts.eq(context.accepted),
            self.findings.eq(context.findings),
            *(getattr(obligations, name).eq(getattr(self, name)) for name in (
                "by", "terms", "comes", "goes", "me", "exits", "accepted")),
            obligations.ends.eq(context.ends),
            obligations.earlier.eq(self.exits & self.below),
            self.exit.eq(obligations.exit),
            self.verdict.eq(obligations.verdict),
            self.rest.eq(obligations.rest),
            csds.scope.eq(self.scope),
            csds.over.eq(context.ends.call),
            csds.calls.eq(obligations.calls),
            self.state.eq(csds.state),
            self.holding.eq(locks.holding),
            self.locked.eq(csds.locked | locks.held),
        ]
        return m
