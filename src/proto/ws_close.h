/* Which WebSocket close codes may travel. The registry (RFC 6455 section 7.4 and IANA) has codes
 * that only name a local event, 1005, 1006 and 1015; a peer that sends one breaks the protocol. */
#ifndef PROTO_WS_CLOSE_H
#define PROTO_WS_CLOSE_H

#include <stdbool.h>
#include <stdint.h>

/* True iff a peer may send this code in a close frame: the assigned codes 1000-1003 and 1007-1014,
 * and the ranges for libraries and applications, 3000-4999 (RFC 6455 section 7.4.2). */
bool ws_close_code_valid(uint16_t code);

#endif
