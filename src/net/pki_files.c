/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pki_files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/err.h"
#include "net/crypto.h"

int pki_path(char path[PATH_MAX], const char *dir, const char *name, const char *suffix,
	     struct err *err)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s", dir, name, suffix);

	if (n < 0 || n >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "directory %.80s...", dir);
	return 0;
}

int pki_lock(const char *dir, struct err *err)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "open %s (make it with `baton pki init`)", dir);
	if (flock(fd, LOCK_EX) < 0)
		return err_set(err, -errno, "lock %s", dir);
	return TAKE_FD(fd);
}

/* Says early, before any file is written, that one is there already */
int pki_want_absent(const char *path, bool force, struct err *err)
{
	if (!force && access(path, F_OK) == 0)
		return err_set(err, -EEXIST, "%s (--force replaces it)", path);
	return 0;
}

/** directory_of() - Open the directory of a file; @name: set to its name there */
static int directory_of(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	*name = slash ? slash + 1 : path;
	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1,
		       slash ? path : ".");
	return open(slash == path ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int pki_write(const char *path, mode_t mode, bool force,
	      int (*write_pem)(FILE *f, const void *object), const void *object, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	const char *name;
	int r = 0;

	auto_close int dir = directory_of(path, &name);
	if (dir < 0)
		return err_set(err, -errno, "open the directory of %s", path);
	FILE *f = open_memstream(&text, &len);
	if (!f || write_pem(f, object) != 1)
		r = err_set(err, -ENOMEM, "write %s", path);
	if (f && fclose(f) != 0 && r == 0)
		r = err_set(err, -ENOMEM, "write %s", path);
	if (r == 0)
		r = (force ? atomic_file_write : atomic_file_create)(dir, name, text, len, mode,
								     err);
	if (text) /* perhaps a key */
		crypto_wipe(text, len);
	free(text);
	return r < 0 ? err_wrap(err, r, "%s", path) : 0;
}

int pki_write_key(FILE *f, const void *key)
{
	return PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
}

int pki_write_cert(FILE *f, const void *cert)
{
	return PEM_write_X509(f, (X509 *)(uintptr_t)cert);
}

int pki_load_authority(const char *dir, X509 **cert, EVP_PKEY **key, struct err *err)
{
	char path[PATH_MAX];
	int r;

	r = pki_path(path, dir, "ca", ".crt", err);
	if (r < 0)
		return r;
	auto_fclose FILE *cert_file = fopen(path, "re");
	if (!cert_file)
		return err_set(err, -errno, "open %s (make it with `baton pki init`)", path);
	pki_auto_x509 X509 *x = PEM_read_X509(cert_file, NULL, NULL, NULL);
	if (!x)
		return err_set(err, -EINVAL, "%s holds no certificate", path);
	r = pki_path(path, dir, "ca", ".key", err);
	if (r < 0)
		return r;
	auto_fclose FILE *key_file = fopen(path, "re");
	if (!key_file)
		return err_set(err, -errno, "open %s", path);
	pki_auto_pkey EVP_PKEY *k =
		PEM_read_PrivateKey(key_file, NULL, NULL, (void *)(uintptr_t) "");
	if (!k || X509_check_private_key(x, k) != 1)
		return err_set(err, -EINVAL, "%s is not the key of ca.crt", path);
	*cert = TAKE_PTR(x);
	*key = TAKE_PTR(k);
	return 0;
}

/* ---- list of issued certificates ---- */

int pki_record(const char *dir, const char *name, X509 *cert, struct err *err)
{
	char path[PATH_MAX], line[PKI_SERIAL_SIZE + NAME_SIZE + 8];
	char serial[PKI_SERIAL_SIZE];
	int r = pki_path(path, dir, PKI_ISSUED, "", err);

	if (r == 0)
		r = pki_serial(serial, X509_get0_serialNumber(cert), err);
	if (r < 0)
		return r;
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	int n = snprintf(line, sizeof(line), "%s %s\n", serial, name);
	off_t end = lseek(fd, 0, SEEK_END);
	errno = 0;
	if (end < 0 || write(fd, line, (size_t)n) != n || fsync(fd) < 0) {
		r = err_set(err, errno ? -errno : -EIO, "write %s", path);
		/* an entry behind a torn line would be read as part of it, and could not be revoked */
		if (end >= 0 && ftruncate(fd, end) < 0)
			return err_wrap(err, r, "half a line is left");
		return r;
	}
	return 0;
}

int pki_recorded(const char *dir, const char *name,
		 int (*found)(void *ctx, const char *serial, struct err *err), void *ctx,
		 struct err *err)
{
	char path[PATH_MAX], serial[PKI_SERIAL_SIZE], whose[NAME_SIZE];
	char line[PKI_SERIAL_SIZE + NAME_SIZE + 8];
	int r = pki_path(path, dir, PKI_ISSUED, "", err);

	if (r < 0)
		return r;
	auto_fclose FILE *f = fopen(path, "re");
	if (!f && errno != ENOENT) /* older than this file: nothing is recorded */
		return err_set(err, -errno, "open %s", path);
	while (r == 0 && f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%40s %63s", serial, whose) == 2 && strcmp(whose, name) == 0)
			r = found(ctx, serial, err);
	if (r == 0 && f && ferror(f))
		r = err_set(err, -EIO, "read %s", path);
	return r;
}

int pki_serial(char to[PKI_SERIAL_SIZE], const ASN1_INTEGER *from, struct err *err)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(from, NULL);
	char *text = number ? BN_bn2hex(number) : NULL;
	int r = text && strlen(text) < PKI_SERIAL_SIZE ? 0 : -EINVAL;

	if (r == 0)
		(void)snprintf(to, PKI_SERIAL_SIZE, "%s", text);
	OPENSSL_free(text);
	BN_free(number);
	return r < 0 ? err_set(err, r, "number of a certificate") : 0;
}
