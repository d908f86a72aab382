/* Archives of ours, of others, and those that mean harm. */
#include "jobs/spec.h"
#include "tests/lib/area.h"
#include "tests/lib/suite.h"

#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void run_round_trip(struct rig *rig)
{
    static const char *const formats[] = {"tar.gz", "tar", "tar.zst", "tar.xz", "zip", "cpio"};

    area_make_tree();
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char file[400], back[64];
        struct shot shot;

        snprintf(file, sizeof file,
                 "'op':'archive','from':'$A/tree','to':'$A/x.%s','format':'%s'", formats[i],
                 formats[i]);
        shot_fire(rig, &shot, area_document(file));
        ck_assert_msg(shot.outcome.kind == OUTCOME_SUCCEEDED, "%s: %s", formats[i],
                      shot.outcome.error);
        /* The digest is that of the file. */
        json_t *json = json_loads(shot.outcome.result, 0, NULL);
        char text[300];
        snprintf(text, sizeof text, "echo '%s  x.%s' | sha256sum -c >/dev/null",
                 json_string_value(json_object_get(json, "digest")), formats[i]);
        ck_assert_int_eq(area_shell(text), 0);
        json_decref(json);
        shot_end(&shot);
        snprintf(file, sizeof file, "'op':'extract','from':'$A/x.%s','to':'$A/back.%s'",
                 formats[i], formats[i]);
        area_succeed(rig, file);
        snprintf(back, sizeof back, "back.%s", formats[i]);
        area_check_same("tree", back);
        /* The same content makes the same bytes. */
        snprintf(
            file, sizeof file,
            "'op':'archive','from':'$A/tree','to':'$A/again','format':'%s','overwrite':true",
            formats[i]);
        area_succeed(rig, file);
        snprintf(text, sizeof text, "cmp x.%s again", formats[i]);
        ck_assert_int_eq(area_shell(text), 0);
    }
    ck_assert_int_eq(area_shell("mkdir ref && tar xzf x.tar.gz -C ref"), 0);
    area_check_same("tree", "ref");
}

START_TEST(an_archive_gives_back_what_went_in)
{
    area_run(run_round_trip);
}
END_TEST

static void run_foreign(struct rig *rig)
{
    area_make_tree();
    ck_assert_int_eq(
        area_shell("tar cjf f.tar.bz2 -C tree . && tar cf f.tar -C tree . && "
                   "(cd tree && find . | cpio -o -H newc --quiet) >f.cpio 2>/dev/null || true"),
        0);
    area_succeed(rig, "'op':'extract','from':'$A/f.tar.bz2','to':'$A/f1'");
    area_check_same("tree", "f1");
    area_succeed(rig, "'op':'extract','from':'$A/f.tar','to':'$A/f2'");
    area_check_same("tree", "f2");
    /* Hard links of tar are hard links again. */
    ck_assert_int_eq(area_shell("test f2/1 -ef f2/same"), 0);
    area_put(area_path("single"), "1");
    area_succeed(rig, "'op':'archive','from':'$A/single','to':'$A/s.zip','format':'zip'");
    area_succeed(rig, "'op':'extract','from':'$A/s.zip','to':'$A/s'");
    area_check_text(area_path("s/single"), "1");
    area_refused(rig, "'op':'extract','from':'$A/single','to':'$A/n'",
                 "cannot read the archive");
    ck_assert_int_eq(area_shell("head -c 100000 f.tar.bz2 >cut.tar.bz2"), 0);
    area_refused(rig, "'op':'extract','from':'$A/cut.tar.bz2','to':'$A/n'",
                 "cannot read the archive");
    ck_assert(!area_has(area_path("n")));
    area_refused(rig, "'op':'extract','from':'$A/f.tar','to':'$A/f2'", "overwrite is not set");
    area_put(area_path("f2/extra"), "x");
    area_succeed(rig, "'op':'extract','from':'$A/f.tar','to':'$A/f2','overwrite':true");
    area_check_same("tree", "f2");
    /* An archive that is made inside of what goes in does not contain itself. */
    area_succeed(rig, "'op':'archive','from':'$A/f2','to':'$A/f2/own.tar','format':'tar'");
    ck_assert_int_eq(area_shell("! tar tf f2/own.tar | grep -q own"), 0);
}

START_TEST(archives_of_others_are_read_and_broken_ones_refused)
{
    area_run(run_foreign);
}
END_TEST

struct evil {
    const char *path;
    unsigned type;
    const char *link; /* of a symbolic link, or with type 0 of a hard link */
    const char *text;
};

static void make_archive(const char *path, const struct evil *entries, size_t count)
{
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();

    archive_write_set_format_gnutar(a);
    ck_assert_int_eq(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        const struct evil *e = &entries[i];
        archive_entry_clear(entry);
        archive_entry_set_pathname(entry, e->path);
        archive_entry_set_perm(entry, 04777);
        archive_entry_set_filetype(entry, e->type ? e->type : AE_IFREG);
        if (e->link && e->type)
            archive_entry_set_symlink(entry, e->link);
        if (e->link && !e->type)
            archive_entry_set_hardlink(entry, e->link);
        archive_entry_set_size(entry, e->text ? (la_int64_t)strlen(e->text) : 0);
        ck_assert_int_ge(archive_write_header(a, entry), ARCHIVE_WARN);
        if (e->text)
            archive_write_data(a, e->text, strlen(e->text));
    }
    archive_entry_free(entry);
    ck_assert_int_eq(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

#define LINK AE_IFLNK
#define FILE_ AE_IFREG
#define HARD 0

static void run_evil(struct rig *rig)
{
    static const struct {
        struct evil entries[4];
        const char *why;
    } table[] = {
        {{{"../evil", FILE_, NULL, "x"}}, "leads out"},
        {{{"/tmp/evil-of-stint", FILE_, NULL, "x"}}, "leads out"},
        {{{"a/../../evil", FILE_, NULL, "x"}}, "leads out"},
        {{{"l", LINK, "/etc", NULL}}, "could lead out"},
        {{{"l", LINK, "..", NULL}}, "could lead out"},
        {{{"l", LINK, "../evil", NULL}}, "could lead out"},
        {{{"a/l", LINK, "../../evil", NULL}}, "could lead out"},
        {{{"l", LINK, "a/../../evil", NULL}}, "could lead out"},
        /* p/q/l is the top, so m would be one above it although it looks to be inside. */
        {{{"p/q/l", LINK, "../..", NULL}, {"m", LINK, "p/q/l/..", NULL}}, "could lead out"},
        {{{"d", LINK, "inside", NULL},
          {"inside", AE_IFDIR, NULL, NULL},
          {"d/x", FILE_, NULL, "x"}},
         "goes through a link"},
        {{{"f", FILE_, NULL, "x"}, {"f/x", FILE_, NULL, "x"}}, "goes through"},
        {{{"h", HARD, "../../etc/passwd", NULL}}, "leads out"},
        {{{"h", HARD, "/etc/passwd", NULL}}, "leads out"},
        {{{"h", HARD, "nothing", NULL}}, "not in the archive"},
        {{{"l", LINK, "x", NULL}, {"h", HARD, "l", NULL}}, "not in the archive"},
        {{{"d", AE_IFCHR, NULL, NULL}}, "neither file, folder nor link"},
        {{{"d", AE_IFBLK, NULL, NULL}}, "neither file, folder nor link"},
        {{{"d", AE_IFIFO, NULL, NULL}}, "neither file, folder nor link"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t count = 0;
        while (count < 4 && table[i].entries[count].path)
            count++;
        make_archive(area_path("evil.tar"), table[i].entries, count);
        area_refused(rig, "'op':'extract','from':'$A/evil.tar','to':'$A/out','overwrite':true",
                     table[i].why);
        ck_assert_msg(!area_has(area_path("out")) && !area_has(area_path("evil")) &&
                          !area_has("/tmp/evil-of-stint"),
                      "row %zu left something", i);
    }
}

START_TEST(archives_that_mean_harm_are_refused_with_nothing_left)
{
    area_run(run_evil);
}
END_TEST

static void run_tame(struct rig *rig)
{
    static const struct evil entries[] = {
        {"./a//b/", AE_IFDIR, NULL, NULL},  {"a/b/f", FILE_, NULL, "first"},
        {"a/b/l", LINK, "../../top", NULL}, {"top", FILE_, NULL, "top"},
        {"a/b/f", FILE_, NULL, "second"},   {"a/h", HARD, "a/b/f", NULL},
        {"not/listed/x", FILE_, NULL, "x"}, {".", AE_IFDIR, NULL, NULL},
    };
    struct stat st;

    make_archive(area_path("t.tar"), entries, sizeof entries / sizeof *entries);
    area_succeed(rig, "'op':'extract','from':'$A/t.tar','to':'$A/t'");
    area_check_text(area_path("t/a/b/f"), "second");
    area_check_text(area_path("t/a/h"), "second");
    area_check_text(area_path("t/a/b/l"), "top");
    area_check_text(area_path("t/not/listed/x"), "x");
    ck_assert_int_eq(stat(area_path("t/a/b/f"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0777); /* the set-uid bit is gone */
}

START_TEST(odd_but_harmless_archives_are_taken)
{
    area_run(run_tame);
}
END_TEST

static void run_bomb(struct rig *rig)
{
    /* 64 MB of nothing in 64 KB, and a hole that looks like 1 TB. */
    ck_assert_int_eq(
        area_shell("mkdir z && truncate -s 64M z/zeros && tar czf bomb.tgz -C z zeros && "
                   "truncate -s 1T z/hole && rm z/zeros && tar cSf hole.tar -C z hole"),
        0);
    area_refused(rig, "'op':'extract','from':'$A/bomb.tgz','to':'$A/out'",
                 "more than 8388608 bytes");
    area_refused(rig, "'op':'extract','from':'$A/hole.tar','to':'$A/out'",
                 "more than 8388608 bytes");
    ck_assert(!area_has(area_path("out")));
}

START_TEST(a_bomb_ends_at_the_bound)
{
    area_run(run_bomb);
}
END_TEST

#define TIMEOUT_S 240 /* of a test; sanitizers and a loaded machine included */

int main(void)
{
    return SUITE_MAIN_WITHIN(TIMEOUT_S, "archive", an_archive_gives_back_what_went_in,
                             archives_of_others_are_read_and_broken_ones_refused,
                             archives_that_mean_harm_are_refused_with_nothing_left,
                             odd_but_harmless_archives_are_taken, a_bomb_ends_at_the_bound);
}
