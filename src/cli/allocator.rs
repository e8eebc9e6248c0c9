//! Memory that the system does not give ends the run with a line that says so. The standard library would abort, without a
//! word that helps anybody.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{fatal, memory};

/// The system's allocator, which stops the run where it has nothing more to give.
pub struct OrStop;

static IS_STOPPING: AtomicBool = AtomicBool::new(false);
thread_local!(static STOPS: Cell<bool> = const { Cell::new(false) });

/// The memory, if there is any. The first thread without stops the run, and others wait for it.
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

/// Keeps glibc from reserving 64 MB of addresses for each thread, where addresses are limited. To be called first of all.
pub fn spare_addresses() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if memory::is_limited() {
        const ARENA_MAX: i32 = -8;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        // SAFETY: it takes numbers only, and no other thread runs yet.
        unsafe { mallopt(ARENA_MAX, 1) };
    }
}

// SAFETY: every call goes to the system's allocator as it came.
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
