/* switch.h: leaving one stack for another. Saves what the ABI calls callee-saved, and the
 * floating-point control words, and nothing else. Written in assembly, a file an architecture.
 */
#ifndef SCHEDULER_SWITCH_H
#define SCHEDULER_SWITCH_H

/* Stores the present stack pointer in *ret_sp and goes on at to_sp, which an earlier switch or
 * switch_prepare left. Returns when somebody switches back. */
void switch_context(void **ret_sp, void *to_sp);
/* The same, quicker where the stack at to_sp was most likely left by the very same call: then
 * the processor foresees the returns to come. */
void switch_alike(void **ret_sp, void *to_sp);
/* Lays the first frame of fn(arg) below top; the result is for switch_context. fn must not
 * return. Touches only the highest 256 bytes. */
void *switch_prepare(void *top, void (*fn)(void *arg), void *arg);
/* Floating point goes on as it was where sp was left. */
void switch_control(const void *sp);

#endif
