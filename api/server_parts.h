/* server_parts.h: what server.c, pump.c, reply.c and watch.c share. Internal to them. */
#ifndef API_SERVER_PARTS_H
#define API_SERVER_PARTS_H

#include "api/server.h"
#include "base/list.h"
#include "scheduler/event.h"
#include "scheduler/group.h"
#include "scheduler/mutex.h"
#include "scheduler/net.h"

#include <stdatomic.h>

struct pump;
struct MHD_Connection;
struct MHD_Daemon;

/* What other tasks ask of a pump. Each has room for its own place in the queue. */
enum command_kind { COMMAND_ADD, COMMAND_ANSWER };
struct command {
    struct command *next; /* guarded by the pump's queue */
    enum command_kind kind;
};

/* A client. Made by an acceptor, then the pump's alone. */
struct connection {
    struct command command;
    struct list due_link; /* in pump->receiving, while a request is awaited or coming in */
    uint64_t due_at_ns;
    struct pump *pump;
    struct MHD_Connection *mhd;
    int fd; /* the library's, once it has been added */
    struct auth_peer peer;
    struct request *request; /* the one that is received or answered, or NULL */
};

/* A chunk on its way from a request's task to its pump. The state says whose it is. */
enum chunk_state { CHUNK_EMPTY, CHUNK_FULL, CHUNK_ENDED, CHUNK_BROKEN };
struct stream {
    _Atomic int state; /* EMPTY, ENDED, BROKEN: chunk is the task's; FULL: the pump's */
    struct buf chunk;
    size_t taken;      /* bytes of chunk that the library has; the pump's */
    bool starved;      /* the library is suspended until there is a chunk; the pump's */
    struct event room; /* set when the chunk was taken, or the client is gone */
    uint64_t length;   /* UINT64_MAX = not known */
};

/* The half of a request that handlers do not see. */
struct request_parts {
    struct command command;
    struct request *request;
    _Atomic unsigned refs; /* the library's, the task's, a streamed answer's */
    _Atomic bool posted;   /* in the pump's queue */
    _Atomic bool gone;     /* the library is done with it: no answer can be sent any more */
    struct pump *pump;
    struct connection *connection; /* the pump's; NULL when gone */
    struct server *server;
    int fd;               /* of the connection: only while it is suspended */
    bool tcp;             /* which door */
    char *authority;      /* the host within the target; NULL as a rule */
    bool doubtful;        /* headers stand twice that must not; the pump's */
    bool begun;           /* the header was looked at; the pump's */
    bool refused;         /* it has its answer already, what it sends is dropped; the pump's */
    bool queued;          /* its answer is in the library; the pump's */
    bool streams;         /* the answer is a stream; set before it is posted */
    unsigned route_index; /* in the counters; routes_count = none */
    uint64_t started_at_ns;
    uint64_t dropped_bytes;
    struct stream stream;
    struct text_block *blocks; /* more room for strings than text has */
    size_t text_len;
    char text[512];
};

struct text_block {
    struct text_block *next;
    char text[];
};

#define STATUS_SLOTS 32
extern const int server_statuses[STATUS_SLOTS]; /* 0 ends; slot 0 = any other */

/* Counted by one pump, read by all. */
struct route_counters {
    _Atomic uint64_t statuses[STATUS_SLOTS];
    _Atomic uint64_t latency[SERVER_LATENCY_BUCKETS];
    _Atomic uint64_t latency_us_total;
};

struct pump {
    struct server *server;
    struct MHD_Daemon *daemon;
    struct net *net;               /* watches the library's epoll */
    struct command *_Atomic queue; /* newest first; anybody pushes, the pump takes all */
    struct group requests;         /* open in the pump's frame */
    bool stopping;                 /* no task is started any more; the pump's */
    bool again;                    /* the library has to run once more; the pump's */
    struct list receiving;         /* connections by due_at_ns; the pump's */
    struct connection *adding;     /* between the add and the library's word of it */
    _Atomic uint32_t connections, connections_tcp;
    struct route_counters *counters; /* routes_count + 1 */
    struct event ended;
};

struct door {
    struct server *server;
    struct net *net;
    bool tcp;
    uint64_t tell_at_ns; /* of who cannot be accepted */
    struct event ended;
};

#define SERVER_DOORS_MAX 4

struct server {
    struct server_options options;
    struct group *group; /* borrowed: tasks are its members */
    struct pump *pumps;
    unsigned pumps_count;
    struct door doors[SERVER_DOORS_MAX];
    unsigned doors_count;
    _Atomic uint64_t requests, active, accepted, refused_full, timed_out;
    /* How much is told of refusals: a client that is refused a thousand times a second must not
     * fill the disk with our words about it. */
    _Atomic uint64_t refusals_second, refusals_told, refusals_left_out;
    _Atomic bool draining, stopping;
    struct event idle; /* set when draining and nothing is active */
    struct mutex watches_lock;
    struct list watches; /* requests that wait long; guarded by watches_lock */
};

/* A request that request_wait serves. */
struct watch {
    struct list link; /* in server->watches */
    struct net *net;
    int (*fn)(void *arg);
    void *arg;
    _Atomic bool done;
};

/* pump.c */
int pump_open(struct server *server, struct pump *pump);
int pump_run(void *arg);            /* the task; arg is the pump */
void pump_close(struct pump *pump); /* after its task has ended */
void pump_post(struct pump *pump, struct command *command, enum command_kind kind);
void pump_kick(struct pump *pump);

/* request.c */
struct request *request_new(struct connection *connection, const char *target);
void request_unref(struct request *q);
/* Reads the header, finds the route, and refuses what must be refused. The pump. */
void request_begin(struct request *q, const char *method);
bool request_has_body(const struct request *q);
/* More of the body. The pump. */
void request_take(struct request *q, const void *data, size_t len);
void request_set_header(struct request *q, const char *name, size_t name_len, const char *value,
                        size_t len);

/* reply.c */
/* The library has no more use for the request. The pump. */
void stream_gone(struct request *q);
/* The task has ended: what follows the last chunk. */
void stream_finish(struct request *q);

/* linger.c */
/* Goes on reading what the client of an early answer still sends, for a bounded time. fd stays
 * the caller's. */
void linger_start(struct pump *pump, int fd);

/* watch.c */
void watch_wake_all(struct server *server);

#endif
