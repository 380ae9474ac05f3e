"""Knock-out: a protocol without one of its named barriers or locks."""

from dataclasses import replace

from rtl.core.microword import MicroWord, Op
from sim.errors import InputError
from sim.names import closest

__all__ = ["knock_out"]


def knock_out(image, names):
    """The image with every word that carries one of these names replaced by NOP. What the word says when it completes, and
    whether it is an entry point, stay. Raises InputError for a name that the protocol does not have."""
    words = list(image.words)
    for name in names:
        if name not in image.names:
            raise InputError(f"the protocol has no barrier or lock named {name}{closest(name, image.names)} "
                             f"(it has: {', '.join(sorted(image.names))})", file=image.path)
        for address in image.names[name]:
            word = MicroWord.from_bits(words[address])
            kept = {"op": Op.NOP, "ra": word["ra"], "rb": word["rb"], "event": word["event"], "entry": word["entry"]}
            words[address] = MicroWord.const(kept).as_bits()
    return replace(image, words=tuple(words))
