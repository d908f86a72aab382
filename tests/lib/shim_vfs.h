/* shim_vfs.h: a layer under SQLite that remembers what was written to which file in which
 * order, and can make the n-th operation of a kind fail. From the memory a disk is rebuilt as a
 * power loss could have left it after any operation: what a sync covered is there; of what came
 * later each write is there, lost, or torn between sectors; what a failed sync was to cover is
 * lost. One thread at a time. */
#ifndef TESTS_LIB_SHIM_VFS_H
#define TESTS_LIB_SHIM_VFS_H

#include <stddef.h>
#include <stdint.h>

enum shim_op {
    SHIM_WRITE,
    SHIM_TRUNCATE,
    SHIM_SYNC,
    SHIM_DELETE,
    SHIM_OPEN,
    SHIM_READ,
    SHIM_SHM,
    SHIM_MEMORY, /* an allocation of SQLite; whatever rc, there is none */
    SHIM_OP_COUNT
};

void shim_install(void); /* under every connection opened from now on */
/* Forgets what was remembered; remember = false: only counts. */
void shim_reset(int remember);
/* Neither counts nor remembers until it goes on: what happens meanwhile is not of the scenario.
 */
void shim_pause(int pause);
/* The nth operation of this kind from now on (1 …) answers rc; 0 = none does. */
void shim_fail(enum shim_op op, uint64_t nth, int rc);
uint64_t shim_count(enum shim_op op); /* since shim_reset */
uint64_t shim_ops(void);              /* remembered ones: the cut points are 0 … shim_ops() */
/* Writes into folder dir the files as they could be after a power loss at cut. */
void shim_rebuild(const char *dir, uint64_t cut, uint64_t seed);

#endif
