/* conf_value.h: one setting, read and written as its row says. */
#ifndef DAEMON_CONF_VALUE_H
#define DAEMON_CONF_VALUE_H

#include "daemon/conf.h"
#include "daemon/conf_table.h"

void *conf_value_field(struct conf *conf, const struct conf_row *row);
/* 0; -EINVAL with why (CONF_WHY_BYTES): what is allowed, behind the place unless it is NULL;
 * -ENOMEM. */
int conf_value_set(struct conf *conf, const struct conf_row *row, const char *place,
                   const char *value, char *why);
/* The words of value come behind those that the list has. */
int conf_value_add(struct conf *conf, const struct conf_row *row, const char *value, char *why);
/* As the stored text has it. */
void conf_value_put(const struct conf *conf, const struct conf_row *row, struct buf *b);
void conf_value_free(struct conf *conf, const struct conf_row *row);

/* For what has no row. 0 or a negative errno. */
int conf_value_text(char **field, const char *value);
int conf_value_bool(bool *field, const char *value);

#endif
