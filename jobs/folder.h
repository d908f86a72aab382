/* folder.h: the entries of an open folder, without "." and "..". Blocks. */
#ifndef JOBS_FOLDER_H
#define JOBS_FOLDER_H

#include "base/own.h"

#include <dirent.h>

/* Lists dir_fd from its start, whatever was read before; NULL with errno. */
DIR *folder_open(int dir_fd);
/* NULL is harmless. */
void folder_close(DIR *dir);
/* NULL at the end with errno 0, or when the rest cannot be read. */
struct dirent *folder_next(DIR *dir);

OWN_DEFINE(DIR, folder_close);

#endif
