/* A round without memory: each allocation of a round, and of an opening, fails once in turn.
 * The core needs memory to go forward and none to go back (I7 of jobs/core.h), so it stands
 * then as it stood before, and the same round succeeds when there is memory again. */
#include "base/buf.h"
#include "base/own.h"
#include "base/pages.h"
#include "jobs/commit.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NOW INT64_C(1700000000000)
#define ITEMS 12
#define BATCH 3

/* The allocators of the C library, for a while without memory. Not beside those of a sanitizer:
 * there the loops end at once. */
static uint64_t left; /* allocations until the one that fails; 0 = none does */
static bool failed;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

static bool fails_now(void)
{
    if (left == 0 || --left > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return fails_now() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails_now() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return fails_now() ? NULL : __libc_realloc(old, bytes);
}

void *pages_new(size_t bytes)
{
    void *pages = fails_now() ? MAP_FAILED
                              : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

void pages_free(void *pages, size_t bytes)
{
    if (pages)
        ck_assert_int_eq(munmap(pages, bytes), 0);
}
#endif

static struct store *store;
static struct commit *commit;
static struct job rows[ITEMS][BATCH];
static struct core_submission submissions[ITEMS][BATCH];
static struct commit_item items[ITEMS], *list[ITEMS];
static size_t len;

static const struct commit_options usual = {
    .limits = {.running_max = 3,
               .kind_max = {[KIND_EXEC] = 2, [KIND_HTTP] = 2, [KIND_WORKER] = 100},
               .crashes_max = 3},
    .epoch = 1,
    .seed = 1};
static const struct outcome good = {.kind = OUTCOME_SUCCEEDED, .result = (char *)"{}"};
static const struct outcome bad = {.kind = OUTCOME_FAILED, .reason = REASON_EXIT_NONZERO};
static const struct retry_spec thrice = {
    .max_attempts = 3, .base_ms = 1000, .factor = 2, .cap_ms = 9000};

static int open_commit(struct commit **ret)
{
    struct commit_options options = usual;
    uint64_t refused;

    options.store = store;
    return commit_open(&options, ret, &refused);
}

static char *printed(struct commit *c)
{
    OWN_BUF struct buf text = BUF_INIT;
    const char *broken = core_check(commit_core(c));

    ck_assert_msg(!broken, "%s", broken);
    core_print(commit_core(c), &text);
    return strdup(buf_str(&text));
}

/* ----- rounds ----- */

static void add(struct core_input input)
{
    items[len] = (struct commit_item){.input = input};
    list[len] = &items[len];
    len++;
}

/* Three jobs, all or none, each in a queue and of a key of its own. */
static void add_submit(enum job_kind kind, const char *queue, const char *key)
{
    static const char *const others[] = {"second", "third"};

    for (int i = 0; i < BATCH; i++) {
        rows[len][i] = (struct job){.kind = kind,
                                    .queue = (char *)(i ? others[i - 1] : queue),
                                    .key = (char *)(i ? others[i - 1] : key),
                                    .created_at_ms = NOW,
                                    .start_by_at_ms = key ? NOW + 60000 : 0,
                                    .spec = (char *)"{\"worker\":{}}"};
        submissions[len][i] = (struct core_submission){.job = &rows[len][i]};
    }
    add((struct core_input){.kind = INPUT_SUBMIT, .submit = {submissions[len], BATCH, 0}});
}

static void add_finished(uint64_t id, const struct outcome *o)
{
    add((struct core_input){
        .kind = INPUT_FINISHED,
        .finished = {.id = id, .fence = 1, .outcome = o, .retry = &thrice}});
}

static void add_first(void)
{
    for (int i = 0; i < 6; i++)
        add_submit(i % 2 ? KIND_HTTP : KIND_EXEC, i < 4 ? "q" : "r", i % 3 ? NULL : "key");
    add_submit(KIND_WORKER, "w", "key");
    items[len - 1].key = "a reply";
}

/* Of the first round three run, four are leased, and the others wait. */
static void add_second(void)
{
    add_submit(KIND_EXEC, "a new queue", "a new key");
    add_finished(1, &good);
    add_finished(2, &bad);
    add((struct core_input){.kind = INPUT_CANCEL, .cancel = {3, -1}});
    add((struct core_input){.kind = INPUT_HOLD, .id = 5});
    add((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"q", 3, 2, 1}});
    add_submit(KIND_HTTP, "q", NULL);
    items[len - 1].key = "another reply";
}

static void add_third(void)
{
    add((struct core_input){.kind = INPUT_RETRY_NOW, .id = 2});
    add((struct core_input){.kind = INPUT_RELEASE, .id = 5});
    add((struct core_input){.kind = INPUT_LOST, .id = 3});
    add((struct core_input){.kind = INPUT_CANCEL, .cancel = {7, 0}});
}

static void (*const rounds[])(void) = {add_first, add_second, add_third};

#define ROUNDS (sizeof rounds / sizeof *rounds)

static uint64_t submitted; /* as far as was answered */

/* Somebody asks for work in each of them. */
static int play(size_t round, uint64_t nth)
{
    static const char *const queues[] = {"w", "q"};
    struct core_lease leases[4];
    struct lease_ask ask = {.queues = queues, .queues_count = 2, .max = 4, .leases = leases};
    struct list asks = LIST_INIT(asks);
    int r;

    len = 0;
    rounds[round]();
    list_push_back(&asks, &ask.link);
    failed = false;
    left = nth;
    r = commit_round(commit, list, len, &asks, NOW + (int64_t)round);
    left = 0;
    for (size_t i = 0; i < len; i++)
        submitted +=
            items[i].answer == CORE_OK && items[i].input.kind == INPUT_SUBMIT ? BATCH : 0;
    return r;
}

static void core_is_store(void)
{
    struct commit *fresh;

    ck_assert_int_eq(open_commit(&fresh), 0);
    OWN(free) char *here = printed(commit), *there = printed(fresh);
    ck_assert_str_eq(here, there);
    commit_close(fresh);
}

static unsigned without_memory(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < len; i++)
        count += items[i].answer == -ENOMEM;
    return count;
}

/* In a world of its own; whether there was an nth allocation. */
static bool round_fails(size_t round, uint64_t nth)
{
    submitted = 0;
    ck_assert_int_eq(store_open_memory(&store), 0);
    ck_assert_int_eq(open_commit(&commit), 0);
    for (size_t i = 0; i < round; i++)
        ck_assert_int_eq(play(i, 0), 0);

    OWN(free) char *before = printed(commit);
    int r = play(round, nth);
    bool struck = failed;
    OWN(free) char *after = printed(commit);

    core_is_store();
    if (r == 0)
        ck_assert_uint_le(without_memory(), 1);
    else {
        ck_assert_int_eq(r, -ENOMEM);
        ck_assert_uint_eq(without_memory(), len);
        ck_assert_str_eq(before, after);
        ck_assert_int_eq(play(round, 0), 0);
        core_is_store();
    }
    ck_assert_uint_eq(store_max_id(store), submitted);
    commit_close(commit);
    store_close(store);
    return struck;
}

/* Or one item of it did not, and says so. */
START_TEST(a_round_without_memory_did_not_happen)
{
    for (size_t round = 0; round < ROUNDS; round++) {
        uint64_t nth = 1;

        while (round_fails(round, nth))
            nth++;
        fprintf(stderr, "round %zu: each of its %llu allocations failed\n", round,
                (unsigned long long)nth - 1);
    }
}
END_TEST

START_TEST(a_store_that_is_opened_without_memory_can_be_opened_again)
{
    ck_assert_int_eq(store_open_memory(&store), 0);
    ck_assert_int_eq(open_commit(&commit), 0);
    ck_assert_int_eq(play(0, 0), 0);
    OWN(free) char *before = printed(commit);
    commit_close(commit);
    failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct commit *fresh = NULL;

        failed = false;
        left = nth;
        int r = open_commit(&fresh);
        left = 0;
        ck_assert(r == 0 || (failed && r == -ENOMEM && fresh == NULL));
        if (r == 0) {
            OWN(free) char *after = printed(fresh);
            ck_assert_str_eq(before, after);
        }
        commit_close(fresh);
    }
    store_close(store);
}
END_TEST

/* Strings of all lengths, one of which makes jansson's buffer of letters grow beyond a chunk.
 */
static void put_document(struct buf *b)
{
    buf_puts(b, "{\"exec\":{\"argv\":[\"a\"");
    for (int digits = 1; digits < 5000; digits = digits * 3 / 2 + 1)
        buf_putf(b, ",\"%0*d\"", digits, 7);
    buf_puts(b, "]},\"tags\":[\"web\",\"img\"],\"name\":\"n\",\"priority\":7}");
}

START_TEST(a_document_is_not_refused_for_want_of_memory)
{
    OWN_BUF struct buf b = BUF_INIT;

    spec_json_prepare();
    put_document(&b);
    failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct spec *spec = NULL;
        struct spec_fault fault;

        failed = false;
        left = nth;
        int r = spec_from_text(b.data, b.len, &spec, &fault);
        left = 0;
        ck_assert_int_eq(r, failed ? -ENOMEM : 0);
        spec_free(spec);
    }
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs/memory", a_round_without_memory_did_not_happen,
                      a_store_that_is_opened_without_memory_can_be_opened_again,
                      a_document_is_not_refused_for_want_of_memory);
}
