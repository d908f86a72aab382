/* Programs on channels and selects, a byte a choice, beside a sequential model (chan_play.h).
 */
#include "base/err.h"
#include "scheduler/scheduler.h"

#include "tests/lib/chan_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static int play(void *arg)
{
    const struct input *in = arg;

    chan_play_bytes(in->data, in->size);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct scheduler_options options = {
        .processors = 1, .seed = 1, .deadlock_ms = UINT32_MAX};
    struct input in = {data, size};

    assert_always(scheduler_run(&options, play, &in) == 0);
    return 0;
}
