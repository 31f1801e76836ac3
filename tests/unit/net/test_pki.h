/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Certificates for tests, in a directory of their own that goes with the test
 */

#include "net/tls.h"

/** struct test_pki - An authority; @dir is a new directory */
struct test_pki {
	char dir[64];
};

/** test_pki_new() - Make an authority; aborts the test on failure */
void test_pki_new(struct test_pki *p);

/** test_pki_remove() - Remove it with all files */
void test_pki_remove(struct test_pki *p);

/** test_pki_tls() - Issue a certificate and load it. Return: owned by the caller */
struct tls_context *test_pki_tls(const struct test_pki *p, const char *name, enum wire_role role);
