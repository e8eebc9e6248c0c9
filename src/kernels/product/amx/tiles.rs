//! The assembler: the configuration of tiles, and products of up to 32 rows by 32 columns over all of k, with f32 sums
//! in memory. Tile registers are used within one block of assembler only, since the compiler does not know them.

use std::arch::asm;

use super::SIDE;

/// The operands of one block of assembler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    /// The first 16 rows of x.
    pub(super) upper: *const f32,
    /// The rows after them, if there are any.
    pub(super) lower: *const f32,
    /// Bytes from a row to the next.
    pub(super) stride: usize,
    /// A panel.
    pub(super) b: *const f32,
    /// Blocks of k.
    pub(super) blocks: usize,
    /// The next data to prefetch into the second-level cache, and lines of it per block of k.
    pub(super) next: *const f32,
    pub(super) lines: usize,
    /// `[32][32]`
    pub(super) sums: *mut f32,
}

/// Configures this thread's tiles: sums in 0 to 3, x in 4 (upper rows) and 5 (lower), weights in 6 (left) and 7
/// (right). The tiles of another library are lost, and that library finds none afterwards.
///
/// # Safety
/// AMX, and 1 to 32 rows.
pub(super) unsafe fn configure(rows: usize) {
    #[repr(C, align(64))]
    struct Config {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    let (upper, lower) = (rows.min(16) as u8, rows.saturating_sub(16) as u8);
    let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    for (tile, rows) in [upper, upper, lower, lower, upper, lower, 16, 16].into_iter().enumerate() {
        config.rows[tile] = rows;
        config.row_bytes[tile] = if rows > 0 { 64 } else { 0 };
    }
    // SAFETY: the caller's; the configuration is one that palette 1 has, of 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
}

/// # Safety
/// AMX.
pub(super) unsafe fn release() {
    // SAFETY: the caller's.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Zeroes sums, loops over the blocks of k, and stores the sums. `step` is one block, with x at `upper` and `lower` and
/// the weights at `b`, which advance by `parts` of a block.
macro_rules! multiply {
    ($tiles:ident, parts: $parts:literal, zero: $zero:expr, step: $step:expr, store: $store:expr) => {
        asm!(
            $zero,
            "test {blocks}, {blocks}",
            "jz 5f",
            "2:",
            $step,
            "mov {count}, {lines}",
            "test {count}, {count}",
            "jz 4f",
            "3:",
            "prefetcht1 [{next}]",
            "add {next}, 64",
            "dec {count}",
            "jnz 3b",
            "4:",
            "add {upper}, 64 * {parts}",
            "add {lower}, 64 * {parts}",
            "add {b}, 2048 * {parts}",
            "dec {blocks}",
            "jnz 2b",
            "5:",
            $store,
            upper = inout(reg) $tiles.upper => _,
            lower = inout(reg) $tiles.lower => _,
            stride = in(reg) $tiles.stride,
            b = inout(reg) $tiles.b => _,
            line = in(reg) 64usize,
            blocks = inout(reg) $tiles.blocks => _,
            next = inout(reg) $tiles.next => _,
            lines = in(reg) $tiles.lines,
            count = out(reg) _,
            sums = in(reg) $tiles.sums,
            parts = const $parts,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Joins lines of assembler.
macro_rules! lines {
    ($($line:literal),* $(,)?) => { concat!($($line, "\n"),*) };
}

/// Multiplies up to 32 rows of bf16.
///
/// # Safety
/// AMX, configured for the rows; pointers that hold what is said beside them.
pub(super) unsafe fn two(tiles: Tiles) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(tiles, parts: 1, zero: lines!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"),
            step: lines!(
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm4, [{upper} + 1*{stride}]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{lower} + 1*{stride}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
            ),
            store: lines!(
                "tilestored [{sums} + 2*{line}], tmm0",
                "tilestored [{sums} + 2*{line} + 64], tmm1",
                "tilestored [{sums} + 2*{line} + 2048], tmm2",
                "tilestored [{sums} + 2*{line} + 2112], tmm3",
            )
        );
    }
}

/// Multiplies up to 16 rows of bf16.
///
/// # Safety
/// As [`two`].
pub(super) unsafe fn one(tiles: Tiles) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(tiles, parts: 1, zero: lines!("tilezero tmm0", "tilezero tmm1"),
            step: lines!(
                "tileloadd tmm4, [{upper} + 1*{stride}]",
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
            ),
            store: lines!("tilestored [{sums} + 2*{line}], tmm0", "tilestored [{sums} + 2*{line} + 64], tmm1")
        );
    }
}

/// Multiplies up to 32 rows of split values: low by high, high by high, high by low. Each step changes only one
/// operand.
///
/// # Safety
/// As [`two`].
pub(super) unsafe fn split_two(tiles: Tiles) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(tiles, parts: 2, zero: lines!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"),
            step: lines!(
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm4, [{upper} + 1*{stride} + 64]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{lower} + 1*{stride} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{upper} + 1*{stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm5, [{lower} + 1*{stride}]",
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
            ),
            store: lines!(
                "tilestored [{sums} + 2*{line}], tmm0",
                "tilestored [{sums} + 2*{line} + 64], tmm1",
                "tilestored [{sums} + 2*{line} + 2048], tmm2",
                "tilestored [{sums} + 2*{line} + 2112], tmm3",
            )
        );
    }
}

/// Multiplies up to 16 rows of split values, in the same order.
///
/// # Safety
/// As [`two`].
pub(super) unsafe fn split_one(tiles: Tiles) {
    // SAFETY: the caller's.
    unsafe {
        multiply!(tiles, parts: 2, zero: lines!("tilezero tmm0", "tilezero tmm1"),
            step: lines!(
                "tileloadd tmm4, [{upper} + 1*{stride} + 64]",
                "tileloadd tmm6, [{b} + 1*{line}]",
                "tileloadd tmm7, [{b} + 1*{line} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{upper} + 1*{stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b} + 1*{line} + 2048]",
                "tileloadd tmm7, [{b} + 1*{line} + 3072]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
            ),
            store: lines!("tilestored [{sums} + 2*{line}], tmm0", "tilestored [{sums} + 2*{line} + 64], tmm1")
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
        configure(SIDE);
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
