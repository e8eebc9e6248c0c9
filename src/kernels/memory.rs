//! Zeroed memory, aligned to cache lines. Large amounts come from the system in large pages, if it has them: one page
//! fault instead of hundreds, and faster address translation.

use super::shared::Shared;

/// Words of a cache line.
const LINE: usize = 16;
/// Bytes of a large page.
const LARGE: usize = 2 << 20;

/// Words that begin as zeros.
#[derive(Debug, Default)]
pub(super) struct Memory {
    heap: Vec<f32>,
    map: Option<Map>,
    /// Words before the first aligned one.
    start: usize,
    words: usize,
}

/// Memory from the system.
#[derive(Debug)]
struct Map {
    base: Shared<u8>,
    bytes: usize,
}

impl Memory {
    /// Returns `words` zeros, which cost nothing until they are touched.
    pub(super) fn zeroed(words: usize) -> Self {
        if 4 * words >= LARGE
            && let Some(map) = Map::new(4 * words + LARGE)
        {
            let start = map.base.get().align_offset(LARGE);
            map.advise(start, 4 * words);
            return Self { heap: Vec::new(), map: Some(map), start: start / 4, words };
        }
        let heap = vec![0.0; words + LINE];
        let start = heap.as_ptr().align_offset(4 * LINE).min(LINE);
        Self { heap, map: None, start, words }
    }

    /// Returns every word.
    pub(super) fn words(&self) -> &[f32] {
        match &self.map {
            // SAFETY: the map has as many bytes and one large page more, of which `start` is less; they are zeros, or
            // what was written through `words_mut`.
            Some(map) => unsafe {
                std::slice::from_raw_parts(map.base.get().cast::<f32>().add(self.start), self.words)
            },
            None => &self.heap[self.start..self.start + self.words],
        }
    }

    /// Returns every word.
    pub(super) fn words_mut(&mut self) -> &mut [f32] {
        match &self.map {
            // SAFETY: as in `words`, and nothing else has the map.
            Some(map) => unsafe {
                std::slice::from_raw_parts_mut(map.base.get().cast::<f32>().add(self.start), self.words)
            },
            None => &mut self.heap[self.start..self.start + self.words],
        }
    }
}

impl Map {
    /// Reserves memory, or returns None if the system has no more.
    fn new(bytes: usize) -> Option<Self> {
        Some(Self { base: Shared(reserve(bytes)?), bytes })
    }

    /// Asks for large pages where they are used completely, so that no page exceeds the used memory.
    fn advise(&self, start: usize, bytes: usize) {
        #[cfg(target_os = "linux")]
        // SAFETY: the range is within the map. Advice that is refused changes nothing.
        let _ = unsafe {
            let base = self.base.get().add(start);
            rustix::mm::madvise(base.cast(), bytes / LARGE * LARGE, rustix::mm::Advice::LinuxHugepage)
        };
        #[cfg(not(target_os = "linux"))]
        let _ = (start, bytes);
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this value owns the map, and nothing else points into it.
        unsafe { release(self.base.get(), self.bytes) };
    }
}

/// Returns zeroed memory, or None if the system has no more.
#[cfg(unix)]
fn reserve(bytes: usize) -> Option<*mut u8> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    // SAFETY: the system chooses a place that is free.
    let base =
        unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    base.ok().map(<*mut _>::cast)
}

/// Gives memory of `reserve` back. Nothing may point into it.
#[cfg(unix)]
unsafe fn release(base: *mut u8, bytes: usize) {
    // SAFETY: as the caller says.
    let _ = unsafe { rustix::mm::munmap(base.cast(), bytes) };
}

/// Returns zeroed memory, or None if the system has no more. On Windows it comes from the heap, which asks the system
/// for as much at once, without large pages: those need a privilege there.
#[cfg(windows)]
fn reserve(bytes: usize) -> Option<*mut u8> {
    // SAFETY: the layout is larger than nothing.
    let base = unsafe { std::alloc::alloc_zeroed(layout(bytes)) };
    (!base.is_null()).then_some(base)
}

/// Gives memory of `reserve` back. Nothing may point into it.
#[cfg(windows)]
unsafe fn release(base: *mut u8, bytes: usize) {
    // SAFETY: as the caller says.
    unsafe { std::alloc::dealloc(base, layout(bytes)) }
}

#[cfg(windows)]
fn layout(bytes: usize) -> std::alloc::Layout {
    std::alloc::Layout::array::<[f32; LINE]>(bytes.div_ceil(4 * LINE)).unwrap_or(std::alloc::Layout::new::<u8>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_and_aligned_however_large() {
        for words in [0, 1, 1000, LARGE / 4 - 1, LARGE / 4, 3 * LARGE / 4 + 5] {
            let mut memory = Memory::zeroed(words);
            assert_eq!(memory.words().len(), words);
            assert!(memory.words().iter().all(|&word| word == 0.0), "{words}");
            assert_eq!(memory.words().as_ptr().align_offset(64), 0, "{words}");
            memory.words_mut().fill(1.0);
            assert!(memory.words().iter().all(|&word| word == 1.0), "{words}");
        }
    }
}
