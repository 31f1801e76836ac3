/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct user;
struct users;
struct wire_message;

/** user_handover_keep() - The user that was about to be handed over is here: keep it */
void user_handover_keep(struct user *user);

/** user_handover_message() - Take a message of access point @ap about a user */
void user_handover_message(struct users *u, const char *ap, const struct wire_message *m);
