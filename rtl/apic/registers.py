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
    #: First of 8: pending vectors, 32 per register.
    IRR = 0x20
    ESR = 0x28
    #: Interrupt command. Writing it sends. In an x2APIC it has 64 bits, with the destination in bits 63:32.
    ICR = 0x30
    #: Interrupt command, high half of an xAPIC: destination in bits 31:24.
    ICR2 = 0x31


class ApicRegisterPort(Bundle):
    """The core's port to its local APIC, seen from the core. 64 bits wide for any ``xlen``; only the ICR of an x2APIC uses all
    of them.

    With ``valid`` high for one clock: a write takes effect at the end of the clock, a read (``write`` low) answers in ``read_data``
    in the same clock. With ``valid`` low, the core's other signals are undefined. Registers that do not exist read 0 and ignore
    writes. A write that is not ``wide`` has 32 bits; a register of 32 bits ignores the upper half of one that is. While
    ``serializes`` is high, the core delays an access until all its earlier stores are visible: the registers of an xAPIC are
    uncached memory, those of an x2APIC are not.
    """

    def __init__(self):
        super().__init__({
            "valid": Out(1),
            "write": Out(1),
            "register": Out(8),       # ApicRegister
            "wide": Out(1),
            "write_data": Out(64),
            "read_data": In(64),
            "serializes": In(1),
        })
