//! `zsic test`: answers by its exit status whether images are one of some labels. A failed image is never a yes.

use anyhow::Result;

use super::Outcome;
use super::args::{Common, Test};
use super::question::Search;

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Test, common: &Common) -> Result<Outcome> {
    let Test { inputs, question, labels, decisions, machine, any } = args;
    let search = Search { inputs, question, labels, decisions, machine, common };
    // One image of this kind settles the answer, whatever becomes of the others.
    let settles = *any;
    let (mut is_settled, mut is_seen) = (false, false);
    let see = |(): &mut (), _: &_, finding: Result<super::question::Finding, &_>| {
        is_seen = true;
        is_settled |= finding.is_ok_and(|finding| finding.is_match == settles);
        Ok(is_settled)
    };
    let (outcomes, ()) = search.run(|| Ok(()), see, |()| Ok(()))?;
    Ok(match (is_settled, outcomes.images) {
        _ if outcomes.examples != Outcome::Complete => Outcome::Undecided, // it could change any answer
        (false, Outcome::SomeFailed) => Outcome::Undecided,
        _ if !is_seen => Outcome::Undecided, // an empty share
        _ if is_settled == *any => Outcome::Complete,
        _ => Outcome::NothingMatched,
    })
}
