"""The memory port: how a core requests one operation from the shared arena."""

from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from ..share import Bundle

__all__ = ["Fence", "MemoryModel", "MemoryOp", "MemoryPort", "memory_request_layout"]


class MemoryModel(enum.Enum, shape=2):
    """The strap ``memory_model``: what a core's store buffer does."""

    #: No buffer: a store is visible before the next microinstruction.
    SC = 0
    #: Stores become visible in program order, later than executed; the core reads its own stores early. x86.
    TSO = 1
    #: As TSO, but stores to different addresses may be reordered.
    PSO = 2


class Fence(enum.Enum, shape=2):
    """What a fence orders: everything, stores with later stores, or loads with later loads."""

    FULL = 0
    WRITE = 1
    READ = 2


class MemoryOp(enum.Enum, shape=3):
    """What to do with a word. Every operation returns the old value; each is atomic."""

    READ = 0
    WRITE = 1
    #: Exchange.
    SWAP = 2
    #: Store ``data`` if the old value equals ``compare``.
    CAS = 3
    #: Fetch and add, modulo ``2**xlen``.
    ADD = 4
    AND = 5
    OR = 6


def memory_request_layout(config):
    return data.StructLayout({
        "op": MemoryOp,
        "address": config.address_bits,
        "data": config.xlen,
        "compare": config.xlen,       # with CAS; otherwise ignored, and may change
    })


class MemoryPort(Bundle):
    """One requester's port, seen from the requester.

    The requester raises ``valid`` and holds it, with ``request``, unchanged until the clock in which ``done`` is high;
    in the clock after that ``valid`` is low or a new request. ``valid`` and ``request`` are functions of state alone:
    they never depend on ``done`` of the same clock. ``done`` is high for one clock, the one at whose end the operation
    is visible to all cores, and ``old`` is the word's value before it. A memory without contention answers in the clock
    after the one in which ``valid`` rose.
    """

    def __init__(self, config):
        super().__init__({
            "valid": Out(1),
            "request": Out(memory_request_layout(config)),
            "done": In(1),
            "old": In(config.xlen),
        })
