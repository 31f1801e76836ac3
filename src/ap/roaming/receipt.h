/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Receipt - tells an access point that it may forget a user who came from there (USER TAKEN)
 *
 * It keeps its copy until then. So that no crash in between costs the user its sessions (R15), the receipt is given
 * when the user's file is written here; at once if users are not remembered over a restart.
 */

#include <stdint.h>

struct user;
struct users;

/** user_receipt_owe() - All of the user came from @ap, in answer to @claim: give the receipt as soon as may be */
void user_receipt_owe(struct user *user, const char *ap, uint64_t claim);

/** users_receipts() - Files have been written: give the receipts that waited for them */
void users_receipts(struct users *u);

/** user_receipt_give() - Give it now, if one is owed: the user is gone for good, or somebody else keeps it */
void user_receipt_give(struct user *user);

/** user_receipt_cancel() - The user goes back to @ap, whose copy is the newest then */
void user_receipt_cancel(struct user *user, const char *ap);
