"""The museum as text."""

from sim.report.table import report_console
from sim.texts import count

__all__ = ["print_museum", "print_row"]


def print_row(row):
    """Print an unexpected row at once."""
    if not row.as_expected:
        what = (f"shows {row.found}: {row.sentence}" if row.found else
                f"does not show it in the plain run and {count(row.runs, 'schedule')}")
        report_console().print(f"{row.exhibit.defect.name}: {row.exhibit.what} {what}")


def print_museum(rows):
    """Under the title of each defect, a line for each generation."""
    console = report_console()
    headings = ("generation", "cores", "memory", "expected", "found", "run", "clock", "waves")
    lines = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]

    def show(cells, **style):
        console.print("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), **style)

    show(headings, style="bold")
    shown = None
    for row, cells in zip(rows, lines, strict=True):
        defect = row.exhibit.defect
        if defect != shown:
            shown = defect
            left_out = f" (without {', '.join(defect.without)})" if defect.without else ""
            console.print(f"{defect.name}: {defect.title}{left_out}")
        show(cells)
    wrong = sum(not row.as_expected for row in rows)
    console.print(f"\n{count(len(rows), 'exhibit')}, {f'{wrong} not' if wrong else 'all'} as expected")


def _cells(row):
    """run : the schedule that shows it, or how many do not."""
    exhibit = row.exhibit
    alone = "held" if exhibit.holds else "plain"
    generation = " ".join([exhibit.generation, *exhibit.variant])
    found = row.found or "-"
    number = f"none of {row.runs}" if row.found is None else alone if row.run is None else str(row.run)
    return (generation, str(exhibit.defect.cores), row.memory, "defect" if exhibit.has else "clean",
            found if row.as_expected else f"{found} (!)", number, "" if row.clock is None else str(row.clock), row.wave or "")
