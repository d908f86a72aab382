#include "scheduler/runq.h"

#include "scheduler/core.h"
#include "scheduler/wait.h"

void runq_init(struct runq *q, bool alone)
{
    q->alone = alone;
    atomic_init(&q->head, 0);
    atomic_init(&q->tail, 0);
    atomic_init(&q->next, NULL);
}

struct task *runq_pop_last(struct runq *q)
{
    struct task *t = runq_last(q);
    uint64_t tail = get_relaxed(&q->tail);

    if (t == NULL)
        return NULL;
    sanitizer_publish(&q->tail, tail - 1);
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    do {
        if (runq_between(head, tail) == 0) {
            sanitizer_publish(&q->tail, tail); /* thieves took it, too */
            return NULL;
        }
    } while (!runq_move_head(q, &head, head + RUNQ_VERSION));
    return t;
}

void runq_spill(struct runq *q, struct task_list *ret)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
    struct task *taken[RUNQ_BATCH];
    uint64_t n;

    do {
        n = runq_between(head, tail) / 2;
        if (n > RUNQ_BATCH)
            n = RUNQ_BATCH;
        for (uint64_t i = 0; i < n; i++)
            taken[i] = get_relaxed(&q->slots[(head + i) % RUNQ_SLOTS]);
    } while (n > 0 && !atomic_compare_exchange_weak_explicit(
                          &q->head, &head, runq_after(head, n), memory_order_acq_rel,
                          memory_order_acquire));
    for (uint64_t i = 0; i < n; i++)
        task_list_push(ret, taken[i]);
}

struct task *runq_steal(struct runq *own, struct runq *victim)
{
    uint64_t own_tail = get_relaxed(&own->tail);
    uint64_t own_head = atomic_load_explicit(&own->head, memory_order_acquire);
    uint64_t room = RUNQ_SLOTS - runq_between(own_head, own_tail);

    for (;;) {
        uint64_t head = atomic_load_explicit(&victim->head, memory_order_acquire);
        uint64_t tail = atomic_load_explicit(&victim->tail, memory_order_acquire);
        uint64_t n = runq_between(head, tail);
        n -= n / 2;
        if (n == 0)
            return NULL;
        if (n > RUNQ_SLOTS / 2) /* head is older than tail */
            continue;
        if (n > RUNQ_BATCH)
            n = RUNQ_BATCH;
        if (n > room + 1)
            n = room + 1;
        for (uint64_t i = 0; i + 1 < n; i++) {
            struct task *t = get_relaxed(&victim->slots[(head + i) % RUNQ_SLOTS]);
            set_relaxed(&own->slots[(own_tail + i) % RUNQ_SLOTS], t);
        }
        struct task *last = get_relaxed(&victim->slots[(head + n - 1) % RUNQ_SLOTS]);
        if (!atomic_compare_exchange_strong_explicit(&victim->head, &head, runq_after(head, n),
                                                     memory_order_acq_rel,
                                                     memory_order_acquire))
            continue;
        if (n > 1)
            atomic_store_explicit(&own->tail, own_tail + n - 1, memory_order_release);
        return last;
    }
}

void global_push(struct global_queue *g, struct task_list *list)
{
    if (list->head == NULL)
        return;
    spin_lock(&g->lock);
    if (g->tail != NULL)
        set_relaxed(&g->tail->next, list->head);
    else
        g->head = list->head;
    g->tail = list->tail;
    atomic_store(&g->len, get_relaxed(&g->len) + list->len);
    spin_unlock(&g->lock);
    *list = (struct task_list){0};
}

void global_pop(struct global_queue *g, unsigned max, struct task_list *ret)
{
    unsigned taken = 0;

    spin_lock(&g->lock);
    for (; taken < max && g->head != NULL; taken++) {
        struct task *t = g->head;
        g->head = get_relaxed(&t->next);
        task_list_push(ret, t);
    }
    if (g->head == NULL)
        g->tail = NULL;
    atomic_store(&g->len, get_relaxed(&g->len) - taken);
    spin_unlock(&g->lock);
}
