//! Loop devices: a file as a block device.
//!
//! Owns the two requests to the kernel's driver (linux/loop.h). The device goes by itself when
//! the last user does (`LO_FLAGS_AUTOCLEAR`).

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_config`, with its `struct loop_info64`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopConfig {
    fn new(file: &File, flags: u32) -> LoopConfig {
        let info = LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        };
        let fd = u32::try_from(file.as_raw_fd()).expect("BUG: a descriptor is not negative");
        LoopConfig { fd, block_size: 0, info, reserved: [0; 8] }
    }
}

/// A free loop device over `file`: its path, and what keeps it until somebody else has it open.
pub(super) fn attach(file: &File, read_only: bool) -> io::Result<(String, File)> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let flags = LO_FLAGS_AUTOCLEAR | if read_only { LO_FLAGS_READ_ONLY } else { 0 };
    let config = LoopConfig::new(file, flags);
    loop {
        // SAFETY: the request takes no argument.
        let free = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if free < 0 {
            return Err(io::Error::last_os_error());
        }
        let node = format!("/dev/loop{free}");
        let device = OpenOptions::new().read(true).write(!read_only).open(&node)?;
        // SAFETY: the kernel reads one `struct loop_config`, which lives for the call.
        let set = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
        if set == 0 {
            return Ok((node, device));
        }
        let error = io::Error::last_os_error();
        // Somebody else was faster: the next free one.
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_are_as_large_as_the_kernels() {
        // sizeof in C, on every 64-bit machine.
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
