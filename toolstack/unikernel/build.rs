//! How the image is linked: by `link.ld`, without an operating system's start files or libraries.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rerun-if-changed=link.ld");
    let script = format!("-Wl,-T,{folder}/link.ld");
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", &script] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Pages of 4 KiB in the file too, and no identifier of the build: the image is small, and the
    // same source makes the same image.
    for argument in ["-Wl,-z,max-page-size=4096", "-Wl,-z,noexecstack", "-Wl,--build-id=none"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
