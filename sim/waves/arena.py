"""The arena in waves: every word of every object by its name, what pointers point at, flags as words."""

from os.path import commonprefix

__all__ = ["ArenaSignals", "word_names"]


def word_names(image):
    """address -> name as ``image.name_of`` returns it, for all words of all objects."""
    return {
        item.address + field.offset: f"{item.name}.{field.path}" if field.path else item.name
        for item in image.objects for field in item.type.fields
    }


class ArenaSignals:
    """The signals below ``arena``, kept up to date by ``commit``.

    Parameters
    ----------
    image : it has the objects.
    arena : address -> word, at the start of the run.
    names : as from ``word_names``.
    add : called as ``add(scope, name, width, value)`` for each signal (width 0: text); returns the key under which
        ``commit`` reports its values.
    """

    def __init__(self, image, arena, names, add):
        self._structs = image.structs
        self._words = dict(arena)
        self._names = names
        self._shown = {}              # address -> [(key, function from the word to the value)]
        self._followed = {}           # address -> {address of a pointer to it: key of that pointer's signal}
        flags = [(part.value, name) for name, part in _flags(image).items()]
        flagged = {address for _, _, address in image.places("csd.flags")} if flags else set()
        for item in image.objects:
            for field in item.type.fields:
                *scope, name = [item.name, *field.path.split(".")] if field.path else [item.name]
                scope = ("arena", *scope)
                address = item.address + field.offset
                value = self._words.get(address, 0)
                shown = self._shown[address] = [(add(scope, name, image.xlen, value), lambda word: word)]
                if address in flagged:
                    def text(word):
                        return flag_text(word, flags)
                    shown.append((add(scope, f"{name}_text", 0, text(value)), text))
                if field.points_to is not None:
                    self._add_pointer(scope, f"{name}->", address, field.points_to, add)

    def commit(self, address, word, values):
        """Process a changed word: put the new value of every signal that shows it into the mapping ``values``."""
        self._words[address] = word
        for key, show in self._shown.get(address, ()):
            values[key] = show(word)
        for pointer, (key, show) in self._followed.get(address, {}).items():
            values[key] = show(self._words[pointer])

    def _add_pointer(self, scope, name, address, struct, add):
        kind = self._structs.get(struct)
        first = f".{kind.fields[0].path}" if kind and kind.fields else ""
        one_word = kind is not None and kind.size == 1
        seen = None

        def text(target):
            if target == 0:
                return "NULL"
            shown = self._names.get(target, f"{target:#x}").removesuffix(first)
            return f"{shown}={self._words.get(target, 0):#x}" if one_word else shown

        def follow(target):
            nonlocal seen
            if one_word and target != seen:
                self._followed.get(seen, {}).pop(address, None)
                self._followed.setdefault(target, {})[address] = (key, text)
                seen = target
            return text(target)

        target = self._words.get(address, 0)
        key = add(scope, name, 0, text(target))
        follow(target)
        self._shown[address].append((key, follow))


def _flags(image):
    """The name of each flag -> the Part that has it: the constants without their common prefix."""
    parts = [part for role in ("flag.lock", "flag.wait", "flag.other") for part in image.roles.get(role, ())]
    shared = commonprefix([part.name for part in parts]).rpartition("_") if len(parts) > 1 else ("", "", "")
    return {part.name.removeprefix("".join(shared[:2])): part for part in sorted(parts, key=lambda part: part.value)}


def flag_text(word, flags):
    """``LOCK|WAIT``: the names of the set flags, and the remaining bits as a number. ``flags``: [(value, name)]."""
    names = []
    for value, name in flags:
        if value and word & value == value:
            names.append(name)
            word &= ~value
    if word:
        names.append(f"{word:#x}")
    return "|".join(names)
