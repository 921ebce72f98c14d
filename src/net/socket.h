/* Listening sockets that several workers share and no second process can. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SOCKET_IP_BYTES = 16, SOCKET_TEXT_MAX = 80 };

/* Listens on a numeric address with SO_REUSEPORT, non-blocking, TCP_NODELAY (inherited by accepted
 * sockets). The first socket of an address binds without SO_REUSEPORT, which fails if anybody else
 * listens there, and joins the group only then: so there is no moment in which a second server
 * could slip in. Returns the descriptor, or ERR_IO with errno (ERR_BAD_REQUEST: not a numeric
 * address). */
int socket_listen(const char *host, uint16_t port, bool first);

/* The port a listening socket got. */
uint16_t socket_port(int fd);

/* True if the socket's own address is a loopback one. */
bool socket_is_loopback(int fd);

/* For one who listens on every address, "0.0.0.0" or "::": the address under which others find this
 * machine, which is the one it would speak to them from. Nothing is sent for that. False, and out
 * is not touched, if host is another address or no route leads out. */
bool socket_outward_address(const char *host, char out[static SOCKET_TEXT_MAX]);

/* The address as 16 bytes, IPv4 mapped into IPv6. */
void socket_ip(const struct sockaddr_storage *from, uint8_t ip[static SOCKET_IP_BYTES]);

/* The client behind such an address, as limits and budgets see it: an IPv4 address is one, and so
 * is an IPv6 /64, since whoever has one address of it has all (RFC 6177); but ::1 is itself. In
 * place. */
void socket_ip_client(uint8_t ip[static SOCKET_IP_BYTES]);

/* Such 16 bytes as text. */
void socket_ip_text(const uint8_t ip[static SOCKET_IP_BYTES], char out[static SOCKET_TEXT_MAX]);

#endif
