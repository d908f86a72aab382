/* screen.h: text of strangers on somebody's terminal. A job's command, an error that a worker
 * sent: none of it may move the cursor, paint, or turn the line around. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stddef.h>
#include <stdio.h>

/* Columns that screen_put needs for s, which is UTF-8. */
size_t screen_columns(const char *s);
/* Writes at most so many columns of s, with a space for each character that is no text. */
void screen_put(FILE *to, const char *s, size_t columns);
/* Writes JSON as it is, but for such characters in its strings: they are escaped. */
void screen_put_json(FILE *to, const char *json);

#endif
