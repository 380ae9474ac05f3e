"""A protocol without the parts that do not fit a small board: taking cores down, and functions that call."""

import pytest

from rtl.config import MachineConfig
from sim.boards.run import prepare_for
from sim.boards.synth import left_out
from sim.errors import InputError
from sim.microcode.protocols import shipped_protocols

from .runs import prepare_text, run_text

PROGRAM = """
cores = 2
[machine]
microcode_depth = {depth}
[defines]
{defines}
[[program]]
cores = [0]
commands = [{{ call = "{call}", target = 1{more} }}]
"""
#: These have an allocator, which does not fit 512 words either way.
TOO_LARGE = {"v2.6.27-rc1", "v2.6.29"}


def program(protocol, call="single", more=', func = "count", wait = true', depth=512):
    defines = ["CONFIG_HOTPLUG_CPU = 0", *(["CALLING = 0"] if protocol != "mailbox" else [])]
    return PROGRAM.format(depth=depth, defines="\n".join(defines), call=call, more=more)


@pytest.mark.parametrize("protocol", sorted(set(shipped_protocols()) - TOO_LARGE))
def test_the_others_fit_512_words(protocol):
    """And a call works."""
    run = run_text(program(protocol), protocol=protocol)
    assert run.result.ok, run.result.violations
    assert run.prepared.run.config.microcode_depth == 512 < MachineConfig().microcode_depth
    assert [call.result for call in run.result.calls] == [0]


@pytest.mark.parametrize("protocol", sorted(TOO_LARGE))
def test_two_need_more(protocol):
    with pytest.raises(InputError, match="microwords, but the machine stores 512"):
        prepare_text(program(protocol), protocol=protocol)


def test_what_is_left_out_cannot_be_called():
    """cpu_down() is gone, but cpu_up() stays."""
    prepare_text(program("v4", call="cpu_up", more=""))
    with pytest.raises(InputError, match='names the call "cpu_down", which the protocol v4.uasm does not have'):
        prepare_text(program("v4", call="cpu_down", more=""))
    with pytest.raises(InputError, match='names the func "call_single", which the protocol v4.uasm does not have'):
        prepare_text(program("v4", more=', func = "call_single", nested = 0, wait = true'))


SMALL = MachineConfig(n_cores=2, microcode_depth=512)


def test_a_board_leaves_out_what_it_has_no_room_for():
    """Only in that case, and never a part that the user asks for."""
    assert prepare_for(SMALL, "single").settings.defines == {"CONFIG_HOTPLUG_CPU": 0, "CALLING": 0}
    assert prepare_for(MachineConfig(n_cores=2), "single").settings.defines == {}
    with pytest.raises(InputError, match=r"the protocol has 525 microwords.*define.CONFIG_HOTPLUG_CPU=0 leaves out cpu_down"):
        prepare_for(SMALL, "single", assignments=["define.CONFIG_HOTPLUG_CPU=1"])
    with pytest.raises(InputError, match='names the call "cpu_down"'):
        prepare_for(SMALL.with_cores(3), "hotplug")


def test_a_bitstream_says_what_it_leaves_out():
    optional = {"cpu_down", "functions that call"}
    assert optional < set(left_out(prepare_for(SMALL, "single")))
    assert not optional & set(left_out(prepare_for(MachineConfig(n_cores=2), "single")))
