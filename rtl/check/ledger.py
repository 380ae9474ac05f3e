"""The Ledger: what a core has going on in csds of its own."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .context import resumption_layout
from .deed import LEVEL_BITS, Deed, deed_layout

__all__ = ["Ledger"]


class Ledger(wiring.Component):
    """The uses of csds by one core, their owner.

    A use begins when the owner locks the csd or, if it does not, queues it. There may be several uses of one csd at a time, because
    it may be locked again while targets of the use before have not taken it, or still run its function; what is done to a csd
    is done to its latest use. A use is forgotten when the room is wanted, if the owner's call is over, every target has taken
    it, the csd is not locked and, if its targets are counted, it has been deleted from its list.

    The outputs are functions of the inputs of this clock and of the entries, which follow at its end.

    Parameters
    ----------
    config : MachineConfig
    n_entries : how many uses there may be at a time.

    Members
    -------
    deed : what somebody does; valid in the clock in which it is heard.  by : who, as one bit.  own : it is the owner.
    exits : cores that have ended a function that they ran in a handler.
    earlier : those that did before the owner went on, if that was in the same clock: then the lower number is the earlier one.
    resumption : the owner goes on.
    taken : what is taken was pending for this core.
    unlocked : what is unlocked was locked.
    bad_lock : what is locked was locked, or is used by another call of the owner that is not over.
    bad_delete : what is deleted has a count that is not 0, or targets that have not taken it.
    early : who goes on waited, and the function has not ended on every target.
    full : there is no room for the use that begins.
    left : a csd is locked, or has targets that have not taken it.
    """

    def __init__(self, config, n_entries):
        self._config = config
        self._n_entries = n_entries
        n = config.n_cores
        super().__init__({
            "deed": In(deed_layout(config)),
            "by": In(n),
            "own": In(1),
            "exits": In(n),
            "earlier": In(n),
            "resumption": In(resumption_layout(config)),
            "taken": Out(1),
            "unlocked": Out(1),
            "bad_lock": Out(1),
            "bad_delete": Out(1),
            "early": Out(1),
            "full": Out(1),
            "left": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, deed, resumption = self._config, self.deed, self.resumption
        entry_layout = data.StructLayout({
            "csd": config.xlen,
            "latest": 1,                  # there is no later use of this csd
            "open": 1,                    # the owner's call is not over
            "level": LEVEL_BITS,          # of that call
            "locked": 1,
            "queued": 1,
            "counted": 1,                 # its targets are counted, and it has not been deleted since
            "zero": 1,                    # the count is 0
            "pending": config.n_cores,    # targets that have not taken it
            "running": config.n_cores,    # targets that have, and have not ended the function
        })
        count = self._n_entries
        entries = [Signal(entry_layout, name=f"entry{index}") for index in range(count)]

        def which(condition):
            """Of which entries this holds, as bits."""
            return Cat(condition(entry) for entry in entries)

        m.d.comb += self.left.eq(which(lambda entry: entry.locked | entry.pending.any()).any())

        # What is done, and to which entries.
        meant, free, chosen, begins = Signal(count), Signal(count), Signal(count), Signal()
        with m.If(deed.valid):
            m.d.comb += [
                meant.eq(which(lambda entry: entry.latest & (entry.csd == deed.address))),
                free.eq(which(lambda entry: ~(entry.open | entry.locked | entry.counted | entry.pending.any()))),
                chosen.eq(free & -free),
                self.full.eq(begins & (free == 0)),
            ]
            with m.Switch(deed.deed):
                with m.Case(Deed.LOCK):
                    m.d.comb += [
                        begins.eq(self.own),
                        self.bad_lock.eq(self.own & (meant & which(
                            lambda entry: entry.locked | entry.open & (entry.level != deed.level))).any()),
                    ]
                with m.Case(Deed.UNLOCK):
                    m.d.comb += self.unlocked.eq((meant & which(lambda entry: entry.locked)).any())
                with m.Case(Deed.QUEUE):
                    m.d.comb += begins.eq(self.own & ~(meant & which(lambda entry: entry.open & ~entry.queued)).any())
                with m.Case(Deed.TAKE):
                    m.d.comb += self.taken.eq((meant & which(lambda entry: (entry.pending & self.by).any())).any())
                with m.Case(Deed.DELETE):
                    m.d.comb += self.bad_delete.eq((meant & which(
                        lambda entry: entry.counted & (~entry.zero | entry.pending.any()))).any())

        goes_on = Signal(count)
        acts = Signal()
        m.d.comb += acts.eq(deed.valid | resumption.woken | resumption.over | self.exits.any())
        with m.If(acts):
            for index, entry in enumerate(entries):
                # The owner goes on.
                with m.If(resumption.woken):
                    m.d.comb += goes_on[index].eq(entry.open & (entry.level == resumption.level) & (entry.csd == resumption.csd))
                with m.If(resumption.over & (entry.level >= resumption.level)):
                    m.d.comb += goes_on[index].eq(entry.open & resumption.waited)
                    m.d.sync += entry.open.eq(0)

                # A target takes, or has ended the function.
                takes = Signal(config.n_cores, name=f"takes{index}")
                with m.If(meant[index] & (deed.deed == Deed.TAKE)):
                    m.d.comb += takes.eq(entry.pending & self.by)
                with m.If(takes.any() | self.exits.any()):
                    m.d.sync += [entry.pending.eq(entry.pending & ~takes), entry.running.eq(entry.running & ~self.exits | takes)]

                # Something is done to the csd.
                with m.If(begins & chosen[index]):
                    m.d.sync += [
                        entry.csd.eq(deed.address), entry.latest.eq(1), entry.open.eq(deed.calling), entry.level.eq(deed.level),
                        entry.locked.eq(deed.deed == Deed.LOCK), entry.queued.eq(deed.deed == Deed.QUEUE), entry.counted.eq(0),
                        entry.pending.eq(Mux(deed.deed == Deed.QUEUE, deed.targets, 0)), entry.running.eq(0),
                    ]
                with m.Elif(begins & meant[index]):
                    m.d.sync += [entry.latest.eq(0), entry.locked.eq(0), entry.counted.eq(0)]
                with m.Elif(meant[index]), m.Switch(deed.deed):
                    with m.Case(Deed.UNLOCK):
                        m.d.sync += entry.locked.eq(0)
                    with m.Case(Deed.QUEUE):
                        m.d.sync += [entry.queued.eq(1), entry.pending.eq(deed.targets)]
                    with m.Case(Deed.COUNT):
                        m.d.sync += [entry.counted.eq(1), entry.zero.eq(deed.zero)]
                    with m.Case(Deed.DELETE):
                        m.d.sync += entry.counted.eq(0)
        m.d.comb += self.early.eq((goes_on & which(lambda entry: (entry.pending | entry.running & ~self.earlier).any())).any())
        return m
