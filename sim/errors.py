"""The two kinds of refusal of a command: the input is bad (exit code 2), or the environment lacks something (3)."""

from pathlib import Path

__all__ = ["InputError", "MissingToolError"]

#: Characters shown of a line.
_WINDOW = 160
#: Characters of a message: names in it may have any length.
_LONGEST = 1200


class InputError(Exception):
    """Bad input, with its place. ``str()`` is the whole message, ready to print.

    Parameters
    ----------
    message : one sentence without a full stop.
    file, line, column : the place, as far as it is known; line and column count from 1.
    text : the line of the file, shown with a caret under ``column``.
    notes : further lines, e.g. the macro calls that led here.
    """

    def __init__(self, message, *, file=None, line=None, column=None, text=None, notes=()):
        self.message = message
        self.file = None if file is None else Path(file)
        self.line = line
        self.column = column
        self.text = text
        self.notes = tuple(notes)
        super().__init__(self._render())

    def _render(self):
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        message = self.message if len(self.message) <= _LONGEST else f"{self.message[:_LONGEST]}..."
        lines = [f"{place}: {message}" if place else message]
        if self.text is not None:
            text, column = self._window()
            # Tabs are kept in front of the caret, so that it is under its character in any terminal.
            lines.append(f"    {text}")
            if column is not None:
                margin = "".join("\t" if char == "\t" else " " for char in text[:column - 1])
                lines.append(f"    {margin}^")
        lines.extend(self.notes)
        return "\n".join(lines)


    def _window(self):
        """(the visible part of the line, the column in it): a long line is cut."""
        if len(self.text) <= _WINDOW:
            return self.text, self.column
        start = max(0, (self.column or 1) - 1 - _WINDOW // 2)
        before, after = "..." if start else "", "..." if start + _WINDOW < len(self.text) else ""
        column = self.column and self.column - start + len(before)
        return f"{before}{self.text[start:start + _WINDOW]}{after}", column


class MissingToolError(Exception):
    """The environment lacks something; the message says what, and how to get it."""
