"""How a crosscall VCD describes itself: a JSON object in its first comment, and at its end a mark with how the run ended, and a
checksum.

It contains the machine's configuration and the whole image, so the VCD alone describes the run. Paths are reduced to file names, so
the same run gives the same bytes in any folder.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath

from rtl.config import MachineConfig

from ..microcode.image import Field, Image, Line, ObjectType, StoredObject
from ..microcode.roles import Part

__all__ = ["BEGIN_MARK", "END_MARK", "Metadata", "end_mark", "header_text", "parse_header"]

#: First line of the first comment; the number is the version of the format.
BEGIN_MARK = "crosscall waves 1"
#: The last line of the file is a comment of this, the ending, and the CRC-32 of all lines before it and of the ending.
END_MARK = "crosscall end"


@dataclass(frozen=True)
class Metadata:
    """The description of the run in a VCD.

    image : the image, with file names instead of paths.  stages : the names behind the numbers.
    start : first clock in the file.  end : the clock after the last.  ending : how the run ended then (the value of an Ending), or
    None: it went on.  meta, comment : as given to the writer.
    """

    image: Image
    stages: tuple[str, ...]
    start: int
    end: int
    ending: str | None
    meta: object
    comment: str


def header_text(config, image, *, stages, start, meta, comment):
    """The text of the first comment."""
    parts = {"comment": comment, "meta": meta, "start": start, "config": asdict(config), "stages": list(stages),
             "image": _from_image(image)}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in parts.items()]
    # A "$" might look like the end of the comment; in JSON it occurs only inside strings.
    return f"{BEGIN_MARK}\n{{\n" + ",\n".join(lines).replace("$", "\\u0024") + "\n}"


def end_mark(crc, ending):
    """The last line. crc : of the lines before it.  ending : how the run ended; empty: it went on."""
    return f"$comment {END_MARK} {f'{ending} ' if ending else ''}{zlib.crc32(ending.encode('ascii'), crc):08x} $end\n"


def parse_header(text, end, ending):
    """(config, metadata) from the text of the first comment, the clock at which the file ends, and the ending of the run.

    Raises ValueError, KeyError or TypeError if the text is not from ``header_text``."""
    mark, _, body = text.partition("\n")
    if mark != BEGIN_MARK:
        raise ValueError(f"{mark!r} is not {BEGIN_MARK!r}")
    parts = json.loads(body)
    return MachineConfig(**parts["config"]), Metadata(
        image=_to_image(parts["image"]), stages=tuple(parts["stages"]), start=parts["start"], end=end, ending=ending,
        meta=parts["meta"], comment=parts["comment"])


def _file(path):
    return PurePath(path).name


def _from_type(item):
    return [item.name, item.size, [[field.path, field.offset, field.points_to] for field in item.fields],
            [list(part) for part in item.parts]]


def _to_type(item):
    name, size, fields, parts = item
    return ObjectType(name, size, tuple(Field(*field) for field in fields), tuple(tuple(part) for part in parts))


def _from_image(image):
    types = {}
    for item in image.objects:
        types.setdefault(item.type, len(types))
    return {
        "path": _file(image.path),
        "title": image.title,
        "n_cores": image.n_cores,
        "xlen": image.xlen,
        "percpu_base": image.percpu_base,
        "percpu_shift": image.percpu_shift,
        "heap": image.heap,
        "symbols": image.symbols,
        "entries": sorted(image.entries),
        "constants": image.constants,
        "warnings": {number: list(item) for number, item in image.warnings.items()},
        "names": {name: list(addresses) for name, addresses in image.names.items()},
        "roles": {role: [list(part) for part in parts] for role, parts in image.roles.items()},
        "structs": {name: _from_type(item) for name, item in image.structs.items()},
        "types": [_from_type(item) for item in types],
        "objects": [[item.name, item.base, types[item.type], item.address, item.cpu, item.index] for item in image.objects],
        "arena": image.arena,
        "words": list(image.words),
        "lines": {address: [_file(line.file), line.line, line.text, [[_file(file), number] for file, number in line.expansion]]
                  for address, line in image.lines.items()},
    }


def _to_image(parts):
    types = [_to_type(item) for item in parts["types"]]
    return Image(
        path=Path(parts["path"]),
        title=parts["title"],
        n_cores=parts["n_cores"],
        xlen=parts["xlen"],
        words=tuple(parts["words"]),
        symbols=parts["symbols"],
        entries=frozenset(parts["entries"]),
        arena={int(address): value for address, value in parts["arena"].items()},
        objects=tuple(StoredObject(name, base, types[number], address, cpu, index)
                      for name, base, number, address, cpu, index in parts["objects"]),
        constants=parts["constants"],
        roles={role: tuple(Part(*part) for part in played) for role, played in parts["roles"].items()},
        structs={name: _to_type(item) for name, item in parts["structs"].items()},
        warnings={int(number): tuple(item) for number, item in parts["warnings"].items()},
        names={name: tuple(addresses) for name, addresses in parts["names"].items()},
        lines={int(address): Line(file, line, text, tuple((name, number) for name, number in expansion))
               for address, (file, line, text, expansion) in parts["lines"].items()},
        percpu_base=parts["percpu_base"],
        percpu_shift=parts["percpu_shift"],
        heap=parts["heap"],
    )
