/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_identity.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"

#define LIST_NAME "ca.crl"

/* ---- names and roles in certificates ---- */

int tls_identity_read(X509 *cert, char name[NAME_SIZE], enum wire_role *role, struct err *err)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	char text[2][NAME_SIZE] = { 0 };
	const int nid[2] = { NID_commonName, NID_organizationalUnitName };

	for (int i = 0; i < 2; i++) {
		int at = X509_NAME_get_index_by_NID(subject, nid[i], -1);

		if (at < 0 || X509_NAME_get_index_by_NID(subject, nid[i], at) >= 0)
			return err_set(err, -EACCES, "certificate without exactly one %s",
				       i ? "role (OU)" : "name (CN)");
		const ASN1_STRING *value =
			X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		int len = ASN1_STRING_length(value);
		if (len <= 0 || len >= NAME_SIZE)
			return err_set(err, -EACCES, "certificate with a %s of %d bytes",
				       i ? "role (OU)" : "name (CN)", len);
		memcpy(text[i], ASN1_STRING_get0_data(value), (size_t)len);
		if (strlen(text[i]) != (size_t)len || !name_valid(text[i]))
			return err_set(err, -EACCES, "certificate whose %s is no valid name",
				       i ? "role (OU)" : "name (CN)");
	}
	enum wire_role r = wire_role_from_name(text[1]);
	if (r == WIRE_ROLE_NONE)
		return err_set(err, -EACCES, "certificate of %s has the unknown role \"%s\"",
			       text[0], text[1]);
	memcpy(name, text[0], NAME_SIZE);
	*role = r;
	return 0;
}

int64_t tls_identity_expires(const X509 *cert)
{
	int days = 0, seconds = 0;

	/* from the epoch: no time zone, no limit of time_t's text forms */
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int r = ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(cert));
	ASN1_TIME_free(epoch);
	return r == 1 ? (int64_t)days * 86400 + seconds : 0;
}

/* ---- authorities that we trust ---- */

/* Remembers who was refused; an authority that has published no list has revoked nothing */
static int on_verify(int good, X509_STORE_CTX *check)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_refused *refused = ssl ? SSL_get_app_data(ssl) : NULL;
	X509 *cert = X509_STORE_CTX_get0_cert(check);
	enum wire_role role;

	if (good)
		return 1;
	if (X509_STORE_CTX_get_error(check) == X509_V_ERR_UNABLE_TO_GET_CRL) {
		X509_STORE_CTX_set_error(check, X509_V_OK);
		return 1;
	}
	if (refused && cert)
		(void)tls_identity_read(cert, refused->name, &role, NULL);
	return 0;
}

int tls_identity_verify(const struct tls_identity *id, X509 *cert)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	int why = X509_V_ERR_OUT_OF_MEM;

	if (check && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(id->ctx), cert, NULL) == 1) {
		X509_STORE_CTX_set_verify_cb(check, on_verify);
		why = X509_verify_cert(check) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(check);
	}
	X509_STORE_CTX_free(check);
	return why;
}

/* Opens one of the files; the error says the remedy if it is missing */
static int open_pem(FILE **ret, const char *what, const char *path, const char *remedy,
		    struct err *err)
{
	FILE *f = fopen(path, "re");

	if (!f && errno == ENOENT)
		return err_set(err, -ENOENT, "%s %s is missing, %s", what, path, remedy);
	if (!f)
		return err_set(err, -errno, "open %s %s", what, path);
	*ret = f;
	return 0;
}

/* Whether the last PEM_read_...() stopped at the end of the file, not inside an object */
static bool pem_ended(void)
{
	unsigned long why = ERR_peek_last_error();

	return ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
}

/* struct authorities - How many were found; an expired one is passed over and is no error */
struct authorities {
	size_t good;
	size_t expired;
};

static int authority_add(struct tls_identity *id, struct authorities *found, X509 *ca,
			 const char *path, struct err *err)
{
	if (found->good + found->expired == TLS_AUTHORITIES_MAX)
		return err_set(err, -E2BIG, "%s: more than %d authorities", path,
			       TLS_AUTHORITIES_MAX);
	if (X509_cmp_current_time(X509_get0_notAfter(ca)) < 0) {
		found->expired++;
		return 0;
	}
	found->good++;
	id->authority[id->authorities++] =
		X509_NAME_hash_ex(X509_get_subject_name(ca), NULL, NULL, NULL);
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(id->ctx), ca) == 1
		       ? 0
		       : err_set(err, -ENOMEM, "load %s", path);
}

/* All certificates of one file; in a directory those of programs lie beside them and are passed over */
static int authorities_read(struct tls_identity *id, struct authorities *found, const char *path,
			    bool all, struct err *err)
{
	FILE *opened = NULL;
	int r = open_pem(&opened, "certificate of the authority", path,
			 "copy ca.crt of `baton pki init` there", err);

	if (r < 0)
		return r;
	auto_fclose FILE *f = opened;
	for (X509 *ca; r == 0 && (ca = PEM_read_X509(f, NULL, NULL, NULL)); X509_free(ca)) {
		if (all || X509_check_ca(ca) == 1)
			r = authority_add(id, found, ca, path, err);
	}
	/* half a file, as while it is copied, must not make strangers of those of the other half */
	if (r == 0 && !pem_ended())
		r = err_set(err, -EINVAL, "%s is damaged", path);
	return r;
}

static int authority_below(struct tls_identity *id, void *found, const char *path, struct err *err)
{
	return authorities_read(id, found, path, false, err);
}

/* Reads all files of a directory whose names end with @end, four characters */
static int read_below(struct tls_identity *id, const char *path, const char *end,
		      int (*read)(struct tls_identity *id, void *ctx, const char *path,
				  struct err *err),
		      void *ctx, struct err *err)
{
	const struct dirent *entry;
	char below[PATH_MAX];
	int r = 0;

	DIR *dir = opendir(path);
	if (!dir)
		return err_set(err, -errno, "open directory of authorities %s", path);
	while (r == 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len < 5 || strcmp(entry->d_name + len - 4, end) != 0)
			continue;
		r = snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) < PATH_MAX
			    ? read(id, ctx, below, err)
			    : err_set(err, -ENAMETOOLONG, "%s", path);
	}
	(void)closedir(dir);
	return r;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int load_ca(struct tls_identity *id, const char *path, struct err *err)
{
	struct authorities found = { 0 };
	int r = is_directory(path) ? read_below(id, path, ".crt", authority_below, &found, err)
				   : authorities_read(id, &found, path, true, err);

	if (r < 0)
		return r;
	if (!found.good && !found.expired)
		return err_set(err, -EINVAL, "%s holds no PEM certificate, want ca.crt", path);
	if (!found.good)
		return err_set(err, -EINVAL,
			       "the authority in %s has expired: `baton pki init --force`, then "
			       "issue all certificates again",
			       path);
	return 0;
}

/* Lists lie beside the authorities, unless a setting says where; in a file, or in a directory */
static int list_path(char path[PATH_MAX], const struct tls_files *files, struct err *err)
{
	char copy[PATH_MAX];
	int n = -1;

	if (files->crl)
		n = snprintf(path, PATH_MAX, "%s", files->crl);
	else if (is_directory(files->ca))
		n = snprintf(path, PATH_MAX, "%s", files->ca);
	else if (snprintf(copy, sizeof(copy), "%s", files->ca) < PATH_MAX)
		n = snprintf(path, PATH_MAX, "%s/" LIST_NAME, dirname(copy));
	return n >= 0 && n < PATH_MAX ? 0 : err_set(err, -ENAMETOOLONG, "%.80s...", files->ca);
}

static bool among(const unsigned long *hashes, size_t count, unsigned long hash)
{
	for (size_t i = 0; i < count; i++) {
		if (hashes[i] == hash)
			return true;
	}
	return false;
}

static int list_add(struct tls_identity *id, X509_CRL *list, const char *path, struct err *err)
{
	if (id->lists == TLS_AUTHORITIES_MAX ||
	    X509_STORE_add_crl(SSL_CTX_get_cert_store(id->ctx), list) != 1)
		return err_set(err, -EINVAL, "load %s: more than %d lists, or no memory", path,
			       TLS_AUTHORITIES_MAX);
	id->list[id->lists++] = X509_NAME_hash_ex(X509_CRL_get_issuer(list), NULL, NULL, NULL);
	return 0;
}

/* All lists of one file */
static int lists_read(struct tls_identity *id, void *ctx, const char *path, struct err *err)
{
	size_t before = id->lists;
	FILE *opened = NULL;
	int r = open_pem(&opened, "list of revoked certificates", path,
			 "copy ca.crl of `baton pki revoke` there", err);

	(void)ctx;
	if (r < 0)
		return r;
	auto_fclose FILE *f = opened;
	for (X509_CRL *list; r == 0 && (list = PEM_read_X509_CRL(f, NULL, NULL, NULL));
	     X509_CRL_free(list))
		r = list_add(id, list, path, err);
	/* half a file, as while it is copied, must not make those in the other half good again */
	if (r == 0 && id->lists > before && !pem_ended())
		r = err_set(err, -EINVAL, "%s is damaged after %zu lists", path,
			    id->lists - before);
	if (r == 0 && id->lists == before)
		r = err_set(err, -EINVAL, "%s holds no PEM list of revoked certificates", path);
	return r;
}

/* An authority that had a list has one again */
static int lists_complete(const struct tls_identity *id, const struct tls_identity *last,
			  const char *path, struct err *err)
{
	for (size_t i = 0; last && i < last->lists; i++) {
		if (among(id->authority, id->authorities, last->list[i]) &&
		    !among(id->list, id->lists, last->list[i]))
			return err_set(err, -ENOENT,
				       "list of revoked certificates of an authority is missing in "
				       "%s, copy ca.crl of `baton pki revoke` there",
				       path);
	}
	return 0;
}

/* Lists of revoked certificates, one for each authority that has revoked any */
static int load_lists(struct tls_identity *id, const struct tls_files *files,
		      const struct tls_identity *last, struct err *err)
{
	char path[PATH_MAX];
	int r = list_path(path, files, err);

	if (r < 0)
		return r;
	if (is_directory(path))
		r = read_below(id, path, ".crl", lists_read, NULL, err);
	else if (files->crl || access(path, F_OK) == 0 || errno != ENOENT)
		r = lists_read(id, NULL, path, err);
	if (r == 0)
		r = lists_complete(id, last, path, err);
	if (r == 0 && id->lists)
		(void)X509_STORE_set_flags(SSL_CTX_get_cert_store(id->ctx), X509_V_FLAG_CRL_CHECK);
	return r;
}

/* ---- our own identity ---- */

/* Whether our authority signed @cert, its dates are right, and it is not revoked */
static int verify_own(const struct tls_identity *id, X509 *cert, const struct tls_files *files,
		      struct err *err)
{
	int why = tls_identity_verify(id, cert);

	switch (why) {
	case X509_V_OK:
		return 0;
	case X509_V_ERR_OUT_OF_MEM:
		return err_set(err, -ENOMEM, "verify %s", files->cert);
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return err_set(err, -EINVAL,
			       "certificate %s has expired: `baton pki renew %s`, then copy "
			       "%s.crt and %s.key here",
			       files->cert, id->name, id->name, id->name);
	case X509_V_ERR_CERT_REVOKED:
		return err_set(err, -EINVAL,
			       "certificate %s is revoked: `baton pki issue %s %s --force` makes "
			       "another one",
			       files->cert, id->name, wire_role_name(id->role));
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return err_set(err, -EINVAL,
			       "certificate %s is not valid yet: is this host's clock right?",
			       files->cert);
	default:
		return err_set(err, -EINVAL,
			       "certificate %s was not signed by the authority in %s (%s): issue "
			       "it with that authority's key",
			       files->cert, files->ca, X509_verify_cert_error_string(why));
	}
}

static int load_cert(struct tls_identity *id, const struct tls_files *files, struct err *err)
{
	FILE *found = NULL;
	int r;

	r = open_pem(&found, "certificate", files->cert,
		     "make one with `baton pki issue NAME ROLE`", err);
	if (r < 0)
		return r;
	auto_fclose FILE *f = found;
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
	if (!cert)
		return err_set(err, -EINVAL, "%s holds no PEM certificate, want NAME.crt",
			       files->cert);
	r = tls_identity_read(cert, id->name, &id->role, err);
	if (r < 0)
		r = err_wrap(err, -EINVAL, "%s", files->cert);
	if (r == 0)
		r = verify_own(id, cert, files, err);
	if (r == 0 && SSL_CTX_use_certificate(id->ctx, cert) != 1)
		r = err_set(err, -EINVAL, "OpenSSL does not take the certificate in %s",
			    files->cert);
	id->expires = tls_identity_expires(cert);
	X509_free(cert);
	return r;
}

static int load_key(struct tls_identity *id, const struct tls_files *files, struct err *err)
{
	FILE *found = NULL;
	int r;

	r = open_pem(&found, "private key", files->key, "it belongs beside the certificate", err);
	if (r < 0)
		return r;
	auto_fclose FILE *f = found;
	/* an empty pass phrase: a daemon must not stop to ask for one */
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, (void *)(uintptr_t) "");
	if (!key)
		return err_set(err, -EINVAL, "%s holds no PEM private key without pass phrase",
			       files->key);
	int used = SSL_CTX_use_PrivateKey(id->ctx, key);
	EVP_PKEY_free(key);
	if (used != 1 || SSL_CTX_check_private_key(id->ctx) != 1)
		return err_set(err, -EINVAL,
			       "the key in %s does not belong to the certificate in %s: both must "
			       "come from one `baton pki issue`",
			       files->key, files->cert);
	return 0;
}

int tls_identity_load(struct tls_identity *to, const struct tls_files *files,
		      const struct tls_identity *last, struct err *err)
{
	struct tls_identity id = { .ctx = SSL_CTX_new(TLS_method()) };
	int r;

	if (!id.ctx || SSL_CTX_set_min_proto_version(id.ctx, TLS1_3_VERSION) != 1) {
		SSL_CTX_free(id.ctx);
		return err_set(err, -ENOMEM, "set up TLS");
	}
	SSL_CTX_set_verify(id.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
	SSL_CTX_set_verify_depth(id.ctx, 1);
	/* connections live long and are few: resumption would only add state to keep secret */
	SSL_CTX_set_session_cache_mode(id.ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(id.ctx, 0);
	SSL_CTX_set_mode(id.ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	r = load_ca(&id, files->ca, err);
	if (r == 0)
		r = load_lists(&id, files, last, err);
	if (r == 0)
		r = load_cert(&id, files, err);
	if (r == 0)
		r = load_key(&id, files, err);
	ERR_clear_error();
	if (r < 0)
		tls_identity_deinit(&id);
	else
		*to = id;
	return r;
}

void tls_identity_deinit(struct tls_identity *id)
{
	SSL_CTX_free(id->ctx);
	id->ctx = NULL;
}
