/* listen.h: what is known of a listening socket; making one is in api.h. */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#define LISTEN_NAME_BYTES 48 /* an IPv6 address in brackets, with its 0 */

/* The literal address that fd is bound to, as a Host header writes it; "" when it is no TCP
 * socket, -1, or bound to all addresses. Any thread. */
void listen_name(int fd, char ret[LISTEN_NAME_BYTES]);

#endif
