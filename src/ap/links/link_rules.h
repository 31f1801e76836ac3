/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Link rules - the end of a link whose peer sends a message that its certificate does not allow
 */

#include "wire/message.h"

struct link;

/**
 * link_rules_refuse() - Answer REFUSAL, end the link, log one line
 * @l:		Link; gone afterwards, without down()
 * @m:		The message
 */
void link_rules_refuse(struct link *l, const struct wire_message *m);
