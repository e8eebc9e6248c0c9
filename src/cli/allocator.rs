//! Ends the run with a message when the system has no more memory. The standard library would abort without one.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::fatal;

/// The system's allocator, which stops the run when memory runs out.
pub struct OrStop;

static IS_STOPPING: AtomicBool = AtomicBool::new(false);
thread_local!(static STOPS: Cell<bool> = const { Cell::new(false) });

/// Returns the memory, if there is any. The first thread without memory stops the run, and others wait for it.
fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() && bytes > 0 && !STOPS.get() {
        if !IS_STOPPING.swap(true, Ordering::SeqCst) {
            STOPS.set(true);
            fatal::out_of_memory(bytes);
        }
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
    pointer
}

/// Keeps glibc from reserving 64 MB of addresses per thread where addresses are limited. Call it first of all.
pub fn spare_addresses() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if super::available_memory::is_limited() {
        const ARENA_MAX: i32 = -8;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        // SAFETY: the arguments are numbers, and no other thread runs yet.
        unsafe { mallopt(ARENA_MAX, 1) };
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for OrStop {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        given(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
