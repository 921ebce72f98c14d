/* One line of an export, docs/api.md: the whole of a room as text (NDJSON), exact enough that an
 * import gives the same room and a second export the same bytes. Pure; any thread.
 *
 *   {"type":"room","room":"lobby","epoch":"k3f9d2a7"}
 *   {"type":"event","seq":1,"ts":1790000000123,"kind":"message","username":"ann","message":"hi"}
 *   {"type":"end","events":1}
 *
 * An event has what the store has of it, and nothing that it has not: an empty text is not the same
 * as none. `data` is a string that holds the JSON, because that has to stay as it was, also if it
 * has line ends in it. */
#ifndef API_API_LINE_H
#define API_API_LINE_H

#include <stdint.h>

#include "base/buf.h"
#include "store/store.h"

enum api_line_type { API_LINE_ROOM, API_LINE_EVENT, API_LINE_END };

struct api_line {
    enum api_line_type type;
    struct slice room; /* of ROOM, as is epoch */
    char epoch[EVENT_EPOCH_LEN];
    struct store_event event; /* of EVENT */
    uint64_t events;          /* of END: lines of events since the room's */
};

/* Each appends one line with its newline. Errors as buf_reserve, out as it was. */
int api_line_put_room(struct slice room, const char *epoch, struct buf *out);
int api_line_put_event(const struct store_event *e, struct buf *out);
int api_line_put_end(uint64_t events, struct buf *out);

/* Reads one line without its newline; slices point into line or scratch, which is emptied first.
 * NULL, or what is wrong with the line, for a person. */
const char *api_line_parse(struct slice line, struct buf *scratch, struct api_line *out);

#endif
