"""What a Tile costs on an FPGA: ``python -m sim.report.area`` (``make synth``).

The numbers of cells are those of the Tile by itself, as Yosys maps it to an iCE40; the clock is that of ``TileHarness`` after
nextpnr has placed and routed it on an HX8K (ct256), pins free. Slow: a few minutes.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from amaranth.back import rtlil

from rtl.boards.harness import TileHarness
from rtl.config import PRESETS
from rtl.tile import Tile
from sim.errors import MissingToolError

__all__ = ["Area", "main", "measure", "steps"]

_DEVICE = ("--hx8k", "--package", "ct256")
_CELLS = "tee -q -o cells.json stat -json"


@dataclass(frozen=True)
class Area:
    """luts, flip_flops, block_rams : of the Tile.  fmax : in MHz.  path : the critical one, as (ns, name): how long it is in logic
    and wires that are named after the same signal (nextpnr's names: of several that are joined, any)."""

    luts: int
    flip_flops: int
    block_rams: int
    fmax: float
    path: tuple[tuple[float, str], ...]


def measure(config, *, seed=1):
    """The Area of the Tile of a MachineConfig. Raises MissingToolError without Yosys or nextpnr."""
    yosys, nextpnr = _tool("yosys"), _tool("nextpnr-ice40")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tile.il").write_text(rtlil.convert(Tile(config)))
        _run(folder, yosys, "-q", "-p", f"read_rtlil tile.il; synth_ice40 -top top; {_CELLS}")
        (folder / "harness.il").write_text(rtlil.convert(TileHarness(config)))
        _run(folder, yosys, "-q", "-p", "read_rtlil harness.il; synth_ice40 -top top -json harness.json")
        _run(folder, nextpnr, *_DEVICE, "--json", "harness.json", "--pcf-allow-unconstrained", "--seed", str(seed),
             "--report", "report.json", "--quiet")
        cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
        report = json.loads((folder / "report.json").read_text())
    [clock] = report["fmax"].values()
    return Area(
        luts=cells["SB_LUT4"],
        flip_flops=sum(number for cell, number in cells.items() if cell.startswith("SB_DFF")),
        block_rams=cells["SB_RAM40_4K"],
        fmax=clock["achieved"],
        path=tuple(steps(report["critical_paths"])))


def steps(paths):
    """The critical path of a report of nextpnr, as (ns, name), as of Area: of several clocks, that of the slowest one."""
    path = max((item["path"] for item in paths if item["from"] == item["to"]), key=lambda path: sum(step["delay"] for step in path))
    for name, steps in groupby(path, key=lambda step: re.sub(r"_SB_.*", "", step["to"]["cell"])):
        yield sum(step["delay"] for step in steps), name


def _tool(name):
    folder = Path(sys.executable).parent
    for candidate in (f"yowasp-{name}", name):
        found = shutil.which(candidate, path=folder) or shutil.which(candidate)
        if found:
            return found
    raise MissingToolError(f"{name} is not installed: pip install 'crosscall[synth]', or make synth")


def _run(folder, *command):
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m sim.report.area", description="What a Tile costs on an iCE40 HX8K.")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    options = parser.parse_args(arguments)
    try:
        area = measure(PRESETS[options.preset])
    except MissingToolError as error:
        print(f"crosscall: {error}", file=sys.stderr)
        return 3
    print(f"one Tile of the machine \"{options.preset}\": {area.luts} LUT4, {area.flip_flops} flip-flops, "
          f"{area.block_rams} block RAMs; {area.fmax:.1f} MHz on an iCE40 HX8K")
    print("critical path, in ns:")
    for delay, name in area.path:
        print(f"  {delay:5.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
