"""Texts that somebody has damaged, on purpose or not: what the fuzz tests read."""

import re

__all__ = ["HOSTILE", "mutated"]

#: What readers stumble over.
HOSTILE = [
    *(text.encode() for text in (
        "", "\0", "\u00e9", "\u202e", "\x1b[31m", *"\r\n\t\"'\\$#;@!.,:=+*", "->", "<<", "..", "../..",
        "%s%n", "/dev/null", "/", "-1", "0", "1", "2", "63", "64", "65", "65535", "65536", "18446744073709551616",
        "1e400", "nan", "inf", "true", "null", "[]", "{}", '""')),
    b"\xff", b"9" * 5000, b"0x" + b"f" * 5000, b"[" * 1500, b"{" * 1500, b"(" * 1500 + b")" * 1500, b"-" * 1500, b"a" * 3000,
    b"x" * 300 + b".uasm",
]


def mutated(content, chance, others=()):
    """A few changes to ``content``; ``others`` is what pieces may come from."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        content = chance.choice(_KINDS)(content, chance, others or [content])
    return content


def _span(content, chance, longest=40):
    begin = chance.randint(0, len(content))
    return begin, min(len(content), begin + chance.randint(0, longest))


def _replaced(content, chance, others):
    begin, end = _span(content, chance, 12)
    return content[:begin] + chance.choice(HOSTILE) + content[end:]


def _token(content, chance, others):
    """A number or a word in the place of which something hostile stands."""
    one = _word(content, chance)
    if one is None:
        return _replaced(content, chance, others)
    other = chance.choice(HOSTILE) if chance.random() < 0.6 else _word(content, chance)[0]
    return content[:one.start()] + other + content[one.end():]


#: A name or a number, from its first character on.
_WORD = re.compile(rb"(?<!\w)(?:[A-Za-z_]\w*|-?\d+)")


def _word(content, chance):
    """The first behind some place: looking at all of them takes longer than most readers do."""
    return _WORD.search(content, chance.randint(0, len(content))) or _WORD.search(content)


def _flipped(content, chance, others):
    if not content:
        return b"\xff"
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1:]


def _deleted(content, chance, others):
    begin, end = _span(content, chance)
    return content[:begin] + content[end:]


def _doubled(content, chance, others):
    begin, end = _span(content, chance, 400)
    return content[:end] + content[begin:end] * chance.choice((1, 1, 30)) + content[end:]


def _cut(content, chance, others):
    return content[:chance.randint(0, len(content))]


def _spliced(content, chance, others):
    other = chance.choice(others)
    begin, end = _span(other, chance, 400)
    place = chance.randint(0, len(content))
    return content[:place] + other[begin:end] + content[place:]


def _lines(content, chance, others):
    """Lines deleted, doubled or exchanged: what stays is more often still in the format."""
    lines = content.split(b"\n")
    one, two = (chance.randrange(len(lines)) for _ in range(2))
    match chance.randrange(3):
        case 0:
            del lines[one]
        case 1:
            lines.insert(two, lines[one])
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


_KINDS = [_replaced, _token, _token, _token, _flipped, _deleted, _doubled, _cut, _spliced, _lines, _lines]
