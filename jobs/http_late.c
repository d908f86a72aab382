#include "jobs/http_late.h"

#include "jobs/late.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdarg.h>

static struct late_library curl = LATE_LIBRARY("libcurl.so.4");
#define LATE_FROM curl

#if LIBCURL_VERSION_NUM >= 0x080000
#define CURLU_CONST const
#else
#define CURLU_CONST
#endif

LATE0(CURL *, curl_easy_init)
LATE1(void, curl_easy_cleanup, CURL *)
LATE2(CURLcode, curl_easy_pause, CURL *, int)
LATE1(const char *, curl_easy_strerror, CURLcode)
LATE1(void, curl_free, void *)
LATE0(void, curl_global_cleanup)
LATE1(CURLcode, curl_global_init, long)
LATE2(CURLMcode, curl_multi_add_handle, CURLM *, CURL *)
LATE3(CURLMcode, curl_multi_assign, CURLM *, curl_socket_t, void *)
LATE1(CURLMcode, curl_multi_cleanup, CURLM *)
LATE2(CURLMsg *, curl_multi_info_read, CURLM *, int *)
LATE0(CURLM *, curl_multi_init)
LATE2(CURLMcode, curl_multi_remove_handle, CURLM *, CURL *)
LATE4(CURLMcode, curl_multi_socket_action, CURLM *, curl_socket_t, int, int *)
LATE2(struct curl_slist *, curl_slist_append, struct curl_slist *, const char *)
LATE1(void, curl_slist_free_all, struct curl_slist *)
LATE0(CURLU *, curl_url)
LATE1(void, curl_url_cleanup, CURLU *)
LATE4(CURLUcode, curl_url_get, CURLU_CONST CURLU *, CURLUPart, char **, unsigned)
LATE4(CURLUcode, curl_url_set, CURLU *, CURLUPart, const char *, unsigned)

/* The third argument of these is a long, a curl_off_t or a pointer: on the machines this is
 * built for all of them travel alike. */
_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *),
               "one word carries every kind of option");

#define LATE_OPTION(type, name, object, option)                                                \
    type(name)(object a, option b, ...)                                                        \
    {                                                                                          \
        va_list ap;                                                                            \
        va_start(ap, b);                                                                       \
        void *c = va_arg(ap, void *);                                                          \
        va_end(ap);                                                                            \
        return LATE(name)(a, b, c);                                                            \
    }

LATE_OPTION(CURLcode, curl_easy_setopt, CURL *, CURLoption)
LATE_OPTION(CURLcode, curl_easy_getinfo, CURL *, CURLINFO)
LATE_OPTION(CURLMcode, curl_multi_setopt, CURLM *, CURLMoption)

bool http_late_load(void)
{
    return late_load(&curl);
}
