/* log.h: one event, one line. The event's name comes first, then fields:
 *
 *     log_info("job.started", LOG_U64("id", id), LOG_STR("queue", queue));
 *     -> 2026-11-23T15:05:53.120Z info job.started id=7 queue=mail
 *     -> {"time":"…","level":"info","event":"job.started","id":7,"queue":"mail"}
 *     -> <6>job.started id=7 queue=mail                             (under the journal)
 *
 * Four levels, each with a reader: error (wake someone), warn (look today), info (what happened
 * to jobs and to the process), debug (for us). base/ and storage/ do not log: who decides,
 * logs. Any thread. A line is one write(2), so lines of threads never mix. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON, LOG_JOURNAL };
enum log_type { LOG_T_U64, LOG_T_I64, LOG_T_DOUBLE, LOG_T_STR, LOG_T_BOOL };

struct log_field {
    const char *key;
    enum log_type type;
    union {
        uint64_t u64;
        int64_t i64;
        double d;
        const char *str; /* NULL prints as null in JSON and - in text */
        bool b;
    };
};

#define LOG_U64(k, v) ((struct log_field){.key = (k), .type = LOG_T_U64, .u64 = (uint64_t)(v)})
#define LOG_I64(k, v) ((struct log_field){.key = (k), .type = LOG_T_I64, .i64 = (int64_t)(v)})
#define LOG_F64(k, v) ((struct log_field){.key = (k), .type = LOG_T_DOUBLE, .d = (double)(v)})
#define LOG_STR(k, v) ((struct log_field){.key = (k), .type = LOG_T_STR, .str = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .type = LOG_T_BOOL, .b = (v)})
/* error=EIO why="…" for a negative result */
#define LOG_ERR(r) LOG_STR("error", err_name(r)), LOG_STR("why", err_text(r))

/* Before threads start, or at a reload. fd is borrowed; the start is LOG_TEXT to 2 at info. */
void log_setup(int fd, enum log_format format, enum log_level level);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
int log_level_parse(const char *s, enum log_level *ret);
void log_write(enum log_level level, const char *event, unsigned count,
               const struct log_field *fields);

#define LOG_AT(level, event, ...)                                                              \
    do {                                                                                       \
        if (log_enabled(level)) {                                                              \
            const struct log_field log_fields[] = {{0}, ##__VA_ARGS__};                        \
            log_write((level), (event), sizeof log_fields / sizeof *log_fields - 1,            \
                      log_fields + 1);                                                         \
        }                                                                                      \
    } while (0)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, ##__VA_ARGS__)
#define log_warn(event, ...) LOG_AT(LOG_WARN, event, ##__VA_ARGS__)
#define log_info(event, ...) LOG_AT(LOG_INFO, event, ##__VA_ARGS__)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, ##__VA_ARGS__)

#endif
