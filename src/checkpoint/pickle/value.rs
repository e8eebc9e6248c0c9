//! The values that a state dict's pickle makes, and the only globals it may name.

use std::sync::Arc;

use safetensors::Dtype;

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
pub struct View {
    pub storage: Storage,
    /// The first value's place in the storage, in values.
    pub offset: u64,
    pub shape: Vec<usize>,
    /// Values between neighbours along each dimension.
    pub strides: Vec<usize>,
}

/// A run of values in the file.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Its name: in a zip, that of the entry below `data/`.
    pub key: Arc<str>,
    pub dtype: Dtype,
    /// Values.
    pub length: u64,
}

pub type Id = u32;

/// A value on the machine's stack.
#[derive(Debug, Clone)]
pub enum Value {
    Nothing,
    Int(i64),
    Text(Arc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
}

/// The only globals a state dict may name.
#[derive(Debug, Clone, Copy)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// Returns the global of this name.
pub fn global(module: &str, name: &str) -> Result<Global, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
        ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
        ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
        ("torch", "LongStorage") => Global::Storage(Dtype::I64),
        ("torch", "IntStorage") => Global::Storage(Dtype::I32),
        ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
        ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
        _ => return Err(format!("its pickle asks for `{module}.{name}`, which no table of weights needs; refused")),
    })
}
