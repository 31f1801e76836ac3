/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/text.h"
#include "net/crypto.h"

#define DAY_SECONDS 86400L

/* Cleanup of OpenSSL's own types, in the style of base/auto.h */
static void x509_freep(X509 **p)
{
	X509_free(*p);
}

static void pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

#define auto_x509 __attribute__((cleanup(x509_freep)))
#define auto_pkey __attribute__((cleanup(pkey_freep)))

static int path_of(char path[PATH_MAX], const char *dir, const char *name, const char *suffix,
		   struct err *err)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s", dir, name, suffix);

	if (n < 0 || n >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "directory %.80s...", dir);
	return 0;
}

/* Says early, before any file is written, that one is there already */
static int want_absent(const char *path, bool force, struct err *err)
{
	if (!force && access(path, F_OK) == 0)
		return err_set(err, -EEXIST, "%s (--force replaces it)", path);
	return 0;
}

/* Writes one PEM object through @write_pem to a temporary file and renames it into place */
static int write_file(const char *path, mode_t mode, bool force,
		      int (*write_pem)(FILE *f, const void *object), const void *object,
		      struct err *err)
{
	char temporary[PATH_MAX + 16];

	(void)snprintf(temporary, sizeof(temporary), "%s.tmp%d", path, (int)getpid());
	auto_close int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, -errno, "create %s", temporary);
	auto_fclose FILE *f = fdopen(fd, "w");
	if (!f)
		return err_set(err, -errno, "create %s", temporary);
	int file_fd = TAKE_FD(fd); /* closed with f from here on */
	int r = 0;
	if (write_pem(f, object) != 1 || fflush(f) != 0 || fsync(file_fd) < 0)
		r = err_set(err, errno ? -errno : -EIO, "write %s", temporary);
	else if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, force ? 0 : RENAME_NOREPLACE) < 0)
		r = err_set(err, -errno, "rename %s to %s", temporary, path);
	if (r < 0)
		(void)unlink(temporary);
	return r;
}

static int write_key(FILE *f, const void *key)
{
	return PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
}

static int write_cert(FILE *f, const void *cert)
{
	return PEM_write_X509(f, (X509 *)(uintptr_t)cert);
}

/* Certificate with everything but issuer, extensions and signature */
static X509 *blank_certificate(EVP_PKEY *key, const char *cn, const char *ou, int days)
{
	auto_x509 X509 *x = X509_new();
	uint8_t serial[16];

	if (!x || crypto_random(serial, sizeof(serial)) < 0)
		return NULL;
	serial[0] &= 0x7f; /* positive */
	BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
	bool numbered = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
	BN_free(number);
	/* an hour back, so that hosts whose clocks differ a little accept it at once */
	long from = days < 0 ? days * DAY_SECONDS - 3600 : -3600;
	long until = days < 0 ? -DAY_SECONDS / 2 : days * DAY_SECONDS;
	X509_NAME *subject = X509_get_subject_name(x);
	if (!numbered || X509_set_version(x, X509_VERSION_3) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(x), from) ||
	    !X509_gmtime_adj(X509_getm_notAfter(x), until) || X509_set_pubkey(x, key) != 1 ||
	    X509_NAME_add_entry_by_NID(subject, NID_organizationalUnitName, MBSTRING_UTF8,
				       (const unsigned char *)ou, -1, -1, 0) != 1 ||
	    X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
				       (const unsigned char *)cn, -1, -1, 0) != 1)
		return NULL;
	return TAKE_PTR(x);
}

/* Adds an extension given in OpenSSL's text form */
static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool added = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return added;
}

int pki_init(const char *dir, bool force, struct err *err)
{
	char key_path[PATH_MAX], cert_path[PATH_MAX], cn[NAME_SIZE];
	uint8_t mark[4];
	int r;

	r = path_of(key_path, dir, "ca", ".key", err);
	if (r == 0)
		r = path_of(cert_path, dir, "ca", ".crt", err);
	if (r == 0 && mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = err_set(err, -errno, "create directory %s", dir);
	if (r == 0)
		r = want_absent(cert_path, force, err);
	if (r == 0)
		r = want_absent(key_path, force, err);
	if (r < 0)
		return r;
	/* the mark tells two authorities apart where a person reads their names */
	if (crypto_random(mark, sizeof(mark)) < 0)
		return err_set(err, -EIO, "random numbers");
	(void)snprintf(cn, sizeof(cn), "Baton authority %02x%02x%02x%02x", mark[0], mark[1],
		       mark[2], mark[3]);
	auto_pkey EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key)
		return err_set(err, -EIO, "make an Ed25519 key");
	auto_x509 X509 *ca = blank_certificate(key, cn, "authority", PKI_CA_DAYS);
	if (!ca || X509_set_issuer_name(ca, X509_get_subject_name(ca)) != 1 ||
	    !extend(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extend(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !extend(ca, ca, NID_subject_key_identifier, "hash") || !X509_sign(ca, key, NULL))
		return err_set(err, -EIO, "make the certificate of the authority");
	r = write_file(key_path, 0600, force, write_key, key, err);
	if (r == 0)
		r = write_file(cert_path, 0644, force, write_cert, ca, err);
	return r;
}

static int load_authority(const char *dir, X509 **cert, EVP_PKEY **key, struct err *err)
{
	char path[PATH_MAX];
	int r;

	r = path_of(path, dir, "ca", ".crt", err);
	if (r < 0)
		return r;
	auto_fclose FILE *cert_file = fopen(path, "re");
	if (!cert_file)
		return err_set(err, -errno, "open %s (make it with `baton pki init`)", path);
	auto_x509 X509 *x = PEM_read_X509(cert_file, NULL, NULL, NULL);
	if (!x)
		return err_set(err, -EINVAL, "%s holds no certificate", path);
	r = path_of(path, dir, "ca", ".key", err);
	if (r < 0)
		return r;
	auto_fclose FILE *key_file = fopen(path, "re");
	if (!key_file)
		return err_set(err, -errno, "open %s", path);
	auto_pkey EVP_PKEY *k = PEM_read_PrivateKey(key_file, NULL, NULL, (void *)(uintptr_t) "");
	if (!k || X509_check_private_key(x, k) != 1)
		return err_set(err, -EINVAL, "%s is not the key of ca.crt", path);
	*cert = TAKE_PTR(x);
	*key = TAKE_PTR(k);
	return 0;
}

int pki_issue(const char *dir, const char *name, enum wire_role role, int days, bool force,
	      struct err *err)
{
	char key_path[PATH_MAX], cert_path[PATH_MAX], checked[NAME_SIZE];
	int r;

	r = name_set(checked, name, err);
	if (r < 0)
		return r;
	if (strcmp(checked, "ca") == 0)
		return err_set(err, -EINVAL, "the name \"ca\" is the authority's own");
	if (role == WIRE_ROLE_NONE || wire_role_from_name(wire_role_name(role)) != role)
		return err_set(err, -EINVAL, "role: want mud, ap, es, logrepo or operator");
	r = path_of(key_path, dir, checked, ".key", err);
	if (r == 0)
		r = path_of(cert_path, dir, checked, ".crt", err);
	if (r == 0)
		r = want_absent(cert_path, force, err);
	if (r == 0)
		r = want_absent(key_path, force, err);
	if (r < 0)
		return r;

	X509 *loaded_cert = NULL;
	EVP_PKEY *loaded_key = NULL;
	r = load_authority(dir, &loaded_cert, &loaded_key, err);
	if (r < 0)
		return r;
	auto_x509 X509 *ca = loaded_cert;
	auto_pkey EVP_PKEY *ca_key = loaded_key;
	auto_pkey EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key)
		return err_set(err, -EIO, "make an Ed25519 key");
	auto_x509 X509 *x =
		blank_certificate(key, checked, wire_role_name(role), days ? days : PKI_CERT_DAYS);
	if (!x || X509_set_issuer_name(x, X509_get_subject_name(ca)) != 1 ||
	    !extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !extend(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !extend(x, ca, NID_ext_key_usage, "serverAuth,clientAuth") ||
	    !extend(x, ca, NID_subject_key_identifier, "hash") ||
	    !extend(x, ca, NID_authority_key_identifier, "keyid") || !X509_sign(x, ca_key, NULL))
		return err_set(err, -EIO, "make the certificate of %s", checked);
	r = write_file(key_path, 0600, force, write_key, key, err);
	if (r == 0)
		r = write_file(cert_path, 0644, force, write_cert, x, err);
	return r;
}
