//! The `zsic` command: parses, runs, and returns the exit status. The rest is in `cli/` and the library.

mod cli;

use std::process::ExitCode;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: cli::allocator::OrStop = cli::allocator::OrStop;

fn main() -> ExitCode {
    cli::fatal::hide_panics();
    cli::allocator::spare_addresses();
    cli::settings::forget_empty_variables();
    let args = cli::version::parse();
    cli::fatal::run(&args.common, || cli::run(&args))
}
