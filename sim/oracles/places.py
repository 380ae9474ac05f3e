"""Where the parts of a protocol are in the arena, as far as oracles must know them. Everything comes from the image: what plays
which role, and where it is. Words on a stack have no type; a csd there is known from the events that name its address.
"""

from typing import NamedTuple

__all__ = ["Csd", "Head", "Places", "Tally"]


class Csd(NamedTuple):
    """A declared csd. name : as it is shown (``cfd_data[2].csd``)."""

    name: str
    address: int


class Tally(NamedTuple):
    """Where the count of remaining targets is, and their mask. ``pointer``: the word at ``mask`` points at the mask."""

    refs: int
    mask: int
    pointer: bool

    def at(self, distance):
        """The same of a struct that begins ``distance`` words further on."""
        return self._replace(refs=self.refs + distance, mask=self.mask + distance)


class Head(NamedTuple):
    """The head of a list. name : as it is shown.  circular : it is empty if its words have its own address; if not: if it is 0."""

    name: str
    circular: bool


class Places:
    """What oracles ask about addresses.

    Parameters
    ----------
    image : the assembled protocol.  arena : what the scenario adds to the image's arena: address -> word.

    Members
    -------
    arena : start value of each word that is not 0.
    lock, wait, alloc : the bits of a csd's flags; 0 if the protocol has no such flag.  flag_bits : all bits that flags may have.
    csds : address -> Csd.  tallies : address of the csd beside them -> Tally.
    stack_words : address on a stack -> whose.  stack_pointers : core -> where the end of its stack is.
    csd_size : in words.  heads : address -> Head.
    n_masks : how many masks can be allocated.
    flags_offset, next_offset : where a csd has its flags and its successor.  link_offset : where its predecessor points at.
        None if the protocol's csd has no such thing.
    """

    def __init__(self, image, arena=None):
        self.image = image
        self.arena = dict(image.arena) | dict(arena or {})
        self.lock, self.wait, self.alloc = self._bits("flag.lock"), self._bits("flag.wait"), self._bits("flag.alloc")
        self.flag_bits = self.lock | self.wait | self.alloc | self._bits("flag.other")
        self.stack_words = {item.address + step: item.cpu for item in self._objects("stack") for step in range(item.type.size)}
        self.stack_pointers = {item.cpu: item.address for item in self._objects("stack.end")}
        self.n_masks = len(self._objects("masks"))
        csd = image.part("csd")
        self._csd = csd and csd.name
        self.csd_size = image.structs[self._csd].size if self._csd else 0
        self.flags_offset, self.next_offset = self._offset("csd.flags"), self._offset("csd.next")
        self._payload = tuple(offset for offset in map(self._offset, ("csd.func", "csd.info", "csd.flags")) if offset is not None)
        self.link_offset = self._link_offset()
        self.csds, self._cpus = {}, {}
        for item in image.objects:
            for name, address in self._csds_in(item.name, item.type, item.address):
                self.csds[address] = Csd(name, address)
                self._cpus[address] = item.cpu
        self.tallies = dict(self._tallies())
        # The first head of a protocol determines how many words all have.
        self.heads = {address: Head(name, len(image.words_of(image.part("list"))) > 1) for _, name, address in image.places("list")}

    def _bits(self, role):
        bits = 0
        for part in self.image.roles.get(role, ()):
            bits |= part.value
        return bits

    def _objects(self, role):
        return [item for item, _, _ in self.image.places(role)]

    def _offset(self, role):
        part = self.image.part(role)
        return None if part is None else self.image.words_of(part)[0].offset

    def _link_offset(self):
        """A list contains the address of the struct around the field ``csd.next``."""
        part = self.image.part("csd.next")
        if part is None:
            return None
        outer = part.path.rpartition(".")[0]
        return next(offset for path, _, offset in self.image.structs[part.name].parts if path == outer)

    def _csds_in(self, name, kind, address):
        """(name, address) of each csd in an object of a type."""
        for path, struct, offset in kind.parts:
            if struct == self._csd:
                yield f"{name}.{path}".rstrip("."), address + offset

    def _tallies(self):
        part = self.image.part("targets.count")
        for item in self.image.objects if part is not None else ():
            for _, struct, offset in item.type.parts:
                if struct == part.name:
                    yield from self._tallies_of(item.address + offset)

    def _tallies_of(self, base):
        """Of a struct at ``base`` that has count, mask and csds: address of each csd -> Tally."""
        count, mask = self.image.part("targets.count"), self.image.part("targets.mask")
        if count is None or mask is None or count.name != mask.name:
            return
        (field, *_), refs = self.image.words_of(mask), self._offset("targets.count")
        for _, struct, offset in self.image.structs[count.name].parts:
            if struct == self._csd:
                yield base + offset, Tally(base + refs, base + field.offset, field.points_to is not None)

    def tally_on_stack(self, csd):
        """The Tally of a csd on a stack that is known to be counted; None if it is on none."""
        if csd not in self.stack_words:
            return None
        return next((tally.at(csd - start) for start, tally in self._tallies_of(0)), None)

    def word(self, name):
        """The address of a declared object or field, or None."""
        try:
            return self.image.address_of(name)
        except KeyError:
            return None

    def commands(self):
        """((core, number), {field: address}) of each command block of the scenario; the field "" is the block."""
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
                yield (core, number), {"": block} | {name: block + offset for name, offset in offsets.items()}
                block, number = block + struct.size, number + 1

    def csds_of_commands(self):
        """address -> name of each csd in a command block of the scenario."""
        command = self.image.structs.get("command")
        return {address: f"the csd of a command of core {core}" for (core, _), block in self.commands()
                for _, address in self._csds_in("", command, block[""])}

    def csd_words(self, address):
        """All words of a csd."""
        return range(address, address + self.csd_size)

    def object_words(self, address):
        """All words of the declared object that begins at an address."""
        found = self.image.object_at(address)
        return range(address, address + (found[0].type.size if found is not None and found[0].address == address else 1))

    def csd_payload(self, address):
        """The words of a csd that describe the call: function, info and flags."""
        return [address + offset for offset in self._payload]

    def cpu_of(self, address):
        """The core that a declared csd is for, or None."""
        return self._cpus.get(address)

    def csd_name(self, address):
        """A csd as it is shown."""
        csd = self.csds.get(address)
        return csd.name if csd is not None else f"the csd at {self.image.name_of(address)}"
