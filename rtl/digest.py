"""The digest of a run, in hardware."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .events import absorb, digest_words, fold, trace_layout

__all__ = ["Digest"]

_WIDTH = 32


class Digest(wiring.Component):
    """Folds every record of a run into 32 bits, as ``rtl.events`` defines it. Equal runs have equal digests.

    The records of a clock are sampled at its end if ``run`` is high. Clocks with ``run`` low are ignored and not counted, so that
    a run may pause. ``digest`` is complete ``LATENCY`` clocks after the last one. Before another run the clock domain is reset.

    A MISR is linear: the next state is the exclusive or of what the old state, the clock and the record each contribute. What
    clock and record contribute is computed in the clock before; only the state itself is in the loop.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    run : the records of this clock count.
    trace : as of Machine.
    digest : a register.
    """

    LATENCY = 3

    def __init__(self, config):
        super().__init__({
            "run": In(1),
            "trace": In(trace_layout(config)),
            "digest": Out(_WIDTH),
        })

    def elaborate(self, platform):
        m = Module()
        clock = Signal(_WIDTH)
        with m.If(self.run):
            m.d.sync += clock.eq(clock + 1)
        states = [self._source(m, clock, record, f"{kind}{number}")
                  for kind, _ in self.trace.shape() for number, record in enumerate(self.trace[kind])]
        parts = [_linear(lambda state, place=place: fold([0] * place + [state] + [0] * (len(states) - place - 1)), state)
                 for place, state in enumerate(states)]
        m.d.sync += self.digest.eq(_sum(parts))
        return m

    def _source(self, m, clock, record, name):
        """The state of one source."""
        words = digest_words(record.shape())
        state, part, step = Signal(_WIDTH, name=f"state_{name}"), Signal(_WIDTH, name=f"part_{name}"), Signal(name=f"step_{name}")
        m.d.sync += [
            step.eq(self.run & record.valid),
            part.eq(_sum([_linear(lambda clock: absorb(0, clock, 0, words), clock),
                          _linear(lambda raw: absorb(0, 0, raw, words), Value.cast(record))])),
        ]
        with m.If(step):
            m.d.sync += state.eq(_sum([part, _linear(lambda state: absorb(state, 0, 0, words), state)]))
        return state


def _linear(function, value):
    """A linear function of numbers, as a circuit: each bit of the result is the parity of the bits of ``value`` that change it."""
    columns = [function(1 << bit) for bit in range(len(value))]
    return [[value[bit] for bit, column in enumerate(columns) if column >> row & 1] for row in range(_WIDTH)]


def _sum(parts):
    """The exclusive or of values and of results of ``_linear``."""
    return Cat(Cat(*(part[row] for part in parts)).xor() for row in range(_WIDTH))
