/* str_parts.h: what the parsers of str.c and str_time.c share. Of no use elsewhere. */
#ifndef BASE_STR_PARTS_H
#define BASE_STR_PARTS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool str_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline const char *str_skip_digits(const char *s, const char *end)
{
    while (s < end && str_is_digit(*s))
        s++;
    return s;
}

/* Reads the digits at *s and moves behind them. -EINVAL without any; -ERANGE when they do not
 * fit, but the digits are passed all the same, so that what follows is still looked at. */
int str_take_u64(const char **s, const char *end, uint64_t *ret);

#endif
