/* File jobs on real files: every operation, the borders of the roots, and what is left after a
 * stop, a failure and a crash. Archives are in test_jobs_archive.c. */
#include "base/fault.h"
#include "jobs/file_tree.h"
#include "jobs/spec_parts.h"
#include "scheduler/task.h"
#include "tests/lib/area.h"
#include "tests/lib/folder.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------ operations */

static void run_copy(struct rig *rig)
{
    struct shot shot;
    struct stat st, copied;

    area_make_tree();
    shot_fire(rig, &shot, area_document("'op':'copy','from':'$A/tree/a/big','to':'$A/copy'"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    ck_assert_int_eq(shot_int(&shot, "bytes"), 3000000);
    ck_assert_int_eq(shot_int(&shot, "files"), 1);
    shot_end(&shot);
    area_check_same("tree/a/big", "copy");
    area_succeed(rig, "'op':'copy','from':'$A/tree','to':'$A/tree2','recursive':true");
    area_check_same("tree", "tree2");
    ck_assert_int_eq(stat(area_path("tree/1"), &st), 0);
    ck_assert_int_eq(stat(area_path("tree2/1"), &copied), 0);
    ck_assert_int_eq(copied.st_mtim.tv_sec, st.st_mtim.tv_sec);
    ck_assert_uint_eq(copied.st_mode & 0777, 0600);
    /* A hole stays one. */
    ck_assert_int_eq(stat(area_path("tree2/hole"), &copied), 0);
    ck_assert_int_eq(copied.st_size, (5 << 20) + 3);
    ck_assert_int_lt(copied.st_blocks, 1000);
}

START_TEST(a_copy_has_bytes_links_holes_times_and_permissions)
{
    area_run(run_copy);
}
END_TEST

static void run_overwrite(struct rig *rig)
{
    area_put(area_path("a"), "new");
    area_put(area_path("b"), "old");
    area_refused(rig, "'op':'copy','from':'$A/a','to':'$A/b'", "overwrite is not set");
    area_check_text(area_path("b"), "old");
    area_succeed(rig, "'op':'copy','from':'$A/a','to':'$A/b','overwrite':true");
    area_check_text(area_path("b"), "new");
    ck_assert_int_eq(area_shell("mkdir -p d/x && printf 1 >d/x/1 && mkdir e && printf 2 >e/2"),
                     0);
    area_refused(rig, "'op':'copy','from':'$A/d','to':'$A/e'", "recursive is not set");
    area_refused(rig, "'op':'copy','from':'$A/d','to':'$A/e','recursive':true",
                 "overwrite is not set");
    area_succeed(rig,
                 "'op':'copy','from':'$A/d','to':'$A/e','recursive':true,'overwrite':true");
    area_check_same("d", "e");
    /* A file in the place of a folder, and the other way round. */
    area_succeed(rig, "'op':'copy','from':'$A/a','to':'$A/e','overwrite':true");
    area_check_text(area_path("e"), "new");
    area_succeed(rig,
                 "'op':'copy','from':'$A/d','to':'$A/e','recursive':true,'overwrite':true");
    area_check_same("d", "e");
    ck_assert_int_eq(mkdir(area_path("empty"), 0755), 0);
    area_succeed(rig, "'op':'copy','from':'$A/d','to':'$A/empty','recursive':true");
    area_check_same("d", "empty");
    area_refused(rig, "'op':'copy','from':'$A/d','to':'$A/d/inside','recursive':true",
                 "lies inside");
}

START_TEST(only_overwrite_replaces_and_then_in_one_step)
{
    area_run(run_overwrite);
}
END_TEST

static void run_move(struct rig *rig)
{
    struct stat before, after;

    area_put(area_path("a"), "text");
    ck_assert_int_eq(stat(area_path("a"), &before), 0);
    area_succeed(rig, "'op':'move','from':'$A/a','to':'$A/b'");
    ck_assert_int_eq(stat(area_path("b"), &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert(!area_has(area_path("a")));
    area_put(area_path("c"), "other");
    area_refused(rig, "'op':'move','from':'$A/b','to':'$A/c'", "File exists");
    area_succeed(rig, "'op':'move','from':'$A/b','to':'$A/c','overwrite':true");
    area_check_text(area_path("c"), "text");
    area_refused(rig, "'op':'move','from':'$A/gone','to':'$A/x'", "No such file");
}

START_TEST(a_move_is_a_rename)
{
    area_run(run_move);
}
END_TEST

/* The second root is on another file system. */
static char *far_roots[3];

static void run_far_move(struct rig *rig)
{
    char file[900];

    area_make_tree();
    ck_assert_int_eq(area_shell("cp -a tree keep"), 0);
    snprintf(file, sizeof file, "'op':'move','from':'$A/tree','to':'%s/tree'", far_roots[1]);
    area_succeed(rig, file);
    ck_assert(!area_has(area_path("tree")));
    char text[900];
    snprintf(text, sizeof text, "%s/tree", far_roots[1]);
    area_check_same("keep", text);
    snprintf(file, sizeof file, "'op':'move','from':'%s/tree/1','to':'$A/1'", far_roots[1]);
    area_succeed(rig, file);
    area_check_text(area_path("1"), "one");
}

START_TEST(a_move_to_another_file_system_copies_and_then_removes)
{
    char far[64] = "/dev/shm/stint-test-XXXXXX";
    struct stat here, there;

    ck_assert_ptr_nonnull(mkdtemp(far));
    area_dir = folder_new();
    area_outside = folder_new();
    struct kind_config config = area_config();
    far_roots[0] = area_dir;
    far_roots[1] = far;
    config.file_roots = far_roots;
    ck_assert_int_eq(stat(area_dir, &here), 0);
    ck_assert_int_eq(stat(far, &there), 0);
    ck_assert_msg(here.st_dev != there.st_dev, "/dev/shm is not a file system of its own");
    rig_run(NULL, &config, run_far_move);
    file_tree_remove(AT_FDCWD, far, NULL);
    folder_remove(area_dir);
    folder_remove(area_outside);
}
END_TEST

static void run_remove(struct rig *rig)
{
    area_make_tree();
    area_put(area_path("file"), "x");
    area_succeed(rig, "'op':'remove','from':'$A/file'");
    ck_assert(!area_has(area_path("file")));
    area_refused(rig, "'op':'remove','from':'$A/file'", "No such file");
    area_refused(rig, "'op':'remove','from':'$A/tree'", "Directory not empty");
    /* A link goes, not what it points at. */
    area_put(area_path("precious"), "p");
    ck_assert_int_eq(symlink("precious", area_path("l")), 0);
    area_succeed(rig, "'op':'remove','from':'$A/l','recursive':true");
    area_check_text(area_path("precious"), "p");
    area_succeed(rig, "'op':'remove','from':'$A/tree/empty'");
    ck_assert_int_eq(area_shell("ln -s ../../precious tree/a/b/out && chmod 0 tree/a/b/c"), 0);
    area_succeed(rig, "'op':'remove','from':'$A/tree','recursive':true");
    ck_assert(!area_has(area_path("tree")));
    area_check_text(area_path("precious"), "p");
}

START_TEST(a_removal_follows_no_link)
{
    area_run(run_remove);
}
END_TEST

static void run_deep(struct rig *rig)
{
    /* Deeper than descriptors or a stack could follow. */
    ck_assert_int_eq(
        area_shell(
            "perl -e 'for (1..3000) { mkdir \"d\"; open F, \">f\"; close F; chdir \"d\" }'"),
        0);
    area_succeed(rig, "'op':'remove','from':'$A/d','recursive':true");
    ck_assert(!area_has(area_path("d")));
    ck_assert_int_eq(
        area_shell(
            "perl -e 'mkdir \"d\"; chdir \"d\"; for (1..200) { mkdir \"d\"; chdir \"d\" }'"),
        0);
    area_refused(rig, "'op':'copy','from':'$A/d','to':'$A/e','recursive':true",
                 "folders in folders");
    area_refused(rig, "'op':'archive','from':'$A/d','to':'$A/e.tar.gz'", "folders in folders");
}

START_TEST(depth_is_bounded_and_removed_at_any_depth)
{
    area_run(run_deep);
}
END_TEST

static void check_digest(struct rig *rig, const char *algorithm, const char *want)
{
    char file[300];
    struct shot shot;

    snprintf(file, sizeof file, "'op':'checksum','from':'$A/abc','algorithm':'%s'", algorithm);
    shot_fire(rig, &shot, area_document(file));
    ck_assert_msg(shot.outcome.kind == OUTCOME_SUCCEEDED, "%s: %s", algorithm,
                  shot.outcome.error);
    ck_assert_msg(strstr(shot.outcome.result, want) != NULL, "%s", shot.outcome.result);
    ck_assert_int_eq(shot_int(&shot, "bytes"), 3);
    shot_end(&shot);
}

static void run_checksum(struct rig *rig)
{
    area_put(area_path("abc"), "abc");
    check_digest(rig, "sha256",
                 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest(rig, "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest(rig, "md5", "900150983cd24fb0d6963f7d28e17f72");
    check_digest(rig, "sha512",
                 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a");
    check_digest(rig, "sha3-256",
                 "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
    check_digest(rig, "blake2b512",
                 "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1");
    check_digest(rig, "sha512-256",
                 "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
    for (const struct spec_digest *digest = spec_digests; digest->name; digest++)
        check_digest(rig, digest->name, digest->name);
    area_succeed(rig, "'op':'checksum','from':'$A/abc','algorithm':'md5',"
                      "'expect':'900150983CD24FB0D6963F7D28E17F72'");
    area_refused(rig,
                 "'op':'checksum','from':'$A/abc','algorithm':'md5',"
                 "'expect':'00000000000000000000000000000000'",
                 "is 900150983cd24fb0d6963f7d28e17f72, not 0000");
    area_refused(rig, "'op':'checksum','from':'$A'", "is not a plain file");
    ck_assert_int_eq(mkfifo(area_path("pipe"), 0600), 0);
    area_refused(rig, "'op':'checksum','from':'$A/pipe'", "is not a plain file");
}

START_TEST(digests_are_those_of_the_standards)
{
    area_run(run_checksum);
}
END_TEST

static void run_write(struct rig *rig)
{
    struct stat st;

    area_succeed(rig, "'op':'write','to':'$A/w','text':'hello\\n','mode':'0640'");
    area_check_text(area_path("w"), "hello\n");
    ck_assert_int_eq(stat(area_path("w"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
    area_refused(rig, "'op':'write','to':'$A/w','text':'other'", "overwrite is not set");
    area_succeed(rig, "'op':'write','to':'$A/w','text':'','overwrite':true");
    area_check_text(area_path("w"), "");
    area_refused(rig, "'op':'write','to':'$A/no/such','text':''", "No such file");
    area_refused(rig, "'op':'write','to':'$A/w/below','text':''", "Not a directory");
}

START_TEST(a_text_is_written_whole_with_its_permissions)
{
    area_run(run_write);
}
END_TEST

/* ------------------------------------------------------------------ roots */

static void run_roots(struct rig *rig)
{
    char text[700];

    snprintf(text, sizeof text, "%s/secret", area_outside);
    area_put(text, "secret");
    area_put(area_path("mine"), "mine");
    ck_assert_int_eq(symlink(area_outside, area_path("door")), 0);
    ck_assert_int_eq(symlink(text, area_path("window")), 0);
    ck_assert_int_eq(symlink("../../../../../../../../etc/passwd", area_path("climb")), 0);
    ck_assert_int_eq(symlink("mine", area_path("good")), 0);
    const char *no = "outside of the folders";
    area_refused(rig, "'op':'checksum','from':'$O/secret'", no);
    area_refused(rig, "'op':'checksum','from':'/etc/passwd'", no);
    area_refused(rig, "'op':'checksum','from':'$A/door/secret'", no);
    area_refused(rig, "'op':'checksum','from':'$A/window'", no);
    area_refused(rig, "'op':'checksum','from':'$A/climb'", no);
    area_refused(rig, "'op':'copy','from':'$A/mine','to':'$A/door/x'", no);
    area_refused(rig, "'op':'copy','from':'$A/mine','to':'$O/x'", no);
    area_refused(rig, "'op':'copy','from':'$A/window','to':'$A/x'", no);
    area_refused(rig, "'op':'move','from':'$A/door/secret','to':'$A/x'", no);
    area_refused(rig, "'op':'move','from':'$A/mine','to':'$A/door/x'", no);
    area_refused(rig, "'op':'remove','from':'$A/door/secret'", no);
    area_refused(rig, "'op':'remove','from':'$O','recursive':true", no);
    area_refused(rig, "'op':'write','to':'$A/door/x','text':'x'", no);
    area_refused(rig, "'op':'archive','from':'$A/door','to':'$A/x.tar'", no);
    area_refused(rig, "'op':'archive','from':'/etc','to':'$A/x.tar'", no);
    area_refused(rig, "'op':'checksum','from':'/proc/self/root/etc/passwd'", no);
    area_refused(rig, "'op':'remove','from':'$A','recursive':true", "one of the folders");
    area_refused(rig, "'op':'remove','from':'$A/','recursive':true", "one of the folders");
    area_succeed(rig, "'op':'checksum','from':'$A/good'");
    area_succeed(rig, "'op':'checksum','from':'$A//mine'");
    area_check_text(text, "secret");
    /* A name that only begins like a root is not below it. */
    snprintf(text, sizeof text, "%s-more", area_dir);
    ck_assert_int_eq(mkdir(text, 0700), 0);
    area_refused(rig, "'op':'write','to':'$A-more/x','text':'x'", no);
    rmdir(text);
    /* Writing over a link replaces the link and does not follow it. */
    area_succeed(rig, "'op':'write','to':'$A/window','text':'x','overwrite':true");
    area_check_text(area_path("window"), "x");
    snprintf(text, sizeof text, "%s/secret", area_outside);
    area_check_text(text, "secret");
}

START_TEST(no_path_and_no_link_leads_out_of_the_roots)
{
    area_run(run_roots);
}
END_TEST

static void run_no_roots(struct rig *rig)
{
    rig->config.file_roots = NULL;
    area_refused(rig, "'op':'write','to':'$A/x','text':'x'", "roots is empty");
}

START_TEST(without_roots_file_jobs_are_refused)
{
    area_run(run_no_roots);
}
END_TEST

/* ------------------------------------------------------------------ stops, failures, crashes
 */

static void cancel_in_the_middle(struct rig *rig, const char *file)
{
    struct shot shot;

    shot_start(rig, &shot, area_document(file), 50, 1);
    while (shot.progress_bytes == 0 && !event_is_set(&shot.ended))
        task_yield();
    shot_cancel(&shot, -ECANCELED);
    shot_wait(&shot);
    ck_assert_msg(shot.outcome.kind == OUTCOME_STOPPED, "%s: %d %s", file, shot.outcome.kind,
                  shot.outcome.error);
    shot_end(&shot);
    ck_assert(!area_has(area_path("out")));
    area_check_clean(rig);
}

static void run_cancel(struct rig *rig)
{
    rig->config.extract_bytes_max = 0;
    ck_assert_int_eq(
        area_shell("mkdir big && cd big && for i in 1 2 3 4; do "
                   "head -c 40000000 /dev/zero >$i; done; cd .. && tar cf big.tar big"),
        0);
    cancel_in_the_middle(rig, "'op':'copy','from':'$A/big','to':'$A/out','recursive':true");
    cancel_in_the_middle(rig, "'op':'archive','from':'$A/big','to':'$A/out'");
    cancel_in_the_middle(rig, "'op':'extract','from':'$A/big.tar','to':'$A/out'");
    cancel_in_the_middle(rig, "'op':'checksum','from':'$A/big.tar'");
}

START_TEST(a_cancel_in_the_middle_leaves_nothing)
{
    area_run(run_cancel);
}
END_TEST

static void run_faults(struct rig *rig)
{
    static const char *const jobs[] = {
        "'op':'copy','from':'$A/tree','to':'$A/out','recursive':true",
        "'op':'archive','from':'$A/tree','to':'$A/out'",
        "'op':'extract','from':'$A/t.tar','to':'$A/out'",
        "'op':'write','to':'$A/out','text':'x'",
    };

    area_make_tree();
    ck_assert_int_eq(area_shell("tar cf t.tar -C tree ."), 0);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        for (uint64_t nth = 1;; nth++) {
            struct shot shot;

            fault_arm("file.step", nth, -ENOSPC, false);
            shot_fire(rig, &shot, area_document(jobs[i]));
            bool reached = fault_passes("file.step") >= nth;
            fault_disarm_all();
            area_check_clean(rig);
            if (!reached) {
                ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
                shot_end(&shot);
                break;
            }
            ck_assert_msg(shot.outcome.kind == OUTCOME_FAILED, "%s %lu: %s", jobs[i],
                          (unsigned long)nth, shot.outcome.error);
            ck_assert(!area_has(area_path("out")));
            shot_end(&shot);
        }
        area_succeed(rig, "'op':'remove','from':'$A/out','recursive':true");
    }
    fault_arm("file.sync", 1, -EIO, false);
    struct shot shot;
    shot_fire(rig, &shot, area_document("'op':'write','to':'$A/out','text':'x'"));
    fault_disarm_all();
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_FAILED);
    ck_assert(!area_has(area_path("out")));
    shot_end(&shot);
}

START_TEST(a_full_disk_at_any_step_leaves_nothing_and_may_be_tried_again)
{
    area_run(run_faults);
}
END_TEST

static const char *crash_job;

static void run_until_killed(struct rig *rig)
{
    static struct shot shot;

    shot_start(rig, &shot, area_document(crash_job), 60, 1);
    while (shot.progress_bytes == 0)
        task_yield();
    kill(getpid(), SIGKILL);
}

static void run_after_crash(struct rig *rig)
{
    struct shot shot;

    area_check_clean(rig);
    ck_assert(!area_has(area_path("out")));
    shot_start(rig, &shot, area_document(crash_job), 60, 2);
    shot_wait(&shot);
    ck_assert_msg(shot.outcome.kind == OUTCOME_SUCCEEDED, "%s", shot.outcome.error);
    shot_end(&shot);
    area_check_clean(rig);
}

static void die(const char *dir, const struct kind_config *config,
                void (*body)(struct rig *rig))
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        rig_run(dir, config, body);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

START_TEST(what_a_killed_daemon_left_half_done_is_removed_and_done_anew)
{
    char *dir = folder_new();

    area_dir = folder_new();
    area_outside = folder_new();
    struct kind_config config = area_config();
    ck_assert_int_eq(
        area_shell("mkdir big && head -c 60000000 /dev/zero >big/1 && echo end >big/2"), 0);
    crash_job = "'op':'copy','from':'$A/big','to':'$A/out','recursive':true";
    die(dir, &config, run_until_killed);
    rig_run(dir, &config, run_after_crash);
    area_check_same("big", "out");
    folder_remove(dir);
    folder_remove(area_dir);
    folder_remove(area_outside);
}
END_TEST

/* The work is done, its end was not made durable. */
static void run_done_then_killed(struct rig *rig)
{
    struct shot shot;

    shot_start(rig, &shot, area_document(crash_job), 61, 1);
    shot_wait(&shot);
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    kill(getpid(), SIGKILL);
}

static char *second_result;

static void run_again(struct rig *rig)
{
    struct shot shot;

    shot_start(rig, &shot, area_document(crash_job), 61, 2);
    shot_wait(&shot);
    ck_assert_msg(shot.outcome.kind == OUTCOME_SUCCEEDED, "%s", shot.outcome.error);
    second_result = strdup(shot.outcome.result);
    shot_end(&shot);
}

static void check_once(const char *job, const char *path)
{
    char *dir = folder_new();
    struct kind_config config = area_config();
    struct stat before, after;

    crash_job = job;
    die(dir, &config, run_done_then_killed);
    ck_assert_int_eq(lstat(area_path(path), &before), 0);
    rig_run(dir, &config, run_again);
    ck_assert_int_eq(lstat(area_path(path), &after), 0);
    ck_assert_msg(before.st_ino == after.st_ino, "%s was done twice", job);
    ck_assert_ptr_nonnull(strstr(second_result, "\"files\":"));
    free(second_result);
    folder_remove(dir);
}

static void run_refused(struct rig *rig)
{
    struct shot shot;

    shot_start(rig, &shot, area_document(crash_job), 61, 2);
    shot_wait(&shot);
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_FAILED_FINAL);
    shot_end(&shot);
}

START_TEST(work_whose_end_was_lost_is_not_done_twice)
{
    area_dir = folder_new();
    area_outside = folder_new();
    area_make_tree();
    area_put(area_path("m"), "m");
    check_once("'op':'copy','from':'$A/tree','to':'$A/c','recursive':true", "c");
    check_once("'op':'archive','from':'$A/tree','to':'$A/t.tgz'", "t.tgz");
    check_once("'op':'extract','from':'$A/t.tgz','to':'$A/e'", "e");
    check_once("'op':'write','to':'$A/w','text':'x'", "w");
    check_once("'op':'move','from':'$A/m','to':'$A/n'", "n");
    check_once("'op':'remove','from':'$A/tree','recursive':true", "c");
    /* But a file of somebody else is not taken for ours. */
    char *dir = folder_new();
    struct kind_config config = area_config();
    crash_job = "'op':'write','to':'$A/v','text':'x'";
    die(dir, &config, run_done_then_killed);
    ck_assert_int_eq(unlink(area_path("v")), 0);
    area_put(area_path("v"), "theirs");
    rig_run(dir, &config, run_refused);
    folder_remove(dir);
    folder_remove(area_dir);
    folder_remove(area_outside);
}
END_TEST

#define TIMEOUT_S 240 /* of a test; sanitizers and a loaded machine included */

int main(void)
{
    return SUITE_MAIN_WITHIN(
        TIMEOUT_S, "file", a_copy_has_bytes_links_holes_times_and_permissions,
        only_overwrite_replaces_and_then_in_one_step, a_move_is_a_rename,
        a_move_to_another_file_system_copies_and_then_removes, a_removal_follows_no_link,
        depth_is_bounded_and_removed_at_any_depth, digests_are_those_of_the_standards,
        a_text_is_written_whole_with_its_permissions,
        no_path_and_no_link_leads_out_of_the_roots, without_roots_file_jobs_are_refused,
        a_cancel_in_the_middle_leaves_nothing,
        a_full_disk_at_any_step_leaves_nothing_and_may_be_tried_again,
        what_a_killed_daemon_left_half_done_is_removed_and_done_anew,
        work_whose_end_was_lost_is_not_done_twice);
}
