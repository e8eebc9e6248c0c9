//! `zsic doctor`: what this machine and this build can do, and whether they compute the right numbers.

mod findings;
mod machine;
mod numbers;
mod places;

use anyhow::Result;
use serde_json::json;

use super::args::{Doctor, Hub, ListFormat};
use super::{Outcome, report, settings, version};
use findings::Findings;

/// Runs the command.
///
/// # Errors
/// If no thread can be started, or standard output cannot be written.
pub fn run(args: &Doctor) -> Result<Outcome> {
    let threads = settings::threads(args.threads);
    settings::start_threads(threads)?;
    let mut found = Findings::default();
    build(&mut found);
    machine::cpu(&mut found);
    machine::threads(&mut found, args.threads, threads);
    machine::memory(&mut found);
    let devices = machine::gpu(&mut found);
    machine::defaults(&mut found);
    places::hub_cache(&mut found, args.hub_cache.as_deref());
    places::own_cache(&mut found, &args.place);
    places::answer(&mut found, &asked(args));
    numbers::test(&mut found, &devices);
    report::print(args.format == ListFormat::Json, &found.text(), || found.json())?;
    Ok(if found.is_well() { Outcome::Complete } else { Outcome::SomeFailed })
}

fn build(found: &mut Findings) {
    found.add("version", env!("CARGO_PKG_VERSION"), json!(env!("CARGO_PKG_VERSION")));
    found.add("commit", version::COMMIT.unwrap_or(version::NO_COMMIT), json!(version::COMMIT));
    found.add("features", version::features().join(" "), json!(version::features()));
}

/// Returns the settings of the question to the hub.
fn asked(args: &Doctor) -> Hub {
    Hub { revision: String::new(), layout: None, offline: args.offline, hub_cache: None, user_agent: None }
}
