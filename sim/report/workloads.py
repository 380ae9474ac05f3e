"""scftorture and ipibench as text."""

from sim.report.table import report_console
from sim.texts import count

__all__ = ["print_bench", "print_torture"]


def print_torture(found, file):
    """The result of a run (``sim.workloads.scftorture.summary``). file : of the scenario."""
    console = report_console()
    without = f" without {', '.join(found['without'])}" if found["without"] else ""
    console.print(f"scftorture: protocol {found['protocol']}{without}, {count(found['cores'], 'core')}, memory {found['memory']}, "
                  f"seed {found['seed']}: {count(found['clocks'], 'clock')}\n")
    _table(console, ("operation", "weight", "calls", "offline", "median", "most"),
           [(name, *row.values()) for name, row in found["operations"].items()])
    console.print("\n" + ", ".join(f"{name} {number}" for name, number in found["errors"].items()))
    for sentence in found["unfinished"]:
        console.print(sentence)
    console.print(f"END: {found['verdict']}")
    console.print(f"oracles: {', '.join(found['violations']) or 'nothing is violated'}")
    console.print(f"to look at it: crosscall run {file} --protocol {found['protocol']} --memory {found['memory']}")


def print_bench(rows):
    """Rows of ``sim.workloads.ipibench.rows``: clocks per operation."""
    console = report_console()
    _table(console, ("protocol", "cores", "mode", "delivered", "total", "least", "most"),
           [tuple(row[key] for key in ("protocol", "cores", "mode", "delivered", "total", "least", "most")) for row in rows])
    for row in rows:
        if not row["ok"]:
            console.print(f"{row['protocol']}, {count(row['cores'], 'core')}, {row['mode']}: {row['iterations']} completed, or an "
                          "oracle is violated; crosscall run says more")


def _table(console, headings, rows):
    lines = [headings, *(tuple("" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:>{width}}" if number and cell[:1].isdigit() else f"{cell:<{width}}"
                 for number, (cell, width) in enumerate(zip(line, widths, strict=True))]
        console.print("  ".join(cells).rstrip(), style="bold" if line is headings else None)
