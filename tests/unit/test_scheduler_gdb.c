/* gdb.py, on a living process and on a core: it lists the tasks and walks their stacks. And the
 * USDT probes: gdb stops at them and is told their arguments. */
#include "scheduler/block.h"
#include "scheduler/sanitizer.h"

#include "tests/lib/folder.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/ward.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers' shadow memory makes cores of terabytes. */
#if defined(SANITIZER_ASAN) || defined(SANITIZER_TSAN)
#define HAS_CORES false
#else
#define HAS_CORES true
#endif

enum { SAID_BYTES = 1 << 16 };

struct patient {
    int told[2];   /* the child says that all are asleep */
    int to_end[2]; /* closed: it may end */
    bool aborts;
};

static int lie_down(void *arg)
{
    struct patient *p = arg;
    struct chan *c = chan_new(0, 0);
    struct group g;
    char end;

    ck_assert_int_eq(ward_open(&g, c), 0);
    let_others_run();
    ck_assert_int_eq(write(p->told[1], "x", 1), 1);
    if (p->aborts)
        abort();
    block_enter_long(BLOCK_FILE);
    ck_assert_int_eq(read(p->to_end[0], &end, 1), 0);
    block_leave();
    group_close(&g);
    chan_free(c);
    return 0;
}

static void child_runs(struct patient *p)
{
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    close(p->to_end[1]);
    setrlimit(RLIMIT_CORE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    scheduled(1, lie_down, p);
    _exit(0);
}

static pid_t patient_start(struct patient *p)
{
    char told;

    ck_assert_int_eq(pipe(p->told), 0);
    ck_assert_int_eq(pipe(p->to_end), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        child_runs(p);
    ck_assert_int_eq(fcntl(p->to_end[1], F_SETFD, FD_CLOEXEC), 0); /* gdb is started, too */
    ck_assert_int_eq(read(p->told[0], &told, 1), 1);
    return child;
}

static void gdb_says(const char *what, char ret[SAID_BYTES])
{
    char command[2 * PATH_MAX];

    snprintf(command, sizeof command,
             "gdb -nx -batch -iex 'set debuginfod enabled off' %s -x scheduler/gdb.py "
             "-ex 'stint tasks' -ex 'stint bt all' -ex 'stint bt 4711' 2>&1",
             what);
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    size_t len = fread(ret, 1, SAID_BYTES - 1, f);
    ret[len] = '\0';
    pclose(f);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;

    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        count++;
    return count;
}

/* The list and the stacks name each task once; a stack has its frames in order, to its end. */
static void check(const char *said)
{
    ck_assert_msg(count_of(said, "\"sleeper\" parked on chan") == 6, "%.3000s", said);
    ck_assert_msg(count_of(said, "group \"ward\", spawned at ./tests/lib/ward.h:") == 6,
                  "%.3000s", said);
    ck_assert_msg(count_of(said, " in innermost (") == 3, "%.3000s", said);
    const char *stack = strstr(said, " in innermost (");
    ck_assert_ptr_nonnull(stack = strstr(stack, " in between ("));
    ck_assert_ptr_nonnull(stack = strstr(stack, " in sleeper ("));
    ck_assert_ptr_nonnull(stack = strstr(stack, " in task_entry ("));
    ck_assert_ptr_nonnull(strstr(stack, " in switch_entry ("));
    ck_assert_msg(count_of(said, "Backtrace stopped") == 0, "%.3000s", said);
    ck_assert_msg(count_of(said, "there is no task 4711") == 1, "%.3000s", said);
}

START_TEST(gdb_lists_the_tasks_of_a_living_process_and_walks_their_stacks)
{
    struct patient p = {.aborts = false};
    char what[64], said[SAID_BYTES];
    int status;
    pid_t child = patient_start(&p);

    snprintf(what, sizeof what, "-p %d", (int)child);
    gdb_says(what, said);
    check(said);
    ck_assert_msg(strstr(said, "\"root\" blocked in thread ") != NULL, "%.3000s", said);
    ck_assert_msg(strstr(said, "lie_down (") != NULL, "%.3000s", said);
    close(p.to_end[1]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(gdb_lists_the_tasks_of_a_core_and_walks_their_stacks)
{
    struct patient p = {.aborts = true};
    char self[PATH_MAX], here[PATH_MAX], what[3 * PATH_MAX], said[SAID_BYTES];
    char *folder = folder_new();
    glob_t cores;
    int status;

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_gt(readlink("/proc/self/exe", memset(self, 0, sizeof self), sizeof self - 1),
                     0);
    ck_assert_int_eq(chdir(folder), 0);
    pid_t child = patient_start(&p);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WCOREDUMP(status));
    ck_assert_msg(glob("core*", 0, NULL, &cores) == 0,
                  "kernel.core_pattern leads cores elsewhere than into the current folder");
    snprintf(what, sizeof what, "%s %s/%s", self, folder, cores.gl_pathv[0]);
    globfree(&cores);
    ck_assert_int_eq(chdir(here), 0);
    gdb_says(what, said);
    check(said);
    ck_assert_msg(strstr(said, "\"root\" running in thread ") != NULL, "%.3000s", said);
    folder_remove(folder);
}
END_TEST

#define STOP_AT(probe) " -ex 'tbreak -probe-stap stint:" probe "'"
#define GO_ON_AND_SAY_WHO " -ex continue -ex 'print ((struct task *) $_probe_arg0)->name'"

/* The blocking call of the root task ends, it cancels the sleepers, they run. */
START_TEST(gdb_stops_at_the_probes_and_is_told_who_is_there)
{
    struct patient p = {.aborts = false};
    char command[1024], line[4096], said[SAID_BYTES] = "";
    int status;
    pid_t child = patient_start(&p);

    snprintf(command, sizeof command,
             "gdb -nx -batch -iex 'set debuginfod enabled off' -p %d" STOP_AT("block__leave")
                 STOP_AT("task__ready")
                     STOP_AT("task__run") " -ex 'shell echo all set'" GO_ON_AND_SAY_WHO
                         GO_ON_AND_SAY_WHO GO_ON_AND_SAY_WHO " -ex detach 2>&1",
             (int)child);
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        strncat(said, line, sizeof said - strlen(said) - 1);
        if (strcmp(line, "all set\n") == 0)
            close(p.to_end[1]);
    }
    pclose(f);
    const char *at = strstr(said, "$1 = ");
    ck_assert_msg(at != NULL && (at = strstr(at, "\"root\"")) != NULL, "%.3000s", said);
    ck_assert_msg((at = strstr(at, "$2 = ")) != NULL && strstr(at, "\"sleeper\"") != NULL,
                  "%.3000s", said);
    ck_assert_msg((at = strstr(at, "$3 = ")) != NULL && strstr(at, "\"sleeper\"") != NULL,
                  "%.3000s", said);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_gdb");
    TCase *tc = tcase_create("gdb");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, gdb_lists_the_tasks_of_a_living_process_and_walks_their_stacks);
    tcase_add_test(tc, gdb_stops_at_the_probes_and_is_told_who_is_there);
    if (HAS_CORES)
        tcase_add_test(tc, gdb_lists_the_tasks_of_a_core_and_walks_their_stacks);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
