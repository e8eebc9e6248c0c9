//! The meaning of the machine's flags: threads, device and vector instructions.

use std::ffi::OsStr;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;
#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use zsic::{Compute, Isa, Precision};

use super::args::{Machine, PrecisionArg};

/// The message when the system starts no more threads.
pub const NO_THREAD: &str = "a thread cannot be started; allow more of them (ulimit -u) or more memory (ulimit -v), or use \
    fewer (-j N)";

/// Removes our variables that are set to nothing, so that they count as unset, as tools that compose environments
/// expect. Call it first of all.
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

/// Returns the number of threads: from the flag, else from affinity and cgroup quota.
pub fn threads(machine: &Machine) -> usize {
    machine.threads.map_or_else(|| available_parallelism().map_or(1, NonZero::get), usize::from)
}

/// Opens the device with `threads` threads. Call it once, before any other thread starts.
///
/// # Errors
/// If this build or machine lacks the device or precision.
pub fn compute(machine: &Machine, threads: usize) -> Result<Compute> {
    // candle reads the environment, and would otherwise count the host's cores.
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

/// Pins each thread to its CPU, if there is one for each. Linux may wake two threads on one CPU after a pause, and
/// leave them there for tens of milliseconds while another CPU is idle: one image took up to twice as long.
#[cfg(target_os = "linux")]
fn pinned(pool: ThreadPoolBuilder, threads: usize) -> ThreadPoolBuilder {
    let Ok(all) = sched_getaffinity(None) else { return pool };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
    if cpus.len() != threads {
        return pool; // other programs use the remaining CPUs, and we cannot know which
    }
    pool.start_handler(move |index| {
        let mut own = CpuSet::new();
        own.set(cpus[index]);
        _ = sched_setaffinity(None, &own); // on failure the thread still runs, only slower
    })
}

/// Does nothing: only Linux is known to need it.
#[cfg(not(target_os = "linux"))]
fn pinned(pool: ThreadPoolBuilder, _: usize) -> ThreadPoolBuilder {
    pool
}

/// Returns the vector instructions of `ZSIC_ISA`, else the best ones.
fn instructions() -> Result<Isa> {
    match std::env::var("ZSIC_ISA") {
        Ok(name) if !name.is_empty() => {
            let isa = Isa::ALL.into_iter().find(|isa| isa.name() == name);
            isa.with_context(|| format!("ZSIC_ISA is `{name}`; use amx, avx512, avx2 or plain"))
        }
        _ => Ok(Isa::best()),
    }
}
