/* stored_script.h: a scenario on a store, and the judge of what must be left of it. Batches of
 * jobs are inserted, started and ended; each job carries in its name which batch it belongs to
 * and how many jobs that has, so that a half batch is found by looking at the store alone. */
#ifndef TESTS_LIB_STORED_SCRIPT_H
#define TESTS_LIB_STORED_SCRIPT_H

#include "storage/store.h"

#define SCRIPT_BATCHES 24

struct script {
    /* By batch: 0 = not acknowledged, else how far it surely came. */
    enum script_stage {
        SCRIPT_NONE,
        SCRIPT_INSERTED,
        SCRIPT_STARTED,
        SCRIPT_ENDED
    } stages[SCRIPT_BATCHES];
    bool unknown; /* a commit answered -EIO: its batch may be there */
};

/* The next step, from 0 on; one commit. Its result; the acknowledgement is noted in s. */
#define SCRIPT_STEPS (SCRIPT_BATCHES * 3)
int script_step(struct script *s, struct store *store, unsigned step);
/* Fails the test unless the store holds what s says and every batch is whole. */
void script_judge(const struct script *s, struct store *store);

#endif
