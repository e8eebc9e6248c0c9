//! The messages of a `.model` file.

use prost::Message;

use crate::text::sentencepiece::list::PieceKind;

/// The file (sentencepiece_model.proto). Absent fields have the defaults of that file.
#[derive(Message)]
pub struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<PieceProto>,
    #[prost(message, optional, tag = "2")]
    pub trainer: Option<TrainerProto>,
    #[prost(message, optional, tag = "3")]
    pub normalizer: Option<NormalizerProto>,
}

#[derive(Message)]
pub struct PieceProto {
    #[prost(string, tag = "1")]
    pub piece: String,
    #[prost(float, tag = "2")]
    pub score: f32,
    #[prost(enumeration = "PieceKind", optional, tag = "3")]
    pub kind: Option<i32>,
}

#[derive(Message)]
pub struct TrainerProto {
    #[prost(int32, optional, tag = "3")]
    pub model_type: Option<i32>,
    #[prost(bool, tag = "24")]
    pub treat_whitespace_as_suffix: bool,
    #[prost(bool, tag = "35")]
    pub byte_fallback: bool,
}

#[derive(Message)]
pub struct NormalizerProto {
    #[prost(bytes = "vec", tag = "2")]
    pub precompiled_charsmap: Vec<u8>,
    #[prost(bool, optional, tag = "3")]
    pub add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub escape_whitespaces: Option<bool>,
}
