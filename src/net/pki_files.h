/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files of the authority - common to pki.c, pki_crl.c and pki_request.c
 *
 * Beside certificates and keys there is one list, PKI_ISSUED: a line "SERIAL NAME" for each certificate
 * that was ever issued, written before the certificate itself. Without it only the last certificate of a
 * name could be revoked, and a renewed one would be valid until its end.
 */

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/text.h"
#include "wire/message.h"

struct err;

#define PKI_ISSUED      "issued"
#define PKI_SERIAL_SIZE 41 /* hexadecimal, with its NUL: numbers have at most 20 bytes */

/* Cleanup of OpenSSL's own types, in the style of base/auto.h */
static inline void pki_x509_freep(X509 **p)
{
	X509_free(*p);
}

static inline void pki_pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static inline void pki_crl_freep(X509_CRL **p)
{
	X509_CRL_free(*p);
}

#define pki_auto_x509 __attribute__((cleanup(pki_x509_freep)))
#define pki_auto_pkey __attribute__((cleanup(pki_pkey_freep)))
#define pki_auto_crl  __attribute__((cleanup(pki_crl_freep)))

/** pki_path() - Write DIR/NAMESUFFIX. Return: 0, or -ENAMETOOLONG */
int pki_path(char path[PATH_MAX], const char *dir, const char *name, const char *suffix,
	     struct err *err);

/**
 * pki_lock() - Begin a command that writes: no other one may until the lock is closed
 * @dir:	Of the authority
 * @err:	Filled in on failure
 *
 * Each command reads the files and writes them with an addition, so of two at a time one addition would be lost.
 * The function waits for the other command.
 *
 * Return: a descriptor that the caller closes, or negative error code
 */
int pki_lock(const char *dir, struct err *err);

/** pki_want_absent() - Say early that a file is there already. Return: 0, or -EEXIST if not @force */
int pki_want_absent(const char *path, bool force, struct err *err);

/**
 * pki_write() - Write one PEM object so that it outlives a crash of the host, see base/atomic_file.h
 * @path:	Its place
 * @mode:	Of the file
 * @force:	Replace one that is there
 * @write_pem:	Writes it; returns 1 if all is well
 * @object:	Handed to @write_pem
 * @err:	Filled in on failure, when nothing is left
 *
 * The caller holds pki_lock(): two writers would use the same temporary file.
 *
 * Return: 0, or negative error code
 */
int pki_write(const char *path, mode_t mode, bool force,
	      int (*write_pem)(FILE *f, const void *object), const void *object, struct err *err);

/** pki_write_key() - For pki_write(): a private key */
int pki_write_key(FILE *f, const void *key);

/** pki_write_cert() - For pki_write(): a certificate */
int pki_write_cert(FILE *f, const void *cert);

/** pki_load_authority() - Read ca.crt and ca.key; the caller frees both. Return: 0, or negative */
int pki_load_authority(const char *dir, X509 **cert, EVP_PKEY **key, struct err *err);

/** pki_record() - Add to the list of issued certificates, under pki_lock(). Return: 0, or negative error code */
int pki_record(const char *dir, const char *name, X509 *cert, struct err *err);

/**
 * pki_recorded() - Find all certificates that were issued to a name
 * @dir:	Of the authority
 * @name:	Owner of the certificates
 * @found:	Called for each with its number in hexadecimal; ends the search if it returns less than 0
 * @ctx:	Handed to @found
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int pki_recorded(const char *dir, const char *name,
		 int (*found)(void *ctx, const char *serial, struct err *err), void *ctx,
		 struct err *err);

/** pki_serial() - Number of a certificate in hexadecimal. Return: 0, or -EINVAL */
int pki_serial(char to[PKI_SERIAL_SIZE], const ASN1_INTEGER *from, struct err *err);

/** pki_name_check() - Whether a name and a role may have a certificate. Return: 0 with @to set, or -EINVAL */
int pki_name_check(char to[NAME_SIZE], const char *name, enum wire_role role, struct err *err);

/**
 * pki_certify() - Make a certificate for a key and put it on the list of issued ones, under pki_lock()
 * @ret:	Set on success only; the caller frees it
 * @dir:	Of the authority
 * @name:	From pki_name_check()
 * @role:	Likewise
 * @days:	As for pki_issue()
 * @key:	Of the node; its public half is enough
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int pki_certify(X509 **ret, const char *dir, const char *name, enum wire_role role, int days,
		EVP_PKEY *key, struct err *err);
