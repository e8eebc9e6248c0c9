//! The names of a checkpoint's files. Every other file takes them from here: if a list missed a name, the cache could
//! return embeddings of another checkpoint.

/// The model's settings.
pub const CONFIG: &str = "config.json";
/// The model's and the image processor's settings as open_clip writes them.
pub const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";
/// The image processor's settings as transformers 5 writes them, under `image_processor`.
pub const NESTED_PROCESSOR: &str = "processor_config.json";
/// The image processor's settings as older versions write them.
pub const PROCESSOR: &str = "preprocessor_config.json";
/// A whole tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// The tokenizer's settings.
pub const TOKENIZER_SETTINGS: &str = "tokenizer_config.json";
/// Tokens with a role.
pub const SPECIAL_TOKENS: &str = "special_tokens_map.json";
/// Tokens beside the vocabulary.
pub const ADDED_TOKENS: &str = "added_tokens.json";
/// A vocabulary, read with [`MERGES`] if there is no [`TOKENIZER`].
pub const VOCABULARY: &str = "vocab.json";
/// A vocabulary's merges.
pub const MERGES: &str = "merges.txt";

/// A vocabulary as SentencePiece writes it.
pub const SENTENCEPIECE: &str = "spiece.model";

/// A vocabulary of word pieces, one per line.
pub const WORD_PIECES: &str = "vocab.txt";

/// The same, as XLM-RoBERTa's files have it.
pub const SENTENCEPIECE_BPE: &str = "sentencepiece.bpe.model";

/// Every file that settings may be in. Weights are beside them.
pub const SETTINGS: [&str; 13] = [
    CONFIG,
    OPEN_CLIP_CONFIG,
    WORD_PIECES,
    NESTED_PROCESSOR,
    PROCESSOR,
    TOKENIZER,
    TOKENIZER_SETTINGS,
    SPECIAL_TOKENS,
    ADDED_TOKENS,
    VOCABULARY,
    MERGES,
    SENTENCEPIECE,
    SENTENCEPIECE_BPE,
];

/// The sets of files that weights may be in, best first (the order of transformers). An index names its shards.
pub const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// The same for open_clip.
pub const OPEN_CLIP_WEIGHTS: [&str; 5] = [
    "open_clip_model.safetensors",
    "open_clip_model.safetensors.index.json",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.bin.index.json",
];
