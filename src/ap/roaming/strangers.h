/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Strangers - access points hand users over to one another only if each has the other in its configuration
 *
 * If one of two does not know the other, users that move between them would find an empty service: the one
 * that was not asked cannot give their sessions. So messages of a stranger about users have no effect, and it
 * is told so (USER END, unknown node). Both say so once, with the remedy.
 */

#include <stdbool.h>

struct users;
struct wire_message;

/** users_stranger() - @ap, which is not in the configuration, has connected or asks for users */
void users_stranger(struct users *u, const char *ap);

/**
 * users_strange() - Whether a message of @ap shows that one of the two does not know the other
 *
 * It has no further effect then.
 */
bool users_strange(struct users *u, const char *ap, const struct wire_message *m);
