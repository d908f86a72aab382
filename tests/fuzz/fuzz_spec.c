/* Any bytes: refused with a reason, or read, and then the stored document reads back the same.
 */
#include "base/err.h"
#include "base/str.h"
#include "jobs/spec.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    struct spec_fault fault = {{0}, {0}};
    struct spec *spec = NULL, *again = NULL;

    int r = spec_from_text(text, len, &spec, &fault);
    if (r < 0) {
        assert_always(r == -ENOMEM || fault.what[0] != 0);
        return 0;
    }
    assert_always(str_is_utf8(spec->document, spec->document_len));
    assert_always(spec_from_text(spec->document, spec->document_len, &again, &fault) == 0);
    assert_always(spec->document_len == again->document_len &&
                  memcmp(spec->document, again->document, again->document_len) == 0);

    struct job *job = spec_job(spec, 0);
    assert_always(job == NULL || (job->kind != KIND_NONE && job->queue != NULL));
    job_free(job);
    spec_free(spec);
    spec_free(again);
    return 0;
}
