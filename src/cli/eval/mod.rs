//! `zsic eval`: predictions against known labels, in one run or in several on the same images.

mod classes;
mod csv;
mod demands;
mod formats;
mod judge;
mod page;
mod report;
mod table;
mod vary;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use classes::Classes;
use demands::Demand;
use judge::{Images, Run, TaughtBy};
use report::Report;
use vary::{Variant, Varied, combinations};
use zsic::measure::Multi;
use zsic::text::LabelSet;
use zsic::{Label, Template};

use super::args::{Asked, Common, Eval, ExampleArgs, LabelArgs, LongRun, ReportFormat};
use super::examples::{bits, counted};
use super::fatal::usage;
use super::inputs::{may_be_slow, paths};
use super::labels::{self, Given};
use super::messages::{error, say, warn};
use super::model::{self, ImageTower};
use super::output::page::{Chosen, Sources};
use super::output::{Place, families};
use super::scorer::{Flags, Rows, Wanted};
use super::session::Session;
use super::stream::Written;
use super::terminal::printable_lines;
use super::truth::{ClassNames, Renaming, Shown, Truth, absolute, from_here};
use super::{Outcome, available_memory, cache, settings, text};

/// The images of a label under which its interval says little.
const FEW: usize = 5;

/// The error without any truth.
const NO_LABEL: &str = "no image has a known label; --truth FILE names them, or folders do";

/// The labels of one variant, and everything that was found out about them.
struct Prepared<'a> {
    variant: Variant,
    named: &'a LabelArgs,
    wanted: Wanted<'a>,
}

/// What is the same in all runs.
struct Evaluation<'a> {
    args: &'a Eval,
    common: &'a Common,
    format: ReportFormat,
    truth: Truth,
    renaming: Renaming,
    /// All that images show, if it is known before they are read.
    shown: Option<BTreeSet<Shown>>,
}

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Eval, common: &Common) -> Result<Outcome> {
    let demands = args.report.fail_under.iter().map(|text| Demand::parse(text)).collect::<Result<Vec<_>>>()?;
    let varied = combinations(&args.report.vary, &args.machine, &args.labels)?;
    if varied.machines.len() > 1 && may_be_slow(&args.inputs) {
        return Err(usage("a pipe can be read only once, and several models or precisions each need the images"));
    }
    let sets = || varied.labels.iter().flat_map(|(labels, _)| labels.template_set.as_deref());
    let lists = args.labels.files().chain(args.decisions.files()).chain(args.truth_files());
    // A set of the flags themselves is among the lists already.
    let varied_set = sets().next().filter(|_| args.labels.template_set.is_none());
    labels::check_stdin(lists.chain(varied_set), &args.inputs)?;
    let place = Place::new(args.report.output.as_deref(), common);
    let format = formats::format(args.report.format, &place)?;
    let [output, records] = [&args.report.output, &args.report.records].map(|file| file.as_deref().map(absolute));
    if output.is_some() && output == records {
        return Err(usage("-o and --records name the same file"));
    }
    let mut sink = place.open(args.read().chain(sets()))?;
    let records =
        args.report.records.as_deref().map(|path| Place::new(Some(path), common).open(args.read().chain(sets())));
    let records = records.transpose()?;
    let evaluation = Evaluation::read(args, format, common)?;
    let (images, mut runs, outcome) = evaluation.run(&varied)?;
    let report = Report::new(evaluation.truth.kind(), &images, &runs);
    if let Some(mut records) = records {
        records.write(csv::records(&images, &runs)?.as_bytes(), None)?;
        records.finish()?;
    }
    if let Some(told) = formats::text(format, &report, place.width())? {
        let told = if place.is_terminal() { printable_lines(&told) } else { told };
        sink.write(told.as_bytes(), None)?;
    } else {
        let (chosen, _) = runs[report.best()].pictures.take().unwrap_or_default();
        let asked =
            Asked { inputs: &args.inputs, machine: &args.machine, output: None, long_run: &LongRun::default(), common };
        let limits = available_memory::limits_of_images(&args.inputs);
        let sources = Sources { asked, threads: settings::threads(args.machine.threads), limits };
        page::write(&report, &runs, chosen, &sources, |part| sink.write(part, None))?;
    }
    sink.finish()?;
    tell_few(&report, common);
    let mut outcome = outcome;
    for demand in &demands {
        if let Some(unmet) = demand.unmet(&report)? {
            error(unmet);
            outcome = Outcome::SomeFailed;
        }
    }
    Ok(outcome)
}

/// Says which labels have too few images for a narrow interval.
fn tell_few(report: &Report, common: &Common) {
    let Some(run) = report.runs.first() else { return };
    let few = run.labels.iter().filter(|label| (1..FEW).contains(&label.images)).count();
    if few > 0 {
        say(
            common,
            format!("{few} of {} labels have fewer than {FEW} images, so their intervals are wide", run.labels.len()),
        );
    }
}

impl Eval {
    /// Returns the files about the truth.
    fn truth_files(&self) -> impl Iterator<Item = &Path> {
        let is_file = |path: &&Path| !matches!(path.to_str(), Some("folders" | "cls"));
        self.truth.truth.as_deref().filter(is_file).into_iter().chain(self.truth.map.as_deref())
    }

    /// Returns all files that the run reads.
    fn read(&self) -> impl Iterator<Item = &Path> {
        self.inputs.files().chain(self.labels.files()).chain(self.decisions.files()).chain(self.truth_files())
    }
}

impl<'a> Evaluation<'a> {
    fn read(args: &'a Eval, format: ReportFormat, common: &'a Common) -> Result<Self> {
        let truth = Truth::read(args.truth.truth.as_deref(), &args.inputs)?;
        let renaming = Renaming::read(args.truth.map.as_deref())?;
        if let Some((count, what, first)) = truth.several() {
            let (images, show) = (counted(count, "image"), if count == 1 { "shows" } else { "show" });
            say(common, format!("{images} {show} {what} ({first}), so map and micro_f1 are measured, not top1"));
        }
        let shown = truth.all(&args.inputs)?;
        let named = truth.classes.as_ref().map(ClassNames::shown);
        let unused = named.as_ref().or(shown.as_ref()).and_then(|named| renaming.unused(named));
        unused.iter().for_each(|unused| warn(common, unused));
        Ok(Self { args, common, format, truth, renaming, shown })
    }

    /// Returns the labels of one variant: those of the flags, or else the names in the truth.
    fn prepare<'v>(&'v self, (named, variant): &'v (LabelArgs, Variant)) -> Result<Prepared<'v>> {
        let Eval { inputs, decisions, activation, .. } = self.args;
        let (activation, renaming) = (*activation, Some(&self.renaming));
        let flags = Flags { labels: named, decisions, activation, inputs, renaming, common: self.common };
        let wanted = Wanted::gather(flags, |templates| self.labels(named, templates).map(Some))?;
        self.check(&wanted)?;
        Ok(Prepared { variant: variant.clone(), named, wanted })
    }

    /// Returns the labels that the truth names.
    fn labels(&self, named: &LabelArgs, templates: &[Template]) -> Result<Given> {
        let (names, file) = match &self.truth.classes {
            Some(classes) => (self.class_names(classes), Some(&*classes.file)),
            None => (self.names()?, None),
        };
        if names.is_empty() {
            let missing = paths(&self.args.inputs).into_iter().find(|path| !path.exists());
            return Err(usage(match missing {
                Some(path) => format!("{}: no such file", path.display()),
                None => NO_LABEL.to_owned(),
            }));
        }
        let shown = labels::shown(&names.join(", "));
        say(self.common, format!("labels from {}: {shown}", file.map_or(self.truth.kind().to_owned(), text::name)));
        labels::of_names(names.iter().map(String::as_str), file, templates, named.canonicalize)
    }

    /// Checks that labels and truth fit together, and that an answer can be wrong.
    fn check(&self, Wanted { given, rules, .. }: &Wanted) -> Result<()> {
        self.truth.check(given)?;
        let answers = given.answers();
        let may_reject = rules.has_background() || !rules.thresholds().is_empty();
        if let ([only], false) = (&answers[..], may_reject) {
            let only = labels::shown(only);
            return Err(usage(format!("`{only}` is the only label, so every answer is the same; name others with -l")));
        }
        let may_be_none = rules.are_shown || self.renaming.has_unknown();
        if !may_be_none {
            return Ok(());
        }
        given.check_unknown("rename it by --map FILE, or map it to `unknown` and name the labels with -l")
    }

    /// Says that no image has a label, and where those of a file with truths were looked for.
    fn no_label(&self) -> String {
        match (self.truth.base(), self.truth.images().next()) {
            (Some(base), Some(first)) => {
                format!(
                    "no image has a known label: {base}, and none of them is an input, such as {}",
                    from_here(&first)
                )
            }
            _ => NO_LABEL.to_owned(),
        }
    }

    /// Returns the labels that numbered classes stand for: in their order, unless `--map` changes them.
    fn class_names(&self, classes: &ClassNames) -> Vec<String> {
        if self.renaming.is_empty() { classes.names.clone() } else { self.renaming.labels(&classes.shown()) }
    }

    /// Returns the labels that the truth names.
    fn names(&self) -> Result<Vec<String>> {
        let Some(shown) = &self.shown else {
            let reason = "the names of images in tars and pipes are not known before they are read";
            return Err(usage(format!("{reason}; name the labels with -l")));
        };
        if shown.iter().any(|shown| matches!(shown, Shown::Index(_))) {
            return Err(usage(
                "the tars have numbers of classes, and no classnames.txt lies beside them or one folder above; name the classes \
                 in their order with -l, --labels-file or --label-set",
            ));
        }
        Ok(self.renaming.labels(shown))
    }

    /// Runs every combination, machine by machine. All checkpoints are opened before the first image.
    fn run(&self, varied: &Varied) -> Result<(Images, Vec<Run>, Outcome)> {
        let prepared = varied.labels.iter().map(|labels| self.prepare(labels)).collect::<Result<Vec<_>>>()?;
        let Prepared { wanted: Wanted { given, .. }, named, .. } = &prepared[0];
        // Truths are places among the labels of the first run.
        if prepared.iter().any(|other| other.wanted.given.answers() != given.answers()) {
            let reason = "the classifiers have different labels, or the same in another order, and cannot be compared";
            return Err(usage(format!("--vary classifier: {reason}; compile them from one list of labels")));
        }
        let set = named.label_set.as_deref().and_then(LabelSet::named);
        let mut classes = Classes::new(given, &self.renaming, self.truth.classes.as_ref(), set);
        self.shown.iter().try_for_each(|shown| classes.find_all(shown))?;
        let long_run = LongRun::default();
        let (inputs, long_run, common) = (&self.args.inputs, &long_run, self.common);
        let machines =
            varied.machines.iter().map(|(machine, variant)| Ok((prepared[0].wanted.machine(machine)?, variant)));
        let machines = machines.collect::<Result<Vec<_>>>()?;
        let sessions = machines.iter().map(|(machine, variant)| {
            let asked = Asked { inputs, machine, output: None, long_run, common };
            Ok((Session::open(asked, || Ok(()))?.0, *variant))
        });
        let sessions = sessions.collect::<Result<Vec<_>>>()?;
        let (mut all, mut runs, mut worst) = (None::<Images>, Vec::new(), Outcome::Complete);
        for (session, variant) in &sessions {
            let (images, own, outcome) = self.run_machine(session, variant, &prepared, &mut classes, all.is_none())?;
            runs.extend(own);
            worst = if outcome == Outcome::Complete { worst } else { outcome };
            match &all {
                None => all = Some(images),
                Some(first) => {
                    ensure!(first.names == images.names, "the images changed while they were evaluated; run it again");
                }
            }
        }
        let images = all.ok_or_else(|| anyhow::anyhow!("nothing to run"))?;
        let missing: Vec<PathBuf> = self.truth.images().filter(|image| !images.rows.contains(image)).collect();
        if images.names.is_empty() {
            return Err(usage(if images.rows.is_empty() { self.no_label() } else { NO_LABEL.to_owned() }));
        }
        if let Some(first) = missing.first() {
            let (are, such) = if missing.len() == 1 { ("is", ":") } else { ("are", ", such as") };
            let (missing, first) = (counted(missing.len(), "image"), from_here(first));
            warn(self.common, format!("{missing} of the truth {are} not among the inputs{such} {first}"));
        }
        if images.taught > 0 {
            let all = counted(images.names.len(), "image");
            let reason = "what is measured is better than for others";
            warn(self.common, format!("{} of {all} are among --examples too, so {reason}", images.taught));
        }
        Ok((images, runs, worst))
    }

    /// Encodes all images once, and scores them with each variant's labels. Failures are told only if `tells`.
    fn run_machine(
        &self,
        session: &Session,
        variant: &Variant,
        prepared: &[Prepared],
        classes: &mut Classes,
        tells: bool,
    ) -> Result<(Images, Vec<Run>, Outcome)> {
        let written = [&self.args.report.output, &self.args.report.records].into_iter().flatten();
        let own = families(written.map(std::path::PathBuf::as_path));
        let (stream, kept) = session.images(own, self.memory(session, prepared)?)?;
        session.introduce();
        let encoder = ImageTower::new(&session.checkpoint, &session.plan);
        let (mut runs, mut of_examples, mut taught) = (Vec::new(), Outcome::Complete, HashSet::new());
        for prepared in prepared {
            let rows = prepared.wanted.rows_untold(session, &kept, &encoder)?;
            rows.tell_rejected(self.common);
            of_examples = of_examples.or(rows.outcome);
            taught.extend(rows.examples().map(bits));
            runs.push(self.start(session, variant, prepared, &rows));
        }
        let mut images = Images::default();
        let outcome = stream.beside(self.truth.ending()).run(false, &encoder, |answers| {
            let failed: Vec<_> = answers.iter().filter_map(|answer| answer.embedding.as_ref().err()).collect();
            if tells {
                failed.iter().for_each(error);
            }
            let truths = images.truths(answers, &self.truth, classes)?;
            runs.iter_mut().for_each(|run| run.judge(answers, &truths));
            let counted = answers.iter().zip(&truths).filter(|(_, truth)| truth.is_some());
            let is_taught = |row: &Arc<[f32]>| !taught.is_empty() && taught.contains(&bits(row));
            images.taught += counted.filter(|(answer, _)| answer.embedding.as_ref().is_ok_and(is_taught)).count();
            Ok(Written { failed: failed.len() as u64, is_enough: false })
        })?;
        cache::close(&kept, self.common);
        Ok((images, runs, outcome.or(of_examples)))
    }

    /// Returns a run that scores by these rows.
    fn start(&self, session: &Session, variant: &Variant, prepared: &Prepared, rows: &Rows) -> Run {
        let Prepared { variant: own, wanted, .. } = prepared;
        let scorer = rows.scorer();
        let ExampleArgs { examples, classifier, .. } = &prepared.named.examples;
        let taught = TaughtBy {
            classifier: classifier.as_deref().map(text::name),
            examples: examples.as_deref().map(text::name),
            head: examples.as_ref().map(|_| prepared.named.examples.head().name()),
            learned: rows.fingerprint(),
        };
        let multi = self.truth.is_multi().then(|| Multi::new(scorer.answers().len()));
        Run {
            variant: variant.iter().chain(own).cloned().collect(),
            model: model::shown(&session.checkpoint),
            precision: session.asked.machine.precision.name().to_owned(),
            templates: wanted.templates.iter().map(ToString::to_string).collect(),
            are_filled: wanted.given.are_filled(&wanted.templates),
            rules: wanted.told_rules(),
            taught,
            scorer,
            thresholds: wanted.rules.thresholds().to_vec(),
            judged: Vec::new(),
            multi,
            pictures: (self.format == ReportFormat::Html).then(|| (Chosen::default(), wanted.rules.is_independent())),
        }
    }

    /// Returns the bytes that labels take.
    fn memory(&self, session: &Session, prepared: &[Prepared]) -> Result<u64> {
        let labels: Vec<&Label> =
            prepared.iter().flat_map(|of| of.wanted.given.labels.iter().chain(of.wanted.rules.competing())).collect();
        let bytes = available_memory::of_texts(labels.len(), session.checkpoint.family().facts().embedding);
        available_memory::check(labels.len(), "labels", bytes)?;
        Ok(bytes)
    }
}
