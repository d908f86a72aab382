/* exec_tree.h: the processes of one exec attempt, and how they end: by a cgroup of their own,
 * or by proctree where there are none. The kind sees no difference.
 *
 * All but exec_tree_finish block the thread: bracket them with block_enter(BLOCK_EXEC). */
#ifndef JOBS_EXEC_TREE_H
#define JOBS_EXEC_TREE_H

#include "jobs/cgroup.h"
#include "jobs/kinds_internal.h"
#include "jobs/proctree.h"
#include "jobs/spawn.h"

struct exec_tree {
    struct kinds *kinds;
    struct cgroup *cgroup; /* NULL: proctree */
    struct proctree_ident ident;
    struct proctree_main main;
    int pidfd; /* of the main process, -1 = none (yet) */
    bool limits_ignored;
};

/* -EOPNOTSUPP: the spec's limits cannot be enforced here. Nothing is left on failure. */
int exec_tree_open(struct exec_tree *tree, const struct attempt *attempt);
/* Fills in cgroup and mark of the request; a busy executable is tried again for a while. */
int exec_tree_spawn(struct exec_tree *tree, struct spawn_request *request,
                    enum spawn_step *ret_step);
/* main_only, or every process of the tree. */
void exec_tree_signal(struct exec_tree *tree, int signal, bool main_only);
/* Whether anything but the main process (which must have ended) lives. thorough: also what
 * hides from marks. */
bool exec_tree_is_empty(struct exec_tree *tree, bool thorough);
/* Kills until nothing lives, however long that takes (K1), and says so in the log when it does.
 * From a task; parks, shielded. */
void exec_tree_finish(struct exec_tree *tree, bool thorough);
/* Reaps the main process, which has ended, and takes down the cgroup. Harmless before a spawn.
 */
struct exec_end {
    bool signalled, dumped, oom;
    int status;             /* exit code or signal */
    uint64_t max_rss_bytes; /* 0 = not known */
    double cpu_seconds;
};
void exec_tree_close(struct exec_tree *tree, struct exec_end *ret);

#endif
