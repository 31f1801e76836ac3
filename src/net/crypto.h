/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cryptography - random bytes, the proof of an association (R11), SHA-256
 *
 * One of the files that may include OpenSSL; tools/check-layers.sh lists them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct err;
struct crypto_sha256; /* opaque: a running digest */

#define CRYPTO_SHA256_SIZE 32
#define CRYPTO_SECRET_SIZE 32

/**
 * crypto_random() - Fill @to with @len unpredictable bytes
 *
 * Return: 0, or -EIO if the generator cannot be seeded (nothing secret may be made then)
 */
int crypto_random(void *to, size_t len);

/** crypto_number() - A random number other than 0; no secret: without random numbers it is the time since boot */
uint64_t crypto_number(void);

/**
 * crypto_proof() - Show that a MUD holds the secret of its session (R11)
 * @out:	HMAC-SHA256, keyed with @secret, over "baton association proof 1", NUL, @session,
 *		@association (both big-endian), length of @ap (one byte), @ap
 * @secret:	Secret the MUD got in ASSOCIATION RESPONSE
 * @session:	Session number
 * @association: Association that is proved; a proof is good for this one alone
 * @ap:		Name of the access point the MUD is at; no other can use the proof
 *
 * Return: 0, -EINVAL if @ap is not a name, or -EIO if OpenSSL fails
 */
int crypto_proof(uint8_t out[CRYPTO_SHA256_SIZE], const uint8_t secret[CRYPTO_SECRET_SIZE],
		 uint64_t session, uint32_t association, const char *ap);

/** crypto_equal() - Whether two byte strings are equal, in a time that does not depend on where they differ */
bool crypto_equal(const void *a, const void *b, size_t len);

/** crypto_wipe() - Overwrite @len bytes so that the compiler cannot leave it out */
void crypto_wipe(void *bytes, size_t len);

/**
 * crypto_sha256_new() - Begin a digest
 * @ret:	Set on success only; the caller owns it, see crypto_sha256_free()
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int crypto_sha256_new(struct crypto_sha256 **ret, struct err *err);

/** crypto_sha256_update() - Add @len bytes. Return: 0, or -EIO if OpenSSL fails */
int crypto_sha256_update(struct crypto_sha256 *d, const void *bytes, size_t len);

/**
 * crypto_sha256_final() - Write the digest of all bytes added; @d then begins a new, empty one
 *
 * Return: 0, or -EIO if OpenSSL fails
 */
int crypto_sha256_final(struct crypto_sha256 *d, uint8_t out[CRYPTO_SHA256_SIZE]);

/**
 * crypto_sha256_hex() - The digest of some bytes, as text
 * @hex:	Set to 64 digits
 * @bytes:	Bytes
 * @len:	Their number
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOMEM, or -EIO if OpenSSL fails
 */
int crypto_sha256_hex(char hex[2 * CRYPTO_SHA256_SIZE + 1], const void *bytes, size_t len,
		      struct err *err);

/** crypto_sha256_free() - Release a digest; @d may be NULL. Return: NULL, always */
struct crypto_sha256 *crypto_sha256_free(struct crypto_sha256 *d);

AUTO_DEFINE(crypto_sha256)
