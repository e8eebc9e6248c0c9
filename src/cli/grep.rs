//! `zsic grep`: prints the names of images that are one of some labels.

use anyhow::Result;

use super::Outcome;
use super::args::{Common, Grep};
use super::output::{Place, Sink};
use super::question::{Finding, Search};

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Grep, common: &Common) -> Result<Outcome> {
    let Grep { inputs, question, labels, decisions, machine, .. } = args;
    let search = Search { inputs, question, labels, decisions, machine, common };
    let mut found = 0;
    let see = |sink: &mut Sink, name: &zsic::source::Name, finding: Option<Finding>| {
        let Some(Finding { score, .. }) = finding.filter(|finding| finding.is_match != args.invert) else {
            return Ok(false);
        };
        found += 1;
        if !args.count {
            sink.write(&line(args, name, score), None)?;
        }
        Ok(args.limit == Some(found))
    };
    let mut see = see;
    let (outcome, mut sink) = search.run(
        || Place::new(None, common).open([]),
        |sink, answer, finding| see(sink, &answer.name, finding.ok()),
        Sink::flush,
    )?;
    if args.count {
        sink.write(format!("{found}\n").as_bytes(), None)?;
    }
    sink.finish()?;
    Ok(if found == 0 && outcome == Outcome::Complete { Outcome::NothingMatched } else { outcome })
}

/// Returns what is printed of an image.
fn line(args: &Grep, name: &zsic::source::Name, score: f32) -> Vec<u8> {
    let mut line = Vec::new();
    if args.scores {
        line.extend(format!("{score:?}\t").bytes());
    }
    line.extend(if args.print0 { name.bytes() } else { name.as_str().as_bytes() });
    line.push(if args.print0 { 0 } else { b'\n' });
    line
}
