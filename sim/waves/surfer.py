"""The command file that opens a VCD in Surfer as GTKWave shows it: the same groups, names, colours and first clocks.

Surfer's commands (0.7, docs/commands of its repository) do not name rows. A command acts on the focused row, and ``item_focus``
counts visible rows, so this file tracks where each row will be. Consequences:

- A group is made around its first row, which has the focus. Rows added while a row has the focus come behind it, in its group.
- Folding a group leaves it: rows added behind a folded group are outside it. At the end all groups are unfolded, and the closed
  ones folded again.
- A variable that is not found makes no row, so all later focus would be wrong. Surfer splits names at every dot, so it does not
  find signals with a dot in their own name: those of the arena. They come last, as a scope, by one command.
- There is no command for a range of clocks. ``zoom_in`` halves the visible range. ``cursor_set`` moves its middle to the cursor,
  but only if the cursor is not visible already.
- Names cannot contain ``;`` and ``#``.

A state file (``.surf.ron``) could say the range and the names, but its form belongs to one release of Surfer; the commands stay.
"""

import re

from ..files import write_whole
from .view import Group, view_of
from .writer import CLOCK_NS

__all__ = ["write_surfer"]

#: GTKWave's colours -> those of Surfer's themes.
_COLOURS = {"red": "Red", "orange": "Orange", "yellow": "Yellow", "green": "Green", "indigo": "Violet"}
_ARENA = "arena"


def write_surfer(writer):
    """Write the ``.sucl`` beside the VCD of a closed ``WaveWriter``: ``surfer NAME.vcd --command-file NAME.sucl``. Returns its
    path. Raises InputError."""
    path = writer.path.with_suffix(".sucl")
    write_whole(path, "\n".join(_Commands(writer).lines) + "\n")
    return path


class _Commands:
    """lines : the commands."""

    def __init__(self, writer):
        self._writer = writer
        self.lines = []
        self._rows = 0                # visible so far
        self._all = 0                 # so far, including folded ones
        self._closed = []             # rows of the closed groups when everything is unfolded
        self._headers = {}            # Group -> the visible row of its title, by identity
        view = view_of(writer)
        self._show(_without_arena(view.items))
        self.lines.append("group_unfold_all")
        for row in reversed(self._closed):
            self._focus(row)
            self.lines.append("group_fold_recursive")
        self.lines += ["item_unfocus", f"scope_add_as_group {_ARENA}", *self._zoom(view)]

    def _show(self, items, around=(), hidden=False):
        """around : groups to make around the first of the items.  hidden : they are in a closed group."""
        for item in items:
            if isinstance(item, Group):
                self._group(item, around, hidden)
            else:
                self._trace(item, around)
            around = ()

    def _group(self, group, around, hidden):
        if group.closed and not hidden:
            # The row of its title, behind those of the groups that are made with it.
            self._closed.append(self._all + len(around))
        self._show(group.items, (*around, group), hidden or group.closed)
        header = self._headers[id(group)]
        self._focus(header)
        self.lines.append("group_fold_recursive")
        # Folding removes the focus.
        self._focus(header)
        self._rows = header + 1

    def _trace(self, trace, around):
        self.lines.append(f"variable_add {trace.signal}")
        for group in around:
            self._focus(self._rows)
            self.lines += ["group_marked group", f"item_rename {_sayable(group.title)}"]
            self._headers[id(group)] = self._rows
            self._rows += 1
        self._all += len(around) + 1
        self._focus(self._rows)
        self._rows += 1
        if trace.alias != trace.signal.rpartition(".")[2]:
            self.lines.append(f"item_rename {_sayable(trace.alias)}")
        if trace.color in _COLOURS:
            self.lines.append(f"item_set_color {_COLOURS[trace.color]}")
        if (trace.meanings or trace.numbers == "dec") and self._writer.signals[trace.signal] > 1:
            self.lines.append("item_set_format Unsigned")

    def _focus(self, row):
        """Row numbers are hexadecimal, with the digits a to p."""
        self.lines.append("item_focus " + "".join(chr(ord("a") + int(digit, 16)) for digit in f"{row:x}"))

    def _zoom(self, view):
        """The window shows the view's clocks and is at most twice as long as they are. The cursor is in their middle."""
        yield "zoom_fit"
        whole = width = self._writer.end - self._writer.start
        while width > 2 * len(view.clocks):
            width /= 2
            yield "zoom_in"
        middle = (view.clocks.start + view.clocks.stop) // 2
        # To the half where the cursor is not, so that cursor_set moves the window.
        yield "goto_end" if 2 * (middle - self._writer.start) <= whole else "goto_start"
        yield f"cursor_set {middle * CLOCK_NS}"
        if view.marked is not None:
            yield f"marker_set violation {view.marked * CLOCK_NS}"


def _without_arena(items):
    """Without signals that Surfer does not find, and without groups that this empties."""
    kept = []
    for item in items:
        if isinstance(item, Group):
            inner = _without_arena(item.items)
            if inner:
                kept.append(Group(item.title, item.closed, inner))
        elif not item.signal.startswith(f"{_ARENA}."):
            kept.append(item)
    return kept


def _sayable(name):
    return re.sub(r"[#;\n\r]", "_", name)
