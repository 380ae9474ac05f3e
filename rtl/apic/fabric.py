"""What every interrupt fabric does, and which cores receive a message."""

from amaranth.hdl import Cat, Const, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..events import message_record_layout
from .faults import faults_layout
from .message import BROADCAST, DeliveryPort, MessagePort, Shorthand

__all__ = ["Fabric", "names_several", "receivers"]

_CLUSTER = 16


class Fabric(wiring.Component):
    """Carries one message per source to every core that it names, once to each, and to no other core.

    A message whose ``valid`` rose in clock t is not delivered before clock t + ``latency`` (0: clock t). A target takes one
    message per clock. The deliveries of one message may be in different clocks; ``done`` is high in the clock of the last one. A
    message that names no core travels for the same time, and is then ``done`` in a clock in which its own core receives nothing.

    There is a record for each delivery, in its clock, with the number of the target. The end of a message that has reached no core
    is a record of its source that is not ``accepted``.

    Parameters
    ----------
    config : MachineConfig.

    Members
    -------
    latency : the strap ``fabric_latency``, in clocks.
    hold : deliveries to hold in the next clock; sampled at the clock edge. A message that names one core, or none, is held by
        the bit of its source. The deliveries of one that may name several are held one by one: that from source s to target t by
        bit (s + t) modulo n.
    faults : the faults of this clock; see ``faults_layout``. 0: none, as above. A dropped message ends like one that names no
        core; a late one has not arrived yet.
    injected : by target: an interrupt from ``faults`` is delivered in this clock, and nothing else is. Its record has the target as
        source as well.
    lost : by source: its message ends in this clock, and has reached none of the cores that it names, because of ``faults``.
    sources : the ports by which the local APICs send.
    targets : the ports by which they receive.
    records : of each port; see ``message_record_layout``.
    """

    def __init__(self, config):
        self._config = config
        n = config.n_cores
        super().__init__({
            "latency": In(8),
            "hold": In(n),
            "faults": In(faults_layout(n)),
            "injected": Out(n),
            "lost": Out(n),
            "sources": In(MessagePort()).array(n),
            "targets": Out(DeliveryPort()).array(n),
            "records": Out(data.ArrayLayout(message_record_layout(config), n)),
        })


def names_several(message):
    """Whether it may name more than one core."""
    return Mux(message.shorthand == Shorthand.NONE, message.logical | (message.destination == BROADCAST),
               message.shorthand != Shorthand.SELF)


def receivers(message, source, n):
    """The cores that a message of core number ``source`` names, as ``n`` bits."""
    everybody, own, destination = Const(-1, n), Const(1 << source, n), message.destination
    physical = Mux(destination == BROADCAST, everybody,
                   Mux(destination < n, Const(1, n) << destination[:ceil_log2(n)], 0)[:n])
    logical = Cat((destination[16:] == core // _CLUSTER) & destination[core % _CLUSTER] for core in range(n))
    return Mux(message.shorthand == Shorthand.NONE, Mux(message.logical, logical, physical),
               Mux(message.shorthand == Shorthand.SELF, own, Mux(message.shorthand == Shorthand.ALL, everybody, ~own)))
