//! The command on an NVIDIA GPU that is emulated on the CPU (`tests/emulated_gpu`): how it starts, and what it does when the GPU
//! fails. With ZSIC_TEST_DEVICE=cuda, parity.rs checks the numbers of every family.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::common::command::{err, lines, model, out, run, zsic};
use crate::common::long_run::{assert_alone, beside, pictures};

/// Statuses of NVIDIA's driver.
const NO_MEMORY: u32 = 2;
const LAUNCH_FAILED: u32 = 719;
const GONE: u32 = 999;

/// The folder of the emulated libraries, made once.
static LIBRARIES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-gpu");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulated_gpu/make.sh");
    assert!(Command::new(script).arg(&folder).status().unwrap().success(), "the emulated GPU does not compile");
    folder
});

/// The command on a machine that has the libraries in a folder, and no others where NVIDIA has installed nothing.
fn with(folder: &Path, args: &[&str]) -> Command {
    let mut command = zsic(args);
    command.env("LD_LIBRARY_PATH", folder).env_remove("VIRTUAL_ENV").env_remove("CONDA_PREFIX");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"EMULATED_")) {
        command.env_remove(name);
    }
    command.env("HOME", folder).env_remove("CUDA_HOME").env_remove("CUDA_PATH").arg("--offline");
    command
}

/// The command on the emulated GPU.
fn on_gpu(args: &[&str]) -> Command {
    with(&LIBRARIES, args)
}

/// Classifies a picture.
fn one(folder: &Path, device: &str) -> Command {
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/owl.jpg");
    let mut command = with(folder, &["classify", "-l", "fox,owl", "-m", "demo", "--device", device, "-v"]);
    command.args(["--no-cache", "--format", "jsonl"]).arg(picture);
    command
}

/// Asserts that a run ended with an error, and that it says this.
fn assert_refused(output: &Output, said: &str) {
    assert_eq!(output.status.code(), Some(3), "{}", err(output));
    assert!(err(output).contains(said), "{said}: {}", err(output));
    assert!(!err(output).contains("panicked") && out(output).is_empty(), "{}", err(output));
}

/// Asserts that a run gave the scores of the CPU.
fn assert_right(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
    let score = |output: &Output| lines(output)[0]["predictions"][0]["score"].as_f64().unwrap();
    let wanted = score(&run(&mut one(&LIBRARIES, "cpu")));
    assert!((score(output) - wanted).abs() < 5e-5, "{} instead of {wanted}", score(output));
}

#[test]
fn missing_libraries_are_a_sentence_and_auto_falls_back() {
    let dir = tempfile::tempdir().unwrap();
    let driver = "NVIDIA's driver is not installed";
    let without = run(&mut one(dir.path(), "cuda"));
    if !err(&without).contains(driver) {
        return println!("this machine has a driver");
    }
    assert_refused(&without, driver);
    let fallen_back = run(&mut one(dir.path(), "auto"));
    assert_right(&fallen_back);
    assert!(err(&fallen_back).contains(driver) && err(&fallen_back).contains("running on the CPU"));

    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(LIBRARIES.join(name), to.join(name)).unwrap();
    link("libcuda.so.1", dir.path());
    let without = run(&mut one(dir.path(), "cuda"));
    if without.status.success() {
        return println!("this machine has a cuBLASLt");
    }
    assert_refused(&without, "cuBLASLt was not found; install");
    // Where Python's packages have it, it is found.
    let package = dir.path().join("lib/python3.11/site-packages/nvidia/cu13/lib");
    fs::create_dir_all(&package).unwrap();
    link("libcublasLt.so.13", &package);
    assert_right(&run(one(dir.path(), "cuda").env("VIRTUAL_ENV", dir.path())));
    // An empty variable is not the folder that the command runs in.
    let lib64 = dir.path().join("lib64");
    fs::create_dir(&lib64).unwrap();
    link("libcublasLt.so.13", &lib64);
    assert_right(&run(one(dir.path(), "cuda").env("CUDA_HOME", dir.path())));
    assert_refused(&run(one(dir.path(), "cuda").env("CUDA_HOME", "").current_dir(&dir)), "cuBLASLt was not found");
    // A damaged one is told.
    fs::remove_file(lib64.join("libcublasLt.so.13")).unwrap();
    fs::write(lib64.join("libcublasLt.so.13"), "").unwrap();
    let damaged = run(one(dir.path(), "cuda").env("CUDA_HOME", dir.path()));
    assert_refused(&damaged, "cuBLASLt cannot be opened: ");
    assert_refused(&damaged, "libcublasLt.so.13: file too short; install");
}

#[test]
fn libraries_that_do_not_fit_together_are_told_and_auto_falls_back() {
    for (variable, value, said) in [
        ("EMULATED_GPU_CUDA", "11040", "NVIDIA's driver is too old: it is for CUDA 11.4"),
        ("EMULATED_CUBLASLT_VERSION", "12103", "is of CUDA 11, and the driver is for CUDA 13; install"),
        ("EMULATED_GPU_CUDA", "12080", "is of CUDA 13, and the driver is for CUDA 12; install"),
        ("EMULATED_GPU_FAULT", "cuDriverGetVersion:1:34", "(CUDA_ERROR_EMULATED)"),
        ("EMULATED_GPU_FAULT", "cuModuleLoadData:1:222", "the driver does not take the kernels; update it"),
        ("EMULATED_GPU_FAULT", "cublasLtCreate:1:1", "cuBLASLt does not start; update the driver"),
    ] {
        assert_refused(&run(one(&LIBRARIES, "cuda").env(variable, value)), said);
        let fallen_back = run(one(&LIBRARIES, "auto").env(variable, value));
        assert_right(&fallen_back);
        assert!(err(&fallen_back).contains(said) && err(&fallen_back).contains("running on the CPU"), "{said}");
    }
}

#[test]
fn a_machine_without_a_gpu_falls_back_and_says_so() {
    let none = |device| run(one(&LIBRARIES, device).env("EMULATED_GPU_COUNT", "0"));
    let reason = "cuda:0 cannot be used: no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)";
    assert_refused(&none("cuda"), reason);
    let fallen_back = none("auto");
    assert_right(&fallen_back);
    assert!(err(&fallen_back).contains(reason) && err(&fallen_back).contains("running on the CPU"));
    assert_refused(&run(&mut one(&LIBRARIES, "cuda:1")), "cuda:1 cannot be used");
    assert_right(&run(one(&LIBRARIES, "cuda:1").env("EMULATED_GPU_COUNT", "2")));
}

#[test]
fn a_gpu_is_taken_by_itself_and_an_old_one_computes_in_f32_or_not_at_all() {
    let of = |capability, device, precision| {
        run(one(&LIBRARIES, device).args(["--precision", precision]).env("EMULATED_GPU_CAPABILITY", capability))
    };
    for (capability, precision, arithmetic) in
        [("9.0", "auto", "cuda-split"), ("8.0", "f32", "cuda-f32"), ("7.5", "auto", "cuda-f32")]
    {
        let output = of(capability, "auto", precision);
        assert_right(&output);
        assert!(err(&output).contains(arithmetic), "{capability}: {}", err(&output));
    }
    assert_refused(&of("7.5", "auto", "bf16"), "bf16 needs a GPU of compute capability 8.0 or later");
    assert_refused(&of("7.0", "cuda", "auto"), "has compute capability 7.0; zsic needs 7.5 or later");
    assert_refused(
        &of("7.0", "auto", "f16"),
        "f16 arithmetic is for NVIDIA GPUs; use --precision f32 or auto; cuda:0 cannot",
    );
    let fallen_back = of("7.0", "auto", "auto");
    assert_right(&fallen_back);
    assert!(err(&fallen_back).contains("running on the CPU"), "{}", err(&fallen_back));
}

#[test]
fn doctor_tests_every_arithmetic_of_the_gpu() {
    let doctor = |capability| run(on_gpu(&["doctor"]).env("EMULATED_GPU_CAPABILITY", capability));
    let (new, old) = (doctor("9.0"), doctor("7.5"));
    for arithmetic in ["cuda-split", "cuda-f32", "cuda-bf16", "cuda-f16"] {
        let right = |output: &Output| out(output).lines().any(|l| l.contains(arithmetic) && l.contains("right"));
        assert!(right(&new) && right(&old) == (arithmetic == "cuda-f32"), "{}\n{}", out(&new), out(&old));
    }
}

#[test]
fn embeddings_have_the_same_bits_in_batches_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 66);
    for precision in ["auto", "f32", "bf16", "f16"] {
        let embedded = ["1", "7", "64"].map(|size| {
            let out = dir.path().join(format!("{precision}-{size}.safetensors"));
            let mut command = on_gpu(&["embed", "-m", &model("odd"), "--device", "cuda", "--batch-size", size, "-q"]);
            let output = run(command.args(["--no-cache", "--precision", precision, "-o"]).arg(&out).arg(&folder));
            assert_eq!(output.status.code(), Some(1), "{}", err(&output)); // two pictures are torn
            fs::read(out).unwrap()
        });
        assert!(embedded.iter().all(|bytes| *bytes == embedded[0]), "{precision}");
    }
}

#[test]
fn doctor_lists_each_gpu_that_can_be_used() {
    let faulty = "cuDevicePrimaryCtxRetain:1:46";
    let output = run(on_gpu(&["doctor"]).env("EMULATED_GPU_COUNT", "3").env("EMULATED_GPU_FAULT", faulty));
    let gpus = out(&output).lines().find(|line| line.starts_with("gpu ")).unwrap();
    assert!(gpus.ends_with(" cuda:1, cuda:2"), "{}", out(&output));
}

/// A run over a folder, small batches one after the other, with a fault of the GPU.
fn failing(fault: &str, folder: &Path, out: &Path) -> Command {
    let mut command = on_gpu(&["classify", "-l", "cat,dog", "-m", &model("odd"), "--device", "cuda", "-q", "-j", "1"]);
    command.args(["--no-cache", "--batch-size", "4", "-o"]).arg(out).arg(folder).env("EMULATED_GPU_FAULT", fault);
    command
}

/// Asserts that a run was stopped by the GPU with some results kept, and ends right when it goes on.
fn assert_goes_on(stopped: &Output, folder: &Path, out: &Path, whole: &[u8]) {
    assert_eq!(stopped.status.code(), Some(3), "{}", err(stopped));
    assert!(err(stopped).contains("error: the GPU") && !err(stopped).contains("panicked"), "{}", err(stopped));
    assert!(!out.exists() && beside(out, "").exists(), "no results are kept: {}", err(stopped));
    let ended = run(failing("none:0:0", folder, out).arg("--resume"));
    assert_eq!(ended.status.code(), Some(0), "{}", err(&ended));
    assert!(fs::read(out).unwrap() == whole);
    assert_alone(out);
}

#[test]
fn whatever_call_fails_no_result_is_wrong_or_lost() {
    let dir = tempfile::tempdir().unwrap();
    let folder = pictures(dir.path(), 7);
    let out = dir.path().join("scores.jsonl");
    assert_eq!(run(&mut failing("none:0:0", &folder, &out)).status.code(), Some(0));
    let whole = fs::read(&out).unwrap();
    fs::remove_file(&out).unwrap();
    let (mut kept, mut helped) = (0, 0);
    for (function, code, last) in [
        ("any", format!("{GONE}+"), 4000),
        ("cuMemAllocAsync", NO_MEMORY.to_string(), 200),
        ("cuLaunchKernel", format!("{LAUNCH_FAILED}+"), 200),
        ("cublasLtMatmul", "13".to_owned(), 100),
        ("cuStreamSynchronize", format!("{LAUNCH_FAILED}+"), 10),
    ] {
        let mut call = 1;
        loop {
            let output = run(&mut failing(&format!("{function}:{call}:{code}"), &folder, &out));
            match output.status.code() {
                Some(0) => {
                    assert!(fs::read(&out).unwrap() == whole, "{function} {call}");
                    fs::remove_file(&out).unwrap();
                    helped += u32::from(function == "cuMemAllocAsync");
                }
                _ if beside(&out, "").exists() => {
                    kept += 1;
                    assert_goes_on(&output, &folder, &out, &whole);
                    fs::remove_file(&out).unwrap();
                }
                _ => {
                    assert_eq!(output.status.code(), Some(3), "{function} {call}: {}", err(&output));
                    assert!(!err(&output).contains("panicked"), "{function} {call}: {}", err(&output));
                    assert!(!err(&output).contains("CUDA 0."), "{}", err(&output));
                    assert!(err(&output).contains("GPU") || err(&output).contains("cuda:0"), "{}", err(&output));
                }
            }
            if call >= last {
                break;
            }
            call += 1 + call / 4;
        }
    }
    let little = run(failing("none:0:0", &folder, &out).env("EMULATED_GPU_MEMORY", "100000"));
    assert_refused(&little, "the GPU is out of memory; stop what else uses it, or use --device cpu");
    assert!(kept > 5 && helped > 5, "{kept} runs were stopped with results, {helped} got memory at the second try");
}
