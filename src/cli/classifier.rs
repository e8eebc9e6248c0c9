//! `--classifier`: a compiled classifier, and the checkpoint that it belongs to.

use std::path::Path;

use anyhow::Result;
use zsic::cache::{Cache, ContentHash};
use zsic::checkpoint::Files;
use zsic::compiled::{Belongs, Compiled};
use zsic::head::Head;
use zsic::net::hub::{self, REVISION};
use zsic::{Activation, Checkpoint};

use super::args::{ActivationArg, Common, DecisionArgs, MODEL, Machine};
use super::examples::counted;
use super::fatal::usage;
use super::known::DEMO;
use super::labels::{self, Given, LabelForm};
use super::messages::note;
use super::{model, text};

/// A file that was read.
pub struct ClassifierFile {
    pub compiled: Compiled,
    name: String,
    content: ContentHash,
}

impl ClassifierFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A usage error if it is no classifier.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |e: zsic::Error| usage(e.to_string());
        let bytes = Compiled::read(path).map_err(failed)?;
        let compiled = Compiled::parse(path, &bytes).map_err(failed)?;
        Ok(Self { compiled, name: text::name(path), content: ContentHash::of(&bytes) })
    }

    /// Returns its labels.
    pub fn given(&self) -> Given {
        let about = &self.compiled.about;
        Given { labels: about.labels.clone(), form: LabelForm::Lines, ranks: about.ranks.clone() }
    }

    /// Checks that flags change no rule that holds only together with others.
    ///
    /// # Errors
    /// A usage error that says why.
    pub fn check_flags(&self, decisions: &DecisionArgs, activation: ActivationArg) -> Result<()> {
        let about = &self.compiled.about;
        let own = self.compiled.activation();
        let asked = activation.or(own);
        let changed = match decisions.temperature {
            Some(_) => Some("--temperature"),
            None => (asked != own).then_some("--activation"),
        };
        if let (Some(flag), Some(_)) = (changed, &about.calibration) {
            let reason = "the classifier's temperature, background offset and thresholds were fitted together";
            let advice = "compile it again without --calibrate to change one";
            return Err(usage(format!("{}: {flag} does not work with it: {reason}; {advice}", self.name)));
        }
        let is_prototype = about.head.as_ref().is_some_and(|head| head.name == Head::Prototype.name());
        if is_prototype && asked == Activation::Sigmoid {
            return Err(no_prototypes(&format!("{}: its head, prototype,", self.name), "leave out --activation"));
        }
        Ok(())
    }

    /// Returns the machine's flags with the checkpoint that it belongs to, if they name none. The file may be a stranger's: it
    /// leads to the built-in checkpoint, or to a commit of a name on the hub, and to no path.
    ///
    /// # Errors
    /// A usage error if it names no such checkpoint, or the flags name a revision without a checkpoint.
    pub fn machine(&self, machine: &Machine, common: &Common) -> Result<Machine> {
        let mut machine = machine.clone();
        if machine.typed.model {
            return Ok(machine);
        }
        if machine.typed.revision {
            return Err(usage(format!("{}: names its own revision; use --revision with --model", self.name)));
        }
        let Belongs { name, commit, built_in, .. } = &self.compiled.about.checkpoint;
        let commit = match commit {
            None if *built_in => REVISION,
            Some(commit) if is_published(name, commit) && Path::new(name).exists() => {
                let reason =
                    format!("{}: was made with the checkpoint `{name}` of the hub, and a folder here", self.name);
                let advice = "name that folder with --model if it is that checkpoint, or run zsic from another folder";
                return Err(usage(format!("{reason} has that name; {advice}")));
            }
            Some(commit) if is_published(name, commit) => commit.as_str(),
            _ => {
                let reason = format!("{}: was made with the checkpoint in a folder `{name}`", self.name);
                return Err(usage(format!("{reason}; name that folder with --model")));
            }
        };
        if machine.model.is_some() {
            note(common, 1, format!("{}: names its own checkpoint, so {MODEL} does not count", self.name));
        }
        machine.model = Some(if *built_in { DEMO } else { name.as_str() }.into());
        commit.clone_into(&mut machine.hub.revision);
        Ok(machine)
    }

    /// Returns its file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says what it is.
    pub fn told(&self) -> String {
        let about = &self.compiled.about;
        let names: Vec<&str> = about.labels.iter().map(|label| label.name.as_str()).collect();
        let head = about.head.as_ref().map_or_else(String::new, |head| {
            format!("; head {} with {}", head.name, counted(head.examples, "example"))
        });
        let (labels, checkpoint) = (counted(names.len(), "label"), &about.checkpoint.name);
        format!("{}: {labels} of {checkpoint}{head}: {}", self.name, labels::shown(&names.join(", ")))
    }

    /// Checks that a checkpoint is the one that it belongs to.
    ///
    /// # Errors
    /// A usage error that names both.
    pub fn check(&self, checkpoint: &Checkpoint, cache: &Cache, common: &Common) -> Result<()> {
        let about = &self.compiled.about;
        let content = cache.content_of_checkpoint(checkpoint)?;
        let Belongs { name, commit, content: own, .. } = &about.checkpoint;
        if content != *own {
            const DIGITS: usize = 12;
            let short = |hash: &str| hash.chars().take(DIGITS).collect::<String>();
            let commit = commit.as_ref().map(|commit| format!("@{commit}")).unwrap_or_default();
            let own_reading = &about.preprocessing.reading;
            if checkpoint.reading() != own_reading {
                let shown = |reading: &str| {
                    if reading.is_empty() { "the checkpoint's own settings".to_owned() } else { reading.to_owned() }
                };
                return Err(usage(format!(
                    "{}: made with {}; this run uses {}; give --image-size, --max-patches and --layout as when it was compiled",
                    self.name,
                    shown(own_reading),
                    shown(checkpoint.reading())
                )));
            }
            let (made, given) = (format!("{name}{commit} ({})", short(own)), model::shown(checkpoint));
            let finds_its_own = about.checkpoint.built_in || about.checkpoint.commit.is_some();
            let advice = if finds_its_own { "leave --model out" } else { "name that one with --model" };
            return Err(usage(format!(
                "{}: was made with the checkpoint {made}, and this is {given} ({}); {advice}, or compile the labels again",
                self.name,
                short(&content)
            )));
        }
        if self.compiled.rows.dim() != checkpoint.family().facts().embedding {
            let dim = self.compiled.rows.dim();
            return Err(usage(format!("{}: has rows of {dim} values, which this checkpoint does not make", self.name)));
        }
        if about.bits != zsic::kernels::BITS_VERSION {
            note(common, 1, format!("{}: was made with embeddings of another version of zsic", self.name));
        }
        Ok(())
    }

    /// Returns a hash of its content.
    pub fn fingerprint(&self) -> String {
        format!("classifier {}", self.content.hex())
    }
}

/// Returns whether these can be a name and a commit on the hub.
fn is_published(name: &str, commit: &str) -> bool {
    const DIGITS: usize = 40;
    let is_hash = commit.len() == DIGITS && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash && name.contains('/') && hub::is_name(name)
}

/// Returns the usage error for `what`, which learned prototypes, beside sigmoid scores.
pub fn no_prototypes(what: &str, advice: &str) -> anyhow::Error {
    let reason = "sigmoids are made for texts, and near an image's own embedding they are all near 1";
    usage(format!("{what} does not work with sigmoid scores: {reason}; {advice}"))
}

/// Returns what a checkpoint is called in a file, which has no paths.
///
/// # Errors
/// If a file of the checkpoint cannot be read.
pub fn belongs(checkpoint: &Checkpoint, cache: &Cache) -> Result<Belongs> {
    let root = checkpoint.files().root();
    let content = cache.content_of_checkpoint(checkpoint)?;
    Ok(match zsic::checkpoint::identity::published(root) {
        Some((name, commit)) => Belongs { name, commit: Some(commit), built_in: false, content },
        None => {
            let built_in = matches!(checkpoint.files(), Files::Embedded { .. });
            Belongs { name: zsic::checkpoint::identity::called(root), commit: None, built_in, content }
        }
    })
}
