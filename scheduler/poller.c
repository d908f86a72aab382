#include "scheduler/poller.h"

#include "base/clock.h"
#include "scheduler/probe.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 128
#define KICK_DATA UINT64_MAX

static int epoll_fd = -1, kick_fd = -1;
static _Atomic bool looking;
static _Atomic bool lacks_pwait2; /* Linux < 5.11 */

int poller_open(void)
{
    struct epoll_event kick = {.events = EPOLLIN | EPOLLET, .data.u64 = KICK_DATA};

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll_fd < 0 || kick_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, kick_fd, &kick) < 0) {
        int r = -errno;
        poller_close();
        return r;
    }
    return 0;
}

void poller_close(void)
{
    if (epoll_fd >= 0)
        close(epoll_fd);
    if (kick_fd >= 0)
        close(kick_fd);
    epoll_fd = kick_fd = -1;
}

int poller_add(int fd, uint64_t data)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                            .data.u64 = data};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void poller_remove(int fd)
{
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int wait_ms(struct epoll_event *events, uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();
    int ms = -1;

    if (until_ns <= now)
        ms = 0;
    else if (until_ns != TIMERS_NONE)
        ms = until_ns - now > 60 * NS_PER_S
                 ? 60000
                 : (int)((until_ns - now + NS_PER_MS - 1) / NS_PER_MS);
    return epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, ms);
}

static int wait_exactly(struct epoll_event *events, uint64_t until_ns)
{
    struct timespec span = {0};
    uint64_t now;

    if (until_ns == TIMERS_NONE)
        return epoll_pwait2(epoll_fd, events, EVENTS_AT_ONCE, NULL, NULL);
    if (until_ns > 0 && until_ns > (now = clock_mono_ns()))
        span = (struct timespec){.tv_sec = (time_t)((until_ns - now) / NS_PER_S),
                                 .tv_nsec = (long)((until_ns - now) % NS_PER_S)};
    return epoll_pwait2(epoll_fd, events, EVENTS_AT_ONCE, &span, NULL);
}

static void look(uint64_t until_ns, struct task_list *ret)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int n = -1;

    probe_poll(until_ns);
    if (!get_relaxed(&lacks_pwait2)) {
        n = wait_exactly(events, until_ns);
        if (n < 0 && errno == ENOSYS)
            set_relaxed(&lacks_pwait2, true);
    }
    if (get_relaxed(&lacks_pwait2))
        n = wait_ms(events, until_ns);
    probe_polled(n);
    set_relaxed(&sched.polls, get_relaxed(&sched.polls) + 1);
    for (int i = 0; i < n; i++)
        if (events[i].data.u64 != KICK_DATA)
            net_event(events[i].data.u64, events[i].events, ret);
}

void poller_wait(uint64_t until_ns, struct task_list *ret)
{
    look(until_ns, ret);
}

bool poller_try(struct task_list *ret)
{
    bool free = false;

    if (atomic_load(&sched.watched) == 0 || atomic_load(&sched.poller) != NULL ||
        !atomic_compare_exchange_strong(&looking, &free, true))
        return false;
    look(0, ret);
    atomic_store(&looking, false);
    return true;
}

void poller_kick(void)
{
    /* The counter is never read: each write is an edge, and 2^64 of them do not come. */
    uint64_t one = 1;
    ssize_t n = write(kick_fd, &one, sizeof one);

    (void)n;
}
