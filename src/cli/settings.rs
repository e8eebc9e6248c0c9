//! The meaning of the machine's flags: threads, device and vector instructions.

use std::ffi::OsStr;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPoolBuilder;
#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use zsic::{Compute, Isa, Plan};

use super::args::Machine;

/// The variable that chooses the vector instructions.
pub const ISA: &str = "ZSIC_ISA";
/// The message when the system starts no more threads.
pub const NO_THREAD: &str = "a thread cannot be started; allow more of them (ulimit -u) or more memory (ulimit -v), or use \
    fewer (-j N)";

/// Removes zsic's variables that are empty, so that they count as unset, as tools that compose environments expect.
/// Call it first of all.
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

/// Returns the number of threads: what the flag asks for, else what affinity and cgroup quota allow.
pub fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(|| available_parallelism().map_or(1, NonZero::get), usize::from)
}

/// Returns the most images to encode together: what the flag asks for, else as many as keep the device busy.
pub fn batch_size(machine: &Machine, plan: &Plan) -> u16 {
    machine.batch_size.unwrap_or(if plan.device.is_cpu() { 8 } else { 128 })
}

/// Opens the device with `threads` threads. Call it once, before any other thread starts.
///
/// # Errors
/// If this build or machine lacks the device or precision.
pub fn compute(machine: &Machine, threads: usize) -> Result<Compute> {
    start_threads(threads)?;
    Ok(Compute::open_with(&machine.device, machine.precision, instructions()?)?)
}

/// Starts `threads` threads for arithmetic. Call it once, before any other thread starts.
///
/// # Errors
/// If the system starts no more threads.
pub fn start_threads(threads: usize) -> Result<()> {
    static ARE_STARTED: AtomicBool = AtomicBool::new(false);
    if ARE_STARTED.swap(true, Ordering::Relaxed) {
        return Ok(()); // a command that runs several checkpoints asks again
    }
    // candle reads the environment, and would otherwise count the host's cores.
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        #[allow(unsafe_code)]
        // SAFETY: no other thread runs yet.
        unsafe {
            std::env::set_var(variable, threads.to_string());
        }
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    pinned(pool, threads).build_global().context(NO_THREAD)
}

/// Returns the CPUs that this process may run on, where the system says.
#[cfg(target_os = "linux")]
pub fn allowed_cpus() -> Option<Vec<usize>> {
    let all = sched_getaffinity(None).ok()?;
    Some((0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect())
}

/// Returns the CPUs that this process may run on, where the system says.
#[cfg(not(target_os = "linux"))]
pub fn allowed_cpus() -> Option<Vec<usize>> {
    None
}

/// Pins each thread to its CPU, if there is one for each. Linux may wake two threads on one CPU after a pause, and
/// leave them there for tens of milliseconds while another CPU is idle: one image took up to twice as long.
#[cfg(target_os = "linux")]
fn pinned(pool: ThreadPoolBuilder, threads: usize) -> ThreadPoolBuilder {
    let Some(cpus) = allowed_cpus() else { return pool };
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
///
/// # Errors
/// If the variable has another word. Whether this machine has them is for [`Compute::open_with`] to say.
pub fn instructions() -> Result<Isa> {
    match std::env::var(ISA) {
        Ok(name) if !name.is_empty() => {
            let isa = Isa::ALL.into_iter().find(|isa| isa.name() == name);
            isa.with_context(|| format!("{ISA} is `{name}`; use amx, avx512, avx2, neon or plain"))
        }
        _ => Ok(Isa::best()),
    }
}
