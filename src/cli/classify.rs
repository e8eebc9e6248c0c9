//! `zsic classify`: labels once, then image after image.

use anyhow::Result;
use zsic::Scorer;
use zsic::pipeline;

use super::args::{Asked, Classify, Common, Output};
use super::decisions::Rules;
use super::fatal::usage;
use super::messages::HeldLines;
use super::output::made_with::MadeWith;
use super::output::meta::Facts;
use super::output::{Columns, Format, Place, Predictions, RecordWriter};
use super::scorer::{Wanted, score_answers};
use super::session::{Begun, Outputs, Records, Session};
use super::{Outcome, available_memory, labels, messages, stdout};

/// Runs the command.
///
/// # Errors
/// What kept the command from starting, or made it stop early.
pub fn run(args: &Classify, common: &Common) -> Result<Outcome> {
    let Classify { inputs, labels: named, decisions, machine, output, .. } = args;
    labels::check_stdin(named.files().chain(decisions.files()), inputs)?;
    let templates = labels::templates(named)?;
    let given = labels::gather(named, &templates, common)?;
    let rules = Rules::gather(decisions, named, &given, &templates)?;
    let wanted = Wanted { given: &given, rules: &rules, named, activation: output.activation };
    let asked = Asked { inputs, machine, output: output.output.as_deref(), long_run: &output.long_run, common };
    let format = |place: &Place| {
        let format = Format::resolve(output.format, place)?;
        if format == Format::Pipeline && rules.are_shown {
            return Err(usage("the Python pipeline's format has no place for an answer; use jsonl, json or csv"));
        }
        if format == Format::Json && place.is_stdout() {
            stdout::begin_array();
        }
        Ok(format)
    };
    let read: Vec<_> = named.files().chain(decisions.files()).collect();
    let (session, (outputs, format)) = Session::open(asked, || Outputs::open(asked, &read, format))?;
    let Session { checkpoint, plan, .. } = &session;
    let competing = (&rules.background[..], &rules.built_in[..]);
    let made_with = MadeWith::classify(args, format.name(), &given, competing, &templates, checkpoint, plan)?;
    let of_labels = available_memory::of_texts(wanted.count(), checkpoint.family().facts().embedding);
    available_memory::check(wanted.count(), "labels", of_labels)?;
    let columns = Columns { logits: output.logits, accepted: rules.are_shown };
    let (log, run) = match session.start(outputs, &made_with, format.form(columns, &given.all_answers()), of_labels)? {
        Begun::Finished(outcome) => return Ok(outcome),
        Begun::Going(log, run) => (log, run),
    };
    session.introduce();
    let scorer = wanted.scorer(checkpoint, plan, &run.kept, common)?;
    let names = scorer.all_answers();
    let writer = RecordWriter::new(format, run.place(), log, columns, &names);
    let held = (format.is_one_value() && run.place().is_terminal()).then(messages::hold);
    run.finish(ScoreRecords { scorer: &scorer, names: &names, output, columns, writer, _held: held })
}

/// Scores on their way to the output.
struct ScoreRecords<'a> {
    scorer: &'a Scorer,
    names: &'a [String],
    output: &'a Output,
    columns: Columns,
    writer: RecordWriter<'a>,
    _held: Option<HeldLines>,
}

impl Records for ScoreRecords<'_> {
    fn write(&mut self, answers: &[pipeline::Answer]) -> Result<()> {
        let scored = score_answers(self.scorer, answers, |scores| {
            Predictions::of(self.output, self.columns, self.names, &scores)
        });
        for (pipeline::Answer { name, version, .. }, scored) in answers.iter().zip(scored) {
            match scored {
                Ok(body) => self.writer.record(name.as_str(), *version, &Ok(body))?,
                Err(e) => self.writer.record(name.as_str(), *version, &Err(&e))?,
            }
        }
        self.writer.flush()
    }

    fn counts(&self) -> (u64, u64) {
        self.writer.counts()
    }

    fn finish(self, facts: &Facts) -> Result<()> {
        self.writer.finish(facts)
    }
}
