//! NVIDIA's libraries, opened when a GPU is asked for: the driver, and cuBLASLt of CUDA 12 or later.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

use cudarc::{cublaslt, driver};
use libloading::Library;

use super::{CudaError, CudaResult};

/// The names of cuBLASLt on Linux, the newest first. Elsewhere only the system finds it.
const CUBLASLT: [&str; 2] = ["libcublasLt.so.13", "libcublasLt.so.12"];
/// The oldest version of CUDA whose libraries zsic uses.
const OLDEST: usize = 12;

/// Opens both, once.
///
/// # Errors
/// If one is missing, or too old, or they do not fit together; the message says what to install.
pub(super) fn open() -> CudaResult<()> {
    static OPENED: OnceLock<CudaResult<()>> = OnceLock::new();
    OPENED.get_or_init(|| open_cublaslt(open_driver()?).map_err(CudaError::Failed)).clone()
}

/// Opens the driver: the newest version of CUDA that it runs.
fn open_driver() -> CudaResult<usize> {
    // SAFETY: the driver's library needs nothing of this program when it is opened.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(CudaError::Failed("NVIDIA's driver is not installed (libcuda was not found)".to_owned()));
    }
    let mut version = 0;
    // SAFETY: it only writes a number.
    unsafe { driver::sys::cuDriverGetVersion(&raw mut version) }.result()?;
    let (major, minor) = (version as usize / 1000, version / 10 % 100);
    if major < OLDEST {
        let needs = format!("zsic needs {OLDEST}.0 or later");
        return Err(CudaError::Failed(format!("NVIDIA's driver is too old: it is for CUDA {major}.{minor}; {needs}")));
    }
    Ok(major)
}

/// Opens a cuBLASLt that a driver for CUDA `newest` runs.
fn open_cublaslt(newest: usize) -> Result<(), String> {
    let by_system = cudarc::get_lib_name_candidates("cublasLt").into_iter().map(PathBuf::from);
    let folders = folders();
    let by_folder = CUBLASLT.into_iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let mut reason = None;
    for path in by_system.chain(by_folder) {
        // SAFETY: cuBLASLt needs nothing of this program when it is opened.
        let library = match unsafe { Library::new(&path) } {
            Ok(library) => library,
            Err(e) => {
                if path.is_absolute() && path.is_file() {
                    let said = e.source().map_or_else(|| e.to_string(), ToString::to_string);
                    reason.get_or_insert_with(|| format!("cuBLASLt cannot be opened: {said}; {}", advice(newest)));
                }
                continue;
            }
        };
        let Some(version) = version(&library) else { continue };
        if (OLDEST..=newest).contains(&major(version)) {
            // It stays open. glibc then gives it to whoever asks for its name without a folder, as cudarc does.
            std::mem::forget(library);
            // SAFETY: it only returns a number.
            let opened = unsafe { cublaslt::sys::cublasLtGetVersion() };
            return if opened == version { Ok(()) } else { Err(refused(opened, newest)) };
        }
        reason.get_or_insert_with(|| refused(version, newest));
    }
    Err(reason.unwrap_or_else(|| {
        format!("cuBLASLt was not found; {}, or add the folder of libcublasLt to LD_LIBRARY_PATH", advice(newest))
    }))
}

fn version(library: &Library) -> Option<usize> {
    // SAFETY: this is how cuBLASLt declares it.
    unsafe {
        let get = library.get::<unsafe extern "C" fn() -> usize>(b"cublasLtGetVersion").ok()?;
        Some(get())
    }
}

/// Returns the version of CUDA that a cuBLASLt belongs to: 130102 is 13.1.2. Before CUDA 12 there were other rules: 12103 is
/// 11.11.3.
fn major(version: usize) -> usize {
    if version < 100_000 { 11 } else { version / 10_000 }
}

fn refused(version: usize, newest: usize) -> String {
    format!(
        "the cuBLASLt that was found is of CUDA {}, and the driver is for CUDA {newest}; {}",
        major(version),
        advice(newest)
    )
}

/// Returns what to install for a driver.
fn advice(newest: usize) -> String {
    let package = if newest == 12 { "nvidia-cublas-cu12" } else { "nvidia-cublas" };
    format!("install the CUDA toolkit, or run `pip install {package}`")
}

/// Returns folders that hold CUDA's libraries, and that the system may not know: those of the toolkit, and of the
/// environment of Python or conda that is active, that zsic is installed in, or that is the user's own.
fn folders() -> Vec<PathBuf> {
    // What is not absolute would name a folder below the current one, which may be anybody's.
    let from = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(from).chain([PathBuf::from("/usr/local/cuda")]);
    let of_toolkits = toolkits.flat_map(|toolkit| ["lib64", "lib"].map(|lib| toolkit.join(lib)));
    let own = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    let users = from("HOME").map(|home| home.join(".local"));
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(from).chain(own).chain(users);
    of_toolkits.chain(environments.flat_map(|root| in_environment(&root))).collect()
}

/// Returns `lib`, where conda puts libraries, and `lib/python3*/site-packages/nvidia/*/lib`, where pip does; Debian's pip has
/// `dist-packages`.
fn in_environment(root: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path, prefix: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_named = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        let mut found: Vec<_> = entries.filter(is_named).map(|entry| entry.path()).collect();
        found.sort_unstable();
        found
    };
    let lib = root.join("lib");
    let pythons = inside(&lib, "python3");
    let sites = pythons.iter().flat_map(|python| ["site-packages", "dist-packages"].map(|site| python.join(site)));
    let packages = sites.flat_map(|site| inside(&site.join("nvidia"), ""));
    let of_packages: Vec<_> = packages.map(|package| package.join("lib")).filter(|folder| folder.is_dir()).collect();
    [vec![lib], of_packages].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_an_environment_are_found() {
        let root = tempfile::tempdir().unwrap();
        let (lib, nvidia) = (root.path().join("lib"), root.path().join("lib/python3.11/site-packages/nvidia"));
        for folder in ["cublas/lib", "cu13/lib", "cudnn"] {
            fs::create_dir_all(nvidia.join(folder)).unwrap();
        }
        assert_eq!(in_environment(root.path()), [lib, nvidia.join("cu13/lib"), nvidia.join("cublas/lib")]);
    }

    #[test]
    fn versions_of_cublaslt_are_those_of_cuda() {
        assert_eq!([130_102, 120_904, 12_103].map(major), [13, 12, 11]);
    }
}
