/* What each client has (an address as socket_ip_client leaves it): how many connections, for
 * --max-connections-per-ip, and how much memory they make the server keep. Shared by the workers.
 */
#ifndef SERVER_PEER_COUNTS_H
#define SERVER_PEER_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/socket.h"

struct peer_counts;

/* NULL if memory is short. */
struct peer_counts *peer_counts_new(void);
void peer_counts_free(struct peer_counts *pc);

/* Counts one more unless the address has `max` or memory is short; tells whether it did. */
bool peer_counts_add(struct peer_counts *pc, const uint8_t ip[static SOCKET_IP_BYTES],
                     uint32_t max);

enum peer_kept { PEER_INPUT, PEER_CONTEXTS, PEER_KEPT_COUNT }; /* see chat/hub.h */

/* One of its connections keeps `now` bytes, and kept `before`. Returns what all of them keep;
 * UINT64_MAX, and nothing is noted, if memory is short for that, which it never is for less than
 * before. */
uint64_t peer_counts_keep(struct peer_counts *pc, const uint8_t ip[static SOCKET_IP_BYTES],
                          enum peer_kept what, uint64_t before, uint64_t now);

/* Takes back one that was counted. */
void peer_counts_remove(struct peer_counts *pc, const uint8_t ip[static SOCKET_IP_BYTES]);

#endif
