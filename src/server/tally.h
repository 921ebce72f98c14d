/* A sum for each of many clients, for the length of one look at them: who has most? A table of
 * fixed size, because it is asked when memory is short. Once it is full, clients that are not in it
 * have no sum, and each of their connections is taken for itself. */
#ifndef SERVER_TALLY_H
#define SERVER_TALLY_H

#include <stdint.h>

enum { TALLY_SLOTS = 2048, TALLY_MAX = TALLY_SLOTS / 4 * 3 /* clients */ };

struct tally {
    unsigned count;
    uint64_t most; /* of any client, or of one connection of those not in it */
    struct {
        uint64_t client; /* client_id; 0: free */
        uint64_t bytes;
    } slots[TALLY_SLOTS];
};

/* bytes > 0 of one more of the client's connections. */
void tally_add(struct tally *t, uint64_t client, uint64_t bytes);

/* The client's sum, of one of whose connections these bytes are. */
uint64_t tally_of(const struct tally *t, uint64_t client, uint64_t bytes);

#endif
