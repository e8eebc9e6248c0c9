//! The machine: its CPU, the threads and the memory that a run gets, its GPUs.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::json;
use zsic::{Compute, Isa, Precision};

use super::findings::Findings;
use crate::cli::fetching::size;
use crate::cli::{args, available_memory, fatal, settings};

/// Where NVIDIA's driver describes itself.
const NVIDIA: &str = "/proc/driver/nvidia";
/// The most GPUs to look for.
const MOST_GPUS: usize = 16;

/// Adds the CPU, and the instruction sets in use and available.
pub fn cpu(found: &mut Findings) {
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| value(&text, "model name"));
    let name = model.as_deref().unwrap_or("unknown model");
    found.add("cpu", format!("{name}, {ARCH}, {OS}"), json!({ "model": model, "architecture": ARCH, "system": OS }));
    let available: Vec<&str> = Isa::available().map(Isa::name).collect();
    let opened = settings::instructions().and_then(|isa| {
        let opened = Compute::open_with("cpu", Precision::Auto, isa).context(settings::ISA);
        opened.map(|compute| compute.isa.name())
    });
    let name = opened.as_ref().ok();
    let said = std::env::var_os(settings::ISA).map(|value| value.to_string_lossy().into_owned());
    let used = match (name, &said) {
        (Some(name), None) => (*name).to_owned(),
        (Some(name), Some(_)) => format!("{name} by {}", settings::ISA),
        (None, said) => format!("none can be used: {} is `{}`", settings::ISA, said.as_deref().unwrap_or_default()),
    };
    let text = format!("{used}; this machine has {}", available.join(", "));
    found.add("instruction set", text, json!({ "used": name, "available": available }));
    if let Err(e) = opened {
        found.fault(fatal::reason(&e, true));
    }
    let obstacle = Isa::amx_obstacle();
    let text = obstacle.map_or_else(|| "available".to_owned(), |obstacle| format!("not available: {obstacle}"));
    found.add("amx", text, json!({ "available": obstacle.is_none(), "reason": obstacle }));
}

/// Adds the device and the arithmetic of a run without flags.
pub fn defaults(found: &mut Findings) {
    let isa = settings::instructions().ok().filter(|isa| isa.is_available()).unwrap_or_else(Isa::best);
    let device = default(found, "device", args::DEVICE, |name| {
        let name = args::device(name.unwrap_or("auto"))?;
        Compute::open_with(&name, Precision::Auto, isa).map(|compute| compute.device.name()).map_err(|e| e.to_string())
    });
    default(found, "precision", args::PRECISION, |name| {
        let precision: Precision = name.unwrap_or("auto").parse()?;
        let opened = Compute::open_with(device.as_deref().unwrap_or("cpu"), precision, isa);
        opened.map(|_| precision.name().to_owned()).map_err(|e| e.to_string())
    });
}

/// Adds what a variable sets, and returns what `open` makes of its value. An error of `open` is a fault.
fn default(
    found: &mut Findings,
    what: &str,
    variable: &str,
    open: impl FnOnce(Option<&str>) -> Result<String, String>,
) -> Option<String> {
    let asked = std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned());
    let used = open(asked.as_deref());
    let text = match (&used, &asked) {
        (Ok(used), None) => used.clone(),
        (Ok(used), Some(_)) => format!("{used} by {variable}"),
        (Err(_), asked) => format!("none can be used: {variable} is `{}`", asked.as_deref().unwrap_or_default()),
    };
    found.add(what, text, json!({ "used": used.as_ref().ok(), "asked": asked }));
    if let (Err(e), asked) = (&used, asked) {
        found.fault(format!("{variable} is `{}`: {e}", asked.unwrap_or_default()));
    }
    used.ok()
}

/// Adds the number of threads, and what determines it.
pub fn threads(found: &mut Findings, asked: Option<u16>, used: usize) {
    let cpus = settings::allowed_cpus().map(|cpus| cpus.len());
    let allowed = settings::threads(None);
    let quota = cpus.filter(|&cpus| cpus > allowed).map(|_| allowed);
    let mut text = used.to_string();
    if asked.is_some() {
        text += " by -j or ZSIC_THREADS";
    }
    if let Some(cpus) = cpus {
        text += &format!("; this process may use {cpus} CPUs");
    }
    if let Some(quota) = quota {
        text += &format!(", and its control group's quota is the time of {quota}");
    }
    found.add("threads", text, json!({ "used": used, "asked": asked, "cpus": cpus, "quota": quota }));
}

/// Adds the memory that a run may take, and what determines it.
pub fn memory(found: &mut Findings) {
    let (bytes, what) = available_memory::tightest();
    found.add("memory", format!("{}: {what}", size(bytes)), json!({ "bytes": bytes, "limit": what }));
}

/// Adds the GPUs, and returns the names of those that this build can use and that answer.
pub fn gpu(found: &mut Findings) -> Vec<String> {
    let (mut built_in, mut devices) = (Vec::new(), Vec::new());
    for (kind, is_built_in, names) in [
        ("cuda", cfg!(feature = "cuda"), (0..MOST_GPUS).map(|index| format!("cuda:{index}")).collect()),
        ("metal", cfg!(feature = "metal"), vec!["metal".to_owned()]),
    ] {
        if is_built_in {
            built_in.push(kind);
            let before = devices.len();
            devices.extend(names.into_iter().filter(|name| open(name).is_ok()));
            if devices.len() == before
                && let Err(e) = open(kind)
            {
                found.warn(format!("runs use the CPU: {e}"));
            }
        }
    }
    let (models, driver) = nvidia(Path::new(NVIDIA));
    let mut text = match (built_in.is_empty(), devices.is_empty()) {
        (true, _) => "not built in (cuda, metal)".to_owned(),
        (_, true) => format!("{} is built in, and no device can be used", built_in.join(" and ")),
        _ => devices.join(", "),
    };
    if let Some(driver) = &driver {
        text += &format!("; this machine has {}, NVIDIA driver {driver}", models.join(", "));
    }
    let value = json!({ "built_in": built_in, "devices": devices, "models": models, "driver": driver });
    found.add("gpu", text, value);
    devices
}

fn open(device: &str) -> zsic::Result<Compute> {
    Compute::open(device, Precision::F32)
}

/// Returns the models of NVIDIA's GPUs, and the version of their driver.
fn nvidia(folder: &Path) -> (Vec<String>, Option<String>) {
    let gpus = fs::read_dir(folder.join("gpus")).into_iter().flatten().flatten();
    let model = |gpu: fs::DirEntry| value(&fs::read_to_string(gpu.path().join("information")).ok()?, "Model");
    let is_version = |word: &&str| word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let driver = fs::read_to_string(folder.join("version")).ok();
    let driver = driver.and_then(|text| Some(text.split_whitespace().find(is_version)?.to_owned()));
    (gpus.filter_map(model).collect(), driver)
}

/// Returns the value of the first line `name: value`.
fn value(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvidia_s_driver_and_gpus_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(nvidia(dir.path()), (Vec::new(), None));
        let gpu = dir.path().join("gpus/0000:1b:00.0");
        fs::create_dir_all(&gpu).unwrap();
        fs::write(gpu.join("information"), "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 18\n").unwrap();
        for version in [
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Sat Nov  4 23:36:53 UTC 2023\nGCC version:  gcc 12.3.0\n",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (a@b)  Mon 1 Jan\n",
        ] {
            fs::write(dir.path().join("version"), version).unwrap();
            let models = vec!["NVIDIA H100 80GB HBM3".to_owned()];
            assert_eq!(nvidia(dir.path()), (models, Some("570.86.15".to_owned())));
        }
    }
}
