"""docs/writing-a-protocol.md, followed literally: the files that it shows, the commands that it types, and what they answer."""

import re
import shlex
from pathlib import Path

import pytest

from rtl.events import Event
from sim.errors import InputError
from sim.microcode.assembler import assemble
from sim.microcode.protocols import find_protocol
from sim.oracles import ORACLES
from sim.watchdog import Watchdog

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-protocol.md").read_text(encoding="utf-8")
#: The one thing that is another each time.
_TIME = re.compile(r"in [\d.]+ s \(\d+ per second\)")


def shown_files():
    """Name -> text. A file is written piece by piece."""
    files = {}
    for name, text in re.findall(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        files[name] = files.get(name, "") + text
    return files


def shown_commands():
    """[(words after `crosscall`, what it answers)]."""
    return [(shlex.split(command), answer.strip()) for command, answer in
            re.findall(r"^```\n\$ crosscall ([^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def matches(shown, answer):
    """Whether the answer is what is shown. A line ``...`` stands for some lines."""
    pieces = [_TIME.sub("in some time", piece) for piece in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    return re.fullmatch("(.*\n)+".join(map(re.escape, pieces)), _TIME.sub("in some time", answer)) is not None


@pytest.fixture
def slot(tmp_path):
    """The protocol of the page."""
    for name, text in shown_files().items():
        (tmp_path / name).write_text(text)
    return tmp_path / "slot.uasm"


def test_what_is_typed_answers_what_is_shown(crosscall, slot):
    typed = shown_commands()
    assert [words[0] for words, _ in typed] == ["run", "hunt", "hunt", "replay"]
    for words, shown in typed:
        code, out, err = crosscall(*words)
        assert matches(shown, out.strip()), out
        assert (code, err) == (int("VIOLATED" in shown or "not_once" in shown), "")


def test_the_shipped_protocol_that_it_names_runs(crosscall):
    command, = re.findall(r"`crosscall (run [^`]*)`", PAGE)
    assert crosscall(*command.split(), "--no-vcd")[0] == 0


def test_an_answer_that_is_another_is_not_what_is_shown():
    assert matches("a\n...\nd\nhere 2 in 0.3 s (7 per second)", "a\nb\nc\nd\nhere 2 in 11 s (0 per second)")
    for answer in ("a\nd", "a\nb\nc", "b\nd", "a\nb\nd\ne"):
        assert not matches("a\n...\nd", answer)


# --- what the shared sources expect -----------------------------------------------------------------------------------

#: A pattern in slot.uasm -> what stands there instead: without any one of these it does not assemble.
EXPECTED = {
    "own_call": (r"\.struct own_call", ".struct other"),
    **{name: (rf"\n{name}:", "\nother:") for name in ("call_own", "handle_vector", "protocol_init", "hotplug_notify",
                                                      "ipi_call_lock", "ipi_call_unlock")},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_said_to_be_expected_is(slot, name):
    """And slot.uasm, which has all of it and little else, assembles."""
    expected = PAGE.partition("## What the shared sources expect")[2].partition("\n## ")[0]
    assert re.search(rf"`(struct )?{name}`", expected)
    pattern, instead = EXPECTED[name]
    text, count = re.subn(pattern, instead, slot.read_text(), count=1)
    assert count == 1
    assemble(slot, n_cores=4, xlen=16)
    slot.write_text(text)
    with pytest.raises(InputError, match=name):
        assemble(slot, n_cores=4, xlen=16)


def test_what_each_oracle_needs():
    """The events in its row of the table, or one of those between which it may choose, are those that it says itself."""
    table = PAGE.partition("## What each oracle needs")[2].partition("\n## ")[0]
    needs = {}
    for names, *cells in re.findall(r"^\| ([A-Z][^|]*) \|(.*)\|(.*)\|$", table, re.MULTILINE):
        events = {Event[word] for word in re.findall(r"\b[A-Z_]+\b", " ".join(cells)) if word in Event.__members__}
        needs |= dict.fromkeys(names.split(", "), events)
    oracles = (*ORACLES, Watchdog)
    assert needs.keys() == {oracle.name for oracle in oracles}
    for oracle in oracles:
        wanted = [item if isinstance(item, tuple) else (item,) for item in getattr(oracle, "events", ())]
        assert all(set(choice) <= needs[oracle.name] for choice in wanted), oracle.name


def test_what_the_shared_sources_give_is_there():
    given = PAGE.partition("## What the shared sources provide")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+\.uasm)` \| (.*) \|$", given, re.MULTILINE)
    assert {source for source, _ in rows} == {"machine.uasm", "boot.uasm", "program.uasm", "rendezvous.uasm", "calling.uasm",
                                              "workloads.uasm", "guarded.uasm"}
    for source, text in rows:
        names = [name for name in re.findall(r"`(?:struct )?(\w+)`", text) if name != "APIC_EOI"]
        written = find_protocol("v4").with_name(source).read_text()
        assert names and not [name for name in names if not re.search(rf"^(\.\w+ +|    )?{name}\b", written, re.MULTILINE)]
