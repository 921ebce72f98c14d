/* See api_import.h. Two threads: the caller's, and the store's writer and readers in callbacks;
 * what they share is under `lock`. */
#include "api/api_import.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api_line.h"
#include "base/err.h"
#include "base/table.h"
#include "proto/name.h"
#include "store/store.h"

enum {
    LINE_MAX_BYTES = 256 << 20,
    IN_FLIGHT_MAX = STORE_BATCH_MAX * 2, /* one batch is written while the next one gathers */
    PROGRESS_S = 2,
    PROGRESS_EVENTS = 1024, /* between two looks at the clock */
};

/* A room of the file: the second of that name is found while nothing is stored yet. */
struct import_room {
    UT_hash_handle hh;
    char name[];
};

struct api_import {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t in_flight;
    int err;      /* of the first event that failed */
    int load_err; /* answer of the store about a room */
    bool loaded;
    char reason[128]; /* why the store fails */

    struct store *store;
    bool write; /* the second reading */
    char *why;
    uint64_t line;
    time_t told_s;
    struct buf text;
    struct buf scratch;

    /* The room being read; room_len 0: none. */
    char room[NAME_ROOM_MAX];
    size_t room_len;
    char epoch[EVENT_EPOCH_LEN];
    uint64_t last_seq;
    uint64_t events;
    struct api_import_sum sum;
    struct import_room *rooms; /* uthash, by name; of the first reading */
};

/* ---- the store's threads ---- */

static void import_on_done(void *ctx, const struct store_done *done, size_t count)
{
    struct api_import *im = ctx;
    pthread_mutex_lock(&im->lock);
    im->in_flight -= count;
    for (size_t i = 0; i < count && !im->err; i++)
        im->err = done[i].err;
    pthread_cond_signal(&im->changed);
    pthread_mutex_unlock(&im->lock);
}

static void import_on_health(void *ctx, bool healthy, const char *text)
{
    struct api_import *im = ctx;
    if (healthy) return;
    pthread_mutex_lock(&im->lock);
    snprintf(im->reason, sizeof im->reason, "%s", text);
    pthread_mutex_unlock(&im->lock);
}

static void import_on_loaded(void *ctx, int err, const struct store_loaded *loaded)
{
    struct api_import *im = ctx;
    (void)loaded;
    pthread_mutex_lock(&im->lock);
    im->load_err = err;
    im->loaded = true;
    pthread_cond_signal(&im->changed);
    pthread_mutex_unlock(&im->lock);
}

/* ---- errors ---- */

__attribute__((format(printf, 3, 4))) static int fail_line(struct api_import *im, int err,
                                                           const char *format, ...)
{
    int n = snprintf(im->why, API_IMPORT_TEXT_MAX, "line %" PRIu64 ": ", im->line);
    va_list args;
    va_start(args, format);
    vsnprintf(im->why + n, API_IMPORT_TEXT_MAX - (size_t)n, format, args);
    va_end(args);
    return err;
}

static int fail_store(struct api_import *im, int err)
{
    char reason[sizeof im->reason];
    pthread_mutex_lock(&im->lock);
    memcpy(reason, im->reason, sizeof reason);
    pthread_mutex_unlock(&im->lock);
    return fail_line(im, err, "it cannot be stored: %s%s", reason[0] ? reason : err_info(err)->text,
                     im->write ? "; nothing was imported" : "");
}

/* ---- storing ---- */

/* Waits until at most this many events are under way; 0 or what failed. */
static int wait_for_store(struct api_import *im, uint64_t most)
{
    pthread_mutex_lock(&im->lock);
    while (im->in_flight > most && !im->err)
        pthread_cond_wait(&im->changed, &im->lock);
    int err = im->err;
    pthread_mutex_unlock(&im->lock);
    return err;
}

/* 0 if it is the first room of its name in the file. */
static int note_room(struct api_import *im)
{
    struct import_room *room;
    HASH_FIND(hh, im->rooms, im->room, im->room_len, room);
    if (room)
        return fail_line(im, ERR_STORE_ORDER, "the room \"%.*s\" is in the file already",
                         (int)im->room_len, im->room);
    room = calloc(1, sizeof *room + im->room_len);
    if (!room) return fail_line(im, ERR_NOMEM, "not enough memory");
    memcpy(room->name, im->room, im->room_len);
    HASH_ADD_KEYPTR(hh, im->rooms, room->name, im->room_len, room);
    if (room->hh.tbl) return 0;
    free(room);
    return fail_line(im, ERR_NOMEM, "not enough memory");
}

/* 0 if the store has never heard of the room. */
static int import_check_room(struct api_import *im)
{
    struct slice name = {im->room, im->room_len};
    im->loaded = false;
    int err = store_load_room(im->store, NULL, name, import_on_loaded, im);
    if (err) return fail_store(im, err);
    pthread_mutex_lock(&im->lock);
    while (!im->loaded)
        pthread_cond_wait(&im->changed, &im->lock);
    err = im->load_err;
    pthread_mutex_unlock(&im->lock);
    if (err == ERR_NOT_FOUND) return 0;
    if (err) return fail_store(im, err);
    return fail_line(im, ERR_STORE_ORDER,
                     "the room \"%.*s\" has events already; import into a database without it",
                     (int)im->room_len, im->room);
}

static int store_event(struct api_import *im, const struct store_event *e)
{
    const struct store_append a = {.room = {im->room, im->room_len},
                                   .epoch = im->epoch,
                                   .event = e,
                                   .prev_seq = e->seq - 1, /* what is not in the file is not here */
                                   .tag = im};
    int err = wait_for_store(im, IN_FLIGHT_MAX);
    while (!err) {
        pthread_mutex_lock(&im->lock);
        uint64_t others = im->in_flight++;
        pthread_mutex_unlock(&im->lock);
        err = store_append(im->store, &a);
        if (!err) return 0;
        pthread_mutex_lock(&im->lock);
        im->in_flight--;
        pthread_mutex_unlock(&im->lock);
        if (err != ERR_STORE || others == 0) break;
        err = wait_for_store(im, others - 1); /* its queue is full of long texts */
    }
    return fail_store(im, err);
}

static void tell_progress(struct api_import *im)
{
    if (im->sum.events % PROGRESS_EVENTS != 0) return;
    time_t now_s = time(NULL);
    if (now_s < im->told_s + PROGRESS_S) return;
    im->told_s = now_s;
    fprintf(stderr, "parlor: import: %" PRIu64 " events %s\n", im->sum.events,
            im->write ? "stored" : "checked");
}

/* ---- lines ---- */

static int on_room(struct api_import *im, const struct api_line *line)
{
    if (im->room_len) return fail_line(im, ERR_BAD_JSON, "the room before has no end");
    memcpy(im->room, line->room.ptr, line->room.len);
    memcpy(im->epoch, line->epoch, EVENT_EPOCH_LEN);
    im->room_len = line->room.len;
    im->last_seq = 0;
    im->events = 0;
    im->sum.rooms++;
    int err = im->write ? 0 : note_room(im);
    return err ? err : import_check_room(im);
}

static int import_event(struct api_import *im, const struct store_event *e)
{
    if (!im->room_len) return fail_line(im, ERR_BAD_JSON, "an event without a room");
    if (e->seq <= im->last_seq) return fail_line(im, ERR_BAD_JSON, "\"seq\" does not go up");
    if (e->target >= e->seq) return fail_line(im, ERR_BAD_JSON, "it changes a later event");
    im->last_seq = e->seq;
    im->events++;
    im->sum.events++;
    tell_progress(im);
    return im->write ? store_event(im, e) : 0;
}

static int import_end(struct api_import *im, uint64_t events)
{
    if (!im->room_len) return fail_line(im, ERR_BAD_JSON, "an end without a room");
    if (events != im->events)
        return fail_line(im, ERR_BAD_JSON, "it tells of %" PRIu64 " events, but there are %" PRIu64,
                         events, im->events);
    im->room_len = 0;
    return 0;
}

static int on_line(struct api_import *im)
{
    struct api_line line;
    const char *why =
        api_line_parse((struct slice){(char *)im->text.data, im->text.len}, &im->scratch, &line);
    if (why) return fail_line(im, ERR_BAD_JSON, "%s", why);
    switch (line.type) {
    case API_LINE_ROOM:
        return on_room(im, &line);
    case API_LINE_EVENT:
        return import_event(im, &line.event);
    case API_LINE_END:
        break;
    }
    return import_end(im, line.events);
}

/* The next line into text, without its end. 1, 0 at the end of the file, or an error. */
static int import_read_line(struct api_import *im, FILE *in)
{
    int c;
    im->text.len = 0;
    im->line++;
    while ((c = getc_unlocked(in)) != EOF && c != '\n') {
        int err = im->text.len < im->text.cap ? 0 : buf_reserve(&im->text, 1, LINE_MAX_BYTES);
        if (err) return fail_line(im, err, "the line is too long");
        im->text.data[im->text.len++] = (uint8_t)c;
    }
    if (ferror(in)) return fail_line(im, ERR_IO, "cannot read: %s", strerror(errno));
    return c == '\n' || im->text.len > 0;
}

static int read_all(struct api_import *im, FILE *in, bool write)
{
    int got;
    im->write = write;
    im->line = 0;
    im->sum = (struct api_import_sum){0, 0};
    while ((got = import_read_line(im, in)) > 0) {
        int err = on_line(im);
        if (err) return err;
    }
    if (got < 0) return got;
    if (im->room_len)
        return fail_line(im, ERR_BAD_JSON, "the file is cut: the room \"%.*s\" has no end",
                         (int)im->room_len, im->room);
    if (im->sum.rooms == 0) return fail_line(im, ERR_BAD_JSON, "the file is empty");
    int err = wait_for_store(im, 0);
    return err ? fail_store(im, err) : 0;
}

/* What can be read only once, as a file that can be read again. NULL, and errno. */
static FILE *copy_to_temporary(FILE *in)
{
    char bytes[65536];
    size_t n;
    FILE *copy = tmpfile();
    bool ok = copy;
    while (ok && (n = fread(bytes, 1, sizeof bytes, in)) > 0)
        ok = fwrite(bytes, 1, n, copy) == n;
    if (ok && !ferror(in) && fseek(copy, 0, SEEK_SET) == 0) return copy;
    int error = errno;
    if (copy) fclose(copy);
    errno = error;
    return NULL;
}

int api_import_run(struct api_import *im, struct store *store, FILE *in, struct api_import_sum *sum,
                   char *why)
{
    im->store = store;
    im->why = why;
    FILE *copy = NULL;
    if (fseek(in, 0, SEEK_SET) != 0) {
        copy = copy_to_temporary(in);
        if (!copy) {
            snprintf(why, API_IMPORT_TEXT_MAX, "cannot make a temporary copy: %s", strerror(errno));
            return ERR_IO;
        }
        in = copy;
    }
    int err = read_all(im, in, false);
    if (!err && fseek(in, 0, SEEK_SET) != 0) err = fail_line(im, ERR_IO, "cannot read it again");
    if (!err) err = read_all(im, in, true);
    if (copy) fclose(copy);
    *sum = im->sum;
    return err;
}

struct api_import *api_import_new(struct store_options *options)
{
    struct api_import *im = calloc(1, sizeof *im);
    if (!im) return NULL;
    pthread_mutex_init(&im->lock, NULL);
    pthread_cond_init(&im->changed, NULL);
    im->told_s = time(NULL);
    options->on_done = import_on_done;
    options->on_health = import_on_health;
    options->ctx = im;
    return im;
}

void api_import_free(struct api_import *im)
{
    if (!im) return;
    struct import_room *room = im->rooms;
    HASH_CLEAR(hh, im->rooms);
    while (room) {
        struct import_room *next = room->hh.next;
        free(room);
        room = next;
    }
    pthread_mutex_destroy(&im->lock);
    pthread_cond_destroy(&im->changed);
    buf_fini(&im->text);
    buf_fini(&im->scratch);
    free(im);
}
