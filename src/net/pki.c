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
#include "net/pki_files.h"
#include "net/tls_identity.h"

#define DAY_SECONDS 86400L

/* Certificate with everything but issuer, extensions and signature */
static X509 *blank_certificate(EVP_PKEY *key, const char *cn, const char *ou, int days)
{
	pki_auto_x509 X509 *x = X509_new();
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

/** lock_for() - Begin to write a key and its certificate, which are not there unless @force. Return: the lock */
static int lock_for(const char *dir, const char *cert_path, const char *key_path, bool force,
		    struct err *err)
{
	auto_close int lock = pki_lock(dir, err);
	if (lock < 0)
		return lock;
	int r = pki_want_absent(cert_path, force, err);
	if (r == 0)
		r = pki_want_absent(key_path, force, err);
	return r < 0 ? r : TAKE_FD(lock);
}

int pki_init(const char *dir, bool force, struct err *err)
{
	char key_path[PATH_MAX], cert_path[PATH_MAX], cn[NAME_SIZE];
	uint8_t mark[4];
	int r;

	r = pki_path(key_path, dir, "ca", ".key", err);
	if (r == 0)
		r = pki_path(cert_path, dir, "ca", ".crt", err);
	if (r == 0 && mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = err_set(err, -errno, "create directory %s", dir);
	if (r < 0)
		return r;
	auto_close int lock = lock_for(dir, cert_path, key_path, force, err);
	if (lock < 0)
		return lock;
	/* the mark tells two authorities apart where a person reads their names */
	if (crypto_random(mark, sizeof(mark)) < 0)
		return err_set(err, -EIO, "random numbers");
	(void)snprintf(cn, sizeof(cn), "Baton authority %02x%02x%02x%02x", mark[0], mark[1],
		       mark[2], mark[3]);
	pki_auto_pkey EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key)
		return err_set(err, -EIO, "make an Ed25519 key");
	pki_auto_x509 X509 *ca = blank_certificate(key, cn, "authority", PKI_CA_DAYS);
	if (!ca || X509_set_issuer_name(ca, X509_get_subject_name(ca)) != 1 ||
	    !extend(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extend(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !extend(ca, ca, NID_subject_key_identifier, "hash") || !X509_sign(ca, key, NULL))
		return err_set(err, -EIO, "make the certificate of the authority");
	r = pki_write(key_path, 0600, force, pki_write_key, key, err);
	if (r == 0)
		r = pki_write(cert_path, 0644, force, pki_write_cert, ca, err);
	return r;
}

int pki_certify(X509 **ret, const char *dir, const char *name, enum wire_role role, int days,
		EVP_PKEY *key, struct err *err)
{
	X509 *loaded_cert = NULL;
	EVP_PKEY *loaded_key = NULL;
	int r = pki_load_authority(dir, &loaded_cert, &loaded_key, err);

	if (r < 0)
		return r;
	pki_auto_x509 X509 *ca = loaded_cert;
	pki_auto_pkey EVP_PKEY *ca_key = loaded_key;
	pki_auto_x509 X509 *x =
		blank_certificate(key, name, wire_role_name(role), days ? days : PKI_CERT_DAYS);
	if (!x || X509_set_issuer_name(x, X509_get_subject_name(ca)) != 1 ||
	    !extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !extend(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !extend(x, ca, NID_ext_key_usage, "serverAuth,clientAuth") ||
	    !extend(x, ca, NID_subject_key_identifier, "hash") ||
	    !extend(x, ca, NID_authority_key_identifier, "keyid") || !X509_sign(x, ca_key, NULL))
		return err_set(err, -EIO, "make the certificate of %s", name);
	r = pki_record(dir, name, x, err);
	if (r == 0)
		*ret = TAKE_PTR(x);
	return r;
}

int pki_name_check(char to[NAME_SIZE], const char *name, enum wire_role role, struct err *err)
{
	int r = name_set(to, name, err);

	if (r < 0)
		return r;
	if (strcmp(to, "ca") == 0 || strcmp(to, PKI_ISSUED) == 0)
		return err_set(err, -EINVAL, "the name \"%s\" is the authority's own", to);
	if (role == WIRE_ROLE_NONE || wire_role_from_name(wire_role_name(role)) != role)
		return err_set(err, -EINVAL, "role: want mud, ap, es, logrepo or operator");
	return 0;
}

int pki_issue(const char *dir, const char *name, enum wire_role role, int days, bool force,
	      struct err *err)
{
	char key_path[PATH_MAX], cert_path[PATH_MAX], checked[NAME_SIZE];
	int r;

	r = pki_name_check(checked, name, role, err);
	if (r < 0)
		return r;
	r = pki_path(key_path, dir, checked, ".key", err);
	if (r == 0)
		r = pki_path(cert_path, dir, checked, ".crt", err);
	if (r < 0)
		return r;
	auto_close int lock = lock_for(dir, cert_path, key_path, force, err);
	if (lock < 0)
		return lock;

	pki_auto_pkey EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key)
		return err_set(err, -EIO, "make an Ed25519 key");
	X509 *certified = NULL;
	r = pki_certify(&certified, dir, checked, role, days, key, err);
	pki_auto_x509 X509 *x = certified;
	if (r == 0)
		r = pki_write(key_path, 0600, force, pki_write_key, key, err);
	if (r == 0)
		r = pki_write(cert_path, 0644, force, pki_write_cert, x, err);
	return r;
}

int pki_renew(const char *dir, const char *name, int days, enum wire_role *role, struct err *err)
{
	char path[PATH_MAX], found[NAME_SIZE] = "";
	int r = pki_path(path, dir, name, ".crt", err);

	if (r < 0)
		return r;
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, -errno, "open %s (make one with `baton pki issue %s ROLE`)",
			       path, name);
	pki_auto_x509 X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
	if (!x)
		return err_set(err, -EINVAL, "%s holds no certificate", path);
	r = tls_identity_read(x, found, role, err);
	if (r == 0 && strcmp(found, name) != 0)
		r = err_set(err, -EINVAL, "%s is the certificate of %s", path, found);
	return r < 0 ? r : pki_issue(dir, name, *role, days, true, err);
}
