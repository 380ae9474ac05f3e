"""How the command ends: its exit codes, and the one sentence of a refusal."""

import errno
import os
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress

import typer
from typer.core import TyperGroup

from sim.console import note
from sim.errors import InputError, MissingToolError
from sim.interruption import exit_code, heard

__all__ = ["BAD_INPUT", "CRASHED", "MISSING_TOOL", "NO_READER", "VIOLATED", "Group", "interrupted"]

#: Exit codes, besides 0: all calls completed and every oracle holds; and 130 and 143, as if SIGINT or SIGTERM had ended it.
VIOLATED = 1
BAD_INPUT = 2
MISSING_TOOL = 3
#: A defect of crosscall (EX_SOFTWARE of sysexits.h).
CRASHED = 70
#: Standard output has no reader any more (``| head``): as if SIGPIPE had ended it.
NO_READER = 141

#: What typer raises for a bad option or argument. It has no public name in all versions.
_UsageError = typer.BadParameter.__base__
#: Errors in a file name.
_NO_NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
#: Errors of a disk or the system, not of crosscall.
_TROUBLES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
             errno.ENOMEM, errno.EAGAIN, *_NO_NAMES}


class Group(TyperGroup):
    """Refusals, Ctrl-C, a reader that has gone away, and unforeseen errors, for every command in one place."""

    def main(self, *args, **options):
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
            if code == exit_code(KeyboardInterrupt()):
                # What typer makes of an interruption anywhere; it has no message.
                code = interrupted(heard() or KeyboardInterrupt())
        except _UsageError as error:
            code, message = BAD_INPUT, error.format_message().removesuffix(".")
            if "\n" in message:                 # no arguments: the help
                print(message, file=sys.stderr)
            else:
                _refuse(code, message[:1].lower() + message[1:])
        except OSError as error:
            code = _troubled(error) if error.errno in _TROUBLES else _crashed(error)
        except Exception as error:
            code = interrupted(heard()) if heard() else _crashed(error)
        sys.exit(code)

    def invoke(self, ctx):
        try:
            try:
                super().invoke(ctx)
            finally:
                print(end="", flush=True)
        except InputError as error:
            code = _refuse(BAD_INPUT, error)
        except MissingToolError as error:
            code = _refuse(MISSING_TOOL, error)
        except BrokenPipeError:
            _write_nothing_more()
            code = NO_READER
        else:
            code = 0
        raise typer.Exit(code)


def _refuse(code, message):
    note(str(message))
    return code


def interrupted(error):
    code = exit_code(error)
    return _refuse(code, "interrupted" if code == 130 else "terminated")


def _write_nothing_more():
    """Discard what Python would still write at its end: there is no reader, or no room."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _troubled(error):
    """The system refuses something unforeseen, or there is no room for the output."""
    if error.filename is None:
        with suppress(OSError, ValueError):     # tests have a standard output that is no file
            _write_nothing_more()
        return _refuse(MISSING_TOOL, f"standard output cannot be written: {error.strerror}")
    return _refuse(BAD_INPUT if error.errno in _NO_NAMES else MISSING_TOOL, f"{error.filename}: {error.strerror}")


def _crashed(error):
    """A defect of crosscall: its traceback goes into a file, for the report."""
    warnings.simplefilter("ignore")
    from importlib.metadata import version
    text = "".join(traceback.format_exception(error))
    text = f"crosscall {version('crosscall')}, Python {sys.version}, {sys.platform}\n{sys.argv}\n\n{text}"
    what = f"this is a defect of crosscall, and says nothing about the machine: {type(error).__name__}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="crosscall-", suffix=".txt", encoding="utf-8", errors="backslashreplace",
                                         delete=False) as file:
            file.write(text)
    except OSError:
        return _refuse(CRASHED, f"{what}; please report it with the following text\n{text}")
    return _refuse(CRASHED, f"{what}; please report it with the file {file.name}, which has the traceback")
