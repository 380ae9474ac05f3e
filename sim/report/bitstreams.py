"""What bitstreams cost, per board and number of cores, over several seeds.

``python -m sim.report.bitstreams BOARD:CORES[:hunter][:digest] ...`` prints a row of the table of docs/fpga.md for each. Slow:
placing and routing takes minutes for each seed.
"""

import argparse
import sys
import tempfile

from sim.boards.boards import find_board
from sim.boards.synth import build, medians
from sim.console import note, status
from sim.errors import InputError, MissingToolError

__all__ = ["main", "row"]

_SEEDS = (1, 2, 3)


def row(built):
    """A line of Markdown for the Builts of one board, one for each seed."""
    one = medians(built)
    fmax = " / ".join(f"{item.fmax_mhz:g}" for item in built)
    name = max(one.path, default=(0, ""))[1]
    cores = ", ".join([str(one.cores), *["Hunter"] * one.hunter, *["Digest"] * one.digest])
    return (f"| {one.board} | {cores} | {one.lut} | {one.ff} | {one.bram} | {one.lc} of {one.lc_of} | {fmax} "
            f"| {one.clock_mhz:g} | {name} |")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m sim.report.bitstreams", description="What bitstreams cost.")
    parser.add_argument("boards", nargs="+", metavar="BOARD:CORES[:hunter][:digest]")
    parser.add_argument("--seeds", type=int, nargs="+", default=_SEEDS)
    options = parser.parse_args(arguments)
    print("| board | cores | LUT | FF | block RAM | logic cells | Fmax, each seed | clock | longest step of the critical path |")
    print("|---|---|---|---|---|---|---|---|---|")
    try:
        for what in options.boards:
            name, cores, *extras = (*what.split(":"), "")
            for extra in set(extras) - {"hunter", "digest", ""}:
                raise InputError(f'{what}: a board has no "{extra}" (it may have: hunter, digest)')
            with status() as show, tempfile.TemporaryDirectory() as folder:
                print(row([build(find_board(name), cores=int(cores) if cores else None, seed=seed, out=folder, again=number > 0,
                                 hunter="hunter" in extras, digest="digest" in extras, progress=show)
                           for number, seed in enumerate(options.seeds)]), flush=True)
    except (InputError, MissingToolError) as error:
        note(str(error))
        return 3 if isinstance(error, MissingToolError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
