/* err.h: three kinds of trouble, three forms.
 *
 *   an answer (full, duplicate, not found)  a positive enumerator of the module that gives it
 *   the world failed (disk, memory, net)    a negative errno, passed up untouched
 *   we are wrong (broken invariant)         assert_always(): the process stops, the store is
 * whole
 *
 * Input from outside is checked, never asserted. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* The errno name of a negative result, "EIO" for -EIO; "E?" when unknown. Any thread. */
const char *err_name(int r);

/* One sentence in the C locale for a negative result, without a full stop. Any thread. */
const char *err_text(int r);

_Noreturn void err_broken(const char *what, const char *file, int line);

/* An invariant of our own state: on in every build. */
#define assert_always(x) ((x) ? (void)0 : err_broken(#x, __FILE__, __LINE__))

#endif
