//! The command line as clap parses it. Each command's own file gives it meaning.

mod boxes;
mod cache;
mod compile;
mod decisions;
mod doctor;
mod eval;
mod examples;
mod inputs;
mod labels;
mod machine;
mod matching;
mod models;
mod output;
mod sort;

use std::path::{Path, PathBuf};

pub use boxes::BoxArgs;
pub use cache::{CacheArgs, CacheCommand, CachePlace, Caching};
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
pub use compile::Compile;
pub use decisions::DecisionArgs;
pub use doctor::Doctor;
pub use eval::{Eval, ReportFormat};
pub use examples::ExampleArgs;
pub use inputs::{DecodeArg, Inputs};
pub use labels::LabelArgs;
pub use machine::{DEFAULT_MODEL, DEVICE, Hub, MODEL, Machine, PRECISION, THREADS, Typed, device};
pub use matching::{Grep, Question, Test};
pub use models::{ModelId, Models, ModelsCommand};
pub use output::{ActivationArg, FormatArg, ListFormat, LongRun, Output};
pub use sort::{How, IfExists, Sort};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  zsic classify demo:owl.png --labels fox,bear,owl --model demo
  zsic classify owl.jpg --labels fox,bear,owl
  zsic classify photos/ -l cat,dog --format csv -o scores.csv
  zsic classify owl.jpg -l fox,bear,owl | jq -r '.predictions[0].label'";

const ENVIRONMENT: &str = "\
Environment:
  ZSIC_MODEL, ZSIC_REVISION     the checkpoint; a flag beats a variable
  ZSIC_DEVICE, ZSIC_PRECISION   the device and the arithmetic
  ZSIC_THREADS                  the number of threads
  ZSIC_CACHE_DIR                the directory of kept embeddings
  ZSIC_ISA                      the instruction set: amx, avx512, avx2, neon or plain
  HF_HUB_CACHE, HF_HOME         the directory of checkpoints (~, ~user, $VAR expanded)
  HF_TOKEN, HF_TOKEN_PATH       the token for private and gated checkpoints
  HF_HUB_OFFLINE                1 turns the network off, as does TRANSFORMERS_OFFLINE
  HF_HUB_DISABLE_SYMLINKS       1 stores checkpoints without symbolic links
  HF_ENDPOINT                   a mirror to use instead of the hub
  HTTPS_PROXY, NO_PROXY         the proxy, and hosts to reach without it
  SSL_CERT_FILE                 certificates to trust instead of the built-in ones
  NO_COLOR                      any value turns colour off
  CUDA_VISIBLE_DEVICES          the GPUs that CUDA may use";

const EXIT_STATUS: &str = "\
Exit status:
  0    every image scored, or the reader of the pipe went away
  1    finished, but an image failed or sort left it, nothing matched, a minimum
       of eval is not met, doctor found something wrong, or models verify a
       damaged file
  2    wrong usage
  3    could not start, had to stop early, or test could not tell because an
       image failed
  130  interrupted (Ctrl-C)
  143  terminated";

/// Classify images against any labels, with no training
#[derive(Debug, Parser)]
#[command(name = "zsic", version, propagate_version = true, styles = STYLES, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{EXIT_STATUS}"))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Common {
    /// Do not print progress and warnings, only errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log progress and error causes to stderr (-vv: every prompt)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Use colour: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also in pipes and files
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score images against labels
    Classify(Box<Classify>),
    /// Print the names of images that show one of some labels
    Grep(Box<Grep>),
    /// Check whether images show one of some labels, by exit status
    Test(Box<Test>),
    /// Compare predictions with known labels: accuracy with intervals
    Eval(Box<Eval>),
    /// Sort images into folders by label
    Sort(Box<Sort>),
    /// Freeze labels, and what examples teach, into a small file
    Compile(Box<Compile>),
    /// Print unit embeddings of images or texts
    Embed(Box<Embed>),
    /// List, fetch, show, verify and remove checkpoints
    Models(Models),
    /// Show or clear the embeddings kept between runs
    Cache(CacheArgs),
    /// Check this machine and this build, and test the numbers
    Doctor(Doctor),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  zsic completions bash > ~/.local/share/bash-completion/completions/zsic")]
    Completions {
        /// The shell to print the script for
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  zsic man > zsic.1 && man ./zsic.1")]
    Man,
}

impl Cli {
    /// Parses the command line.
    ///
    /// # Errors
    /// Those of clap, and its answers to `--help` and `--version`.
    pub fn read() -> Result<Self, clap::Error> {
        let read = |mut matches: ArgMatches| {
            let mut cli = Self::from_arg_matches(&matches)?;
            #[cfg(windows)]
            if let Some(inputs) = cli.command.inputs() {
                inputs.expand_patterns();
            }
            let of_command = matches.remove_subcommand();
            if let (Some(machine), Some((_, matches))) = (cli.command.machine(), of_command) {
                machine.typed = Typed::of(&matches);
            }
            Ok(cli)
        };
        Self::command().try_get_matches().and_then(read).map_err(|e: clap::Error| e.format(&mut Self::command()))
    }
}

impl Command {
    /// Returns the flags about the checkpoint, of commands that may take a classifier's in their place.
    fn machine(&mut self) -> Option<&mut Machine> {
        match self {
            Self::Classify(args) => Some(&mut args.machine),
            Self::Grep(args) => Some(&mut args.machine),
            Self::Test(args) => Some(&mut args.machine),
            Self::Eval(args) => Some(&mut args.machine),
            Self::Sort(args) => Some(&mut args.machine),
            _ => None,
        }
    }

    /// Returns the flags about images, if the command has any.
    #[cfg(windows)]
    fn inputs(&mut self) -> Option<&mut Inputs> {
        match self {
            Self::Classify(args) => Some(&mut args.inputs),
            Self::Grep(args) => Some(&mut args.inputs),
            Self::Test(args) => Some(&mut args.inputs),
            Self::Eval(args) => Some(&mut args.inputs),
            Self::Sort(args) => Some(&mut args.inputs),
            Self::Embed(args) => Some(&mut args.inputs),
            _ => None,
        }
    }

    /// Returns the flags about labels, if the command has any.
    pub fn labels(&self) -> Option<&LabelArgs> {
        match self {
            Self::Classify(args) => Some(&args.labels),
            Self::Grep(args) => Some(&args.labels),
            Self::Test(args) => Some(&args.labels),
            Self::Eval(args) => Some(&args.labels),
            Self::Sort(args) => Some(&args.labels),
            Self::Compile(args) => Some(&args.labels),
            _ => None,
        }
    }
}

/// Score images against labels
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic classify demo:owl.png -l fox,bear,owl -m demo
  zsic classify owl.jpg --labels fox,bear,owl
  zsic classify photos/ -l 'a cat,a dog' -k 1 --format csv -o scores.csv
  zsic classify photos/ -l cat,dog --unknown -o answers.jsonl
  zsic classify photos/ -l cat,dog -o scores.jsonl --resume
  zsic classify *.jpg --labels-file labels.txt --template-set openai-7
  find . -name '*.jpg' -print0 | zsic classify --files-from - -0 -l cat,dog > scores.jsonl
  zsic classify https://example.com/owl.jpg -l fox,bear,owl
  zsic classify shards/ --exclude 'val-*' --shard 1/4 -l cat,dog -o scores-1.jsonl
  zcat photos.tar.gz | zsic classify - -l cat,dog
  zsic classify photos/ --boxes md.json -l deer,fox --format megadetector -o out.json")]
pub struct Classify {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    #[command(flatten)]
    pub boxes: BoxArgs,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub output: Output,
}

/// Print unit embeddings of images or texts
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic embed photos/ -o photos.safetensors
  zsic embed --text 'a photo of a cat' 'a photo of a dog'
  zsic embed --texts-file queries.txt > queries.jsonl")]
pub struct Embed {
    #[command(flatten)]
    pub inputs: Inputs,
    /// Embed these texts, as written, instead of images
    #[arg(long, value_name = "STRING", num_args = 1.., conflicts_with_all = inputs::NAMES)]
    pub text: Vec<String>,
    /// Embed the texts in FILE, one per line (`-` reads standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "text", conflicts_with_all = inputs::NAMES)]
    pub texts_file: Option<PathBuf>,
    /// Shorten texts that are too long for the model instead of refusing them
    #[arg(long)]
    pub truncate: bool,
    #[command(flatten)]
    pub machine: Machine,
    /// Write to FILE: tensors if its name ends in .safetensors, else JSON lines
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub long_run: LongRun,
}

/// The arguments that commands over images share.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub inputs: &'a Inputs,
    pub machine: &'a Machine,
    pub output: Option<&'a Path>,
    pub long_run: &'a LongRun,
    pub common: &'a Common,
}
