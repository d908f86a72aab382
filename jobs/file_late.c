#include "jobs/file_late.h"

#include "jobs/late.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdarg.h>
#include <stdio.h>

#define ERROR_BYTES 256

static struct late_library archive = LATE_LIBRARY("libarchive.so.13");
#define LATE_FROM archive

LATE1(int, archive_errno, struct archive *)
LATE1(const char *, archive_error_string, struct archive *)

LATE1(struct archive_entry *, archive_entry_clear, struct archive_entry *)
LATE2(void, archive_entry_copy_stat, struct archive_entry *, const struct stat *)
LATE1(__LA_MODE_T, archive_entry_filetype, struct archive_entry *)
LATE1(void, archive_entry_free, struct archive_entry *)
LATE1(const char *, archive_entry_hardlink, struct archive_entry *)
LATE1(time_t, archive_entry_mtime, struct archive_entry *)
LATE1(int, archive_entry_mtime_is_set, struct archive_entry *)
LATE1(long, archive_entry_mtime_nsec, struct archive_entry *)
LATE0(struct archive_entry *, archive_entry_new)
LATE1(const char *, archive_entry_pathname, struct archive_entry *)
LATE1(const char *, archive_entry_pathname_utf8, struct archive_entry *)
LATE1(__LA_MODE_T, archive_entry_perm, struct archive_entry *)
LATE2(void, archive_entry_set_pathname, struct archive_entry *, const char *)
LATE2(void, archive_entry_set_symlink, struct archive_entry *, const char *)
LATE1(la_int64_t, archive_entry_size, struct archive_entry *)
LATE1(int, archive_entry_size_is_set, struct archive_entry *)
LATE1(const char *, archive_entry_symlink, struct archive_entry *)

LATE4(int, archive_read_data_block, struct archive *, const void **, size_t *, la_int64_t *)
LATE1(int, archive_read_free, struct archive *)
LATE0(struct archive *, archive_read_new)
LATE2(int, archive_read_next_header, struct archive *, struct archive_entry **)
LATE3(int, archive_read_open_fd, struct archive *, int, size_t)
LATE1(int, archive_read_support_filter_bzip2, struct archive *)
LATE1(int, archive_read_support_filter_gzip, struct archive *)
LATE1(int, archive_read_support_filter_lzma, struct archive *)
LATE1(int, archive_read_support_filter_xz, struct archive *)
LATE1(int, archive_read_support_filter_zstd, struct archive *)
LATE1(int, archive_read_support_format_cpio, struct archive *)
LATE1(int, archive_read_support_format_tar, struct archive *)
LATE1(int, archive_read_support_format_zip, struct archive *)

LATE1(int, archive_write_add_filter_gzip, struct archive *)
LATE1(int, archive_write_add_filter_none, struct archive *)
LATE1(int, archive_write_add_filter_xz, struct archive *)
LATE1(int, archive_write_add_filter_zstd, struct archive *)
LATE1(int, archive_write_close, struct archive *)
LATE3(la_ssize_t, archive_write_data, struct archive *, const void *, size_t)
LATE1(int, archive_write_fail, struct archive *)
LATE1(int, archive_write_free, struct archive *)
LATE2(int, archive_write_header, struct archive *, struct archive_entry *)
LATE0(struct archive *, archive_write_new)
LATE6(int, archive_write_open2, struct archive *, void *, archive_open_callback *,
      archive_write_callback *, archive_close_callback *, archive_free_callback *)
LATE2(int, archive_write_set_bytes_in_last_block, struct archive *, int)
LATE4(int, archive_write_set_filter_option, struct archive *, const char *, const char *,
      const char *)
LATE1(int, archive_write_set_format_cpio_newc, struct archive *)
LATE1(int, archive_write_set_format_pax_restricted, struct archive *)
LATE1(int, archive_write_set_format_zip, struct archive *)

void archive_set_error(struct archive *a, int error, const char *format, ...)
{
    char text[ERROR_BYTES];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    LATE(archive_set_error)(a, error, "%s", text);
}

bool file_late_load(void)
{
    return late_load(&archive);
}
