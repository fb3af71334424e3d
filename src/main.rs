//! The binary: everything is in the library.

use std::process::ExitCode;

/// Every call is some hundred small allocations, many of which another thread frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    umbra::cli::main()
}
