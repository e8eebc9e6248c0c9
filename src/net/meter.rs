//! Bounds what an answer may have besides its body: heads, the marks between chunks, and trailers. A server that sends
//! them without end is cut off.
//!
//! The HTTP library reads on as long as an answer makes no sense yet. So its connections count what comes, against what
//! the thread that reads has left; see [`Meter`].

use std::cell::Cell;
use std::io::{self, Read};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

/// Bytes that an answer may have before its body, what is read ahead of that included.
const ALLOWANCE: u64 = 1 << 20;
/// Bytes that may come for each byte of a body. A proxied connection counts them twice, and chunks have marks.
const FOR_EACH: u64 = 4;

thread_local! {
    /// What the answer that this thread reads may still have; none where it reads none.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// An answer has too much besides its body.
#[derive(Debug, thiserror::Error)]
#[error("its headers, chunks or trailers have no end")]
pub(super) struct Endless;

/// Counts what one answer has.
#[derive(Debug)]
pub(super) struct Meter(u64);

impl Meter {
    pub fn new() -> Self {
        Self(ALLOWANCE)
    }

    /// Runs `read`, and takes what comes meanwhile from what is left.
    pub fn run<T>(&mut self, read: impl FnOnce() -> T) -> T {
        let outer = LEFT.replace(Some(self.0));
        let result = read();
        self.0 = LEFT.replace(outer).unwrap_or_default();
        result
    }

    /// Returns `body`, read under this meter.
    pub fn body(self, body: impl Read) -> impl Read {
        Metered { meter: self, body }
    }
}

struct Metered<R> {
    meter: Meter,
    body: R,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { meter, body } = self;
        let n = meter.run(|| body.read(buffer))?;
        meter.0 = meter.0.saturating_add(FOR_EACH * n as u64);
        Ok(n)
    }
}

/// Makes connections that count what comes.
#[derive(Debug, Default)]
pub(super) struct Counting(DefaultConnector);

impl Connector<()> for Counting {
    type Out = Counted;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<Counted>, Error> {
        Ok(self.0.connect(details, chained)?.map(Counted))
    }
}

#[derive(Debug)]
pub(super) struct Counted(Box<dyn Transport>);

impl Transport for Counted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.0.buffers().input().len();
        let has_more = self.0.await_input(timeout)?;
        let came = self.0.buffers().input().len().saturating_sub(before) as u64;
        let Some(left) = LEFT.get() else { return Ok(has_more) };
        LEFT.set(Some(left.saturating_sub(came)));
        if came > left { Err(Error::Other(Box::new(Endless))) } else { Ok(has_more) }
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
