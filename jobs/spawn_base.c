#include "jobs/spawn_base.h"

#include "base/err.h"
#include "jobs/sys.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#define SIGNAL_MAX 64
#define SEATS_ALL ((UINT32_C(1) << SPAWN_SEATS) - 1)

/* And those that libc keeps to itself, of which it does not tell. */
static uint64_t ignored_signals(void)
{
    uint64_t ignored = 0;
    struct sigaction action;

    for (int s = 1; s <= SIGNAL_MAX; s++) {
        if (sigaction(s, NULL, &action) < 0 || action.sa_handler == SIG_IGN)
            ignored |= UINT64_C(1) << (s - 1);
    }
    return ignored;
}

static int seat_open(struct spawn_base *base, struct spawn_seat *seat)
{
    for (int i = 0; i < 3; i++) {
        seat->fds[i] = fcntl(base->null_fd, F_DUPFD_CLOEXEC, 3);
        if (seat->fds[i] < 0)
            return sys_error();
        if (seat->fds[i] >= base->cut)
            base->cut = seat->fds[i] + 1;
    }
    return 0;
}

int spawn_base_open(struct spawn_base *base)
{
    int r = 0;

    *base = (struct spawn_base){.ignored = ignored_signals()};
    base->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (base->null_fd < 0)
        r = sys_error();
    for (unsigned i = 0; r == 0 && i < SPAWN_SEATS; i++)
        r = seat_open(base, &base->seats[i]);
    if (r < 0)
        spawn_base_close(base);
    return r;
}

/* Descriptor 0 was never given to a seat. */
void spawn_base_close(struct spawn_base *base)
{
    for (unsigned i = 0; i < SPAWN_SEATS * 3; i++) {
        int fd = base->seats[i / 3].fds[i % 3];
        if (fd > 0)
            close(fd);
    }
    if (base->null_fd > 0)
        close(base->null_fd);
    *base = (struct spawn_base){0};
}

static int claim(struct spawn_base *base)
{
    uint32_t taken = atomic_load(&base->taken);

    while (taken != SEATS_ALL &&
           !atomic_compare_exchange_weak(&base->taken, &taken, taken | (taken + 1)))
        ;
    return taken != SEATS_ALL ? __builtin_ctz(~taken) : -1;
}

const struct spawn_seat *spawn_base_take(struct spawn_base *base, const int stdio[3])
{
    int place = claim(base);

    if (place < 0)
        return NULL;
    const struct spawn_seat *seat = &base->seats[place];
    for (int i = 0; i < 3; i++) {
        if (dup3(stdio[i], seat->fds[i], O_CLOEXEC) < 0) {
            spawn_base_put(base, seat);
            return NULL;
        }
    }
    return seat;
}

/* A stream that stayed here would keep its pipe from ending. */
void spawn_base_put(struct spawn_base *base, const struct spawn_seat *seat)
{
    for (int i = 0; i < 3; i++)
        assert_always(dup3(base->null_fd, seat->fds[i], O_CLOEXEC) == seat->fds[i]);
    atomic_fetch_and(&base->taken, ~(UINT32_C(1) << (seat - base->seats)));
}
