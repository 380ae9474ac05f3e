"""The interrupt fabric as a crossbar: every APIC can reach every APIC, different targets in parallel."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data

from ..arbiter import RoundRobin
from ..travel import Travel
from .fabric import Fabric, names_several, receivers
from .message import message_layout

__all__ = ["Crossbar"]


class Crossbar(Fabric):
    """A Fabric in which a target takes messages in turn among the sources.

    ``targets``, ``done`` and ``records`` are combinational in ``sources`` and state. While no message is in transit, nothing here
    changes.
    """

    def elaborate(self, platform):
        m = Module()
        n = self._config.n_cores
        m.submodules.travel = travel = Travel(n)
        messages = Signal(data.ArrayLayout(message_layout, n))
        m.d.comb += [
            travel.latency.eq(self.latency),
            travel.valid.eq(Cat(source.valid for source in self.sources)),
            travel.done.eq(Cat(source.done for source in self.sources)),
            messages.eq(Cat(source.message for source in self.sources)),
        ]
        arbiters = [RoundRobin(n) for _ in range(n)]
        wanted = self._wanted(m, travel.ready & ~self.faults.late, arbiters)
        extra = message_layout.const({"level": 1}).as_bits()
        for number, (arbiter, target, source, record) in enumerate(
                zip(arbiters, self.targets, self.sources, self.records, strict=True)):
            m.submodules[f"arbiter{number}"] = arbiter
            m.d.comb += [
                arbiter.requests.eq(Cat(targets[number] for targets in wanted)),
                self.injected[number].eq(self.faults.inject[number] & ~arbiter.requests.any()),
                target.valid.eq(arbiter.requests.any() | self.injected[number]),
                target.message.eq(Mux(self.injected[number], extra | self.faults.vector,
                                      messages[arbiter.index].as_value())),
            ]
            # A message that ends here without a delivery, if there is one.
            carried = Mux(target.valid, target.message.as_value(), source.message.as_value())
            with m.If(target.valid | source.done & ~self._delivers(arbiters, number).any()):
                sender = Mux(arbiter.requests.any(), arbiter.index, number)[:record.source.shape().width]
                m.d.comb += record.eq(Cat(1, target.valid, sender, carried))
        return m

    def _delivers(self, arbiters, source):
        """The targets to which a source delivers in this clock."""
        return Cat(arbiter.grant[source] for arbiter in arbiters)

    def _wanted(self, m, ready, arbiters):
        """By source: the targets that it could deliver to in this clock. Determines ``done``."""
        n = self._config.n_cores
        held = Signal(n)
        m.d.sync += held.eq(self.hold)
        wanted = [Signal(n, name=f"wanted{number}") for number in range(n)]
        for number, source in enumerate(self.sources):
            names, named, left, delivered = (Signal(n, name=f"{name}{number}") for name in ("names", "named", "left", "delivered"))
            again, all_done = Signal(name=f"again{number}"), Signal(name=f"all_done{number}")
            one_by_one = Cat(held[(number + target) % n] for target in range(n))
            with m.If(ready[number]):
                holds = Mux(names_several(source.message), one_by_one, held[number].replicate(n))
                m.d.comb += [
                    names.eq(receivers(source.message, number, n)),
                    named.eq(Mux(self.faults.drop[number], 0, names)),
                    self.lost[number].eq(self.faults.drop[number] & names.any() & source.done),
                    wanted[number].eq(named & ~delivered & ~holds),
                    left.eq(named & ~delivered & ~self._delivers(arbiters, number)),
                    all_done.eq(Mux(named.any(), ~left.any(), ~held[number] & ~self.targets[number].valid)),
                    source.done.eq(all_done & ~(self.faults.twice[number] & named.any() & ~again)),
                ]
                m.d.sync += [
                    delivered.eq(Mux(all_done, 0, named & ~left)),
                    again.eq(again ^ (all_done & self.faults.twice[number])),
                ]
        return wanted
