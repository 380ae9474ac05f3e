"""The Ledger: what a core has going on in csds of its own."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .context import resumption_layout
from .deed import LEVEL_BITS, Deed, deed_layout

__all__ = ["Ledger", "answers_layout"]

answers_layout = data.StructLayout({
    "taken": 1,           # what is taken was pending for this core
    "unlocked": 1,        # what is unlocked was locked
    "bad_lock": 1,        # what is locked was locked, or another call of the owner that is not over uses it
    "bad_delete": 1,      # what is deleted has a count that is not 0, or targets that have not taken it
    "full": 1,            # there is no room for the use that begins
    "early": 1,           # the owner has waited, and goes on before the function has ended on every target
})


class Ledger(wiring.Component):
    """The uses of csds by one core, their owner.

    A use begins when the owner locks the csd or, if it does not, queues it. There may be several uses of one csd at a time, because
    it may be locked again while targets of the use before still run its function. What is done to a csd is done to its latest use;
    what is taken is what was queued last. A use is forgotten when the room is wanted, if the owner's call is over, every target
    has taken it, the csd is not locked and, if its targets are counted, it has been deleted from its list.

    The answers of clock ``t + 1`` are to the deed, and about the resumption, of clock ``t``.

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
    answers : see ``answers_layout``.
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
            "answers": Out(answers_layout),
            "left": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, count, deed, resumption, answers = self._config, self._n_entries, self.deed, self.resumption, self.answers

        def signals(name, shape):
            return [Signal(shape, name=f"{name}{index}") for index in range(count)]

        # Of each entry: a word, ...
        csd = signals("csd", config.xlen)
        level = signals("level", LEVEL_BITS)              # of the owner's call
        pending = signals("pending", config.n_cores)      # targets that have not taken it
        running = signals("running", config.n_cores)      # targets that have, and have not ended the function
        # ... and a bit.
        latest = Signal(count)            # there is no later use of this csd
        public = Signal(count)            # ... no later one that was queued
        open_ = Signal(count)             # the owner's call is not over
        locked = Signal(count)
        queued = Signal(count)
        counted = Signal(count)           # its targets are counted, and it has not been deleted since
        zero = Signal(count)              # the count is 0

        wanted = Signal(count)            # not taken by all
        m.d.comb += [
            wanted.eq(Cat(targets.any() for targets in pending)),
            self.left.eq((locked | wanted).any()),
        ]
        m.d.sync += answers.eq(0)

        # The owner goes on.
        with m.If(resumption.woken | resumption.over):
            late = Cat((awaited | active & ~self.earlier).any() for awaited, active in zip(pending, running, strict=True))
            woken = Cat((of == resumption.csd) & (at == resumption.level) for of, at in zip(csd, level, strict=True))
            over = Cat(at >= resumption.level for at in level)
            with m.If(resumption.over):
                m.d.sync += [open_.eq(open_ & ~over), answers.early.eq(resumption.waited & (open_ & over & late).any())]
            with m.Else():
                m.d.sync += answers.early.eq((open_ & woken & late).any())

        # Targets have ended the function.
        with m.If(self.exits.any()):
            m.d.sync += [active.eq(active & ~self.exits) for active in running]

        # Something is done to a csd.
        same, meant, free, chosen = Signal(count), Signal(count), Signal(count), Signal(count)
        begins = Signal()
        with m.If(deed.valid):
            m.d.comb += [
                same.eq(Cat(of == deed.address for of in csd)),
                meant.eq(same & latest),
                free.eq(~(open_ | locked | counted | wanted)),
                chosen.eq(free & -free),
            ]
            with m.Switch(deed.deed):
                with m.Case(Deed.LOCK):
                    elsewhere = open_ & Cat(at != deed.level for at in level)
                    m.d.comb += begins.eq(self.own)
                    m.d.sync += answers.bad_lock.eq(self.own & (meant & (locked | elsewhere)).any())
                with m.Case(Deed.UNLOCK):
                    m.d.sync += [answers.unlocked.eq((meant & locked).any()), locked.eq(locked & ~meant)]
                with m.Case(Deed.QUEUE):
                    m.d.comb += begins.eq(self.own & ~(meant & open_ & ~queued).any())
                    use = Mux(begins, chosen, meant)
                    m.d.sync += [queued.eq(queued | use), public.eq(public & ~same | use)]
                    for index in range(count):
                        with m.If(use[index]):
                            m.d.sync += pending[index].eq(deed.targets)
                with m.Case(Deed.TAKE):
                    for index in range(count):
                        with m.If((same & public)[index] & (pending[index] & self.by).any()):
                            m.d.sync += [
                                pending[index].eq(pending[index] & ~self.by),
                                running[index].eq(running[index] & ~self.exits | self.by),
                                answers.taken.eq(1),
                            ]
                with m.Case(Deed.COUNT):
                    m.d.sync += [counted.eq(counted | meant), zero.eq(Mux(deed.zero, zero | meant, zero & ~meant))]
                with m.Case(Deed.DELETE):
                    m.d.sync += [answers.bad_delete.eq((meant & counted & (~zero | wanted)).any()), counted.eq(counted & ~meant)]
        with m.If(begins):
            m.d.sync += [
                answers.full.eq(free == 0),
                latest.eq(latest & ~meant | chosen),
                open_.eq(Mux(deed.calling, open_ | chosen, open_)),
                locked.eq(locked & ~meant),
                counted.eq(counted & ~meant),
            ]
            with m.If(deed.deed == Deed.LOCK):
                m.d.sync += [locked.eq(locked & ~meant | chosen), queued.eq(queued & ~chosen), public.eq(public & ~chosen)]
            for index in range(count):
                with m.If(chosen[index]):
                    m.d.sync += [csd[index].eq(deed.address), level[index].eq(deed.level), running[index].eq(0)]
        return m
