/* long spawn_clone(struct clone_args *args, size_t size, int (*fn)(void *), void *arg)
 *
 * clone3(args, size); the child calls fn(arg) on the stack that args names and exits with its
 * result, the parent gets the child's pid or a negative errno. The child must not return into
 * the caller's frame, which is why C alone cannot do it. */
    .text
    .globl spawn_clone
    .hidden spawn_clone
    .type spawn_clone, @function
spawn_clone:
    .cfi_startproc
    mov     %rdx, %r8           /* the system call destroys rcx and r11 only */
    mov     %rcx, %r9
    mov     $435, %eax          /* clone3 */
    syscall
    test    %rax, %rax
    jz      1f
    ret
1:  .cfi_undefined rip          /* a backtrace of the child ends here */
    xor     %ebp, %ebp
    and     $-16, %rsp
    mov     %r9, %rdi
    call    *%r8
    mov     %eax, %edi
    mov     $231, %eax          /* exit_group */
    syscall
    hlt
    .cfi_endproc
    .size spawn_clone, . - spawn_clone
    .section .note.GNU-stack, "", @progbits
