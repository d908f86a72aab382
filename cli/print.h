/* print.h: what a person or a script reads. Tables go to people, JSON to programs; messages go
 * to standard error. Colour only on a terminal, never with NO_COLOR or TERM=dumb. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include "cli/verb.h"

/* "table" "wide" "json" "ndjson" "id"; false when it is none. */
bool print_output_parse(const char *s, enum output *ret);
void print_no_color(void);

#define PRINT_COLUMNS_MAX 12

/* A table whose columns fit what is in them. On a terminal too narrow for it the spare ones are
 * left out, one after the other, and then lines are cut. Rows are kept until print_table_end.
 */
struct table {
    const char *const *heads;
    unsigned columns;
    const unsigned char *spare; /* numbers of columns, which first; ends with 0 */
    char **cells;
    size_t count, cap;
};
void print_table_start(struct table *t, const char *const *heads, unsigned columns,
                       const unsigned char *spare);
/* A copy of text; NULL or "" prints as -. Row by row, left to right. */
void print_cell(struct table *t, const char *text);
void print_table_end(struct table *t); /* prints and frees */

void print_json(const json_t *json, bool indented);
/* Jobs in the chosen form. */
void print_jobs(const json_t *jobs, enum output output);
/* Everything of one job, a line a field. */
void print_job(const json_t *job, const json_t *attempts);
/* "succeeded in 1.2s", "failed (exit_nonzero): exit status 3"; to standard error. */
void print_end(const json_t *job);
/* "3s ago"; "-" for NULL. ret has room for 32 bytes. */
void print_ago(const char *time, char *ret);

#endif
