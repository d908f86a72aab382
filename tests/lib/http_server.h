/* http_server.h: a small HTTP/1.1 server of tasks, for tests of whoever speaks to one. It
 * listens on 127.0.0.1 at a free port and stops when it is closed.
 *
 *     /ok                       200 "hello"
 *     /status/N?retry_after=V   N, with that Retry-After
 *     /slow?ms=N                200 after N ms
 *     /hold                     200 when http_server_release was called
 *     /big?bytes=N              N times 'a', with a Content-Length
 *     /chunked?bytes=N          the same in chunks
 *     /utf8?bytes=N             two-byte characters, cut wherever N falls
 *     /binary                   bytes that are no text
 *     /redirect?code=N&to=URL   N to URL; without "to" to /ok
 *     /loop                     302 to itself
 *     /echo                     method, header lines and body of the request as text
 *     /headers                  repeated fields, a cookie
 *     /many-headers             more header bytes than anybody should take
 *     /close                    closes without an answer
 *     /reset                    resets the connection
 *     /short                    ends before its Content-Length
 *     /garbage                  no HTTP
 *     anything else             404 */
#ifndef TESTS_LIB_HTTP_SERVER_H
#define TESTS_LIB_HTTP_SERVER_H

#include <stdint.h>

struct http_server;

/* Aborts the test when it cannot start. */
struct http_server *http_server_open(void);
/* By the task that opened it. Cancels its tasks and parks until they have ended. */
void http_server_close(struct http_server *server);
unsigned short http_server_port(const struct http_server *server);
/* Lets all requests of /hold go on, now and later. */
void http_server_release(struct http_server *server);
/* Parks until so many requests have come, ever. */
void http_server_await(struct http_server *server, unsigned requests);
unsigned http_server_requests(const struct http_server *server);
unsigned http_server_connections(const struct http_server *server);

#endif
