"""Interrupt messages: what a local APIC sends through the fabric, and its two ports to it.

Intel SDM volume 3, the APIC chapter: "Interrupt Command Register (ICR)" and "Determining IPI Destination".
"""

from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from ..share import Bundle

__all__ = ["BROADCAST", "DeliveryMode", "DeliveryPort", "MessagePort", "Shorthand", "message_layout"]


class DeliveryMode(enum.Enum, shape=3):
    """ICR, bits 10:8."""

    FIXED = 0
    LOWEST_PRIORITY = 1
    SMI = 2
    REMOTE_READ = 3
    NMI = 4
    INIT = 5
    STARTUP = 6
    EXTINT = 7


class Shorthand(enum.Enum, shape=2):
    """ICR, bits 19:18: which cores a message is for, seen from its sender."""

    #: Those that ``destination`` names.
    NONE = 0
    SELF = 1
    #: Also the sender.
    ALL = 2
    #: All but the sender.
    OTHERS = 3


#: The physical destination that names all.
BROADCAST = 0xFFFFFFFF

#: One interrupt message.
message_layout = data.StructLayout({
    "vector": 8,
    "mode": DeliveryMode,
    "logical": 1,             # destination mode
    "level": 1,               # 1: assert
    "trigger": 1,             # 0: edge, 1: level
    "shorthand": Shorthand,   # if it is not NONE, destination and destination mode are ignored
    # Physical: an APIC id, which is the core's number, or BROADCAST. Logical: a cluster (bits 31:16) and a mask of its sixteen
    # members; core c is member c % 16 of cluster c // 16, as the logical id of an x2APIC follows from its id.
    "destination": 32,
})


class MessagePort(Bundle):
    """The port by which a local APIC sends, seen from the APIC.

    ``valid`` and ``message`` are functions of state alone and are held until the clock in which ``done`` is high: the
    message has reached all cores that it names. In the clock after that ``valid`` is low. ICR's delivery status is ``valid``.
    """

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "message": Out(message_layout),
            "done": In(1),
        })


class DeliveryPort(Bundle):
    """The port by which a local APIC receives, seen from the fabric. It always takes a message at the end of the clock."""

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "message": Out(message_layout),
        })
