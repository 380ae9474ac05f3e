"""Small files that are written whole or not at all."""

from pathlib import Path

from .errors import InputError

__all__ = ["make_folder", "write_whole"]


def make_folder(path):
    """The folder, and those that it is in. Raises InputError."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", file=path) from None


def write_whole(path, text):
    """Write a text file; until all of it is there, the file is not there, or is as it was. Raises InputError."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None
    finally:
        part.unlink(missing_ok=True)
