/* exec_result.h: what the end of a process means (the exit map of the specification), and the
 * result document of an exec job. Pure but for reading the child's own result. */
#ifndef JOBS_EXEC_RESULT_H
#define JOBS_EXEC_RESULT_H

#include "jobs/exec_tree.h"

#define EXEC_RESULT_BYTES_MAX (64u << 10)

/* Decides kind, reason and error of an attempt that was not stopped by us. */
void exec_result_judge(const struct exec_spec *spec, const struct exec_end *end,
                       struct outcome *ret);
/* What the child wrote to STINT_RESULT, "" when nothing; -EFBIG beyond the bound. Only a plain
 * file in the scratch folder itself counts. Blocks. */
struct buf;
int exec_result_read(int scratch_fd, struct buf *ret);
/* Fills ret->result and, if the child asked for it, ret->retry_after_ms. text is what the child
 * wrote, read is what exec_result_read answered. */
void exec_result_write(const struct exec_end *end, bool limits_ignored, int read,
                       const struct buf *text, struct outcome *ret);
/* The result of a command that could not be run for the reason r, with the code that a shell
 * would have for it: 127 when it is not there, else 126. */
void exec_result_not_run(int r, struct outcome *ret);

#endif
