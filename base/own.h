/* own.h: who frees it. A local that owns says so in its declaration:
 *
 *     OWN(job_free) struct job *job = NULL;      freed on every way out of the scope
 *     OWN_FD int fd = -1;                        closed on every way out
 *     queue_give(q, TAKE(job));                  ownership moves, the local becomes NULL
 *
 * A free function used with OWN accepts NULL. A parked task is never destroyed, so the
 * clean-up of its locals always runs: it is woken with -ECANCELED and returns. */
#ifndef BASE_OWN_H
#define BASE_OWN_H

#include <stdlib.h>
#include <unistd.h>

/* Declares, once a type, the adapter that OWN(fn) needs. */
#define OWN_DEFINE(type, fn)                                                                   \
    static inline void own_##fn(type **p)                                                      \
    {                                                                                          \
        fn(*p);                                                                                \
    }                                                                                          \
    struct own_needs_a_semicolon_##fn

#define OWN(fn) __attribute__((cleanup(own_##fn)))
#define OWN_FD __attribute__((cleanup(own_close)))

/* Takes a descriptor or pointer out of its owner, leaving the owner empty. */
#define TAKE(p)                                                                                \
    __extension__({                                                                            \
        __typeof__(p) own_taken = (p);                                                         \
        (p) = NULL;                                                                            \
        own_taken;                                                                             \
    })
#define TAKE_FD(fd)                                                                            \
    __extension__({                                                                            \
        int own_taken = (fd);                                                                  \
        (fd) = -1;                                                                             \
        own_taken;                                                                             \
    })

static inline void own_free(void *p)
{
    free(*(void **)p);
}

static inline void own_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#endif
