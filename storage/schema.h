/* schema.h: the tables of a SQLite store and the numbered steps between their versions, up and
 * down. PRAGMA user_version is the version, application_id says that the file is ours.
 *
 * A job is spread over three tables, because its parts change at different times:
 *
 *     doc    what was asked for: written once, never again (its document may be large)
 *     live   how it stands, while it is not final: narrow rows, rewritten at every step
 *     done   how it ended: written once
 *
 * Every job has one row in doc and one in either live or done (I1). Measured against one table
 * of everything (SQLite 3.40, batches of 100, 120-byte documents): an insert costs the same,
 * start and end together half; with 1 KB documents a third, as a step no longer rewrites the
 * page that the document lies on. Start-up reads live alone, which is why it repeats the job's
 * names.
 *
 * Indexes are narrow and mostly partial, so that the common job (queued, then succeeded) pays
 * for one: its queue. With ten million finished jobs every list is still a walk down one index.
 */
#ifndef STORAGE_SCHEMA_H
#define STORAGE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

#define SCHEMA_VERSION 4u                /* what this build writes */
#define SCHEMA_APPLICATION_ID 0x53544E54 /* "STNT" */

enum schema_answer {
    SCHEMA_OK = 0,
    SCHEMA_FOREIGN = 1, /* a database, but of something else */
};

/* The version, 0 for an empty file. SCHEMA_OK, SCHEMA_FOREIGN, or a negative errno. */
int schema_read(sqlite3 *db, unsigned *ret_version);
/* Goes from the version that is there to version (at most SCHEMA_VERSION), all steps in one
 * transaction: after a failure or a crash the store is as it was. 0 or a negative errno. */
int schema_migrate(sqlite3 *db, unsigned version);

#endif
