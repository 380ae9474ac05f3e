"""What waves cost: ``make bench``. A run with the default waves may take a fifth longer than without.

Both kinds of run share a process and an elaborated machine, and take turns. Printed are medians: of the seconds of CPU time, and
of the ratios of neighbours.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from sim.engines.pysim import PySimEngine
from sim.runs.prepare import prepare
from sim.runs.run import run

#: (cores, clocks): some seconds each.
SIZES = ((4, 4000), (32, 800))
ROUNDS = 5


def seconds(prepared, engine, clocks, out, waves):
    begin = time.process_time()
    run(prepared.under(max_clocks=clocks), engine=engine, out=out, waves=waves)
    return time.process_time() - begin


def main():
    with tempfile.TemporaryDirectory() as folder:
        for cores, clocks in SIZES:
            prepared = prepare("storm", cores=cores)
            engine = PySimEngine(prepared.settings.config)
            seconds(prepared, engine, clocks, Path(folder), True)
            pairs = [[seconds(prepared, engine, clocks, Path(folder), waves) for waves in (False, True)] for _ in range(ROUNDS)]
            without, with_waves = (median(column) for column in zip(*pairs, strict=True))
            more = median(after / before for before, after in pairs) - 1
            print(f"{cores:>3} cores, {clocks} clocks of storm: "
                  f"{without:.2f} s without waves, {with_waves:.2f} s with ({more:+.1%})")


if __name__ == "__main__":
    sys.exit(main())
