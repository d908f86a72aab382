/* sys.h: errno for code that runs in tasks. The address behind the macro is a constant to the
 * compiler, which may keep it over a call that parks; the task may be on another thread by
 * then. So files with code that parks ask here, out of line, at once after the system call. */
#ifndef JOBS_SYS_H
#define JOBS_SYS_H

/* The calling thread's errno, negative. Any thread. */
int sys_error(void);

#endif
