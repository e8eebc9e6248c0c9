//! Emulates AMX for tests on machines without it. A handler catches the signal for unknown instructions, and executes
//! those few that the assembler here uses on memory that stands for the thread's tiles, as Intel's manual (Software
//! Developer's Manual, volume 2) specifies. A fault in the manual's sense ends the process with a message. It is
//! compiled into tests only, and says nothing about speed.

use std::arch::x86_64::*;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::mem::{size_of, zeroed};
use std::ptr::{null_mut, write_bytes};
use std::sync::OnceLock;

use libc::{REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, greg_t, siginfo_t, ucontext_t};
use libc::{REG_RAX, REG_RBP, REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP};

/// General registers in the order of their numbers in instructions.
const GENERAL: [c_int; 16] = [
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12,
    REG_R13, REG_R14, REG_R15,
];
const ROWS: usize = 16;
const ROW_BYTES: usize = 64;

/// Counts of a thread's executed instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InstructionCounts {
    pub(crate) ldtilecfg: usize,
    pub(crate) tilerelease: usize,
    pub(crate) tilezero: usize,
    pub(crate) tileloadd: usize,
    pub(crate) tilestored: usize,
    pub(crate) tdpbf16ps: usize,
}

/// A thread's tiles.
#[repr(C, align(64))]
struct TileRegisters {
    values: [[[u8; ROW_BYTES]; ROWS]; 8],
    rows: [usize; 8],
    row_bytes: [usize; 8],
    configured: bool,
}

thread_local! {
    // Neither has a destructor or is initialized lazily, so that a signal handler may use them.
    static TILES: UnsafeCell<TileRegisters> = const {
        UnsafeCell::new(TileRegisters { values: [[[0; ROW_BYTES]; ROWS]; 8], rows: [0; 8], row_bytes: [0; 8], configured: false })
    };
    static COUNTS: Cell<InstructionCounts> = const {
        Cell::new(InstructionCounts { ldtilecfg: 0, tilerelease: 0, tilezero: 0, tileloadd: 0, tilestored: 0, tdpbf16ps: 0 })
    };
}

/// Returns the counts of this thread so far.
pub(crate) fn counts() -> InstructionCounts {
    COUNTS.get()
}

/// Catches unknown instructions from now on, in every thread. Returns false if the machine cannot emulate AMX: that
/// needs AVX-512.
pub(crate) fn install() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        // SAFETY: the handler is for this signal, and touches only its thread's data and the instruction's operands.
        crate::kernels::Isa::Avx512.is_available()
            && unsafe {
                let mut action: libc::sigaction = zeroed();
                action.sa_sigaction = on_unknown_instruction as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigaction(libc::SIGILL, &action, null_mut()) == 0
            }
    })
}

/// Ends the process. Allocates nothing.
fn fault(why: &str) -> ! {
    for part in ["AMX emulator: ", why, "\n"] {
        // SAFETY: the bytes are there.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: always.
    unsafe { libc::abort() }
}

fn require(holds: bool, else_why: &str) {
    if !holds {
        fault(else_why);
    }
}

extern "C" fn on_unknown_instruction(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes the registers; the instruction and its operands belong to the interrupted code.
    unsafe {
        let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        let start = registers[REG_RIP as usize] as *const u8;
        let instruction = Instruction::decode(start, registers);
        TILES.with(|tiles| execute(&mut *tiles.get(), &instruction));
        registers[REG_RIP as usize] += instruction.length as greg_t;
    }
}

/// A VEX-encoded instruction of the map 0F38.
#[derive(Debug)]
struct Instruction {
    /// The prefix: none, 66, F3 or F2.
    prefix: u8,
    opcode: u8,
    reg: usize,
    vvvv: usize,
    operand: Operand,
    length: usize,
}

#[derive(Debug)]
enum Operand {
    Register(usize),
    /// Base plus displacement, and the scaled index, if there is a SIB byte.
    Memory(usize, Option<usize>),
}

impl Instruction {
    /// # Safety
    /// An instruction at `at`.
    unsafe fn decode(at: *const u8, registers: &[greg_t]) -> Self {
        // SAFETY: the caller's; unknown instructions are not read further.
        unsafe {
            let byte = |i: usize| *at.add(i);
            require(
                byte(0) == 0xc4 && byte(1) & 0x1f == 2 && byte(2) & 0x84 == 0,
                "an instruction that is none of AMX's",
            );
            // R, X and B are stored inverted.
            let extra = |bit: u8| usize::from(!byte(1) >> bit & 1) << 3;
            let (modrm, mode) = (byte(4), byte(4) >> 6);
            let (reg, rm) = (usize::from(modrm >> 3 & 7) | extra(7), usize::from(modrm & 7));
            let mut length = 5;
            let operand = if mode == 3 {
                Operand::Register(rm | extra(5))
            } else {
                let value = |register: usize| registers[GENERAL[register] as usize] as usize;
                let (base, index) = if rm == 4 {
                    let sib = byte(5);
                    length += 1;
                    let index = usize::from(sib >> 3 & 7) | extra(6);
                    let scaled = if index == 4 { 0 } else { value(index) << (sib >> 6) };
                    (usize::from(sib & 7), Some(scaled))
                } else {
                    (rm, None)
                };
                require(mode != 0 || base != 5, "an address without a base, which nothing here needs");
                let displacement = match mode {
                    0 => 0,
                    1 => byte(length) as i8 as isize,
                    _ => at.add(length).cast::<i32>().read_unaligned() as isize,
                };
                length += [0, 1, 4][usize::from(mode)];
                Operand::Memory(value(base | extra(5)).wrapping_add_signed(displacement), index)
            };
            let vvvv = usize::from(!byte(2) >> 3 & 15);
            Self { prefix: byte(2) & 3, opcode: byte(3), reg, vvvv, operand, length }
        }
    }
}

/// # Safety
/// AVX-512, and memory where the operand says.
unsafe fn execute(tiles: &mut TileRegisters, instruction: &Instruction) {
    let (prefix, opcode, reg, vvvv) = (instruction.prefix, instruction.opcode, instruction.reg, instruction.vvvv);
    let mut counts = COUNTS.get();
    // SAFETY: the caller's.
    unsafe {
        match (prefix, opcode, &instruction.operand) {
            (0, 0x49, &Operand::Memory(at, index)) if reg == 0 && vvvv == 0 => {
                configure(tiles, at.wrapping_add(index.unwrap_or(0)) as *const u8);
                counts.ldtilecfg += 1;
            }
            (0, 0x49, Operand::Register(0)) if reg == 0 && vvvv == 0 => {
                *tiles = zeroed();
                counts.tilerelease += 1;
            }
            (3, 0x49, Operand::Register(0)) if vvvv == 0 => {
                usable(tiles, reg);
                tiles.values[reg] = zeroed();
                counts.tilezero += 1;
            }
            (3, 0x4b, &Operand::Memory(at, Some(stride))) if vvvv == 0 => {
                usable(tiles, reg);
                let mut values: [[u8; ROW_BYTES]; ROWS] = zeroed();
                for (row, to) in values.iter_mut().take(tiles.rows[reg]).enumerate() {
                    let from = at.wrapping_add(row.wrapping_mul(stride)) as *const u8;
                    to.as_mut_ptr().copy_from_nonoverlapping(from, tiles.row_bytes[reg]);
                }
                tiles.values[reg] = values;
                counts.tileloadd += 1;
            }
            (2, 0x4b, &Operand::Memory(at, Some(stride))) if vvvv == 0 => {
                usable(tiles, reg);
                for (row, from) in tiles.values[reg].iter().take(tiles.rows[reg]).enumerate() {
                    let to = at.wrapping_add(row.wrapping_mul(stride)) as *mut u8;
                    to.copy_from_nonoverlapping(from.as_ptr(), tiles.row_bytes[reg]);
                }
                counts.tilestored += 1;
            }
            (2, 0x5c, &Operand::Register(a)) => {
                multiply(tiles, reg, a, vvvv);
                counts.tdpbf16ps += 1;
            }
            _ => fault("an instruction that it does not know"),
        }
    }
    COUNTS.set(counts);
}

fn usable(tiles: &TileRegisters, tile: usize) {
    require(tile < 8, "there are eight tiles");
    require(tiles.configured && tiles.rows[tile] > 0, "a tile that is not configured");
}

/// LDTILECFG.
///
/// # Safety
/// 64 bytes at `from`.
unsafe fn configure(tiles: &mut TileRegisters, from: *const u8) {
    // SAFETY: the caller's; a zeroed `Tiles` is one.
    unsafe {
        let config = &*from.cast::<[u8; 64]>();
        require(config[0] == 1, "a palette other than 1");
        require(config[1] == 0, "a start row, which nothing here needs");
        let reserved = config[2..16].iter().chain(&config[32..48]).chain(&config[56..]);
        require(reserved.into_iter().all(|&byte| byte == 0), "reserved bytes of a configuration that are not zero");
        write_bytes(tiles, 0, 1);
        for tile in 0..8 {
            let (rows, row_bytes) =
                (usize::from(config[48 + tile]), from.add(16 + 2 * tile).cast::<u16>().read_unaligned());
            let row_bytes = usize::from(row_bytes);
            require(rows <= ROWS && row_bytes <= ROW_BYTES, "a tile that is too large");
            require((rows == 0) == (row_bytes == 0), "a tile with rows but no columns, or the other way round");
            (tiles.rows[tile], tiles.row_bytes[tile]) = (rows, row_bytes);
        }
        tiles.configured = true;
    }
}

/// TDPBF16PS: sums of the even and of the odd members of the pairs, each by fused multiplications and additions; then
/// both are added, and their sum to the accumulator. Subnormal numbers are read and written as zeros.
///
/// # Safety
/// AVX-512.
unsafe fn multiply(tiles: &mut TileRegisters, c: usize, a: usize, b: usize) {
    [c, a, b].into_iter().for_each(|tile| usable(tiles, tile));
    require(a != b && b != c && a != c, "tdpbf16ps with the same tile twice");
    require([c, a, b].into_iter().all(|tile| tiles.row_bytes[tile].is_multiple_of(4)), "tdpbf16ps of half a word");
    require(tiles.rows[c] == tiles.rows[a], "tdpbf16ps of wrong shapes: rows of the sums and of the first factor");
    require(tiles.row_bytes[a] / 4 == tiles.rows[b], "tdpbf16ps of wrong shapes: pairs of both factors");
    require(
        tiles.row_bytes[c] == tiles.row_bytes[b],
        "tdpbf16ps of wrong shapes: columns of the sums and of the second factor",
    );
    // SAFETY: the caller's.
    unsafe { sums(tiles, c, a, b) };
}

/// # Safety
/// AVX-512.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn sums(tiles: &mut TileRegisters, c: usize, a: usize, b: usize) {
    // 0x20: subnormal.
    let flush = |x: __m512| {
        let sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0));
        _mm512_mask_mov_ps(x, _mm512_fpclass_ps_mask::<0x20>(x), sign)
    };
    let even = |words: __m512i| flush(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)));
    let odd = |words: __m512i| flush(_mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(-0x1_0000))));
    let columns = ((1u32 << (tiles.row_bytes[c] / 4)) - 1) as __mmask16;
    for row in 0..tiles.rows[c] {
        // SAFETY: a tile has these rows of 64 bytes.
        unsafe {
            let (mut evens, mut odds) = (_mm512_setzero_ps(), _mm512_setzero_ps());
            for pair in 0..tiles.rows[b] {
                let x = _mm512_set1_epi32(tiles.values[a][row].as_ptr().cast::<i32>().add(pair).read_unaligned());
                let w = _mm512_loadu_si512(tiles.values[b][pair].as_ptr().cast());
                evens = flush(_mm512_fmadd_ps(even(x), even(w), evens));
                odds = flush(_mm512_fmadd_ps(odd(x), odd(w), odds));
            }
            let to = tiles.values[c][row].as_mut_ptr().cast::<f32>();
            let sum = flush(_mm512_add_ps(flush(_mm512_loadu_ps(to)), flush(_mm512_add_ps(evens, odds))));
            _mm512_storeu_ps(to, _mm512_maskz_mov_ps(columns, sum));
        }
    }
    const { assert!(size_of::<[[u8; ROW_BYTES]; ROWS]>() == 1024) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::super::tiles::{Tiles, configure, release, two};
    use super::super::{is_available, is_on_this_machine};
    use super::*;
    use crate::kernels::product::peak::multiply_in_registers;
    use crate::kernels::testing::noise;
    use crate::kernels::{ActivationFn, Element, Isa, Linear, Matrix, product, product::Then};

    /// Returns the name by which the test harness knows a test of this file.
    const ITSELF: &str = "kernels::product::amx::emulated::tests::wrong_shapes_fault";

    #[test]
    fn wrong_shapes_fault() {
        if !is_available() {
            return println!("no AMX, and no AVX-512 to emulate it with");
        }
        if std::env::var_os("ZSIC_TEST_OF_A_FAULT").is_some() {
            let values = [0f32; 1024];
            let mut sums = [0f32; 1024];
            let (x, sums) = (values.as_ptr(), sums.as_mut_ptr());
            let tiles = Tiles { upper: x, lower: x, stride: 64, b: x, blocks: 1, next: x, lines: 0, sums };
            // SAFETY: the values are there. The test is that the tiles of the lower rows are not configured.
            unsafe {
                configure(16);
                two(tiles);
            }
            panic!("products of tiles that are not configured went through");
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", ITSELF, "--nocapture"]).env("ZSIC_TEST_OF_A_FAULT", "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = if is_on_this_machine() { libc::SIGILL } else { libc::SIGABRT };
        assert_eq!(output.status.signal(), Some(expected), "{said}");
        assert!(is_on_this_machine() || said.contains("AMX emulator: a tile that is not configured"), "{said}");
    }

    #[test]
    fn a_product_is_just_these_instructions() {
        if !is_available() || is_on_this_machine() {
            return println!("real AMX, or none: nothing to count");
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        // 83 rows are three pairs of tiles; 70 columns are three panels; 50 values are two blocks.
        let (m, k, n) = (83, 50, 70);
        for (element, parts) in [(Element::Bf16, 1), (Element::Split, 2)] {
            let mut linear = Linear::new(Isa::Amx, element, k, n);
            linear.pack_rows(0, &noise(n * k, 1));
            let (mut x, mut y) = (Matrix::new(element), Matrix::new(Element::F32));
            x.shape(m, k);
            let done = pool.install(|| {
                let before = counts();
                product(&x, &linear, &mut y, Then::Store(ActivationFn::None));
                let after = counts();
                // The number of tasks is arbitrary.
                let tasks = after.tilerelease - before.tilerelease;
                assert!(tasks > 0 && after.ldtilecfg - before.ldtilecfg == tasks);
                (
                    after.tilezero - before.tilezero,
                    after.tilestored - before.tilestored,
                    after.tileloadd - before.tileloadd,
                    after.tdpbf16ps - before.tdpbf16ps,
                )
            });
            // Tiles of sums: six of up to 16 rows, by two of each of three panels, with two blocks of k.
            let (sums, pairs) = (6 * 2 * 3, 3 * 3 * 2);
            let products = if parts == 1 { sums * 2 } else { sums * 2 * 3 };
            let loads = if parts == 1 { pairs * 4 } else { pairs * 8 };
            assert_eq!(done, (sums, sums, loads, products), "{element:?}");
        }
    }

    #[test]
    fn the_peak_is_a_dozen_products_a_step() {
        if !is_available() || is_on_this_machine() {
            return println!("real AMX, or none: nothing to count");
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for (element, products) in [(Element::Bf16, 12), (Element::Split, 4)] {
            let (done, operations) = pool.install(|| {
                let before = counts().tdpbf16ps;
                let operations = multiply_in_registers(Isa::Amx, element, 5);
                (counts().tdpbf16ps - before, operations)
            });
            assert_eq!((done, operations), (5 * 12, 5 * products * 2 * 16 * 16 * 32));
        }
    }

    #[test]
    fn one_tile_is_what_the_manual_says() {
        if !is_available() {
            return println!("no AMX, and no AVX-512 to emulate it with");
        }
        println!("AMX is {}", if is_on_this_machine() { "the machine's" } else { "emulated" });
        let half = |x: f32| x.to_bits() >> 16;
        let pair = |even: f32, odd: f32| f32::from_bits(half(even) | half(odd) << 16);
        let tiny = f32::from_bits(0x0040_0000); // subnormal
        // One row by one column of many, pair by pair.
        for (pairs, weights, want) in [
            (vec![(1.0, 2.0)], vec![(3.0, 4.0)], 11.0),
            // Subnormal factors count as zeros, and so do subnormal products.
            (vec![(tiny, 1.0)], vec![(1e30, 2.0)], 2.0),
            (vec![(2f32.powi(-70), 0.0)], vec![(2f32.powi(-70), 0.0)], 0.0),
            // A lone 2^-24 beside 1 is lost in a sum.
            (vec![(1.0, 0.0), (2f32.powi(-24), 0.0), (2f32.powi(-24), 0.0)], vec![(1.0, 1.0); 3], 1.0),
            // Two of them in the odd sum are added to it first. Nothing here relies on that order.
            (vec![(1.0, 0.0), (0.0, 2f32.powi(-24)), (0.0, 2f32.powi(-24))], vec![(1.0, 1.0); 3], 1.0 + 2f32.powi(-23)),
        ] {
            let (mut x, mut w, mut sums) = ([0f32; 512], [0f32; 512], [f32::NAN; 1024]);
            for (at, (&(even, odd), &(w_even, w_odd))) in pairs.iter().zip(&weights).enumerate() {
                x[at] = pair(even, odd);
                w[at * 16] = pair(w_even, w_odd);
            }
            let (x, b) = (x.as_ptr(), w.as_ptr());
            let tiles =
                Tiles { upper: x, lower: x, stride: 64, b, blocks: 1, next: b, lines: 0, sums: sums.as_mut_ptr() };
            // SAFETY: 16 rows of x and the two tiles of weights are there, and room for the sums.
            unsafe {
                configure(32);
                two(tiles);
                release();
            }
            if pairs.len() == 1 || !is_on_this_machine() {
                assert_eq!(sums[0].to_bits(), f32::to_bits(want), "{pairs:?} by {weights:?}: {}", sums[0]);
            }
            assert!(sums[1..].iter().filter(|&&sum| sum != 0.0).count() <= 1); // the lower rows are the same
        }
    }
}
