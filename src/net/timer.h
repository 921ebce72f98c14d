/* Timeouts in queues of equal duration. Every timeout of the server (handshake, ping, close) has
 * one duration for all connections, so the order of starting is the order of expiry: a list does
 * what others need a heap or a wheel for, in constant time and without allocating. */
#ifndef NET_TIMER_H
#define NET_TIMER_H

#include <stdint.h>

#include "base/list.h"

struct timer {
    struct list link;
    uint64_t deadline_ms;
};

struct timer_queue {
    struct list timers;
    uint32_t duration_ms; /* 0: timers of this queue never expire */
};

void timer_init(struct timer *t);
void timer_queue_init(struct timer_queue *q, uint32_t duration_ms);

/* (Re)starts t, whichever queue it is in now. now_ms must not go back between calls. */
void timer_start(struct timer_queue *q, struct timer *t, uint64_t now_ms);

/* Stops t; harmless if it is not running. */
void timer_stop(struct timer *t);

/* Takes the next expired timer out of the queue; NULL if there is none. */
struct timer *timer_queue_expired(struct timer_queue *q, uint64_t now_ms);

/* The earliest deadline in the queue, UINT64_MAX if none. */
uint64_t timer_queue_deadline(const struct timer_queue *q);

#endif
