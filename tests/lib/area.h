/* area.h: where the tests of file jobs work: one folder that is a root, and one outside of it.
 */
#ifndef TESTS_LIB_AREA_H
#define TESTS_LIB_AREA_H

#include "tests/lib/rig.h"

extern char *area_dir; /* the one root, of the running test */
extern char *area_outside;

struct kind_config area_config(void);
/* Makes both, runs body in a rig, removes both. */
void area_run(void (*body)(struct rig *rig));

/* The path of a name in the area; of eight calls the last are valid. */
const char *area_path(const char *name);
void area_put(const char *path, const char *text);
void area_check_text(const char *path, const char *want);
bool area_has(const char *path);     /* also a link that leads nowhere */
int area_shell(const char *command); /* with the area as working folder */
/* A tree with every kind of thing that is copied, in tree. */
void area_make_tree(void);
void area_check_same(const char *a, const char *b);
/* No temporary name anywhere, no note of one. */
void area_check_clean(struct rig *rig);

/* Of what is between the braces of "file": $A is the area, $O the folder outside, ' a double
 * quote. Valid until the next call. */
const char *area_document(const char *file);
/* Run it; it succeeds, or fails for good with why in the error. Nothing temporary is left. */
void area_succeed(struct rig *rig, const char *file);
void area_refused(struct rig *rig, const char *file, const char *why);

#endif
