"""The tables of ``docs/microcode.md`` (fields, operations, events, roles) and of ``docs/writing-a-protocol.md`` (what emits
which event), from the description that the hardware is built from.

``python -m sim.microcode.reference`` checks that they are up to date (exit code 1 if not); with ``--write`` it updates them.
"""

import inspect
import re
import sys
from pathlib import Path

from amaranth.lib import data

from rtl.core.microword import OPERATIONS, MicroWord
from rtl.events import Event
from sim.kept import keep

from .assembler import forms, usage
from .events import EVENTS, SIGNATURES, comments
from .roles import ROLES

__all__ = ["DOCUMENTS", "comments", "main", "update"]

DOCUMENTS = tuple(Path(__file__).parents[2] / "docs" / name for name in ("microcode.md", "writing-a-protocol.md"))
#: The sources that protocols share.
_SHARED = tuple(Path(__file__).parent / "sources" / name for name in ("machine.uasm", "boot.uasm", "program.uasm"))


def _cell(text):
    return text.replace("``", "`").replace("|", "\\|")


def _table(*rows):
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def _fields():
    texts = comments(MicroWord)
    rows = []
    for name, item in data.Layout.cast(MicroWord):
        last = item.offset + item.width - 1
        # A field that is an enum is described by the enum.
        text = texts.get(name) or inspect.getdoc(item.shape).split(".")[0] + "."
        rows.append((f"`{name}`", str(last) if item.width == 1 else f"{last}:{item.offset}", _cell(text)))
    return _table(("field", "bits", "what"), *rows)


def _operations():
    rows = []
    for op, operation in OPERATIONS.items():
        written = " or ".join(f"`{f'{op.name.lower()} {usage(form)}'.rstrip()}`" for form in forms(op))
        rows.append((written, f"{op.value:#04x}", operation.clocks, _cell(operation.text)))
    return _table(("written", "code", "clocks", "what"), *rows)


def _events():
    texts = comments(Event)
    return _table(("event", "code", "operands", "what"),
                  *((f"`@{name}`", str(event.value), _operands_of(event), _cell(texts[name])) for name, event in EVENTS.items()))


def _operands_of(event):
    """The operands of an event, as written."""
    if event is Event.WARN:
        return "name"
    signature = SIGNATURES[event]
    return "hardware" if signature.hardware else ", ".join(signature.operands)


def _roles():
    return _table(("role", "played by", "what"),
                  *((f"`{name}`", f"{role.kind.value}{', or several' if role.many else ''}", role.text)
                    for name, role in ROLES.items()))


def _emitted():
    """Event -> the shared source, or the hardware, that emits it."""
    texts = comments(Event)
    emitted = {path.name: set(re.findall(r"@(\w+)", path.read_text(encoding="utf-8"))) for path in _SHARED}

    def who(name, event):
        if _operands_of(event) == "hardware":
            return "hardware"
        return ", ".join(f"`{source}`" for source, names in emitted.items() if name in names) or "-"

    return _table(("event", "operands", "emitted by", "what"),
                  *((f"`@{name}`", _operands_of(event).replace("hardware", ""), who(name, event), _cell(texts[name]))
                    for name, event in EVENTS.items()))


_TABLES = {"fields": _fields, "operations": _operations, "events": _events, "emitted": _emitted, "roles": _roles}


def update(text):
    """The document with new tables. Each is between ``<!-- table: NAME -->`` and ``<!-- end -->``."""
    def table(match):
        return f"{match[1]}\n{_TABLES[match[2]]()}\n<!-- end -->"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def main(arguments):
    """The command; returns its exit code."""
    return keep(DOCUMENTS, update, arguments, "sim.microcode.reference")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
