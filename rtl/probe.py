"""The probe: what waves show of a Machine in each clock, as one packed value. Nothing in the machine reads it."""

from amaranth.lib import data

from .apic.message import message_layout
from .core.seen import core_probe_layout
from .memory.port import memory_request_layout

__all__ = ["probe_layout", "tile_probe_layout"]


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
        "interrupt": 1,               # an interrupt above the priority in force is pending
        "vector": 8,                  # its vector; valid with interrupt
        "icr_busy": 1,                # delivery status
        "icr": message_layout,        # the last message sent
    })


def probe_layout(config):
    """The ``probe`` port of a Machine."""
    return data.StructLayout({
        "tile": data.ArrayLayout(tile_probe_layout(config), config.n_cores),
    })
