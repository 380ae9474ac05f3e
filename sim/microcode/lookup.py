"""Where in the microcode something is: a place, as a person writes it, to the words that it means."""

import re

from rtl.events import Event
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import integer

from .image import Image
from .listing import place_of

__all__ = ["lookup"]

_FORMS = "LABEL, LABEL+WORDS, FILE.uasm:LINE, an EVENT, or the name of a barrier or lock"


def lookup(text: str, image: Image) -> frozenset[int]:
    """The microcode addresses of the words at a place. Raises InputError.

    text : one of these.

    - ``LABEL`` or ``LABEL+N``: the word at a label, or N words after it. A local label follows that of its routine:
      ``csd_lock.free``.
    - ``FILE.uasm:LINE``: the first word that the line gives, directly or as the use of a macro.
    - ``EVENT``: every word that emits this event (``FUNC_ENTRY``).
    - ``NAME``: the words that carry a name by which a barrier or lock can be left out (``smp_mb_before_ipi``).
    """
    if found := re.fullmatch(r"(\S+\.uasm):([0-9]+)", text):
        return _line(found[1], integer(found[2]), image)
    if text in Event.__members__:
        addresses = image.events.get(Event[text])
        if not addresses:
            raise InputError(f"no word of {image.path.name} emits {text}")
        return frozenset(addresses)
    label, plus, offset = text.partition("+")
    labels = _labels(image)
    if label in labels and re.fullmatch(r"[0-9]+" if plus else "", offset):
        address = labels[label] + integer(offset or "0")
        if address not in image.lines:
            raise InputError(f"{image.path.name} has no word at {text}")
        return frozenset((address,))
    if text in image.names:
        return frozenset(image.names[text])
    known = [*labels, *image.names, *(event.name for event in image.events)]
    raise InputError(f'{image.path.name} has no place "{text}"{closest(label, known)} (a place is {_FORMS}; '
                     "`crosscall asm` prints the labels and lines)")


def _labels(image):
    """Label -> address. A local label has the name of each label at the start of its routine before it."""
    labels = dict(image.symbols)
    for name, address in image.local_labels:
        start = max((symbol for symbol in image.symbols.values() if symbol <= address), default=None)
        for routine, symbol in image.symbols.items():
            if symbol == start:
                labels[f"{routine}{name}"] = address
    return labels


def _line(file, number, image):
    """The first word that a line gives."""
    found = {}                                     # how the line came to be used -> its first word
    for address, line in sorted(image.lines.items()):
        chain = [*line.expansion, (line.file, line.line)]
        if (file, number) in chain:
            found.setdefault(tuple(chain[:chain.index((file, number))]), address)
    if not found:
        lines = {line.line for line in image.lines.values() if line.file == file}
        if lines:
            near = min(lines, key=lambda line: (abs(line - number), line))
            raise InputError(f"{file}:{number} gives no word of {image.path.name}; the nearest line that gives one is {near}")
        files = {line.file for line in image.lines.values()}
        hint = closest(file, files) or f" (it is made of {', '.join(sorted(files))})"
        raise InputError(f"{image.path.name} has no words from {file}{hint}")
    if len(found) > 1:
        places = ", ".join(f"{image.label(address)} ({place_of(image.lines[address])})" for address in found.values())
        raise InputError(f"{file}:{number} is in a macro that is used more than once: say where, as one of {places}")
    return frozenset(found.values())
