/* store_internal.h: what the implementations of store.h share. Nobody outside of this room
 * includes it. */
#ifndef STORAGE_STORE_INTERNAL_H
#define STORAGE_STORE_INTERNAL_H

#include "storage/store.h"

struct store_ops {
    void (*close)(struct store *store);
    int (*commit)(struct store *store, const struct change *changes, size_t count, bool sync);
    void (*tend)(struct store *store);
    bool (*tend_due)(const struct store *store);             /* NULL = never */
    void (*settle)(struct store *store, uint64_t log_bytes); /* may be NULL */
    uint64_t (*max_id)(struct store *store);
    int (*next_epoch)(struct store *store, uint64_t *ret);
    int (*reply_find)(struct store *store, const char *key, struct reply_record *ret);
    struct store_reader *(*writer_reader)(struct store *store);
    int (*reader_open)(struct store *store, struct store_reader **ret);
    void (*reader_close)(struct store_reader *reader);
    int (*job_get)(struct store_reader *reader, uint64_t id, struct job **ret);
    int (*spec_get)(struct store_reader *reader, uint64_t id, char **ret);
    int (*live_each)(struct store_reader *reader, store_job_fn fn, void *ctx);
    int (*job_list)(struct store_reader *reader, const struct job_filter *filter,
                    store_job_fn fn, void *ctx, uint64_t *ret_next);
    int (*attempt_each)(struct store_reader *reader, uint64_t job_id, store_attempt_fn fn,
                        void *ctx);
    int (*queue_each)(struct store_reader *reader, store_queue_fn fn, void *ctx);
    int (*final_each)(struct store_reader *reader, const struct final_filter *filter,
                      store_final_fn fn, void *ctx, uint64_t *ret_next);
    int (*check)(struct store_reader *reader, store_finding_fn fn, void *ctx);
    int (*backup_open)(struct store *store, const char *path, struct store_backup **ret);
    int (*backup_step)(struct store_backup *backup, unsigned pages);
    void (*backup_close)(struct store_backup *backup);
    void (*info)(struct store *store, struct store_info *ret);
};

/* First in each implementation's own struct. */
struct store {
    const struct store_ops *ops;
};
struct store_reader {
    const struct store_ops *ops;
};
struct store_backup {
    const struct store_ops *ops;
};

/* What a list may look at in one call, so that a filter that finds little holds up nobody. */
#define STORE_LOOK_MAX 5000

enum store_match { MATCH_NO, MATCH_YES, MATCH_END };
/* MATCH_END: since_ms says that nothing further down can match. */
enum store_match store_filter_match(const struct job_filter *filter, const struct job *job);
bool store_states_have(uint32_t states, enum job_state state);

#endif
