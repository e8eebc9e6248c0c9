//! What the machine's flags mean: threads, device and vector instructions.

use std::ffi::OsStr;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;
#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use zsic::{Compute, Isa, Precision};

use super::args::{Machine, PrecisionArg};

/// What is said where the system starts no more threads.
pub const NO_THREAD: &str = "a thread cannot be started; allow more of them (ulimit -u) or more memory (ulimit -v), or use \
    fewer (-j N)";

/// Takes variables of ours that are set to nothing for ones that are not set, as tools that compose environments write
/// them. To be called first of all.
pub fn forget_empty_variables() {
    let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(b"ZSIC_");
    let empty: Vec<_> = std::env::vars_os().filter(|(name, value)| ours(name) && value.is_empty()).collect();
    for (name, _) in empty {
        #[allow(unsafe_code)]
        // SAFETY: no other thread runs yet.
        unsafe {
            std::env::remove_var(name);
        }
    }
}

/// The threads to use: as asked, else what affinity and cgroup quota leave this process.
pub fn threads(machine: &Machine) -> usize {
    machine.threads.map_or_else(|| available_parallelism().map_or(1, NonZero::get), usize::from)
}

/// Opens the device with `threads` threads. To be called once, before any other thread is started.
///
/// # Errors
/// If this build or machine lacks the device or precision.
pub fn compute(machine: &Machine, threads: usize) -> Result<Compute> {
    // candle asks the environment, and by itself would count the host's cores.
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        #[allow(unsafe_code)]
        // SAFETY: no other thread runs yet.
        unsafe {
            std::env::set_var(variable, threads.to_string());
        }
    }
    let precision = match machine.precision {
        PrecisionArg::Auto => Precision::Auto,
        PrecisionArg::F32 => Precision::F32,
        PrecisionArg::Bf16 => Precision::Bf16,
        PrecisionArg::F16 => Precision::F16,
    };
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    pinned(pool, threads).build_global().context(NO_THREAD)?;
    Ok(Compute::open_with(&machine.device, precision, instructions()?)?)
}

/// A thread for each CPU that this process may run on stays on its own. Left to itself, Linux wakes two of them on one CPU
/// after a pause and leaves them there for tens of milliseconds, while another is idle: one image took up to twice as long.
#[cfg(target_os = "linux")]
fn pinned(pool: ThreadPoolBuilder, threads: usize) -> ThreadPoolBuilder {
    let Ok(all) = sched_getaffinity(None) else { return pool };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
    if cpus.len() != threads {
        return pool; // others are meant to have the rest, and only they know which
    }
    pool.start_handler(move |index| {
        let mut own = CpuSet::new();
        own.set(cpus[index]);
        _ = sched_setaffinity(None, &own); // it works elsewhere too, only not so well
    })
}

/// Only Linux is known to need it.
#[cfg(not(target_os = "linux"))]
fn pinned(pool: ThreadPoolBuilder, _: usize) -> ThreadPoolBuilder {
    pool
}

/// The vector instructions that `ZSIC_ISA` holds the kernels to, else the best.
fn instructions() -> Result<Isa> {
    match std::env::var("ZSIC_ISA") {
        Ok(name) if !name.is_empty() => {
            let isa = Isa::ALL.into_iter().find(|isa| isa.name() == name);
            isa.with_context(|| format!("ZSIC_ISA is `{name}`; it can be amx, avx512, avx2 or plain"))
        }
        _ => Ok(Isa::best()),
    }
}
