"""The Witness: what a Monitor has of each core."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..events import apic_record_layout, core_record_layout
from .context import Context, findings_layout
from .deed import deed_layout
from .ledger import Ledger, answers_layout

__all__ = ["Witness"]


class Witness(wiring.Component):
    """A Context and the Ledger of the same core. All Witnesses are the same circuit, and all outputs functions of state.

    Parameters
    ----------
    config : MachineConfig
    n_entries : of the Ledger.

    Members
    -------
    record, interrupt : this core's records; 0 if they are not to be looked at.
    does : what this core has done.  own : it is heard.
    told, taken : after a TAKE of this core was heard: whether what was taken was for it.
    deed, by : what is heard, and whose it is, as one bit.
    exit : this core has ended a function.  exits, earlier : those that have (see Ledger).
    answers, findings, busy, left : see Ledger and Context.
    """

    def __init__(self, config, n_entries):
        self._config = config
        self._n_entries = n_entries
        super().__init__({
            "record": In(core_record_layout(config)),
            "interrupt": In(apic_record_layout(config)),
            "does": Out(deed_layout(config)),
            "own": In(1),
            "told": In(1),
            "taken": In(1),
            "deed": In(deed_layout(config)),
            "by": In(config.n_cores),
            "exit": Out(1),
            "exits": In(config.n_cores),
            "earlier": In(config.n_cores),
            "answers": Out(answers_layout),
            "findings": Out(findings_layout),
            "busy": Out(1),
            "left": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.context = context = Context(self._config)
        m.submodules.ledger = ledger = Ledger(self._config, self._n_entries)
        m.d.comb += [
            context.record.eq(self.record),
            context.interrupt.eq(self.interrupt),
            context.heard.eq(self.own),
            context.told.eq(self.told),
            context.taken.eq(self.taken),
            ledger.deed.eq(self.deed),
            ledger.by.eq(self.by),
            ledger.own.eq(self.own),
            ledger.exits.eq(self.exits),
            ledger.earlier.eq(self.earlier),
            ledger.resumption.eq(context.resumption),
            self.does.eq(context.deed),
            self.exit.eq(context.exit),
            self.answers.eq(ledger.answers),
            self.findings.eq(context.findings),
            self.busy.eq(context.busy),
            self.left.eq(ledger.left),
        ]
        return m
