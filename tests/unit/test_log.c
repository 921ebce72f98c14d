/* The log: both layouts, what hostile bytes become, repeats, descriptors nobody reads, threads. */
#include "ops/log.h"

#include "base/utf8.h"
#include "fail_alloc.h"
#include "ops/log_line.h"

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { OUT_MAX = 1 << 20 };

static char out[OUT_MAX];
static uint64_t now_ms;

static void test_clock(void *arg, uint64_t *wall_ms, uint64_t *mono_ms)
{
    (void)arg;
    *wall_ms = UINT64_C(1795514400123) + now_ms; /* 2026-11-24T10:00:00.123Z */
    *mono_ms = now_ms;
}

/* Reads what is there now into out, as a string. */
static size_t drain(int fd)
{
    size_t n = 0;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (;;) {
        ssize_t got = read(fd, out + n, sizeof out - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    out[n] = '\0';
    return n;
}

struct pipe_log {
    int fd[2];
    struct log *log;
};

static struct pipe_log open_log(enum log_format format, enum log_level level)
{
    struct pipe_log p;
    assert_int_equal(pipe(p.fd), 0);
    p.log = log_new(format, level, p.fd[1]);
    assert_non_null(p.log);
    now_ms = 0;
    log_set_clock(p.log, test_clock, NULL);
    return p;
}

/* Closes, and leaves all that was written in out. */
static void close_log(struct pipe_log *p)
{
    log_free(p->log);
    close(p->fd[1]);
    drain(p->fd[0]);
    close(p->fd[0]);
}

static size_t count(const char *needle)
{
    size_t n = 0;
    for (const char *p = strstr(out, needle); p; p = strstr(p + 1, needle))
        n++;
    return n;
}

static void test_text(void **state)
{
    (void)state;
    struct pipe_log p = open_log(LOG_TEXT, LOG_INFO);
    LOG(p.log, LOG_INFO, "listening", "on http://localhost:8000/", LOG_STR("address", "127.0.0.1"),
        LOG_U64("port", 8000), LOG_I64("delta", -5), LOG_BOOL("ok", true), LOG_STR("who", "a b"),
        LOG_STR("empty", ""), LOG_STR("eq", "a=b"), LOG_STR("null", NULL),
        LOG_STR("name", "j\xc3\xbcrgen \"x\"\\"));
    LOG(p.log, LOG_ERROR, "bare", "no fields");
    LOG(p.log, LOG_DEBUG, "hidden", "below the level");
    close_log(&p);
    assert_string_equal(
        out, "2026-11-24T10:00:00.123Z info  listening  on http://localhost:8000/ "
             "address=127.0.0.1 port=8000 delta=-5 ok=true who=\"a b\" empty=\"\" eq=\"a=b\" "
             "null=(none) name=\"j\xc3\xbcrgen \\\"x\\\"\\\\\"\n"
             "2026-11-24T10:00:00.123Z error bare  no fields\n");
}

static void test_json(void **state)
{
    (void)state;
    struct pipe_log p = open_log(LOG_JSON, LOG_DEBUG);
    LOG(p.log, LOG_WARN, "odd", "a \"text\"\n", LOG_U64("n", UINT64_MAX), LOG_BOOL("b", false),
        LOG_SLICE("bytes", ((struct slice){"a\0b\x1b\x7f\xff\xc3", 7})), LOG_I64("i", INT64_MIN));
    close_log(&p);
    assert_string_equal(out, "{\"time\":\"2026-11-24T10:00:00.123Z\",\"level\":\"warn\","
                             "\"event\":\"odd\",\"text\":\"a \\\"text\\\"\\n\","
                             "\"n\":18446744073709551615,\"b\":false,"
                             "\"bytes\":\"a\\u0000b\\u001b\\u007f\xef\xbf\xbd\xef\xbf\xbd\","
                             "\"i\":-9223372036854775808}\n");
}

/* Fields of a line that is not written cost nothing. */
static void test_unevaluated(void **state)
{
    (void)state;
    struct pipe_log p = open_log(LOG_TEXT, LOG_WARN);
    uint64_t calls = 0;
    LOG(p.log, LOG_INFO, "quiet", "x", LOG_U64("n", ++calls));
    LOG(p.log, LOG_WARN, "loud", "x", LOG_U64("n", ++calls));
    close_log(&p);
    assert_int_equal(calls, 1);
    assert_int_equal(count("\n"), 1);
}

/* No byte sequence gets a control character, a direction override or bad UTF-8 into a line. */
static void test_hostile(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x1b]0;title\a",      "a\r\nb",       "\xc2\x9b[1m",
                                      "\xe2\x80\xaegpj.exe", "\xe2\x80\xa8", "\xed\xa0\x80",
                                      "\xf0\x9f\x98",        "\xef\xbb\xbf", "\xc0\xaf\xfe"};
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            struct pipe_log p = open_log((enum log_format)format, LOG_DEBUG);
            LOG(p.log, LOG_INFO, "hostile", bad[i], LOG_STR("value", bad[i]));
            close_log(&p);
            size_t len = strlen(out);
            assert_true(len > 0 && utf8_valid(out, len));
            assert_ptr_equal(strchr(out, '\n'), out + len - 1);
            for (size_t k = 0; k + 1 < len; k++)
                assert_true((unsigned char)out[k] >= 0x20 && out[k] != 0x7f);
            assert_null(strstr(out, "\xc2\x9b"));
            assert_null(strstr(out, "\xe2\x80\xae"));
            assert_null(strstr(out, "\xe2\x80\xa8"));
            assert_null(strstr(out, "\xef\xbb\xbf"));
        }
    }
}

/* Lines of every size stay within the cap, whole, and marked when they were cut. */
static void test_long(void **state)
{
    (void)state;
    static char big[8192];
    struct log_field fields[LOG_FIELDS_MAX];
    for (size_t i = 0; i < LOG_FIELDS_MAX; i++)
        fields[i] = (struct log_field){.key = "key", .type = LOG_FIELD_BYTES};
    for (size_t len = 0; len < sizeof big; len += 7) {
        memset(big, len % 2 ? '"' : 'x', len);
        for (size_t i = 0; i < LOG_FIELDS_MAX; i++)
            fields[i].value.bytes = (struct slice){big, len};
        const struct log_event e = {.level = LOG_INFO,
                                    .event = "long",
                                    .text = "text",
                                    .fields = fields,
                                    .n = LOG_FIELDS_MAX};
        for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
            struct log_line line;
            const struct log_style style = {(enum log_format)format, false};
            log_line_format(&line, style, 0, &e);
            assert_true(line.len <= LOG_LINE_MAX);
            assert_int_equal(line.data[0], '\n');
            assert_ptr_equal(memchr(line.data + 1, '\n', line.len - 1), line.data + line.len - 1);
            const char *end = format == LOG_JSON ? ",\"cut\":true}\n" : " cut=true\n";
            size_t n = strlen(end);
            bool marked = memcmp(line.data + line.len - n, end, n) == 0;
            assert_int_equal(marked, line.cut);
            /* 16 values of 260 bytes are over the cap; of 100, even all escaped, under it. */
            assert_true(len <= 260 || line.cut);
            assert_true(len >= 100 || !line.cut);
        }
    }
}

static void test_repeats(void **state)
{
    (void)state;
    struct pipe_log p = open_log(LOG_TEXT, LOG_DEBUG);
    for (int i = 0; i < 35; i++)
        LOG(p.log, LOG_WARN, "flood", "again");
    LOG(p.log, LOG_INFO, "other", "not affected");
    drain(p.fd[0]);
    assert_int_equal(count(" flood  again\n"), LOG_BURST);
    assert_int_equal(count(" other  not affected\n"), 1);
    assert_int_equal(count("suppressed"), 0);

    now_ms = 999;
    log_tick(p.log);
    assert_int_equal(drain(p.fd[0]), 0);
    now_ms = 1000;
    log_tick(p.log);
    drain(p.fd[0]);
    assert_string_equal(
        out, "2026-11-24T10:00:01.123Z warn  flood  25 more like this suppressed suppressed=25\n");

    /* The next window starts anew; an event alone, without a tick, tells of the last one. */
    for (int i = 0; i < LOG_BURST + 1; i++)
        LOG(p.log, LOG_WARN, "flood", "again");
    now_ms = 2500;
    LOG(p.log, LOG_WARN, "flood", "later");
    drain(p.fd[0]);
    assert_int_equal(count(" flood  again\n"), LOG_BURST);
    assert_non_null(strstr(out, "flood  1 more like this suppressed suppressed=1\n"));
    assert_true(strstr(out, "suppressed=1") < strstr(out, "later"));

    for (int i = 0; i < 2 * LOG_BURST; i++)
        LOG(p.log, LOG_WARN, "flood", "end");
    close_log(&p); /* says what is pending */
    assert_int_equal(count(" more like this suppressed"), 1);
}

/* More event names than slots: nothing is lost, the surplus is not limited. */
static void test_many_events(void **state)
{
    (void)state;
    static char names[LOG_EVENTS_MAX + 8][16];
    struct pipe_log p = open_log(LOG_TEXT, LOG_DEBUG);
    for (size_t i = 0; i < LOG_EVENTS_MAX + 8; i++) {
        snprintf(names[i], sizeof names[i], "event_%zu", i);
        for (int k = 0; k < LOG_BURST + 2; k++)
            LOG(p.log, LOG_INFO, names[i], "x");
        drain(p.fd[0]);
        assert_int_equal(count("\n"), i < LOG_EVENTS_MAX ? LOG_BURST : LOG_BURST + 2);
    }
    now_ms = 5000;
    log_tick(p.log);
    drain(p.fd[0]);
    assert_int_equal(count("2 more like this suppressed"), LOG_EVENTS_MAX);
    LOG(p.log, LOG_INFO, "a_new_name", "finds a slot again");
    close_log(&p);
}

/* A pipe nobody reads: no blocking, lines counted, and told once it is read again. */
static void check_full(int read_fd, struct log *log)
{
    int written = 0;
    for (; log_lost(log) == 0 && written < 1000000; written++) {
        now_ms += LOG_WINDOW_MS;
        LOG(log, LOG_INFO, "fill", "a line");
    }
    for (int i = 0; i < 4; i++) {
        now_ms += LOG_WINDOW_MS;
        LOG(log, LOG_INFO, "fill", "a line");
    }
    assert_int_equal(log_lost(log), 5);
    drain(read_fd);
    assert_int_equal(count("a line\n"), written - 1);
    LOG(log, LOG_INFO, "after", "read again");
    drain(read_fd);
    assert_non_null(strstr(out, "warn  log_lost  "));
    assert_non_null(strstr(out, "lines=5\n"));
    assert_non_null(strstr(out, "after  read again\n"));
    log_tick(log);
    assert_int_equal(drain(read_fd), 0);
    assert_int_equal(log_lost(log), 5);
}

static void test_full_pipe(void **state)
{
    (void)state;
    struct pipe_log p = open_log(LOG_TEXT, LOG_INFO);
    /* The pipe was given blocking and stays so for those who share it. */
    assert_int_equal(fcntl(p.fd[1], F_GETFL) & O_NONBLOCK, 0);
    check_full(p.fd[0], p.log);
    assert_int_equal(fcntl(p.fd[1], F_GETFL) & O_NONBLOCK, 0);
    close_log(&p);
}

static void test_full_socket(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    struct log *log = log_new(LOG_TEXT, LOG_INFO, fd[1]);
    now_ms = 0;
    log_set_clock(log, test_clock, NULL);
    check_full(fd[0], log);
    close(fd[0]);
    LOG(log, LOG_INFO, "gone", "the reader has left; no SIGPIPE, no end");
    assert_int_equal(log_lost(log), 6);
    log_free(log);
    close(fd[1]);
}

static void test_closed_pipe(void **state)
{
    (void)state;
    struct pipe_log p = open_log(LOG_TEXT, LOG_INFO);
    close(p.fd[0]);
    LOG(p.log, LOG_INFO, "gone", "x");
    assert_int_equal(log_lost(p.log), 1);
    log_free(p.log);
    close(p.fd[1]);
}

static void test_terminal(void **state)
{
    (void)state;
    int master;
    int slave;
    if (openpty(&master, &slave, NULL, NULL, NULL) != 0) {
        print_message("skipped: there is no terminal device to be had here (/dev/pts)\n");
        skip();
    }
    unsetenv("NO_COLOR");
    struct log *log = log_new(LOG_TEXT, LOG_INFO, slave);
    LOG(log, LOG_ERROR, "red", "x", LOG_STR("evil", "\x1b[2J"));
    log_free(log);
    drain(master);
    assert_non_null(strstr(out, "\x1b[31merror"));
    assert_non_null(strstr(out, "evil=\"\\u001b[2J\""));

    setenv("NO_COLOR", "1", 1);
    log = log_new(LOG_TEXT, LOG_INFO, slave);
    LOG(log, LOG_ERROR, "plain", "x");
    log_free(log);
    unsetenv("NO_COLOR");
    drain(master);
    assert_null(strchr(out, '\x1b'));
    assert_non_null(strstr(out, "plain"));
    close(slave);
    close(master);
}

enum { THREADS = 4, LINES = 400 };

static void *log_lines(void *arg)
{
    struct log *log = arg;
    static const char *const names[] = {"one", "two", "three", "four"};
    for (int i = 0; i < LINES; i++)
        LOG(log, LOG_INFO, names[i % 4], "from a thread", LOG_STR("tail", "0123456789abcdef"));
    return NULL;
}

/* Lines of several threads are whole, and written + suppressed is what was logged. */
static void test_threads(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fcntl(fileno(file), F_SETFL, O_APPEND), 0);
    struct log *log = log_new(LOG_TEXT, LOG_INFO, fileno(file));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, log), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_free(log);

    rewind(file);
    char line[LOG_LINE_MAX];
    unsigned long seen = 0;
    while (fgets(line, sizeof line, file)) {
        const char *suppressed = strstr(line, " suppressed=");
        if (suppressed)
            seen += strtoul(suppressed + 12, NULL, 10);
        else
            seen++;
        const char *tail = strstr(line, "from a thread tail=0123456789abcdef\n");
        assert_true(suppressed || (tail && strlen(tail) == 36));
    }
    assert_int_equal(seen, THREADS * LINES);
    fclose(file);
}

static void test_no_memory(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    fail_alloc_after(0);
    struct log *none = log_new(LOG_TEXT, LOG_INFO, 2);
    fail_alloc_off();
    assert_null(none);
    log_free(NULL);

    /* After log_new nothing allocates. */
    struct pipe_log p = open_log(LOG_JSON, LOG_INFO);
    fail_alloc_after(0);
    LOG(p.log, LOG_INFO, "x", "y", LOG_STR("k", "v"));
    fail_alloc_off();
    close_log(&p);
    assert_int_equal(count("\"k\":\"v\""), 1);
    assert_int_equal(fail_alloc_live(), live);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),        cmocka_unit_test(test_json),
        cmocka_unit_test(test_unevaluated), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_long),        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_many_events), cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_full_socket), cmocka_unit_test(test_closed_pipe),
        cmocka_unit_test(test_terminal),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
