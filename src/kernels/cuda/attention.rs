//! Attention on the GPU; see `attention.cuh`.

use cudarc::driver::{CudaSlice, DeviceRepr, LaunchConfig, PushKernelArg};

use super::{CudaResult, Form, Gpu, Matrix, Pointer, failed};
use crate::kernels::Attends;

/// Values of the widest head.
pub const WIDEST_HEAD: usize = 128;
/// Dimensions of heads that the matrix units' kernels are made for, and whether for blocks of eight warps too.
const MADE_FOR: [(usize, bool); 6] = [(32, false), (64, true), (80, true), (96, false), (112, false), (128, false)];

/// Which rows attend to which, on the GPU.
#[derive(Debug)]
pub struct Attending {
    groups: CudaSlice<Group>,
    work: CudaSlice<Part>,
    /// Blocks for each head.
    blocks: usize,
    queries: usize,
    kernel: Kernel,
}

/// The kernel that computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// Products in f32.
    Plain,
    /// The matrix units, by the dimension of a head and the warps of a block.
    Matrix { dim: usize, warps: usize },
}

/// `Attending` of `attention.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Group {
    query: i32,
    queries: i32,
    key: i32,
    keys: i32,
    causal: i32,
    unused: i32,
}

/// `Part` of `attention.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Part {
    group: i32,
    first: i32,
}

/// `Heads` of `attention.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Heads {
    q: Pointer,
    kv: Pointer,
    out: Pointer,
    stride: i32,
    width: i32,
    dim: i32,
    scale: f32,
}

// SAFETY: plain numbers, laid out as in C.
unsafe impl DeviceRepr for Group {}
// SAFETY: as above.
unsafe impl DeviceRepr for Part {}
// SAFETY: as above.
unsafe impl DeviceRepr for Heads {}

/// Returns the form of queries, keys and values where products are of `form`.
pub fn heads_form(form: Form, dim: usize) -> Form {
    if dim.is_multiple_of(8) { form.of_products() } else { Form::F32 }
}

impl Gpu {
    /// Puts groups onto the GPU, for heads of `dim` values and operands of `form`.
    ///
    /// # Panics
    /// For heads of more than [`WIDEST_HEAD`] values.
    pub fn attending(&self, attends: &Attends, form: Form, dim: usize) -> CudaResult<Attending> {
        assert!(dim <= WIDEST_HEAD);
        let longest = attends.groups().map(|(queries, _)| queries.len()).max().unwrap_or(0);
        let made_for = MADE_FOR.into_iter().find(|(wide, _)| dim <= *wide);
        let kernel = match made_for {
            Some((wide, eight)) if form != Form::F32 && dim.is_multiple_of(8) => {
                Kernel::Matrix { dim: wide, warps: if eight && longest > 64 { 8 } else { 4 } }
            }
            _ => Kernel::Plain,
        };
        let together = match kernel {
            Kernel::Plain => 16,
            Kernel::Matrix { warps, .. } => warps * 16,
        };
        let (mut groups, mut work) = (Vec::new(), Vec::new());
        for (queries, keys) in attends.groups() {
            let (first, count) = (keys.first().copied().unwrap_or(0), keys.len());
            assert!(keys.iter().copied().eq(first..first + count as u32), "keys in sequence");
            let parts = queries.clone().step_by(together).map(|query| query - queries.start);
            work.extend(parts.map(|first| Part { group: groups.len() as i32, first: first as i32 }));
            groups.push(Group {
                query: queries.start as i32,
                queries: queries.len() as i32,
                key: first as i32,
                keys: count as i32,
                causal: i32::from(attends.is_causal()),
                unused: 0,
            });
        }
        let (blocks, queries) = (work.len(), attends.queries());
        Ok(Attending { groups: self.upload(&groups)?, work: self.upload(&work)?, blocks, queries, kernel })
    }

    /// Computes attention with `heads` heads: queries are the first third of the columns of `q`, keys and values the others of
    /// `kv`, which may be the same matrix. The result has a row per query, [Q, W].
    pub fn attention(
        &self,
        heads: usize,
        q: &Matrix,
        kv: &Matrix,
        attending: &Attending,
        y: &mut Matrix,
    ) -> CudaResult<()> {
        let width = kv.columns() / 3;
        let dim = width / heads;
        y.shape(self, attending.queries, width)?;
        let form = y.form().name();
        let (name, threads) = match attending.kernel {
            Kernel::Plain => (format!("attention_f32_{form}"), super::THREADS),
            Kernel::Matrix { dim, warps } => (format!("attention_{form}_{dim}_{warps}"), warps as u32 * 32),
        };
        let function = self.function(&name)?;
        let table = Heads {
            q: q.pointer(),
            kv: kv.pointer(),
            out: y.pointer(),
            stride: kv.width() as i32,
            width: width as i32,
            dim: dim as i32,
            scale: std::f32::consts::LOG2_E / (dim as f32).sqrt(),
        };
        let grid_dim = (attending.blocks as u32, heads as u32, 1);
        let config = LaunchConfig { grid_dim, block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&table).arg(&attending.groups).arg(&attending.work);
        // SAFETY: the groups' rows are those of the matrices, and the kernel is made for heads as wide or wider.
        unsafe { launch.launch(config) }.map_err(|e| failed(&name, e))?;
        Ok(())
    }
}
