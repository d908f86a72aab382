#include "jobs/cgroup_spares.h"

#include "base/err.h"
#include "jobs/cgroup_files.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Not IN_ACCESS and IN_MODIFY: those are our own reads, and the kernel's word of a change. */
#define TOUCHES                                                                                \
    (IN_OPEN | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)
#define EVENTS_BYTES 4096

/* Under the lock. */
static void touch_all(struct cgroup_spares *spares)
{
    size_t pos = 0;

    for (struct cgroup *cgroup; (cgroup = map_next(&spares->watched, &pos));)
        cgroup->touched = true;
}

/* Under the lock. An event of a cgroup that is gone finds none. */
static void note(struct cgroup_spares *spares, const struct inotify_event *event)
{
    struct cgroup *cgroup = NULL;

    if (event->mask & IN_Q_OVERFLOW)
        touch_all(spares);
    else
        cgroup = map_find(&spares->watched, (uint64_t)event->wd);
    if (cgroup)
        cgroup->touched = true;
}

/* Under the lock. */
static void note_events(struct cgroup_spares *spares)
{
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];

    for (ssize_t n; (n = read(spares->inotify_fd, events, sizeof events)) > 0;) {
        for (const char *at = events; at < events + n;) {
            const struct inotify_event *event = (const void *)at;

            note(spares, event);
            at += sizeof *event + event->len;
        }
    }
}

/* Where R3 begins. An error means that a stranger has removed it. */
static bool is_there(struct cgroup *cgroup)
{
    return cgroup_fd_u64(cgroup->stat_fd, "usage_usec", &cgroup->cpu_before_us) == 0;
}

void cgroup_spares_open(struct cgroup_spares *spares, bool keeps)
{
    spares->inotify_fd = keeps ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    pthread_mutex_init(&spares->lock, NULL);
    list_init(&spares->idle);
}

void cgroup_spares_close(struct cgroup_spares *spares)
{
    assert_always(list_is_empty(&spares->idle));
    if (spares->inotify_fd >= 0)
        close(spares->inotify_fd);
    map_deinit(&spares->watched);
    pthread_mutex_destroy(&spares->lock);
}

struct cgroup *cgroup_spares_take(struct cgroup_spares *spares, bool *ret_fit)
{
    pthread_mutex_lock(&spares->lock);
    struct list *link = list_pop_front(&spares->idle);
    struct cgroup *cgroup = link ? container_of(link, struct cgroup, link) : NULL;
    bool touched = false;

    if (cgroup) {
        spares->idle_count--;
        note_events(spares);
        touched = cgroup->touched;
    }
    pthread_mutex_unlock(&spares->lock);
    *ret_fit = cgroup && !touched && is_there(cgroup);
    return cgroup;
}

void cgroup_spares_name(struct cgroup_spares *spares, struct cgroup *cgroup)
{
    snprintf(cgroup->name, sizeof cgroup->name, "unlimited.%llu",
             (unsigned long long)++spares->made);
}

void cgroup_spares_watch(struct cgroup_spares *spares, struct cgroup *cgroup,
                         const char *root_path)
{
    char path[PATH_MAX + sizeof cgroup->name + 1];

    snprintf(path, sizeof path, "%s/%s", root_path, cgroup->name);
    int watch = inotify_add_watch(spares->inotify_fd, path, TOUCHES);
    if (watch < 0)
        return;
    pthread_mutex_lock(&spares->lock);
    if (map_put(&spares->watched, (uint64_t)watch, cgroup) == 0)
        cgroup->watch = watch;
    pthread_mutex_unlock(&spares->lock);
}

bool cgroup_spares_put(struct cgroup_spares *spares, struct cgroup *cgroup)
{
    pthread_mutex_lock(&spares->lock);
    note_events(spares);
    bool kept = !cgroup->touched && spares->idle_count < CGROUP_SPARES_MAX;

    if (kept) {
        list_push_front(&spares->idle, &cgroup->link); /* the processor still knows it */
        spares->idle_count++;
    }
    pthread_mutex_unlock(&spares->lock);
    return kept;
}

void cgroup_spares_forget(struct cgroup_spares *spares, struct cgroup *cgroup)
{
    pthread_mutex_lock(&spares->lock);
    map_remove(&spares->watched, (uint64_t)cgroup->watch);
    pthread_mutex_unlock(&spares->lock);
}
