//! Completions and the manual page, from the parser's own definition.

use std::io::{self, Write};

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Outcome;
use super::args::Cli;

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "zsic", &mut script);
    print(&script)
}

/// Prints the manual: one page that holds every command's.
pub fn man() -> Result<Outcome> {
    let mut page = Vec::new();
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    clap_mangen::Man::new(root.clone()).render(&mut page)?;
    for command in root.get_subcommands() {
        section(&mut page, command, command.get_name())?;
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            section(&mut page, inner, &format!("{} {}", command.get_name(), inner.get_name()))?;
        }
    }
    print(&page)
}

/// A command's part of the page.
fn section(page: &mut Vec<u8>, command: &clap::Command, name: &str) -> Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    Ok(man.render_extra_section(page)?)
}

fn print(bytes: &[u8]) -> Result<Outcome> {
    io::stdout().lock().write_all(bytes)?;
    Ok(Outcome::Complete)
}
