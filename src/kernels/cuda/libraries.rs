//! NVIDIA's libraries, opened when a GPU is asked for: the driver, and cuBLASLt of CUDA 12 or 13.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

use cudarc::{cublaslt, driver};
use libloading::Library;

use super::{CudaError, CudaResult};

/// cuBLASLt's files, the newest first.
const CUBLASLT: [&str; 2] = ["libcublasLt.so.13", "libcublasLt.so.12"];
/// The oldest versions that zsic was written for, as the driver and cuBLASLt count.
const OLDEST_CUDA: i32 = 12_000;
const OLDEST_CUBLASLT: usize = 120_000;

/// Opens both, once.
///
/// # Errors
/// If one is missing or too old; the message says what to install.
pub(super) fn open() -> CudaResult<()> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    OPENED.get_or_init(open_now).clone().map_err(CudaError::Failed)
}

fn open_now() -> Result<(), String> {
    // SAFETY: the driver's library runs no code that depends on ours.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err("NVIDIA's driver is not installed (libcuda was not found)".to_owned());
    }
    let mut cuda = 0;
    // SAFETY: it only writes a number.
    _ = unsafe { driver::sys::cuDriverGetVersion(&raw mut cuda) };
    if cuda < OLDEST_CUDA {
        let (major, minor) = (cuda / 1000, cuda / 10 % 100);
        return Err(format!(
            "NVIDIA's driver is too old: it is for CUDA {major}.{minor}, and zsic needs CUDA 12.0 or later"
        ));
    }
    let by_name = cudarc::get_lib_name_candidates("cublasLt").into_iter().map(PathBuf::from);
    let in_folders = folders().into_iter().flat_map(|folder| CUBLASLT.map(|name| folder.join(name)));
    // SAFETY: as above. It stays open: from here on, it is found by its name.
    let Some(library) = by_name.chain(in_folders).find_map(|path| unsafe { Library::new(path) }.ok()) else {
        return Err("cuBLASLt of CUDA 12 or 13 was not found; install the CUDA toolkit, or run `pip install \
            nvidia-cublas`, or add the folder of libcublasLt.so.13 to LD_LIBRARY_PATH"
            .to_owned());
    };
    std::mem::forget(library);
    // SAFETY: it only returns a number.
    match unsafe { cublaslt::sys::cublasLtGetVersion() } {
        version if version < OLDEST_CUBLASLT => Err(format!(
            "cuBLASLt {}.{} is too old; install that of CUDA 12 or 13",
            version / 10_000,
            version / 100 % 100
        )),
        _ => Ok(()),
    }
}

/// Returns folders that hold CUDA's libraries, and that the system may not know: those of the toolkit, and of Python's
/// packages in the environment that is active or that zsic is installed in.
fn folders() -> Vec<PathBuf> {
    let from = |name| env::var_os(name).map(PathBuf::from);
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(from).chain([PathBuf::from("/usr/local/cuda")]);
    let own = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(from).chain(own);
    toolkits.map(|toolkit| toolkit.join("lib64")).chain(environments.flat_map(|root| packages(&root))).collect()
}

/// Returns the folders of libraries in `lib/python3*/site-packages/nvidia/*/lib`, the newest versions first.
fn packages(environment: &Path) -> Vec<PathBuf> {
    let inside = |folder: &Path, prefix: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let named = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(prefix));
        let mut found: Vec<_> = entries.filter(|e| named(&e.file_name())).map(|e| e.path()).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    };
    let pythons = inside(&environment.join("lib"), "python3");
    let nvidia = pythons.iter().flat_map(|python| inside(&python.join("site-packages/nvidia"), ""));
    nvidia.map(|package| package.join("lib")).filter(|folder| folder.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_python_s_packages_are_found() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["cublas/lib", "cu13/lib", "cudnn"] {
            fs::create_dir_all(root.path().join("lib/python3.11/site-packages/nvidia").join(folder)).unwrap();
        }
        let nvidia = root.path().join("lib/python3.11/site-packages/nvidia");
        assert_eq!(packages(root.path()), [nvidia.join("cublas/lib"), nvidia.join("cu13/lib")]);
        assert_eq!(packages(&nvidia), Vec::<PathBuf>::new());
    }
}
