"""The digest of a run, in hardware."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .events import absorb, digest_words, fold, misr, trace_layout

__all__ = ["Digest"]

_WIDTH = 32


class Digest(wiring.Component):
    """Folds every record of a run into 32 bits, as ``rtl.events`` defines. Equal runs have equal digests.

    The records of a clock are sampled at its end if ``run`` is high. Clocks with ``run`` low are ignored and not counted, so a run
    may pause. ``digest`` is complete ``LATENCY`` clocks after the last record. Reset the clock domain before another run.

    A MISR is linear: its next state is the exclusive or of two parts: state 0 stepped with clock and record, and the old state
    stepped with zeros. So the stages are the records, which arrive late in a clock; the first part; the states; and the digest.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    run : the records of this clock count.
    trace : the same as in Machine.
    digest : a register.
    """

    LATENCY = 4

    def __init__(self, config):
        super().__init__({
            "run": In(1),
            "trace": In(trace_layout(config)),
            "digest": Out(_WIDTH),
        })

    def elaborate(self, platform):
        m = Module()
        clock, run, trace = Signal(_WIDTH), Signal(), Signal.like(self.trace)
        m.d.sync += [run.eq(self.run), trace.eq(self.trace)]
        with m.If(run):
            m.d.sync += clock.eq(clock + 1)
        states = [self._source(m, run, clock, record, f"{kind}{number}")
                  for kind, _ in trace.shape() for number, record in enumerate(trace[kind])]
        m.d.sync += self.digest.eq(fold(states, _step(m)))
        return m

    def _source(self, m, run, clock, record, name):
        """The state of one source."""
        words = digest_words(record.shape())
        state, part, step = Signal(_WIDTH, name=f"state_{name}"), Signal(_WIDTH, name=f"part_{name}"), Signal(name=f"step_{name}")
        m.d.sync += [
            step.eq(run & record.valid),
            part.eq(absorb(0, clock, Value.cast(record), words, _step(m))),
        ]
        with m.If(step):
            m.d.sync += state.eq(absorb(state, 0, 0, words, _step(m)) ^ part)
        return state


def _step(m):
    """``misr`` for signals. It returns a signal, because an expression would contain each state twice."""
    def step(state, word):
        after = Signal(_WIDTH, name="after")
        m.d.comb += after.eq(misr(state, word))
        return after
    return step
