"""The generations before and after v4 do their memory operations in the order of their descriptions.

The lists are written from docs/generations.md, not from the microcode. The notation: ``order``.
"""

import pytest

from rtl.events import Event

from .order import BUSY, CALLS, SEND, Looking, enqueue, lines, send_each, spliced

WAIT1, NOWAIT, OWN, OFFLINE, ABSENT, CSD_WAIT, CSD_NOWAIT, CSD_OWN, NONE, FAST, MANY_WAIT, MANY_NOWAIT, ALL, EACH = range(14)

#: With single.uasm: LOCK alone, given back after the function.
LOCKED = ["v2.6.30", "v2.6.32", "v2.6.39", "v3.10"]
#: With a queue for all.
GLOBAL = ["v2.6.30", "v2.6.32", "v2.6.39"]


@pytest.fixture(scope="module", params=LOCKED)
def locked(request):
    return Looking(request.param)


@pytest.fixture(scope="module", params=GLOBAL)
def shared(request):
    return Looking(request.param)


@pytest.fixture(scope="module")
def v6():
    return Looking("v6")


@pytest.mark.parametrize("protocol", [*LOCKED, "v6"])
def test_the_runs_are_clean(protocol):
    looking = Looking(protocol)
    for text in (CALLS, BUSY):
        assert looking.run(text).result.ok, looking.run(text).result.violations


FUNC = ["call", "ADD command.data 1"]


def online(looking):
    """cpu_online(this_cpu) && irqs_disabled(), and !cpu_online() in a handler: of 2.6.32 and later."""
    return [] if looking.protocol == "v2.6.30" else ["R cpu_online_mask.bits"]


# --- the single path, from 2.6.30 to 3.10 ---------------------------------------------------------------------------


def framed(looking, core, steps):
    """The csd on the stack is zeroed at entry."""
    return lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {looking.stack(core, 5)}
        W d.list.next = 0
        W d.list.prev = 0
        W d.func = 0
        W d.info = 0
        W d.flags = 0
    """) + online(looking) + steps + lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {looking.stack(core)}
    """)


def lock(looking, csd):
    """csd_lock(): from 3.10 on LOCK is added to the flags, which are read again. Then a full barrier."""
    return [f"R {csd}.flags"] * (2 if looking.protocol == "v3.10" else 1) + [f"W {csd}.flags = LOCK", "mb csd_lock_mb"]


def unlock(csd):
    return lines(f"""
        R {csd}.flags                                   # WARN_ON(!(data->flags & CSD_FLAG_LOCK))
        mb csd_unlock_mb
        R {csd}.flags
        W {csd}.flags = 0
    """)


def fill(looking, csd):
    return ["R cpu_online_mask.bits", *lock(looking, csd), f"W {csd}.func = func_touch", f"W {csd}.info = &command"]


def test_single_that_waits(locked):
    assert locked.call(CALLS, 0, WAIT1) == framed(locked, 0, fill(locked, "d") + enqueue("d", 1) + SEND + ["R d.flags"])


def test_single_that_does_not_wait(locked):
    assert locked.call(CALLS, 0, NOWAIT) == framed(locked, 0, fill(locked, "csd_data[0]") + enqueue("csd_data[0]", 1) + SEND)


def test_single_for_the_own_cpu(locked):
    assert locked.call(CALLS, 0, OWN) == framed(locked, 0, ["irq save", *FUNC, "irq restore"])


@pytest.mark.parametrize("number, looks", [(OFFLINE, ["R cpu_online_mask.bits"]), (ABSENT, [])], ids=["offline", "out of range"])
def test_single_for_nobody(locked, number, looks):
    assert locked.call(CALLS, 0, number) == framed(locked, 0, looks)
    assert locked.run(CALLS).result.calls[number].result == -6, "-ENXIO"


@pytest.mark.parametrize("number, wakes", [(CSD_WAIT, ["R command.own.csd.flags"]), (CSD_NOWAIT, [])], ids=["wait", "nowait"])
def test_single_with_the_callers_own_csd(locked, number, wakes):
    """Up to 2.6.36 csd_lock() comes before the WARN."""
    csd = lock(locked, "command.own.csd")
    early = locked.protocol in ("v2.6.30", "v2.6.32")
    assert locked.call(CALLS, 0, number) == (
        (csd if early else []) + online(locked) + ([] if early else csd) + enqueue("command.own.csd", 1) + SEND + wakes)


def test_the_callers_own_csd_on_the_own_cpu(locked):
    """27c379f7f89a, in 2.6.37: the function is called here, and the csd is not even locked."""
    steps = locked.call(CALLS, 0, CSD_OWN)
    if locked.protocol in ("v2.6.30", "v2.6.32"):
        assert steps == lock(locked, "command.own.csd") + online(locked) + enqueue("command.own.csd", 0) + SEND
    else:
        assert steps == online(locked) + lines("""
            irq save
            R command.own.csd.func
            R command.own.csd.info
            call
            ADD command.data 1
            irq restore
        """)


def serve(csd, *, after="list"):
    """One entry: list_del() with both poisons; flags, and func and info straight from the csd; csd_unlock() after the function."""
    following = "list" if after == "list" else f"{after}.list"
    return lines(f"""
        R {csd}.list.next
        R {csd}.list.prev
        W {following}.prev = &list
        W list.next = &{after}
        W {csd}.list.next = LIST_POISON1
        W {csd}.list.prev = LIST_POISON2
        R {csd}.flags
        R {csd}.func
        R {csd}.info
    """) + FUNC + unlock(csd) + ["R list.next"]


@pytest.mark.parametrize("number, csd", [(0, "d"), (1, "csd_data[0]"), (2, "command.own.csd"), (3, "command.own.csd")])
def test_single_handler(locked, number, csd):
    assert locked.handler(CALLS, 1, number) == spliced(1, locked.stack(1), serve(csd), first=csd, last=csd, before=online(locked))


def test_single_handler_with_two_entries(locked):
    """It interrupts a call, whose csd on the stack stays below the handler's frame."""
    number = max(index for index, record in enumerate(locked.run(BUSY).events(Event.HANDLE, core=1)) if record.clock)
    steps = [locked.handler(BUSY, 1, index) for index in range(number + 1)]
    both = serve("csd_data[0]", after="d") + serve("d")
    wanted = spliced(1, locked.stack(1, 5), both, first="csd_data[0]", last="d", before=online(locked))
    assert wanted in steps


# --- many: one queue for all ----------------------------------------------------------------------------------------

PICK = ["R command.mask.bits", "R cpu_online_mask.bits"]
MASK = "cpumask_pool[0].bits"


def chosen(looking):
    """M1 and M2 of a call with two targets or more."""
    return online(looking) + PICK * 3


#: cpumask_and(), cpumask_clear_cpu() of the caller, cpumask_weight().
COPY = lines(f"""
    R command.mask.bits
    R cpu_online_mask.bits
    R cfd_data[0].cpumask
    W {MASK} = {{0,1,2}}
    CLEAR {MASK} {{0}}
    R {MASK}
""")
ADD = lines("""
    R call_function.queue.next                      # list_add_rcu() at the head
    W cfd_data[0].csd.list.next = &call_function.queue
    W cfd_data[0].csd.list.prev = &call_function.queue
    wmb list_add_rcu_wmb
    W call_function.queue.next = &cfd_data[0].csd
    W call_function.queue.prev = &cfd_data[0].csd
""")
FILL = lines("""
    W cfd_data[0].csd.func = func_touch
    W cfd_data[0].csd.info = &command
""")
#: The live mask, compared with all online cpus but this one, which it is: each of the others is sent one message.
KICK = lines(f"""
    mb smp_mb_before_ipi
    R cfd_data[0].cpumask
    R cpu_online_mask.bits
    R {MASK}
""") + send_each("cpu_online_mask.bits", 2)
PUBLISH = {
    "v2.6.30": ["irq save", "LK cfd_data[0].lock", *FILL, *COPY, "W cfd_data[0].refs = 2", "LK call_function.lock", *ADD,
                "UL call_function.lock", "UL cfd_data[0].lock", "irq restore"],
    "v2.6.32": [*FILL, *COPY, "W cfd_data[0].refs = 2", "irq save", "LK call_function.lock", *ADD, "UL call_function.lock",
                "irq restore"],
    # BUG_ON(refs || mask); refs = 0 is stored by the owner; func and info before the mask, refs last, in the list.
    "v2.6.39": ["R cfd_data[0].refs", "R cfd_data[0].cpumask", f"R {MASK}", "W cfd_data[0].refs = 0", *FILL, "wmb cpumask_wmb",
                *COPY, "irq save", "LK call_function.lock", *ADD, "W cfd_data[0].refs = 2", "UL call_function.lock", "irq restore"],
}


@pytest.mark.parametrize("number, wakes", [(MANY_WAIT, ["R cfd_data[0].csd.flags"]), (MANY_NOWAIT, [])], ids=["wait", "nowait"])
def test_many(shared, number, wakes):
    assert shared.call(CALLS, 0, number) == (
        chosen(shared) + lock(shared, "cfd_data[0].csd") + PUBLISH[shared.protocol] + KICK + wakes)


def test_many_with_one_target_takes_the_fast_path(locked):
    single = framed(locked, 0, fill(locked, "d") + enqueue("d", 1) + SEND + ["R d.flags"])
    assert locked.call(CALLS, 0, FAST) == online(locked) + PICK * 3 + single
    assert locked.call(CALLS, 0, NONE) == online(locked) + PICK * 2


CFD, CSD = "cfd_data[0]", "cfd_data[0].csd"
CALLED = [f"R {CSD}.func", f"R {CSD}.info", *FUNC]
DELETE = lines(f"""
    LK call_function.lock
    R {CSD}.list.next
    R {CSD}.list.prev
    W call_function.queue.prev = &call_function.queue
    W call_function.queue.next = &call_function.queue
    W {CSD}.list.prev = LIST_POISON2
    UL call_function.lock
""")


def taken(protocol, core, refs):
    """What is done with an entry whose bit is set. refs : what is left of it."""
    last = not refs
    if protocol == "v2.6.30":
        return lines(f"""
            LK {CFD}.lock
            R {CFD}.cpumask
            R {MASK}
            CLEAR {MASK} {{{core}}}
            UL {CFD}.lock
        """) + CALLED + lines(f"""
            LK {CFD}.lock
            R {CFD}.refs                                # WARN_ON(data->refs == 0), and then --data->refs
            R {CFD}.refs
            W {CFD}.refs = {refs}
        """) + (DELETE if last else []) + [f"UL {CFD}.lock"] + (unlock(CSD) if last else [])
    count = [f"ADD {CFD}.refs 65535"]
    if protocol == "v2.6.32":
        return lines(f"""
            R {CFD}.cpumask
            CLEAR {MASK} {{{core}}}
        """) + CALLED + count + (DELETE + unlock(CSD) if last else [])
    return lines(f"""
        R {CFD}.cpumask
        R {MASK}
        rmb refs_rmb
        R {CFD}.refs
    """) + CALLED + lines(f"""
        R {CFD}.cpumask
        CLEAR {MASK} {{{core}}}
    """) + count + ([f"R {CFD}.cpumask", f"R {MASK}", *DELETE, *unlock(CSD)] if last else [])


@pytest.mark.parametrize("core, number, refs", [(1, 5, 1), (2, 0, 0)], ids=["not the last", "the last"])
def test_many_handler(shared, core, number, refs):
    assert shared.handler(CALLS, core, number) == (
        online(shared) + ["mb handler_mb", "R call_function.queue.next"] + taken(shared.protocol, core, refs)
        + [f"R {CSD}.list.next"])


def test_many_handler_that_passes_an_entry_that_is_not_for_it(shared):
    """Core 3's entry stands before core 0's, because entries are added at the head; core 2 has taken its bit of core 0's."""
    passes = {"v2.6.30": [f"LK {CFD}.lock", f"R {CFD}.cpumask", f"R {MASK}", f"UL {CFD}.lock"],
              "v2.6.32": [f"R {CFD}.cpumask", f"CLEAR {MASK} {{2}}"], "v2.6.39": [f"R {CFD}.cpumask", f"R {MASK}"]}
    wanted = ["R cfd_data[3].csd.list.next", *passes[shared.protocol], f"R {CSD}.list.next"]
    assert shared.handler(BUSY, 2, 1)[-len(wanted):] == wanted


# --- v3.10 ----------------------------------------------------------------------------------------------------------

def test_many_of_v3_10():
    """A csd for each target, in the queues of the single path; the mask is copied before anybody is told; no barrier."""
    looking = Looking("v3.10")
    own = "cfd_data[0].cpumask.bits"

    def put(target):
        csd = f"csds[0][{target}]"
        add = enqueue(csd, target)
        del add[2]                                      # whether the queue was empty does not matter
        filled = [f"W {csd}.func = func_touch", f"W {csd}.info = &command"]
        return [f"R {own}", "R cfd_data[0].csd", *lock(looking, csd), *filled, *add]

    copied = lines(f"""
        R command.mask.bits
        R cpu_online_mask.bits
        W {own} = {{0,1,2}}
        CLEAR {own} {{0}}
        R {own}                                         # nobody left?
        R {own}                                         # cpumask_copy()
        W cfd_data[0].cpumask_ipi.bits = {{1,2}}
    """)
    kicked = ["R cpu_online_mask.bits", "R cfd_data[0].cpumask_ipi.bits", *send_each("cpu_online_mask.bits", 2)]
    waits = [step for target in (1, 2) for step in (f"R {own}", "R cfd_data[0].csd", f"R csds[0][{target}].flags")] + [f"R {own}"]
    without = chosen(looking) + copied + put(1) + put(2) + [f"R {own}"] + kicked
    assert looking.call(CALLS, 0, MANY_NOWAIT) == without
    assert looking.call(CALLS, 0, MANY_WAIT) == without + waits


def test_many_handler_of_v3_10_is_that_of_singles():
    looking = Looking("v3.10")
    assert looking.handler(CALLS, 2, 0) == spliced(
        2, looking.stack(2), serve("csds[0][2]"), first="csds[0][2]", last="csds[0][2]", before=online(looking))


# --- v6 -------------------------------------------------------------------------------------------------------------


def push(csd, cpu, first="0"):
    """llist_add(): the link, then the exchange."""
    head = f"call_single_queue[{cpu}].first"
    return [f"R {head}", f"W {csd}.node.next = {first}", f"CAS {head} &{csd}"]


def v6_lock(csd):
    return [f"R {csd}.flags", "rmb csd_lock_acquire", f"R {csd}.flags", f"W {csd}.flags = LOCK", "wmb csd_lock_wmb"]


def v6_unlock(csd):
    return [f"R {csd}.flags", "wmb csd_unlock_release", f"W {csd}.flags = 0"]


def v6_fill(csd):
    return [f"W {csd}.func = func_touch", f"W {csd}.info = &command"]


def v6_wait(csd):
    return [f"R {csd}.flags", "rmb csd_lock_wait_acquire"]


def v6_framed(looking, steps):
    """The csd on the stack is born locked and synchronous."""
    return lines(f"""
        R stack_pointer[0]
        W stack_pointer[0] = {looking.stack(0, 4)}
        W d.node.next = 0
        W d.flags = LOCK|SYNC
        W d.func = 0
        W d.info = 0
        R cpu_online_mask.bits
    """) + steps + lines(f"""
        R stack_pointer[0]
        W stack_pointer[0] = {looking.stack(0)}
    """)


def test_single_of_v6(v6):
    shared = [*v6_lock("csd_data[0]"), *v6_fill("csd_data[0]")]
    assert v6.call(CALLS, 0, WAIT1) == v6_framed(
        v6, [*v6_fill("d"), "R cpu_online_mask.bits", *push("d", 1), *SEND, *v6_wait("d")])
    assert v6.call(CALLS, 0, NOWAIT) == v6_framed(v6, [*shared, "R cpu_online_mask.bits", *push("csd_data[0]", 1), *SEND])
    # The own core: func and info are read, the csd is given back, and then the function runs.
    assert v6.call(CALLS, 0, OWN) == v6_framed(
        v6, [*shared, "R csd_data[0].func", "R csd_data[0].info", *v6_unlock("csd_data[0]"), "irq save", *FUNC, "irq restore"])
    assert v6.call(CALLS, 0, OFFLINE) == v6_framed(v6, [*shared, "R cpu_online_mask.bits", *v6_unlock("csd_data[0]")])
    assert v6.call(CALLS, 0, ABSENT) == v6_framed(v6, [*shared, *v6_unlock("csd_data[0]")])


def test_single_async_of_v6(v6):
    csd = "command.own.csd"
    assert v6.call(CALLS, 0, CSD_NOWAIT) == [
        f"R {csd}.flags", f"W {csd}.flags = LOCK", "wmb csd_async_wmb", "R cpu_online_mask.bits", *push(csd, 1), *SEND]


def v6_many(mask, targets, wait):
    """many_cond() up to the interrupts, whose mask is that of queues that were empty."""
    own, ipi = "cfd_data[0].cpumask.bits", "cfd_data[0].cpumask_ipi.bits"
    steps = ["R cpu_online_mask.bits", f"R {mask}", "R cpu_online_mask.bits", f"R {mask}", "R cpu_online_mask.bits"]
    steps += [f"R {mask}", "R cpu_online_mask.bits", f"W {own} = {{0,1,2}}", f"R {own}", f"W {own} = {{1,2}}", f"W {ipi} = {{}}"]
    told = []
    for target in targets:
        csd = f"csds[0][{target}]"
        told.append(target)
        steps += [f"R {own}", "R cfd_data[0].csd", *v6_lock(csd)]
        steps += [f"R {csd}.flags", f"W {csd}.flags = LOCK|SYNC"] if wait else []
        steps += [*v6_fill(csd), *push(csd, target), f"R {ipi}", f"W {ipi} = {{{','.join(map(str, told))}}}"]
    return steps + [f"R {own}", "R cpu_online_mask.bits", f"R {ipi}", *send_each("cpu_online_mask.bits", 2)]


def v6_waits(targets):
    own = "cfd_data[0].cpumask.bits"
    return [step for target in targets for step in (f"R {own}", "R cfd_data[0].csd", *v6_wait(f"csds[0][{target}]"))] + [f"R {own}"]


def test_many_of_v6(v6):
    assert v6.call(CALLS, 0, MANY_NOWAIT) == v6_many("command.mask.bits", (1, 2), False)
    assert v6.call(CALLS, 0, MANY_WAIT) == v6_many("command.mask.bits", (1, 2), True) + v6_waits((1, 2))


def test_each_of_v6_runs_here_before_it_waits(v6):
    each = v6_many("cpu_online_mask.bits", (1, 2), True)
    # run_local: this cpu is in the mask.
    each.insert(1, "R cpu_online_mask.bits")
    assert v6.call(CALLS, 0, EACH) == each + ["irq save", *FUNC, "irq restore"] + v6_waits((1, 2))


def reversed_queue(core, csds):
    """llist_del_all(), llist_reverse_order(). csds : the last one that was added first."""
    steps = [f"SWAP call_single_queue[{core}].first 0"]
    for before, csd in zip(["0", *(f"&{csd}" for csd in csds)], csds, strict=False):
        steps += [f"R {csd}.node.next", f"W {csd}.node.next = {before}"]
    return [*steps, "R cpu_online_mask.bits"]


def test_handler_of_v6(v6):
    """Who waits has his csd back after the function, who does not before it."""
    assert v6.handler(CALLS, 1, 0) == (
        reversed_queue(1, ["d"]) + ["R d.node.next", "R d.flags", "R d.func", "R d.info", *FUNC] + v6_unlock("d"))
    csd = "csd_data[0]"
    look = [f"R {csd}.node.next", f"R {csd}.flags"]
    assert v6.handler(CALLS, 1, 1) == (
        reversed_queue(1, [csd]) + look + look + [f"R {csd}.func", f"R {csd}.info"] + v6_unlock(csd) + FUNC)


def test_handler_of_v6_serves_who_waits_first(v6):
    """Core 0's csd was queued first; core 2 waits."""
    last = len(v6.run(BUSY).events(Event.HANDLE, core=1)) - 1
    look = ["R {0}.node.next", "R {0}.flags"]
    first, second = "csd_data[0]", "d"
    wanted = (
        reversed_queue(1, [second, first]) + [step.format(first) for step in look] + [step.format(second) for step in look]
        + ["R d.func", "R d.info", f"W {first}.node.next = 0", *FUNC, *v6_unlock("d")]
        + [step.format(first) for step in look] + [f"R {first}.func", f"R {first}.info", *v6_unlock(first), *FUNC])
    assert wanted in [v6.handler(BUSY, 1, number) for number in range(last + 1)]


# --- v2.6.29 and v2.6.27-rc1: what a call needs is allocated --------------------------------------------------------

#: Who calls a core that is not there is refused only from 2.6.28 on.
PRESENT = CALLS.replace("target = 3,", "target = 0,").replace("target = 99,", "target = 0,")
#: Every allocation fails. Who calls several cores has to call one after the other.
NO_MEMORY = """
cores = 4
[boot]
online = [0, 1, 2]
kmalloc_fails = [1, 2, 3, 4]
[[program]]
cores = [0]
commands = [
    { call = "single", target = 1, func = "touch" },
    { call = "many", mask = "all", func = "touch", at = 400 },
]
"""
POOL, ENTRY = "cfd_pool[0]", "cfd_pool[0].csd"


@pytest.fixture(scope="module")
def v2_6_29():
    return Looking("v2.6.29")


@pytest.fixture(scope="module")
def first():
    """The first generation."""
    return Looking("v2.6.27-rc1")


@pytest.fixture(scope="module", params=["v2.6.29", "v2.6.27-rc1"])
def allocating(request):
    return Looking(request.param)


def has_barrier(looking):
    """smp_mb() stands before the interrupt, and not in csd_flag_wait() and the single handler."""
    return looking.protocol == "v2.6.29"


def test_the_runs_are_as_expected(v2_6_29, first):
    for text in (CALLS, BUSY, NO_MEMORY):
        assert v2_6_29.run(text).result.ok, v2_6_29.run(text).result.violations
    assert first.run(PRESENT).violations == {"O7"}, "who clears WAIT looks at the entry on the stack once more"


def in_frame(looking, core, steps, words=5):
    return lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {looking.stack(core, words)}
    """) + steps + lines(f"""
        R stack_pointer[{core}]
        W stack_pointer[{core}] = {looking.stack(core)}
    """)


def waited(looking, csd):
    return ([] if has_barrier(looking) else ["mb csd_flag_wait_mb"]) + [f"R {csd}.flags"]


def executed(looking, csd, *, wait, cpu=1):
    """generic_exec_single()."""
    barrier = ["mb single_mb_before_ipi"] if has_barrier(looking) else []
    return [f"R {csd}.flags"] + enqueue(csd, cpu) + barrier + SEND + (waited(looking, csd) if wait else [])


def filled(csd):
    return [f"W {csd}.func = func_touch", f"W {csd}.info = &command"]


def test_single_that_allocates(allocating):
    looks = ["R cpu_online_mask.bits"] if has_barrier(allocating) else []
    assert allocating.call(PRESENT, 0, WAIT1) == in_frame(
        allocating, 0, looks + ["W d.flags = WAIT", *filled("d")] + executed(allocating, "d", wait=True))
    csd = "csd_pool[0]"
    assert allocating.call(PRESENT, 0, NOWAIT) == in_frame(
        allocating, 0, [*looks, "kmalloc", f"W {csd}.flags = ALLOC", *filled(csd)] + executed(allocating, csd, wait=False))
    assert allocating.call(PRESENT, 0, OWN) == in_frame(allocating, 0, ["irq save", *FUNC, "irq restore"])


def test_single_for_nobody_before_v4(v2_6_29):
    assert v2_6_29.call(CALLS, 0, OFFLINE) == in_frame(v2_6_29, 0, ["R cpu_online_mask.bits"])
    assert v2_6_29.call(CALLS, 0, ABSENT) == in_frame(v2_6_29, 0, [])
    assert [v2_6_29.run(CALLS).result.calls[number].result for number in (OFFLINE, ABSENT)] == [-6, -6]


def test_the_callers_own_csd_before_v4(allocating):
    csd = "command.own.csd"
    for number, wait in ((CSD_WAIT, True), (CSD_NOWAIT, False)):
        assert allocating.call(PRESENT, 0, number) == [f"R {csd}.flags"] + executed(allocating, csd, wait=wait)


def without_memory(looking, target):
    """A single call whose allocation fails."""
    if has_barrier(looking):
        csd = "csd_data[0]"
        return in_frame(looking, 0, ["R cpu_online_mask.bits", "kmalloc", f"R {csd}.flags", f"W {csd}.flags = LOCK", *filled(csd)]
                        + executed(looking, csd, wait=False, cpu=target))
    return in_frame(looking, 0, ["kmalloc", "W d.flags = WAIT", *filled("d")] + executed(looking, "d", wait=True, cpu=target))


def test_single_without_memory(allocating):
    """d7240b988017: with the csd of its core, which it may have to wait for. Before: on the stack, and it waits."""
    assert allocating.call(NO_MEMORY, 0, 0) == without_memory(allocating, 1)


def test_many_without_memory(v2_6_29):
    """54b11e6d57a1: each of the online cores in the mask, one after the other."""
    look = ["R cpu_online_mask.bits", "R command.mask.bits"]
    assert v2_6_29.call(NO_MEMORY, 0, 1) == (
        PICK * 3 + ["kmalloc", "R cpu_online_mask.bits"] + look + without_memory(v2_6_29, 1) + look + without_memory(v2_6_29, 2)
        + ["R cpu_online_mask.bits"])


def published(csd):
    return lines(f"""
        irq save
        LK call_function.lock
        R call_function.queue.prev                      # list_add_tail_rcu()
        W {csd}.list.next = &call_function.queue
        W {csd}.list.prev = &call_function.queue
        wmb list_add_rcu_wmb
        W call_function.queue.next = &{csd}
        W call_function.queue.prev = &{csd}
        UL call_function.lock
        irq restore
    """)


@pytest.mark.parametrize("number, wait", [(MANY_WAIT, True), (MANY_NOWAIT, False)], ids=["wait", "nowait"])
def test_many_of_v2_6_29(v2_6_29, number, wait):
    mask = f"{POOL}.cpumask.bits"
    assert v2_6_29.call(CALLS, 0, number) == (
        PICK * 3 + ["kmalloc", f"W {POOL}.lock = 0", f"W {ENTRY}.flags = ALLOC"]
        + ([f"R {ENTRY}.flags", f"W {ENTRY}.flags = WAIT|ALLOC"] if wait else []) + filled(ENTRY)
        + ["R command.mask.bits", "R cpu_online_mask.bits", f"W {mask} = {{0,1,2}}", f"CLEAR {mask} {{0}}", f"R {mask}",
           f"W {POOL}.refs = 2"]
        + published(ENTRY) + ["mb many_mb_before_ipi", "R cpu_online_mask.bits", f"R {mask}"]
        + send_each("cpu_online_mask.bits", 2) + ([f"R {ENTRY}.flags"] if wait else []))


def test_many_of_v2_6_27_rc1(first):
    """The mask is read once; what is on the stack, and what is allocated."""
    frame = "stack[0]"

    def mask_call(entry, lock, refs, mask, flags, *, allocates):
        return ["R command.mask.bits", "R cpu_online_mask.bits"] + in_frame(first, 0, [
            f"W {frame}[9] = 6", *(["kmalloc"] if allocates else []), f"W {entry}.flags = {flags}", f"W {lock} = 0", *filled(entry),
            f"W {refs} = 2", f"W {mask}",
            *published(entry), "R cpu_online_mask.bits", f"R {frame}[9]", *send_each("cpu_online_mask.bits", 2),
            *([] if allocates else waited(first, entry))], 10)

    assert first.call(PRESENT, 0, MANY_WAIT) == mask_call(
        "d", f"{frame}[5]", f"{frame}[6]", f"{frame}[8] = 6", "WAIT", allocates=False)
    assert first.call(PRESENT, 0, MANY_NOWAIT) == mask_call(
        ENTRY, f"{POOL}.lock", f"{POOL}.refs", f"{POOL}.cpumask.bits = {{1,2}}", "ALLOC", allocates=True)


@pytest.mark.parametrize("core, number, refs", [(1, 5, 1), (2, 0, 0)], ids=["not the last", "the last"])
def test_many_handler_of_v2_6_29(v2_6_29, core, number, refs):
    """The function first; at 0 the entry is taken out, its WAIT is cleared, and RCU frees it."""
    over = lines(f"""
        LK call_function.lock
        R {ENTRY}.list.next
        R {ENTRY}.list.prev
        W call_function.queue.prev = &call_function.queue
        W call_function.queue.next = &call_function.queue
        W {ENTRY}.list.prev = LIST_POISON2
        UL call_function.lock
        R {ENTRY}.flags
        wmb csd_flag_wait_wmb
        R {ENTRY}.flags
        W {ENTRY}.flags = ALLOC
        R {ENTRY}.flags
        call_rcu
    """)
    assert v2_6_29.handler(CALLS, core, number) == lines(f"""
        R call_function.queue.next
        R {POOL}.cpumask.bits
        R {ENTRY}.func
        R {ENTRY}.info
    """) + FUNC + lines(f"""
        LK {POOL}.lock
        CLEAR {POOL}.cpumask.bits {{{core}}}
        R {POOL}.refs                                   # WARN_ON(data->refs == 0), and then --data->refs
        R {POOL}.refs
        W {POOL}.refs = {refs}
        UL {POOL}.lock
    """) + (over if not refs else []) + [f"R {ENTRY}.list.next"]


def test_many_handler_of_v2_6_27_rc1(first):
    """What is not waited for is allocated. Of what is, the next entry is read after it has been given back."""
    assert first.handler(PRESENT, 2, 0)[-5:] == lines("""
        R d.flags
        wmb csd_flag_wait_wmb
        R d.flags
        W d.flags = 0
        R d.list.next
    """)
    assert first.handler(PRESENT, 2, 1)[-3:] == [f"R {ENTRY}.flags", "call_rcu", f"R {ENTRY}.list.next"]


def test_many_handler_that_passes_an_entry_before_v4(allocating):
    """Entries are added at the tail: core 0's, whose bit core 2 has taken, stands before core 3's."""
    assert allocating.handler(BUSY, 2, 1)[:5] == lines("""
        R call_function.queue.next
        R cfd_pool[0].cpumask.bits
        R cfd_pool[0].csd.list.next
        R cfd_pool[1].cpumask.bits
        R cfd_pool[1].csd.func
    """)


@pytest.mark.parametrize("number, csd, flag", [(0, "d", "WAIT"), (1, "csd_pool[0]", "ALLOC"), (2, "command.own.csd", "WAIT"),
                                               (3, "command.own.csd", None)])
def test_single_handler_before_v4(allocating, number, csd, flag):
    """The queue is looked at without its lock, before and after."""
    ends = {"WAIT": ["wmb csd_flag_wait_wmb", f"R {csd}.flags", f"W {csd}.flags = 0"], "ALLOC": ["kfree"], None: []}[flag]
    check_single_handler(allocating, PRESENT, number, csd, ends)


def test_single_handler_without_memory(v2_6_29):
    csd = "csd_data[0]"
    check_single_handler(v2_6_29, NO_MEMORY, 0, csd, ["wmb csd_unlock_wmb", f"R {csd}.flags", f"W {csd}.flags = 0"])


def check_single_handler(looking, text, number, csd, ends):
    look = ([] if has_barrier(looking) else ["mb single_handler_mb"]) + ["R call_single_queue[1].list.next"]
    entry = serve(csd)
    entry = entry[:entry.index(FUNC[-1]) + 1] + ends + ["R list.next"]
    assert looking.handler(text, 1, number) == spliced(1, looking.stack(1), entry + look, first=csd, last=csd, before=look)
