/* Any document that is accepted: a look into its text finds what a tree of it holds, and a
 * lease of it carries its payload. Any other text: the look ends within it. */
#include "api/render.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "jobs/document.h"
#include "jobs/engine.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t look(const char *text)
{
    const char *at = text, *end = text + strlen(text);
    struct document_member member;
    size_t count = 0;

    while (document_next(&at, &member)) {
        assert_always(member.key > text && member.key + member.key_len < member.value);
        assert_always(member.value + member.value_len == at && at <= end);
        count++;
    }
    return count;
}

static void check_lease(char *document, json_t *tree)
{
    const struct lease lease = {.id = 1, .fence = 1, .attempt = 1, .spec = document};
    json_t *expected = json_object_get(json_object_get(tree, "worker"), "payload"), *shown;
    OWN_BUF struct buf b = BUF_INIT;

    render_lease(&b, &lease, 0);
    json_t *json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    shown = json_object_get(json, "payload");
    assert_always(shown != NULL);
    assert_always(expected != NULL ? json_equal(shown, expected) : json_is_null(shown));
    json_decref(json);
}

/* In an array it stands as it stands alone. */
static void check_elements(const char *document)
{
    const size_t len = strlen(document);
    OWN_BUF struct buf b = BUF_INIT;
    const char *item;
    size_t item_len, count = 0;

    buf_putf(&b, "[%s,%s]", document, document);
    for (const char *at = buf_str(&b); document_element(&at, &item, &item_len); count++)
        assert_always(item_len == len && memcmp(item, document, len) == 0);
    assert_always(count == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = str_dup_len((const char *)data, len);
    struct spec_fault fault;
    struct spec *spec = NULL;

    assert_always(text != NULL);
    (void)look(text);
    if (spec_from_text(text, len, &spec, &fault) == 0) {
        json_t *tree = json_loads(spec->document, JSON_ALLOW_NUL, NULL);

        check_elements(spec->document);
        assert_always(look(spec->document) == json_object_size(tree));
        if (spec->kind == KIND_WORKER)
            check_lease(spec->document, tree);
        json_decref(tree);
    }
    spec_free(spec);
    free(text);
    return 0;
}
