//! Matrices on the GPU, and the way there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{
    CudaContext, CudaEvent, CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr, PinnedHostSlice, sys,
};
use rayon::prelude::*;

use super::{CudaResult, Gpu, Pointer};

/// Values of a group: a row has a whole number of them.
const GROUP: usize = 8;

/// How values are stored; see `forms.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// f32
    F32,
    /// bf16
    Bf16,
    /// f16
    F16,
    /// The sum of two f16: a row is [high | low | high], and a row of weights [high | high | low].
    Split,
}

impl Form {
    /// Returns its name in the kernels' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Split => "split",
        }
    }

    /// Returns the bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::Split => 6,
        }
    }

    /// Returns how a product of such values is stored that is not an operand itself.
    pub fn of_products(self) -> Self {
        if self == Self::Split { Self::F32 } else { self }
    }
}

/// Returns the values from the beginning of one row to the beginning of the next.
pub fn width(columns: usize) -> usize {
    columns.next_multiple_of(GROUP)
}

/// Returns rows of `columns` values in whole groups, filled with zeros.
pub fn padded(rows: &[f32], columns: usize) -> Vec<f32> {
    if columns == width(columns) {
        return rows.to_vec();
    }
    let row = |row: &[f32]| row.iter().copied().chain(std::iter::repeat_n(0.0, width(columns) - columns)).collect();
    rows.chunks_exact(columns).flat_map::<Vec<f32>, _>(row).collect()
}

/// A matrix. It keeps its memory when it shrinks.
#[derive(Debug)]
pub struct Matrix {
    form: Form,
    rows: usize,
    columns: usize,
    memory: Option<CudaSlice<u8>>,
}

impl Matrix {
    /// Creates an empty one.
    pub fn new(form: Form) -> Self {
        Self { form, rows: 0, columns: 0, memory: None }
    }

    /// Gives it a shape. Its values are unspecified then.
    pub fn shape(&mut self, gpu: &Gpu, rows: usize, columns: usize) -> CudaResult<()> {
        let bytes = rows * width(columns) * self.form.bytes();
        if self.memory.as_ref().is_none_or(|memory| memory.len() < bytes) {
            self.memory = None; // before more is asked for
            // SAFETY: each kernel and product writes all that later ones read.
            self.memory = Some(unsafe { gpu.stream.alloc(bytes.max(1)) }?);
        }
        (self.rows, self.columns) = (rows, columns);
        Ok(())
    }

    fn size(&self) -> usize {
        self.rows * self.width() * self.form.bytes()
    }

    /// Returns how its values are stored.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns its rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the values of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the values of a row, those that fill its last group included.
    pub fn width(&self) -> usize {
        width(self.columns)
    }

    /// Returns where it is: 0 before it had a shape.
    pub(super) fn pointer(&self) -> Pointer {
        self.memory.as_ref().map_or(0, |memory| memory.device_ptr(memory.stream()).0)
    }

    pub(super) fn bytes(&self) -> CudaView<'_, u8> {
        self.memory.as_ref().expect("a matrix with a shape").slice(..self.size())
    }

    pub(super) fn bytes_mut(&mut self) -> CudaViewMut<'_, u8> {
        let size = self.size();
        self.memory.as_mut().expect("a matrix with a shape").slice_mut(..size)
    }
}

/// Has the driver keep memory that is freed: taking it again is then as quick as any kernel.
pub(super) fn keep_freed(context: &Arc<CudaContext>) -> CudaResult<()> {
    if !context.has_async_alloc() {
        return Ok(()); // there is no pool
    }
    context.bind_to_thread()?;
    let (mut pool, mut all) = (std::ptr::null_mut(), u64::MAX);
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device is the context's, and the value of this attribute has 64 bits.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()).result()?;
        sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast()).result()?;
    }
    Ok(())
}

/// Ways to the GPU: while the bytes of one are worked on, those of the next are copied. Threads take one each.
#[derive(Debug)]
pub struct Upload {
    /// Copies run beside the kernels.
    copies: Arc<CudaStream>,
    free: Mutex<VecDeque<Way>>,
}

/// Memory on both sides.
#[derive(Debug, Default)]
struct Way {
    host: Option<PinnedHostSlice<u8>>,
    device: Option<CudaSlice<u8>>,
    /// When the host's bytes have been copied. (The events of cudarc's own are off.)
    copied: Option<CudaEvent>,
    /// When the kernels have read the device's.
    read: Option<CudaEvent>,
}

impl Upload {
    pub(super) fn new(stream: &Arc<CudaStream>) -> CudaResult<Self> {
        let free = Mutex::new([Way::default(), Way::default()].into());
        Ok(Self { copies: stream.context().new_stream()?, free })
    }

    fn free(&self) -> MutexGuard<'_, VecDeque<Way>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies slices to the GPU, one behind the other, and has `work` started on them in `stream`.
    pub(super) fn all(
        &self,
        stream: &Arc<CudaStream>,
        slices: &[&[u8]],
        work: impl FnOnce(&CudaSlice<u8>) -> CudaResult<()>,
    ) -> CudaResult<()> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut way = self.free().pop_front().unwrap_or_default();
        if let Some(copied) = &way.copied {
            copied.synchronize()?;
        }
        if way.host.as_ref().is_none_or(|host| host.len() < length) {
            way = Way::default();
            // SAFETY: both are written before they are read. The device's memory that is freed here was read by kernels in
            // the stream that frees it.
            way.host = Some(unsafe { stream.context().alloc_pinned(length.max(1)) }?);
            way.device = Some(unsafe { stream.alloc(length.max(1)) }?);
            self.copies.join(stream)?;
        }
        let (Some(host), Some(device)) = (&mut way.host, &mut way.device) else { unreachable!("made above") };
        fill(host.as_mut_slice()?, slices);
        if let Some(read) = &way.read {
            self.copies.wait(read)?;
        }
        self.copies.memcpy_htod(host, device)?;
        way.copied = Some(self.copies.record_event(None)?);
        stream.join(&self.copies)?;
        work(device)?;
        way.read = Some(stream.record_event(None)?);
        self.free().push_back(way);
        Ok(())
    }
}

/// Writes slices one behind the other.
fn fill(mut to: &mut [u8], slices: &[&[u8]]) {
    let mut parts = Vec::with_capacity(slices.len());
    for slice in slices {
        let (part, rest) = to.split_at_mut(slice.len());
        parts.push((part, *slice));
        to = rest;
    }
    parts.into_par_iter().for_each(|(to, from)| to.copy_from_slice(from));
}
