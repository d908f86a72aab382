#include "cli/screen.h"

#include <limits.h>
#include <locale.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

struct character {
    size_t bytes, columns;
    wchar_t code;
    bool text;
};

/* Text is UTF-8 here, whatever the user's locale says. */
static locale_t utf8(void)
{
    static locale_t locale;

    if (locale == (locale_t)0)
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return locale;
}

/* Embeddings, overrides and isolates: what stands behind them is read backwards. */
static bool turns_around(wchar_t c)
{
    return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* The first character of s, which is not empty. */
static struct character first_of(const char *s)
{
    struct character ret = {.bytes = 1, .columns = 1};
    mbstate_t state = {0};
    size_t max = strnlen(s, MB_LEN_MAX);
    locale_t users = uselocale(utf8());
    size_t len = mbrtowc(&ret.code, s, max, &state);

    if (len <= max) {
        ret.bytes = len;
        ret.text = !iswcntrl((wint_t)ret.code) && !turns_around(ret.code);
    }
    if (ret.text && wcwidth(ret.code) >= 0)
        ret.columns = (size_t)wcwidth(ret.code);
    uselocale(users);
    return ret;
}

size_t screen_columns(const char *s)
{
    size_t columns = 0;

    while (*s != '\0') {
        struct character c = first_of(s);
        columns += c.columns;
        s += c.bytes;
    }
    return columns;
}

void screen_put(FILE *to, const char *s, size_t columns)
{
    while (*s != '\0') {
        struct character c = first_of(s);

        if (c.columns > columns)
            return;
        if (c.text)
            fwrite(s, 1, c.bytes, to);
        else
            fputc(' ', to);
        columns -= c.columns;
        s += c.bytes;
    }
}

void screen_put_json(FILE *to, const char *json)
{
    while (*json != '\0') {
        struct character c = first_of(json);

        if (c.text || c.code == L'\n')
            fwrite(json, 1, c.bytes, to);
        else
            fprintf(to, "\\u%04X", (unsigned)c.code);
        json += c.bytes;
    }
}
