/* Keys from files: which bytes are the secret's, who may read the file, and what an operator is
 * told, which is never anything that is in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/guest_key.h"
#include "auth/jwk.h"
#include "auth/key_file.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "jwk_check.h"
#include "token_maker.h"

#define SECRET "0123456789abcdef0123456789abcdef"

typedef int reader(const char *path, struct jwk_set **out, char why[static KEY_FILE_WHY_MAX]);

static char dir[] = "/tmp/parlor-key-file-XXXXXX";

/* Writes a file anew; its name is static. */
static const char *put(const char *bytes, size_t len, mode_t mode)
{
    static char path[sizeof dir + 8];
    snprintf(path, sizeof path, "%s/key", dir);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static const char *put_text(const char *text, mode_t mode)
{
    return put(text, strlen(text), mode);
}

static struct jwk_set *check_read(reader *read_file, const char *path)
{
    struct jwk_set *set = NULL;
    char why[KEY_FILE_WHY_MAX] = "?";
    int err = read_file(path, &set, why);
    if (err || why[0]) fail_msg("%d %s", err, why);
    assert_non_null(set);
    return set;
}

/* It is refused, and the sentence has the path, as it is shown, and both words. */
static void check_refused(reader *read_file, const char *path, const char *word, const char *advice)
{
    struct jwk_set *set = (struct jwk_set *)dir;
    char why[KEY_FILE_WHY_MAX] = "";
    int err = read_file(path, &set, why);
    if (err != ERR_CONFIG || set || !strstr(why, dir) || !strstr(why, word) ||
        !strstr(why, advice) || strstr(why, "0123456789"))
        fail_msg("%d %s", err, why);
}

/* The file's secret is this one. */
static void check_secret(const char *path, const char *secret, size_t len)
{
    struct jwk_set *set = check_read(key_file_secret, path);
    struct token_signer signer = {.hash = "SHA256", .secret = {secret, len}};
    char *token = token_make(&signer, "{\"alg\":\"HS256\"}", SLICE_LIT("{}"));
    assert_int_equal(jwk_check_verify(set, "HS256", NULL, token), JWK_GOOD);
    free(token);
    jwk_set_unref(set);
}

static void test_secret_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len, secret_len;
    } rows[] = {
        {SECRET, 32, 32},          {SECRET "\n", 33, 32}, {SECRET "\n\n", 34, 33},
        {SECRET "\r\n", 34, 33},   {SECRET "\r", 33, 33}, {SECRET " ", 33, 33},
        {"\n\0\n" SECRET, 35, 35},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_secret(put(rows[i].bytes, rows[i].len, 0600), rows[i].bytes, rows[i].secret_len);
}

static void test_secret_length(void **state)
{
    (void)state;
    char bytes[JWK_PEM_MAX + 2];
    memset(bytes, 'x', sizeof bytes);
    check_secret(put(bytes, JWK_SECRET_MAX, 0600), bytes, JWK_SECRET_MAX);
    bytes[JWK_SECRET_MAX] = '\n';
    check_secret(put(bytes, JWK_SECRET_MAX + 1, 0600), bytes, JWK_SECRET_MAX);
    bytes[JWK_SECRET_MAX] = 'x';
    check_refused(key_file_secret, put(bytes, JWK_SECRET_MAX + 1, 0600), "4096", "openssl rand");
    check_refused(key_file_secret, put(bytes, sizeof bytes, 0600), "4096", "openssl rand");
    check_refused(key_file_secret, put_text("", 0600), "32 bytes", "openssl rand");
    check_refused(key_file_secret, put_text("\n", 0600), "32 bytes", "openssl rand");
    check_refused(key_file_secret, put(SECRET, 31, 0600), "32 bytes", "openssl rand");
    /* 31 and a line feed are 31. */
    check_refused(key_file_secret, put_text("0123456789abcdef0123456789abcde\n", 0600), "32 bytes",
                  "openssl rand");
}

static void test_secret_is_private(void **state)
{
    (void)state;
    static const mode_t good[] = {0600, 0400, 0700};
    static const mode_t bad[] = {0640, 0604, 0660, 0644, 0620, 0602, 0610};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        check_secret(put_text(SECRET, good[i]), SECRET, 32);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(key_file_secret, put_text(SECRET, bad[i]), "other users", "chmod 600");
}

static void check_no_file(reader *read_file)
{
    char path[sizeof dir + 16];
    snprintf(path, sizeof path, "%s/none", dir);
    check_refused(read_file, path, "/none\": No such file", "is the name right?");
    check_refused(read_file, dir, "Is a directory", "openssl");
    snprintf(path, sizeof path, "%s/a\033[1m\n\xff", dir);
    check_refused(read_file, path, "/a?[1m??\": No such file", "is the name right?");
}

static void test_no_file(void **state)
{
    (void)state;
    check_no_file(key_file_secret);
    check_no_file(key_file_pem);
}

/* The secret of guest keys is read as that of tokens. */
static void test_guest_secret(void **state)
{
    (void)state;
    struct guest_key_signer want;
    struct guest_key_signer got;
    char why[KEY_FILE_WHY_MAX] = "?";
    char bytes[JWK_SECRET_MAX + 1];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(guest_key_signer_init(&want, SLICE_LIT(SECRET)), 0);
    assert_int_equal(key_file_guest(put_text(SECRET "\n", 0600), &got, why), 0);
    assert_string_equal(why, "");
    assert_memory_equal(&got, &want, sizeof got);
    static const struct {
        const char *bytes;
        size_t len;
        mode_t mode;
        const char *word;
    } bad[] = {{SECRET, 31, 0600, "32 bytes"}, {SECRET, 32, 0640, "other users"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *path = put(bad[i].bytes, bad[i].len, bad[i].mode);
        assert_int_equal(key_file_guest(path, &got, why), ERR_CONFIG);
        if (!strstr(why, dir) || !strstr(why, bad[i].word)) fail_msg("%s", why);
    }
    assert_int_equal(key_file_guest(put(bytes, sizeof bytes, 0600), &got, why), ERR_CONFIG);
    assert_non_null(strstr(why, "4096"));
}

/* As systemd hands them out, and shells: nobody else can open it. */
static void test_pipe(void **state)
{
    (void)state;
    int fds[2];
    char path[32];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], SECRET "\n", 33), 33);
    close(fds[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", fds[0]);
    check_secret(path, SECRET, 32);
    close(fds[0]);
}

static void test_pem(void **state)
{
    (void)state;
    EVP_PKEY *pkey = token_key("P-256");
    char *public = token_pem(pkey, false);
    char *private = token_pem(pkey, true);
    struct token_signer signer = {.hash = "SHA256", .pkey = pkey};
    char *token = token_make(&signer, "{\"alg\":\"ES256\"}", SLICE_LIT("{}"));

    struct jwk_set *set = check_read(key_file_pem, put_text(public, 0644));
    assert_int_equal(jwk_check_verify(set, "ES256", NULL, token), JWK_GOOD);
    jwk_set_unref(set);
    check_refused(key_file_pem, put_text(private, 0600), "BEGIN PUBLIC KEY", "openssl pkey");
    check_refused(key_file_pem, put_text("", 0600), "no PEM", "openssl pkey");
    check_refused(key_file_pem, put_text(SECRET, 0600), "no PEM", "openssl pkey");
    check_refused(key_file_secret, put_text(public, 0600), "PEM and no secret", "openssl rand");
    free(token);
    free(private);
    free(public);
    EVP_PKEY_free(pkey);
}

static void test_pem_length(void **state)
{
    (void)state;
    char bytes[JWK_PEM_MAX + 2];
    memset(bytes, '\n', sizeof bytes);
    EVP_PKEY *pkey = token_key("ED25519");
    char *text = token_pem(pkey, false);
    memcpy(bytes, text, strlen(text));
    jwk_set_unref(check_read(key_file_pem, put(bytes, JWK_PEM_MAX, 0644)));
    check_refused(key_file_pem, put(bytes, JWK_PEM_MAX + 1, 0644), "16 KiB", "openssl pkey");
    check_refused(key_file_pem, put(bytes, JWK_PEM_MAX + 2, 0644), "16 KiB", "openssl pkey");
    free(text);
    EVP_PKEY_free(pkey);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const char *path = put_text(SECRET, 0600);
    long live = fail_alloc_live();
    struct jwk_set *set = NULL;
    char why[KEY_FILE_WHY_MAX];
    fail_alloc_after(0);
    int err = key_file_secret(path, &set, why);
    fail_alloc_off();
    assert_int_equal(err, ERR_NOMEM);
    assert_null(set);
    assert_string_equal(why, "");
    assert_int_equal(fail_alloc_live(), live);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char path[sizeof dir + 8];
    snprintf(path, sizeof path, "%s/key", dir);
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_bytes),
        cmocka_unit_test(test_secret_length),
        cmocka_unit_test(test_secret_is_private),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_guest_secret),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_pem),
        cmocka_unit_test(test_pem_length),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
