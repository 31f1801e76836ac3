/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/archive_sent.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/** struct sent_file - A file that went out under @path */
struct sent_file {
	char *path;
	ino_t ino;
	struct timespec changed;
};

/** struct archive_sent - tsearch() tree of struct sent_file by path */
struct archive_sent {
	void *files;
};

static int sent_compare(const void *a, const void *b)
{
	return strcmp(((const struct sent_file *)a)->path, ((const struct sent_file *)b)->path);
}

static void sent_free(void *p)
{
	struct sent_file *f = p;

	free(f->path);
	free(f);
}

int archive_sent_new(struct archive_sent **ret, struct err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_set(err, -ENOMEM, "remember what is sent");
}

struct archive_sent *archive_sent_free(struct archive_sent *sent)
{
	if (sent) {
		tdestroy(sent->files, sent_free);
		free(sent);
	}
	return NULL;
}

bool archive_sent_same(const struct archive_sent *sent, const char *path, const struct stat *st)
{
	struct sent_file key = { .path = (char *)(uintptr_t)path };
	struct sent_file **found = sent ? tfind(&key, &sent->files, sent_compare) : NULL;

	return found && (*found)->ino == st->st_ino &&
	       (*found)->changed.tv_sec == st->st_ctim.tv_sec &&
	       (*found)->changed.tv_nsec == st->st_ctim.tv_nsec;
}

int archive_sent_note(struct archive_sent *sent, const char *path, const struct stat *st)
{
	struct sent_file key = { .path = (char *)(uintptr_t)path };
	struct sent_file **found = tfind(&key, &sent->files, sent_compare);
	struct sent_file *f = found ? *found : calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->ino = st->st_ino;
	f->changed = st->st_ctim;
	if (found)
		return 0;
	f->path = strdup(path);
	if (!f->path || !tsearch(f, &sent->files, sent_compare)) {
		sent_free(f);
		return -ENOMEM;
	}
	return 0;
}
