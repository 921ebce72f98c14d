/* What is read from the frames of parlor.v1 clients, and what is refused in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fail_alloc.h"
#include "proto/envelope.h"
#include "proto/rich.h"

enum { TEXT_MAX = 1 << 16 };

#define ID_A "k3f90abc-1052"
#define ID_B "k3f90abc-7"

static bool same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Parses out of a block of exactly its size, so that the sanitizer sees a read past the end. The
 * block is the caller's to free, as the slices point into it. */
static int parse(struct slice json, size_t max, struct buf *scratch, struct rich_input *in,
                 char **copy)
{
    *copy = malloc(json.len ? json.len : 1);
    assert_non_null(*copy);
    if (json.len) memcpy(*copy, json.ptr, json.len);
    return rich_parse((struct slice){*copy, json.len}, max, scratch, in);
}

static char *put_text(char *at, const char *name, struct slice text)
{
    if (text.len == 0) return at;
    at += sprintf(at, " %s=", name);
    for (size_t i = 0; i < text.len; i++)
        at += sprintf(at, (unsigned char)text.ptr[i] < 0x20 ? "<%02x>" : "%c", text.ptr[i]);
    return at;
}

static char *put_id(char *at, const char *name, const struct id *id)
{
    char text[ID_TEXT_MAX];
    if (id->epoch[0] == 0) return at;
    size_t len = id_write(id, text);
    return put_text(at, name, (struct slice){text, len});
}

/* Everything that is not zero, in words. */
static void describe(const struct rich_input *in, char *at)
{
    static const char *const types[] = {"message", "join",   "leave", "history",
                                        "who",     "typing", "read",  "auth"};
    static const char *const positions[] = {"", "before", "after", "around"};
    at += sprintf(at, "%s", in->type == RICH_CHANGE ? event_kinds[in->kind].word : types[in->type]);
    at = put_text(at, "ref", in->ref);
    at = put_text(at, "room", in->room);
    at = put_text(at, "message", in->message);
    at = put_text(at, "username", in->username);
    at = put_text(at, "data", in->data);
    at = put_text(at, "nonce", in->nonce);
    at = put_text(at, "emoji", in->emoji);
    at = put_text(at, "since", in->since);
    at = put_text(at, "token", in->token);
    at = put_text(at, "guest", in->guest);
    at = put_id(at, "id", &in->id);
    at = put_id(at, "reply_to", &in->reply_to);
    at = put_id(at, positions[in->position], &in->at);
    if (in->limit) at += sprintf(at, " limit=%u", in->limit);
    if (in->on) strcpy(at, " on");
}

struct good_case {
    const char *json;
    const char *want;
};

static const struct good_case good[] = {
    /* Messages, with and without type. */
    {"{\"message\":\"hi\"}", "message message=hi"},
    {"{\"type\":\"message\",\"message\":\"hi\"}", "message message=hi"},
    {"{\"type\":null,\"message\":\"hi\"}", "message message=hi"},
    {" { \"ref\" : 1 , \"message\" : \"hi\" } ", "message ref=1 message=hi"},
    {"{\"type\":\"message\",\"ref\":\"a\",\"room\":\"r\",\"message\":\"m\",\"username\":\" u \","
     "\"data\":{\"x\": 1},\"nonce\":\"n\",\"reply_to\":\"" ID_A "\"}",
     "message ref=\"a\" room=r message=m username=u data={\"x\": 1} nonce=n reply_to=" ID_A},
    {"{\"message\":\"a\\u0000b\\u0000\"}", "message message=a<00>b<00>"},
    {"{\"message\":\"\\ud800\\ud83d\\ude00\"}", "message message=\xef\xbf\xbd\xf0\x9f\x98\x80"},
    {"{\"message\":\"m\",\"nonce\":\"\\u0000\"}", "message message=m nonce=<00>"},
    /* null is absent. */
    {"{\"ref\":null,\"room\":null,\"message\":\"m\",\"username\":null,\"data\":null,"
     "\"nonce\":null,\"reply_to\":null}",
     "message message=m"},
    {"{\"type\":\"join\",\"since\":null,\"history\":null}", "join"},
    {"{\"type\":\"typing\",\"on\":null}", "typing on"},
    {"{\"type\":\"history\",\"before\":null,\"after\":null,\"around\":\"" ID_A "\",\"limit\":null}",
     "history around=" ID_A " limit=50"},
    /* Of repeated keys the last wins, whatever the ones before it were. */
    {"{\"ref\":null,\"message\":1,\"ref\":2,\"message\":\"m\"}", "message ref=2 message=m"},
    {"{\"type\":7,\"type\":\"who\",\"room\":\"/\",\"room\":null}", "who"},
    /* Refs are handed on as they were written. */
    {"{\"type\":\"who\",\"ref\":\"\"}", "who ref=\"\""},
    {"{\"type\":\"who\",\"ref\":-1.50e+3}", "who ref=-1.50e+3"},
    {"{\"type\":\"who\",\"ref\":0}", "who ref=0"},
    {"{\"type\":\"who\",\"ref\":\"\\u0041\\ud800\"}", "who ref=\"\\u0041\\ud800\""},
    {"{\"type\":\"who\","
     "\"ref\":1234567890123456789012345678901234567890123456789012345678901234}",
     "who ref=1234567890123456789012345678901234567890123456789012345678901234"},
    {"{\"type\":\"who\","
     "\"ref\":\"34567890123456789012345678901234567890123456789012345678901234\"}",
     "who ref=\"34567890123456789012345678901234567890123456789012345678901234\""},
    /* Join. What is no id is for the log to say. */
    {"{\"type\":\"join\"}", "join"},
    {"{\"type\":\"join\",\"room\":\"a b\",\"since\":\"" ID_A "\",\"history\":20}",
     "join room=a b since=" ID_A " limit=20"},
    {"{\"type\":\"join\",\"since\":\"nonsense\"}", "join since=nonsense"},
    {"{\"type\":\"join\",\"since\":\"\"}", "join"},
    {"{\"type\":\"join\",\"history\":0}", "join"},
    {"{\"type\":\"join\",\"history\":1000}", "join limit=1000"},
    {"{\"type\":\"join\",\"history\":1001}", "join limit=1000"},
    {"{\"type\":\"join\",\"history\":4294967297}", "join limit=1000"},
    {"{\"type\":\"join\",\"history\":100000000000000000000000000000000000001}", "join limit=1000"},
    {"{\"type\":\"leave\"}", "leave"},
    {"{\"type\":\"leave\",\"room\":\"\\u00e9\"}", "leave room=\xc3\xa9"},
    /* Pages. */
    {"{\"type\":\"history\"}", "history limit=50"},
    {"{\"type\":\"history\",\"limit\":1,\"before\":\"" ID_A "\"}",
     "history before=" ID_A " limit=1"},
    {"{\"type\":\"history\",\"limit\":200,\"after\":\"k3f90abc-0\"}",
     "history after=k3f90abc-0 limit=200"},
    {"{\"type\":\"history\",\"limit\":201,\"around\":\"" ID_A "\"}",
     "history around=" ID_A " limit=200"},
    /* The others. */
    {"{\"type\":\"who\",\"room\":\"r\"}", "who room=r"},
    {"{\"type\":\"typing\"}", "typing on"},
    {"{\"type\":\"typing\",\"room\":\"r\",\"on\":true}", "typing room=r on"},
    {"{\"type\":\"typing\",\"on\":false}", "typing"},
    {"{\"type\":\"edit\",\"id\":\"" ID_A "\",\"message\":\"m\"}", "edit message=m id=" ID_A},
    {"{\"type\":\"delete\",\"id\":\"" ID_A "\"}", "delete id=" ID_A},
    {"{\"type\":\"react\",\"id\":\"" ID_A "\",\"emoji\":\"\xf0\x9f\x91\x8d\"}",
     "react emoji=\xf0\x9f\x91\x8d id=" ID_A},
    {"{\"type\":\"unreact\",\"id\":\"" ID_A "\",\"emoji\":\"\\ud83d\\udc4d\"}",
     "unreact emoji=\xf0\x9f\x91\x8d id=" ID_A},
    {"{\"type\":\"react\",\"id\":\"" ID_A "\",\"emoji\":\"12345678901234567890123456789012\"}",
     "react emoji=12345678901234567890123456789012 id=" ID_A},
    {"{\"type\":\"read\",\"room\":\"r\",\"id\":\"" ID_B "\"}", "read room=r id=" ID_B},
    {"{\"type\":\"auth\",\"ref\":1,\"token\":\"a.b\"}", "auth ref=1 token=a.b"},
    {"{\"type\":\"auth\",\"token\":null,\"guest\":\"\\u0041\"}", "auth guest=A"},
    /* Known fields of other types are not looked at, nor are unknown ones. */
    {"{\"type\":\"auth\",\"token\":\"t\",\"room\":\"/\",\"message\":1,\"id\":1}", "auth token=t"},
    {"{\"type\":\"who\",\"message\":1,\"username\":1,\"nonce\":1,\"reply_to\":1,\"since\":1,"
     "\"history\":-1,\"before\":1,\"after\":1,\"around\":1,\"limit\":0,\"on\":1,\"id\":1,"
     "\"emoji\":1,\"token\":1,\"guest\":1}",
     "who"},
    {"{\"type\":\"who\",\"Room\":1,\"rooms\":2,\"roo\":3,\"\":4,\"x\":{\"room\":5},"
     "\"room\\u0000\":6}",
     "who"},
    {"{\"message\":\"m\",\"id\":\"x\",\"limit\":-1,\"emoji\":\"\"}", "message message=m"},
};

static void check_good(const char *json, const char *want)
{
    static char text[TEXT_MAX];
    struct buf scratch = {0};
    struct rich_input in;
    char *copy;
    int err = parse(slice_of(json), 0, &scratch, &in, &copy);
    if (err) fail_msg("%d: %s", err, json);
    describe(&in, text);
    if (strcmp(text, want) != 0) fail_msg("%s instead of %s: %s", text, want, json);
    if (!strchr(json, '\\')) assert_null(scratch.data); /* nothing was copied */
    free(copy);
    buf_fini(&scratch);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        check_good(good[i].json, good[i].want);
}

/* Every truncation is bad_json, and what is known of the ref is the whole of it. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct buf scratch = {0};
        struct rich_input in;
        struct rich_input whole;
        char *copy;
        struct slice json = slice_of(good[i].json);
        assert_int_equal(rich_parse(json, 0, &scratch, &whole), 0);
        size_t len = (size_t)(strrchr(json.ptr, '}') - json.ptr);
        for (size_t cut = 0; cut <= len; cut++) {
            struct buf other = {0};
            int err = parse((struct slice){json.ptr, cut}, 0, &other, &in, &copy);
            if (err != ERR_BAD_JSON) fail_msg("%d: %.*s", err, (int)cut, json.ptr);
            if (in.ref.len) assert_true(same(in.ref, whole.ref));
            free(copy);
            buf_fini(&other);
        }
        buf_fini(&scratch);
    }
}

/* Writes every character of every string as an escape, but not in values that are handed on raw. */
static void escape_strings(const char *json, char *at)
{
    bool in_string = false;
    for (; *json; json++) {
        if (*json == '"') in_string = !in_string;
        if (in_string && *json != '"')
            at += sprintf(at, "\\u%04x", (unsigned)*json);
        else
            *at++ = *json;
    }
    *at = '\0';
}

static void test_escaped(void **state)
{
    (void)state;
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        static char text[TEXT_MAX];
        const char *json = good[i].json;
        bool ascii = true;
        for (const char *p = json; *p; p++)
            ascii = ascii && *p > 0 && *p != '\\';
        if (!ascii || strstr(json, "\"ref\"") || strstr(json, "\"data\"")) continue;
        escape_strings(json, text);
        check_good(text, good[i].want);
        count++;
    }
    assert_true(count > 20);
    check_good("{\"\\u0072ef\":7,\"\\u0064ata\":\"\\u0041\",\"message\":\"m\"}",
               "message ref=7 message=m data=\"\\u0041\"");
}

struct bad_case {
    const char *json;
    int err;
    const char *ref;
};

#define WITH_ID "\"id\":\"" ID_A "\","

static const struct bad_case bad[] = {
    {"", ERR_BAD_JSON, ""},
    {" ", ERR_BAD_JSON, ""},
    {"hello", ERR_BAD_JSON, ""},
    {"null", ERR_BAD_JSON, ""},
    {"\"message\"", ERR_BAD_JSON, ""},
    {"[{\"message\":\"m\"}]", ERR_BAD_JSON, ""},
    {"{\"message\":\"m\"} {}", ERR_BAD_JSON, ""},
    {"{\"message\":\"m\",}", ERR_BAD_JSON, ""},
    {"{]", ERR_BAD_JSON, ""},
    /* The ref is known if it was read before the end of what can be. */
    {"{\"ref\":1,\"message\":\"m\",}", ERR_BAD_JSON, "1"},
    {"{\"ref\":\"a\",\"message\":}", ERR_BAD_JSON, "\"a\""},
    {"{\"ref\":\"a\"}}", ERR_BAD_JSON, "\"a\""},
    {"{\"ref\":[],\"message\":}", ERR_BAD_JSON, ""},
    {"{\"message\":,\"ref\":1}", ERR_BAD_JSON, ""},
    {"{\"ref\":01}", ERR_BAD_JSON, ""},

    {"{\"ref\":[],\"message\":\"m\"}", ERR_BAD_REF, ""},
    {"{\"ref\":{},\"message\":\"m\"}", ERR_BAD_REF, ""},
    {"{\"ref\":true,\"message\":\"m\"}", ERR_BAD_REF, ""},
    {"{\"ref\":false,\"message\":\"m\"}", ERR_BAD_REF, ""},
    {"{\"ref\":12345678901234567890123456789012345678901234567890123456789012345}", ERR_BAD_REF,
     ""},
    {"{\"ref\":\"345678901234567890123456789012345678901234567890123456789012345\"}", ERR_BAD_REF,
     ""},

    {"{\"ref\":1,\"type\":\"\",\"message\":\"m\"}", ERR_UNKNOWN_TYPE, "1"},
    {"{\"ref\":1,\"type\":\"Message\",\"message\":\"m\"}", ERR_UNKNOWN_TYPE, "1"},
    {"{\"ref\":1,\"type\":\"messages\",\"message\":\"m\"}", ERR_UNKNOWN_TYPE, "1"},
    {"{\"ref\":1,\"type\":\"message\\u0000\",\"message\":\"m\"}", ERR_UNKNOWN_TYPE, "1"},
    {"{\"ref\":1,\"type\":\"ack\"}", ERR_UNKNOWN_TYPE, "1"},
    {"{\"ref\":1,\"type\":1,\"message\":\"m\"}", ERR_UNKNOWN_TYPE, "1"},
    {"{\"ref\":1,\"type\":[\"who\"]}", ERR_UNKNOWN_TYPE, "1"},

    {"{\"ref\":1,\"message\":\"m\",\"room\":\"\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"message\":\"m\",\"room\":1}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"message\":\"m\",\"room\":\"a/b\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"message\":\"m\",\"room\":\"a\\/b\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"type\":\"join\",\"room\":\".\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"type\":\"join\",\"room\":\"..\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"type\":\"leave\",\"room\":\"\\u0000\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"type\":\"history\",\"room\":\"a\\nb\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"type\":\"who\",\"room\":\"\\u0085\"}", ERR_BAD_ROOM, "1"},
    {"{\"ref\":1,\"type\":\"typing\",\"room\":false}", ERR_BAD_ROOM, "1"},
    {"{\"type\":\"edit\"," WITH_ID "\"message\":\"m\",\"room\":\"/\"}", ERR_BAD_ROOM, ""},
    {"{\"type\":\"delete\"," WITH_ID "\"room\":\"/\"}", ERR_BAD_ROOM, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":\"e\",\"room\":\"/\"}", ERR_BAD_ROOM, ""},
    {"{\"type\":\"unreact\"," WITH_ID "\"emoji\":\"e\",\"room\":\"/\"}", ERR_BAD_ROOM, ""},
    {"{\"type\":\"read\"," WITH_ID "\"room\":\"/\"}", ERR_BAD_ROOM, ""},

    {"{\"ref\":\"r\",\"type\":\"edit\",\"message\":\"m\"}", ERR_BAD_ID, "\"r\""},
    {"{\"type\":\"edit\",\"id\":null,\"message\":\"m\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"edit\",\"id\":1052,\"message\":\"m\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"edit\",\"id\":\"\",\"message\":\"m\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"edit\",\"id\":\"" ID_A " \",\"message\":\"m\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"delete\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"react\",\"emoji\":\"e\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"unreact\",\"emoji\":\"e\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"read\",\"id\":{}}", ERR_BAD_ID, ""},
    {"{\"message\":\"m\",\"reply_to\":\"\"}", ERR_BAD_ID, ""},
    {"{\"message\":\"m\",\"reply_to\":7}", ERR_BAD_ID, ""},
    {"{\"message\":\"m\",\"reply_to\":\"k3f90abc-0\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"history\",\"before\":1}", ERR_BAD_ID, ""},
    {"{\"type\":\"history\",\"after\":\"x\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"history\",\"around\":\"\"}", ERR_BAD_ID, ""},
    {"{\"type\":\"history\",\"before\":\"" ID_A "\",\"after\":1}", ERR_BAD_ID, ""},

    {"{\"type\":\"history\",\"before\":\"" ID_A "\",\"after\":\"" ID_B "\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"after\":\"" ID_A "\",\"around\":\"" ID_B "\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"before\":\"" ID_A "\",\"around\":\"" ID_A "\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"auth\",\"ref\":1}", ERR_BAD_FIELD, "1"},
    {"{\"type\":\"auth\",\"token\":\"\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"auth\",\"guest\":\"\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"auth\",\"token\":{}}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"auth\",\"guest\":1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"auth\",\"token\":\"t\",\"guest\":\"g\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":0}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":-1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":-0}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":1.0}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":1e1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":\"5\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":true}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"history\",\"limit\":[5]}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"join\",\"history\":-1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"join\",\"history\":\"20\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"join\",\"since\":1052}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"typing\",\"on\":1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"typing\",\"on\":\"true\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"typing\",\"on\":\"false\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"typing\",\"on\":\"\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":\"\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":null}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"x\":1}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":\"123456789012345678901234567890123\"}",
     ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":\"a b\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":\"a\\u3000\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"react\"," WITH_ID "\"emoji\":\"\\u0000\"}", ERR_BAD_FIELD, ""},
    {"{\"type\":\"unreact\"," WITH_ID "\"emoji\":\"\\u0080\"}", ERR_BAD_FIELD, ""},
    {"{\"message\":\"m\",\"nonce\":\"\"}", ERR_BAD_FIELD, ""},
    {"{\"message\":\"m\",\"nonce\":1}", ERR_BAD_FIELD, ""},

    {"{}", ERR_BAD_MESSAGE, ""},
    {"{\"type\":\"message\",\"ref\":3}", ERR_BAD_MESSAGE, "3"},
    {"{\"message\":null}", ERR_BAD_MESSAGE, ""},
    {"{\"message\":1}", ERR_BAD_MESSAGE, ""},
    {"{\"message\":\"\"}", ERR_BAD_MESSAGE, ""},
    {"{\"type\":\"edit\"," WITH_ID "\"x\":1}", ERR_BAD_MESSAGE, ""},
    {"{\"type\":\"edit\"," WITH_ID "\"message\":\"\"}", ERR_BAD_MESSAGE, ""},
    {"{\"message\":\"m\",\"username\":1}", ERR_BAD_USERNAME, ""},
    {"{\"message\":\"m\",\"username\":\" \"}", ERR_BAD_USERNAME, ""},
    {"{\"message\":\"m\",\"username\":\"system\"}", ERR_BAD_USERNAME, ""},
    {"{\"message\":\"m\",\"username\":\"a\\u0000\"}", ERR_BAD_USERNAME, ""},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct buf scratch = {0};
        struct rich_input in;
        char *copy;
        int err = parse(slice_of(bad[i].json), 0, &scratch, &in, &copy);
        if (err != bad[i].err) fail_msg("%d instead of %d: %s", err, bad[i].err, bad[i].json);
        if (!same(in.ref, slice_of(bad[i].ref)))
            fail_msg("ref %.*s: %s", (int)in.ref.len, in.ref.ptr, bad[i].json);
        free(copy);
        buf_fini(&scratch);
    }
}

struct step {
    const char *mends;
    int err; /* after it */
};

/* json is a frame with everything wrong at once, its last bracket too. What is added at its end
 * wins, and mends one thing after the other, so that each refusal is seen in its turn. */
static void check_order(char *json, const struct step *steps)
{
    struct buf scratch = {0};
    struct rich_input in;
    int err;
    assert_int_equal(rich_parse(slice_of(json), 5, &scratch, &in), ERR_BAD_JSON);
    do {
        strcat(json, steps->mends);
        size_t len = strlen(json);
        strcat(json, "}");
        err = rich_parse(slice_of(json), 5, &scratch, &in);
        if (err != steps->err) fail_msg("%d instead of %d: %s", err, steps->err, json);
        assert_true(same(in.ref, slice_of(err == ERR_BAD_REF ? "" : "1")));
        json[len] = '\0';
        steps++;
    } while (err);
    buf_fini(&scratch);
}

static void test_precedence(void **state)
{
    (void)state;
    static char json[4 * ENVELOPE_DATA_MAX];
    static const struct step message[] = {{"", ERR_BAD_REF},
                                          {",\"ref\":1", ERR_UNKNOWN_TYPE},
                                          {",\"type\":\"message\"", ERR_BAD_ROOM},
                                          {",\"room\":\"r\"", ERR_BAD_ID},
                                          {",\"reply_to\":null", ERR_BAD_FIELD},
                                          {",\"nonce\":\"n\"", ERR_BAD_MESSAGE},
                                          {",\"message\":\"123456\"", ERR_TOO_LONG},
                                          {",\"message\":\"12345\"", ERR_BAD_USERNAME},
                                          {",\"username\":\"u\"", ERR_TOO_LONG},
                                          {",\"data\":1", 0}};
    char *at = stpcpy(json, "{\"username\":1,\"message\":1,\"nonce\":1,\"reply_to\":1,\"room\":1,"
                            "\"type\":1,\"ref\":[],\"data\":\"");
    memset(at, 'd', ENVELOPE_DATA_MAX);
    strcpy(at + ENVELOPE_DATA_MAX, "\"");
    check_order(json, message);

    static const struct step edit[] = {{"", ERR_BAD_REF},
                                       {",\"ref\":1", ERR_UNKNOWN_TYPE},
                                       {",\"type\":\"edit\"", ERR_BAD_ROOM},
                                       {",\"room\":\"r\"", ERR_BAD_ID},
                                       {",\"id\":\"" ID_A "\"", ERR_BAD_MESSAGE},
                                       {",\"message\":\"123456\"", ERR_TOO_LONG},
                                       {",\"message\":\"12345\"", 0}};
    strcpy(json, "{\"message\":1,\"id\":1,\"room\":1,\"type\":1,\"ref\":[]");
    check_order(json, edit);

    static const struct step react[] = {{"", ERR_BAD_REF},
                                        {",\"ref\":1", ERR_UNKNOWN_TYPE},
                                        {",\"type\":\"react\"", ERR_BAD_ROOM},
                                        {",\"room\":\"r\"", ERR_BAD_ID},
                                        {",\"id\":\"" ID_A "\"", ERR_BAD_FIELD},
                                        {",\"emoji\":\"e\"", 0}};
    strcpy(json, "{\"emoji\":1,\"id\":1,\"room\":1,\"type\":1,\"ref\":[]");
    check_order(json, react);

    static const struct step history[] = {{"", ERR_BAD_REF},
                                          {",\"ref\":1", ERR_UNKNOWN_TYPE},
                                          {",\"type\":\"history\"", ERR_BAD_ROOM},
                                          {",\"room\":\"r\"", ERR_BAD_ID},
                                          {",\"after\":null", ERR_BAD_FIELD},
                                          {",\"limit\":1", 0}};
    strcpy(json, "{\"limit\":0,\"after\":1,\"room\":1,\"type\":1,\"ref\":[]");
    check_order(json, history);
}

/* A frame of `head`, then n times 'x', then `tail`. */
static int parse_filled(const char *head, size_t n, const char *tail)
{
    static char text[TEXT_MAX];
    struct buf scratch = {0};
    struct rich_input in;
    char *copy;
    char *at = stpcpy(text, head);
    memset(at, 'x', n);
    strcpy(at + n, tail);
    int err = parse(slice_of(text), 0, &scratch, &in, &copy);
    free(copy);
    buf_fini(&scratch);
    return err;
}

static void test_sizes(void **state)
{
    (void)state;
    const char *room = "{\"type\":\"who\",\"room\":\"";
    assert_int_equal(parse_filled(room, NAME_ROOM_MAX, "\"}"), 0);
    assert_int_equal(parse_filled(room, NAME_ROOM_MAX + 1, "\"}"), ERR_BAD_ROOM);
    assert_int_equal(parse_filled(room, NAME_ROOM_MAX - 1, "\\u0078\"}"), 0);
    const char *nonce = "{\"message\":\"m\",\"nonce\":\"";
    assert_int_equal(parse_filled(nonce, RICH_NONCE_MAX, "\"}"), 0);
    assert_int_equal(parse_filled(nonce, RICH_NONCE_MAX + 1, "\"}"), ERR_BAD_FIELD);
    const char *data = "{\"message\":\"m\",\"data\":\"";
    assert_int_equal(parse_filled(data, ENVELOPE_DATA_MAX - 2, "\"}"), 0);
    assert_int_equal(parse_filled(data, ENVELOPE_DATA_MAX - 1, "\"}"), ERR_TOO_LONG);
    const char *name = "{\"message\":\"m\",\"username\":\"";
    assert_int_equal(parse_filled(name, NAME_USER_MAX, " \"}"), 0);
    assert_int_equal(parse_filled(name, NAME_USER_MAX + 1, "\"}"), ERR_BAD_USERNAME);
    /* No limit was given for messages, and none is known for what nobody reads. */
    assert_int_equal(parse_filled("{\"message\":\"", TEXT_MAX / 2, "\"}"), 0);
    assert_int_equal(parse_filled("{\"message\":\"m\",\"", TEXT_MAX / 2, "\":1}"), 0);
}

/* One reservation serves a whole frame; without memory for it the ref is known all the same. */
static void test_memory(void **state)
{
    (void)state;
    const struct slice json =
        SLICE_LIT("{\"ref\":\"\\u0041\",\"room\":\"\\u0062\",\"message\":\"\\u0063\",\"username\":"
                  "\"\\u0064\",\"nonce\":\"\\u0065\"}");
    char text[TEXT_MAX / 64];
    struct buf scratch = {0};
    struct rich_input in;
    fail_alloc_after(0);
    assert_int_equal(rich_parse(json, 0, &scratch, &in), ERR_NOMEM);
    fail_alloc_off();
    assert_null(scratch.data);
    assert_true(same(in.ref, SLICE_LIT("\"\\u0041\"")));
    fail_alloc_after(1);
    assert_int_equal(rich_parse(json, 0, &scratch, &in), 0);
    fail_alloc_off();
    describe(&in, text);
    assert_string_equal(text, "message ref=\"\\u0041\" room=b message=c username=d nonce=e");
    fail_alloc_after(0); /* it is used again */
    assert_int_equal(rich_parse(json, 0, &scratch, &in), 0);
    fail_alloc_off();
    buf_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_escaped),    cmocka_unit_test(test_bad),
        cmocka_unit_test(test_precedence), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
