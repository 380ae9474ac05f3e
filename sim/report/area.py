"""What a Tile costs on an FPGA: ``python -m sim.report.area`` (``make synth``).

The records and the probe of the measured Tiles are not used (UnseenTile). The numbers of cells are those of the Tile alone, as
Yosys maps it to an iCE40; the clock is that of ``TileHarness`` after nextpnr has placed and routed it on an HX8K (ct256), pins
free: the median of several seeds, because the result of a single one is luck. Slow: a minute for each seed.
"""

import argparse
import json
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import median_low

from amaranth.back import rtlil

from rtl.boards.harness import TileHarness, UnseenTile
from rtl.boards.preparation import ICE40_PREPARATION
from rtl.config import MachineConfig
from sim.boards.tools import find_tool, run_tool
from sim.errors import InputError, MissingToolError
from sim.spelling import closest

__all__ = ["STRUCTURES", "Area", "main", "measure", "steps"]

#: A machine without any optional part, and delays of 15 clocks.
_BARE = MachineConfig(pso=0, x2apic_mode=0, task_priority=0, error_status=0, register_reads=0, delay_bits=4)
#: The structures that are measured by default. Add new ones here.
STRUCTURES = {
    "default": MachineConfig(),
    "two-stores": MachineConfig(store_buffer_depth=2),
    "no-stores": MachineConfig(store_buffer_depth=0),
    "bare-two-stores": replace(_BARE, store_buffer_depth=2),
    "bare-no-stores": replace(_BARE, store_buffer_depth=0),
}

_DEVICE = ("--hx8k", "--package", "ct256")
_CELLS = "tee -q -o cells.json stat -json"


@dataclass(frozen=True)
class Area:
    """luts, flip_flops, block_rams : of the Tile.  fmax : by seed, in MHz.  path : the critical path of the median seed, as (ns,
    name): its length in logic and wires named after the same signal (nextpnr's names: for several that are joined, any of
    them)."""

    luts: int
    flip_flops: int
    block_rams: int
    fmax: tuple[float, ...]
    path: tuple[tuple[float, str], ...]


def measure(config, *, seeds=(1,), progress=lambda what: None):
    """The Area of the Tile of a MachineConfig, placed once with each seed; for an even number of seeds, the lower median. Raises
    MissingToolError without Yosys or nextpnr. progress : called with what is in progress."""
    find_tool("nextpnr-ice40")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        progress("synthesis of the Tile")
        _synthesize(folder, UnseenTile(config), f"synth_ice40 -top top; {_CELLS}")
        progress("synthesis of the harness")
        _synthesize(folder, TileHarness(config), "synth_ice40 -top top -json harness.json")
        placed = []
        for seed in seeds:
            progress(f"place and route with seed {seed}")
            run_tool("nextpnr-ice40", [*_DEVICE, "--json", "harness.json", "--pcf-allow-unconstrained", "--seed", str(seed),
                                       "--report", "report.json", "--quiet"], folder)
            report = json.loads((folder / "report.json").read_text())
            [clock] = report["fmax"].values()
            placed.append((clock["achieved"], tuple(steps(report["critical_paths"]))))
        cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
    return Area(
        luts=cells["SB_LUT4"],
        flip_flops=sum(number for cell, number in cells.items() if cell.startswith("SB_DFF")),
        block_rams=cells["SB_RAM40_4K"],
        fmax=tuple(fmax for fmax, _ in placed),
        path=median_low(placed)[1])


def _synthesize(folder, component, commands):
    (folder / "top.il").write_text(rtlil.convert(component))
    script = ["read_rtlil top.il", ICE40_PREPARATION, *commands.split("; ")]
    (folder / "top.ys").write_text("\n".join(script) + "\n")
    run_tool("yosys", ["-q", "top.ys"], folder)


def steps(paths):
    """The critical path in a report of nextpnr, as (ns, name), as in Area: with several clocks, that of the slowest one."""
    path = max((item["path"] for item in paths if item["from"] == item["to"]), key=lambda path: sum(step["delay"] for step in path))
    for name, steps in groupby(path, key=lambda step: re.sub(r"_SB_.*", "", step["to"]["cell"])):
        yield sum(step["delay"] for step in steps), name


def _row(name, area):
    fmax = " / ".join(f"{value:.1f}" for value in area.fmax)
    return (f"| {name} | {area.luts} | {area.flip_flops} | {area.block_rams} | {median_low(area.fmax):.1f} | {fmax} |")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m sim.report.area", description="What a Tile without records costs on an iCE40 HX8K.")
    parser.add_argument("structures", nargs="*", metavar="STRUCTURE", default=tuple(STRUCTURES),
                        help=f"of {', '.join(STRUCTURES)}; default: all")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="place and route with seeds 1 to N (default: 3)")
    options = parser.parse_args(arguments)
    try:
        return _table(options)
    except InputError as error:
        print(f"crosscall: {error}", file=sys.stderr)
        return 2
    except MissingToolError as error:
        print(f"crosscall: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


def _table(options):
    for name in options.structures:
        if name not in STRUCTURES:
            raise InputError(f'there is no structure "{name}"{closest(name, STRUCTURES)} (there are: {", ".join(STRUCTURES)})')
    if options.seeds < 1:
        raise InputError(f"--seeds {options.seeds}: must be at least 1")
    print("| structure | LUT4 | flip-flops | block RAM | MHz (median) | MHz by seed |\n|---|---|---|---|---|---|", flush=True)
    paths = {}
    for name in options.structures:
        area = measure(STRUCTURES[name], seeds=range(1, options.seeds + 1),
                       progress=lambda what, name=name: print(f"{name}: {what}", file=sys.stderr, flush=True))
        print(_row(name, area), flush=True)
        paths[name] = area.path
    for name, path in paths.items():
        print(f"\ncritical path of {name}, in ns:")
        for delay, signal in path:
            print(f"  {delay:5.2f}  {signal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
