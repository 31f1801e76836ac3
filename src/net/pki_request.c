/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pki_request.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "net/pki_files.h"

static void bio_freep(BIO **p)
{
	BIO_free_all(*p);
}

static void request_freep(X509_REQ **p)
{
	X509_REQ_free(*p);
}

#define auto_bio     __attribute__((cleanup(bio_freep)))
#define auto_request __attribute__((cleanup(request_freep)))

/** text_of() - Text that was written into memory. Return: to be freed, or NULL */
static char *text_of(BIO *bio)
{
	char *bytes = NULL;
	long len = BIO_get_mem_data(bio, &bytes);

	return len > 0 ? strndup(bytes, (size_t)len) : NULL;
}

int pki_request_make(const char *key_path, char **request, struct err *err)
{
	pki_auto_pkey EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	auto_request X509_REQ *asked = X509_REQ_new();
	auto_bio BIO *bio = BIO_new(BIO_s_mem());

	if (!key || !asked || !bio || X509_REQ_set_pubkey(asked, key) != 1 ||
	    X509_REQ_sign(asked, key, NULL) <= 0 || PEM_write_bio_X509_REQ(bio, asked) != 1)
		return err_set(err, -EIO, "make a key and a request for it");
	auto_free char *text = text_of(bio);
	if (!text)
		return err_set(err, -ENOMEM, "make a request");
	int r = pki_write(key_path, 0600, true, pki_write_key, key, err);
	if (r == 0)
		*request = TAKE_PTR(text);
	return r;
}

/** key_of() - The public key of a request whose sender has the private one. Return: NULL if there is none */
static EVP_PKEY *key_of(const char *text)
{
	if (strnlen(text, PKI_PEM_MAX + 1) > PKI_PEM_MAX)
		return NULL;
	auto_bio BIO *bio = BIO_new_mem_buf(text, -1);
	auto_request X509_REQ *asked = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
	pki_auto_pkey EVP_PKEY *key = asked ? X509_REQ_get_pubkey(asked) : NULL;

	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
	    X509_REQ_verify(asked, key) != 1)
		return NULL;
	return TAKE_PTR(key);
}

int pki_request_sign(const char *dir, const char *name, enum wire_role role, int days,
		     const char *request, char **certificate, struct err *err)
{
	char path[PATH_MAX];
	char checked[NAME_SIZE];
	X509 *certified = NULL;
	int r = pki_name_check(checked, name, role, err);

	if (r == 0)
		r = pki_path(path, dir, checked, ".crt", err);
	if (r < 0)
		return r;
	pki_auto_pkey EVP_PKEY *key = key_of(request);
	if (!key)
		return err_set(
			err, -EINVAL,
			"the request for %s is none for an Ed25519 key, or is not signed by it",
			checked);
	auto_close int lock = pki_lock(dir, err);
	if (lock < 0)
		return lock;
	r = pki_certify(&certified, dir, checked, role, days, key, err);
	pki_auto_x509 X509 *x = certified;
	if (r < 0)
		return r;
	auto_bio BIO *bio = BIO_new(BIO_s_mem());
	auto_free char *text = bio && PEM_write_bio_X509(bio, x) == 1 ? text_of(bio) : NULL;
	if (!text)
		return err_set(err, -ENOMEM, "certificate of %s", checked);
	r = pki_write(path, 0644, true, pki_write_cert, x, err);
	if (r == 0)
		*certificate = TAKE_PTR(text);
	return r;
}
