#include "scheduler/overflow.h"

#include "scheduler/core.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALT_STACK_BYTES (64 * 1024)
#define MESSAGE_BYTES 512

static const int fault_signals[] = {SIGSEGV, SIGBUS};
static struct sigaction before[2];

static unsigned index_of(int sig)
{
    return sig == SIGSEGV ? 0 : 1;
}

/* Nothing of stdio or malloc is safe here. */
static void put(char *message, size_t *len, const char *s)
{
    size_t n = strlen(s);

    if (n > MESSAGE_BYTES - *len)
        n = MESSAGE_BYTES - *len;
    memcpy(message + *len, s, n);
    *len += n;
}

static void put_number(char *message, size_t *len, uint64_t v)
{
    char digits[21] = "", *at = digits + 20;

    do {
        *--at = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(message, len, at);
}

static void report(const struct task *t)
{
    char message[MESSAGE_BYTES];
    size_t len = 0;

    put(message, &len, "stack overflow: task ");
    put_number(message, &len, t->id);
    put(message, &len, " \"");
    put(message, &len, get_relaxed(&t->name));
    put(message, &len, "\" spawned at ");
    put(message, &len, get_relaxed(&t->site));
    put(message, &len, " used up its stack of ");
    put_number(message, &len, (stack_bytes(t->stack_class) - STACK_GUARD_BYTES) / 1024);
    put(message, &len, " KiB\n");

    ssize_t n = write(STDERR_FILENO, message, len);
    (void)n;
}

void overflow_end(const struct task *t)
{
    report(t);
    abort();
}

static bool is_overflow(const struct task *t, const char *address)
{
    char *stack = t != NULL ? get_relaxed(&t->stack) : NULL;

    return stack != NULL && !stack_has_canary(stack) && address >= stack_base(stack) &&
           address < stack_base(stack) + STACK_GUARD_BYTES;
}

/* Of whose stack the thread may be on: between two tasks it is on one of theirs. NULL: it is no
 * overflow. */
static const struct task *whose(const struct thread *m, const char *address)
{
    const struct task *tasks[] = {get_relaxed(&m->task), get_relaxed(&m->left),
                                  get_relaxed(&m->chosen)};

    for (unsigned i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (is_overflow(tasks[i], address))
            return tasks[i];
    return NULL;
}

static void fault(int sig, siginfo_t *info, void *context)
{
    struct thread *m = thread_self();
    const struct task *t = m != NULL ? whose(m, info->si_addr) : NULL;

    (void)context;
    if (t != NULL) {
        signal(sig, SIG_DFL);
        report(t);
        return; /* the access is made again, and ends the process */
    }
    sigaction(sig, &before[index_of(sig)], NULL);
}

void overflow_start(void)
{
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < 2; i++)
        sigaction(fault_signals[i], &action, &before[i]);
}

void overflow_stop(void)
{
    for (unsigned i = 0; i < 2; i++)
        sigaction(fault_signals[i], &before[i], NULL);
}

void overflow_thread_begin(struct thread *m)
{
    void *memory = mmap(NULL, ALT_STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    /* Without it an overflow still ends the process, only nameless. */
    if (memory == MAP_FAILED)
        return;
    m->altstack = memory;
    sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = ALT_STACK_BYTES}, &m->old_altstack);
}

void overflow_thread_end(struct thread *m)
{
    if (m->altstack == NULL)
        return;
    sigaltstack(&m->old_altstack, NULL);
    munmap(m->altstack, ALT_STACK_BYTES);
}
