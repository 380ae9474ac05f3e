"""Csds that have returned to their owner, and accesses to them by other cores."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arbiter import number_of
from ..events import core_record_layout
from .operation import Operation, operation_layout

__all__ = ["Returned", "places_layout"]


def places_layout(config):
    """The places that a Returned must know. Held. All 0: it finds nothing."""
    return data.StructLayout({
        "payload": 8,             # offset in a csd from which no other core may access it
        "length": 8,              # words
        "flags": config.xlen,     # bits that are set in a csd until it is its owner's again
        "percpu": config.xlen,    # start of the per-core objects
        "shift": 4,               # their length for one core, as a power of 2
    })


class Returned(wiring.Component):
    """The csds that were last returned to their owners: another core has cleared the last of their flags. A csd that more than one
    core queues, or that is declared for one core and queued by another, has no owner. Other cores may fill the csds of a core that
    goes offline.

    A store must be visible in the clock of its record: there must be no store buffer.

    Parameters
    ----------
    config : MachineConfig
    n_entries : how many are remembered.

    Members
    -------
    operation, by : the operation that had the bus in the last clock, and its core, as one bit.  owners : cores that know the csd.
    places : see ``places_layout``.
    records : of all cores.  run : whether they count.
    touched : in the last clock.
    """

    def __init__(self, config, n_entries):
        self._config = config
        self._n_entries = n_entries
        super().__init__({
            "operation": In(operation_layout(config)),
            "by": In(config.n_cores),
            "owners": In(config.n_cores),
            "places": In(places_layout(config)),
            "records": In(data.ArrayLayout(core_record_layout(config), config.n_cores)),
            "run": In(1),
            "touched": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, operation, places = self._config, self.operation, self.places
        entry_layout = data.StructLayout({"valid": 1, "csd": config.xlen, "owner": config.n_cores})
        entries = Signal(data.ArrayLayout(entry_layout, self._n_entries))       # the last one first

        offset, owner = Signal(config.xlen), self.owners
        comes, goes, offline = Signal(), Signal(), Signal(config.n_cores)
        # The core that it is declared for; none, if that is not the number of a core.
        number = offset >> places.shift
        m.d.comb += offset.eq(operation.a - places.percpu)
        with m.If(operation.valid):
            with m.Switch(operation.operation):
                with m.Case(Operation.UNLOCK, Operation.COMPLETE):
                    m.d.comb += comes.eq((owner != 0) & ((owner & owner - 1) == 0) & ~(owner & self.by).any()
                                         & ~(operation.b & places.flags).any()
                                         & ((number >= config.n_cores) | (number == number_of(owner))))
                with m.Case(Operation.LOCK, Operation.QUEUE):
                    m.d.comb += goes.eq(1)
                with m.Case(Operation.OFFLINE):
                    m.d.comb += offline.eq(operation.b)
        with m.If(comes):
            m.d.sync += entries.eq(Cat(1, operation.a, owner, entries))
        for entry in entries:
            with m.If(goes & (entry.csd == operation.a) | (entry.owner & offline).any()):
                m.d.sync += entry.valid.eq(0)

        touched = Signal()
        with m.If(self.run):
            m.d.comb += touched.eq(Cat(
                entry.valid & record.memory & ~entry.owner[core]
                & ((record.address - entry.csd - places.payload)[:config.xlen] < places.length)
                for core, record in enumerate(self.records) for entry in entries).any())
        m.d.sync += self.touched.eq(touched)
        return m
