/* wire.h: the words of the wire that server and command line share. Includes nothing but base.
 */
#ifndef API_WIRE_H
#define API_WIRE_H

#define WIRE_PORT 7846
#define WIRE_SERVICE_SOCKET "/run/stint/stint.sock"
#define WIRE_SOCKET_NAME "stint.sock" /* below the state folder */
#define WIRE_TOKEN_NAME "token" /* below the state folder: made at the first start, 0600 */
#define WIRE_JOBS "/v1/jobs"
#define WIRE_QUEUES "/v1/queues"
#define WIRE_PROBLEM_TYPE "application/problem+json"
#define WIRE_BATCH_MAX 10000
#define WIRE_BODY_BYTES_MAX (8u << 20)
#define WIRE_WAIT_S_MAX 3600

/* One row a problem: the last part of its type URI, its HTTP status and title, and the exit
 * status of the command line: 1 failed, 2 usage, 3 not found, 4 refused, 5 conflict, 69
 * unreachable, 75 try later, 124 timed out. */
struct wire_problem {
    const char *type;
    int status;
    int exit_status;
    const char *title;
};

/* NULL when there is no such problem. */
const struct wire_problem *wire_problem_find(const char *type);

#endif
