//! Where Xen's builder finds the image's notes and where the virtual processor starts.
//!
//! Owns the ELF notes (xen/include/public/elfnote.h), the first instructions and the stack. Must
//! not know what the unikernel does.
//!
//! Events are never delivered as upcalls: their mask stays set, as it is when a domain starts,
//! and `SCHEDOP_poll` waits for them. No trap table is set either, so a fault is Xen's to handle:
//! it crashes the domain. Nothing therefore ever runs on this stack but the code itself.
#![allow(unsafe_code, reason = "the start of a program is found by its name")]

use core::arch::global_asm;

use crate::memory::{StartInfo, VIRT_BASE};

/// All state is on it: buffers of connections too.
const STACK_BYTES: usize = 1 << 20;

// A note: the lengths of its name and contents, its type, the name, the contents; each aligned
// to 4 bytes.
global_asm!(
    ".macro note type",
    ".balign 4; .long 4, 9f - 8f, \\type; .asciz \"Xen\"; 8:",
    ".endm",
    ".macro text_note type, text",
    "note \\type; .asciz \"\\text\"; 9: .balign 4",
    ".endm",
    ".macro number_note type, number",
    "note \\type; .quad \\number; 9: .balign 4",
    ".endm",
    ".section .note.Xen, \"a\", @note",
    // XEN_ELFNOTE_ENTRY, HYPERCALL_PAGE, VIRT_BASE, PADDR_OFFSET, XEN_VERSION, GUEST_OS,
    // GUEST_VERSION, LOADER, PAE_MODE, BSD_SYMTAB.
    "number_note 1, _start",
    "number_note 2, hypercall_page",
    "number_note 3, {base}",
    "number_note 4, {base}",
    "text_note 5, xen-3.0",
    "text_note 6, jitsu-unikernel",
    "text_note 7, 0.1.0",
    "text_note 8, generic",
    "text_note 9, yes",
    "text_note 11, no",
    ".section .hypercall_page, \"ax\"",
    // Filled by Xen: 32 bytes for each hypercall, by its number.
    ".globl hypercall_page",
    ".balign 4096",
    "hypercall_page: .skip 4096",
    ".section .bss.stack, \"aw\", @nobits",
    ".balign 4096",
    "stack: .skip {stack}",
    ".section .text._start, \"ax\"",
    ".globl _start",
    // Xen gives the start info page in rsi, and a stack of one page, which is too small.
    "_start: cld",
    "lea rsp, [rip + stack + {stack}]",
    "xor ebp, ebp",
    "mov rdi, rsi",
    "call {entry}",
    "ud2",
    base = const VIRT_BASE,
    stack = const STACK_BYTES,
    entry = sym enter,
);

extern "C" fn enter(start: &'static StartInfo) -> ! {
    crate::start(start)
}

/// What code compiled with unwinding names; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
