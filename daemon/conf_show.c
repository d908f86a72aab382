#include "base/buf.h"
#include "base/str.h"
#include "daemon/conf_value.h"

#include <string.h>

/* The table, told three ways: to somebody at a terminal, as a file, and as a manual. */

void conf_help(struct buf *ret)
{
    buf_puts(ret,
             "stintd runs jobs: commands, HTTP requests and file work, durably.\n\n"
             "  stintd --state /tmp/stint            a daemon of your own, in the foreground\n"
             "  stintd --config my.conf --check      is this configuration right?\n"
             "  stintd --print-config                all settings as they would hold now\n\n"
             "options:\n");
    buf_putf(ret, "  --%-24s %s\n", "config PATH",
             "settings file (default " CONF_FILE_DEFAULT ", which may be missing)");
    for (size_t i = 0; i < conf_rows_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->flag == NULL)
            continue;
        OWN_BUF struct buf flag = BUF_INIT;
        buf_putf(&flag, "%s %s", row->flag, row->argument);
        buf_putf(ret, "  --%-24s %s", buf_str(&flag), row->text);
        if (row->words != NULL)
            buf_putf(ret, ": %s", row->words);
        buf_putf(ret, " (default %s)\n", row->fallback[0] != '\0' ? row->fallback : "none");
    }
    buf_puts(
        ret,
        "  --check                    read the configuration, say what is wrong, exit\n"
        "  --doctor                   check the store of a stopped daemon, say what is wrong\n"
        "  --print-config             print the effective settings as a file, exit\n"
        "  --version                  print the version, exit\n"
        "  --help                     this text\n\n"
        "Each setting of the file may also come from the environment, for example\n"
        "STINTD_DAEMON_DRAIN=5s. Signals: TERM drains and stops, a second TERM stops at\n"
        "once, HUP reads the settings again. See stintd(8) and stintd.conf(5).\n");
}

static void put_section(struct buf *ret, const char **last, const char *section)
{
    if (*last == NULL || strcmp(*last, section) != 0)
        buf_putf(ret, "%s[%s]\n", *last == NULL ? "" : "\n", section);
    *last = section;
}

/* A list of several words has a line a word: a long line would be refused. */
static void put_setting(struct buf *ret, const struct conf *conf, const struct conf_row *row)
{
    OWN_BUF struct buf value = BUF_INIT;

    conf_value_put(conf, row, &value);
    const char *word = buf_str(&value);
    do {
        size_t len = row->type == CONF_LIST ? strcspn(word, " ") : strlen(word);
        buf_putf(ret, "%s = %.*s\n", row->key, (int)len, word);
        word += len + (word[len] == ' ');
    } while (*word != '\0');
}

void conf_print(const struct conf *conf, struct buf *ret)
{
    const char *last = NULL;

    for (size_t i = 0; i < conf_rows_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        put_section(ret, &last, row->section);
        buf_putf(ret, "; %s\n", row->text);
        put_setting(ret, conf, row);
    }
    for (unsigned i = 0; i < conf->queues_count; i++) {
        const struct conf_queue *q = &conf->queues[i];
        buf_putf(ret, "\n[queue %s]\n", q->name);
        if (q->concurrency >= 0)
            buf_putf(ret, "concurrency = %lld\n", (long long)q->concurrency);
        if (q->key_concurrency >= 0)
            buf_putf(ret, "key_concurrency = %lld\n", (long long)q->key_concurrency);
        if (q->paused >= 0)
            buf_putf(ret, "paused = %s\n", q->paused ? "true" : "false");
    }
}

void conf_manual(struct buf *ret)
{
    const char *last = NULL;

    for (size_t i = 0; i < conf_rows_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (last == NULL || strcmp(last, row->section) != 0) {
            if (last != NULL)
                buf_puts(ret, ".El\n");
            buf_putf(ret, ".Ss [%s]\n.Bl -tag -width Ds\n", row->section);
        }
        last = row->section;
        buf_putf(ret, ".It Cm %s No = Ar %s\n%c%s", row->key, row->argument,
                 row->text[0] >= 'a' && row->text[0] <= 'z' ? row->text[0] - 32 : row->text[0],
                 row->text + 1);
        if (row->words != NULL)
            buf_putf(ret, ": %s", row->words);
        buf_puts(ret, ".\n");
        if (row->fallback[0] != '\0')
            buf_putf(ret, "Default: %s.\n", row->fallback);
        if (row->flag != NULL)
            buf_putf(ret, "Also\n.Fl -%s .\n", row->flag);
        if (row->when == CONF_RELOAD)
            buf_puts(ret, "A reload changes it.\n");
    }
    buf_puts(ret, ".El\n");
}
