/* The two shapes of time that people type: spans ("1h30m") and points ("2026-11-23T15:05:53Z").
 */
#include "base/buf.h"
#include "base/str.h"
#include "base/str_parts.h"

#include <errno.h>
#include <string.h>

#define FRACTION_DIGITS 9 /* of a second; what follows is below a nanosecond */
#define DAY_S 86400

/* ----- spans ----- */

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

    while (*s < end && !str_is_digit(**s))
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

    for (; *s < end && str_is_digit(**s); (*s)++) {
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
    int r = str_take_u64(s, end, &ret->whole);

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
        bool bare = str_skip_digits(s, end) == end && below > 0;

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
        if (*s == end || !str_is_digit(**s))
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
