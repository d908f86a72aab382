/* crypto_late.h: the digests of OpenSSL's libcrypto, loaded when the first is made (late.h). */
#ifndef JOBS_CRYPTO_LATE_H
#define JOBS_CRYPTO_LATE_H

#include <stdbool.h>

/* Before any function of libcrypto. false: it is not to be had. Any thread. */
bool crypto_late_load(void);

#endif
