/* conf_table.h: the rows behind conf.h. */
#ifndef DAEMON_CONF_TABLE_H
#define DAEMON_CONF_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum conf_type { CONF_TEXT, CONF_BOOL, CONF_COUNT, CONF_SIZE, CONF_SPAN, CONF_WORD, CONF_LIST };

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
};

extern const struct conf_row conf_rows[];
extern const size_t conf_rows_count;

#endif
