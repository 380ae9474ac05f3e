"""A scenario as plain data -> the text of its file."""

import json
import re

from sim.errors import InputError
from sim.texts import shown

__all__ = ["scenario_text"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def scenario_text(tables, *, file=None):
    """The TOML text of a dict: tables as dicts, arrays as lists, tuples or ranges. Each command is on its own line, so that a
    message about it can show the line. Raises an InputError with the key and the file for what a scenario cannot contain."""
    try:
        return _scenario_text(tables)
    except InputError as error:
        raise InputError(error.message, file=file) from None


def _scenario_text(tables):
    plain, sections = [], []
    for key, value in tables.items():
        if isinstance(value, dict):
            sections += ["", f"[{_name(key)}]", *_lines(value, key)]
        elif _is_rows(value):
            for number, item in enumerate(value):
                sections += ["", f"[[{_name(key)}]]", *_lines(item, f"{key}[{number}]")]
        else:
            plain.append(f"{_name(key)} = {_value(value, key)}")
    return "\n".join([*plain, *sections]).strip() + "\n"


def _is_rows(value):
    return isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value)


def _lines(table, place):
    for key, value in table.items():
        inner = f"{place}.{key}"
        if _is_rows(value):
            yield f"{_name(key)} = ["
            yield from (f"    {_value(item, f'{inner}[{number}]')}," for number, item in enumerate(value))
            yield "]"
        else:
            yield f"{_name(key)} = {_value(value, inner)}"


def _name(key):
    return key if _BARE.fullmatch(str(key)) else _text(str(key))


def _value(value, place):
    match value:
        case bool() | int():
            return str(value).lower()
        case str():
            return _text(value)
        case list() | tuple() | range():
            return f"[{', '.join(_value(item, f'{place}[{number}]') for number, item in enumerate(value))}]"
        case dict():
            items = (f"{_name(key)} = {_value(item, f'{place}.{key}')}" for key, item in value.items())
            return f"{{ {', '.join(items)} }}"
    raise InputError(f"{place} must be a string, a whole number, a boolean, a list or a dict, not {shown(value)}")


def _text(text):
    """A basic string: as in JSON, except for the one control character that JSON does not escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
