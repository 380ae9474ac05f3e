"""What calls allocate before v4: RCU holds a free back as long as it must, allocations fail on command, and misuse is seen."""

import pytest

from rtl.events import Event
from sim.microcode.protocols import find_protocol
from sim.runs.prepare import prepare
from sim.runs.run import run

from .runs import engine_for, run_prepared, run_text

#: Core 3 is busy with a command, or sleeps; meanwhile cores 1 and 2 are done with a call that is allocated.
BUSY = """
cores = 4
[functions]
work = [0, 0, 0, 1500]
[[program]]
cores = [0]
commands = [{ call = "many", mask = [1, 2], func = "touch", at = 100 }]
"""
IN_A_COMMAND = BUSY + """
[[program]]
cores = [3]
commands = [{ call = "single", target = "self", func = "work" }]
"""
#: It is interrupted from its sleep, and then works.
IN_A_HANDLER = BUSY.replace('commands = [', 'commands = [{ call = "csd", target = 3, func = "work" }, ')


def clock(ran, event, core=None):
    """Of the last time that it was said."""
    return ran.events(event, core=core)[-1].clock


@pytest.mark.parametrize("protocol", ["v2.6.29", "v2.6.27-rc1"])
@pytest.mark.parametrize("text", [IN_A_COMMAND, IN_A_HANDLER], ids=["in a command", "in a handler"])
def test_a_reader_holds_the_free_back(text, protocol):
    ran = run_text(text, protocol=protocol)
    assert ran.result.ok, ran.result.violations
    unlinked, works, freed = clock(ran, Event.LIST_DEL), clock(ran, Event.RAN, core=3), clock(ran, Event.FREE)
    assert unlinked + 500 < works < freed, "the entry is unlinked long before core 3 is done, and freed after that"
    assert freed < works + 200


def test_who_sleeps_holds_nothing_back():
    ran = run_text(BUSY, protocol="v2.6.29")
    assert ran.result.ok
    assert clock(ran, Event.LIST_DEL) < clock(ran, Event.FREE) < clock(ran, Event.LIST_DEL) + 200


def test_without_the_grace_period_nothing_is_held_back(tmp_path):
    (tmp_path / "x.toml").write_text(f'protocol = "v2.6.29"\n{IN_A_COMMAND}')
    ran = run_prepared(prepare(tmp_path / "x.toml", without=["rcu_grace_period"]))
    assert clock(ran, Event.FREE) < clock(ran, Event.RAN, core=3) - 500


# --- allocations that fail ------------------------------------------------------------------------------------------

FAILS = """
cores = 3
[boot]
kmalloc_fails = {}
[[program]]
cores = [0]
commands = [
    {{ call = "{}", {}, func = "count" }},
]
"""


def routes(protocol, fails, call, to):
    """The csds that were queued, and whether the caller waited."""
    ran = run_text(FAILS.format(fails, call, to), protocol=protocol)
    names = [ran.image.name_of(record.b).removesuffix(".list.next") for record in ran.events(Event.QUEUE)]
    return ran, names, bool(ran.events(Event.WAIT))


def test_a_single_call_without_memory():
    for protocol, name, waits in (("v2.6.29", "csd_data[0]", False), ("v2.6.27-rc1", "stack[0][0]", True)):
        ran, names, waited = routes(protocol, [1], "single", "target = 1")
        assert ran.result.ok and ran.word("counter") == 1
        assert (names, waited) == ([name], waits)


def test_a_call_for_several_without_memory_is_one_after_the_other():
    ran, names, waited = routes("v2.6.29", [1], "many", "mask = [1, 2]")
    assert ran.result.ok and ran.word("counter") == 2
    assert (names, waited) == (["csd_pool[0]", "csd_pool[1]"], False), "only the first allocation fails"
    ran, names, waited = routes("v2.6.29", [1, 2, 3], "many", "mask = [1, 2]")
    assert ran.result.ok and ran.word("counter") == 2
    assert (names, waited) == (["csd_data[0]"] * 2, False)


def test_the_first_generation_forgets_to_wait():
    """63cf13b77ab7: the frame goes while its entry is queued."""
    ran, names, waited = routes("v2.6.27-rc1", [1], "many", "mask = [1, 2]")
    assert (names, waited) == (["stack[0][0]"], False)
    assert ran.violations == {"O7"}
    assert "popped the csd at stack[0][0] from its stack" in ran.result.violations[0].sentence


def test_memory_that_is_used_up():
    """Core 1 does not come to its queue for a while: the second call finds no object, and has csd_data."""
    text = """
    cores = 2
    [defines]
    KMALLOC_OBJECTS = 1
    [functions]
    work = [0, 1000]
    [[program]]
    cores = [0]
    commands = [{ call = "single", target = 1, func = "count", at = 50, repeat = 2 }]
    [[program]]
    cores = [1]
    commands = [{ call = "single", target = "self", func = "work" }]
    """
    ran = run_text(text, protocol="v2.6.29")
    assert ran.result.ok and ran.word("counter") == 2
    assert [ran.image.name_of(record.b) for record in ran.events(Event.QUEUE)] == ["csd_pool[0].list.next", "csd_data[0].list.next"]


# --- misuse ---------------------------------------------------------------------------------------------------------

KFREE = "    call  kfree, t1, [csd_cache]            ; kfree(data)\n"


def changed(folder, new):
    """v2.6.29 with something else instead of the single handler's kfree()."""
    source = find_protocol("v2.6.29")
    shared = (source.parent / "allocated.uasm").read_text()
    assert shared.count(KFREE) == 1
    (folder / "allocated.uasm").write_text(shared.replace(KFREE, new))
    (folder / "mine.uasm").write_text(source.read_text())
    (folder / "x.toml").write_text('protocol = "mine.uasm"\n' + FAILS.format([], "single", "target = 1"))
    prepared = prepare(folder / "x.toml")
    return [str(item.sentence) for item in run(prepared, engine=engine_for(prepared.settings.config)).violations]


def test_a_touch_after_the_free_is_seen(tmp_path):
    found = changed(tmp_path, KFREE + "    ld    t0, [data + csd.flags]\n")
    assert len(found) == 1 and "core 1 touched csd_pool[0].flags" in found[0] and "which core 1 freed at clock" in found[0]


def test_a_second_free_is_seen(tmp_path):
    found = changed(tmp_path, KFREE * 2)
    assert any("core 1 freed csd_pool[0]" in item and "which core 1 freed at clock" in item for item in found), found


def test_what_is_never_freed_is_seen(tmp_path):
    found = changed(tmp_path, "")
    assert len(found) == 1 and found[0].startswith("csd_pool[0], allocated at clock") and found[0].endswith("was never freed")
