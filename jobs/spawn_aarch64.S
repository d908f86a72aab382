/* long spawn_clone(struct clone_args *args, size_t size, int (*fn)(void *), void *arg)
 *
 * clone3(args, size); the child calls fn(arg) on the stack that args names and exits with its
 * result, the parent gets the child's pid or a negative errno. */
    .text
    .globl spawn_clone
    .hidden spawn_clone
    .type spawn_clone, %function
spawn_clone:
    .cfi_startproc
    mov     x9, x2              /* the system call keeps all but x0 */
    mov     x10, x3
    mov     x8, #435            /* clone3 */
    svc     #0
    cbz     x0, 1f
    ret
1:  .cfi_undefined x30          /* a backtrace of the child ends here */
    mov     x29, #0
    mov     x30, #0
    mov     x0, x10
    blr     x9
    mov     x8, #94             /* exit_group */
    svc     #0
    brk     #1
    .cfi_endproc
    .size spawn_clone, . - spawn_clone
    .section .note.GNU-stack, "", %progbits
