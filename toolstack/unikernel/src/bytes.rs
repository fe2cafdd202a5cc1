//! The functions on bytes that compiled code calls by name, which a C library would bring.
//!
//! Must not be called from here by what it is made of: hence string instructions.
#![allow(unsafe_code, reason = "their callers are found by name and give addresses")]

use core::arch::asm;

/// Copies `length` bytes that do not overlap.
///
/// # Safety
///
/// As for C's `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller answers for both ranges; eight bytes at a time, then the rest.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) length % 8,
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") length / 8 => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// Copies `length` bytes that may overlap.
///
/// # Safety
///
/// As for C's `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= length {
        // SAFETY: read from the front, no byte is overwritten before it is read.
        return unsafe { memcpy(to, from, length) };
    }
    // SAFETY: the caller answers for both ranges, which are not empty; from the back. The
    // direction flag is cleared again, as the convention of calls wants it.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rdi") to.add(length - 1) => _,
            inout("rsi") from.add(length - 1) => _,
            inout("rcx") length => _,
            options(nostack),
        );
    }
    to
}

/// Sets `length` bytes to the lowest byte of `value`.
///
/// # Safety
///
/// As for C's `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    let eight = u64::from(value as u8) * 0x0101_0101_0101_0101;
    // SAFETY: the caller answers for the range; eight bytes at a time, then the rest.
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, {rest:e}",
            "rep stosb",
            rest = in(reg) length % 8,
            in("rax") eight,
            inout("rdi") to => _,
            inout("rcx") length / 8 => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// Compares `length` bytes: below, equal to or above 0.
///
/// # Safety
///
/// As for C's `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: the caller answers for both ranges.
        let (left, right) = unsafe { (*left.add(at), *right.add(at)) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// Compares `length` bytes: 0 if they are equal.
///
/// # Safety
///
/// As for `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: it is the same.
    unsafe { memcmp(left, right, length) }
}
