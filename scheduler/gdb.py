"""The scheduler's tasks in gdb, of a living process and of a core:

    (gdb) source scheduler/gdb.py
    (gdb) stint tasks           all tasks: id, name, state, what each waits for, where spawned
    (gdb) stint tasks parked    those with the word in their line
    (gdb) stint bt 17           the stack of task 17
    (gdb) stint bt all          of all of them

A task that does not run has its registers on its own stack, in the order of the machine's
switch_*.S. An unwinder shows them to gdb as the caller of the frame that is selected: so nothing
is written, and it works on a core as well, also on that of another machine (gdb-multiarch). Its
frame must have the task's stack pointer, or gdb ends with "previous frame inner to this frame".
A task that runs is shown by its thread.
"""

import gdb
from gdb.unwinder import Unwinder, register_unwinder


class Machine:
    """How switch_context leaves a stack: what is saved in which word from its pointer up."""

    def __init__(self, sp, pc, saved, saved_bytes):
        self.sp = sp
        self.pc = pc
        self.saved = saved
        self.saved_bytes = saved_bytes


MACHINES = {
    # The first word holds mxcsr and the x87 control word.
    "i386:x86-64": Machine(
        "rsp", "rip", {"r15": 1, "r14": 2, "r13": 3, "r12": 4, "rbx": 5, "rbp": 6, "rip": 7}, 64
    ),
    # It goes on where x30 says. d8 to d15 and FPCR lie behind, and no unwinder asks for them.
    "aarch64": Machine(
        "sp", "pc", {"x29": 0, "x30": 1, "pc": 1, **{f"x{19 + i}": 2 + i for i in range(10)}}, 176
    ),
}


def machine():
    name = gdb.newest_frame().architecture().name()
    if name not in MACHINES:
        raise gdb.GdbError(f"no switch is known for {name}")
    return MACHINES[name]


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class TaskUnwinder(Unwinder):
    """Pretends that the frame gdb stands in was called by the task at hand."""

    def __init__(self):
        super().__init__("stint-task")
        self.machine = self.sp = self.below = None

    def __call__(self, pending):
        # By its stack pointer: its number need not be 0, as inlined frames have numbers too.
        if self.sp is None or int(pending.read_register(self.machine.sp)) != self.below:
            return None
        word = gdb.lookup_type("unsigned long")
        frame = FrameId(gdb.Value(self.sp), pending.read_register(self.machine.pc))
        info = pending.create_unwind_info(frame)
        for register, slot in self.machine.saved.items():
            at = gdb.Value(self.sp + 8 * slot).cast(word.pointer())
            info.add_saved_register(register, at.dereference())
        above = gdb.Value(self.sp + self.machine.saved_bytes).cast(word)
        info.add_saved_register(self.machine.sp, above)
        return info


unwinder = TaskUnwinder()
register_unwinder(None, unwinder, True)


def number(value):
    return int(value.cast(gdb.lookup_type("unsigned long")))


def text(value):
    at = number(value)
    if at == 0:
        return "?"
    return gdb.Value(at).cast(gdb.lookup_type("char").pointer()).string()


def constant(name):
    return number(gdb.parse_and_eval(f"'scheduler/task.c'::{name}"))


def tasks():
    """Every descriptor that is in use, by id."""
    pointer = gdb.lookup_type("struct task").pointer()
    count, size = constant("SLAB_TASKS"), constant("TASK_BYTES")
    free = number(gdb.parse_and_eval("TASK_FREE"))
    slab = gdb.parse_and_eval("'scheduler/task.c'::store")["slabs"]
    found = []
    while number(slab) != 0:
        base = number(slab["tasks"])
        for i in range(count):
            task = gdb.Value(base + i * size).cast(pointer).dereference()
            if number(task["state"]) != free:
                found.append(task)
        slab = slab["next"]
    return sorted(found, key=lambda task: number(task["id"]))


def state_of(task):
    state = task["state"].cast(gdb.lookup_type("enum task_state"))
    return str(state).replace("TASK_", "").lower()


def thread_of(task):
    """The gdb thread that runs it, or None."""
    if state_of(task) not in ("running", "blocked"):
        return None
    tid = number(task["thread"].cast(gdb.lookup_type("struct thread").pointer())["tid"])
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] == tid:
            return thread
    return None


def line_of(task):
    state = state_of(task)
    line = f"task {number(task['id'])} \"{text(task['name'])}\" {state}"
    if state == "parked":
        line += f" on {text(task['wait_reason'])} {number(task['wait_object']):#x}"
    thread = thread_of(task)
    if thread is not None:
        line += f" in thread {thread.num}"
    return line + f", group \"{text(task['group_name'])}\", spawned at {text(task['site'])}"


def stack_of_saved(task):
    unwinder.machine = machine()
    unwinder.below = number(gdb.newest_frame().read_register(unwinder.machine.sp))
    unwinder.sp = number(task["sp"])
    gdb.invalidate_cached_frames()
    try:
        # The first is where gdb stands, with what is inlined there.
        here = gdb.newest_frame()
        while here.type() == gdb.INLINE_FRAME:
            here = here.older()
        return gdb.execute("bt", to_string=True).split("\n", here.level() + 1)[-1]
    finally:
        unwinder.sp = None
        gdb.invalidate_cached_frames()


def stack_of(task):
    thread = thread_of(task)
    if thread is not None:
        thread.switch()
        return gdb.execute("bt", to_string=True)
    if number(task["stack"]) == 0:
        return "    (it has not begun)\n"
    return stack_of_saved(task)


class Stint(gdb.Command):
    """The scheduler's tasks: stint tasks, stint bt."""

    def __init__(self):
        super().__init__("stint", gdb.COMMAND_STATUS, prefix=True)


class Tasks(gdb.Command):
    """List the tasks whose line has WORD: stint tasks [WORD]"""

    def __init__(self):
        super().__init__("stint tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        for task in tasks():
            line = line_of(task)
            if argument in line:
                print(line)


class Backtrace(gdb.Command):
    """Show the stack of a task: stint bt ID, or stint bt all"""

    def __init__(self):
        super().__init__("stint bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = [t for t in tasks() if argument in ("all", str(number(t["id"])))]
        if not wanted:
            raise gdb.GdbError(f"there is no task {argument}")
        before = gdb.selected_thread()
        for task in wanted:
            print(line_of(task))
            print(stack_of(task))
            before.switch()


Stint()
Tasks()
Backtrace()
