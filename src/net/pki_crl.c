/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The authority's list of revoked certificates, ca.crl
 *
 * It is valid as long as the authority: no program fetches it by itself, and an expired list would shut out
 * all nodes.
 */

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "net/pki.h"
#include "net/pki_files.h"

/**
 * struct revocation - A list that grows
 * @now:	When
 * @added:	How many were not in it before
 */
struct revocation {
	X509_CRL *list;
	ASN1_TIME *now;
	size_t added;
};

static int write_list(FILE *f, const void *list)
{
	return PEM_write_X509_CRL(f, (X509_CRL *)(uintptr_t)list);
}

/* Adds one number, unless it is there */
static int revoke_serial(void *ctx, const char *serial, struct err *err)
{
	struct revocation *rv = ctx;
	BIGNUM *number = NULL;
	X509_REVOKED *entry = NULL;

	ASN1_INTEGER *as_integer =
		BN_hex2bn(&number, serial) ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
	BN_free(number);
	int there = as_integer ? X509_CRL_get0_by_serial(rv->list, &entry, as_integer) : -1;
	if (there == 1) {
		ASN1_INTEGER_free(as_integer);
		return 0;
	}
	entry = there == 0 ? X509_REVOKED_new() : NULL;
	bool good = entry && X509_REVOKED_set_serialNumber(entry, as_integer) == 1 &&
		    X509_REVOKED_set_revocationDate(entry, rv->now) == 1 &&
		    X509_CRL_add0_revoked(rv->list, entry) == 1;
	ASN1_INTEGER_free(as_integer);
	if (!good) {
		X509_REVOKED_free(entry);
		return err_set(err, -EINVAL, "revoke the certificate with number %s", serial);
	}
	rv->added++;
	return 0;
}

/* The list as it is, or an empty one. Who is in a list that cannot be read must not be forgotten */
static int list_read(X509_CRL **ret, const char *path, const X509 *ca, struct err *err)
{
	auto_fclose FILE *f = fopen(path, "re");
	if (!f && errno != ENOENT)
		return err_set(err, -errno, "open %s", path);
	X509_CRL *list = f ? PEM_read_X509_CRL(f, NULL, NULL, NULL) : NULL;

	if (f && !list)
		return err_set(err, -EINVAL, "%s holds no PEM list of revoked certificates", path);
	/* a list of an authority that was replaced does not concern this one's certificates */
	if (list && X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(ca)) != 0) {
		X509_CRL_free(list);
		list = NULL;
	}
	*ret = list ? list : X509_CRL_new();
	return *ret ? 0 : err_set(err, -ENOMEM, "list of revoked certificates");
}

/* Revokes the certificate in the directory. Authorities older than the list of issued certificates have only this */
static int revoke_file(struct revocation *rv, const char *dir, const char *name, struct err *err)
{
	char path[PATH_MAX], serial[PKI_SERIAL_SIZE];
	int r = pki_path(path, dir, name, ".crt", err);

	if (r < 0)
		return r;
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : err_set(err, -errno, "open %s", path);
	pki_auto_x509 X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
	r = x ? pki_serial(serial, X509_get0_serialNumber(x), err)
	      : err_set(err, -EINVAL, "%s holds no certificate", path);
	return r < 0 ? r : revoke_serial(rv, serial, err);
}

static bool sign(X509_CRL *list, const ASN1_TIME *now, X509 *ca, EVP_PKEY *key)
{
	return X509_CRL_set_version(list, X509_CRL_VERSION_2) == 1 &&
	       X509_CRL_set_issuer_name(list, X509_get_subject_name(ca)) == 1 &&
	       X509_CRL_set1_lastUpdate(list, now) == 1 &&
	       X509_CRL_set1_nextUpdate(list, X509_get0_notAfter(ca)) == 1 &&
	       X509_CRL_sort(list) == 1 && X509_CRL_sign(list, key, NULL) > 0;
}

int pki_revoke(const char *dir, const char *name, size_t *revoked, struct err *err)
{
	char path[PATH_MAX], checked[NAME_SIZE];
	X509 *loaded_cert = NULL;
	EVP_PKEY *loaded_key = NULL;
	X509_CRL *old = NULL;
	int r = name_set(checked, name, err);

	if (r == 0)
		r = pki_path(path, dir, "ca", ".crl", err);
	if (r < 0)
		return r;
	auto_close int lock = pki_lock(dir, err);
	if (lock < 0)
		return lock;
	r = pki_load_authority(dir, &loaded_cert, &loaded_key, err);
	if (r < 0)
		return r;
	pki_auto_x509 X509 *ca = loaded_cert;
	pki_auto_pkey EVP_PKEY *key = loaded_key;
	r = list_read(&old, path, ca, err);
	if (r < 0)
		return r;
	pki_auto_crl X509_CRL *list = old;
	/* an hour back, so that hosts whose clocks differ a little take the list at once */
	ASN1_TIME *now = X509_gmtime_adj(NULL, -3600);
	struct revocation rv = { .list = list, .now = now };
	if (!now)
		r = err_set(err, -ENOMEM, "list of revoked certificates");
	if (r == 0)
		r = pki_recorded(dir, checked, revoke_serial, &rv, err);
	if (r == 0)
		r = revoke_file(&rv, dir, checked, err);
	if (r == 0 && !rv.added)
		r = err_set(err, -ENOENT,
			    "%s: no certificate was issued to it in %s that is not revoked already",
			    checked, dir);
	if (r == 0 && !sign(list, now, ca, key))
		r = err_set(err, -EIO, "sign the list of revoked certificates");
	ASN1_TIME_free(now);
	if (r == 0)
		r = pki_write(path, 0644, true, write_list, list, err);
	if (r == 0)
		*revoked = rv.added;
	return r;
}
