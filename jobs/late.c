#include "jobs/late.h"

#include "base/err.h"
#include "base/log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define WHY_BYTES 200

struct loading {
    const char *name;
    void *handle;
    char why[WHY_BYTES];
};

static pthread_mutex_t loads = PTHREAD_MUTEX_INITIALIZER;

static void *load(void *arg)
{
    struct loading *l = arg;

    l->handle = dlopen(l->name, RTLD_NOW | RTLD_LOCAL);
    if (!l->handle)
        snprintf(l->why, sizeof l->why, "%s", dlerror());
    return NULL;
}

static void load_aside(struct loading *l)
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, load, l);

    if (r == 0)
        pthread_join(thread, NULL);
    else
        snprintf(l->why, sizeof l->why, "%s", err_text(-r));
}

static void complain(struct late_library *library, const struct loading *l)
{
    if (atomic_exchange(&library->complain, false))
        log_error("jobs.library", LOG_STR("name", l->name), LOG_STR("why", l->why));
}

bool late_load(struct late_library *library)
{
    struct loading l = {.name = library->name};

    if (atomic_load_explicit(&library->handle, memory_order_acquire))
        return true;
    pthread_mutex_lock(&loads);
    l.handle = atomic_load(&library->handle);
    if (!l.handle)
        load_aside(&l);
    atomic_store(&library->handle, l.handle);
    pthread_mutex_unlock(&loads);
    if (!l.handle)
        complain(library, &l);
    return l.handle;
}

void *late_find(struct late_library *library, const char *name, void *_Atomic *cache)
{
    void *at;

    assert_always(late_load(library));
    at = dlsym(atomic_load(&library->handle), name);
    assert_always(at);
    atomic_store_explicit(cache, at, memory_order_release);
    return at;
}
