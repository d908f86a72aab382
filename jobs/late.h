/* late.h: libraries that are loaded when a job first needs them.
 *
 * libcurl, libarchive and libcrypto come with some thirty further libraries. Linked the usual
 * way they were half of the daemon's start and a third of its memory at rest, on machines whose
 * jobs are all commands. So the build does not link them: for each of their functions that is
 * used there is one here of the same name, which loads the library and goes on to the real one.
 * Callers include the library's own header and see no difference.
 *
 * How it works
 *     http_late.c, file_late.c, crypto_late.c
 *                  the functions, a line each, from the macros below
 *     late.c       dlopen, once a library, on a thread of its own: what runs when a library is
 *                  loaded (OpenSSL, ICU) was not written for the stack of a task
 * A load takes some ten milliseconds, once in the daemon's life, and the thread that asks for
 * it waits without telling the scheduler, as it would have at the start.
 *
 * Rejected: tables of function pointers (every caller would be written for this); a helper
 * process (a copy of every byte); -z lazy (it binds later, but loads everything).
 *
 * LT1  a function is called only after its library's _load() has answered true; the first use
 *      asks, so that a library that is not installed fails a job, not the daemon.
 *
 * Any thread. */
#ifndef JOBS_LATE_H
#define JOBS_LATE_H

#include <stdatomic.h>
#include <stdbool.h>

struct late_library {
    const char *name;      /* with the number of its interface */
    void *_Atomic handle;  /* NULL = not loaded */
    _Atomic bool complain; /* that it could not be was not logged yet */
};

#define LATE_LIBRARY(soname)                                                                   \
    {                                                                                          \
        .name = (soname), .complain = true                                                     \
    }

/* Loads it, if it is not loaded yet. false: it cannot be; the reason is logged, once. */
bool late_load(struct late_library *library);
/* The function of that name, kept in *cache. Aborts when there is none (LT1). */
void *late_find(struct late_library *library, const char *name, void *_Atomic *cache);

/* Within a file that names its library LATE_FROM. */
#define LATE(name)                                                                             \
    ({                                                                                         \
        static void *_Atomic late_cache;                                                       \
        void *late_at = atomic_load_explicit(&late_cache, memory_order_acquire);               \
        (__typeof__(&(name)))(late_at ? late_at : late_find(&LATE_FROM, #name, &late_cache));  \
    })

#define LATE0(type, name)                                                                      \
    type(name)(void)                                                                           \
    {                                                                                          \
        return LATE(name)();                                                                   \
    }
#define LATE1(type, name, ta)                                                                  \
    type(name)(ta a)                                                                           \
    {                                                                                          \
        return LATE(name)(a);                                                                  \
    }
#define LATE2(type, name, ta, tb)                                                              \
    type(name)(ta a, tb b)                                                                     \
    {                                                                                          \
        return LATE(name)(a, b);                                                               \
    }
#define LATE3(type, name, ta, tb, tc)                                                          \
    type(name)(ta a, tb b, tc c)                                                               \
    {                                                                                          \
        return LATE(name)(a, b, c);                                                            \
    }
#define LATE4(type, name, ta, tb, tc, td)                                                      \
    type(name)(ta a, tb b, tc c, td d)                                                         \
    {                                                                                          \
        return LATE(name)(a, b, c, d);                                                         \
    }
#define LATE6(type, name, ta, tb, tc, td, te, tf)                                              \
    type(name)(ta a, tb b, tc c, td d, te e, tf f)                                             \
    {                                                                                          \
        return LATE(name)(a, b, c, d, e, f);                                                   \
    }

#endif
