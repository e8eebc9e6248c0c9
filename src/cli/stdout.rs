//! Standard output, if there is one. Where a process begins without, the standard library opens `/dev/null` in its place,
//! and all that is written would be lost without a word: so it is looked at before that.

use std::io::{Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

static IS_CLOSED: AtomicBool = AtomicBool::new(false);

ctor::declarative::ctor! {
    #[ctor(unsafe)]
    fn look() {
        IS_CLOSED.store(rustix::io::fcntl_getfd(stdout()).is_err(), Ordering::Relaxed);
    }
}

/// Standard output, for results.
///
/// # Errors
/// If whoever started us closed it.
pub fn open() -> Result<Stdout> {
    if IS_CLOSED.load(Ordering::Relaxed) {
        bail!("standard output: cannot be written: it is closed; a file or a pipe takes what is written");
    }
    Ok(stdout())
}
