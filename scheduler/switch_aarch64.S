/* switch_aarch64.S: AAPCS64. Callee-saved are x19 to x28, the frame pointer x29, the link
 * register x30, sp, the low halves of v8 to v15 (d8 to d15), and FPCR by convention. The way
 * back is ret x30, which is predicted from the register here, unlike on x86-64.
 *
 * A saved stack, from its sp up: x29 x30, x19 x20 … x27 x28, d8 d9 … d14 d15, FPCR, a gap. */
        .text

        .globl  switch_context
        .type   switch_context, %function
        .p2align 4
switch_context:
        .cfi_startproc
        hint    #34
        stp     x29, x30, [sp, #-176]!
        .cfi_adjust_cfa_offset 176
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        str     x9, [sp, #160]

        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1

        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10
1:      ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #176
        .cfi_adjust_cfa_offset -176
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   switch_context, . - switch_context
/* The way back is the same for all. */
        .globl  switch_alike
        .set    switch_alike, switch_context

/* The outermost frame of every task: x19 = argument, x20 = function. */
        .type   switch_entry, %function
        .p2align 4
switch_entry:
        .cfi_startproc
        .cfi_undefined x30
        hint    #36
        mov     x29, xzr
        mov     x0, x19
        blr     x20
        brk     #1
        .cfi_endproc
        .size   switch_entry, . - switch_entry

        .globl  switch_prepare
        .type   switch_prepare, %function
        .p2align 4
switch_prepare:
        .cfi_startproc
        hint    #34
        and     x0, x0, #-16
        sub     x0, x0, #176
        adrp    x9, switch_entry
        add     x9, x9, :lo12:switch_entry
        stp     xzr, x9, [x0]
        stp     x2, x1, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        mrs     x9, fpcr
        str     x9, [x0, #160]
        ret
        .cfi_endproc
        .size   switch_prepare, . - switch_prepare

        .globl  switch_control
        .type   switch_control, %function
        .p2align 4
switch_control:
        .cfi_startproc
        hint    #34
        ldr     x9, [x0, #160]
        msr     fpcr, x9
        ret
        .cfi_endproc
        .size   switch_control, . - switch_control

/* Branch targets are marked (BTI): tell the linker. */
        .section .note.gnu.property, "a"
        .p2align 3
        .word   4, 16, 5
        .asciz  "GNU"
        .word   0xc0000000, 4, 1, 0

        .section .note.GNU-stack, "", %progbits
