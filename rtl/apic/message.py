"""Interrupt messages: what a local APIC sends through the fabric, and the two ports it does it by."""

from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from ..share import Bundle

__all__ = ["DeliveryMode", "DeliveryPort", "MessagePort", "message_layout"]


class DeliveryMode(enum.Enum, shape=3):
    """Intel SDM volume 3, "Interrupt Command Register (ICR)", bits 10:8."""

    FIXED = 0
    LOWEST_PRIORITY = 1
    SMI = 2
    REMOTE_READ = 3
    NMI = 4
    INIT = 5
    STARTUP = 6
    EXTINT = 7


#: One interrupt message. Physical destination mode: ``destination`` is an APIC id, which is the core's number.
message_layout = data.StructLayout({
    "vector": 8,
    "mode": DeliveryMode,
    "destination": 8,
})


class MessagePort(Bundle):
    """A local APIC's way out, seen from the APIC.

    ``valid`` and ``message`` are functions of state alone and are held until the clock in which ``done`` is high: the
    message has reached its target (``accepted``) or there is none. In the clock after that ``valid`` is low. ICR's
    delivery status is ``valid``.
    """

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "message": Out(message_layout),
            "done": In(1),
            "accepted": In(1),
        })


class DeliveryPort(Bundle):
    """A local APIC's way in, seen from the fabric. One message per clock, always taken at the end of the clock."""

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "message": Out(message_layout),
        })
