"""The Witness: what a Monitor has of each core."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..events import Event, apic_record_layout, core_record_layout
from .context import Context, findings_layout
from .deed import deed_layout
from .keyring import Keyring
from .ledger import Ledger, answers_layout

__all__ = ["Witness"]


class Witness(wiring.Component):
    """Context, Ledger and Keyring of the same core. All Witnesses are the same circuit, and all outputs functions of state.

    Parameters
    ----------
    config : MachineConfig
    n_entries : of the Ledger.  n_keys : of the Keyring.

    Members
    -------
    run : the records are to be looked at.
    record, interrupt : this core's records.
    does : what this core has done.  own : it is heard.
    told, taken : after a TAKE of this core was heard: whether what was taken was for it.
    deed, by : what is heard, and whose it is, as one bit.
    exit : this core has ended a function.  exits : those that have.  below : the cores of lower number; held.
    moved : it said an event that is no vain try of a lock, or an interrupt moved, in the last clock with ``run`` high.
    answers, held, findings, busy, left : see Ledger, Keyring and Context; ``answers.full`` is also the Keyring's.
    """

    def __init__(self, config, n_entries, n_keys):
        self._config = config
        self._n_entries = n_entries
        self._n_keys = n_keys
        super().__init__({
            "run": In(1),
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
            "below": In(config.n_cores),
            "moved": Out(1),
            "answers": Out(answers_layout),
            "held": Out(1),
            "findings": Out(findings_layout),
            "busy": Out(1),
            "left": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.context = context = Context(self._config)
        m.submodules.ledger = ledger = Ledger(self._config, self._n_entries)
        m.submodules.keyring = keyring = Keyring(self._config, self._n_keys)
        with m.If(self.run):
            m.d.comb += [context.record.eq(self.record), context.interrupt.eq(self.interrupt)]
            m.d.sync += self.moved.eq(
                self.interrupt.valid
                | (self.record.event != Event.NONE) & ~((self.record.event == Event.LOCK_TRY) & self.record.result.any()))
        m.d.comb += [
            context.heard.eq(self.own),
            context.told.eq(self.told),
            context.taken.eq(self.taken),
            ledger.deed.eq(self.deed),
            ledger.by.eq(self.by),
            ledger.own.eq(self.own),
            ledger.exits.eq(self.exits),
            ledger.earlier.eq(self.exits & self.below),
            ledger.resumption.eq(context.resumption),
            keyring.deed.eq(self.deed),
            keyring.own.eq(self.own),
            self.does.eq(context.deed),
            self.exit.eq(context.exit),
            self.answers.eq(ledger.answers),
            self.answers.full.eq(ledger.answers.full | keyring.full),
            self.held.eq(keyring.held),
            self.findings.eq(context.findings),
            self.busy.eq(context.busy),
            self.left.eq(ledger.left),
        ]
        return m
