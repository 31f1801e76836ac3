/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Link rules - what happens to a peer that says what its certificate does not let it say
 */

#include "wire/message.h"

struct link;

/**
 * link_rules_refuse() - Answer REFUSAL, end the link, log one line
 * @l:		Link; gone afterwards, without down()
 * @m:		What was said
 */
void link_rules_refuse(struct link *l, const struct wire_message *m);
