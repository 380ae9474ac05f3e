"""The interrupt fabric as a crossbar: every APIC can reach every APIC, different targets in parallel."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arbiter import RoundRobin
from ..events import message_record_layout
from ..travel import Travel
from .message import DeliveryPort, MessagePort, message_layout

__all__ = ["Crossbar"]


class Crossbar(wiring.Component):
    """Carries one message per source.

    A message whose ``valid`` rose in clock t may be delivered from clock t + ``latency`` on (latency 0: in clock t). A target
    takes one message per clock, in turn among the sources. Delivery, ``done`` and the record are in the same clock. A
    message to a core that does not exist travels as long, and is then ``done`` without ``accepted``.

    ``targets``, ``done``, ``accepted`` and ``records`` are combinational of ``sources`` and state. While no message is under
    way, nothing here changes.

    Parameters
    ----------
    config : MachineConfig.

    Members
    -------
    latency : the strap ``fabric_latency``, in clocks.
    hold : whose message is not delivered in the next clock; sampled at the clock edge.
    sources : the local APICs' ways out.
    targets : the local APICs' ways in.
    records : one message record per source.
    """

    def __init__(self, config):
        self._config = config
        n = config.n_cores
        super().__init__({
            "latency": In(8),
            "hold": In(n),
            "sources": In(MessagePort()).array(n),
            "targets": Out(DeliveryPort()).array(n),
            "records": Out(data.ArrayLayout(message_record_layout(config), n)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self._config.n_cores
        m.submodules.travel = travel = Travel(n)
        m.d.comb += [
            travel.latency.eq(self.latency),
            travel.hold.eq(self.hold),
            travel.valid.eq(Cat(source.valid for source in self.sources)),
            travel.done.eq(Cat(source.done for source in self.sources)),
        ]
        messages = Signal(data.ArrayLayout(message_layout, n))
        m.d.comb += messages.eq(Cat(source.message for source in self.sources))

        wanted = [Signal(n, name=f"wanted{i}") for i in range(n)]     # by source: its target, one-hot
        granted = Const(0, n)
        for t, target in enumerate(self.targets):
            m.submodules[f"arbiter{t}"] = arbiter = RoundRobin(n)
            m.d.comb += [
                arbiter.requests.eq(Cat(targets[t] for targets in wanted)),
                target.valid.eq(arbiter.requests.any()),
                target.message.eq(messages[arbiter.index]),
            ]
            granted |= arbiter.grant

        accepted = Signal(n)
        m.d.comb += accepted.eq(granted)
        for i, source in enumerate(self.sources):
            destination = source.message.destination
            exists = destination < n
            record = self.records[i]
            m.d.comb += [
                wanted[i].eq(Mux(travel.ready[i] & exists, 1 << destination[:self._config.core_bits], 0)),
                source.accepted.eq(accepted[i]),
                source.done.eq(accepted[i] | travel.ready[i] & ~exists),
                record.valid.eq(source.done),
                record.mode.eq(source.message.mode),
                record.vector.eq(source.message.vector),
                record.destination.eq(destination),
                record.accepted.eq(source.accepted),
            ]
        return m
