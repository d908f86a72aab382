#include "tests/lib/area.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "jobs/spec.h"
#include "tests/lib/folder.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *area_dir; /* the one root, of the running test */
char *area_outside;
static char *roots[2];

struct kind_config area_config(void)
{
    roots[0] = area_dir;
    return (struct kind_config){.file_roots = roots, .extract_bytes_max = 8 << 20};
}

void area_run(void (*body)(struct rig *rig))
{
    area_dir = folder_new();
    area_outside = folder_new();
    struct kind_config config = area_config();

    rig_run(NULL, &config, body);
    folder_remove(area_dir);
    folder_remove(area_outside);
}

const char *area_path(const char *name)
{
    static char paths[8][700];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", area_dir, name);
    return path;
}

void area_put(const char *path, const char *text)
{
    ck_assert_int_eq(io_file_replace(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

void area_check_text(const char *path, const char *want)
{
    OWN_BUF struct buf b = BUF_INIT;

    ck_assert_msg(io_file_read(AT_FDCWD, path, 1 << 24, &b) == 0, "%s", path);
    ck_assert_str_eq(buf_str(&b), want);
}

bool area_has(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* $A is the area_dir, $O the folder outside, ' a double quote. */
const char *area_document(const char *file)
{
    static char text[8192];
    char *out = text + sprintf(text, "{\"file\":{");

    for (; *file; file++) {
        if (file[0] == '$' && (file[1] == 'A' || file[1] == 'O'))
            out += sprintf(out, "%s", *++file == 'A' ? area_dir : area_outside);
        else
            *out++ = *file == '\'' ? '"' : *file;
    }
    strcpy(out, "}}");
    return text;
}

int area_shell(const char *command)
{
    char text[2048];

    snprintf(text, sizeof text, "cd %s && { %s ; }", area_dir, command);
    return system(text);
}

/* No temporary name anywhere, no note of one. */
void area_check_clean(struct rig *rig)
{
    char text[1024];

    snprintf(text, sizeof text,
             "test -z \"$(find %s %s -name '.stint-*'; find %s/tmp -name 'file.*')\"", area_dir,
             area_outside, rig->dir);
    ck_assert_int_eq(system(text), 0);
}

void area_succeed(struct rig *rig, const char *file)
{
    struct shot shot;

    shot_fire(rig, &shot, area_document(file));
    ck_assert_msg(shot.outcome.kind == OUTCOME_SUCCEEDED, "%s: %s", file, shot.outcome.error);
    shot_end(&shot);
    area_check_clean(rig);
}

void area_refused(struct rig *rig, const char *file, const char *why)
{
    struct shot shot;

    shot_fire(rig, &shot, area_document(file));
    ck_assert_msg(shot.outcome.kind == OUTCOME_FAILED_FINAL, "%s: kind %d, %s", file,
                  shot.outcome.kind, shot.outcome.error);
    ck_assert_int_eq(shot.outcome.reason, REASON_FILE_ERROR);
    ck_assert_msg(strstr(shot.outcome.error, why) != NULL, "%s: %s", file, shot.outcome.error);
    shot_end(&shot);
    area_check_clean(rig);
}

/* A tree with every kind of thing that is copied. */
void area_make_tree(void)
{
    ck_assert_int_eq(
        area_shell("mkdir -p tree/a/b/c tree/empty && printf one >tree/1 && "
                   "head -c 3000000 /dev/urandom >tree/a/big && printf x >tree/a/b/c/deep && "
                   "chmod 600 tree/1 && chmod 755 tree/a/big && ln -s a/b tree/link && "
                   "ln -s nowhere tree/broken && ln tree/1 tree/same && "
                   "truncate -s 5M tree/hole && printf end >>tree/hole && "
                   "touch -d 2001-02-03 tree/1 && printf y >'tree/n\xc3\xa4me \" x'"),
        0);
}

void area_check_same(const char *a, const char *b)
{
    char text[1024];

    snprintf(text, sizeof text, "diff -r --no-dereference %s %s", a, b);
    ck_assert_int_eq(area_shell(text), 0);
}
