//! The `zsic` command: parse, run, exit status. Everything else is in `cli/` (the command's side) and the library.

mod cli;

use std::process::ExitCode;

/// Memory, for all of the program.
#[global_allocator]
static ALLOCATOR: cli::allocator::OrStop = cli::allocator::OrStop;

fn main() -> ExitCode {
    cli::fatal::hide_panics();
    cli::allocator::spare_addresses();
    cli::settings::forget_empty_variables();
    let args = cli::version::parse();
    cli::fatal::run(&args.common, || cli::run(&args))
}
