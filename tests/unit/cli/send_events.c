/* SPDX-License-Identifier: Apache-2.0 */

/*
 * send_events PKI-DIR NAME ADDRESS COUNT - report COUNT events to the LogRepo and end
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/err.h"
#include "net/tls.h"
#include "report/log_reporter.h"

int main(int argc, char **argv)
{
	char ca[256], cert[256], key[256];
	struct tls_context *tls = NULL;
	struct log_reporter *r = NULL;
	struct err err = { 0 };

	if (argc != 5)
		return EXIT_FAILURE;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(ca, sizeof(ca), "%s/ca.crt", argv[1]);
	(void)snprintf(cert, sizeof(cert), "%s/%s.crt", argv[1], argv[2]);
	(void)snprintf(key, sizeof(key), "%s/%s.key", argv[1], argv[2]);
	const struct tls_files files = { .ca = ca, .cert = cert, .key = key };
	if (tls_context_new(&tls, &files, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	struct log_reporter_setup setup = {
		.loop = uv_default_loop(),
		.tls = tls,
		.node = argv[2],
		.repository = "LogRepo",
		.address = argv[3],
	};
	if (log_reporter_new(&r, &setup, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	for (int n = 1; n <= atoi(argv[4]); n++)
		log_reporter_event(r, n % 2 ? "SVCQ" : "SVCR", 0xabcdef, (uint64_t)(n + 1) / 2,
				   "request %d", n);
	log_reporter_close(r, NULL, NULL);
	(void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	(void)uv_loop_close(uv_default_loop());
	tls_context_free(tls);
	return EXIT_SUCCESS;
}
