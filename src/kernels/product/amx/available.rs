//! Whether this machine has AMX and lets this process use it.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

use crate::kernels::Isa;

/// Returns whether this machine, or the tests' emulator, can run these products.
pub(crate) fn is_available() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| is_on_this_machine() || emulated())
}

#[cfg(all(test, target_os = "linux"))]
fn emulated() -> bool {
    super::emulated::install()
}

#[cfg(not(all(test, target_os = "linux")))]
fn emulated() -> bool {
    false
}

/// Returns whether nothing is in the way of AMX here.
pub(crate) fn is_on_this_machine() -> bool {
    obstacle().is_none()
}

/// Returns what is in the way of AMX: the CPU lacks the instructions, or the system does not save the registers or does
/// not let this process use them. It asks the system for that once.
pub(crate) fn obstacle() -> Option<&'static str> {
    static ANSWER: OnceLock<Option<&str>> = OnceLock::new();
    *ANSWER.get_or_init(|| match () {
        () if !Isa::Avx512.is_available() || !cpu_has_it() => Some("the CPU has none"),
        () if !system_saves_it() => Some("the system does not save its registers"),
        () if !permitted() => Some("the system does not let this process use its registers"),
        () => None,
    })
}

#[allow(unused_unsafe)] // whether __cpuid is safe depends on the compiler's version
fn cpu_has_it() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    // SAFETY: CPUs with AVX-512 have leaf 7.
    let features = unsafe { __cpuid_count(7, 0).edx };
    features & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

#[allow(unused_unsafe)] // as above
fn system_saves_it() -> bool {
    /// # Safety
    /// The system has switched XSAVE on.
    #[target_feature(enable = "xsave")]
    unsafe fn saved() -> u64 {
        // SAFETY: the caller's.
        unsafe { _xgetbv(0) }
    }
    const OSXSAVE: u32 = 1 << 27;
    /// The tiles' configuration and the tiles.
    const STATE: u64 = 1 << 17 | 1 << 18;
    // SAFETY: every x86-64 CPU has CPUID. XGETBV exists if its bit is set.
    unsafe { __cpuid(1).ecx & OSXSAVE != 0 && saved() & STATE == STATE }
}

/// Asks Linux for the tile registers, for this process and its future threads. Kernels before 5.16 and some sandboxes
/// refuse.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    let mut answer = ARCH_PRCTL;
    // SAFETY: a system call that takes two numbers; it changes the two registers that are named, and no memory.
    unsafe {
        std::arch::asm!(
            "syscall",
            inout("rax") answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}
