"""Register map of the local APIC and its register port. Intel SDM volume 3, the APIC chapter: "Local APIC Register Address Map"."""

from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from ..share import Bundle

__all__ = ["ApicRegister", "ApicRegisterPort"]


class ApicRegister(enum.IntEnum, shape=8):
    """Register numbers: the xAPIC offset divided by 16, which is also the x2APIC MSR number less 0x800."""

    ID = 0x02
    VERSION = 0x03
    TPR = 0x08
    PPR = 0x0A
    EOI = 0x0B
    #: First of 8: vectors in service, 32 per register.
    ISR = 0x10
    #: First of 8: vectors requested, 32 per register.
    IRR = 0x20
    ESR = 0x28
    #: Interrupt command, low half. Writing it sends.
    ICR = 0x30
    #: Interrupt command, high half: destination in bits 31:24.
    ICR2 = 0x31


class ApicRegisterPort(Bundle):
    """The core's way to its local APIC, seen from the core. 32 bits wide whatever ``xlen`` is.

    With ``valid`` high for one clock: a write takes effect at the end of the clock, a read (``write`` low) answers
    in ``read_data`` in the same clock. Registers that do not exist read 0 and ignore writes.
    """

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "write": Out(1),
            "register": Out(8),       # ApicRegister
            "write_data": Out(32),
            "read_data": In(32),
        })
