#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A lab that was used can be made as good as new without new engines (lab/renew.py): containers, volumes, users,
# processes and files go. What somebody has left beside these on a host, such as a mount or a rule, is found and named.

. "$(dirname "$0")/common.sh"

need_lab 1
"$HERE/lab_renew.py" note "$BATON_LAB" "$BATON_LAB_DIR" || fail "see above"
counter_image pc1
run_counter pc1 app
lab docker pc1 volume create kept >/dev/null
lab users 1
lab exec-engine pc1 sleep 1000 &
lab exec user1 sleep 1000 &
"$HERE/lab_renew.py" renew "$BATON_LAB" "$BATON_LAB_DIR" || fail "see above"
pass "renewed; a mount, a rule, a device and a network are found"
