/* str.h: words people type. Every parser reads exactly len bytes, accepts nothing behind the
 * value, returns 0 and writes ret, or returns -EINVAL (not such a value) or -ERANGE (does not
 * fit) and writes nothing. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

int str_u64(const char *s, size_t len, uint64_t *ret);
int str_i64(const char *s, size_t len, int64_t *ret);
int str_double(const char *s, size_t len, double *ret);
/* "90" "1.5" (seconds) "250ms" "90s" "5m" "2h" "1d" "1h30m" "1.5h". Broken milliseconds count
 * as whole ones. */
int str_duration_ms(const char *s, size_t len, int64_t *ret_ms);
/* "1048576" "512K" "512M" "4G" "1T", powers of 1024 */
int str_size(const char *s, size_t len, uint64_t *ret_bytes);
/* RFC 3339 with a zone, "2026-11-23T15:05:53.120Z" or "…+01:00"; what is below a millisecond is
 * cut off */
int str_time_ms(const char *s, size_t len, int64_t *ret_at_ms);
bool str_is_utf8(const char *s, size_t len);
/* Bytes of the UTF-8 character at s, 1 to 4; 0 when there is none (overlong forms, surrogates
 * and what is cut off at len included). */
size_t str_utf8_len(const char *s, size_t len);
#define STR_NAME_BYTES_MAX 128
/* A name of ours: 1 to 128 of [A-Za-z0-9_.:@/-] */
bool str_is_name(const char *s, size_t len);
bool str_equal(const char *a, const char *b); /* both may be NULL */
/* Compares secrets in a time that depends on the lengths alone. */
bool str_equal_secret(const char *a, size_t a_len, const char *b, size_t b_len);
/* A copy to free(), NULL without memory or for NULL. */
char *str_dup(const char *s);
char *str_dup_len(const char *s, size_t len);

/* The same instant as str_put_time() in a fixed room of STR_TIME_BYTES, with its 0: for those
 * who must not allocate. Instants outside of the years 0000 to 9999 show the nearest one. */
#define STR_TIME_BYTES 25
void str_time_text(char ret[STR_TIME_BYTES], int64_t at_ms);

/* "2026-11-23T15:05:53.120Z"; shortest of "250ms" "90s" "5m" "2h" "1d"; "512M" */
void str_put_time(struct buf *b, int64_t at_ms);
void str_put_duration(struct buf *b, int64_t ms);
void str_put_size(struct buf *b, uint64_t bytes);

#endif
