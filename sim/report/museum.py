"""The museum as text."""

from sim.report.table import report_console

__all__ = ["print_museum", "print_row"]


def print_row(row):
    """Say what is not as it should be at once."""
    if not row.as_expected:
        exhibit = row.exhibit
        what = f"shows {row.found}: {row.sentence}" if row.found else f"does not show it in {row.runs} schedules"
        report_console().print(f"{exhibit.defect.name}: {exhibit.generation} {what}")


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
            console.print(f"{defect.name}: {defect.title}")
        show(cells)
    wrong = sum(not row.as_expected for row in rows)
    console.print(f"\n{len(rows)} exhibits, {wrong or 'all as expected'}{' not as expected' if wrong else ''}")


def _cells(row):
    found = row.found or "-"
    numbers = ("" if value is None else str(value) for value in (row.run, row.clock))
    return (row.exhibit.generation, str(row.exhibit.defect.cores), row.memory, "defect" if row.exhibit.has else "clean",
            found if row.as_expected else f"{found} (!)", *numbers, row.wave or "")
