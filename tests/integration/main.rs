//! The tests from outside, in one binary: `cargo test --test integration tars` runs those of one file. Files
//! about signals, limits, pipes, permissions, links and shells are for Unix alone.

// What a test needs.
mod common; // fixtures, the command, pictures, caches, URLs, long runs that are stopped, a terminal
mod fake_hub; // a hub on loopback
mod image_server; // a server of images on loopback

// Numbers, against transformers, Pillow and others.
#[cfg(feature = "demo")]
mod bits; // embeddings, bit for bit
mod by_hand; // examples/by_hand.rs
#[cfg(unix)] // ucontext
mod cuda_kernels; // the kernels of NVIDIA GPUs, on the host
mod demo; // the built-in checkpoint
mod label_sets; // the classes of datasets
mod measure; // metrics and intervals, against scikit-learn and SciPy
mod other_clip; // towers, against candle-transformers
mod padding; // checkpoints that are pooled at the padding
mod parity; // from checkpoint to scores
#[cfg(feature = "demo")]
mod pipeline; // the library's stream of images
mod pixels; // decoding, resize and crop
mod properties; // what holds for any input
mod published; // published checkpoints; ignored, as it fetches gigabytes
mod templates; // str.format
mod tokens; // token ids
mod vocabularies; // vocabularies that do not agree with their merges

// The command.
#[cfg(feature = "demo")]
mod boxes; // zsic classify --boxes
mod cli; // what it prints, where, and how it exits
#[cfg(feature = "demo")]
mod compiled; // zsic compile, --calibrate, --classifier
mod decisions; // answers on top of scores
#[cfg(unix)]
mod docs; // the commands of README.md and docs/
mod doctor; // zsic doctor
#[cfg(feature = "demo")]
mod eval; // zsic eval
mod eval_clip_benchmark; // zsic eval, against clip_benchmark
#[cfg(feature = "demo")]
mod few_shot; // --examples
#[cfg(all(feature = "cuda", feature = "demo", target_os = "linux"))]
mod gpu; // NVIDIA GPUs, emulated on the CPU
#[cfg(feature = "demo")]
mod grep; // zsic grep and zsic test
#[cfg(unix)]
mod hostile_text; // names and messages that would change a terminal
#[cfg(unix)]
mod interrupts; // Ctrl-C
mod labels; // labels and templates as people write them
#[cfg(unix)]
mod memory; // bounds on memory and threads
mod naflex; // what is SigLIP 2's in native shapes
mod open_clip; // the other layout
#[cfg(feature = "demo")]
mod review; // pages to look through and correct results
mod siglip; // what is SigLIP's own
#[cfg(feature = "demo")]
mod sort; // zsic sort
#[cfg(all(feature = "demo", unix))]
mod sort_faults; // odd names, links, full disks, kills
#[cfg(unix)]
mod terminal; // on a terminal
mod version; // --version

// Images.
mod folders; // what a walk takes and what it skips
#[cfg(feature = "demo")]
mod formats; // a folder of all formats
mod inputs; // files, lists, pipes
mod tars; // tars, globs and shares
mod urls; // URLs and data: URIs
mod urls_redirects; // where redirects lead, cookies
mod urls_secrets; // passwords and headers
mod urls_sizes; // bodies that are too long or packed

// Output.
mod cache; // embeddings kept between runs
mod cache_crowds; // kills, several processes
#[cfg(unix)]
mod cache_faults; // full disks, damage, files of others
#[cfg(unix)]
mod finished; // --resume on a finished file
mod output_file; // -o
mod parquet; // --format parquet
#[cfg(unix)]
mod resume; // --resume on a stopped run

// Checkpoints, and the hub that they come from.
mod damaged_checkpoints;
mod hub; // what is fetched and kept
mod hub_faults; // faults of hubs and networks
mod hub_network; // who is asked, and what is sent to whom
#[cfg(unix)]
mod hub_places; // caches without links, of others, prepared by others
mod models; // the commands about checkpoints
#[cfg(unix)]
mod models_rm; // zsic models rm
#[cfg(unix)]
mod odd_files; // pipes, devices, pointers
mod repositories; // those that people use

// The code.
mod layers; // which file uses which
