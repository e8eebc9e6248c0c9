//! `zsic grep`: prints the names of images that are one of some labels.

use anyhow::Result;
use zsic::source::Name;

use super::Outcome;
use super::args::{Common, Grep};
use super::output::{Place, Sink};
use super::question::{Finding, Search};
use super::terminal::printable_lines;

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Grep, common: &Common) -> Result<Outcome> {
    let Grep { inputs, question, labels, decisions, machine, .. } = args;
    let place = Place::new(None, common);
    let search = Search { inputs, question, labels, decisions, machine, common };
    let mut found = 0;
    let mut see = |sink: &mut Sink, name: &Name, finding: Option<Finding>| {
        let Some(Finding { score, .. }) = finding.filter(|finding| finding.is_match != args.invert) else {
            return Ok(false);
        };
        found += 1;
        if !args.count {
            let line = line(args, name, score);
            let shown = place.is_terminal().then(|| printable_lines(&String::from_utf8_lossy(&line)));
            sink.write(shown.as_ref().map_or(&*line, |shown| shown.as_bytes()), None)?;
        }
        Ok(args.limit == Some(found))
    };
    let (outcomes, mut sink) =
        search.run(|| place.open([]), |sink, answer, finding| see(sink, &answer.name, finding.ok()), Sink::flush)?;
    if args.count {
        sink.write(format!("{found}\n").as_bytes(), None)?;
    }
    sink.finish()?;
    let outcome = outcomes.images.or(outcomes.examples);
    Ok(if found == 0 && outcome == Outcome::Complete { Outcome::NothingMatched } else { outcome })
}

/// Returns what is printed of an image.
fn line(args: &Grep, name: &Name, score: f32) -> Vec<u8> {
    let mut line = Vec::new();
    if args.scores {
        line.extend(format!("{score:?}\t").bytes());
    }
    line.extend(if args.print0 { name.bytes() } else { name.as_str().as_bytes() });
    line.push(if args.print0 { 0 } else { b'\n' });
    line
}
