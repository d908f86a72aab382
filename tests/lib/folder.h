/* folder.h: a scratch folder of a test, gone with everything in it when the test ends. */
#ifndef TESTS_LIB_FOLDER_H
#define TESTS_LIB_FOLDER_H

/* A new folder below $TMPDIR or /tmp; the path is to free(). Aborts the test when there is
 * none. */
char *folder_new(void);
/* Removes the folder and what is in it, does not follow links, frees the path; NULL is fine. */
void folder_remove(char *path);
/* How many names are in it, "." and ".." among them; 0 = no folder. */
unsigned folder_count(const char *path);

#endif
