/* http_transfer.h: one transfer as libcurl sees it. Internal to http_pump.c and
 * http_transfer.c; all functions are called by the pump's task, unless they say otherwise. */
#ifndef JOBS_HTTP_TRANSFER_H
#define JOBS_HTTP_TRANSFER_H

#include "base/list.h"
#include "jobs/http_pump.h"
#include "scheduler/event.h"

#include <curl/curl.h>

struct chan;

/* What the requester wants, and the mark that the pump has let go. */
enum transfer_want {
    WANT_ADD = 1,
    WANT_REMOVE = 2,
    WANT_RESUME = 4,
    WANT_CLOSED = 8,
};

/* Handed through the channel of a transfer with a sink; owns data. */
struct http_chunk {
    char *data;
    size_t len;
};

/* Lives in the frame of http_pump_run. */
struct http_transfer {
    struct http_transfer *next; /* in the command stack; the pump's once popped */
    _Atomic unsigned wants;     /* enum transfer_want; not 0 = in the stack, or closed */
    struct event over;          /* set once, as the pump's last touch */
    const struct http_request *request;
    struct http_response *response;
    struct http_pump *pump;
    struct chan *chunks; /* NULL = no sink */

    /* Of the pump: */
    struct list link; /* among the pump's transfers */
    CURL *easy;
    struct curl_slist *headers, *resolve;
    struct buf waiting; /* for the sink; read by the requester once it is over */
    size_t header_bytes;
    bool added, paused, cut;
    char error[CURL_ERROR_SIZE];
    char refused[200]; /* what the guard said */
};

/* The functions that make and close sockets are the pump's. */
struct http_sockets {
    curl_opensocket_callback open;
    curl_closesocket_callback close;
    void *close_ctx;
};

/* Makes the easy handle; 0, or -ENOMEM with nothing left to undo but http_transfer_clean. */
int http_transfer_prepare(struct http_transfer *t, const struct http_sockets *sockets);
/* Hands what waits to the sink's channel, if it has room. */
void http_transfer_flush(struct http_transfer *t);
void http_transfer_resume(struct http_transfer *t);
/* Takes the results out of the easy handle after libcurl's word that it is done. */
void http_transfer_conclude(struct http_transfer *t, CURLcode code);
/* Frees what libcurl holds; the easy handle must be out of the multi handle. */
void http_transfer_clean(struct http_transfer *t);

#endif
