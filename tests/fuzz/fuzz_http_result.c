/* Any header and any body of an answer: what is told of it is one JSON object. The first byte
 * says how much is header; its low bit, whether the body was cut. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "jobs/http_pump.h"
#include "jobs/http_result.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct http_result_notes notes = {.url = NULL, .saved_to = NULL};
    struct http_response response = {.status = 200};
    OWN_BUF struct buf b = BUF_INIT;
    json_error_t error;

    if (len == 0)
        return 0;
    size_t head = (len - 1) * data[0] / 256;
    response.truncated = data[0] & 1;
    buf_put(&response.headers, data + 1, head);
    buf_put(&response.body, data + 1 + head, len - 1 - head);
    http_result_put(&b, &response, &notes);

    json_t *json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    assert_always(json_is_object(json) && json_is_object(json_object_get(json, "headers")));
    assert_always((json_object_get(json, "body") != NULL) !=
                  (json_object_get(json, "body_base64") != NULL));
    json_decref(json);
    http_response_deinit(&response);
    return 0;
}
