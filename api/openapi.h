/* openapi.h: the description of the interface (OpenAPI 3.1), as text. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>

/* Of static storage, with a 0 behind it. Any thread. */
const char *openapi_text(size_t *ret_len);

#endif
