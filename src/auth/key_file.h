/* Keys from files, which are read once, at the start: those of tokens, a secret (--jwt-secret-file)
 * or a public key (--jwt-key), and the server's own secret (--secret-file). Blocks as files do; any
 * thread. */
#ifndef AUTH_KEY_FILE_H
#define AUTH_KEY_FILE_H

struct guest_key_signer;
struct jwk_set;

enum { KEY_FILE_WHY_MAX = 1024 };

/* The first two: 0: *out is a set with one reference, the caller's; on errors it is NULL. All:
 * ERR_CONFIG: why is a sentence for the operator that begins with the name of the file (what cannot
 * be shown of it is ?) and says what to do; it has nothing of what is in the file. ERR_NOMEM. why
 * is
 * "" but where said. No copy of a secret stays behind but that in *out. */

/* The file without one line feed at its end, which editors and echo put there; all other bytes are
 * the secret's. A file that others can read is refused (secret_file_is_public). */
int key_file_secret(const char *path, struct jwk_set **out, char why[static KEY_FILE_WHY_MAX]);

/* A PEM file, see jwk_set_from_pem. It is public, so anybody may read it. */
int key_file_pem(const char *path, struct jwk_set **out, char why[static KEY_FILE_WHY_MAX]);

/* As key_file_secret: what guest keys are signed with. */
int key_file_guest(const char *path, struct guest_key_signer *out,
                   char why[static KEY_FILE_WHY_MAX]);

#endif
