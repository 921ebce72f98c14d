/* What a thread that publishes needs for encoding events. */
#ifndef CHAT_ENCODER_H
#define CHAT_ENCODER_H

#include "base/buf.h"

struct ws_deflater;

/* A publishing thread's tools: used by that thread only. */
struct encoder {
    struct ws_deflater *deflater; /* NULL: deflated logs get plain frames */
    struct buf json[2];           /* bare; full or rich */
    struct buf deflated[2];
};

void encoder_fini(struct encoder *s);

#endif
