//! The command `toolstack`; for now only the guest that is built in.

fn main() {
    toolstack::guest::run_if_asked();
}
