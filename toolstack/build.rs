//! Compiles the C shim around Xen's libraries, when the feature `xen` is on.

fn main() {
    #[cfg(feature = "xen")]
    xen();
}

#[cfg(feature = "xen")]
fn xen() {
    const FOLDER: &str = "src/hypervisor/xen/native";
    for file in ["shim.c", "shim.h"] {
        println!("cargo::rerun-if-changed={FOLDER}/{file}");
    }
    let mut build = cc::Build::new();
    build.file(format!("{FOLDER}/shim.c")).warnings(true).extra_warnings(true);
    build.compile("jitsu-xen");
    for library in ["xenguest", "xenctrl", "xentoollog"] {
        println!("cargo::rustc-link-lib={library}");
    }
}
