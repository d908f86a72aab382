#include "jobs/proctree.h"

#include "base/err.h"
#include "base/own.h"
#include "base/rand.h"
#include "jobs/proctree_scan.h"
#include "jobs/sys.h"
#include "scheduler/block.h"
#include "scheduler/event.h"
#include "scheduler/group.h"
#include "scheduler/task.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define REAP_NS                                                                                \
    (UINT64_C(1000) * 1000 * 1000) /* how long an ended orphan may stay a zombie               \
                                    */

struct proctree {
    uint64_t state_id;
    bool marks;  /* the kernel carries them */
    bool adopts; /* the reaper runs */
    _Atomic uint32_t number;
    pthread_mutex_t lock; /* guards all below; never held over a switch */
    struct list mains;
    unsigned spawning;
    bool closing;
    struct event wake, ended; /* of the reaper */
};

static int pidfd_open_raw(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Under the lock. */
static bool is_main(struct proctree *tree, pid_t pid)
{
    list_each (node, &tree->mains) {
        if (container_of(node, struct proctree_main, link)->pid == pid)
            return true;
    }
    return false;
}

/* A child of ours that ended and is no main process. A main process leads its session from
 * before it executes, so whoever does not can be told at once; of a leader we only know when
 * none is being made at this moment. */
static bool is_orphan(struct proctree *tree, pid_t pid)
{
    if (getsid(pid) != pid)
        return true;
    pthread_mutex_lock(&tree->lock);
    bool known = tree->spawning == 0 && !is_main(tree, pid);

    pthread_mutex_unlock(&tree->lock);
    return known;
}

static void reap_pid(pid_t pid)
{
    siginfo_t si;

    waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | __WALL);
}

/* The list of children shows its first zombie only, and that may be a main process whose
 * attempt is still killing the rest: then all of /proc is looked through. */
static void reap_hidden(struct proctree *tree)
{
    struct proctree_scan scan = {0};
    pid_t self = getpid();

    if (proctree_scan(NULL, PROCTREE_DEEP, &scan) < 0)
        return;
    for (size_t i = 0; i < scan.count; i++) {
        const struct proctree_seen *seen = &scan.seen[i];
        if (seen->zombie && seen->parent == self && is_orphan(tree, seen->pid))
            reap_pid(seen->pid);
    }
    proctree_scan_deinit(&scan);
}

static void reap_orphans(struct proctree *tree)
{
    for (;;) {
        siginfo_t si = {0};

        if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
            return;
        if (!is_orphan(tree, si.si_pid)) {
            reap_hidden(tree);
            return;
        }
        reap_pid(si.si_pid); /* P2 */
    }
}

/* Nothing can be orphaned while no attempt lives, since each ends with its tree: then the task
 * sleeps without a deadline. */
static int reaper(void *arg)
{
    struct proctree *tree = arg;

    for (;;) {
        pthread_mutex_lock(&tree->lock);
        bool busy = !list_is_empty(&tree->mains), closing = tree->closing;

        pthread_mutex_unlock(&tree->lock);
        if (closing)
            break;
        int r = event_wait(&tree->wake, busy ? task_now_ns() + REAP_NS : 0);
        if (r < 0 && r != -ETIMEDOUT)
            break;
        event_init(&tree->wake);
        block_enter(BLOCK_EXEC);
        reap_orphans(tree);
        block_leave();
    }
    event_set(&tree->ended);
    return 0;
}

/* P1. A member by descent is one as long as its parent is the same. */
static void signal_member(const struct proctree_ident *ident, const struct proctree_seen *seen,
                          enum proctree_depth depth, int signal)
{
    OWN_FD int pidfd = pidfd_open_raw(seen->pid);

    if (pidfd < 0)
        return;
    if (!proctree_scan_is_member(ident, seen->pid, depth) &&
        !(depth == PROCTREE_DEEP && proctree_scan_parent_is(seen->pid, seen->parent)))
        return;
    syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int proctree_open(uint64_t state_id, struct proctree **ret)
{
    OWN(free) struct proctree *tree = calloc(1, sizeof *tree);
    uint32_t number;

    if (!tree)
        return -ENOMEM;
    int r = rand_secret(&number, sizeof number);
    if (r < 0)
        return r;
    tree->state_id = state_id;
    tree->marks = proctree_scan_has_marks();
    tree->number = number;
    list_init(&tree->mains);
    pthread_mutex_init(&tree->lock, NULL);
    event_init(&tree->wake);
    event_init(&tree->ended);
    *ret = TAKE(tree);
    return 0;
}

int proctree_adopt(struct proctree *tree, struct group *group)
{
    const struct task_options options = {
        .name = "orphan reaper", .site = __FILE__, .stack = STACK_NORMAL, .background = true};

    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return sys_error();
    int r = group_spawn(group, reaper, tree, &options);

    tree->adopts = r == 0;
    return r;
}

void proctree_close(struct proctree *tree)
{
    if (!tree)
        return;
    if (tree->adopts) {
        pthread_mutex_lock(&tree->lock);
        tree->closing = true;
        pthread_mutex_unlock(&tree->lock);
        event_set(&tree->wake);
        event_wait_shielded(&tree->ended);
        reap_orphans(tree);
        prctl(PR_SET_CHILD_SUBREAPER, 0);
    }
    assert_always(list_is_empty(&tree->mains));
    pthread_mutex_destroy(&tree->lock);
    free(tree);
}

uint64_t proctree_mark(struct proctree *tree)
{
    return proctree_scan_mark(tree->state_id, ++tree->number);
}

void proctree_spawn_begin(struct proctree *tree)
{
    pthread_mutex_lock(&tree->lock);
    tree->spawning++;
    pthread_mutex_unlock(&tree->lock);
}

void proctree_spawn_end(struct proctree *tree)
{
    pthread_mutex_lock(&tree->lock);
    tree->spawning--;
    pthread_mutex_unlock(&tree->lock);
}

void proctree_add(struct proctree *tree, struct proctree_main *process, pid_t pid)
{
    process->pid = pid;
    pthread_mutex_lock(&tree->lock);
    bool first = list_is_empty(&tree->mains);

    list_push_back(&tree->mains, &process->link);
    pthread_mutex_unlock(&tree->lock);
    if (first && tree->adopts)
        event_set(&tree->wake);
}

void proctree_remove(struct proctree *tree, struct proctree_main *process)
{
    pthread_mutex_lock(&tree->lock);
    list_remove(&process->link);
    pthread_mutex_unlock(&tree->lock);
}

int proctree_signal(struct proctree *tree, const struct proctree_ident *ident,
                    enum proctree_depth depth, int signal)
{
    struct proctree_scan scan = {0};
    pid_t self = getpid();
    int live = 0;

    /* Without marks a quick look would miss whoever left the session. */
    if (!tree->marks)
        depth = PROCTREE_DEEP;
    int r = proctree_scan(ident, depth, &scan);
    if (r < 0)
        return r;
    for (size_t i = 0; i < scan.count; i++) {
        const struct proctree_seen *seen = &scan.seen[i];
        if (!seen->member || seen->pid == ident->leader)
            continue;
        if (seen->zombie) {
            if (seen->parent == self && is_orphan(tree, seen->pid))
                reap_pid(seen->pid);
            continue;
        }
        live++;
        if (signal != 0)
            signal_member(ident, seen, depth, signal);
    }
    proctree_scan_deinit(&scan);
    return live;
}
