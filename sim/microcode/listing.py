"""An image as text: what `crosscall asm` prints."""

from rtl.core.microword import MEMORY_OPS, TARGET_BITS, MicroWord, Op
from rtl.events import Event
from sim.texts import count

from .assembler import forms
from .events import SIGNATURES
from .names import APIC_REGISTERS, FENCES, PREDEFINED, REGISTERS

__all__ = ["disassemble", "listing", "place_of", "written_form"]

#: Digits of a microword in hexadecimal.
_DIGITS = -(-MicroWord.as_shape().size // 4)
_FENCE_NAMES = {value: name for name, value in FENCES.items()}
_APIC_NAMES = {value: name for name, value in APIC_REGISTERS.items()}


def _number(value):
    return str(value) if value < 10 else f"{value:#x}"


def _operand(kind, word, image):
    match kind:
        case "d" | "c":
            return f"r{word.rd}"
        case "a":
            return f"r{word.ra}"
        case "r":
            return f"r{word.rb}"
        case "b":
            return _number(word.imm) if word.use_imm else f"r{word.rb}"
        case "m":
            if word.use_imm:
                return f"[{_number(word.imm)}]"
            return f"[r{word.ra} + {_number(word.imm)}]" if word.imm else f"[r{word.ra}]"
        case "i":
            names = _FENCE_NAMES if word.op is Op.FENCE else _APIC_NAMES
            return names.get(word.imm, _number(word.imm))
        case "k":
            return _number(word.rd * len(REGISTERS) + word.rb)
        case "t":
            return image.label(word.target) or _number(word.target)


def written_form(word):
    """The kinds of operands with which the word is written, without optional ones that have no effect."""
    short, *longer = forms(word.op)
    # ra may be nonzero because of an event; WARN has no register.
    told = word.event not in (Event.NONE, Event.WARN)
    silent = not word.use_imm and not word.imm and word.rd == word.ra and (not word.rd or told)
    return short if silent or not longer else longer[0]


def _event(word, kinds):
    """The event, with the operands that the operation itself does not show."""
    operands = []
    if word.ra and "a" not in kinds and not ("m" in kinds and not word.use_imm):
        operands.append(f"r{word.ra}")
    if "b" not in kinds and "m" not in kinds and word.use_imm:
        operands.append(_number(word.imm))
    elif not set("brk") & set(kinds):
        # A single register is a, or b if the event has no a.
        alone = _takes_b(word)
        if word.rb and alone and not operands:
            operands = [f"r{word.rb}"]
        elif word.rb or operands and alone and not (word.use_imm and word.op not in MEMORY_OPS):
            operands = [f"r{word.ra}", f"r{word.rb}"]
    return f"@{word.event.name}" + (f"({', '.join(operands)})" if operands else "")


def _takes_b(word):
    """Whether a single operand is b."""
    return SIGNATURES[word.event].operands.keys() == {"b"}


def disassemble(address, image):
    """The word at an address of the image as a program could write it: assembled again it gives the same word, except for the entry
    mark, which the word itself does not state."""
    word = MicroWord.from_bits(image.words[address])
    kinds = written_form(word)
    text = f"{word.op.name.lower():<7} {', '.join(_operand(kind, word, image) for kind in kinds)}".rstrip()
    if word.event is Event.NONE:
        return text
    if word.event is Event.WARN:
        return f"{text} @WARN({image.warnings[address][0]})"
    return f"{text} {_event(word, kinds)}"


def place_of(line):
    """Where a word was written: in a macro, and where that was called."""
    return " < ".join(f"{file}:{number}" for file, number in [(line.file, line.line), *reversed(line.expansion)])


def _program(image):
    labels = {}
    for name, address in image.symbols.items():
        labels.setdefault(address, []).append(f"{name}:{'  ; entry point' if name in image.entries else ''}")
    skipped = False
    for address, raw in enumerate(image.words):
        yield from labels.pop(address, ())
        if address in image.lines:
            line = image.lines[address]
            yield f"  {address:03x}  {raw:0{_DIGITS}x}  {disassemble(address, image):<40}; {place_of(line)}: {line.text}"
        elif not skipped:
            yield "  ...  PANIC"
        skipped = address not in image.lines
    for rest in labels.values():
        yield from rest


def _arena(image):
    """One line per declared object."""
    declared = {}
    for item in image.objects:
        declared.setdefault(item.base, []).append(item)
    for name, items in declared.items():
        first = items[0]
        indices = {item.index for item in items} - {None}
        where = f"{first.address:#06x}" + (f" + (core << {image.percpu_shift})" if first.cpu is not None else "")
        yield where, f"{name}[{len(indices)}]" if indices else name, first.type.name, f"{first.type.size * (len(indices) or 1)}"


def _struct(kind):
    yield f"  {kind.name}: {kind.size}"
    for entry in kind.fields:
        yield f"    {entry.offset:>4}  {entry.path}" + (f" -> {entry.points_to}" if entry.points_to else "")


def _table(title, rows):
    """A titled table with its columns aligned; nothing if it is empty."""
    rows = list(rows)
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["", title, *(("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
                         for row in rows)]


def listing(image):
    """The whole image, line by line: program, labels, arena, structs, names."""
    lines = [
        f"{image.title}",
        f"for {count(image.n_cores, 'core')} of {image.xlen} bits",
        f"needs {len(image.words)} of {1 << TARGET_BITS} words of microcode, {count(image.heap, 'word')} of arena",
        "",
        *_program(image),
        *_table("labels", ((f"{address:03x}", name) for name, address in image.symbols.items())),
        *_table("constants", ((_number(value) if value >= 0 else str(value), name)
                              for name, value in image.constants.items() if name not in PREDEFINED)),
        *_table("arena: address, object, type, words", _arena(image)),
        *_table("start values", ((image.name_of(address), _number(value)) for address, value in sorted(image.arena.items()))),
    ]
    if image.structs:
        lines += ["", "structs: words, offsets", *(line for kind in image.structs.values() for line in _struct(kind))]
    lines += [
        *_table("roles", ((role, ", ".join(".".join(filter(None, (part.name, part.path))) for part in parts))
                          for role, parts in image.roles.items())),
        *_table("warnings", ((f"{address:03x}", name, sentence) for address, (name, sentence) in image.warnings.items())),
        *_table("names for --without", ((name, " ".join(f"{address:03x}" for address in addresses))
                                        for name, addresses in image.names.items())),
    ]
    return "\n".join(lines) + "\n"
