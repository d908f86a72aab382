/* manual.h: the field list of stint-jobs(7), written from the tables that read the document. */
#ifndef DAEMON_MANUAL_H
#define DAEMON_MANUAL_H

struct buf;

void manual_jobs(struct buf *ret);

#endif
