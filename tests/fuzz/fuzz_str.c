/* The parsers of base/ on any bytes: nothing is read beyond them, what is refused writes
 * nothing, and what is accepted survives being written and read again. */
#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SENTINEL 0x5a5a5a5a

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void numbers(const char *s, size_t len)
{
    uint64_t u = SENTINEL;
    int64_t i = SENTINEL;
    double d = SENTINEL;
    int u_r = str_u64(s, len, &u), i_r = str_i64(s, len, &i), d_r = str_double(s, len, &d);

    assert_always(u_r == 0 || u == SENTINEL);
    assert_always(i_r == 0 || i == SENTINEL);
    assert_always(d_r == 0 ? d - d == 0 : d == SENTINEL);
    /* Whatever is a natural number is an integer and a double as well. */
    if (u_r == 0 && u <= INT64_MAX)
        assert_always(i_r == 0 && i == (int64_t)u && d_r != -EINVAL);
}

static void durations(const char *s, size_t len)
{
    OWN_BUF struct buf b = BUF_INIT;
    int64_t ms = SENTINEL, again;

    if (str_duration_ms(s, len, &ms) < 0) {
        assert_always(ms == SENTINEL);
        return;
    }
    assert_always(ms >= 0);
    str_put_duration(&b, ms);
    assert_always(str_duration_ms(b.data, b.len, &again) == 0 && again == ms);
}

static void sizes(const char *s, size_t len)
{
    OWN_BUF struct buf b = BUF_INIT;
    uint64_t bytes = SENTINEL, again;

    if (str_size(s, len, &bytes) < 0) {
        assert_always(bytes == SENTINEL);
        return;
    }
    str_put_size(&b, bytes);
    assert_always(str_size(b.data, b.len, &again) == 0 && again == bytes);
}

static void times(const char *s, size_t len)
{
    OWN_BUF struct buf b = BUF_INIT;
    int64_t ms = SENTINEL, again, year_ms = INT64_C(366) * 86400000;

    if (str_time_ms(s, len, &ms) < 0) {
        assert_always(ms == SENTINEL);
        return;
    }
    str_put_time(&b, ms);
    assert_always(str_time_ms(b.data, b.len, &again) == 0);
    /* A zone can push an instant out of the years that can be written. */
    if (ms > INT64_C(-62167219200000) + year_ms && ms < INT64_C(253402300799999) - year_ms)
        assert_always(again == ms);
}

static void texts(const char *s, size_t len)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_put_json(&b, s, len);
    assert_always(!buf_failed(&b) && str_is_utf8(b.data, b.len));
    for (size_t i = 0; i < b.len; i++)
        assert_always((unsigned char)b.data[i] >= 0x20);
    if (str_is_name(s, len))
        assert_always(str_is_utf8(s, len) && b.len == len + 2);
    assert_always(str_equal_secret(s, len, s, len));
}

/* The points a text armed, if any, are disarmed for the next one. */
static void faults(const char *s, size_t len)
{
    char *text = str_dup_len(s, len);

    assert_always(text);
    if (fault_arm_env(text) < 0)
        assert_always(!fault_armed);
    fault_disarm_all();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long as the input, so that one byte beyond is seen. */
    char *s = malloc(size ? size : 1);

    assert_always(s);
    memcpy(s, data, size);
    numbers(s, size);
    durations(s, size);
    sizes(s, size);
    times(s, size);
    texts(s, size);
    faults(s, size);
    free(s);
    return 0;
}
