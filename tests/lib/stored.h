/* stored.h: what the tests of the store share: folders that vanish, jobs to put, short commits.
 */
#ifndef TESTS_LIB_STORED_H
#define TESTS_LIB_STORED_H

#include "storage/store.h"

#include <check.h>

#define STORED_DIR_BYTES 64

/* A new folder below TMPDIR, into ret; taken away with all in it by stored_dir_remove. */
void stored_dir_make(char ret[STORED_DIR_BYTES]);
void stored_dir_remove(const char *dir);

/* A queued job of kind exec in queue "default"; strings are literals, do not free it. */
struct job stored_job(uint64_t id);
/* The same, ended at finished_at_ms. */
struct job stored_ended(uint64_t id, enum job_state state, int64_t finished_at_ms);

int stored_insert(struct store *store, const struct job *job);
int stored_update(struct store *store, const struct job *job);
int stored_delete(struct store *store, uint64_t id);
/* count jobs from first_id in one batch, synced. */
int stored_insert_many(struct store *store, uint64_t first_id, size_t count);

/* Opens DIR's store; on trouble the test fails with the sentence. */
struct store *stored_open(const char *dir);

/* The next commit to this SQLite store copies its log into the database first, which it else
 * does only when the log is long. */
void stored_checkpoint_soon(struct store *store);

/* --- one test over both implementations --- */

extern struct store *stored_store;
extern struct store_reader *stored_reader;

/* Opens SQLite in a new folder (0) or memory (1), and a reader; stored_leave takes it away. */
void stored_use(int implementation);
void stored_leave(void);
/* NULL when it is not there. */
struct job *stored_get(uint64_t id);
/* Every field has a value that nothing else has. */
struct job stored_full(void);
void stored_ck_same_state(const struct job *a, const struct job *b);
void stored_ck_same_identity(const struct job *a, const struct job *b);
void stored_ck_same(const struct job *a, const struct job *b);

/* main() of a suite whose tests run with _i = 0 and 1: return STORED_MAIN("name", test, …); */
int stored_main(const char *name, const TTest *const *tests);
#define STORED_MAIN(name, ...) stored_main((name), (const TTest *const[]){__VA_ARGS__, NULL})

#endif
