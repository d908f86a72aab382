#include "jobs/http_resolve.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "scheduler/block.h"
#include "scheduler/event.h"
#include "scheduler/group.h"
#include "scheduler/mutex.h"
#include "scheduler/task.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name {
    struct http_resolver *resolver;
    char *text;        /* key in the map */
    struct list link;  /* in resolver->kept when it is not pending; oldest first */
    struct cond ready; /* pending has ended */
    unsigned refs;     /* tasks that look at it */
    bool pending;
    int error; /* EAI_*, or 0 */
    uint64_t until_ns;
    char addresses[HTTP_RESOLVE_TEXT_BYTES];
};

struct http_resolver {
    struct group *group;
    http_lookup_fn lookup;
    struct mutex mutex;       /* guards all below and every name */
    struct map names;         /* text -> struct name */
    struct list kept;         /* answered names, oldest first */
    _Atomic uint64_t lookups; /* ever */
    _Atomic uint32_t inside;  /* lookups under way, and one until it closes */
    struct event empty;       /* inside fell to 0 */
};

static void free_name(struct name *name)
{
    if (name == NULL)
        return;
    free(name->text);
    free(name);
}

static int lookup_system(const char *name, const struct addrinfo *hints, struct addrinfo **ret)
{
    return getaddrinfo(name, NULL, hints, ret);
}

/* ---- the lookup -------------------------------------------------------------------------- */

static size_t put_address(char *to, size_t room, const struct addrinfo *info, bool first)
{
    char text[INET6_ADDRSTRLEN];
    const void *any = info->ai_addr;
    bool v6 = info->ai_family == AF_INET6;
    const void *bytes = v6 ? (const void *)&((const struct sockaddr_in6 *)any)->sin6_addr
                           : (const void *)&((const struct sockaddr_in *)any)->sin_addr;

    if (inet_ntop(info->ai_family, bytes, text, sizeof text) == NULL)
        return 0;

    int len =
        snprintf(to, room, "%s%s%s%s", first ? "" : ",", v6 ? "[" : "", text, v6 ? "]" : "");
    if (len < 0 || (size_t)len >= room) {
        to[0] = 0;
        return 0;
    }
    return (size_t)len;
}

static void put_addresses(char ret[HTTP_RESOLVE_TEXT_BYTES], const struct addrinfo *infos)
{
    size_t len = 0, count = 0;

    ret[0] = 0;
    for (; infos != NULL && count < HTTP_RESOLVE_ADDRESSES_MAX; infos = infos->ai_next) {
        if (infos->ai_family != AF_INET && infos->ai_family != AF_INET6)
            continue;
        len += put_address(ret + len, HTTP_RESOLVE_TEXT_BYTES - len, infos, len == 0);
        count++;
    }
}

/* Behind the last touch of the mutex: whoever closes frees it as soon as all have left. */
static void leave(struct http_resolver *resolver)
{
    if (atomic_fetch_sub(&resolver->inside, 1) == 1)
        event_set(&resolver->empty);
}

/* The lookup's task. It ends with 0 always: its failure is the name's, not the group's. */
static int look_up(void *arg)
{
    struct name *name = arg;
    struct http_resolver *resolver = name->resolver;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char addresses[HTTP_RESOLVE_TEXT_BYTES] = "";
    struct addrinfo *infos = NULL;

    block_enter_long(BLOCK_DNS);
    int error = resolver->lookup(name->text, &hints, &infos);
    if (error == 0) {
        put_addresses(addresses, infos);
        freeaddrinfo(infos);
        if (addresses[0] == 0)
            error = EAI_NONAME;
    }
    block_leave();

    mutex_lock_shielded(&resolver->mutex);
    uint64_t ttl_s = error == 0 ? HTTP_RESOLVE_TTL_S : HTTP_RESOLVE_BAD_TTL_S;
    memcpy(name->addresses, addresses, sizeof addresses);
    name->error = error;
    name->until_ns = task_now_ns() + ttl_s * NS_PER_S;
    name->pending = false;
    list_push_back(&resolver->kept, &name->link);
    cond_broadcast(&name->ready);
    mutex_unlock(&resolver->mutex);
    leave(resolver);
    return 0;
}

/* Under the mutex. */
static int start_lookup(struct http_resolver *resolver, struct name *name)
{
    static const struct task_options options = {
        .name = "http.resolve", .site = __FILE__, .stack = STACK_LARGE};

    list_remove(&name->link);
    name->pending = true;
    resolver->lookups++;
    atomic_fetch_add(&resolver->inside, 1);
    int r = group_spawn(resolver->group, look_up, name, &options);
    if (r == 0)
        return 0;

    name->pending = false;
    name->error = EAI_AGAIN;
    name->until_ns = 0;
    list_push_front(&resolver->kept, &name->link);
    atomic_fetch_sub(&resolver->inside, 1); /* never the last: it is not closed yet */
    return r;
}

/* ---- the names, under the mutex ---------------------------------------------------------- */

static void forget(struct http_resolver *resolver, struct name *name)
{
    map_remove_name(&resolver->names, name->text);
    list_remove(&name->link);
    free_name(name);
}

/* Room for one more: the oldest that nobody looks at goes. */
static bool make_room(struct http_resolver *resolver)
{
    if (resolver->names.len < HTTP_RESOLVE_NAMES_MAX)
        return true;
    list_each (node, &resolver->kept) {
        struct name *name = container_of(node, struct name, link);
        if (name->refs == 0) {
            forget(resolver, name);
            return true;
        }
    }
    return false;
}

static int add_name(struct http_resolver *resolver, const char *text, struct name **ret)
{
    if (!make_room(resolver))
        return -EAGAIN;

    struct name *name = calloc(1, sizeof *name);
    if (name == NULL)
        return -ENOMEM;
    name->resolver = resolver;
    name->text = str_dup(text);
    list_init(&name->link);
    cond_init(&name->ready);
    if (name->text == NULL || map_put_name(&resolver->names, name->text, name) < 0) {
        free_name(name);
        return -ENOMEM;
    }
    list_push_back(&resolver->kept, &name->link);
    *ret = name;
    return 0;
}

/* A name that is being looked up, or was not long ago. */
static int find_fresh(struct http_resolver *resolver, const char *text, struct name **ret)
{
    struct name *name = map_find_name(&resolver->names, text);

    if (name == NULL) {
        int r = add_name(resolver, text, &name);
        if (r < 0)
            return r;
    }
    if (!name->pending && task_now_ns() >= name->until_ns) {
        int r = start_lookup(resolver, name);
        if (r < 0)
            return r;
    }
    *ret = name;
    return 0;
}

static int wait_answered(struct http_resolver *resolver, struct name *name)
{
    int r = 0;

    name->refs++;
    while (name->pending && r == 0)
        r = cond_wait(&name->ready, &resolver->mutex, 0);
    name->refs--;
    return name->pending ? r : 0;
}

/* ---- the doors --------------------------------------------------------------------------- */

int http_resolver_open(struct group *group, http_lookup_fn lookup, struct http_resolver **ret)
{
    struct http_resolver *resolver = calloc(1, sizeof *resolver);

    if (resolver == NULL)
        return -ENOMEM;
    resolver->group = group;
    resolver->lookup = lookup != NULL ? lookup : lookup_system;
    mutex_init(&resolver->mutex);
    event_init(&resolver->empty);
    atomic_init(&resolver->inside, 1);
    list_init(&resolver->kept);
    *ret = resolver;
    return 0;
}

void http_resolver_close(struct http_resolver *resolver)
{
    struct list *node;

    if (resolver == NULL)
        return;
    /* A lookup cannot be cut short; the system's resolver gives up by itself. */
    leave(resolver);
    event_wait_shielded(&resolver->empty);
    while ((node = list_pop_front(&resolver->kept)) != NULL)
        free_name(container_of(node, struct name, link));
    map_deinit(&resolver->names);
    free(resolver);
}

int http_resolve(struct http_resolver *resolver, const char *text,
                 char ret[HTTP_RESOLVE_TEXT_BYTES], const char **ret_why)
{
    struct name *name = NULL;
    int error = 0;

    int r = mutex_lock(&resolver->mutex, 0);
    if (r < 0)
        return r;
    r = find_fresh(resolver, text, &name);
    if (r == 0)
        r = wait_answered(resolver, name);
    if (r == 0) {
        error = name->error;
        memcpy(ret, name->addresses, HTTP_RESOLVE_TEXT_BYTES);
    }
    mutex_unlock(&resolver->mutex);
    if (r < 0 || error == 0)
        return r;
    *ret_why = gai_strerror(error);
    return -EINVAL;
}

uint64_t http_resolver_lookups(const struct http_resolver *resolver)
{
    return resolver->lookups;
}
