//! Limits what an answer may have besides its body: headers, chunk marks and trailers. A server that sends them without
//! end is cut off.
//!
//! The HTTP library reads on while an answer makes no sense yet. So its connections count incoming bytes against the
//! reading thread's allowance; see [`Meter`].

use std::cell::Cell;
use std::io::{self, Read};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

/// Bytes that an answer may have before its body, including what is read ahead.
const ALLOWANCE: u64 = 1 << 20;
/// Bytes that may arrive for each byte of a body. A proxied connection counts them twice, and chunks have marks.
const FOR_EACH: u64 = 4;

thread_local! {
    /// The allowance of the answer that this thread reads; None while it reads none.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// An answer sent too much besides its body.
#[derive(Debug, thiserror::Error)]
#[error("its headers, chunks or trailers do not end")]
pub(super) struct Endless;

/// Counts the bytes of one answer.
#[derive(Debug)]
pub(super) struct Meter(u64);

impl Meter {
    pub fn new() -> Self {
        Self(ALLOWANCE)
    }

    /// Runs `read`, and subtracts the bytes that arrive from the allowance.
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

/// Makes connections that count incoming bytes.
#[derive(Debug, Default)]
pub(super) struct Counting(DefaultConnector);

impl Connector<()> for Counting {
    type Out = CountedTransport;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<CountedTransport>, Error> {
        Ok(self.0.connect(details, chained)?.map(CountedTransport))
    }
}

#[derive(Debug)]
pub(super) struct CountedTransport(Box<dyn Transport>);

impl Transport for CountedTransport {
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
