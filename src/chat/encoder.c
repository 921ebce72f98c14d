/* See encoder.h. */
#include "chat/encoder.h"

#include "proto/ws_deflate.h"

void encoder_fini(struct encoder *s)
{
    for (size_t i = 0; i < sizeof s->json / sizeof s->json[0]; i++) {
        buf_fini(&s->json[i]);
        buf_fini(&s->deflated[i]);
    }
    ws_deflater_free(s->deflater);
    *s = (struct encoder){0};
}
