"""Every routine of v4 does its memory operations in the patch's own order.

The lists are written from the patch and from the code around it (see the steps M1-M12 and H1-H9 in the microcode), not from the
microcode. The notation: ``order``.
"""

from functools import cache

import pytest

from rtl.events import Event

from . import order
from .order import BUSY, CALLS, SEND, lines
from .runs import run_text
from .trace import Trace

WAIT1, NOWAIT, OWN, OFFLINE, ABSENT, CSD_WAIT, CSD_NOWAIT, CSD_OWN, NONE, FAST, MANY_WAIT, MANY_NOWAIT, ALL, EACH = range(14)

#: Interrupts that nobody has asked for.
STRAY = """
.entry cmd_single_vector
    jmp   send_IPI_cpu, t1, [CALL_FUNCTION_SINGLE_VECTOR]
.entry cmd_many_vector
    jmp   send_IPI_cpu, t1, [CALL_FUNCTION_VECTOR]
"""


HOTPLUG = """
cores = 2
[boot]
allocations_fail = [3]
[defines]
DRAIN_CLOCKS = 16
CONFIG_CPU_HOTPLUG = {free}
[[program]]
cores = [0]
commands = [
    {{ call = "cpu_down", target = 1, frozen = true }},
    {{ call = "cpu_up", target = 1, frozen = true }},
    {{ call = "cpu_up", target = 1 }},
    {{ call = "cpu_down", target = 1 }},
    {{ call = "cpu_up_canceled", target = 1, frozen = true }},
    {{ call = "cpu_up_canceled", target = 1 }},
]
"""


@cache
def calls():
    return run_text(CALLS, probe=True)


@cache
def busy():
    return run_text(BUSY, probe=True)


@cache
def stray():
    return run_text("""
cores = 2
[[program]]
cores = [0]
commands = [{ call = "single_vector", target = 1 }, { call = "many_vector", target = 1, at = 300 }]
""", extra=STRAY, probe=True)


@cache
def hotplug():
    return run_text(HOTPLUG.format(free=0), probe=True)


@cache
def hotplug_freeing():
    return run_text(HOTPLUG.format(free=1), probe=True)


@cache
def trace(run, core):
    return Trace(run(), core)


def handler(run, core, number):
    return trace(run, core).between(Event.HANDLE, Event.HANDLE_END, number)


def test_the_runs_are_clean():
    for run in (calls, busy, stray, hotplug, hotplug_freeing):
        assert run().result.ok, run().result.violations


# --- smp_call_function_single ---------------------------------------------------------------------------------------

def stack(core, words=0, run=calls):
    """The value of stack_pointer[core] with so many words on the stack."""
    return run().image.address_of(f"stack[{core}][0]") + words


def framed(core, steps):
    """The csd on the stack is zeroed at entry, before anything is looked at."""
    return lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {stack(core, 5)}
        W d.list.next = 0
        W d.list.prev = 0
        W d.func = 0
        W d.info = 0
        W d.flags = 0
    """) + steps + lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {stack(core)}
    """)


def enqueue(csd, cpu, last=None):
    """generic_exec_single() up to the unlock: wait = data->flags & CSD_FLAG_WAIT is read before the csd is queued.

    There is no barrier between the unlock of the queue and the interrupt: 15d0d3b removed it.
    """
    return [f"R {csd}.flags"] + order.enqueue(csd, cpu, last)


#: A call that waits looks at the online mask, prepares the csd on its stack and fills it.
FILL_OWN = lines("""
    R cpu_online_mask.bits                              # cpu_online(cpu)
    R d.flags                                           # csd_wait_prepare(&d)
    W d.flags = WAIT
    W d.func = func_touch
    W d.info = &command
""")
#: One that does not locks the core's csd: no barrier.
FILL_SHARED = lines("""
    R cpu_online_mask.bits
    R csd_data[0].flags                                 # csd_lock(&per_cpu(csd_data, me))
    W csd_data[0].flags = LOCK
    W csd_data[0].func = func_touch
    W csd_data[0].info = &command
""")


def test_single_that_waits():
    assert trace(calls, 0).of_call(WAIT1) == framed(0, FILL_OWN + enqueue("d", 1) + SEND + ["R d.flags"])


def test_single_that_does_not_wait():
    assert trace(calls, 0).of_call(NOWAIT) == framed(0, FILL_SHARED + enqueue("csd_data[0]", 1) + SEND)


def test_single_for_the_own_cpu():
    assert trace(calls, 0).of_call(OWN) == framed(0, lines("""
        irq save                                        # local_irq_save(flags)
        call                                            # func(info)
        ADD command.data 1
        irq restore
    """))


@pytest.mark.parametrize("number, looks", [(OFFLINE, ["R cpu_online_mask.bits"]), (ABSENT, [])], ids=["offline", "out of range"])
def test_single_for_nobody(number, looks):
    assert trace(calls, 0).of_call(number) == framed(0, looks)
    assert calls().result.calls[number].result == -6, "-ENXIO"


def test_single_into_a_queue_that_is_not_empty_sends_nothing():
    assert trace(busy, 2).of_call(0) == framed(2, FILL_OWN + enqueue("d", 1, last="csd_data[0]") + ["R d.flags"])


def test_csd_lock_waits_for_the_handler():
    """The second nowait call spins until the handler has unlocked the csd, and only then touches it."""
    assert trace(busy, 0).of_call(3) == framed(0, FILL_SHARED + enqueue("csd_data[0]", 1) + SEND)
    csd = busy().image.address_of("csd_data[0]")
    locked, unlocked = ([record.clock for record in busy().events(event) if record.a == csd]
                        for event in (Event.CSD_LOCK, Event.CSD_UNLOCK))
    assert sorted(locked + unlocked) == [locked[0], unlocked[0], locked[1], unlocked[1]]


# --- __smp_call_function_single -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number, cpu, wakes", [(CSD_WAIT, 1, ["R command.own.csd.flags"]), (CSD_NOWAIT, 1, []), (CSD_OWN, 0, [])],
                         ids=["wait", "nowait", "own cpu"])
def test_single_with_the_callers_own_csd(number, cpu, wakes):
    assert trace(calls, 0).of_call(number) == lines("""
        R command.own.csd.flags                             # WARN_ON((data->flags & CSD_FLAG_WAIT) && irqs_disabled())
    """) + enqueue("command.own.csd", cpu) + SEND + wakes


# --- smp_call_function_many -----------------------------------------------------------------------------------------


def pick(mask, times):
    """M2: cpumask_first_and() and cpumask_next_and(), each of which reads both masks."""
    return [f"R {mask}", "R cpu_online_mask.bits"] * times


def publish(mask, wait, cpus, targets):
    return lines("""
        R cfd_data[0].csd.flags                         # M3
        W cfd_data[0].csd.flags = LOCK
        irq save                                        # M4
        LK cfd_data[0].lock
    """) + (lines("""
        R cfd_data[0].csd.flags                         # M5
        W cfd_data[0].csd.flags = WAIT|LOCK
    """) if wait else []) + lines(f"""
        W cfd_data[0].csd.func = func_touch             # M6
        W cfd_data[0].csd.info = &command
        R {mask}                                        # M7: copied with the own bit, which is then cleared atomically
        R cpu_online_mask.bits
        R cfd_data[0].cpumask
        W cpumask_pool[0].bits = {cpus}
        CLEAR cpumask_pool[0].bits {{0}}
        R cpumask_pool[0].bits
        W cfd_data[0].refs = {targets}
        LK call_function.lock                           # M8: list_add_rcu() at the head
        R call_function.queue.next
        W cfd_data[0].csd.list.next = &call_function.queue
        W cfd_data[0].csd.list.prev = &call_function.queue
        wmb list_add_rcu_wmb
        W call_function.queue.next = &cfd_data[0].csd
        W call_function.queue.prev = &cfd_data[0].csd
        UL call_function.lock
        UL cfd_data[0].lock                             # M9
        irq restore
        mb smp_mb_before_ipi                            # M10
        R cfd_data[0].cpumask                           # M11: the live mask, compared with all online cpus but this one ...
        R cpu_online_mask.bits
        R cpumask_pool[0].bits
    """)


#: ... which it is: each of the others is sent one message.
SEND_ALL_BUT_SELF = lines("""
    irq save
    R cpu_online_mask.bits
    ICR
    R cpu_online_mask.bits
    ICR
    R cpu_online_mask.bits
    irq restore
""")


def test_many_for_nobody():
    assert trace(calls, 0).of_call(NONE) == pick("command.mask.bits", 2)


def test_many_with_one_target_takes_the_fast_path():
    single = framed(0, FILL_OWN + enqueue("d", 1) + SEND + ["R d.flags"])
    assert trace(calls, 0).of_call(FAST) == pick("command.mask.bits", 3) + single


def test_many_that_waits():
    assert trace(calls, 0).of_call(MANY_WAIT) == (
        pick("command.mask.bits", 3) + publish("command.mask.bits", True, "{0,1,2}", 2) + SEND_ALL_BUT_SELF
        + ["R cfd_data[0].csd.flags"])                  # M12


def test_many_that_does_not_wait():
    assert trace(calls, 0).of_call(MANY_NOWAIT) == (
        pick("command.mask.bits", 3) + publish("command.mask.bits", False, "{0,1,2}", 2) + SEND_ALL_BUT_SELF)


def test_many_reads_its_own_live_mask_for_each_target():
    """Fewer targets than all others: the mask that is sent to is read again and again, after publication."""
    assert trace(busy, 0).of_call(0)[-9:] == lines("""
        R cpu_online_mask.bits
        R cpumask_pool[0].bits
        irq save
        R cpumask_pool[0].bits
        ICR
        R cpumask_pool[0].bits
        ICR
        R cpumask_pool[0].bits
        irq restore
    """)


def test_all_is_many_with_the_online_mask():
    mask = "cpu_online_mask.bits"
    assert trace(calls, 0).of_call(ALL) == pick(mask, 3) + publish(mask, False, "{0,1,2}", 2) + SEND_ALL_BUT_SELF


def test_each_is_all_and_then_here():
    mask = "cpu_online_mask.bits"
    assert trace(calls, 0).of_call(EACH) == (
        pick(mask, 3) + publish(mask, True, "{0,1,2}", 2) + SEND_ALL_BUT_SELF + ["R cfd_data[0].csd.flags"] + lines("""
            irq off                                     # local_irq_disable(), whatever it was before
            call
            ADD command.data 1
            irq on
        """))


def test_ipi_call_lock():
    steps = trace(calls, 0).between(Event.COMMAND, Event.COMMAND_DONE, 14)
    start = steps.index("irq off")
    assert steps[start:start + 6] == lines("""
        irq off
        LK call_function.lock
        call
        ADD command.data 1
        UL call_function.lock
        irq on
    """)


# --- generic_smp_call_function_interrupt ----------------------------------------------------------------------------


def take(owner, core, refs):
    """H1-H6 of a handler whose bit is set."""
    cfd, mask = f"cfd_data[{owner}]", f"cpumask_pool[{owner}].bits"
    return lines(f"""
        LK {cfd}.lock                                   # H1
        R {cfd}.cpumask                                 # H2
        R {mask}
        CLEAR {mask} {{{core}}}                           # H3
        R {cfd}.refs                                    # H4: WARN_ON(data->refs == 0), and then --data->refs
        R {cfd}.refs
        W {cfd}.refs = {refs}
        R {cfd}.csd.func                                # H5
        R {cfd}.csd.info
        R {cfd}.csd.flags
        UL {cfd}.lock                                   # H6
    """)


def release(owner, before="call_function.queue", after="call_function.queue", flags="0"):
    """H7 of the last one: list_del_rcu() keeps next; csd_unlock() comes before func."""
    csd = f"cfd_data[{owner}].csd"
    link = "{}.{}".format
    return lines(f"""
        LK call_function.lock
        R {csd}.list.next
        R {csd}.list.prev
        W {link(after, "prev")} = &{before.removesuffix(".list")}
        W {link(before, "next")} = &{after.removesuffix(".list")}
        W {csd}.list.prev = LIST_POISON2
        UL call_function.lock
        R {csd}.flags                                   # WARN_ON(!(data->flags & CSD_FLAG_LOCK))
        wmb csd_unlock_wmb
        R {csd}.flags
        W {csd}.flags = {flags}
    """)


FUNC = lines("""
    call                                                # H8
    ADD command.data 1
""")
ENTER = lines("""
    mb handler_mb
    R call_function.queue.next
""")


def test_many_handler_that_is_not_the_last():
    assert handler(calls, 1, 5) == ENTER + take(0, 1, 1) + FUNC + ["R cfd_data[0].csd.list.next"]


def test_many_handler_that_is_the_last_of_a_call_that_waits():
    assert handler(calls, 2, 0) == ENTER + take(0, 2, 0) + release(0, flags="WAIT") + FUNC + lines("""
        wmb csd_complete_wmb                            # H9
        R cfd_data[0].csd.flags
        W cfd_data[0].csd.flags = 0
        R cfd_data[0].csd.list.next
    """)


def test_many_handler_that_is_the_last_of_a_call_that_does_not_wait():
    assert handler(calls, 2, 1) == ENTER + take(0, 2, 0) + release(0) + FUNC + ["R cfd_data[0].csd.list.next"]


def test_many_handler_that_passes_an_entry_that_is_not_for_it():
    """Core 2 has taken its bit of core 0's entry; core 3's stands before it, because entries are added at the head."""
    assert handler(busy, 2, 1) == ENTER + take(3, 2, 1) + FUNC + lines("""
        R cfd_data[3].csd.list.next
        LK cfd_data[0].lock
        R cfd_data[0].cpumask
        R cpumask_pool[0].bits
        UL cfd_data[0].lock
        R cfd_data[0].csd.list.next
    """)


def test_many_handler_with_two_entries():
    """Core 1 comes late and is the last of both; the second of core 0's calls waits for csd_lock() meanwhile."""
    assert handler(busy, 1, 0) == (
        ENTER + take(3, 1, 0) + release(3, after="cfd_data[0].csd.list") + FUNC + ["R cfd_data[3].csd.list.next"]
        + take(0, 1, 0) + release(0) + FUNC + ["R cfd_data[0].csd.list.next"])


# --- generic_smp_call_function_single_interrupt ---------------------------------------------------------------------


def spliced(core, steps, *, start=None, **ends):
    return order.spliced(core, stack(core) if start is None else start, steps, **ends)


def serve(csd, *, wait=False, lock=False, after="list"):
    """One entry: list_del() with both poisons; copies; csd_unlock() before func; csd_complete() after it."""
    following = "list" if after == "list" else f"{after}.list"
    return lines(f"""
        R {csd}.list.next
        R {csd}.list.prev
        W {following}.prev = &list
        W list.next = &{after}
        W {csd}.list.next = LIST_POISON1
        W {csd}.list.prev = LIST_POISON2
        R {csd}.func
        R {csd}.info
        R {csd}.flags                                   # wait = data->flags & CSD_FLAG_WAIT
        R {csd}.flags                                   # if (data->flags & CSD_FLAG_LOCK)
    """) + (lines(f"""
        R {csd}.flags                                   # WARN_ON(!(data->flags & CSD_FLAG_LOCK))
        wmb csd_unlock_wmb
        R {csd}.flags
        W {csd}.flags = 0
    """) if lock else []) + FUNC + (lines(f"""
        wmb csd_complete_wmb
        R {csd}.flags
        W {csd}.flags = 0
    """) if wait else []) + ["R list.next"]


@pytest.mark.parametrize("number, csd, flags", [
    (0, "d", {"wait": True}),
    (1, "csd_data[0]", {"lock": True}),
    (2, "command.own.csd", {"wait": True}),
    (3, "command.own.csd", {}),
], ids=["stack, wait", "csd_data, nowait", "own csd, wait", "own csd, nowait"])
def test_single_handler(number, csd, flags):
    assert handler(calls, 1, number) == spliced(1, serve(csd, **flags), first=csd, last=csd)


def test_single_handler_on_the_calling_core():
    assert handler(calls, 0, 0) == spliced(0, serve("command.own.csd"), first="command.own.csd", last="command.own.csd")


def test_single_handler_with_two_entries():
    """It interrupts a call, whose csd on the stack stays below the handler's frame."""
    number = [record.b for record in busy().events(Event.HANDLE, core=1)].index(0xFB)
    steps = serve("csd_data[0]", lock=True, after="d") + serve("d", wait=True)
    assert handler(busy, 1, number) == spliced(1, steps, first="csd_data[0]", last="d", start=stack(1, 5))


def test_handlers_that_find_nothing():
    """Only a stray interrupt finds the single queue empty: every other one was sent for an entry that is still there."""
    assert handler(stray, 1, 0) == spliced(1, [], start=stack(1, run=stray))
    assert handler(stray, 1, 1) == ENTER
    assert len(stray().events(Event.DEQUEUE_EMPTY)) == 1


# --- boot and hotplug -----------------------------------------------------------------------------------------------


def prepared(cpu, mask, failures=0):
    """alloc_cpumask_var_node(): the pointer is stored also if there is no memory; the mask itself is not zeroed."""
    return lines(f"""
        R allocation_failures
        W allocation_failures = {failures}
        R next_cpumask
        W next_cpumask = &cpumask_pool[{mask + 1}]
        W cfd_data[{cpu}].cpumask = &cpumask_pool[{mask}]
    """)


def test_init_call_single_data():
    """All possible queues first, then the mask of the boot cpu."""
    assert trace(calls, 0).between(Event.ONLINE, Event.NOTIFY_RESULT) == ["SET cpu_online_mask.bits {0}"] + [
        line for cpu in range(4) for line in lines(f"""
            W call_single_queue[{cpu}].lock = 0
            W call_single_queue[{cpu}].list.next = &call_single_queue[{cpu}]
            W call_single_queue[{cpu}].list.prev = &call_single_queue[{cpu}]
        """)] + prepared(0, 0)


def notices(run):
    """(action, steps) of each call of the notifier."""
    actions = [record.b for record in run().events(Event.NOTIFY)]
    return [(action, trace(run, 0).between(Event.NOTIFY, Event.NOTIFY_RESULT, number)) for number, action in enumerate(actions)]


UP_PREPARE, UP_CANCELED, DEAD, FROZEN = 3, 4, 7, 0x10
NO_MEMORY = lines("""
    R allocation_failures
    W allocation_failures = 0
    W cfd_data[1].cpumask = NULL
""")


def test_notifier():
    """The free stands behind a config symbol that does not exist: the dead and the canceled keep their mask, and it is lost."""
    assert notices(hotplug) == [
        (UP_PREPARE, prepared(0, 0, 1 << 14)),          # the boot cpu's own, from init_call_single_data()
        (UP_PREPARE, prepared(1, 1, 1 << 15)),
        (DEAD | FROZEN, []),
        (UP_PREPARE | FROZEN, NO_MEMORY),               # NOTIFY_BAD: it is not told UP_CANCELED
        (UP_PREPARE, prepared(1, 2)),
        (DEAD, []),
        (UP_PREPARE | FROZEN, [line.replace("&cpumask_pool[4]", "the end") for line in prepared(1, 3)]),
        (UP_CANCELED | FROZEN, []),
        # The masks are used up.
        (UP_PREPARE, [line for line in prepared(1, 4) if "next_cpumask =" not in line][:-1] + NO_MEMORY[-1:]),
    ]


def test_notifier_with_the_free():
    freed = lines("""
        R cfd_data[1].cpumask                           # free_cpumask_var(cfd->cpumask)
        R freed_cpumasks
        W cpumask_pool[1].bits = {}
        W freed_cpumasks = &cpumask_pool[1]
    """)
    again = lines("""
        R allocation_failures
        W allocation_failures = 0
        R freed_cpumasks
        R cpumask_pool[1].bits
        W freed_cpumasks = NULL
        W cfd_data[1].cpumask = &cpumask_pool[1]
    """)
    fresh = prepared(1, 1, 1 << 15)
    fresh.insert(2, "R freed_cpumasks")
    first = prepared(0, 0, 1 << 14)
    first.insert(2, "R freed_cpumasks")
    assert notices(hotplug_freeing) == [
        (UP_PREPARE, first),
        (UP_PREPARE, fresh),
        (DEAD | FROZEN, freed),
        (UP_PREPARE | FROZEN, NO_MEMORY),
        (UP_PREPARE, again),
        (DEAD, freed),
        (UP_PREPARE | FROZEN, again),
        (UP_CANCELED | FROZEN, freed),
        (UP_PREPARE, again),
        (UP_CANCELED, freed),
    ]


def test_cpu_down_stops_the_machine():
    """The others are there before the state is stored; the dying core leaves the mask with interrupts off, which it had on."""
    down = trace(hotplug, 0).between(Event.COMMAND, Event.NOTIFY)
    start = down.index("W stop_machine.dying = 1")
    assert [step for step in down[start:] if not step.startswith(("R ", "ICR"))] == lines("""
        W stop_machine.dying = 1
        SWAP stop_machine.acks 2
        W stop_machine.state = 1
        irq save
        irq restore
        SWAP stop_machine.acks 0
        irq off
        W stop_machine.state = 2
        W dead[1] = 0
        W stop_machine.state = 0
        irq on
    """)
    dying = trace(hotplug, 1).between(Event.PROGRAM_DONE, Event.OFFLINE)
    assert dying[-6:] == lines("""
        ADD stop_machine.acks 65535
        R stop_machine.state
        R stop_machine.dying
        R stop_machine.acks
        irq off
        CLEAR cpu_online_mask.bits {1}
    """)
