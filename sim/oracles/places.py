"""Where the structs of a protocol are in the arena, as far as oracles must know them. Everything comes from the image.

A csd is a struct of that name, by itself or inside another one. A stack is a percpu object of that name; what is on it has no
type, and a csd there is known by the events that name its address.
"""

from typing import NamedTuple

__all__ = ["Csd", "Places", "Tally"]


class Csd(NamedTuple):
    """A declared csd. name : as it is shown (``cfd_data[2].csd``)."""

    name: str
    address: int


class Tally(NamedTuple):
    """Where the count of targets still to come is, and their mask. ``pointer``: the word at ``mask`` points at the mask."""

    refs: int
    mask: int
    pointer: bool


class Places:
    """What oracles ask about addresses.

    Parameters
    ----------
    image : the assembled protocol.  arena : what the scenario adds to the image's arena: address -> word.

    Members
    -------
    arena : start value of each word that is not 0.
    lock, wait : the bits of a csd's flags; 0 if the protocol has no such flag.
    csds : address -> Csd.  tallies : address of the csd beside them -> Tally.  stack_words : all addresses on stacks.
    csd_size : in words.
    flags_offset, next_offset : where a csd has its flags and its successor.  link_offset : where its predecessor points at.
        None if the protocol's csd has no such thing.
    """

    def __init__(self, image, arena=None):
        self.image = image
        self.arena = dict(image.arena) | dict(arena or {})
        self.lock = image.constants.get("CSD_FLAG_LOCK", 0)
        self.wait = image.constants.get("CSD_FLAG_WAIT", 0)
        self.stack_words = {item.address + step for item in image.objects if item.base == "stack" and item.cpu is not None
                            for step in range(item.type.size)}
        csd = image.structs.get("csd")
        self.csd_size = 0 if csd is None else csd.size
        fields = {} if csd is None else {field.path: field.offset for field in csd.fields}
        self.flags_offset = fields.get("flags")
        self.next_offset = self.link_offset = None
        for path, offset in fields.items():
            outer, _, name = path.rpartition(".")
            if name == "next":
                self.next_offset = offset
                # What a list holds is the address of the struct around ``next``.
                self.link_offset = min(other for at, other in fields.items() if at.startswith(outer))
        self.csds = {}
        self.tallies = {}
        for item in image.objects:
            inside = {field.path: field for field in item.type.fields}
            for prefix, offset in _places_of(fields, inside):
                address = item.address + offset
                self.csds[address] = Csd(f"{item.name}.{prefix}".rstrip("."), address)
                if "refs" in inside and "cpumask" in inside:
                    mask = inside["cpumask"]
                    self.tallies[address] = Tally(item.address + inside["refs"].offset, item.address + mask.offset,
                                                  mask.points_to is not None)

    def csd_name(self, address):
        """A csd as it is shown."""
        csd = self.csds.get(address)
        return csd.name if csd is not None else f"the csd at {self.image.name_of(address)}"


def _places_of(fields, inside):
    """(prefix, offset) of each struct with these fields (path -> offset) inside another one (path -> Field): wherever all of
    them are found under one prefix, in their order."""
    first = next(iter(fields), None)
    for path, field in inside.items():
        if first is not None and f".{path}".endswith(f".{first}"):
            prefix = path.removesuffix(first)
            base = field.offset - fields[first]
            if all(prefix + name in inside and inside[prefix + name].offset == base + step for name, step in fields.items()):
                yield prefix.rstrip("."), base
