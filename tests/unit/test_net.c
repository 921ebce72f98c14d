/* The loop's promises: timers expire in order, a stale event finds nobody, the mailbox keeps order
 * and never loses a wake-up, and an address that is taken is not shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "fail_alloc.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/socket.h"
#include "net/timer.h"

static void test_timers(void **state)
{
    (void)state;
    struct timer_queue q;
    struct timer_queue never;
    struct timer t[3];
    timer_queue_init(&q, 100);
    timer_queue_init(&never, 0);
    for (int i = 0; i < 3; i++)
        timer_init(&t[i]);
    assert_int_equal(timer_queue_deadline(&q), UINT64_MAX);
    timer_start(&q, &t[0], 10);
    timer_start(&q, &t[1], 20);
    timer_start(&q, &t[2], 30);
    timer_start(&q, &t[0], 40); /* restarted: last now */
    timer_stop(&t[1]);
    timer_stop(&t[1]);
    assert_int_equal(timer_queue_deadline(&q), 130);
    assert_null(timer_queue_expired(&q, 129));
    assert_ptr_equal(timer_queue_expired(&q, 140), &t[2]);
    assert_ptr_equal(timer_queue_expired(&q, 140), &t[0]);
    assert_null(timer_queue_expired(&q, 1000));
    timer_start(&q, &t[1], 50);
    timer_start(&never, &t[1], 50); /* moved: no timeout means none */
    assert_int_equal(timer_queue_deadline(&q), UINT64_MAX);
    assert_int_equal(timer_queue_deadline(&never), UINT64_MAX);
}

static void ignore(struct io *io, uint32_t events)
{
    (void)io;
    (void)events;
}

static void test_stale_events(void **state)
{
    (void)state;
    struct loop loop;
    int a[2];
    int b[2];
    struct io io_a = {.on_events = ignore};
    struct io io_b = {.on_events = ignore};
    struct epoll_event ev[4];
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    io_a.fd = a[0];
    io_b.fd = b[0];
    assert_int_equal(loop_add(&loop, &io_a, EPOLLIN), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(loop_wait(&loop, 1000, ev, 4), 1);
    assert_ptr_equal(loop_owner(&loop, &ev[0]), &io_a);
    /* The event is in hand when its owner goes and another one takes the slot. */
    loop_remove(&loop, &io_a);
    close(a[0]);
    assert_null(loop_owner(&loop, &ev[0]));
    assert_int_equal(loop_add(&loop, &io_b, EPOLLIN), 0);
    assert_int_equal(io_b.slot, io_a.slot);
    assert_null(loop_owner(&loop, &ev[0]));
    assert_ptr_equal(loop_at(&loop, io_b.slot), &io_b);
    loop_set(&loop, &io_b, EPOLLOUT);
    assert_int_equal(loop_wait(&loop, 1000, ev, 4), 1);
    assert_ptr_equal(loop_owner(&loop, &ev[0]), &io_b);
    loop_remove(&loop, &io_b);
    io_b.fd = -1;
    assert_int_equal(loop_add(&loop, &io_b, EPOLLIN), ERR_IO);
    assert_int_equal(loop.slot_count, 1);
    close(a[1]);
    close(b[0]);
    close(b[1]);
    loop_fini(&loop);
}

static void test_loop_out_of_memory(void **state)
{
    (void)state;
    struct loop loop;
    struct io io = {.on_events = ignore};
    int p[2];
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(pipe(p), 0);
    io.fd = p[0];
    fail_alloc_after(0);
    assert_int_equal(loop_add(&loop, &io, EPOLLIN), ERR_NOMEM);
    fail_alloc_off();
    assert_int_equal(loop_add(&loop, &io, EPOLLIN), 0);
    close(p[0]);
    close(p[1]);
    loop_fini(&loop);
}

enum { POSTERS = 3, POSTS = 20000 };

struct letter {
    struct slink link;
    unsigned from;
    unsigned number;
};

static struct mailbox box;
static struct letter letters[POSTERS][POSTS];

static void *post_all(void *arg)
{
    struct letter *mine = arg;
    for (unsigned i = 0; i < POSTS; i++)
        mailbox_post(&box, &mine[i].link);
    return NULL;
}

/* The owner sleeps with a time limit that only a lost wake-up would reach. */
static void test_mailbox(void **state)
{
    (void)state;
    pthread_t threads[POSTERS];
    unsigned next[POSTERS] = {0};
    unsigned taken = 0;
    assert_int_equal(mailbox_init(&box), 0);
    for (unsigned t = 0; t < POSTERS; t++) {
        for (unsigned i = 0; i < POSTS; i++)
            letters[t][i] = (struct letter){.from = t, .number = i};
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, letters[t]), 0);
    }
    while (taken < POSTERS * POSTS) {
        if (mailbox_sleep(&box)) {
            struct pollfd p = {.fd = box.io.fd, .events = POLLIN};
            assert_int_equal(poll(&p, 1, 20000), 1);
            box.io.on_events(&box.io, EPOLLIN);
        }
        mailbox_awake(&box);
        for (struct slink *l = mailbox_take(&box); l; taken++) {
            const struct letter *letter = container_of(l, struct letter, link);
            assert_int_equal(letter->number, next[letter->from]);
            next[letter->from]++;
            l = l->next;
        }
    }
    for (unsigned t = 0; t < POSTERS; t++)
        pthread_join(threads[t], NULL);
    mailbox_fini(&box);
}

static void test_listen_is_exclusive(void **state)
{
    (void)state;
    int first = socket_listen("127.0.0.1", 0, true);
    assert_true(first >= 0);
    uint16_t port = socket_port(first);
    int second = socket_listen("127.0.0.1", port, false);
    assert_true(second >= 0);
    assert_int_equal(socket_listen("127.0.0.1", port, true), ERR_IO); /* another server */
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(socket_listen("localhost", port, true), ERR_BAD_REQUEST); /* not numeric */
    close(first);
    close(second);
}

/* The text of the address a socket listens on is the text it was made from. */
static void check_address(const char *host)
{
    uint8_t ip[SOCKET_IP_BYTES];
    char text[SOCKET_TEXT_MAX];
    int fd = socket_listen(host, 0, true);
    assert_true(fd >= 0);
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof ss;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    socket_ip(&ss, ip);
    socket_ip_text(ip, text);
    assert_string_equal(text, host);
    close(fd);
}

static void test_addresses(void **state)
{
    (void)state;
    check_address("127.0.0.1");
    check_address("::1");
}

static void check_client(const char *address, const char *client)
{
    uint8_t ip[SOCKET_IP_BYTES] = {0};
    char text[SOCKET_TEXT_MAX];
    if (inet_pton(AF_INET, address, ip + 12) == 1)
        ip[10] = ip[11] = 0xff;
    else
        assert_int_equal(inet_pton(AF_INET6, address, ip), 1);
    socket_ip_client(ip);
    socket_ip_text(ip, text);
    assert_string_equal(text, client);
}

static void test_clients(void **state)
{
    (void)state;
    check_client("192.0.2.7", "192.0.2.7");
    check_client("::ffff:192.0.2.8", "192.0.2.8");
    check_client("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    check_client("2001:db8:1:2::", "2001:db8:1:2::");
    check_client("2001:db8:1:3::1", "2001:db8:1:3::");
    check_client("::1", "::1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_stale_events),
        cmocka_unit_test(test_loop_out_of_memory),
        cmocka_unit_test(test_mailbox),
        cmocka_unit_test(test_listen_is_exclusive),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
