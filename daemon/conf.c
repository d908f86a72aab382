#include "daemon/conf.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/conf_value.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The sources are read from weak to strong into the same struct; each later one replaces the
 * value of the earlier. A value's place ("stintd.conf:12", "--drain", "STINTD_DAEMON_DRAIN")
 * goes with it into the refusal. */

struct reading {
    struct conf *conf;
    char *why;     /* first refusal; the others are not looked for */
    uint64_t seen; /* rows given before in this file: a list given again goes on */
};

/* ---------------------------------------------------------------- the file ---------------- */

static const struct conf_row *row_of_key(const char *section, const char *key)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        if (strcmp(conf_rows[i].section, section) == 0 && strcmp(conf_rows[i].key, key) == 0)
            return &conf_rows[i];
    }
    return NULL;
}

static struct conf_queue *queue_named(struct conf *conf, const char *name)
{
    for (unsigned i = 0; i < conf->queues_count; i++) {
        if (strcmp(conf->queues[i].name, name) == 0)
            return &conf->queues[i];
    }
    if (conf->queues_count == CONF_QUEUES_MAX || !str_is_name(name, strlen(name)))
        return NULL;

    struct conf_queue *q = &conf->queues[conf->queues_count];
    *q = (struct conf_queue){
        .name = str_dup(name), .concurrency = -1, .key_concurrency = -1, .paused = -1};
    if (q->name == NULL)
        return NULL;
    conf->queues_count++;
    return q;
}

static int set_queue(struct reading *in, const char *name, const char *key, const char *value)
{
    struct conf_queue *q = queue_named(in->conf, name);
    uint64_t n = 0;
    bool paused = false;

    if (q == NULL) {
        snprintf(in->why, CONF_WHY_BYTES, "[queue %.64s]: not a queue's name, or more than %d",
                 name, CONF_QUEUES_MAX);
        return -EINVAL;
    }
    if (strcmp(key, "concurrency") == 0 && str_u64(value, strlen(value), &n) == 0 &&
        n <= UINT32_MAX) {
        q->concurrency = (int64_t)n;
        return 0;
    }
    if (strcmp(key, "key_concurrency") == 0 && str_u64(value, strlen(value), &n) == 0 &&
        n <= UINT32_MAX) {
        q->key_concurrency = (int64_t)n;
        return 0;
    }
    if (strcmp(key, "paused") == 0 && conf_value_bool(&paused, value) == 0) {
        q->paused = paused;
        return 0;
    }
    snprintf(
        in->why, CONF_WHY_BYTES,
        "[queue %.64s] %.64s = %.64s: known are concurrency = N and key_concurrency = N (0 for "
        "no limit), and paused = true or false",
        name, key, value);
    return -EINVAL;
}

/* For libinih: 1 goes on; the first 0 decides which line is named. */
static int on_line(void *user, const char *section, const char *key, const char *value)
{
    struct reading *in = user;

    if (in->why[0] != '\0')
        return 0;
    if (strncmp(section, "queue ", 6) == 0)
        return set_queue(in, section + 6 + strspn(section + 6, " "), key, value) == 0;

    const struct conf_row *row = row_of_key(section, key);
    if (row == NULL) {
        snprintf(in->why, CONF_WHY_BYTES,
                 section[0] == '\0'
                     ? "%s%.64s: stands before any [section]"
                     : "[%.64s] %.64s: no such setting; `stintd --print-config` lists them all",
                 section, key);
        return 0;
    }
    uint64_t bit = UINT64_C(1) << (row - conf_rows);
    bool again = (in->seen & bit) != 0;
    in->seen |= bit;
    if (again && row->type == CONF_LIST)
        return conf_value_add(in->conf, row, value, in->why) == 0;
    return conf_value_set(in->conf, row, NULL, value, in->why) == 0;
}

static int refuse_long_lines(const char *text, const char *path, char *why)
{
    unsigned line = 1;

    for (const char *s = text; *s != '\0'; line++) {
        size_t len = strcspn(s, "\n");
        if (len > CONF_LINE_BYTES_MAX) {
            snprintf(why, CONF_WHY_BYTES,
                     "%s:%u: line of %zu characters, at most %d; give a list's key again", path,
                     line, len, CONF_LINE_BYTES_MAX);
            return -EINVAL;
        }
        s += len + (s[len] == '\n');
    }
    return 0;
}

static int read_file(struct conf *conf, const char *path, bool must_exist, char *why)
{
    OWN_BUF struct buf text = BUF_INIT;
    int r = io_file_read(AT_FDCWD, path, CONF_FILE_BYTES_MAX, &text);

    if (r == -ENOENT && !must_exist)
        return 0;
    if (r < 0) {
        snprintf(why, CONF_WHY_BYTES, "%s: cannot be read: %s", path, strerrordesc_np(-r));
        return -EINVAL;
    }
    if (strlen(buf_str(&text)) != text.len) {
        snprintf(why, CONF_WHY_BYTES, "%s: has a byte of 0, so it is no text", path);
        return -EINVAL;
    }
    r = refuse_long_lines(buf_str(&text), path, why);
    if (r < 0)
        return r;

    char first[CONF_WHY_BYTES] = "";
    struct reading in = {.conf = conf, .why = first};
    int line = ini_parse_string(buf_str(&text), on_line, &in);
    if (line != 0) {
        snprintf(why, CONF_WHY_BYTES, "%.100s:%d: %.200s", path, line > 0 ? line : 0,
                 first[0] != '\0' ? first : "neither [section] nor key = value");
        return -EINVAL;
    }
    return conf_value_text(&conf->file, path);
}

/* ---------------------------------------------------------------- environment, flags ------ */

static const struct conf_row *row_of_variable(const char *variable, size_t len)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "STINTD_%s_%s", conf_rows[i].section, conf_rows[i].key);
        if (strlen(name) == len && strncasecmp(name, variable, len) == 0)
            return &conf_rows[i];
    }
    return NULL;
}

/* What begins with our name and is no setting is a slip, as it is in the file. */
static int read_environment(struct conf *conf, char *why)
{
    for (char **e = environ; *e != NULL; e++) {
        size_t len = strcspn(*e, "=");
        char name[80];
        if (strncmp(*e, "STINTD_", 7) != 0 || (*e)[len] == '\0' ||
            strncmp(*e, "STINTD_CONFIG=", 14) == 0)
            continue;

        const struct conf_row *row = row_of_variable(*e, len);
        snprintf(name, sizeof name, "%.*s", (int)len, *e);
        if (row == NULL)
            snprintf(why, CONF_WHY_BYTES,
                     "%s: no such setting; `stintd --print-config` lists "
                     "them all, as STINTD_SECTION_KEY",
                     name);
        int r = row == NULL ? -EINVAL : conf_value_set(conf, row, name, *e + len + 1, why);
        if (r < 0)
            return r;
    }
    return 0;
}

static const struct conf_row *row_of_flag(const char *flag, size_t len)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        const char *own = conf_rows[i].flag;
        if (own != NULL && strlen(own) == len && strncmp(own, flag, len) == 0)
            return &conf_rows[i];
    }
    return NULL;
}

static const struct {
    const char *flag;
    enum conf_answer answer;
} asked[] = {
    {"--help", CONF_HELP},       {"-h", CONF_HELP},
    {"--version", CONF_VERSION}, {"--print-config", CONF_PRINT},
    {"--manual", CONF_MANUAL},   {"--manual-jobs", CONF_MANUAL_JOBS},
    {"--check", CONF_CHECK},     {"--doctor", CONF_DOCTOR},
};

static enum conf_answer answer_of(const char *argument)
{
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        if (strcmp(argument, asked[i].flag) == 0)
            return asked[i].answer;
    }
    return CONF_OK;
}

/* One argument at *at: its value is behind '=' or the next word. conf NULL: only --config and
 * the questions are of interest (the file is read before the flags count). */
static int read_flag(struct conf *conf, int argc, char **argv, int *at, const char **ret_file,
                     enum conf_answer *ret_answer, char *why)
{
    const char *word = argv[*at];
    enum conf_answer answer = answer_of(word);

    if (answer != CONF_OK) {
        *ret_answer = answer;
        return 0;
    }
    size_t len = strncmp(word, "--", 2) == 0 ? strcspn(word + 2, "=") : 0;
    bool is_file = len == 6 && strncmp(word + 2, "config", 6) == 0;
    const struct conf_row *row = row_of_flag(word + 2, len);
    if (len == 0 || (!is_file && row == NULL)) {
        snprintf(why, CONF_WHY_BYTES, "%.80s: no such option; `stintd --help` lists them",
                 word);
        return -EINVAL;
    }
    const char *value = word[2 + len] == '=' ? word + 3 + len : NULL;
    if (value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (value == NULL) {
        snprintf(why, CONF_WHY_BYTES, "%.80s: needs a value", word);
        return -EINVAL;
    }
    if (is_file)
        *ret_file = value;
    else if (conf != NULL)
        return conf_value_set(conf, row, word, value, why);
    return 0;
}

static int read_flags(struct conf *conf, int argc, char **argv, const char **ret_file,
                      enum conf_answer *ret_answer, char *why)
{
    for (int i = 1; i < argc; i++) {
        int r = read_flag(conf, argc, argv, &i, ret_file, ret_answer, why);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---------------------------------------------------------------- public ------------------ */

static int set_defaults(struct conf *conf, char *why)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        int r = conf_value_set(conf, &conf_rows[i], "default", conf_rows[i].fallback, why);
        if (r < 0)
            return r;
    }
    /* Under systemd these say where the unit lets us write. */
    const char *state = getenv("STATE_DIRECTORY"), *runtime = getenv("RUNTIME_DIRECTORY");
    char path[PATH_MAX];

    if (state != NULL && conf_value_text(&conf->state, state) < 0)
        return -ENOMEM;
    if (runtime == NULL)
        return 0;
    snprintf(path, sizeof path, "%s/stint.sock", runtime);
    return conf_value_text(&conf->socket, path);
}

static int make_absolute(char **field)
{
    char cwd[PATH_MAX], path[2 * PATH_MAX];

    if ((*field)[0] == '\0' || (*field)[0] == '/')
        return 0;
    if (getcwd(cwd, sizeof cwd) == NULL)
        return -errno;
    snprintf(path, sizeof path, "%s/%s", cwd, *field);
    return conf_value_text(field, path);
}

/* "STATE/x" means below the state folder; then every path is made absolute. */
static int settle_path(const struct conf *conf, char **field)
{
    static const char prefix[] = "STATE/";
    char path[PATH_MAX];

    if (strncmp(*field, prefix, sizeof prefix - 1) != 0)
        return make_absolute(field);
    snprintf(path, sizeof path, "%s/%s", conf->state, *field + sizeof prefix - 1);
    return conf_value_text(field, path);
}

static int settle_paths(struct conf *conf, char *why)
{
    int r = make_absolute(&conf->state);

    if (r == 0)
        r = settle_path(conf, &conf->socket);
    if (r == 0)
        r = settle_path(conf, &conf->token_file);
    if (r < 0)
        snprintf(why, CONF_WHY_BYTES, "the current folder: %s", strerrordesc_np(-r));
    return r;
}

static int load(struct conf *conf, int argc, char **argv, char *why)
{
    const char *file = getenv("STINTD_CONFIG");
    enum conf_answer answer = CONF_OK;
    int r = read_flags(NULL, argc, argv, &file, &answer, why);

    if (r < 0)
        return r;
    if (answer == CONF_HELP || answer == CONF_VERSION || answer == CONF_MANUAL ||
        answer == CONF_MANUAL_JOBS)
        return (int)answer;
    if ((r = set_defaults(conf, why)) < 0 ||
        (r = read_file(conf, file != NULL ? file : CONF_FILE_DEFAULT, file != NULL, why)) < 0 ||
        (r = read_environment(conf, why)) < 0 ||
        (r = read_flags(conf, argc, argv, &file, &answer, why)) < 0 ||
        (r = settle_paths(conf, why)) < 0)
        return r;
    return (int)answer;
}

int conf_load(struct conf *conf, int argc, char **argv, char *why)
{
    *conf = (struct conf){0};
    why[0] = '\0';
    int r = load(conf, argc, argv, why);
    if (r < 0 && why[0] == '\0')
        snprintf(why, CONF_WHY_BYTES, "%s", strerrordesc_np(-r));
    return r;
}

static void swap(void *a, void *b, size_t size)
{
    char keep[sizeof(struct conf_queue[CONF_QUEUES_MAX])];

    memcpy(keep, a, size);
    memcpy(a, b, size);
    memcpy(b, keep, size);
}

static bool is_same(const struct conf *a, const struct conf *b, const struct conf_row *row)
{
    OWN_BUF struct buf one = BUF_INIT;
    OWN_BUF struct buf other = BUF_INIT;

    conf_value_put(a, row, &one);
    conf_value_put(b, row, &other);
    return strcmp(buf_str(&one), buf_str(&other)) == 0;
}

void conf_adopt(struct conf *conf, struct conf *fresh, struct buf *ret_waiting)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        const struct conf_row *row = &conf_rows[i];

        /* Numbers, spans and pointers to text: eight bytes all. */
        if (row->when == CONF_RELOAD)
            swap(conf_value_field(conf, row), conf_value_field(fresh, row), sizeof(uint64_t));
        else if (!is_same(conf, fresh, row))
            buf_putf(ret_waiting, "%s[%s] %s", ret_waiting->len > 0 ? ", " : "", row->section,
                     row->key);
    }
    swap(conf->queues, fresh->queues, sizeof conf->queues);
    swap(&conf->queues_count, &fresh->queues_count, sizeof conf->queues_count);
}

void conf_deinit(struct conf *conf)
{
    for (size_t i = 0; i < conf_rows_count; i++)
        conf_value_free(conf, &conf_rows[i]);
    for (unsigned i = 0; i < conf->queues_count; i++)
        free(conf->queues[i].name);
    free(conf->file);
    *conf = (struct conf){0};
}
