#include "daemon/conf.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/conf_table.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The sources are read from weak to strong into the same struct; each later one replaces the
 * value of the earlier. A value's place ("stintd.conf:12", "--drain", "STINTD_DAEMON_DRAIN")
 * goes with it into the refusal. */

struct reading {
    struct conf *conf;
    const char *path;
    char *why;     /* first refusal; the others are not looked for */
    uint64_t seen; /* rows given before in this file: a list given again goes on */
};

static void *field_of(struct conf *conf, const struct conf_row *row)
{
    return (char *)conf + row->offset;
}

static void list_free(char **list)
{
    for (char **s = list; s != NULL && *s != NULL; s++)
        free(*s);
    free(list);
}

/* ---------------------------------------------------------------- one value --------------- */

static int set_text(char **field, const char *value)
{
    char *copy = str_dup(value);
    if (copy == NULL)
        return -ENOMEM;

    free(*field);
    *field = copy;
    return 0;
}

/* Appends the words of value to the list; -ERANGE when they are too many. */
static int list_add(char **list, const char *value)
{
    unsigned count = 0;

    while (list[count] != NULL)
        count++;
    for (const char *s = value;;) {
        s += strspn(s, " \t\n,");
        size_t len = strcspn(s, " \t\n,");
        if (len == 0)
            return 0;
        if (count == CONF_LIST_MAX)
            return -ERANGE;
        list[count] = str_dup_len(s, len);
        if (list[count++] == NULL)
            return -ENOMEM;
        s += len;
    }
}

static int set_list(char ***field, const char *value)
{
    char **list = calloc(CONF_LIST_MAX + 1, sizeof *list);
    int r = list == NULL ? -ENOMEM : list_add(list, value);

    if (r < 0) {
        list_free(list);
        return r;
    }
    list_free(*field);
    *field = list;
    return 0;
}

static int set_bool(bool *field, const char *value)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            *field = strcmp(value, yes[i]) == 0;
            return 0;
        }
    }
    return -EINVAL;
}

static bool is_word(const char *words, const char *value)
{
    size_t len = strlen(value);

    if (strchr(value, '|') != NULL)
        return false;
    for (const char *w = words; len > 0 && w != NULL; w = strchr(w, '|')) {
        w += *w == '|';
        if (strncmp(w, value, len) == 0 && (w[len] == '|' || w[len] == '\0'))
            return true;
    }
    return false;
}

static int set_number(const struct conf_row *row, void *field, const char *value)
{
    size_t len = strlen(value);
    uint64_t n = 0;
    int64_t span_ms = 0;
    int r = row->type == CONF_COUNT  ? str_u64(value, len, &n)
            : row->type == CONF_SIZE ? str_size(value, len, &n)
                                     : str_duration_ms(value, len, &span_ms);
    if (r < 0)
        return r;

    if (row->type == CONF_SPAN)
        n = (uint64_t)span_ms;
    if (n < row->min || n > row->max)
        return -ERANGE;
    if (row->type == CONF_SPAN)
        *(int64_t *)field = span_ms;
    else
        *(uint64_t *)field = n;
    return 0;
}

static int set_value(struct conf *conf, const struct conf_row *row, const char *value)
{
    void *field = field_of(conf, row);

    switch (row->type) {
    case CONF_TEXT:
        return set_text(field, value);
    case CONF_WORD:
        return is_word(row->words, value) ? set_text(field, value) : -EINVAL;
    case CONF_LIST:
        return set_list(field, value);
    case CONF_BOOL:
        return set_bool(field, value);
    case CONF_COUNT:
    case CONF_SIZE:
    case CONF_SPAN:
        return set_number(row, field, value);
    }
    return -EINVAL;
}

static void put_bounds(const struct conf_row *row, struct buf *b)
{
    switch (row->type) {
    case CONF_COUNT:
        buf_putf(b, "a number from %llu to %llu", (unsigned long long)row->min,
                 (unsigned long long)row->max);
        break;
    case CONF_SIZE:
        buf_puts(b, "a size such as 512M, from ");
        str_put_size(b, row->min);
        buf_puts(b, " to ");
        str_put_size(b, row->max);
        break;
    case CONF_SPAN:
        buf_puts(b, "a span such as 90s or 5m, from ");
        str_put_duration(b, (int64_t)row->min);
        buf_puts(b, " to ");
        str_put_duration(b, (int64_t)row->max);
        break;
    case CONF_BOOL:
        buf_puts(b, "true or false");
        break;
    case CONF_WORD:
        buf_putf(b, "one of %s", row->words);
        break;
    case CONF_TEXT:
    case CONF_LIST:
        buf_putf(b, "at most %d words", CONF_LIST_MAX);
        break;
    }
}

static int refuse_value(const struct conf_row *row, const char *place, const char *value,
                        char *why)
{
    OWN_BUF struct buf bounds = BUF_INIT;

    put_bounds(row, &bounds);
    snprintf(why, CONF_WHY_BYTES, "%s: [%s] %s = %.80s: must be %s", place, row->section,
             row->key, value, buf_str(&bounds));
    return -EINVAL;
}

static int set_checked(struct conf *conf, const struct conf_row *row, const char *place,
                       const char *value, char *why)
{
    int r = set_value(conf, row, value);
    if (r == -ENOMEM)
        return r;

    return r < 0 ? refuse_value(row, place, value, why) : 0;
}

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
    if (strcmp(key, "paused") == 0 && set_bool(&paused, value) == 0) {
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
                 "[%.64s] %.64s: no such setting; `stintd --print-config` lists them all",
                 section, key);
        return 0;
    }
    uint64_t bit = UINT64_C(1) << (row - conf_rows);
    bool again = (in->seen & bit) != 0;
    in->seen |= bit;
    if (again && row->type == CONF_LIST) {
        int r = list_add(*(char ***)field_of(in->conf, row), value);
        return r == 0 || refuse_value(row, in->path, value, in->why) == 0;
    }
    return set_checked(in->conf, row, in->path, value, in->why) == 0;
}

static int refuse_long_lines(const char *text, const char *path, char *why)
{
    unsigned line = 1;

    for (const char *s = text; *s != '\0'; line++) {
        size_t len = strcspn(s, "\n");
        if (len > CONF_LINE_BYTES_MAX) {
            snprintf(
                why, CONF_WHY_BYTES,
                "%s:%u: line of %zu characters, at most %d; continue it on an indented line",
                path, line, len, CONF_LINE_BYTES_MAX);
            return -EINVAL;
        }
        s += len + (s[len] == '\n');
    }
    return 0;
}

/* Multi-line values reach the handler line by line with the same key; lists are then given on
 * one line or repeated keys would replace each other, so continuation is refused by the bound.
 */
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
    r = refuse_long_lines(buf_str(&text), path, why);
    if (r < 0)
        return r;

    char first[CONF_WHY_BYTES] = "";
    struct reading in = {.conf = conf, .path = path, .why = first};
    int line = ini_parse_string(buf_str(&text), on_line, &in);
    if (line != 0) {
        snprintf(why, CONF_WHY_BYTES, "%.100s:%d: %.200s", path, line > 0 ? line : 0,
                 first[0] != '\0' ? first : "neither [section] nor key = value");
        return -EINVAL;
    }
    return set_text(&conf->file, path);
}

/* ---------------------------------------------------------------- environment, flags ------ */

static int read_environment(struct conf *conf, char *why)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        char name[64];
        snprintf(name, sizeof name, "STINTD_%s_%s", row->section, row->key);
        for (char *c = name; *c != '\0'; c++)
            *c = (char)toupper((unsigned char)*c);

        const char *value = getenv(name);
        if (value == NULL)
            continue;
        int r = set_checked(conf, row, name, value, why);
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
        return set_checked(conf, row, word, value, why);
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
        int r = set_checked(conf, &conf_rows[i], "default", conf_rows[i].fallback, why);
        if (r < 0)
            return r;
    }
    /* Under systemd these say where the unit lets us write. */
    const char *state = getenv("STATE_DIRECTORY"), *runtime = getenv("RUNTIME_DIRECTORY");
    char path[PATH_MAX];

    if (state != NULL && set_text(&conf->state, state) < 0)
        return -ENOMEM;
    if (runtime == NULL)
        return 0;
    snprintf(path, sizeof path, "%s/stint.sock", runtime);
    return set_text(&conf->socket, path);
}

static int make_absolute(char **field)
{
    char cwd[PATH_MAX], path[2 * PATH_MAX];

    if ((*field)[0] == '\0' || (*field)[0] == '/')
        return 0;
    if (getcwd(cwd, sizeof cwd) == NULL)
        return -errno;
    snprintf(path, sizeof path, "%s/%s", cwd, *field);
    return set_text(field, path);
}

/* "STATE/x" means below the state folder; then every path is made absolute. */
static int settle_path(const struct conf *conf, char **field)
{
    static const char prefix[] = "STATE/";
    char path[PATH_MAX];

    if (strncmp(*field, prefix, sizeof prefix - 1) != 0)
        return make_absolute(field);
    snprintf(path, sizeof path, "%s/%s", conf->state, *field + sizeof prefix - 1);
    return set_text(field, path);
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

void conf_adopt_limits(struct conf *conf, struct conf *fresh)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->type == CONF_COUNT || row->type == CONF_SPAN)
            *(uint64_t *)field_of(conf, row) = *(uint64_t *)field_of(fresh, row);
    }
    char *level = conf->log_level;
    conf->log_level = fresh->log_level;
    fresh->log_level = level;

    struct conf_queue queues[CONF_QUEUES_MAX];
    unsigned count = conf->queues_count;
    memcpy(queues, conf->queues, sizeof queues);
    memcpy(conf->queues, fresh->queues, sizeof queues);
    conf->queues_count = fresh->queues_count;
    memcpy(fresh->queues, queues, sizeof queues);
    fresh->queues_count = count;
}

void conf_deinit(struct conf *conf)
{
    for (size_t i = 0; i < conf_rows_count; i++) {
        void *field = field_of(conf, &conf_rows[i]);
        if (conf_rows[i].type == CONF_LIST)
            list_free(*(char ***)field);
        else if (conf_rows[i].type == CONF_TEXT || conf_rows[i].type == CONF_WORD)
            free(*(char **)field);
    }
    for (unsigned i = 0; i < conf->queues_count; i++)
        free(conf->queues[i].name);
    free(conf->file);
    *conf = (struct conf){0};
}
