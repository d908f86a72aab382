/* err.h: how trouble is told, and what holds for the whole ground floor.
 *
 * Three kinds of trouble, three forms:
 *
 *   an answer (full, duplicate, not found)  a positive enumerator of the module that gives it
 *   the world failed (disk, memory, net)    a negative errno, passed up untouched
 *   we are wrong (broken invariant)         assert_always(): the process stops, the store is
 *                                           whole
 *
 * Input from outside is checked, never asserted. Memory that runs out is the world failing: one
 * request is refused, the process lives on.
 *
 * The ground floor is what every room stands on: errors, ownership, clocks, the log, bytes and
 * words, containers, chance, files, faults. It knows neither jobs nor tasks nor the store, and
 * each file can be understood and tested by itself. What it promises:
 *
 *   I1  Nothing here parks a task. What can take long (io.h) says so.
 *   I2  Nothing is thread-local, for a task changes threads; only fault.c, log.c and map_seed()
 *       have state of the process, the first under a lock, the second in atomics, the third
 *       set before threads start. All else belongs to whoever holds the struct.
 *   I3  A function that fails has changed nothing. The one exception is buf.h, whose failure is
 *       kept and asked for once at the end.
 *   I4  A parser reads its len bytes and no more, and writes its result only on success.
 *   I5  A line of the log needs no memory and is one write(2).
 *
 * Rejected: error objects and traces of returns (they need a place that is the task's own, and
 * an event name in the log says where); long jumps (they skip what OWN cleans up); ending the
 * process when memory runs out (jobs of others would pay for it); one arena a request (buffers
 * cross tasks, and one commit to disk costs what many thousands of mallocs do).
 *
 * After a crash only io_file_replace() leaves something: a file NAME.<16 digits>.tmp. */
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
