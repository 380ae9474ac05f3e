"""The command file for Surfer, carried out by a model of how Surfer 0.7 keeps its rows: it comes to the view that GTKWave shows.

The model has what Surfer's sources say. That they are understood rightly, only Surfer itself can tell, which no registry has.
"""

import re

import pytest

from sim.waves.surfer import write_surfer
from sim.waves.view import Group, view_of

from .waves_samples import Run, config_for, write

COLOURS = {"red": "Red", "orange": "Orange", "yellow": "Yellow", "green": "Green", "indigo": "Violet"}


class Row:
    def __init__(self, name, parent, variable=None):
        self.name, self.parent, self.variable = name, parent, variable
        self.inside = None if variable else []
        self.folded = False
        self.colour = self.format = None


def signals(path):
    """The path of each signal of a VCD: its scopes and its name."""
    scopes, found = [], set()
    for words in map(str.split, path.read_text().partition("$enddefinitions")[0].splitlines()):
        match words:
            case ["$scope", _, name, "$end"]:
                scopes.append(name)
            case ["$upscope", "$end"]:
                scopes.pop()
            case ["$var", _, _, _, name, "$end"]:
                found.add((*scopes, name))
    return found


class Surfer:
    """Rows in a tree, of which those in folded groups are not visible; the focus; the visible part of the time, of which a fifth of
    its length may be outside the waves; and the markers."""

    def __init__(self, signals, end):
        self.signals = signals
        self.root = Row("", None)
        self.focus = None
        self.end = end
        self.left, self.right = 0, end
        self.cursor = None
        self.markers = {}

    def visible(self, row=None):
        for item in (row or self.root).inside:
            yield item
            if item.inside is not None and not item.folded:
                yield from self.visible(item)

    def groups(self, row=None):
        for item in (row or self.root).inside:
            if item.inside is not None:
                yield item
                yield from self.groups(item)

    def do(self, line):
        assert not re.search("[;#]", line)
        command, _, rest = line.partition(" ")
        getattr(self, command)(*[rest] if rest else [])

    def variable_add(self, name):
        *scope, own = name.split(".")
        assert (*scope, own) in self.signals, name
        self._insert(Row(own, None, name))

    def _insert(self, row):
        if self.focus is None:
            parent, place = self.root, len(self.root.inside)
        elif self.focus.inside is not None and not self.focus.folded:
            parent, place = self.focus, 0
        else:
            parent = self.focus.parent
            place = parent.inside.index(self.focus) + 1
        row.parent = parent
        parent.inside.insert(place, row)

    def group_marked(self, name):
        assert re.fullmatch(r"\w+", name)
        row, parent = self.focus, self.focus.parent
        group = Row(name, parent)
        parent.inside[parent.inside.index(row)] = group
        group.inside.append(row)
        row.parent = self.focus = group

    def item_focus(self, letters):
        number = int("".join(f"{ord(letter) - ord('a'):x}" for letter in letters), 16)
        self.focus = list(self.visible())[number]

    def item_unfocus(self):
        self.focus = None

    def item_rename(self, name):
        self.focus.name = name

    def item_set_color(self, name):
        self.focus.colour = name

    def item_set_format(self, name):
        self.focus.format = name

    def group_fold_recursive(self):
        for group in (self.focus, *self.groups(self.focus)):
            group.folded = True
        self.focus = None

    def group_unfold_all(self):
        for group in self.groups():
            group.folded = False

    def scope_add_as_group(self, scope):
        assert self.focus is None and any(name[0] == scope for name in self.signals)
        self._insert(Row(scope, None))

    def _move(self, left, length):
        self.left = max(-0.2 * length, min(left, self.end + 0.2 * length - length))
        self.right = self.left + length

    def zoom_fit(self):
        self._move(0, self.end)

    def zoom_in(self):
        length = self.right - self.left
        self._move(self.left + length / 4, length / 2)

    def goto_start(self):
        self._move(0, self.right - self.left)

    def goto_end(self):
        length = self.right - self.left
        self._move(self.end - length, length)

    def cursor_set(self, time):
        self.cursor = int(time)
        if not self.left < self.cursor < self.right:
            length = self.right - self.left
            self._move(self.cursor - length / 2, length)

    def marker_set(self, rest):
        name, time = rest.split()
        self.markers[name] = int(time)


def shown(items, hidden=False):
    """What is to be seen of a View: (title, closed, what is inside) and (name, signal, colour)."""
    found = []
    for item in items:
        if isinstance(item, Group):
            inside = shown(item.items, hidden or item.closed)
            if inside:
                found.append((item.title, hidden or item.closed, inside))
        elif not item.signal.startswith("arena."):
            found.append((item.alias, item.signal, COLOURS.get(item.color)))
    return found


def rows(row):
    return [(item.name, item.folded, rows(item)) if item.inside is not None else (item.name, item.variable, item.colour)
            for item in row.inside]


def carried_out(path, writer):
    surfer = Surfer(signals(writer.path), writer.end * 10)
    for line in path.read_text().splitlines():
        surfer.do(line)
    return surfer


@pytest.mark.parametrize("n_cores", [1, 3, 12])
def test_it_comes_to_the_view_of_gtkwave(tmp_path, n_cores):
    writer = write(Run(config_for(n_cores), 200), tmp_path / "run.vcd")
    path = write_surfer(writer)
    assert path == tmp_path / "run.sucl"
    surfer = carried_out(path, writer)
    assert rows(surfer.root)[:-1] == shown(view_of(writer).items)
    assert rows(surfer.root)[-1] == ("arena", False, [])
    assert len(list(surfer.groups())) > 5 * n_cores
    clock = next(row for row in surfer.visible() if row.variable == "run.clock")
    assert clock.format == "Unsigned"
    assert surfer.markers == {"violation": view_of(writer).marked * 10}


@pytest.mark.parametrize(("first", "last"), [(0, 20), (60, 99), (61, 90), (85, 110), (95, 120), (110, 130), (185, 199), (0, 199)])
def test_the_window_shows_the_first_call_wherever_it_is(tmp_path, first, last):
    writer = write(Run(config_for(1), 200), tmp_path / "run.vcd")
    writer.first_call = first, last
    surfer = carried_out(write_surfer(writer), writer)
    length = (last + 1 - first) * 10
    assert surfer.left <= first * 10 < (last + 1) * 10 <= surfer.right
    assert length <= surfer.right - surfer.left <= 2 * length
    assert first * 10 <= surfer.cursor <= last * 10


def test_a_run_leaves_it(crosscall, tmp_path):
    assert crosscall("run", "single")[0] == 0
    text = (tmp_path / "waves" / "single.sucl").read_text()
    assert text.startswith("variable_add run.clock\n") and "marker_set" not in text
