/* conf_table.h: the rows behind conf.h. */
#ifndef DAEMON_CONF_TABLE_H
#define DAEMON_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type { CONF_TEXT, CONF_BOOL, CONF_COUNT, CONF_SIZE, CONF_SPAN, CONF_WORD, CONF_LIST };

/* When a changed setting holds: after a start, or after a reload too. */
enum conf_when { CONF_START, CONF_RELOAD };

struct conf_form {
    const char *what; /* behind "must be" */
    bool (*fits)(const char *text);
};

struct conf_row {
    const char *section, *key;
    const char *flag; /* long option without dashes, NULL = file and environment only */
    enum conf_type type;
    size_t offset;        /* into struct conf */
    const char *fallback; /* the default, as it would be written */
    uint64_t min, max;    /* of counts, sizes (bytes), spans (ms) */
    const char *words;    /* of CONF_WORD: "error|warn|info|debug" */
    const char *argument; /* shown in help: PATH, N, SPAN … */
    const char *text;     /* one sentence, no full stop */
    enum conf_when when;
    const struct conf_form *form; /* of texts, and of each word of a list; NULL = any */
};

extern const struct conf_row conf_rows[];
extern const size_t conf_rows_count;

#endif
