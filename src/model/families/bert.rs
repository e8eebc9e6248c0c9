//! BERT and its kin as text towers: the names of their weights, and their sizes. Families add a head.

use super::super::spec::{BlockSpec, Filling, HiddenAct, Mask, Order, Pool, PromptPool, TokenStem, TowerSpec};

/// BERT base: every token has a type, and the first row is pooled.
pub const BERT: TowerSpec<TokenStem> = TowerSpec {
    root: "text_model",
    stem: TokenStem {
        vocabulary: 30522,
        positions: 512,
        uncounted: None,
        types: true,
        length: usize::MAX,
        pool: PromptPool::First,
        filling: Filling::None,
        cuts: false,
    },
    pre_norm: Some("embeddings.LayerNorm"),
    blocks: BlockSpec {
        width: 768,
        mlp_width: 3072,
        heads: 12,
        layers: 12,
        act: HiddenAct::Gelu,
        eps: 1e-12,
        mask: Mask::None,
        order: Order::PostNorm,
    },
    post_norm: None,
    pool: Pool::Row,
    head: &[],
    dim: 512,
};

/// RoBERTa and XLM-RoBERTa base: positions begin after that of the padding.
pub const ROBERTA: TowerSpec<TokenStem> = TowerSpec {
    stem: TokenStem { vocabulary: 50265, positions: 514, uncounted: Some(1), ..BERT.stem },
    blocks: BlockSpec { eps: 1e-5, ..BERT.blocks },
    ..BERT
};

/// Its names, after those of the text tower.
pub const NAMES: &[(&str, &str)] = &[
    ("embeddings.word_embeddings.", "embeddings.token_embedding."),
    ("embeddings.position_embeddings.", "embeddings.position_embedding."),
    ("embeddings.token_type_embeddings.", "embeddings.token_type_embedding."),
    ("^text_model.encoder.layer.", "text_model.encoder.layers."),
    (".attention.self.query.", ".self_attn.q_proj."),
    (".attention.self.key.", ".self_attn.k_proj."),
    (".attention.self.value.", ".self_attn.v_proj."),
    (".attention.output.dense.", ".self_attn.out_proj."),
    (".attention.output.LayerNorm.", ".layer_norm1."),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
    (".output.LayerNorm.", ".layer_norm2."),
];
