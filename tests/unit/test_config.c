/* Options: every source, their order, every kind of value, and every message that stops a start. */
#include "ops/config.h"

#include "base/err.h"
#include "fail_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct config config;
static char error[CONFIG_ERROR_BYTES];

enum { ARGS_MAX = 32 };

/* Loads from NULL-terminated argument and environment lists. */
static int load(const char *const *args, const char *const *env)
{
    static char name[] = "parlor";
    static char *argv[ARGS_MAX];
    static char *envp[ARGS_MAX];
    int argc = 0;
    size_t n = 0;
    config_fini(&config);
    argv[argc++] = name;
    for (; args && *args; args++)
        argv[argc++] = (char *)(uintptr_t)*args;
    argv[argc] = NULL;
    for (; env && *env; env++)
        envp[n++] = (char *)(uintptr_t)*env;
    envp[n] = NULL;
    memset(error, 'x', sizeof error);
    int err = config_load(argc, argv, envp, &config, error, sizeof error);
    assert_non_null(memchr(error, '\0', sizeof error));
    assert_null(strchr(error, '\n'));
    assert_int_equal(err == 0, error[0] == '\0');
    return err;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LOAD_ARGS(...) load(LIST(__VA_ARGS__), NULL)
#define LOAD_ENV(...) load(NULL, LIST(__VA_ARGS__))

/* The whole line is compared where it is short, its parts where it is long. */
#define EXPECT_ERROR(call, text)                                                                   \
    do {                                                                                           \
        assert_int_equal((call), ERR_CONFIG);                                                      \
        assert_string_equal(error, (text));                                                        \
    } while (0)

static const char *write_file(const char *text, size_t len)
{
    static char path[] = "/tmp/parlor-test-config-XXXXXX";
    static int fd = -1;
    if (fd < 0) fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, text, len, 0), (ssize_t)len);
    return path;
}

static int load_file(const char *text)
{
    return LOAD_ARGS("--config", write_file(text, strlen(text)));
}

static void assert_listen(size_t i, const char *host, unsigned port, bool optional)
{
    assert_true(i < config.listen_count);
    assert_string_equal(config.listen[i].host, host);
    assert_int_equal(config.listen[i].port, port);
    assert_int_equal(config.listen[i].optional, optional);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(load(NULL, NULL), 0);
    assert_int_equal(config.action, CONFIG_RUN);
    assert_int_equal(config.listen_count, 2);
    assert_listen(0, "127.0.0.1", 8000, true);
    assert_listen(1, "::1", 8000, true);
    assert_int_equal(config.workers, 0);
    assert_int_equal(config.max_connections, 0);
    assert_int_equal(config.max_connections_per_ip, 0);
    assert_int_equal(config.max_frame_bytes, 65536);
    assert_int_equal(config.max_message_bytes, 16384);
    assert_int_equal(config.rate, 20);
    assert_int_equal(config.lag_max_bytes, 1 << 20);
    assert_int_equal(config.handshake_timeout_ms, 10000);
    assert_int_equal(config.keepalive_timeout_ms, 15000);
    assert_int_equal(config.ping_interval_ms, 25000);
    assert_int_equal(config.drain_timeout_ms, 10000);
    assert_int_equal(config.origin_count, 0);
    assert_true(config.compression);
    assert_false(config.echo);
    assert_string_equal(config.data, "parlor.db");
    assert_int_equal(config.keep_messages, 0);
    assert_int_equal(config.log_format, LOG_TEXT);
    assert_int_equal(config.log_level, LOG_INFO);
}

static void test_precedence(void **state)
{
    (void)state;
    const char *file =
        write_file("rate = 3\nworkers = 3\nmax-connections = 3\nlisten = 3000\n", 55);
    const char *const env[] = {"PARLOR_WORKERS=4", "PARLOR_MAX_CONNECTIONS=4", "OTHER=1", NULL};
    assert_int_equal(load(LIST("--max-connections=5", "--config", file), env), 0);
    assert_int_equal(config.rate, 3);
    assert_int_equal(config.workers, 4);
    assert_int_equal(config.max_connections, 5);
    assert_listen(0, "127.0.0.1", 3000, true);

    char named[128];
    snprintf(named, sizeof named, "PARLOR_CONFIG=%s", file);
    assert_int_equal(LOAD_ENV(named), 0);
    assert_int_equal(config.rate, 3);

    /* A list of a stronger source replaces, within a source it grows. */
    assert_int_equal(
        load(LIST("--listen", "1.2.3.4:5", "--listen=[::2]:6"), LIST(named, "PARLOR_LISTEN=7")), 0);
    assert_int_equal(config.listen_count, 2);
    assert_listen(0, "1.2.3.4", 5, false);
    assert_listen(1, "::2", 6, false);
    /* On the command line the last of a scalar counts, so that wrappers can be overridden. */
    assert_int_equal(LOAD_ARGS("--rate", "1", "--rate", "2"), 0);
    assert_int_equal(config.rate, 2);
}

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("--max-frame-bytes", "2M", "--lag-max-bytes=1g", "--rate=0",
                               "--max_message_bytes", "131072", "--workers", "AUTO"),
                     0);
    assert_int_equal(config.max_frame_bytes, 2 << 20);
    assert_int_equal(config.lag_max_bytes, 1 << 30);
    assert_int_equal(config.max_message_bytes, 131072);
    assert_int_equal(config.rate, 0);
    assert_int_equal(config.workers, 0);

    assert_int_equal(LOAD_ARGS("--ping-interval=250ms", "--drain-timeout", "0", "--echo",
                               "--handshake-timeout=2m", "--keepalive-timeout", "7"),
                     0);
    assert_int_equal(config.ping_interval_ms, 250);
    assert_int_equal(config.drain_timeout_ms, 0);
    assert_int_equal(config.handshake_timeout_ms, 120000);
    assert_int_equal(config.keepalive_timeout_ms, 7000);
    assert_true(config.echo);

    assert_int_equal(LOAD_ARGS("--compression", "off", "--echo=off", "--log-format=json",
                               "--log-level", "debug", "--max-connections=none"),
                     0);
    assert_false(config.compression);
    assert_false(config.echo);
    assert_int_equal(config.log_format, LOG_JSON);
    assert_int_equal(config.log_level, LOG_DEBUG);
}

/* Memory is never without a limit. */
static void test_memory(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("--data", ":memory:"), 0);
    assert_int_equal(config.keep_messages, CONFIG_MEMORY_MESSAGES);
    assert_int_equal(LOAD_ARGS("--data", ":memory:", "--keep-messages", "none"), 0);
    assert_int_equal(config.keep_messages, CONFIG_MEMORY_MESSAGES);
    assert_int_equal(LOAD_ARGS("--keep-age", "1h", "--data", ":memory:"), 0);
    assert_int_equal(config.keep_messages, 0);
    assert_int_equal(LOAD_ARGS("--keep-messages", "7", "--data=:memory:"), 0);
    assert_int_equal(config.keep_messages, 7);
}

static void test_bad_values(void **state)
{
    (void)state;
    static const char *const bad[] = {"--rate=-1",
                                      "--rate=1.5",
                                      "--rate= 1",
                                      "--rate=1000001",
                                      "--rate=4294967296",
                                      "--rate=",
                                      "--rate=5k",
                                      "--workers=0x2",
                                      "--workers=257",
                                      "--max-frame-bytes=4",
                                      "--lag-max-bytes=1t",
                                      "--lag-max-bytes=8g",
                                      "--lag-max-bytes=k",
                                      "--ping-interval=0",
                                      "--ping-interval=1h",
                                      "--ping-interval=9ms",
                                      "--ping-interval=s",
                                      "--compression=maybe",
                                      "--log-level=info ",
                                      "--log-format=xml",
                                      "--rate=99999999999999999999999999",
                                      "--max-frame-bytes=18446744073709551615g"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (LOAD_ARGS(bad[i]) != ERR_CONFIG) fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(error, "is not allowed; expected "));
        assert_memory_equal(error, "command line: --", 16);
    }
    EXPECT_ERROR(LOAD_ARGS("--rate", "abc"),
                 "command line: --rate: \"abc\" is not allowed; expected a whole number from 1 to "
                 "1000000, or none (0)");
    EXPECT_ERROR(LOAD_ENV("PARLOR_LOG_LEVEL=\x1b[31mred"),
                 "environment: PARLOR_LOG_LEVEL: \"?[31mred\" is not allowed; expected debug, "
                 "info, warn or error");
    EXPECT_ERROR(LOAD_ARGS("--rate"), "command line: --rate: a value is missing; expected a whole "
                                      "number from 1 to 1000000, or none (0)");
    assert_int_equal(LOAD_ARGS("--rate", "--echo"), ERR_CONFIG);
    assert_non_null(strstr(error, "a value is missing"));
    EXPECT_ERROR(LOAD_ARGS("--version=1"), "command line: --version: takes no value");
    assert_int_equal(LOAD_ARGS("--max-frame-bytes", "8k"), ERR_CONFIG);
    assert_non_null(
        strstr(error, "max-message-bytes (16384) is larger than max-frame-bytes (8192)"));
    assert_int_equal(LOAD_ARGS("--max-frame-bytes", "8k", "--max-message-bytes=8k"), 0);
    assert_int_equal(LOAD_ARGS("--max-frame-bytes", "none", "--max-message-bytes=100k"), 0);
    assert_int_equal(LOAD_ARGS("--lag-max-bytes", "8k"), ERR_CONFIG);
}

static void test_listen(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("--listen", "*:80, LocalHost:81,[fe80::1%eth0]:82", "--listen=:83"),
                     0);
    assert_int_equal(config.listen_count, 7);
    assert_listen(0, "0.0.0.0", 80, true);
    assert_listen(1, "::", 80, true);
    assert_listen(2, "127.0.0.1", 81, true);
    assert_listen(3, "::1", 81, true);
    assert_listen(4, "fe80::1%eth0", 82, false);
    assert_listen(5, "0.0.0.0", 83, true);
    assert_listen(6, "::", 83, true);

    /* Given by itself as well, an address is not optional any more. */
    assert_int_equal(LOAD_ARGS("--listen", "[::1]:8000,localhost:8000"), 0);
    assert_int_equal(config.listen_count, 2);
    assert_listen(0, "::1", 8000, false);
    assert_listen(1, "127.0.0.1", 8000, true);

    static const char *const bad[] = {"",          "x:80",       "127.0.0.1",      "127.0.0.1:",
                                      "::1:80",    "[::1]",      "[127.0.0.1]:1",  "1.2.3.4:65536",
                                      "1.2.3:80",  "[]:80",      "[*]:80",         "80,",
                                      "[::1%]:80", "1.2.3.4 :8", "host:http",      "1.2.3.4%lo:80",
                                      "-1",        "[::1]:+80",  "localhost:80:81"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (LOAD_ARGS("--listen", bad[i]) != ERR_CONFIG) fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_int_equal(LOAD_ARGS("--listen", "1,2,3,4,5,6,7,8"), 0);
    assert_int_equal(config.listen_count, CONFIG_LISTEN_MAX);
    assert_int_equal(LOAD_ARGS("--listen", "1,2,3,4,5,6,7,8,9"), ERR_CONFIG);
    assert_non_null(strstr(error, "at most 16"));
}

static void test_origins(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("--origins", "https://A.example:443 ,http://b:80,http://c:8080,null,"
                                            "http://[::1]:80,app://x,https://a.example"),
                     0);
    static const char *const want[] = {"https://a.example", "http://b", "http://c:8080", "null",
                                       "http://[::1]",      "app://x"};
    assert_int_equal(config.origin_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(config.origins[i], want[i]);
    assert_false(config.any_origin);
    assert_int_equal(LOAD_ARGS("--origins="), 0);
    assert_int_equal(config.origin_count, 0);
    assert_false(config.any_origin);
    assert_int_equal(load(LIST("--origins=*"), LIST("PARLOR_ORIGINS=https://a")), 0);
    assert_int_equal(config.origin_count, 0);
    assert_true(config.any_origin);
    assert_int_equal(load(LIST("--origins=auto"), LIST("PARLOR_ORIGINS=*")), 0);
    assert_false(config.any_origin);
    assert_int_equal(load(LIST("--origins=https://b"), LIST("PARLOR_ORIGINS=*")), 0);
    assert_int_equal(config.origin_count, 1);
    assert_false(config.any_origin);
    assert_int_equal(LOAD_ARGS("--origins=*", "--origins=https://b"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--origins=https://b", "--origins=*"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--origins=https://b", "--origins=auto"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--origins=*", "--origins=auto"), ERR_CONFIG);

    static const char *const bad[] = {
        "a.example",   "https://",    "https://a/",      "https://a,*",
        "://a",        "https://a:0", "https://a:99999", "https://a b",
        "https://u@a", ",",           "https://:80",     "ht tp://a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (LOAD_ARGS("--origins", bad[i]) != ERR_CONFIG) fail_msg("\"%s\" was taken", bad[i]);
    }
    char many[1024] = "";
    for (int i = 0; i <= CONFIG_ORIGINS_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%shttp://h%d", i ? "," : "", i);
    assert_int_equal(LOAD_ARGS("--origins", many), ERR_CONFIG);
    assert_non_null(strstr(error, "at most 32"));
}

static void test_unknown(void **state)
{
    (void)state;
    EXPECT_ERROR(LOAD_ARGS("--max-conections", "5"),
                 "command line: --max-conections: unknown option; did you mean --max-connections?");
    EXPECT_ERROR(LOAD_ENV("PARLOR_RATES=5"),
                 "environment: PARLOR_RATES: unknown option; did you mean PARLOR_RATE?");
    EXPECT_ERROR(LOAD_ARGS("--zebra-crossing-lights=1"),
                 "command line: --zebra-crossing-lights: unknown option; --help lists them all");
    EXPECT_ERROR(LOAD_ARGS("-rate", "5"),
                 "command line: -rate: unknown option; did you mean --rate?");
    EXPECT_ERROR(LOAD_ARGS("run"), "command line: \"run\" is not an option; options begin with --");
    assert_int_equal(LOAD_ARGS("--"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS(""), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--rate=1", "--=1"), ERR_CONFIG);
    assert_int_equal(LOAD_ENV("PARLOR_=1"), ERR_CONFIG);
    char longest[4096];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "--", 2);
    assert_int_equal(LOAD_ARGS(longest), ERR_CONFIG);
    memcpy(longest, "PARLOR_", 7);
    longest[4000] = '=';
    assert_int_equal(LOAD_ENV(longest), ERR_CONFIG);
    EXPECT_ERROR(LOAD_ENV("PARLOR_HELP=1"),
                 "environment: PARLOR_HELP: only possible on the command line");
}

/* What Kubernetes sets for services called parlor and parlor-chat is not ours; a typo still is. */
static void test_service_links(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ENV("PARLOR_SERVICE_HOST=10.0.0.1", "PARLOR_SERVICE_PORT=80",
                              "PARLOR_SERVICE_PORT_HTTP=80", "PARLOR_PORT=tcp://10.0.0.1:80",
                              "PARLOR_PORT_80_TCP_ADDR=10.0.0.1", "PARLOR_PORT_80_TCP=tcp://1:80",
                              "PARLOR_CHAT_PORT=tcp://10.0.0.1:80", "PARLOR_CHAT_SERVICE_HOST=h"),
                     0);
    assert_int_equal(LOAD_ENV("PARLOR_PORT=8000"), ERR_CONFIG);
    assert_int_equal(LOAD_ENV("PARLOR_HOST=0.0.0.0"), ERR_CONFIG);
}

static void test_file(void **state)
{
    (void)state;
    char where[256];
    assert_int_equal(load_file("\xef\xbb\xbf# comment\r\n; another\r\n[parlor]\r\nrate = 5\r\n"
                               "   log_level: warn ; trailing\r\n\torigins = http://a\r\n"
                               "origins = http://b, http://c\r\nlisten = [::1]:9"),
                     0);
    assert_int_equal(config.rate, 5);
    assert_int_equal(config.log_level, LOG_WARN);
    assert_int_equal(config.origin_count, 3);
    assert_listen(0, "::1", 9, false);

    static const struct {
        const char *text;
        const char *error; /* behind the path */
    } bad[] = {
        {"rate = 1\n\nratte = 2\n", ":3: ratte: unknown option; did you mean rate?"},
        {"#\nrate = 1\nrate = 2\n", ":3: rate: given twice, first in line 2"},
        {"rate = 1\nrubbish\nworkers = x\n", ":2: expected KEY = VALUE, a section or a comment"},
        {"\n[web]\nrate = 1\n",
         ":2: unknown section [web]; expected [parlor], [room \"NAME\"] or none"},
        {"[room lobby]\n",
         ":1: unknown section [room lobby]; expected [parlor], [room \"NAME\"] or none"},
        {"[room\"lobby\"]\n",
         ":1: unknown section [room\"lobby\"]; expected [parlor], [room \"NAME\"] or none"},
        {"[room \"lobby\"] x\n",
         ":1: unknown section [room \"lobby\"] x; expected [parlor], [room \"NAME\"] or none"},
        {"[parlor\nrate = 1\n",
         ":1: unknown section [parlor; expected [parlor], [room \"NAME\"] or none"},
        {"[room \"lobby\"]\nrubbish\n", ":2: expected KEY = VALUE, a section or a comment"},
        {"\nconfig = other.ini\n",
         ":2: config: only possible on the command line and in the environment"},
        {"help = on\n", ":1: help: only possible on the command line"},
        {"compression =\n", ":1: compression: \"\" is not allowed; expected on or off"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(load_file(bad[i].text), ERR_CONFIG);
        snprintf(where, sizeof where, "%s%s", write_file("", 0), bad[i].error);
        assert_string_equal(error, where);
    }
    assert_int_equal(LOAD_ARGS("--config", "/nonexistent/parlor.ini"), ERR_IO);
    assert_string_equal(
        error, "configuration file \"/nonexistent/parlor.ini\": No such file or directory");
    assert_int_equal(LOAD_ARGS("--config", "/"), ERR_IO);
    assert_int_equal(LOAD_ARGS("--config", "/dev/zero"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--config", write_file("rate\0 = 1\n", 10)), ERR_CONFIG);
}

static void test_file_long(void **state)
{
    (void)state;
    static char text[64 * 1024];
    memset(text, 'x', sizeof text);
    memcpy(text, "rate = 4\n# ", 11); /* a comment may be as long as it likes */
    memcpy(text + 5000, "\nworkers=2\n", 12);
    assert_int_equal(load_file(text), 0);
    assert_int_equal(config.rate, 4);
    assert_int_equal(config.workers, 2);

    memset(text, 'x', sizeof text);
    memcpy(text, "\norigins = http://", 18);
    text[1000] = '\0';
    assert_int_equal(load_file(text), ERR_CONFIG);
    assert_non_null(strstr(error, ":2: longer than "));

    memset(text, '\n', 10001);
    text[10001] = '\0';
    assert_int_equal(load_file(text), ERR_CONFIG);
    assert_non_null(strstr(error, "more than 10000 lines"));
}

static char *printed(void (*print)(const struct config *, FILE *), void (*text)(FILE *))
{
    char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);
    assert_non_null(f);
    if (print)
        print(&config, f);
    else
        text(f);
    fclose(f);
    return out;
}

static void assert_room_line(size_t i, const char *pattern, const char *key, const char *value,
                             unsigned line)
{
    assert_true(i < config.room_line_count);
    assert_string_equal(config.room_lines[i].pattern, pattern);
    assert_string_equal(config.room_lines[i].key, key);
    assert_string_equal(config.room_lines[i].value, value);
    assert_int_equal(config.room_lines[i].line, line);
}

/* What is said of rooms is kept as text, whatever their names are; what it means is not ops'. */
static void test_rooms(void **state)
{
    (void)state;
    static const char longest[] =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char text[1024];
    snprintf(text, sizeof text,
             "\xef\xbb\xbf[room \"team-*\"]\n"
             "access-guests = none ; a comment\n"
             "any thing: 1\n"
             "[parlor] # back again\n"
             "rate = 5\n"
             "[room\t \"a]\"b ; [c\"]  # its name is odd\r\n"
             "access-guests = read\r\n"
             "[room \"%s\"]\n"
             "rate = 6\n",
             longest);
    assert_int_equal(load_file(text), 0);
    assert_int_equal(config.rate, 5);
    assert_string_equal(config.file, write_file("", 0));
    assert_int_equal(config.room_line_count, 4);
    assert_room_line(0, "team-*", "access-guests", "none", 2);
    assert_room_line(1, "team-*", "any thing", "1", 3);
    assert_room_line(2, "a]\"b ; [c", "access-guests", "read", 7);
    assert_room_line(3, longest, "rate", "6", 9);

    char *first = printed(config_print, NULL);
    assert_int_equal(load_file(first), 0);
    char *second = printed(config_print, NULL);
    assert_string_equal(first, second);
    assert_int_equal(config.room_line_count, 4);
    free(first);
    free(second);
    assert_int_equal(load(NULL, NULL), 0);
    assert_int_equal(config.room_line_count, 0);
    assert_null(config.file);
}

/* What a file on a disk may have takes more than 32 bits. */
static void test_disk(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("--max-database-bytes", "12g", "--database-full=trim"), 0);
    assert_true(config.max_database_bytes == UINT64_C(12) << 30);
    assert_int_equal(config.database_full, CONFIG_TRIM);
    char *text = printed(config_print, NULL);
    assert_non_null(strstr(text, "max-database-bytes = 12g\n"));
    assert_non_null(strstr(text, "database-full = trim\n"));
    free(text);
    assert_int_equal(LOAD_ARGS("--max-database-bytes=3t"), 0);
    assert_true(config.max_database_bytes == UINT64_C(3) << 40);
    assert_int_equal(config.database_full, CONFIG_REFUSE);
    assert_int_equal(LOAD_ARGS("--max-database-bytes=none"), 0);
    assert_true(config.max_database_bytes == 0);
    assert_int_equal(config.max_rooms, 1000000);
    assert_int_equal(LOAD_ARGS("--max-database-bytes=1000"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--max-database-bytes=65t"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--database-full=burn"), ERR_CONFIG);
    assert_non_null(strstr(error, "refuse or trim"));
}

static void test_actions(void **state)
{
    (void)state;
    const char *const broken[] = {"PARLOR_RATE=x", NULL};
    assert_int_equal(load(LIST("--help"), broken), 0);
    assert_int_equal(config.action, CONFIG_HELP);
    assert_int_equal(load(LIST("-h", "--config=/nonexistent"), broken), 0);
    assert_int_equal(config.action, CONFIG_HELP);
    assert_int_equal(load(LIST("--rate=9", "--version"), broken), 0);
    assert_int_equal(config.action, CONFIG_VERSION);
    assert_int_equal(load(LIST("--check-config"), broken), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--check-config"), 0);
    assert_int_equal(config.action, CONFIG_CHECK);
    assert_int_equal(LOAD_ARGS("--print-config"), 0);
    assert_int_equal(config.action, CONFIG_PRINT);
}

/* What --print-config says, read back, is the same configuration and prints the same. */
static void test_print(void **state)
{
    (void)state;
    static const char *const cases[][6] = {
        {NULL},
        {"--listen=*:1,localhost:2,1.2.3.4:5,[::1]:6,localhost:6", "--workers=3", "--rate=none",
         "--echo", "--origins=https://a.example,null", NULL},
        {"--origins=*", NULL},
        {"--listen=localhost:7,127.0.0.1:7", "--drain-timeout=0", "--ping-interval=1500ms",
         "--lag-max-bytes=70001", "--log-format=json", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(cases[i], NULL), 0);
        struct config before = config;
        memset(before.origins, 0, sizeof before.origins);
        char *first = printed(config_print, NULL);
        assert_int_equal(load_file(first), 0);
        char *second = printed(config_print, NULL);
        assert_string_equal(first, second);
        struct config after = config;
        memset(after.origins, 0, sizeof after.origins);
        assert_memory_equal(before.listen, after.listen, sizeof before.listen);
        assert_int_equal(before.rate, after.rate);
        assert_int_equal(before.lag_max_bytes, after.lag_max_bytes);
        assert_int_equal(before.ping_interval_ms, after.ping_interval_ms);
        assert_int_equal(before.drain_timeout_ms, after.drain_timeout_ms);
        assert_int_equal(before.origin_count, after.origin_count);
        assert_int_equal(before.any_origin, after.any_origin);
        assert_int_equal(before.echo, after.echo);
        assert_int_equal(before.log_format, after.log_format);
        free(first);
        free(second);
    }
}

static void assert_columns(const char *text, size_t most)
{
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "\n");
        if (len > most) fail_msg("%zu columns: %.*s", len, (int)len, p);
        assert_true(len == 0 || p[len - 1] != ' ');
        p += len + (p[len] == '\n');
    }
}

static void test_help(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "listen",       "workers",      "max-connections",   "max-connections-per-ip",
        "rate",         "origins",      "max-frame-bytes",   "max-message-bytes",
        "echo",         "compression",  "handshake-timeout", "keepalive-timeout",
        "log-format",   "log-level",    "ping-interval",     "drain-timeout",
        "config",       "help",         "version",           "check-config",
        "print-config", "lag-max-bytes"};
    assert_int_equal(load(NULL, NULL), 0);
    char *help = printed(NULL, config_help);
    char *manual = printed(NULL, config_document);
    char *file = printed(config_print, NULL);
    assert_columns(help, 100);
    assert_columns(file, 100);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "\n  --%s ", keys[i]);
        if (!strstr(help, text)) fail_msg("--help lacks %s", keys[i]);
        snprintf(text, sizeof text, "\n| `--%s` |", keys[i]);
        if (!strstr(manual, text)) fail_msg("the manual lacks %s", keys[i]);
    }
    free(help);
    free(manual);
    free(file);
}

static void test_listen_proxy(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("--listen", "8000,proxy:8001,PROXY:*:8002,proxy:[::2]:8003"), 0);
    assert_int_equal(config.listen_count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(config.listen[i].proxy, i >= 2);
    assert_listen(2, "127.0.0.1", 8001, true);
    assert_listen(4, "0.0.0.0", 8002, true);
    assert_listen(6, "::2", 8003, false);
    char *file = printed(config_print, NULL);
    assert_non_null(strstr(file, "\nlisten = localhost:8000\nlisten = proxy:localhost:8001\n"
                                 "listen = proxy:*:8002\nlisten = proxy:[::2]:8003\n"));
    free(file);
    assert_int_equal(LOAD_ARGS("--listen", "proxy:8001", "--trusted-proxies=none"), ERR_CONFIG);
    assert_non_null(strstr(error, "nobody could connect"));
    /* One port cannot be both. */
    assert_int_equal(LOAD_ARGS("--listen", "127.0.0.1:8000,proxy:127.0.0.1:8000"), ERR_CONFIG);
    static const char *const bad[] = {"proxy:", "proxy", "proxy:proxy:80", "proxy :80", "prox:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (LOAD_ARGS("--listen", bad[i]) != ERR_CONFIG) fail_msg("\"%s\" was taken", bad[i]);
}

static void assert_nets(const char *args, bool loopback, size_t count, const char *text)
{
    assert_int_equal(LOAD_ARGS("--trusted-proxies", args), 0);
    assert_int_equal(config.trust_loopback, loopback);
    assert_int_equal(config.trusted_proxy_count, count);
    char *file = printed(config_print, NULL);
    if (!strstr(file, text)) fail_msg("%s: %s", args, file);
    assert_int_equal(load_file(file), 0); /* reads back to the same */
    assert_int_equal(config.trust_loopback, loopback);
    assert_int_equal(config.trusted_proxy_count, count);
    free(file);
}

static void test_proxies(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS(NULL), 0);
    assert_true(config.trust_loopback);
    assert_int_equal(config.trusted_proxy_count, 2);
    assert_int_equal(config.client_address_header, CONFIG_X_FORWARDED_FOR);
    assert_int_equal(config.messages_per_ip, 1000);
    assert_nets("none", false, 0, "\ntrusted-proxies = none\n");
    assert_nets("Loopback", true, 2, "\ntrusted-proxies = loopback\n");
    assert_nets("127.0.0.1,::1", false, 2,
                "\ntrusted-proxies = 127.0.0.1/32\ntrusted-proxies = ::1/128\n");
    assert_nets("10.0.0.0/8, loopback,10.0.0.0/8", true, 3,
                "\ntrusted-proxies = 10.0.0.0/8\ntrusted-proxies = loopback\n");
    assert_nets("::1,2001:db8::/32,loopback", true, 3, "\ntrusted-proxies = loopback\n");
    static const char *const bad[] = {"",           "*",       "none,10.0.0.0/8", "10.0.0.0/8,none",
                                      "10.0.0.1/8", "example", "10.0.0.0/8,",     "localhost"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (LOAD_ARGS("--trusted-proxies", bad[i]) != ERR_CONFIG)
            fail_msg("\"%s\" was taken", bad[i]);

    char many[CONFIG_NETS_MAX * 16] = "loopback";
    for (int i = 2; i < CONFIG_NETS_MAX; i++)
        sprintf(many + strlen(many), ",10.0.0.%d", i);
    assert_int_equal(LOAD_ARGS("--trusted-proxies", many), 0);
    strcat(many, ",10.0.1.0");
    assert_int_equal(LOAD_ARGS("--trusted-proxies", many), ERR_CONFIG);
    assert_non_null(strstr(error, "at most 64"));

    assert_int_equal(LOAD_ARGS("--client-address-header", "x-real-ip"), 0);
    assert_int_equal(config.client_address_header, CONFIG_X_REAL_IP);
    char *file = printed(config_print, NULL);
    assert_non_null(strstr(file, "\nclient-address-header = X-Real-IP\n"));
    free(file);
    assert_int_equal(LOAD_ARGS("--client-address-header", "CF-Connecting-IP"), ERR_CONFIG);
}

static void test_no_memory(void **state)
{
    (void)state;
    config_fini(&config);
    long live = fail_alloc_live();
    for (long n = 0; n < 3; n++) {
        fail_alloc_after(n);
        int err = LOAD_ARGS("--origins", "http://a,http://b,http://c");
        fail_alloc_off();
        assert_int_equal(err, ERR_NOMEM);
        assert_string_equal(error, "command line: out of memory");
        assert_int_equal(fail_alloc_live(), live);
    }
    fail_alloc_after(3);
    assert_int_equal(LOAD_ARGS("--origins", "http://a,http://b,http://c"), 0);
    fail_alloc_off();
    static const char rooms[] = "[room \"a\"]\nk = v\nk2 = v\n[room \"b\"]\nk = v\n";
    const char *path = write_file(rooms, sizeof rooms - 1);
    config_fini(&config);
    enum { ALLOCATIONS = 8 }; /* two names, and two blocks for each of three lines */
    for (long n = 0; n <= ALLOCATIONS; n++) {
        fail_alloc_after(n);
        int err = LOAD_ARGS("--config", path);
        fail_alloc_off();
        assert_int_equal(err, n < ALLOCATIONS ? ERR_NOMEM : 0);
        if (err) assert_non_null(strstr(error, "out of memory"));
        if (err) assert_int_equal(fail_alloc_live(), live);
    }
    config_fini(&config);
    config_fini(&config);
    assert_int_equal(fail_alloc_live(), live);
}

static int remove_file(void **state)
{
    (void)state;
    config_fini(&config);
    return unlink(write_file("", 0));
}

#define KEY "a-key-of-20-letters!"

static void test_api_key(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS(NULL), 0);
    assert_string_equal(config.api_key, "");
    assert_int_equal(LOAD_ARGS("--api-key", KEY), 0);
    assert_string_equal(config.api_key, KEY);
    assert_int_equal(LOAD_ENV("PARLOR_API_KEY=" KEY), 0);
    assert_string_equal(config.api_key, KEY);
    assert_int_equal(load(LIST("--api-key=none"), LIST("PARLOR_API_KEY=" KEY)), 0);
    assert_string_equal(config.api_key, "");

    EXPECT_ERROR(LOAD_ARGS("--api-key", "fifteen-letters"),
                 "command line: --api-key: this is not allowed; expected 16 to 255 visible ASCII "
                 "characters, or none");
    EXPECT_ERROR(LOAD_ARGS("--api-ke=" KEY),
                 "command line: --api-ke: unknown option; did you mean --api-key?");
    static const char *const bad[] = {"", "sixteen letters!", "sixteen\tletters",
                                      "sechzehn-Zeich\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(LOAD_ARGS("--api-key", bad[i]), ERR_CONFIG);
    char longest[CONFIG_SECRET_MAX + 1];
    memset(longest, 'k', sizeof longest);
    longest[CONFIG_SECRET_MAX] = '\0';
    assert_int_equal(LOAD_ARGS("--api-key", longest), ERR_CONFIG);
    longest[CONFIG_SECRET_MAX - 1] = '\0';
    assert_int_equal(LOAD_ARGS("--api-key", longest), 0);
    assert_string_equal(config.api_key, longest);
}

static int load_key_file(const char *text, size_t len)
{
    return LOAD_ARGS("--api-key-file", write_file(text, len));
}

/* Who may read a key's file: its owner; and where that is somebody else, its group, since that is
 * all the server has it by. */
static void test_api_key_mode(void **state)
{
    (void)state;
    const char *path = write_file(KEY, strlen(KEY));
    static const mode_t bad[] = {0640, 0604, 0620, 0602, 0610, 0444};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(chmod(path, bad[i]), 0);
        assert_int_equal(LOAD_ARGS("--api-key-file", path), ERR_CONFIG);
        assert_non_null(strstr(error, "chmod 600"));
    }
    if (geteuid() == 0) {
        const gid_t group = getegid();
        assert_int_equal(chmod(path, 0440), 0);
        assert_int_equal(chown(path, 0, 65534), 0);
        assert_int_equal(setegid(65534), 0);
        assert_int_equal(seteuid(65534), 0);
        int by_group = LOAD_ARGS("--api-key-file", path);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(group), 0);
        assert_int_equal(by_group, 0);
        assert_int_equal(chown(path, 0, 0), 0);
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(LOAD_ARGS("--api-key-file", path), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_api_key_file(void **state)
{
    (void)state;
    static const char *const good[] = {KEY, KEY "\n", KEY "\r\n", KEY "\nsecond line\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(load_key_file(good[i], strlen(good[i])), 0);
        assert_string_equal(config.api_key, KEY);
    }
    static const char *const bad[] = {"", "\n" KEY, "short\n", " " KEY "\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(load_key_file(bad[i], strlen(bad[i])), ERR_CONFIG);
        assert_non_null(strstr(error, "first line"));
    }
    char longest[CONFIG_SECRET_MAX + 1];
    memset(longest, 'k', sizeof longest);
    assert_int_equal(load_key_file(longest, CONFIG_SECRET_MAX - 1), 0);
    assert_int_equal(load_key_file(longest, CONFIG_SECRET_MAX), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("--api-key-file", "/nowhere/key"), ERR_CONFIG);
    assert_non_null(strstr(error, "/nowhere/key"));
    assert_int_equal(
        load(LIST("--api-key-file", write_file(KEY, strlen(KEY))), LIST("PARLOR_API_KEY=" KEY)),
        ERR_CONFIG);
    assert_non_null(strstr(error, "both given"));
    assert_int_equal(LOAD_ARGS("--api-key-file", "none"), 0);
    assert_string_equal(config.api_key, "");
}

static void test_hide_secrets(void **state)
{
    (void)state;
    char name[] = "parlor";
    char key[] = "--api-key";
    char value[] = KEY;
    char other[] = "--rate";
    char number[] = "20";
    char both[] = "--API_KEY=" KEY;
    char last[] = "--api-key";
    char *argv[] = {name, key, value, other, number, both, last, NULL};
    config_hide_secrets(argv);
    assert_string_equal(key, "--api-key");
    assert_string_equal(value, "xxxxxxxxxxxxxxxxxxxx");
    assert_string_equal(number, "20");
    assert_string_equal(both, "--API_KEY=xxxxxxxxxxxxxxxxxxxx");
    assert_string_equal(last, "--api-key");
}

static void test_import(void **state)
{
    (void)state;
    assert_int_equal(LOAD_ARGS("import", "x.ndjson", "--data", "y.db"), 0);
    assert_int_equal(config.action, CONFIG_IMPORT);
    assert_string_equal(config.operand, "x.ndjson");
    assert_string_equal(config.data, "y.db");
    assert_int_equal(LOAD_ARGS("import", "-"), 0);
    assert_string_equal(config.operand, "-");
    assert_int_equal(LOAD_ARGS("check", "x.db"), 0);
    assert_int_equal(config.action, CONFIG_EXAMINE);
    assert_string_equal(config.operand, "x.db");
    assert_int_equal(LOAD_ARGS("restore", "x.db", "--data", "y.db"), 0);
    assert_int_equal(config.action, CONFIG_RESTORE);
    EXPECT_ERROR(LOAD_ARGS("check"), "command line: check: a file name is missing");
    EXPECT_ERROR(LOAD_ARGS("restore"), "command line: restore: a file name is missing");
    const char *missing = "command line: import: a file name is missing; - is standard input";
    EXPECT_ERROR(LOAD_ARGS("import"), missing);
    EXPECT_ERROR(LOAD_ARGS("import", "--data", "x"), missing);
    assert_int_equal(LOAD_ARGS("import", "a", "b"), ERR_CONFIG);
    assert_int_equal(LOAD_ARGS("import", "--help"), 0);
    assert_int_equal(config.action, CONFIG_HELP);
    assert_int_equal(LOAD_ARGS("restore", "-h"), 0);
    assert_int_equal(config.action, CONFIG_HELP);
    assert_int_equal(LOAD_ARGS("--rate", "1", "import", "a"), ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_values),        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_bad_values),    cmocka_unit_test(test_listen),
        cmocka_unit_test(test_listen_proxy),  cmocka_unit_test(test_proxies),
        cmocka_unit_test(test_origins),       cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_service_links), cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_long),     cmocka_unit_test(test_actions),
        cmocka_unit_test(test_rooms),         cmocka_unit_test(test_disk),
        cmocka_unit_test(test_print),         cmocka_unit_test(test_help),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_api_key),
        cmocka_unit_test(test_api_key_mode),  cmocka_unit_test(test_api_key_file),
        cmocka_unit_test(test_hide_secrets),  cmocka_unit_test(test_import),
    };
    return cmocka_run_group_tests(tests, NULL, remove_file);
}
