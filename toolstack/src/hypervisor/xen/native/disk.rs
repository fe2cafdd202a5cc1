//! Disks of a domain, as block devices of dom0.
//!
//! Owns finding a block device's number, and putting a file behind a loop device. It must not
//! know the XenStore.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use jitsu_proto::Disk;

/// A disk that can be given to a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    /// What the guest calls it.
    pub(super) device: String,
    /// The same, as a number (docs/man/xen-vbd-interface.7).
    pub(super) number: u32,
    /// The block device's file in dom0.
    pub(super) node: String,
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) read_only: bool,
}

/// A disk and what keeps its loop device until the domain's backend has opened it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) disk: Attached,
    /// None: it is a block device of its own.
    _keeper: Option<File>,
}

/// Makes `disk` a block device, if it is not one.
pub(super) fn attach(disk: &Disk) -> io::Result<Held> {
    let number = crate::vdev::number(&disk.device)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no such disk name"))?;
    let file = OpenOptions::new().read(true).write(!disk.read_only).open(&disk.source)?;
    let found = file.metadata()?;
    let (node, rdev, keeper) = if found.file_type().is_block_device() {
        (disk.source.clone(), found.rdev(), None)
    } else if found.is_file() {
        let (node, device) = super::loopdev::attach(&file, disk.read_only)?;
        let rdev = device.metadata()?.rdev();
        (node, rdev, Some(device))
    } else {
        let what = "neither a block device nor a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    };
    let disk = Attached {
        device: disk.device.clone(),
        number,
        node,
        major: u64::from(libc::major(rdev)),
        minor: u64::from(libc::minor(rdev)),
        read_only: disk.read_only,
    };
    Ok(Held { disk, _keeper: keeper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_disk_is_refused() {
        let disk = |source: &str| Disk {
            source: source.to_owned(),
            device: "xvda".to_owned(),
            read_only: true,
        };
        let error = attach(&disk("/nonexistent.img")).expect_err("no file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = attach(&disk("/dev/null")).expect_err("no disk");
        assert_eq!(error.to_string(), "neither a block device nor a file");
    }
}
