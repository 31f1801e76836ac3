/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/options.h"

#define EXIT_CONFIGURATION 2 /* nothing will be better the next time */

int daemon_main(const struct options *options, int argc, char **argv,
		int (*run)(const struct conf *c, struct err *err))
{
	struct conf *loaded = NULL;
	char name[2 * NAME_SIZE];
	struct err err = { 0 };
	int r;

	log_name(options->program);
	r = options_load(options, argc, argv, &loaded, &err);
	if (r > 0)
		return r == OPTIONS_E_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
	AUTO(conf) struct conf *c = loaded;
	if (r < 0) {
		log_error("%s", err.text);
		return r == -EHOSTUNREACH ? EXIT_FAILURE : EXIT_CONFIGURATION;
	}
	(void)snprintf(name, sizeof(name), "%s %s", options->program, c->name);
	log_name(name);
	(void)signal(SIGPIPE, SIG_IGN);
	/* before it serves there is nothing to read again, and it would be no reason to end */
	(void)signal(SIGHUP, SIG_IGN);
	files_raise_limit();
	r = run(c, &err);
	if (r < 0)
		log_error("%s", err.text);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
