/* SPDX-License-Identifier: Apache-2.0 */
#include "net/crypto.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"

static const char proof_domain[] = "baton association proof 1";

struct crypto_sha256 {
	EVP_MD_CTX *md;
};

int crypto_random(void *to, size_t len)
{
	uint8_t *at = to;

	while (len) {
		int part = len > INT_MAX ? INT_MAX : (int)len;

		if (RAND_bytes(at, part) != 1)
			return -EIO;
		at += part;
		len -= (size_t)part;
	}
	return 0;
}

uint64_t crypto_number(void)
{
	uint64_t number = 0;

	while (!number) {
		if (crypto_random(&number, sizeof(number)) < 0)
			number = monotonic_us();
	}
	return number;
}

int crypto_proof(uint8_t out[CRYPTO_SHA256_SIZE], const uint8_t secret[CRYPTO_SECRET_SIZE],
		 uint64_t session, uint32_t association, const char *ap)
{
	/* every field has a fixed place or carries its length: no two inputs give the same bytes */
	uint8_t text[sizeof(proof_domain) + 8 + 4 + 1 + NAME_SIZE];
	size_t at = 0;

	if (!name_valid(ap))
		return -EINVAL;
	uint64_t session_be = htobe64(session);
	uint32_t association_be = htobe32(association);
	uint8_t ap_len = (uint8_t)strlen(ap);
	memcpy(text + at, proof_domain, sizeof(proof_domain));
	at += sizeof(proof_domain);
	memcpy(text + at, &session_be, sizeof(session_be));
	at += sizeof(session_be);
	memcpy(text + at, &association_be, sizeof(association_be));
	at += sizeof(association_be);
	text[at++] = ap_len;
	memcpy(text + at, ap, ap_len);
	at += ap_len;
	if (!HMAC(EVP_sha256(), secret, CRYPTO_SECRET_SIZE, text, at, out, NULL))
		return -EIO;
	return 0;
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *bytes, size_t len)
{
	OPENSSL_cleanse(bytes, len);
}

int crypto_sha256_new(struct crypto_sha256 **ret, struct err *err)
{
	AUTO(crypto_sha256) struct crypto_sha256 *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, -ENOMEM, "begin a digest");
	d->md = EVP_MD_CTX_new();
	if (!d->md || EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) != 1)
		return err_set(err, -ENOMEM, "begin a digest");
	*ret = TAKE_PTR(d);
	return 0;
}

int crypto_sha256_update(struct crypto_sha256 *d, const void *bytes, size_t len)
{
	return EVP_DigestUpdate(d->md, bytes, len) == 1 ? 0 : -EIO;
}

int crypto_sha256_final(struct crypto_sha256 *d, uint8_t out[CRYPTO_SHA256_SIZE])
{
	if (EVP_DigestFinal_ex(d->md, out, NULL) != 1 ||
	    EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) != 1)
		return -EIO;
	return 0;
}

int crypto_sha256_hex(char hex[2 * CRYPTO_SHA256_SIZE + 1], const void *bytes, size_t len,
		      struct err *err)
{
	uint8_t sha256[CRYPTO_SHA256_SIZE];
	AUTO(crypto_sha256) struct crypto_sha256 *d = NULL;
	int r = crypto_sha256_new(&d, err);

	if (r < 0)
		return r;
	r = crypto_sha256_update(d, bytes, len);
	if (r == 0)
		r = crypto_sha256_final(d, sha256);
	if (r < 0)
		return err_set(err, r, "digest");
	hex_encode(hex, sha256, sizeof(sha256));
	return 0;
}

struct crypto_sha256 *crypto_sha256_free(struct crypto_sha256 *d)
{
	if (d)
		EVP_MD_CTX_free(d->md);
	free(d);
	return NULL;
}
