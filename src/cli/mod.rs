//! The command's side: flags, commands, output, progress.

pub mod allocator;
pub mod args;
pub mod available_memory;
mod boxes;
mod cache;
mod calibration;
mod classifier;
mod classify;
mod compile;
mod decisions;
mod doctor;
mod embed;
mod eval;
mod examples;
mod expand;
pub mod fatal;
mod fetching;
mod grep;
mod hub;
mod inputs;
mod interrupt;
mod known;
mod labels;
mod lines;
mod lists;
mod messages;
mod model;
mod models;
mod offline;
mod output;
mod previews;
mod progress;
mod question;
mod report;
mod scorer;
mod session;
pub mod settings;
mod shell;
mod skipped;
mod sort;
mod stats;
mod stdout;
mod stream;
mod terminal;
mod test;
mod text;
mod truth;
mod undo;
mod urls;
pub mod version;

use anyhow::Result;
use args::{Cli, Command, LabelArgs};

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every image was scored, or there is nothing else to report.
    Complete,
    /// An image failed, or something else is wrong, and the output says what.
    SomeFailed,
    /// No image is what was asked for.
    NothingMatched,
    /// An image failed, and it could change the answer.
    Undecided,
}

impl Outcome {
    /// Returns this outcome, or the other one if there is nothing to report.
    fn or(self, other: Self) -> Self {
        if self == Self::Complete { other } else { self }
    }
}

/// Runs a command.
///
/// # Errors
/// The reason why it could not start or had to stop; see [`fatal`] for the exit status.
pub fn run(cli: &Cli) -> Result<Outcome> {
    if cli.command.labels().is_some_and(LabelArgs::asks_for_sets) {
        return labels::print_sets();
    }
    match &cli.command {
        Command::Classify(args) => match &args.boxes.boxes {
            Some(file) => boxes::run(args, file, &cli.common),
            None => classify::run(args, &cli.common),
        },
        Command::Grep(args) => grep::run(args, &cli.common),
        Command::Test(args) => test::run(args, &cli.common),
        Command::Eval(args) => eval::run(args, &cli.common),
        Command::Sort(args) => sort::run(args, &cli.common),
        Command::Compile(args) => compile::run(args, &cli.common),
        Command::Embed(args) => embed::run(args, &cli.common),
        Command::Models(args) => models::run(args, &cli.common),
        Command::Cache(args) => cache::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man => shell::man(),
    }
}
