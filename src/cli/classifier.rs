//! `--classifier`: a compiled classifier, and the checkpoint that it belongs to.

use std::path::Path;

use anyhow::Result;
use zsic::cache::{Cache, ContentHash};
use zsic::compiled::{Belongs, Compiled, CompiledGroups};
use zsic::{Checkpoint, Groups, Label};

use super::args::{Common, Machine};
use super::fatal::usage;
use super::known::DEMO;
use super::labels::{Given, LabelForm};
use super::messages::note;
use super::{model, text};

/// A file that was read.
pub struct ClassifierFile {
    pub compiled: Compiled,
    name: String,
}

impl ClassifierFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A usage error if it is no classifier.
    pub fn read(path: &Path) -> Result<Self> {
        let compiled = Compiled::open(path).map_err(|e| usage(e.to_string()))?;
        Ok(Self { compiled, name: text::name(path) })
    }

    /// Returns its labels.
    pub fn given(&self) -> Given {
        let about = &self.compiled.about;
        let label =
            |label: &zsic::compiled::CompiledLabel| Label { name: label.name.clone(), prompts: label.prompts.clone() };
        let groups = |ranks: &CompiledGroups| Groups { names: ranks.names.clone(), of: ranks.of.clone() };
        Given {
            labels: about.labels.iter().map(label).collect(),
            form: LabelForm::Lines,
            ranks: about.ranks.iter().map(groups).collect(),
        }
    }

    /// Returns the machine's flags with the checkpoint that it belongs to, if they name none.
    ///
    /// # Errors
    /// A usage error if it belongs to a directory, whose place it does not know.
    pub fn machine(&self, machine: &Machine) -> Result<Machine> {
        let Belongs { name, commit, .. } = &self.compiled.about.checkpoint;
        let mut machine = machine.clone();
        if machine.model.is_some() {
            return Ok(machine);
        }
        if commit.is_none() && name != DEMO {
            let reason = format!("{}: was made with the checkpoint in a folder `{name}`", self.name);
            return Err(usage(format!("{reason}; name that folder with --model")));
        }
        machine.model = Some(name.into());
        if let Some(commit) = commit {
            machine.hub.revision.clone_from(commit);
        }
        Ok(machine)
    }

    /// Checks that a checkpoint is the one that it belongs to.
    ///
    /// # Errors
    /// A usage error that names both.
    pub fn check(&self, checkpoint: &Checkpoint, cache: &Cache, common: &Common) -> Result<()> {
        let about = &self.compiled.about;
        let content = cache.content_of_checkpoint(checkpoint)?;
        let Belongs { name, commit, content: own } = &about.checkpoint;
        if content != *own {
            const DIGITS: usize = 12;
            let short = |hash: &str| hash.chars().take(DIGITS).collect::<String>();
            let commit = commit.as_ref().map(|commit| format!("@{commit}")).unwrap_or_default();
            let reading = if checkpoint.reading() == about.preprocessing.reading {
                String::new()
            } else {
                format!(", read as `{}` and not as `{}`", checkpoint.reading(), about.preprocessing.reading)
            };
            let (made, given) = (format!("{name}{commit} ({})", short(own)), model::shown(checkpoint));
            return Err(usage(format!(
                "{}: was made with the checkpoint {made}, and this is {given} ({}){reading}; leave --model out, or compile the \
                 labels again",
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
        format!("classifier {:?}", ContentHash::of(&self.compiled.to_bytes()))
    }
}

/// Returns what a checkpoint is called in a file, which has no paths.
///
/// # Errors
/// If a file of the checkpoint cannot be read.
pub fn belongs(checkpoint: &Checkpoint, cache: &Cache) -> Result<Belongs> {
    let root = checkpoint.files().root();
    let content = cache.content_of_checkpoint(checkpoint)?;
    Ok(match zsic::checkpoint::identity::published(root) {
        Some((name, commit)) => Belongs { name, commit: Some(commit), content },
        None => Belongs { name: zsic::checkpoint::identity::called(root), commit: None, content },
    })
}
