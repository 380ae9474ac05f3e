"""The private stack of a core: return addresses, interrupt flags and saved registers."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["Stack"]


class Stack(wiring.Component):
    """``stack_depth - 1`` words, last in, first out. At most one of ``push``, ``pop`` and ``clear`` may take effect in a clock.

    The top is read synchronously: it is stale in the clock after a push (``settling``), and up to date in the clock after a pop.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    push : ``word`` becomes the top at the end of this clock; must be low if ``full``.
    pop : removes the top at the end of this clock; must be low if ``empty`` or ``settling``.
    clear : empties the stack at the end of this clock, whatever the other inputs are.
    top : the word pushed last; undefined if ``empty`` or ``settling``.
    full, empty, settling : functions of state.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "push": In(1),
            "pop": In(1),
            "clear": In(1),
            "word": In(config.xlen),
            "top": Out(config.xlen),
            "full": Out(1),
            "empty": Out(1),
            "settling": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.words = words = Memory(shape=config.xlen, depth=config.stack_depth, init=[])
        write, read = words.write_port(), words.read_port()
        # Index of the word pushed last; if empty, the index before the first, so one adder both counts and addresses.
        none = config.stack_depth - 1
        last = Signal(config.stack_bits, init=none)
        beside, following = Signal(config.stack_bits), Signal(config.stack_bits)
        m.d.comb += [
            beside.eq(last + Mux(self.pop, -1, 1)),
            following.eq(Mux(self.push | self.pop, beside, last)),
            write.en.eq(self.push),
            write.addr.eq(beside),
            write.data.eq(self.word),
            read.addr.eq(following),
            self.top.eq(read.data),
            self.full.eq(last == none - 1),
            self.empty.eq(last == none),
        ]
        m.d.sync += self.settling.eq(self.push)
        with m.If(self.clear):
            m.d.sync += last.eq(none)
        with m.Else():
            m.d.sync += last.eq(following)
        return m
