/* doors.h: the listening sockets: handed over by systemd, or opened here. */
#ifndef DAEMON_DOORS_H
#define DAEMON_DOORS_H

#include "daemon/conf.h"

struct doors {
    int unix_fd, tcp_fd; /* -1 = none */
    bool unix_ours;      /* we made the socket file and remove it at the end */
    /* Where they are, whoever opened them; "" = nowhere, or no path. */
    char unix_path[109], tcp_address[64];
};

struct doors_address {
    char host[128];
    uint16_t port;
};

/* "127.0.0.1:7846", "[::1]:7846", "localhost:7846"; false when it is none. */
bool doors_address_parse(const char *text, struct doors_address *ret);

/* Before threads start. 0, or a negative errno with why (CONF_WHY_BYTES). Sockets from systemd
 * replace the configured ones of their family. */
int doors_open(const struct conf *conf, struct doors *ret, char *why);
/* Closes what is still here (the api takes the descriptors it serves). */
void doors_close(struct doors *doors, const struct conf *conf);

#endif
