/* file_late.h: libarchive, loaded when the first archive is made or extracted (late.h). */
#ifndef JOBS_FILE_LATE_H
#define JOBS_FILE_LATE_H

#include <stdbool.h>

/* Before any function of libarchive. false: it is not to be had. Any thread. */
bool file_late_load(void);

#endif
