"""Files of expected verdicts."""

import csv
from pathlib import Path

from sim.errors import InputError
from sim.texts import count, read_text

from .models import Model
from .syntax import Mode

__all__ = ["Expected", "read_expected"]

#: Column -> its model. A single verdict is about the processors that the tests are written for.
_COLUMNS = {**{model.value: model for model in Model}, "proposition_holds": Model.TSO}


class Expected:
    """Whether the proposition of a litmus test holds: (name of the file, mode or None, Model) -> bool."""

    def __init__(self, verdicts=None):
        self._verdicts = verdicts or {}

    def proposition(self, test, model, mode):
        """Whether the proposition of a LitmusTest holds under a model; None if the file does not say."""
        said = self._verdicts.get((test.path.name, mode, model))
        return self._verdicts.get((test.path.name, None, model)) if said is None else said


def read_expected(path):
    """The Expected in a CSV file. Its first line names the columns: ``file``; ``mode``, if the verdict depends on it (xapic, x2apic
    or empty); and a column for each memory model (``sc``, ``tso``, ``pso``), or ``proposition_holds``, which is about TSO. A
    verdict is 1, 0 or empty. Raises InputError."""
    path = Path(path)
    lines = read_text(path).splitlines()
    reader = csv.DictReader(lines)
    try:
        return Expected(_verdicts(path, reader, lines))
    except csv.Error as error:
        raise InputError(f"is not CSV: {error}", file=path, line=reader.line_num + 1) from None


def _verdicts(path, reader, lines):
    """(name of the file, mode or None, Model) -> bool. reader : a DictReader of these lines."""
    if "file" not in (reader.fieldnames or ()) or not set(_COLUMNS) & set(reader.fieldnames):
        raise InputError(f"the first line must name the column file and at least one of {', '.join(_COLUMNS)}", file=path, line=1,
                         text=lines[0] if lines else "")
    verdicts = {}
    for row in reader:
        def refuse(message):
            raise InputError(message, file=path, line=reader.line_num, text=lines[reader.line_num - 1])

        if None in row or None in row.values():
            refuse(f"expected {count(len(reader.fieldnames), 'value')}")
        mode = row.get("mode") or None
        if mode is not None and mode not in [known.value for known in Mode]:
            refuse(f'the mode is xapic, x2apic or empty, not "{mode}"')
        for column, model in _COLUMNS.items():
            said = row.get(column) or ""
            if said not in ("0", "1", ""):
                refuse(f'{column} is 1, 0 or empty, not "{said}"')
            if said and verdicts.setdefault((row["file"], mode and Mode(mode), model), said == "1") != (said == "1"):
                refuse(f'{column} is {said} here, and was the other before: {row["file"]} has one verdict for each model and mode')
    return verdicts
