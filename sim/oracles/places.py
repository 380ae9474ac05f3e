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
    lock, wait : the bits of a csd's flags; 0 if the protocol has no such flag.  flag_bits : all bits of flags that constants name.
    csds : address -> Csd.  tallies : address of the csd beside them -> Tally.
    stack_words : address on a stack -> whose.  stack_pointers : core -> where the end of its stack is.
    csd_size : in words.  heads : address -> name of each list head that is in no csd.  locks : the same of spin locks.
    flags_offset, next_offset : where a csd has its flags and its successor.  link_offset : where its predecessor points at.
        None if the protocol's csd has no such thing.
    """

    def __init__(self, image, arena=None):
        self.image = image
        self.arena = dict(image.arena) | dict(arena or {})
        self.lock = image.constants.get("CSD_FLAG_LOCK", 0)
        self.wait = image.constants.get("CSD_FLAG_WAIT", 0)
        self.flag_bits = 0
        for name, value in image.constants.items():
            self.flag_bits |= value if name.startswith("CSD_") else 0
        self.stack_words = {item.address + step: item.cpu for item in image.objects if item.base == "stack" and item.cpu is not None
                            for step in range(item.type.size)}
        self.stack_pointers = {item.cpu: item.address for item in image.objects if item.base == "stack_pointer"
                               and item.cpu is not None}
        csd = image.structs.get("csd")
        self.csd_size = 0 if csd is None else csd.size
        fields = {} if csd is None else {field.path: field.offset for field in csd.fields}
        self.flags_offset = fields.get("flags")
        self._payload = tuple(offset for path, offset in fields.items() if path in ("func", "info", "flags"))
        self.next_offset = self.link_offset = None
        for path, offset in fields.items():
            outer, _, name = path.rpartition(".")
            if name == "next":
                self.next_offset = offset
                # What a list holds is the address of the struct around ``next``.
                self.link_offset = min(other for at, other in fields.items() if at.startswith(outer))
        self.csds = {}
        self.tallies = {}
        self._cpus = {}
        for item in image.objects:
            inside = {field.path: field for field in item.type.fields}
            for prefix, offset in _places_of(fields, inside):
                address = item.address + offset
                self.csds[address] = Csd(f"{item.name}.{prefix}".rstrip("."), address)
                self._cpus[address] = item.cpu
                if "refs" in inside and "cpumask" in inside:
                    mask = inside["cpumask"]
                    self.tallies[address] = Tally(item.address + inside["refs"].offset, item.address + mask.offset,
                                                  mask.points_to is not None)

        self.locks = {item.address + field.offset: f"{item.name}.{field.path}" for item in image.objects
                      for field in item.type.fields if field.path.rpartition(".")[2] == "lock"}
        in_csds = {word for csd in self.csds for word in self.csd_words(csd)}
        head = image.structs.get("list_head")
        links = {field.path: field.offset for field in head.fields} if head is not None else {}
        self.heads = {}
        if links.keys() >= {"next", "prev"}:
            for item in image.objects:
                for prefix, offset in _places_of(links, {field.path: field for field in item.type.fields}):
                    if item.address + offset not in in_csds and item.base != "stack":
                        self.heads[item.address + offset] = f"{item.name}.{prefix}".rstrip(".")

    def word(self, name):
        """The address of a declared object or field, or None."""
        try:
            return self.image.address_of(name)
        except KeyError:
            return None

    def commands(self):
        """((core, number), {field: address}) of each command block of the scenario."""
        struct = self.image.structs.get("command")
        if struct is None:
            return
        offsets = {}
        for field in struct.fields:
            offsets.setdefault(field.path.partition(".")[0], field.offset)
        for core in range(self.image.n_cores):
            first = self.word(f"program[{core}]")
            block, number = self.arena.get(first, 0), 0
            while "routine" in offsets and self.arena.get(block + offsets["routine"], 0):
                yield (core, number), {name: block + offset for name, offset in offsets.items()}
                block, number = block + struct.size, number + 1

    def csd_words(self, address):
        """All words of a csd."""
        return range(address, address + self.csd_size)

    def csd_payload(self, address):
        """What a csd says of the call: function, info and flags."""
        return [address + offset for offset in self._payload]

    def cpu_of(self, address):
        """The core for which a declared csd is, or None."""
        return self._cpus.get(address)

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
