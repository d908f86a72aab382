#include "jobs/crypto_late.h"

#include "jobs/late.h"

#include <openssl/evp.h>

static struct late_library crypto = LATE_LIBRARY("libcrypto.so.3");
#define LATE_FROM crypto

LATE3(int, EVP_DigestFinal_ex, EVP_MD_CTX *, unsigned char *, unsigned *)
LATE3(int, EVP_DigestInit_ex2, EVP_MD_CTX *, const EVP_MD *, const OSSL_PARAM *)
LATE3(int, EVP_DigestUpdate, EVP_MD_CTX *, const void *, size_t)
LATE3(int, EVP_EncodeBlock, unsigned char *, const unsigned char *, int)
LATE1(void, EVP_MD_CTX_free, EVP_MD_CTX *)
LATE0(EVP_MD_CTX *, EVP_MD_CTX_new)
LATE3(EVP_MD *, EVP_MD_fetch, OSSL_LIB_CTX *, const char *, const char *)
LATE1(void, EVP_MD_free, EVP_MD *)
LATE1(int, EVP_MD_get_size, const EVP_MD *)

bool crypto_late_load(void)
{
    return late_load(&crypto);
}
