/* Lines of an export: whatever is read and written again is read as the same, and from then on the
 * bytes stay as they are. */
#include <stdint.h>
#include <string.h>

#include "api/api_line.h"
#include "base/check.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int write_line(const struct api_line *line, struct buf *out)
{
    switch (line->type) {
    case API_LINE_ROOM:
        return api_line_put_room(line->room, line->epoch, out);
    case API_LINE_EVENT:
        return api_line_put_event(&line->event, out);
    case API_LINE_END:
        break;
    }
    return api_line_put_end(line->events, out);
}

/* What the store relies on. */
static void is_sound(const struct api_line *line)
{
    const struct store_event *e = &line->event;
    if (line->type == API_LINE_ROOM) CHECK(line->room.len > 0 && line->room.len <= 128);
    if (line->type != API_LINE_EVENT) return;
    CHECK(e->seq > 0 && e->seq <= STORE_SEQ_MAX);
    CHECK(e->kind < STORE_KIND_COUNT && e->username.len > 0);
    CHECK((e->kind == STORE_MESSAGE) == (e->target == 0));
    CHECK(utf8_valid(e->message.ptr, e->message.len) && utf8_valid(e->data.ptr, e->data.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf scratch[2] = {{0}, {0}};
    struct buf text[2] = {{0}, {0}};
    struct api_line line;
    if (!api_line_parse((struct slice){(const char *)data, size}, &scratch[0], &line)) {
        is_sound(&line);
        CHECK(write_line(&line, &text[0]) == 0);
        CHECK(text[0].data[text[0].len - 1] == '\n');
        CHECK(memchr(text[0].data, '\n', text[0].len) == text[0].data + text[0].len - 1);
        struct slice again = {(const char *)text[0].data, text[0].len - 1};
        CHECK(!api_line_parse(again, &scratch[1], &line));
        CHECK(write_line(&line, &text[1]) == 0);
        CHECK(text[0].len == text[1].len && !memcmp(text[0].data, text[1].data, text[0].len));
    }
    for (int i = 0; i < 2; i++) {
        buf_fini(&scratch[i]);
        buf_fini(&text[i]);
    }
    return 0;
}
