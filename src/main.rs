//! The `zsic` command: parse, run, exit status. Everything else is in `cli/` (the command's side) and the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::fatal::hide_panics();
    cli::settings::forget_empty_variables();
    let args = cli::version::parse();
    cli::fatal::run(&args.common, || cli::run(&args))
}
