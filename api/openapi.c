/* openapi.c: the description of the interface, written by hand beside this file and carried in
 * the binary as it is. The assembler finds it below one of the compiler's -I folders. */
#include "api/openapi.h"

#include "api/api_parts.h"

#include <stddef.h>

__asm__(".pushsection .rodata\n"
        ".global openapi_json\n"
        "openapi_json:\n"
        ".incbin \"api/openapi.json\"\n"
        ".global openapi_json_end\n"
        "openapi_json_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char openapi_json[], openapi_json_end[];

const char *openapi_text(size_t *ret_len)
{
    *ret_len = (size_t)((uintptr_t)openapi_json_end - (uintptr_t)openapi_json);
    return openapi_json;
}

void openapi_get(struct request *q)
{
    OWN_BUF struct buf b = BUF_INIT;
    size_t len;
    const char *text = openapi_text(&len);

    buf_put(&b, text, len);
    reply_text(q, 200, "application/json", &b);
}
