/* commands.h: what the tests of commands share. */
#ifndef TESTS_LIB_COMMANDS_H
#define TESTS_LIB_COMMANDS_H

#include "tests/lib/rig.h"

extern const struct kind_config commands_with_cgroups, commands_without_cgroups;

/* With cgroups where this system has them, and without. */
void commands_both_ways(void (*body)(struct rig *rig));
/* K1 and E1: no process, scratch folder, zombie or cgroup of the rig's jobs. */
void commands_check_nothing_left(struct rig *rig);
/* Of what is between the braces of "exec": ' is a double quote, ` a single one. Valid until the
 * next call. */
const char *commands_document(const char *exec);

#endif
