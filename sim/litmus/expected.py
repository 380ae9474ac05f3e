"""Files of expected verdicts."""

import csv
from pathlib import Path

from sim.errors import InputError

from .models import Model
from .syntax import Mode

__all__ = ["Expected", "read_expected"]

#: The column that says it for whatever machine the file is about.
_ANY = "proposition_holds"


class Expected:
    """Whether the sentence of a litmus test is true: (name of the file, mode or None, column) -> bool."""

    def __init__(self, verdicts=None):
        self._verdicts = verdicts or {}

    def proposition(self, test, model, mode):
        """Whether the sentence of a LitmusTest is true under a model; None if the file does not say."""
        for column in (model.value, _ANY):
            for said in (mode, None):
                found = self._verdicts.get((test.path.name, said, column))
                if found is not None:
                    return found
        return None


def read_expected(path):
    """The Expected in a CSV file. Its first line names the columns: ``file``; ``mode``, if the verdict hangs on it (xapic, x2apic
    or empty); and ``proposition_holds``, or a column for each memory model (``sc``, ``tso``, ``pso``). A verdict is 1, 0 or
    empty. Raises InputError."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise InputError("cannot be read: it is not UTF-8 text", file=path) from None
    reader = csv.DictReader(lines)
    columns = [*(model.value for model in Model), _ANY]
    if "file" not in (reader.fieldnames or ()) or not set(columns) & set(reader.fieldnames):
        raise InputError(f"the first line must name the column file and at least one of {', '.join(columns)}", file=path, line=1,
                         text=lines[0] if lines else "")
    verdicts = {}
    for row in reader:
        def refuse(message):
            raise InputError(message, file=path, line=reader.line_num, text=lines[reader.line_num - 1])

        if None in row or None in row.values():
            refuse(f"expected {len(reader.fieldnames)} values")
        mode = row.get("mode") or None
        if mode is not None and mode not in [known.value for known in Mode]:
            refuse(f'the mode is xapic, x2apic or empty, not "{mode}"')
        for column in columns:
            said = row.get(column) or ""
            if said not in ("0", "1", ""):
                refuse(f'{column} is 1, 0 or empty, not "{said}"')
            if said:
                verdicts[row["file"], mode and Mode(mode), column] = said == "1"
    return Expected(verdicts)
