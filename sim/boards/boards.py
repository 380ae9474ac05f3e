"""The boards: those of amaranth-boards, and what is known about each.

Your own board is an amaranth-boards platform. Anything else that a new one needs is a row in ``_KNOWN``.
"""

import pkgutil
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module

import amaranth_boards
from amaranth.build import Attrs, Pins, Platform, Resource, Subsignal

from rtl.boards.clocking import Clocking
from rtl.config import MachineConfig
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import count

__all__ = ["BoardInfo", "all_boards", "find_board"]

#: Device, as platforms name it -> logic cells (LUTs with their flip-flop).
_CELLS = {
    "iCE40LP1K": 1280, "iCE40HX1K": 1280, "iCE40UP5K": 5280, "iCE40HX4K": 7680, "iCE40LP8K": 7680, "iCE40HX8K": 7680,
    "LFE5U-12F": 24288, "LFE5U-25F": 24288, "LFE5U-45F": 43848, "LFE5UM-45F": 43848, "LFE5UM5G-45F": 43848, "LFE5U-85F": 83640,
    "LFE5UM5G-85F": 83640,
}
#: Toolchain of the platform -> its tools, for those that do not come from PyPI.
_VENDOR = {"Vivado": "Vivado", "Quartus": "Quartus", "Diamond": "Lattice Diamond", "ISE": "Xilinx ISE", "QLSymbiflow": "Symbiflow",
           "Apicula": "yosys, nextpnr-himbaechel and gowin_pack"}
#: Toolchain -> family, for those whose bitstreams are built here.
_FAMILIES = {"IceStorm": "ice40", "Trellis": "ecp5"}
#: A board without its own number of cores has this many, of the default machine.
_CORES, _CLOCK = 2, 25e6


@dataclass(frozen=True)
class _Known:
    """cores, machine : what fits, where it is not the default.  clock : wanted, in Hz; None: the oscillator's.
    pad : as of Clocking.
    uart : for a board without that resource: pins (rx, tx), their connector, and what to call them."""

    cores: int = _CORES
    machine: tuple[tuple[str, int], ...] = ()
    clock: float | None = None
    uart: tuple[str, str, tuple[str, int] | None, str] | None = None
    pad: bool = False


_SMALL = (("store_buffer_depth", 0), ("arena_depth", 512))
#: Four cores need it that small on 32 block RAMs and 7680 logic cells.
_SMALLEST = (*_SMALL, ("microcode_depth", 512), ("pso", 0), ("x2apic_mode", 0), ("task_priority", 0), ("error_status", 0),
             ("register_reads", 0), ("delay_bits", 4))
_KNOWN = {
    "icebreaker": _Known(cores=2, machine=_SMALL, pad=True),
    "ice40_hx8k_b_evn": _Known(cores=4, machine=_SMALLEST, clock=30e6),
    "ulx3s_85f": _Known(cores=8),
    "ulx3s_45f": _Known(cores=4),
    "orangecrab_r0_2": _Known(cores=4, clock=24e6, uart=("0", "1", ("io", 0), "GPIO 0 (rx) and 1 (tx) of the header")),
    "arty_a7_35": _Known(cores=4, clock=25e6),
}


@dataclass(frozen=True)
class BoardInfo:
    """A board. ``reason`` says why there is no machine for it, or is None.

    family : "ice40", "ecp5", or None: its bitstream is built with ``tool``.  cells : logic cells, if known.
    cores, config : what fits, and the machine with that many.  wanted : the clock, in Hz.  pins : where the serial line is.
    """

    name: str
    kind: type
    device: str
    family: str | None
    tool: str
    cells: int | None
    cores: int
    machine: dict
    wanted: float
    source: float
    pins: str
    reason: str | None

    def to_json(self):
        return {"name": self.name, "device": self.device, "tool": self.tool, "cores": self.cores, "clock_mhz": self.wanted / 1e6,
                "uart": self.pins, "reason": self.reason}

    def config(self, cores=None):
        """The MachineConfig with this many cores; None: as many as fit."""
        return replace(MachineConfig().with_cores(cores or self.cores), **self.machine)

    def platform(self):
        """A platform to build for, with a serial line, and its lights as Top takes them."""
        platform = self.kind()
        uart = _KNOWN.get(self.name, _Known()).uart
        if uart is not None:
            rx, tx, connector, _ = uart
            platform.add_resources([Resource("uart", 0, Subsignal("rx", Pins(rx, dir="i", conn=connector)),
                                             Subsignal("tx", Pins(tx, dir="o", conn=connector)), Attrs(IO_TYPE="LVCMOS33"))])
        lights = [(name, number, None) for name, number in platform.resources if name == "led"]
        lights += [("rgb_led", number, pin) for name, number in platform.resources if name == "rgb_led" for pin in "rgb"]
        return platform, sorted(lights)

    def clocking(self, target=None):
        """The Clocking for a clock in Hz; None: the oscillator's own suffices. Raises InputError if there is no such clock."""
        target = target or self.wanted
        if target == self.source:
            return None
        try:
            return Clocking(self.family, self.source, target, pad=_KNOWN.get(self.name, _Known()).pad)
        except ValueError as error:
            raise InputError(f"--clock {target / 1e6:g}: {error}") from None


def find_board(name):
    """The BoardInfo with this name. Raises InputError if there is none, or nothing can be built for it."""
    boards = {item.name: item for item in all_boards()}
    if name not in boards:
        raise InputError(f'there is no board "{name}"{closest(name, boards)} (`crosscall list boards` lists them)')
    if boards[name].reason:
        raise InputError(f"--board {name}: {boards[name].reason}")
    return boards[name]


@cache
def all_boards():
    """A BoardInfo for each platform of amaranth-boards, by name."""
    result = {}
    for module in pkgutil.iter_modules(amaranth_boards.__path__):
        if module.name in ("resources", "extensions", "test"):
            continue
        found = import_module(f"amaranth_boards.{module.name}")
        kinds = [kind for kind in vars(found).values() if isinstance(kind, type) and issubclass(kind, Platform)
                 and kind.__module__ == found.__name__ and not kind.__name__.startswith("_")]
        for kind in kinds:
            name = module.name if len(kinds) == 1 else _name(kind)
            result.setdefault(name, _info(name, kind))
    return tuple(result[name] for name in sorted(result))


def _name(kind):
    """``ULX3S_85F_Platform`` -> ``ulx3s_85f``."""
    words = re.sub(r"_?Platform$", "", kind.__name__)
    words = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", words).lower()
    return {"orange_crab_r0_2": "orangecrab_r0_2", "arty_a7_35": "arty_a7_35"}.get(words, words)


def _info(name, kind):
    known = _KNOWN.get(name, _Known())
    info = {"device": "", "tool": "", "family": None, "cells": None, "source": 0.0, "wanted": 0.0, "pins": "uart 0", "reason": None}
    try:
        platform = kind()
        toolchain = platform.toolchain
        info |= {"device": str(getattr(platform, "device", None) or ""), "family": _FAMILIES.get(toolchain),
                 "tool": _VENDOR.get(toolchain, "yosys, nextpnr")}
        info["cells"] = _CELLS.get(info["device"])
        if platform.default_clk is None:
            info["reason"] = "it has no default clock"
        else:
            info["source"] = float(platform.default_clk_frequency)
    except Exception as error:
        info["reason"] = f"amaranth-boards cannot make its platform: {error}"
        platform = None
    if platform is not None and info["reason"] is None:
        info["wanted"] = known.clock or (min(info["source"], _CLOCK) if (platform.default_clk, 0) in platform.resources
                                         else info["source"])
        if known.uart is not None:
            info["pins"] = known.uart[3]
        elif ("uart", 0) not in platform.resources:
            info["reason"] = "it has no UART, and no pins for one are known here"
        elif info["cells"] is not None and info["cells"] < 5000:
            info["reason"] = f"its {count(info['cells'], 'logic cell')} are too few for two cores"
    cores = known.cores if name in _KNOWN else 4 if (info["cells"] or 0) > 20_000 else _CORES
    machine = dict(known.machine) if name in _KNOWN else dict(_SMALL) if info["family"] == "ice40" else {}
    return BoardInfo(name, kind, cores=cores, machine=machine, **info)
