"""Waves as FST, the compressed format of GTKWave, which Surfer and others also read: the scopes, names, clocks and values of a VCD
from crosscall."""

import re
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from sim.errors import InputError, MissingToolError
from sim.files import WholeFile

from .writer import ESCAPES

__all__ = ["check_fst", "write_fst"]

#: The VCD's replacement for a character that would end a value -> the character.
_MEANT = {text: chr(code) for code, text in ESCAPES.items()}
_ESCAPED = re.compile("|".join(map(re.escape, _MEANT)))


def check_fst():
    """Raises MissingToolError if FST cannot be written. Ask before the work begins."""
    if find_spec("pylibfst") is None:
        raise MissingToolError("FST is written by pylibfst, which is not installed: pip install pylibfst (or crosscall[fst])")


def write_fst(vcd, path):
    """Write the FST of a VCD that crosscall wrote: whole, or not at all. Equal VCDs give equal files. Raises InputError or
    MissingToolError."""
    check_fst()
    # The library writes by name, and puts other files beside it.
    with TemporaryDirectory(prefix="crosscall-") as folder:
        made = Path(folder) / "waves.fst"
        try:
            with open(vcd, encoding="ascii") as lines:
                _Writer(made).write(lines)
            with WholeFile(path) as file:
                file.write(made.read_bytes())
                file.keep()
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", file=path) from None


class _Writer:
    """One file of the library."""

    def __init__(self, path):
        from pylibfst import ffi, lib

        self._lib, self._text = lib, lambda text: ffi.new("char[]", text.encode("ascii"))
        self._file = lib.fstWriterCreate(self._text(str(path)), 1)
        if self._file == ffi.NULL:
            raise OSError(0, "there is no room for it")
        # The smallest; some of the others are faster.
        lib.fstWriterSetPackType(self._file, lib.FST_WR_PT_ZLIB)
        lib.fstWriterSetRepackOnClose(self._file, 1)
        lib.fstWriterSetDate(self._file, self._text(""))
        lib.fstWriterSetTimescale(self._file, -9)
        self._vars = {}               # id in the VCD -> (handle, width; None: text)

    def write(self, lines):
        """lines : of the VCD."""
        try:
            lines = iter(lines)
            self._head(lines)
            self._changes(lines)
        finally:
            self._lib.fstWriterClose(self._file)

    def _head(self, lines):
        lib = self._lib
        for line in lines:
            match line.split():
                case ["$version", name, "$end"]:
                    lib.fstWriterSetVersion(self._file, self._text(name))
                case ["$scope", _, name, "$end"]:
                    lib.fstWriterSetScope(self._file, lib.FST_ST_VCD_MODULE, self._text(name), self._text(""))
                case ["$upscope", "$end"]:
                    lib.fstWriterSetUpscope(self._file)
                case ["$var", kind, width, code, name, "$end"]:
                    self._var(kind == "string", int(width), code, name)
                case ["$enddefinitions", "$end"]:
                    return

    def _var(self, is_text, width, code, name):
        lib = self._lib
        kind, length = (lib.FST_VT_GEN_STRING, 0) if is_text else (lib.FST_VT_VCD_WIRE, width)
        # Names with the same id are one signal.
        known = self._vars.get(code, (0, None))[0]
        handle = lib.fstWriterCreateVar(self._file, kind, lib.FST_VD_IMPLICIT, length, self._text(name), known)
        self._vars.setdefault(code, (handle, None if is_text else width))

    def _changes(self, lines):
        lib, file, known = self._lib, self._file, self._vars
        change, text_change = lib.fstWriterEmitValueChange, lib.fstWriterEmitVariableLengthValueChange
        in_comment = False
        for line in lines:
            first = line[0]
            if first == "$" or in_comment:
                in_comment = "$comment" in line and "$end" not in line
            elif first == "#":
                lib.fstWriterEmitTimeChange(file, int(line[1:]))
            elif first == "b":
                value, code = line[1:].split()
                handle, width = known[code]
                # VCD omits leading zeros.
                change(file, handle, value.rjust(width, "0").encode())
            elif first == "s":
                value, _, code = line[1:-1].rpartition(" ")
                meant = _ESCAPED.sub(lambda found: _MEANT[found[0]], value).encode()
                text_change(file, known[code][0], meant, len(meant))
            elif first != "\n":
                change(file, known[line[1:-1]][0], first.encode())
