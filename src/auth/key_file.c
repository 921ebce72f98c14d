/* See key_file.h. */
#include "auth/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/guest_key.h"
#include "auth/jwk.h"
#include "base/err.h"
#include "ops/secret_file.h"

enum {
    FILE_BYTES_MAX = JWK_PEM_MAX + 1, /* enough to see that either kind is too long */
    PATH_SHOWN_MAX = 512,
};

/* One kind of file. */
struct kind {
    bool secret;
    int (*make)(struct slice bytes, void *out, const char **why);
    const char *expected;
};

static int make_secret(struct slice bytes, void *out, const char **why)
{
    return jwk_set_from_secret(bytes, out, why);
}

static int make_pem(struct slice bytes, void *out, const char **why)
{
    return jwk_set_from_pem(bytes, out, why);
}

static int make_guest(struct slice bytes, void *out, const char **why)
{
    *why = bytes.len > JWK_SECRET_MAX ? "a secret has at most 4096 bytes"
                                      : "a secret has at least 32 bytes";
    if (bytes.len < GUEST_KEY_SECRET_MIN || bytes.len > JWK_SECRET_MAX) return ERR_CONFIG;
    return guest_key_signer_init(out, bytes);
}

static const struct kind secret_kind = {
    true, make_secret,
    "it has to hold the secret that tokens are signed with, as 'openssl rand -hex 32' makes one"};
static const struct kind pem_kind = {
    false, make_pem,
    "it has to hold the public key of who signs tokens, as 'openssl pkey -in KEY -pubout' writes "
    "it"};
static const struct kind guest_kind = {
    true, make_guest,
    "it has to hold a secret of the server's own, as 'openssl rand -hex 32' makes one"};

/* Writes the sentence; advice may be "". */
static int refuse_file(const char *path, const char *reason, const char *advice,
                       char why[static KEY_FILE_WHY_MAX])
{
    char safe[PATH_SHOWN_MAX];
    size_t n = 0;
    for (; n < sizeof safe - 1 && path[n]; n++) {
        unsigned char c = (unsigned char)path[n];
        safe[n] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    safe[n] = '\0';
    snprintf(why, KEY_FILE_WHY_MAX, "\"%s\": %s%s%s", safe, reason, *advice ? "; " : "", advice);
    return ERR_CONFIG;
}

static const char *advice_of(int error, const struct kind *kind)
{
    if (error == EACCES || error == EPERM)
        return "the user that the server runs as has to be able to read it";
    if (error == ENOENT || error == ENOTDIR) return "is the name right?";
    return kind->expected;
}

/* Until the end, or FILE_BYTES_MAX. The count, or -1 with errno. */
static ssize_t read_key_bytes(int fd, char bytes[static FILE_BYTES_MAX])
{
    size_t len = 0;
    while (len < FILE_BYTES_MAX) {
        ssize_t n = read(fd, bytes + len, FILE_BYTES_MAX - len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int make_key(const char *path, const struct kind *kind, struct slice bytes, void *out,
                    char why[static KEY_FILE_WHY_MAX])
{
    bool ends_in_feed = bytes.len > 0 && bytes.ptr[bytes.len - 1] == '\n';
    if (kind->secret && ends_in_feed) bytes.len--;
    const char *reason = NULL;
    int err = kind->make(bytes, out, &reason);
    return err == ERR_CONFIG ? refuse_file(path, reason, kind->expected, why) : err;
}

static int read_key_file(const char *path, const struct kind *kind, void *out,
                         char why[static KEY_FILE_WHY_MAX])
{
    char bytes[FILE_BYTES_MAX];
    why[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return refuse_file(path, strerror(errno), advice_of(errno, kind), why);
    bool is_public = kind->secret && secret_file_is_public(fd);
    ssize_t n = read_key_bytes(fd, bytes);
    int error = errno;
    close(fd);
    int err;
    if (n < 0)
        err = refuse_file(path, strerror(error), advice_of(error, kind), why);
    else if (is_public)
        err = refuse_file(path, SECRET_FILE_PUBLIC, "", why);
    else
        err = make_key(path, kind, (struct slice){bytes, (size_t)n}, out, why);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return err;
}

int key_file_secret(const char *path, struct jwk_set **out, char why[static KEY_FILE_WHY_MAX])
{
    *out = NULL;
    return read_key_file(path, &secret_kind, out, why);
}

int key_file_pem(const char *path, struct jwk_set **out, char why[static KEY_FILE_WHY_MAX])
{
    *out = NULL;
    return read_key_file(path, &pem_kind, out, why);
}

int key_file_guest(const char *path, struct guest_key_signer *out,
                   char why[static KEY_FILE_WHY_MAX])
{
    return read_key_file(path, &guest_kind, out, why);
}
