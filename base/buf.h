/* buf.h: growing bytes. Errors are sticky: write many times, ask once with buf_failed().
 * A buf on the stack starts as BUF_INIT and ends with buf_deinit(), or declare it OWN_BUF. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* NULL or cap bytes; data[len] is 0 whenever data is not NULL */
    size_t len, cap;
    bool failed; /* an allocation failed: content is cut, every later write is dropped */
};

#define BUF_INIT ((struct buf){0})
#define OWN_BUF __attribute__((cleanup(buf_deinit)))

void buf_deinit(struct buf *b);
void buf_clear(struct buf *b); /* len 0, memory kept, failed forgotten */
bool buf_failed(const struct buf *b);
/* Room for at least len more bytes behind data+len; NULL (and failed) without memory. */
char *buf_reserve(struct buf *b, size_t len);
/* len bytes were written into that room: they are content now. */
void buf_commit(struct buf *b, size_t len);
void buf_put(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_i64(struct buf *b, int64_t v);
void buf_putf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vputf(struct buf *b, const char *fmt, va_list ap);
/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void buf_put_json(struct buf *b, const char *s, size_t len);
/* The content as a C string, "" when empty; borrowed until the next write. */
const char *buf_str(const struct buf *b);
/* Hands the memory over as a C string to free(); the buf is empty after. NULL when failed. */
char *buf_take(struct buf *b);

#endif
