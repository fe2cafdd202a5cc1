//! The ACPI tables of a PVH domain: how many processors it has, and that it has no other hardware.
//!
//! Owns their bytes (ACPI 5.0, chapter 5). Linux sets up no timer where no table tells of a local
//! APIC. It is pure: it must not know how they come into the guest.
//!
//! ```text
//!   RSDP ──▶ XSDT ──┬──▶ FADT ──▶ DSDT (no device)
//!                   └──▶ MADT (a local APIC for each VCPU)
//! ```

/// The guest-physical address of the tables, and of the RSDP, the first of them: where libxl has
/// them (`ACPI_INFO_PHYSICAL_ADDRESS`, tools/libacpi).
pub(super) const ADDRESS: u64 = 0xfc00_0000;

const RSDP_BYTES: usize = 36;
const HEADER_BYTES: usize = 36;
/// Where every local APIC of a domain is, as its own VCPU sees it.
const LAPIC_ADDRESS: u32 = 0xfee0_0000;

/// `IAPC_BOOT_ARCH`: VGA not present; CMOS RTC not present.
const NO_PC_DEVICES: u16 = 1 << 2 | 1 << 5;
/// The FADT's flags: `WBINVD`; `HW_REDUCED_ACPI`, none of ACPI's fixed hardware.
const FLAGS: u32 = 1 | 1 << 20;

/// All of them, as they are from [`ADDRESS`] on, for a domain that Xen has made: it allows one of
/// this kind 128 VCPUs (`HVM_MAX_VCPUS`, xen/include/public/hvm/hvm_info_table.h).
pub(super) fn tables(vcpus: u32) -> Vec<u8> {
    let mut bytes = vec![0; RSDP_BYTES];
    let mut append = |table: Vec<u8>| {
        let at = ADDRESS + bytes.len() as u64;
        bytes.extend(table);
        at
    };
    let dsdt = append(table(b"DSDT", 2, &[]));
    let fadt = append(fadt(dsdt));
    let madt = append(madt(vcpus));
    let xsdt = append(table(b"XSDT", 1, &[fadt, madt].map(u64::to_le_bytes).concat()));
    bytes[..RSDP_BYTES].copy_from_slice(&rsdp(xsdt));
    bytes
}

fn rsdp(xsdt: u64) -> [u8; RSDP_BYTES] {
    let mut rsdp = [0; RSDP_BYTES];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(b"JITSU ");
    // Revision 2: there is an XSDT.
    rsdp[15] = 2;
    rsdp[20..24].copy_from_slice(&(RSDP_BYTES as u32).to_le_bytes());
    rsdp[24..32].copy_from_slice(&xsdt.to_le_bytes());
    // That of what revision 1 had, then that of all.
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(&rsdp);
    rsdp
}

fn fadt(dsdt: u64) -> Vec<u8> {
    // The header is not in it; offsets are those of the specification.
    let mut body = [0; 268 - HEADER_BYTES];
    let mut put = |offset: usize, field: &[u8]| {
        body[offset - HEADER_BYTES..][..field.len()].copy_from_slice(field);
    };
    put(109, &NO_PC_DEVICES.to_le_bytes());
    put(112, &FLAGS.to_le_bytes());
    put(140, &dsdt.to_le_bytes());
    table(b"FACP", 5, &body)
}

fn madt(vcpus: u32) -> Vec<u8> {
    // No flags: there is no 8259.
    let mut body = [LAPIC_ADDRESS, 0].map(u32::to_le_bytes).concat();
    for vcpu in 0..vcpus {
        // Xen numbers the APICs of a domain so (`vlapic_reset`, xen/arch/x86/hvm/vlapic.c).
        let [processor, apic] =
            [vcpu, 2 * vcpu].map(|id| u8::try_from(id).expect("BUG: Xen allows 128 VCPUs"));
        // A local APIC, 8 bytes of it, enabled.
        body.extend([0, 8, processor, apic, 1, 0, 0, 0]);
    }
    table(b"APIC", 3, &body)
}

/// A table with its header.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).expect("BUG: tables are short");
    let mut table = signature.to_vec();
    table.extend(length.to_le_bytes());
    table.extend([revision, 0]);
    table.extend(b"JITSU JITSUPVH\x01\0\0\0JTSU\x01\0\0\0");
    table.extend(body);
    table[9] = checksum(&table);
    table
}

/// What makes the sum of all bytes zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The table that a pointer points to, which must be whole.
    fn follow<'a>(all: &'a [u8], pointer: &[u8], signature: &[u8; 4]) -> &'a [u8] {
        let at = usize::try_from(number(pointer) - ADDRESS).expect("it is in reach");
        let length = number(&all[at + 4..at + 8]);
        let table = &all[at..at + usize::try_from(length).expect("it is in reach")];
        assert_eq!(&table[..4], signature);
        assert_eq!(checksum(table), 0, "{signature:?}");
        table
    }

    #[test]
    fn every_table_is_found_and_whole() {
        for vcpus in [1, 2, 128] {
            let all = tables(vcpus);
            assert_eq!(&all[..8], b"RSD PTR ");
            assert_eq!((checksum(&all[..20]), checksum(&all[..RSDP_BYTES])), (0, 0));
            let xsdt = follow(&all, &all[24..32], b"XSDT");
            assert_eq!(xsdt.len(), HEADER_BYTES + 16);
            let fadt = follow(&all, &xsdt[36..44], b"FACP");
            assert_eq!(follow(&all, &fadt[140..148], b"DSDT").len(), HEADER_BYTES);
            assert_eq!((fadt.len(), number(&fadt[112..116])), (268, 0x10_0001));
            let madt = follow(&all, &xsdt[44..52], b"APIC");
            assert_eq!(number(&madt[36..40]), 0xfee0_0000);
            let apics: Vec<&[u8]> = madt[44..].chunks(8).collect();
            let expected: Vec<[u8; 8]> =
                (0..vcpus as u8).map(|n| [0, 8, n, 2 * n, 1, 0, 0, 0]).collect();
            assert_eq!(apics, expected, "{vcpus} VCPUs");
        }
    }
}
