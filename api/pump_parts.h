/* pump_parts.h: what pump.c and exchange.c share: the two files that know libmicrohttpd. All
 * of it is called on a pump's stack and never parks. */
#ifndef API_PUMP_PARTS_H
#define API_PUMP_PARTS_H

#include "api/server_parts.h"

#include <microhttpd.h>

/* A request is awaited or coming in from now on, and has to be whole in time. */
void pump_receiving_begin(struct connection *c);
void pump_receiving_end(struct connection *c);

/* A task has an answer for q, or more of one. Takes the reference of the queue. */
void exchange_answer(struct request *q);

/* The library's call-backs. cls is the pump; *req_cls is the request.
 * For all of a request: its header, each piece of its body, its end. */
enum MHD_Result exchange_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **req_cls);
/* The request line has come; the library has not yet decoded it. */
void *exchange_line(void *cls, const char *target, struct MHD_Connection *mhd);
/* The library is done with a request: answered, or its client is gone. */
void exchange_completed(void *cls, struct MHD_Connection *mhd, void **req_cls,
                        enum MHD_RequestTerminationCode code);

#endif
