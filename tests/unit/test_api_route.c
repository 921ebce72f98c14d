/* The routes of the API: paths and methods, and that the OpenAPI document tells of exactly these.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/api_route.h"
#include "base/err.h"

static int find(const char *method, const char *path, struct api_match *out, char *allow)
{
    memset(out, 0, sizeof *out);
    allow[0] = '\0';
    return api_route_find((struct slice){method, strlen(method)},
                          (struct slice){path, strlen(path)}, out, allow);
}

static void test_found(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *path;
        enum api_route route;
        const char *room;
        const char *id;
    } table[] = {
        {"GET", "stats", API_STATS, "", ""},
        {"HEAD", "export", API_EXPORT, "", ""},
        {"GET", "rooms", API_ROOMS, "", ""},
        {"GET", "rooms/a", API_ROOM, "a", ""},
        {"GET", "rooms/", API_ROOM, "", ""},
        {"GET", "rooms/messages", API_ROOM, "messages", ""},
        {"GET", "rooms/a%2fb/members", API_MEMBERS, "a%2fb", ""},
        {"GET", "rooms/a/rights", API_RIGHTS, "a", ""},
        {"GET", "rooms//search", API_SEARCH, "", ""},
        {"HEAD", "rooms/a/messages", API_MESSAGES, "a", ""},
        {"POST", "rooms/a/messages", API_POST, "a", ""},
        {"GET", "rooms/a/messages/x-1", API_MESSAGE, "a", "x-1"},
        {"PATCH", "rooms/a/messages/x-1", API_EDIT, "a", "x-1"},
        {"DELETE", "rooms/a/messages/", API_DELETE, "a", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char path[128];
        char allow[API_ALLOW_MAX];
        struct api_match m;
        snprintf(path, sizeof path, API_ROOT "%s", table[i].path);
        assert_int_equal(find(table[i].method, path, &m, allow), 0);
        assert_int_equal(m.route, table[i].route);
        assert_true(m.room.len == 0 ? !table[i].room[0] : slice_is(m.room, table[i].room));
        assert_true(m.id.len == 0 ? !table[i].id[0] : slice_is(m.id, table[i].id));
    }
}

static void test_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/rooms",
        "/api/v1//rooms",
        "/api/v1/room",
        "/api/v1/roomsx",
        "/api/v1/rooms/a/",
        "/api/v1/rooms/a/b",
        "/api/v1/stats/",
        "/api/v1/rooms/a/messages/b/c",
        "/api/v1/{room}",
        "/api/v1/rooms/a/members/",
        "/api/v1/openapi.json",
    };
    char allow[API_ALLOW_MAX];
    struct api_match m;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (find("GET", paths[i], &m, allow) != ERR_NOT_FOUND) fail_msg("%s", paths[i]);
        if (find("POST", paths[i], &m, allow) != ERR_NOT_FOUND) fail_msg("%s", paths[i]);
        assert_string_equal(allow, "");
    }
}

static void test_methods(void **state)
{
    (void)state;
    char allow[API_ALLOW_MAX];
    struct api_match m;
    assert_int_equal(find("PUT", API_ROOT "rooms/a/messages/b", &m, allow), ERR_BAD_METHOD);
    assert_string_equal(allow, "GET, HEAD, PATCH, DELETE, OPTIONS");
    assert_int_equal(find("HEADS", API_ROOT "rooms/a/messages", &m, allow), ERR_BAD_METHOD);
    assert_string_equal(allow, "GET, HEAD, POST, OPTIONS");
    assert_int_equal(find("get", API_ROOT "rooms", &m, allow), ERR_BAD_METHOD);
    assert_string_equal(allow, "GET, HEAD, OPTIONS");
}

/* Every prefix of a path that exists, and every path with a byte more, ends in an answer. */
static void test_split_points(void **state)
{
    (void)state;
    static const char path[] = API_ROOT "rooms/abc/messages/k3f9d2a7-12";
    for (size_t len = 0; len < sizeof path; len++) {
        char *copy = malloc(len ? len : 1); /* exact, so that a sanitizer sees a read behind it */
        struct api_match m;
        char allow[API_ALLOW_MAX];
        assert_non_null(copy);
        memcpy(copy, path, len);
        int err = api_route_find(SLICE_LIT("GET"), (struct slice){copy, len}, &m, allow);
        assert_true(err == 0 || err == ERR_NOT_FOUND);
        free(copy);
    }
}

/* Whether the document has this operation; takes it out. Its methods are in lower case. */
static bool take_operation(json_t *paths, const char *method, const char *path)
{
    char key[128];
    snprintf(key, sizeof key, "/%s", path);
    json_t *operations = json_object_get(paths, key);
    const char *name;
    json_t *operation;
    json_object_foreach(operations, name, operation)
    {
        if (strcasecmp(name, method) != 0) continue;
        json_object_del(operations, name);
        if (json_object_size(operations) == 0) json_object_del(paths, key);
        return true;
    }
    return false;
}

static void test_document(void **state)
{
    (void)state;
    json_error_t error;
    json_t *document = json_load_file("web/api/v1/openapi.json", JSON_REJECT_DUPLICATES, &error);
    if (!document) fail_msg("line %d: %s", error.line, error.text);
    json_t *paths = json_object_get(document, "paths");
    for (int i = 0; i < API_ROUTE_COUNT; i++) {
        const struct api_route_info *r = &api_routes[i];
        if (!take_operation(paths, r->method, r->path))
            fail_msg("%s %s is not in the document", r->method, r->path);
    }
    assert_true(take_operation(paths, "GET", "openapi.json"));
    if (json_object_size(paths) != 0)
        fail_msg("the document has more: %s", json_object_iter_key(json_object_iter(paths)));
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),    cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_methods),  cmocka_unit_test(test_split_points),
        cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
