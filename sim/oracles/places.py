"""Where the structs of a protocol are in the arena, as far as oracles must know them. Everything comes from the image.

A csd is a struct of that name, by itself or inside another one; a stack is a percpu object of that name, and what is
on it has no type: a csd there is known by the events that name its address.
"""

from typing import NamedTuple

__all__ = ["Csd", "Places", "Tally"]


class Csd(NamedTuple):
    """A declared csd. name : as it is shown (``cfd_data[2].csd``)."""

    name: str
    address: int


class Tally(NamedTuple):
    """The count of targets still to come and their mask, beside a csd. ``pointer``: the word ``mask`` points at the mask."""

    refs: int
    mask: int
    pointer: bool


class Places:
    """csds : address -> Csd.  tallies : address of the csd -> Tally.
    csd_size : in words.  flags_offset, next_offset, link_offset : where a csd has its flags, its successor, and what its
        predecessor points at; None if the protocol's csd has no such thing.
    lock, wait : the bits of the flags; 0 if the protocol has no such flag.  arena : start value of each word that is not 0.
    """

    def __init__(self, image, arena=None):
        self.image = image
        self.arena = dict(image.arena) | dict(arena or {})
        self.lock = image.constants.get("CSD_FLAG_LOCK", 0)
        self.wait = image.constants.get("CSD_FLAG_WAIT", 0)
        self.csds = {}
        self.tallies = {}
        csd = image.structs.get("csd")
        self._fields = {} if csd is None else {field.path: field.offset for field in csd.fields}
        self.csd_size = 0 if csd is None else csd.size
        self.flags_offset = self._fields.get("flags")
        self.next_offset = next((offset for path, offset in self._fields.items() if path.split(".")[-1] == "next"), None)
        # What a list holds is the address of an entry's link, which is where the struct around ``next`` begins.
        self.link_offset = None
        if self.next_offset is not None:
            link = next(path for path, offset in self._fields.items() if offset == self.next_offset)[:-len("next")]
            self.link_offset = min(offset for path, offset in self._fields.items() if path.startswith(link))
        self._stacks = [(item.address, item.address + item.type.size) for item in image.objects
                        if item.base == "stack" and item.cpu is not None]
        for item in image.objects:
            for prefix, offset in self._csds_in(item.type):
                address = item.address + offset
                self.csds[address] = Csd(f"{item.name}.{prefix}".rstrip("."), address)
                offsets = {field.path: field for field in item.type.fields}
                if "refs" in offsets and "cpumask" in offsets:
                    mask = offsets["cpumask"]
                    self.tallies[address] = Tally(item.address + offsets["refs"].offset, item.address + mask.offset,
                                                         mask.points_to is not None)

    def on_stack(self, address):
        """Whether an address is on some core's stack."""
        return any(first <= address < end for first, end in self._stacks)

    def csd_name(self, address):
        """A csd as it is shown."""
        csd = self.csds.get(address)
        return csd.name if csd is not None else f"the csd at {self.image.name_of(address)}"

    def _csds_in(self, kind):
        """(prefix, offset) of each csd in a struct: wherever its fields are found, in their order, under one prefix."""
        if not self._fields:
            return
        offsets = {field.path: field.offset for field in kind.fields}
        first, start = next(iter(self._fields.items()))
        for path, offset in offsets.items():
            if path == first or path.endswith("." + first):
                prefix = path[:len(path) - len(first)]
                base = offset - start
                if all(offsets.get(prefix + name) == base + step for name, step in self._fields.items()):
                    yield prefix.rstrip("."), base
