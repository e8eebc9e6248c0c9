//! Packs weights into panels. Rows are read one panel at a time, on all threads: they are still in the cache when they
//! are packed, and only a panel is ever in memory twice.

use std::cell::RefCell;
use std::convert::Infallible;

use rayon::prelude::*;

use super::{Linear, width, word, words};
use crate::kernels::lanes::Lanes;
use crate::kernels::matrix::Buffer;
use crate::kernels::{Element, Isa, dispatch};

thread_local! {
    /// A panel's rows.
    static ROWS: RefCell<Buffer> = RefCell::default();
}

impl Linear {
    /// Packs `count` rows of W from `first` on. `read` fills row-major memory with some of them, counted from the
    /// first. It must not wait for other tasks of the pool.
    ///
    /// # Errors
    /// The error of `read`.
    ///
    /// # Panics
    /// If there are more rows than room.
    pub fn pack<E: Send>(
        &mut self,
        first: usize,
        count: usize,
        read: impl Fn(usize, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let rows = first..first + count;
        assert!(rows.end <= self.output);
        let (isa, element, input) = (self.isa, self.element, self.input);
        let (width, k) = (width(isa), words(isa, element, input));
        let panels = first / width..rows.end.div_ceil(width);
        let words = &mut self.panels.words_mut()[panels.start * k * width..panels.end * k * width];
        words.par_chunks_mut(k * width).zip(panels).try_for_each(|(panel, index)| {
            let mine = (index * width).max(rows.start)..((index + 1) * width).min(rows.end);
            ROWS.with_borrow_mut(|buffer| {
                buffer.reserve(mine.len() * input);
                let values = &mut buffer.words_mut()[..mine.len() * input];
                read(mine.start - first, values)?;
                pack_panel(isa, element, input, values, mine.start % width, panel);
                Ok(())
            })
        })
    }

    /// Packs row-major weights: the rows from `first` on of W.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn pack_rows(&mut self, first: usize, values: &[f32]) {
        let input = self.input;
        assert!(values.len().is_multiple_of(input));
        let read = |row: usize, out: &mut [f32]| {
            out.copy_from_slice(&values[row * input..][..out.len()]);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.pack(first, values.len() / input, read);
    }
}

/// Packs rows as the columns of a panel from `column` on. Overwrites the rows.
fn pack_panel(isa: Isa, element: Element, input: usize, rows: &mut [f32], column: usize, panel: &mut [f32]) {
    let (width, k, count) = (width(isa), words(isa, element, input), rows.len() / input);
    assert!(column + count <= width && panel.len() == k * width);
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        for (row, values) in rows.chunks_exact(input).enumerate() {
            // SAFETY: `Linear::new` saw that the machine has AVX-512 too.
            unsafe { super::amx::pack(values, column + row, element, panel) };
        }
        return;
    }
    let (from, to) = (rows.as_mut_ptr(), panel.as_mut_ptr());
    dispatch!(
        isa,
        for (row, values) in rows.chunks_exact(input).enumerate() {
            (0..k).for_each(|at| panel[at * width + column + row] = word(values, at, element));
        },
        fast(from: *mut f32, count: usize, input: usize, element: Element, column: usize, to: *mut f32)
    );
}

/// # Safety
/// The instruction set; `count` rows of `input` values at `rows`, and a panel at `panel` that has as many columns from
/// `column` on.
#[inline(always)]
unsafe fn fast<V: Lanes>(rows: *mut f32, count: usize, input: usize, element: Element, column: usize, panel: *mut f32) {
    let (width, k) = (2 * V::N, element.words(input));
    let whole_rows = if column.is_multiple_of(V::N) { count - count % V::N } else { 0 };
    let whole_k = k - k % V::N;
    // SAFETY: the caller's; whole blocks end at the row's and the panel's ends.
    unsafe {
        if element == Element::Bf16 {
            (0..count).for_each(|row| halve::<V>(rows.add(row * input), input));
        }
        for at in (0..whole_k).step_by(V::N) {
            for row in (0..whole_rows).step_by(V::N) {
                let mut from = [std::ptr::null(); 16];
                for (i, from) in from[..V::N].iter_mut().enumerate() {
                    *from = rows.add((row + i) * input + at).cast_const();
                }
                V::transpose(&from, panel.add(at * width + column + row), width);
            }
        }
        for row in 0..count {
            for at in if row < whole_rows { whole_k } else { 0 }..k {
                *panel.add(at * width + column + row) = *rows.add(row * input + at);
            }
        }
    }
}

/// Converts a row of f32 to bf16 in place, two to a word.
///
/// # Safety
/// The instruction set; `count` values at `row`.
#[inline(always)]
unsafe fn halve<V: Lanes>(row: *mut f32, count: usize) {
    let halves = row.cast::<u16>();
    // SAFETY: the caller's; writes end at or before the end of the reads.
    unsafe {
        for at in (0..count).step_by(V::N) {
            let n = (count - at).min(V::N);
            V::load_upto(row.add(at), n).store_bf16(halves.add(at), n);
        }
        if count % 2 == 1 {
            *halves.add(count) = 0;
        }
    }
}
