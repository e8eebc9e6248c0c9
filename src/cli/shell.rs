//! Completions and the manual page, generated from the parser's definition.

use std::io::Write;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::Cli;
use super::{Outcome, stdout};

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "zsic", &mut script);
    print(&script)
}

/// Prints the manual as one page with all commands.
pub fn man() -> Result<Outcome> {
    let mut page = Vec::new();
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let man = Man::new(root.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for command in root.get_subcommands() {
        command_section(&mut page, command, command.get_name())?;
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            command_section(&mut page, inner, &format!("{} {}", command.get_name(), inner.get_name()))?;
        }
    }
    as_it_is(&mut page, &root, "SH")?;
    man.render_version_section(&mut page)?;
    print(&page)
}

/// Writes a command's part of the page.
fn command_section(page: &mut Vec<u8>, command: &Command, name: &str) -> Result<()> {
    let man = Man::new(command.clone());
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    for part in [Man::render_synopsis_section, Man::render_description_section, Man::render_options_section] {
        let mut section = Vec::new();
        part(&man, &mut section)?;
        page.extend(String::from_utf8(section)?.replace(".SH ", ".SS ").as_bytes());
    }
    as_it_is(page, command, "SS")
}

/// Writes the text after a command's help, paragraph by paragraph, with its lines unchanged: `Examples:`, then
/// examples.
fn as_it_is(page: &mut Vec<u8>, command: &Command, level: &str) -> Result<()> {
    let after = command.get_after_long_help().or(command.get_after_help());
    for paragraph in after.map(ToString::to_string).unwrap_or_default().split("\n\n").filter(|p| !p.is_empty()) {
        let (heading, lines) = paragraph.split_once('\n').unwrap_or(("Notes", paragraph));
        let heading = heading.trim_end_matches(':').to_uppercase();
        let mut roff = Roff::new();
        roff.control(level, [heading.as_str()]).control("nf", []);
        lines.lines().for_each(|line| _ = roff.text([roman(line)]));
        roff.control("fi", []).to_writer(page)?;
    }
    Ok(())
}

fn print(bytes: &[u8]) -> Result<Outcome> {
    stdout::write(bytes)?;
    Ok(Outcome::Complete)
}
