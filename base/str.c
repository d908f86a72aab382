#include "base/str.h"

#include "base/buf.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define DOUBLE_BYTES_MAX 128 /* of text; more digits than that mean nothing */
#define FRACTION_DIGITS 9    /* of a second; what follows is below a nanosecond */
#define DAY_S 86400

/* ----- characters ----- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_cont(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The second byte holds the narrow ranges: Unicode 15, table 3-7. */
static bool second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second < 0xa0;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second < 0x90;
    default:
        return true;
    }
}

size_t str_utf8_len(const char *s, size_t len)
{
    if (len == 0)
        return 0;

    unsigned char first = (unsigned char)s[0];

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;

    size_t need = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (len < need || !second_fits(first, (unsigned char)s[1]))
        return 0;
    for (size_t i = 1; i < need; i++) {
        if (!is_cont(s[i]))
            return 0;
    }
    return need;
}

bool str_is_utf8(const char *s, size_t len)
{
    while (len > 0) {
        uint64_t word = UINT64_MAX;

        if (len >= sizeof word)
            memcpy(&word, s, sizeof word);

        bool ascii = (word & UINT64_C(0x8080808080808080)) == 0;
        size_t step = ascii ? sizeof word : str_utf8_len(s, len);

        if (step == 0)
            return false;
        s += step;
        len -= step;
    }
    return true;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           (c && strchr("_.:@/-", c));
}

bool str_is_name(const char *s, size_t len)
{
    if (len == 0 || len > STR_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_name_char(s[i]))
            return false;
    }
    return true;
}

/* ----- numbers ----- */

/* Reads the digits at *s and moves behind them. -EINVAL without any; -ERANGE when they do not
 * fit, but the digits are passed all the same, so that what follows is still looked at. */
static int take_u64(const char **s, const char *end, uint64_t *ret)
{
    const char *start = *s;
    bool fits = true;
    uint64_t v = 0;

    for (; *s < end && is_digit(**s); (*s)++) {
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
            fits = false;
    }
    if (*s == start)
        return -EINVAL;
    *ret = v;
    return fits ? 0 : -ERANGE;
}

int str_u64(const char *s, size_t len, uint64_t *ret)
{
    const char *end = s + len;
    uint64_t v;
    int r = take_u64(&s, end, &v);

    if (s != end)
        return -EINVAL;
    if (r == 0)
        *ret = v;
    return r;
}

int str_i64(const char *s, size_t len, int64_t *ret)
{
    bool minus = len > 0 && s[0] == '-';
    uint64_t v;
    int r = str_u64(s + minus, len - minus, &v);

    if (r < 0)
        return r;
    if (v > (uint64_t)INT64_MAX + minus)
        return -ERANGE;
    *ret = minus ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

static const char *skip_digits(const char *s, const char *end)
{
    while (s < end && is_digit(*s))
        s++;
    return s;
}

/* -?digits[.digits][e[+-]digits]: what JSON has, with leading zeros besides; no names, no
 * hexadecimal. */
static bool is_double(const char *s, const char *end)
{
    s += s < end && *s == '-';

    const char *digits = s;

    s = skip_digits(s, end);
    if (s == digits)
        return false;
    if (s < end && *s == '.') {
        digits = ++s;
        s = skip_digits(s, end);
        if (s == digits)
            return false;
    }
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        s += s < end && (*s == '+' || *s == '-');
        digits = s;
        s = skip_digits(s, end);
        if (s == digits)
            return false;
    }
    return s == end;
}

int str_double(const char *s, size_t len, double *ret)
{
    char text[DOUBLE_BYTES_MAX + 1];

    if (!is_double(s, s + len))
        return -EINVAL;
    if (len > DOUBLE_BYTES_MAX)
        return -ERANGE;
    memcpy(text, s, len);
    text[len] = 0;

    /* The C locale is a constant of the library: no allocation, nothing to free. */
    double v = strtod_l(text, NULL, newlocale(LC_ALL_MASK, "C", NULL));

    if (v - v != 0)
        return -ERANGE;
    *ret = v;
    return 0;
}

/* ----- spans and sizes ----- */

struct unit {
    char name[3];
    int64_t ms;
};

/* Largest first: a composed span goes down this table, "1h30m" but not "30m1h". */
static const struct unit units[] = {
    {"d", INT64_C(86400000)}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define UNITS (sizeof units / sizeof *units)
#define UNIT_SECONDS 3

/* The unit at *s, moved over; UNITS when it is none. */
static size_t take_unit(const char **s, const char *end)
{
    const char *start = *s;

    while (*s < end && !is_digit(**s))
        (*s)++;
    for (size_t i = 0; i < UNITS; i++) {
        size_t len = strlen(units[i].name);

        if ((size_t)(*s - start) == len && memcmp(start, units[i].name, len) == 0)
            return i;
    }
    return UNITS;
}

/* ".5" as billionths; digits behind the ninth are read and count for nothing. */
static int take_fraction(const char **s, const char *end, uint64_t *ret)
{
    const char *start = ++*s;
    uint64_t v = 0;

    for (; *s < end && is_digit(**s); (*s)++) {
        if (*s - start < FRACTION_DIGITS)
            v = v * 10 + (uint64_t)(**s - '0');
    }
    if (*s == start)
        return -EINVAL;
    for (ptrdiff_t i = *s - start; i < FRACTION_DIGITS; i++)
        v *= 10;
    *ret = v;
    return 0;
}

struct part {
    uint64_t whole, billionths;
    size_t unit;
    bool fits;
};

static int take_part(const char **s, const char *end, struct part *ret)
{
    int r = take_u64(s, end, &ret->whole);

    if (r == -EINVAL)
        return r;
    ret->fits = r == 0;
    ret->billionths = 0;

    bool has_fraction = *s < end && **s == '.';

    if (has_fraction && take_fraction(s, end, &ret->billionths) < 0)
        return -EINVAL;
    ret->unit = *s < end ? take_unit(s, end) : UNIT_SECONDS;
    /* Only the last part may be broken: "1.5h", not "1.5h3m". */
    return ret->unit == UNITS || (has_fraction && *s < end) ? -EINVAL : 0;
}

/* A broken part of a millisecond counts whole: what is above 0 never becomes 0. */
static bool part_add(const struct part *p, int64_t *total)
{
    uint64_t unit_ms = (uint64_t)units[p->unit].ms, ms;
    uint64_t broken = (p->billionths * unit_ms + 999999999) / 1000000000;

    return p->fits && !__builtin_mul_overflow(p->whole, unit_ms, &ms) &&
           !__builtin_add_overflow(ms, broken, &ms) &&
           !__builtin_add_overflow(*total, ms, total);
}

int str_duration_ms(const char *s, size_t len, int64_t *ret_ms)
{
    const char *end = s + len;
    size_t below = 0;
    bool fits = true;
    int64_t total = 0;
    struct part p;

    do {
        bool bare = skip_digits(s, end) == end && below > 0;

        /* "1h30": thirty what? */
        if (bare || take_part(&s, end, &p) < 0 || p.unit < below)
            return -EINVAL;
        below = p.unit + 1;
        fits = part_add(&p, &total) && fits;
    } while (s < end);
    if (!fits)
        return -ERANGE;
    *ret_ms = total;
    return 0;
}

void str_put_duration(struct buf *b, int64_t ms)
{
    uint64_t v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    size_t unit = v ? 0 : UNIT_SECONDS;

    while (v % (uint64_t)units[unit].ms)
        unit++;
    if (ms < 0)
        buf_putc(b, '-');
    buf_put_u64(b, v / (uint64_t)units[unit].ms);
    buf_puts(b, units[unit].name);
}

static const char size_names[] = "KMGT";

int str_size(const char *s, size_t len, uint64_t *ret_bytes)
{
    const char *name = len > 0 && s[len - 1] ? strchr(size_names, s[len - 1]) : NULL;
    unsigned shift = name ? 10 * (unsigned)(name - size_names + 1) : 0;
    uint64_t v;
    int r = str_u64(s, len - (name != NULL), &v);

    if (r < 0)
        return r;
    if (v > UINT64_MAX >> shift)
        return -ERANGE;
    *ret_bytes = v << shift;
    return 0;
}

void str_put_size(struct buf *b, uint64_t bytes)
{
    size_t unit = 0;

    while (unit < sizeof size_names - 1 && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_put_u64(b, bytes);
    if (unit > 0)
        buf_putc(b, size_names[unit - 1]);
}

/* ----- points in time ----- */

/* Days since 1970-01-01 and back, exact for all years, without loops or tables: Howard
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days.
 * Years are counted from March, so that the leap day is the last of its year, in eras of 400.
 */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;

    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + doe - 719468;
}

struct date {
    int64_t year, month, day;
};

static struct date civil_from_days(int64_t z)
{
    z += 719468;

    int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;

    return (struct date){.year = yoe + era * 400 + (month <= 2),
                         .month = month,
                         .day = doy - (153 * mp + 2) / 5 + 1};
}

static int64_t days_in_month(int64_t y, int64_t m)
{
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

    return m == 2 && leap ? 29 : days[m - 1];
}

/* Exactly count digits at *s, a number of at most max, moved over. */
static bool take_fixed(const char **s, const char *end, int count, int64_t max, int64_t *ret)
{
    int64_t v = 0;

    for (int i = 0; i < count; i++, (*s)++) {
        if (*s == end || !is_digit(**s))
            return false;
        v = v * 10 + (**s - '0');
    }
    *ret = v;
    return v <= max;
}

static bool take_char(const char **s, const char *end, const char *any_of)
{
    if (*s == end || !**s || !strchr(any_of, **s))
        return false;
    (*s)++;
    return true;
}

/* "Z" or "+01:30", as the seconds that zone is ahead. */
static bool take_zone(const char **s, const char *end, int64_t *ret_s)
{
    int64_t h, m;

    *ret_s = 0;
    if (take_char(s, end, "Zz"))
        return true;

    int64_t sign = *s < end && **s == '-' ? -1 : 1;

    if (!take_char(s, end, "+-") || !take_fixed(s, end, 2, 23, &h) || !take_char(s, end, ":") ||
        !take_fixed(s, end, 2, 59, &m))
        return false;
    *ret_s = sign * (h * 3600 + m * 60);
    return true;
}

static bool take_date(const char **s, const char *end, int64_t *ret_days)
{
    int64_t y, m, d;

    if (!take_fixed(s, end, 4, 9999, &y) || !take_char(s, end, "-") ||
        !take_fixed(s, end, 2, 12, &m) || !take_char(s, end, "-") ||
        !take_fixed(s, end, 2, 31, &d))
        return false;
    if (m < 1 || d < 1 || d > days_in_month(y, m))
        return false;
    *ret_days = days_from_civil(y, m, d);
    return true;
}

/* A leap second, :60, is the first moment of the next minute, as the kernel's clock has it. */
static bool take_clock(const char **s, const char *end, int64_t *ret_ms)
{
    int64_t h, m, sec;
    uint64_t billionths = 0;

    if (!take_fixed(s, end, 2, 23, &h) || !take_char(s, end, ":") ||
        !take_fixed(s, end, 2, 59, &m) || !take_char(s, end, ":") ||
        !take_fixed(s, end, 2, 60, &sec))
        return false;
    if (*s < end && **s == '.' && take_fraction(s, end, &billionths) < 0)
        return false;
    *ret_ms = (h * 3600 + m * 60 + sec) * 1000 + (int64_t)(billionths / 1000000);
    return true;
}

int str_time_ms(const char *s, size_t len, int64_t *ret_at_ms)
{
    const char *end = s + len;
    int64_t days, clock_ms, zone_s;

    if (!take_date(&s, end, &days) || !take_char(&s, end, "Tt ") ||
        !take_clock(&s, end, &clock_ms) || !take_zone(&s, end, &zone_s) || s != end)
        return -EINVAL;
    *ret_at_ms = (days * DAY_S - zone_s) * 1000 + clock_ms;
    return 0;
}

static void put_digits(char *to, int count, int64_t v)
{
    while (count-- > 0) {
        to[count] = (char)('0' + v % 10);
        v /= 10;
    }
}

void str_time_text(char ret[STR_TIME_BYTES], int64_t at_ms)
{
    const int64_t min = INT64_C(-62167219200000), max = INT64_C(253402300799999);

    at_ms = at_ms < min ? min : at_ms > max ? max : at_ms;

    int64_t days = (at_ms - min) / (DAY_S * 1000) + min / (DAY_S * 1000);
    int64_t ms = at_ms - days * DAY_S * 1000, s = ms / 1000;
    struct date date = civil_from_days(days);

    memcpy(ret, "0000-00-00T00:00:00.000Z", STR_TIME_BYTES);
    put_digits(ret, 4, date.year);
    put_digits(ret + 5, 2, date.month);
    put_digits(ret + 8, 2, date.day);
    put_digits(ret + 11, 2, s / 3600);
    put_digits(ret + 14, 2, s / 60 % 60);
    put_digits(ret + 17, 2, s % 60);
    put_digits(ret + 20, 3, ms % 1000);
}

void str_put_time(struct buf *b, int64_t at_ms)
{
    char text[STR_TIME_BYTES];

    str_time_text(text, at_ms);
    buf_put(b, text, sizeof text - 1);
}

/* ----- whole strings ----- */

bool str_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_equal_secret(const char *a, size_t a_len, const char *b, size_t b_len)
{
    /* volatile, or the compiler may leave the loop at the first difference. */
    volatile unsigned char differ = a_len != b_len;

    for (size_t i = 0; i < a_len && i < b_len; i++)
        differ = (unsigned char)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

char *str_dup(const char *s)
{
    return s ? strdup(s) : NULL;
}

char *str_dup_len(const char *s, size_t len)
{
    char *copy = s && len < PTRDIFF_MAX ? malloc(len + 1) : NULL;

    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}
