/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image/arrival.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "base/text.h"
#include "es/engine/docker_engine.h"
#include "es/files/beneath.h"
#include "es/files/layer_node.h"
#include "es/image/archive.h"
#include "es/image/pack.h"
#include "net/crypto.h"

#define PREFIX "arrival-"
#define LOCK   "lock"
#define LOADED "loaded"
#define PIECE  (256u << 10)
#define DIGITS 64

/**
 * struct image_arrival - See image/arrival.h
 * @lock:	descriptor, locked as long as the object
 * @passing:	another transfer has the image's directory: this one is removed with the object
 * @config:	configuration, once it has come
 * @digest:	and its digest
 * @containerd:	the engine keeps images in containerd's store
 * @loaded:	the engine's id of the image, once it has it
 */
struct image_arrival {
	char path[PATH_MAX];
	int dirfd;
	int lock;
	bool passing;
	const json_t *layers;
	char *config;
	size_t config_len;
	char digest[DIGITS + 1];
	bool containerd;
	char loaded[80];
};

/* --- the directory ----------------------------------------------------------------------------- */

/** directory_lock() - Open a directory of ours and lock it. Return: 0, -EWOULDBLOCK, or negative */
static int directory_lock(struct image_arrival *ia)
{
	if (mkdir(ia->path, 0700) < 0 && errno != EEXIST)
		return -errno;
	ia->dirfd = open(ia->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ia->dirfd < 0)
		return -errno;
	ia->lock = beneath_own(ia->dirfd, LOCK, O_RDWR | O_CREAT);
	if (ia->lock < 0)
		return ia->lock;
	return flock(ia->lock, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static void directory_unlock(struct image_arrival *ia)
{
	if (ia->lock >= 0)
		close(ia->lock);
	if (ia->dirfd >= 0)
		close(ia->dirfd);
	ia->lock = -EBADF;
	ia->dirfd = -EBADF;
}

int image_arrival_new(struct image_arrival **ret, const char *dir, const char *id,
		      const json_t *layers, bool containerd, struct err *err)
{
	const char *digits = strchr(id, ':') ? strchr(id, ':') + 1 : id;
	int r = 0;

	if (strspn(digits, "0123456789abcdef") != DIGITS || digits[DIGITS])
		return err_set(err, -EPROTO, "the image's id is no SHA-256");
	AUTO(image_arrival) struct image_arrival *ia = calloc(1, sizeof(*ia));
	if (!ia)
		return err_set(err, -ENOMEM, "image");
	ia->dirfd = ia->lock = -EBADF;
	ia->layers = layers;
	ia->containerd = containerd;
	/* The suffix is for a second, third ... transfer of the same image at this time. */
	for (unsigned int i = 0; i < 64; i++) {
		if (snprintf(ia->path, sizeof(ia->path),
			     i ? "%s/" PREFIX "%s-%u" : "%s/" PREFIX "%s", dir, digits,
			     i) >= (int)sizeof(ia->path))
			return err_set(err, -ENAMETOOLONG, "%s", dir);
		r = directory_lock(ia);
		ia->passing = i > 0;
		if (r != -EWOULDBLOCK)
			break;
		directory_unlock(ia);
	}
	if (r < 0)
		return err_set(err, r, "make %s", ia->path);
	*ret = TAKE_PTR(ia);
	return 0;
}

struct image_arrival *image_arrival_free(struct image_arrival *ia)
{
	if (!ia)
		return NULL;
	if (ia->passing)
		(void)layer_path_remove(ia->path, NULL);
	directory_unlock(ia);
	free(ia->config);
	free(ia);
	return NULL;
}

uint64_t image_arrival_bytes(const struct image_arrival *ia, size_t layer)
{
	char name[IMAGE_LAYER_NAME];
	struct stat st;

	image_layer_name(name, layer);
	return beneath_stat(ia->dirfd, name, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
									      : 0;
}

/** loaded_read() - The image that holds the layers so far. Return: false if there is none */
static bool loaded_read(int dirfd, char id[80])
{
	auto_close int fd = beneath_own(dirfd, LOADED, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, id, 79);

	id[n > 0 ? n : 0] = '\0';
	return n == (ssize_t)strlen("sha256:") + DIGITS;
}

/** loaded_write() - Remember it */
static int loaded_write(int dirfd, const char *id, struct err *err)
{
	auto_close int fd = beneath_own(dirfd, LOADED, O_WRONLY | O_CREAT | O_TRUNC);
	int r = fd < 0 ? fd : files_write(fd, id, strlen(id));

	return r < 0 ? err_set(err, r, "write " LOADED) : 0;
}

/* --- receiving --------------------------------------------------------------------------------- */

/** struct pull - Bytes of a source, as many at a time as are wanted */
struct pull {
	archive_source source;
	void *ctx;
	const uint8_t *at;
	size_t left;
	struct err *err;
};

/** pull_some() - At most @wanted bytes. Return: their number, or negative error code */
static ssize_t pull_some(struct pull *in, const uint8_t **bytes, uint64_t wanted)
{
	while (!in->left) {
		const void *more;
		ssize_t n = in->source(in->ctx, &more, in->err);

		if (n <= 0)
			return n < 0 ? n
				     : err_set(in->err, -EPROTO, "the image ends in the middle");
		in->at = more;
		in->left = (size_t)n;
	}
	size_t n = in->left < wanted ? in->left : (size_t)wanted;
	*bytes = in->at;
	in->at += n;
	in->left -= n;
	return (ssize_t)n;
}

/** pull_all() - Read exactly @len bytes. Return: 0, or negative error code */
static int pull_all(struct pull *in, void *to, size_t len)
{
	uint8_t *at = to;

	while (len) {
		const uint8_t *bytes;
		ssize_t n = pull_some(in, &bytes, len);

		if (n < 0)
			return (int)n;
		memcpy(at, bytes, (size_t)n);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/** length_pull() - A length. Return: 0, or negative error code */
static int length_pull(struct pull *in, uint64_t *length)
{
	uint8_t bytes[8];
	int r = pull_all(in, bytes, sizeof(bytes));

	*length = r < 0 ? 0 : get_be64(bytes);
	return r;
}

/** digest_is() - Whether it is the digest of a text, "sha256:..." or just the digits */
static bool digest_is(struct crypto_sha256 *digest, const char *text)
{
	const char *digits = strchr(text, ':') ? strchr(text, ':') + 1 : text;
	uint8_t sha256[CRYPTO_SHA256_SIZE];
	char hex[2 * CRYPTO_SHA256_SIZE + 1];

	if (crypto_sha256_final(digest, sha256) < 0)
		return false;
	hex_encode(hex, sha256, sizeof(sha256));
	return !strcmp(hex, digits);
}

/** config_check() - Is it the configuration of an image of just these layers? */
static int config_check(const struct image_arrival *ia, struct err *err)
{
	json_t *config = json_loadb(ia->config, ia->config_len, JSON_REJECT_DUPLICATES, NULL);
	bool good = json_equal(json_at(config, "rootfs", "diff_ids", NULL), ia->layers);

	json_decref(config);
	return good ? 0
		    : err_set(err, -EPROTO,
			      "the image's configuration is of other layers, or corrupted");
}

/** config_receive() - The configuration */
static int config_receive(struct image_arrival *ia, struct pull *in)
{
	uint64_t length;
	int r = length_pull(in, &length);

	if (r == 0 && (!length || length > IMAGE_MANIFEST_MAX))
		r = err_set(in->err, -EFBIG, "the image's configuration has %llu bytes",
			    (unsigned long long)length);
	if (r < 0)
		return r;
	free(ia->config);
	ia->config = malloc(length);
	ia->config_len = length;
	if (!ia->config)
		return err_set(in->err, -ENOMEM, "image");
	r = pull_all(in, ia->config, length);
	if (r == 0)
		r = crypto_sha256_hex(ia->digest, ia->config, ia->config_len, in->err);
	return r < 0 ? r : config_check(ia, in->err);
}

/** part_digest() - Begin a layer's digest with the bytes that are here */
static int part_digest(int fd, uint64_t here, struct crypto_sha256 *digest, struct err *err)
{
	if (!here)
		return 0;
	auto_free uint8_t *piece = malloc(PIECE);
	int r = piece ? 0 : -ENOMEM;
	while (r == 0 && here) {
		ssize_t n = read(fd, piece, here < PIECE ? (size_t)here : PIECE);

		r = n <= 0 ? -EIO : crypto_sha256_update(digest, piece, (size_t)n);
		here -= n > 0 ? (uint64_t)n : 0;
	}
	return r < 0 ? err_set(err, r, "read a layer") : 0;
}

/** layer_receive() - One layer, or the rest of it */
static int layer_receive(struct image_arrival *ia, struct pull *in,
			 const struct image_receipt *receipt, size_t layer, uint64_t *room)
{
	AUTO(crypto_sha256) struct crypto_sha256 *digest = NULL;
	/*
	 * The sender has not been told of bytes of the others that are here: it sends them whole.
	 */
	bool goes_on = layer == receipt->first;
	uint64_t here = goes_on ? image_arrival_bytes(ia, layer) : 0;
	char name[IMAGE_LAYER_NAME];
	uint64_t length;
	int r = length_pull(in, &length);

	image_layer_name(name, layer);
	if (r == 0 && length > *room)
		r = err_set(in->err, -EFBIG, "layer %zu of the image has %llu bytes", layer,
			    (unsigned long long)length);
	if (r < 0)
		return r;
	if (here > length) {
		/* the beginning was forged; without it the next transfer can succeed */
		(void)beneath_unlink(ia->dirfd, name, 0);
		return err_set(in->err, -EPROTO, "layer %zu of the image was longer before", layer);
	}
	*room -= length;
	auto_close int fd =
		beneath_own(ia->dirfd, name, O_RDWR | O_CREAT | (goes_on ? 0 : O_TRUNC));
	if (fd < 0)
		return err_set(in->err, fd, "create %s in %s", name, ia->path);
	r = crypto_sha256_new(&digest, in->err);
	if (r == 0)
		r = part_digest(fd, here, digest, in->err);
	receipt->grown(receipt->ctx, layer, here, length);
	for (uint64_t left = length - here; r == 0 && left;) {
		const uint8_t *bytes;
		ssize_t n = pull_some(in, &bytes, left);

		if (n < 0)
			return (int)n;
		r = crypto_sha256_update(digest, bytes, (size_t)n);
		if (r == 0 && (r = files_write(fd, bytes, (size_t)n)) < 0)
			(void)err_set(in->err, r, "write %s in %s", name, ia->path);
		left -= (size_t)n;
		receipt->grown(receipt->ctx, layer, length - left, length);
	}
	if (r == 0 && !digest_is(digest, json_string_value(json_array_get(ia->layers, layer)))) {
		(void)beneath_unlink(ia->dirfd, name, 0);
		r = err_set(in->err, -EPROTO, "layer %zu of the image arrived corrupted", layer);
	}
	return r;
}

int image_arrival_receive(struct image_arrival *ia, const struct image_receipt *receipt,
			  archive_source source, void *source_ctx, struct err *err)
{
	struct pull in = { .source = source, .ctx = source_ctx, .err = err };
	uint64_t room = receipt->max_bytes;
	int r = config_receive(ia, &in);

	for (size_t i = receipt->first; i < json_array_size(ia->layers) && r == 0; i++) {
		r = layer_receive(ia, &in, receipt, i, &room);
		if (r == 0)
			receipt->came(receipt->ctx, i + 1);
	}
	if (r == 0 && in.left)
		r = err_set(err, -EPROTO, "the image goes on after its end");
	return r;
}

/* --- loading ----------------------------------------------------------------------------------- */

static int load_write(void *ctx, const void *bytes, size_t len, struct err *err)
{
	return docker_stream_write(ctx, bytes, len, err);
}

/**
 * config_cut() - The configuration of an image of just the lowest layers
 * @ia:		Arrival, whose configuration is here
 * @layers:	How many
 *
 * Return: to be freed by the caller, or NULL
 */
static char *config_cut(const struct image_arrival *ia, size_t layers)
{
	json_t *whole = json_loadb(ia->config, ia->config_len, 0, NULL);
	json_t *digests = json_array();
	char *text = NULL;

	for (size_t i = 0; i < layers; i++)
		(void)json_array_append(digests, json_array_get(ia->layers, i));
	json_t *cut = json_pack("{s:s, s:s, s:{}, s:{s:s, s:o}}", "architecture",
				json_text(whole, "architecture", NULL), "os",
				json_text(whole, "os", NULL), "config", "rootfs", "type", "layers",
				"diff_ids", digests);
	if (cut)
		text = json_dumps(cut, JSON_COMPACT);
	json_decref(cut);
	json_decref(whole);
	return text;
}

/** load() - Have the engine load an archive of @what */
static int load(struct docker_engine *engine, const struct image_pack *what, struct err *err)
{
	AUTO(docker_stream) struct docker_stream *stream = NULL;
	int r = docker_engine_load(engine, &stream, err);

	if (r == 0)
		r = image_archive_pack(what, load_write, stream, err);
	return r < 0 ? r : docker_stream_end(stream, err);
}

/** part_load() - Have it load the lowest layers only, and keep them */
static int part_load(struct image_arrival *ia, struct docker_engine *engine,
		     struct image_pack *what, char id[80], struct err *err)
{
	char hex[DIGITS + 1];
	auto_free char *config = config_cut(ia, what->layers);
	int r = config ? crypto_sha256_hex(hex, config, strlen(config), err)
		       : err_set(err, -ENOMEM, "image");

	if (r < 0)
		return r;
	what->config = config;
	what->config_len = strlen(config);
	what->digest = hex;
	(void)snprintf(id, 80, "sha256:%s", hex);
	r = load(engine, what, err);
	return r < 0 ? r : loaded_write(ia->dirfd, id, err);
}

/** whole_load() - Have it load the image, and learn its id */
static int whole_load(struct image_arrival *ia, struct docker_engine *engine,
		      struct image_pack *what, struct err *err)
{
	char hex[DIGITS + 1];
	int r = 0;

	what->config = ia->config;
	what->config_len = ia->config_len;
	what->digest = ia->digest;
	(void)snprintf(hex, sizeof(hex), "%s", ia->digest);
	if (ia->containerd) {
		what->diff_ids = ia->layers;
		auto_free char *manifest = image_oci_manifest(what, err);
		r = manifest ? crypto_sha256_hex(hex, manifest, strlen(manifest), err) : -EIO;
	}
	if (r == 0)
		r = load(engine, what, err);
	if (r == 0)
		(void)snprintf(ia->loaded, sizeof(ia->loaded), "sha256:%s", hex);
	return r;
}

int image_arrival_load(struct image_arrival *ia, struct docker_engine *engine, size_t first,
		       size_t layers, const struct image_growing *growing, struct err *err)
{
	struct image_pack what = {
		.layers = layers, .first = first, .dirfd = ia->dirfd, .growing = growing
	};
	char name[IMAGE_LAYER_NAME];
	char before[80];
	char now[80] = "";
	bool held = loaded_read(ia->dirfd, before);
	int r;

	if (layers < json_array_size(ia->layers))
		r = part_load(ia, engine, &what, now, err);
	else
		r = whole_load(ia, engine, &what, err);
	if (r < 0)
		return err_wrap(err, r, "load the image");
	for (size_t i = first; i < layers; i++) {
		image_layer_name(name, i);
		(void)beneath_unlink(ia->dirfd, name, 0);
	}
	/* Its layers are held by the one just loaded. */
	if (held && strcmp(before, now) != 0)
		(void)docker_engine_image_remove(engine, before, NULL);
	if (layers == json_array_size(ia->layers))
		(void)beneath_unlink(ia->dirfd, LOADED, 0);
	return 0;
}

const char *image_arrival_loaded(const struct image_arrival *ia)
{
	return ia->loaded;
}

const char *image_arrival_digest(const struct image_arrival *ia)
{
	return ia->digest;
}

/* --- the end ----------------------------------------------------------------------------------- */

void image_arrival_remove(struct image_arrival *ia, struct docker_engine *engine)
{
	char id[80];

	if (loaded_read(ia->dirfd, id))
		(void)docker_engine_image_remove(engine, id, NULL);
	(void)layer_path_remove(ia->path, NULL);
}

/** last_written() - Time of the last write to a directory, in ms of the wall clock */
static uint64_t last_written(int dirfd)
{
	struct stat st;
	uint64_t last = 0;
	DIR *dir = beneath_list(dirfd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (beneath_stat(dirfd, entry->d_name, &st) == 0) {
			uint64_t at = (uint64_t)st.st_mtim.tv_sec * 1000 +
				      (uint64_t)st.st_mtim.tv_nsec / 1000000;

			last = at > last ? at : last;
		}
	}
	if (dir)
		(void)closedir(dir);
	return last;
}

size_t image_arrival_expire(const char *dir, uint64_t age_ms, struct docker_engine *engine)
{
	DIR *all = opendir(dir);
	const struct dirent *entry;
	struct timespec now;
	size_t stay = 0;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	while (all && (entry = readdir(all))) {
		struct image_arrival ia = { .dirfd = -EBADF, .lock = -EBADF };
		uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		if (snprintf(ia.path, sizeof(ia.path), "%s/%s", dir, entry->d_name) >=
		    (int)sizeof(ia.path))
			continue;
		if (directory_lock(&ia) == 0 && last_written(ia.dirfd) + age_ms <= now_ms)
			image_arrival_remove(&ia, engine);
		else
			stay++;
		directory_unlock(&ia);
	}
	if (all)
		(void)closedir(all);
	return stay;
}

/* --- sending ----------------------------------------------------------------------------------- */

/** file_send() - A file's length, and its bytes from @offset on. Return: 0, or negative error code */
static int file_send(int dirfd, const char *name, uint64_t offset, archive_sink sink, void *ctx,
		     uint64_t *sent, struct err *err)
{
	uint8_t length[8];
	struct stat st;
	int r;

	auto_free uint8_t *piece = malloc(PIECE);
	auto_close int fd = beneath_regular(dirfd, name, O_RDONLY);
	if (!piece || fd < 0)
		return err_set(err, piece ? fd : -ENOMEM, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", name);
	if (offset > (uint64_t)st.st_size || lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return err_set(err, -EPROTO, "%s has %lld bytes, not %llu", name,
			       (long long)st.st_size, (unsigned long long)offset);
	put_be64(length, (uint64_t)st.st_size);
	r = sink(ctx, length, sizeof(length), err);
	for (uint64_t left = (uint64_t)st.st_size - offset; r == 0 && left;) {
		ssize_t n = read(fd, piece, left < PIECE ? (size_t)left : PIECE);

		if (n <= 0)
			return err_set(err, n < 0 ? -errno : -EIO, "read %s", name);
		r = sink(ctx, piece, (size_t)n, err);
		left -= (size_t)n;
		*sent += (size_t)n;
	}
	return r;
}

int image_departure_send(int dirfd, size_t first, uint64_t offset, size_t layers, archive_sink sink,
			 void *ctx, uint64_t *sent, struct err *err)
{
	char name[IMAGE_LAYER_NAME];
	uint64_t config = 0;
	int r = file_send(dirfd, IMAGE_CONFIG, 0, sink, ctx, &config, err);

	for (size_t i = first; i < layers && r == 0; i++) {
		image_layer_name(name, i);
		r = file_send(dirfd, name, i == first ? offset : 0, sink, ctx, sent, err);
	}
	return r;
}
