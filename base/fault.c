#include "base/fault.h"

#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

struct point {
    char name[FAULT_NAME_BYTES_MAX + 1];
    uint64_t nth, passes;
    int result;
    bool every;
};

_Atomic bool fault_armed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct point points[FAULT_POINTS_MAX]; /* guarded by lock */
static unsigned points_len;                   /* guarded by lock */

static struct point *point_find(const char *name)
{
    for (unsigned i = 0; i < points_len; i++) {
        if (strcmp(points[i].name, name) == 0)
            return &points[i];
    }
    return NULL;
}

static int point_pass(struct point *p)
{
    p->passes++;
    if (p->nth == 0 || p->passes < p->nth)
        return 0;
    return p->every || p->passes == p->nth ? p->result : 0;
}

static void point_arm(const struct point *wanted)
{
    pthread_mutex_lock(&lock);
    struct point *p = point_find(wanted->name);

    assert_always(p || points_len < FAULT_POINTS_MAX);
    if (!p)
        p = &points[points_len++];
    *p = *wanted;
    atomic_store(&fault_armed, true);
    pthread_mutex_unlock(&lock);
}

static int errno_parse(const char *s, size_t len, int *ret)
{
    for (int e = 1; e <= ERRNO_MAX; e++) {
        const char *name = strerrorname_np(e);

        if (name && strlen(name) == len && memcmp(name, s, len) == 0) {
            *ret = -e;
            return 0;
        }
    }
    return -EINVAL;
}

/* One "name:nth:ERRNO" or "name:nth+:ERRNO". */
static int point_parse(const char *s, size_t len, struct point *ret)
{
    struct point p = {.every = false};
    const char *nth = memchr(s, ':', len);
    const char *result = nth ? memchr(nth + 1, ':', len - (size_t)(nth + 1 - s)) : NULL;

    if (!result || nth == s || nth - s > FAULT_NAME_BYTES_MAX)
        return -EINVAL;
    memcpy(p.name, s, (size_t)(nth - s));
    nth++;

    size_t nth_len = (size_t)(result - nth);

    p.every = nth_len > 0 && nth[nth_len - 1] == '+';
    if (str_u64(nth, nth_len - p.every, &p.nth) < 0 || p.nth == 0)
        return -EINVAL;
    result++;
    if (errno_parse(result, len - (size_t)(result - s), &p.result) < 0)
        return -EINVAL;
    *ret = p;
    return 0;
}

int fault_hit(const char *point)
{
    pthread_mutex_lock(&lock);
    struct point *p = point_find(point);
    int r = p ? point_pass(p) : 0;
    pthread_mutex_unlock(&lock);
    return r;
}

void fault_arm(const char *point, uint64_t nth, int result, bool every)
{
    struct point p = {.nth = nth, .result = result, .every = every};
    size_t len = strlen(point);

    assert_always(len > 0 && len <= FAULT_NAME_BYTES_MAX);
    memcpy(p.name, point, len);
    point_arm(&p);
}

void fault_disarm_all(void)
{
    pthread_mutex_lock(&lock);
    points_len = 0;
    atomic_store(&fault_armed, false);
    pthread_mutex_unlock(&lock);
}

uint64_t fault_passes(const char *point)
{
    pthread_mutex_lock(&lock);
    const struct point *p = point_find(point);
    uint64_t passes = p ? p->passes : 0;
    pthread_mutex_unlock(&lock);
    return passes;
}

int fault_arm_env(const char *text)
{
    struct point parsed[FAULT_POINTS_MAX];
    unsigned len = 0;

    for (const char *end = text; *end; text = end + 1) {
        end = strchrnul(text, ',');
        if (len == FAULT_POINTS_MAX)
            return -EINVAL;
        if (point_parse(text, (size_t)(end - text), &parsed[len++]) < 0)
            return -EINVAL;
    }
    for (unsigned i = 0; i < len; i++)
        point_arm(&parsed[i]);
    return 0;
}
