"""The CoreMonitor: the part of a Monitor that exists once per core."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..events import Event, apic_record_layout, core_record_layout
from ..share import share
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
    run : see Monitor.
    record, interrupt : this core's records; 0 with ``run`` low.
    me : this core, as one bit; held.  below : the cores of lower number; held.
    visits, scope : see Context and Csds; held.
    request : this core has an operation for the bus.  granted : it has the bus.
    operation, by : the operation on the bus, and its core, as one bit.
    terms, comes, spared, exit, exits, accepted, verdict, rest : see Obligations.  accepts : see Context, ``accepted``.
    state, holding, findings : see Csds, Locks and Context.
    over : a call of this core has ended.
    locked : a csd of this core is locked, or it holds a spin lock.
    moved : it emitted an event other than a failed try of a lock, or an interrupt moved, in the last clock with ``run`` high.
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
            "request": Out(operation_layout(config)),
            "granted": In(1),
            "operation": In(operation_layout(config)),
            "by": In(n),
            "terms": In(terms_layout(config)),
            "comes": In(n),
            "spared": In(n),
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
        share(context, record=self.record, interrupt=self.interrupt, visits=self.visits, operation=self.request,
              granted=self.granted, findings=self.findings, accepted=self.accepts)
        share(obligations, operation=self.operation, by=self.by, own=self.granted, terms=self.terms, comes=self.comes,
              spared=self.spared, me=self.me, ends=context.ends, exit=self.exit, exits=self.exits, accepted=self.accepted,
              verdict=self.verdict, rest=self.rest)
        share(csds, operation=self.operation, own=self.granted, scope=self.scope, calls=obligations.calls, state=self.state)
        share(locks, operation=self.operation, own=self.granted, holding=self.holding)
        m.d.comb += [
            obligations.earlier.eq(self.exits & self.below),
            csds.over.eq(context.ends.call),
            self.locked.eq(csds.locked | locks.held),
        ]
        with m.If(self.run):
            m.d.sync += [
                self.moved.eq(self.interrupt.valid
                              | (record.event != Event.NONE) & ~((record.event == Event.LOCK_TRY) & record.result.any())),
                self.spoke.eq(record.valid),
            ]
        return m
