/* reach.h: the memory of this process as words, for who looks for pointers in it. It is read
 * through /proc/self/mem: a page that another thread gives back meanwhile is an error and no
 * fault, and no tool takes the reading for an access of the program. */
#ifndef SCHEDULER_REACH_H
#define SCHEDULER_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REACH_HIDDEN_MAX 65536
#define REACH_CHUNK_WORDS 8192

struct range {
    uintptr_t begin, end;
};

/* Large: not for a stack. */
struct reach {
    int mem, pages; /* /proc/self/mem and pagemap; -1 = closed */
    void *ctx;
    void (*words)(void *ctx, const uintptr_t *words, size_t count);
    bool (*go_on)(void *ctx); /* asked between chunks; false ends the reading with -EINTR */
    unsigned hidden_len;
    uint64_t bytes; /* read by reach_all */
    uintptr_t chunk[REACH_CHUNK_WORDS];
    struct range hidden[REACH_HIDDEN_MAX];
};

/* 0 or a negative errno: this process may not read itself. */
int reach_open(struct reach *r);
void reach_close(struct reach *r);
/* What is the reader's own, or the scheduler's, is not looked at. false: too many. */
bool reach_hide(struct reach *r, const void *at, size_t bytes);
/* After the last reach_hide. */
void reach_seal(struct reach *r);
/* Copies bytes from there. false: there is nothing. */
bool reach_peek(const struct reach *r, const void *at, void *ret, size_t bytes);
/* Hands over the aligned words in [begin, end) but the hidden ones. 0 or a negative errno. */
int reach_part(struct reach *r, uintptr_t begin, uintptr_t end);
/* The same for all that the program can write and that has pages. -E2BIG: too much. */
int reach_all(struct reach *r);
/* The lowest address of the mapping that contains `at`; 0 = none. */
uintptr_t reach_mapping(const void *at);

#endif
