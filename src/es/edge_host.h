/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge host - requirements of an edge server on its host: kernel, control groups, engine, runc, CRIU, room
 *
 * baton-es --check-host prints it, and `baton host check`. Nothing is changed.
 */

struct checklist;
struct conf;

/**
 * struct edge_host - Where things are
 * @conf:	Configuration of an edge server
 * @staged:	Directory of staged checkpoints
 * @prefix:	Directory above the bin/ that is put first in PATH
 */
struct edge_host {
	const struct conf *conf;
	const char *staged;
	const char *prefix;
};

/** edge_host_check() - Look at everything. It takes up to half a minute where a program does not answer */
void edge_host_check(const struct edge_host *host, struct checklist *list);
