/* http_late.h: libcurl, loaded when the first HTTP job comes (late.h). */
#ifndef JOBS_HTTP_LATE_H
#define JOBS_HTTP_LATE_H

#include <stdbool.h>

/* Before any function of libcurl. false: it is not to be had. Any thread. */
bool http_late_load(void);

#endif
