"""The probe: what waves show of a Machine in each clock, as one packed value. Nothing in the machine reads it."""

from amaranth.lib import data, enum

from .apic.message import message_layout
from .memory.port import memory_request_layout

__all__ = ["CoreState", "core_probe_layout", "probe_layout", "tile_probe_layout"]


class CoreState(enum.Enum, shape=3):
    """What a core does in a clock."""

    #: Executes a microword, or is stalled by the schedule (``go`` low).
    RUN = 0
    #: Waits for the arena to answer.
    MEMORY = 1
    #: Executed HALT; waits for an interrupt.
    HALT = 2
    #: Counts the cost of interrupt entry or return.
    DELAY = 3
    #: After INIT: waits for STARTUP.
    WAIT_STARTUP = 4
    #: Stopped by PANIC, FAULT or STACK_FAULT.
    TRAPPED = 5


def core_probe_layout(config):
    return data.StructLayout({
        "state": CoreState,
        "go": 1,                      # 0 in RUN: held back by the schedule (or the machine does not run)
        "pc": config.pc_bits,         # microcode address of the word in execution
        "interrupts_on": 1,
        "depth": 4,                   # interrupts accepted and not left
        "registers": data.ArrayLayout(config.xlen, 8),
    })


def tile_probe_layout(config):
    return data.StructLayout({
        "core": core_probe_layout(config),
        "stores": range(config.store_buffer_depth + 1),   # in the store buffer
        "memory_valid": 1,            # the tile's memory port
        "memory_done": 1,
        "memory": memory_request_layout(config),
        "irr": config.n_vectors,      # bit i: vector first_vector + i
        "isr": config.n_vectors,
        "tpr": 8,
        "interrupt": 1,               # an interrupt above the priority in force is requested
        "vector": 8,                  # which; valid with interrupt
        "icr_busy": 1,                # delivery status
        "icr": message_layout,        # the message sent last
    })


def probe_layout(config):
    """The ``probe`` port of a Machine."""
    return data.StructLayout({
        "tile": data.ArrayLayout(tile_probe_layout(config), config.n_cores),
    })
