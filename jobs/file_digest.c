#include "base/own.h"
#include "jobs/crypto_late.h"
#include "jobs/file_job.h"
#include "jobs/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

struct file_digest {
    const char *algorithm; /* borrowed */
    EVP_MD *kind;
    EVP_MD_CTX *state;
};

OWN_DEFINE(struct file_digest, file_digest_free);

int file_digest_new(struct file_job *job, const char *algorithm, struct file_digest **ret)
{
    if (!crypto_late_load())
        return file_job_fail(job, -ELIBACC, "libcrypto");
    OWN(file_digest_free) struct file_digest *digest = calloc(1, sizeof *digest);
    if (!digest)
        return -ENOMEM;

    digest->algorithm = algorithm;
    digest->kind = EVP_MD_fetch(NULL, algorithm, NULL);
    if (!digest->kind || EVP_MD_get_size(digest->kind) > FILE_DIGEST_BYTES_MAX)
        return file_job_fail(job, -EINVAL, "no digest %s in this system", algorithm);
    digest->state = EVP_MD_CTX_new();
    if (!digest->state || EVP_DigestInit_ex2(digest->state, digest->kind, NULL) != 1)
        return -ENOMEM;
    *ret = TAKE(digest);
    return 0;
}

int file_digest_add(struct file_digest *digest, const void *data, size_t len)
{
    return EVP_DigestUpdate(digest->state, data, len) == 1 ? 0 : -EIO;
}

int file_digest_end(struct file_job *job, struct file_digest *digest)
{
    unsigned char raw[FILE_DIGEST_BYTES_MAX];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(digest->state, raw, &len) != 1)
        return -EIO;
    for (unsigned i = 0; i < len; i++)
        snprintf(job->digest + 2 * i, 3, "%02x", raw[i]);
    job->algorithm = digest->algorithm;
    return 0;
}

void file_digest_free(struct file_digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->state);
    EVP_MD_free(digest->kind);
    free(digest);
}

static int digest_file(struct file_job *job, int fd, struct file_digest *digest)
{
    for (;;) {
        ssize_t n = read(fd, job->piece, FILE_PIECE_BYTES);
        if (n <= 0)
            return n < 0 ? file_job_fail(job, sys_error(), "cannot read %s", job->spec->from)
                         : 0;
        int r = file_digest_add(digest, job->piece, (size_t)n);
        if (r == 0)
            r = file_job_step(job, (uint64_t)n);
        if (r < 0)
            return r;
    }
}

int file_checksum(struct file_job *job)
{
    const struct file_spec *spec = job->spec;
    OWN(file_digest_free) struct file_digest *digest = NULL;
    struct stat st;

    OWN_FD int fd = file_roots_open(job->roots, spec->from, O_RDONLY, 0);
    if (fd < 0)
        return file_job_fail(job, fd, "%s", spec->from);
    if (fstat(fd, &st) < 0)
        return sys_error();
    if (!S_ISREG(st.st_mode))
        return file_job_fail(job, -EINVAL, "%s is not a plain file", spec->from);
    int r = file_digest_new(job, spec->algorithm, &digest);
    if (r == 0)
        r = digest_file(job, fd, digest);
    if (r == 0)
        r = file_digest_end(job, digest);
    if (r < 0)
        return r;
    job->files = 1;
    if (spec->expect && strcasecmp(spec->expect, job->digest) != 0) {
        snprintf(job->error, sizeof job->error, "%s of %.150s is %s, not %s", spec->algorithm,
                 spec->from, job->digest, spec->expect);
        return -EBADMSG;
    }
    return 0;
}
