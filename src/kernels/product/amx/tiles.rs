//! The assembler: the configuration of tiles, and one block of k of products of up to 32 rows by 32 columns. The sums
//! stay in tile registers between the functions here. The compiler does not know those, and neither uses nor saves them:
//! from [`begin`] or [`resume`] to [`store`] no other code of this thread may use AMX.

use std::arch::asm;

/// Bytes of a line.
const LINE: usize = 64;

/// Configures this thread's tiles, all whole: sums in 0 to 3, x in 4 (upper rows) and 5 (lower), weights in 6 (left) and
/// 7 (right). The tiles of another library are lost, and that library finds none afterwards.
///
/// # Safety
/// AMX.
pub(crate) unsafe fn configure() {
    #[repr(C, align(64))]
    struct Config {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    config.row_bytes[..8].fill(LINE as u16);
    config.rows[..8].fill(16);
    // SAFETY: the caller's; the configuration is one that palette 1 has, of 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
}

/// # Safety
/// AMX.
pub(crate) unsafe fn release() {
    // SAFETY: the caller's.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Joins lines of assembler.
macro_rules! lines {
    ($($line:literal),* $(,)?) => { concat!($($line, "\n"),*) };
}

/// Zeroes the sums.
///
/// # Safety
/// AMX, configured.
#[inline(always)]
pub(crate) unsafe fn begin() {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            lines!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"),
            options(nostack, nomem, preserves_flags)
        );
    }
}

/// Loads sums that [`store`] stored.
///
/// # Safety
/// AMX, configured, and the sums.
#[inline(always)]
pub(super) unsafe fn resume(sums: *const f32) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            lines!(
                "tileloadd tmm0, [{sums} + 2*{line}]",
                "tileloadd tmm1, [{sums} + 2*{line} + 64]",
                "tileloadd tmm2, [{sums} + 2*{line} + 2048]",
                "tileloadd tmm3, [{sums} + 2*{line} + 2112]",
            ),
            sums = in(reg) sums,
            line = in(reg) LINE,
            options(nostack, readonly, preserves_flags)
        );
    }
}

/// Stores the sums of 32 rows by 32 columns: `[32][32]`.
///
/// # Safety
/// AMX, configured, and room for the sums.
#[inline(always)]
pub(crate) unsafe fn store(sums: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            lines!(
                "tilestored [{sums} + 2*{line}], tmm0",
                "tilestored [{sums} + 2*{line} + 64], tmm1",
                "tilestored [{sums} + 2*{line} + 2048], tmm2",
                "tilestored [{sums} + 2*{line} + 2112], tmm3",
            ),
            sums = in(reg) sums,
            line = in(reg) LINE,
            options(nostack, preserves_flags)
        );
    }
}

/// Runs assembler on a block of x and one of weights.
macro_rules! multiply {
    ($x:ident, $b:ident, $lines:expr) => {
        asm!(
            $lines,
            x = in(reg) $x,
            b = in(reg) $b,
            line = in(reg) LINE,
            options(nostack, readonly, preserves_flags),
        )
    };
}

/// Multiplies up to 32 rows of bf16.
///
/// # Safety
/// AMX, configured; two tiles of x, and two of weights.
#[inline(always)]
pub(crate) unsafe fn two(x: *const f32, b: *const f32) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(
            x,
            b,
            lines!(
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm4, [{x} + 1*{line}]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{x} + 1*{line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
            )
        );
    }
}

/// Multiplies up to 16 rows of bf16.
///
/// # Safety
/// As [`two`].
#[inline(always)]
pub(crate) unsafe fn one(x: *const f32, b: *const f32) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(
            x,
            b,
            lines!(
                "tileloadd tmm4, [{x} + 1*{line}]",
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
            )
        );
    }
}

/// Multiplies up to 32 rows of split values: low by high, high by high, high by low. Each step changes only one
/// operand.
///
/// # Safety
/// AMX, configured; two tiles of x and two of weights, of the high parts, and then of the low ones.
#[inline(always)]
pub(crate) unsafe fn split_two(x: *const f32, b: *const f32) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(
            x,
            b,
            lines!(
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm4, [{x} + 1*{line} + 2048]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{x} + 1*{line} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{x} + 1*{line}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm5, [{x} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm6, [{b} + 1*{line} + 2048]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm7, [{b} + 1*{line} + 3072]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
            )
        );
    }
}

/// Multiplies up to 16 rows of split values, in the same order.
///
/// # Safety
/// As [`split_two`].
#[inline(always)]
pub(crate) unsafe fn split_one(x: *const f32, b: *const f32) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(
            x,
            b,
            lines!(
                "tileloadd tmm4, [{x} + 1*{line} + 2048]",
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{x} + 1*{line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b} + 1*{line} + 2048]",
                "tileloadd tmm7, [{b} + 1*{line} + 3072]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
            )
        );
    }
}

/// Runs only multiplications of tiles: `steps` times a dozen.
///
/// # Safety
/// AMX.
pub(in super::super) unsafe fn spin(steps: usize) {
    // SAFETY: the caller's; the tiles are configured, and zero.
    unsafe {
        configure();
        asm!(
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            lines!("tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7"),
            lines!("tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7"),
            lines!("tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7"),
            lines!("tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7"),
            lines!("tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7"),
            lines!("tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7"),
            "dec {steps}",
            "jnz 2b",
            "3:",
            steps = inout(reg) steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, nomem),
        );
        release();
    }
}
