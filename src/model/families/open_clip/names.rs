//! The names that open_clip, timm and transformers give the weights of a checkpoint in open_clip's layout.

use super::super::bert;
use crate::checkpoint::recipe::{IN_PROJ, Recipe, View};

/// The names of its weights.
pub const RECIPE: Recipe = Recipe { views: &[IN_PROJ, VIEWS], names: &[TEXT, bert::NAMES, IMAGE, BLOCKS] };

const VIEWS: &[(&str, View)] = &[
    ("qkv.weight", View::Parts(&["q_proj.weight", "k_proj.weight", "v_proj.weight"])),
    ("qkv.bias", View::Parts(&["q_proj.bias", "k_proj.bias", "v_proj.bias"])),
    ("attn_pool.kv.weight", View::Parts(&["attn_pool.k.weight", "attn_pool.v.weight"])),
    ("attn_pool.kv.bias", View::Parts(&["attn_pool.k.bias", "attn_pool.v.bias"])),
    ("text_projection", View::Transposed("text_projection.weight")),
    ("visual.proj", View::Transposed("visual.proj.weight")),
    ("trunk.cls_token", View::Vector),
    ("trunk.pos_embed", View::Matrix),
];

/// Text towers. Newer files put `text.` before the names of open_clip's own.
const TEXT: &[(&str, &str)] = &[
    ("^text.transformer.resblocks.", "text_model.encoder.layers."),
    ("^text.transformer.", "text_model."),
    ("^text.proj.", "text_projection."),
    ("^text.", ""),
    ("^transformer.resblocks.", "text_model.encoder.layers."),
    ("^token_embedding.", "text_model.embeddings.token_embedding."),
    ("^positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("^ln_final.", "text_model.final_layer_norm."),
];

/// Image towers, open_clip's own and timm's.
const IMAGE: &[(&str, &str)] = &[
    ("^visual.proj.", "visual_projection."),
    ("^visual.head.proj.", "visual_projection."),
    ("^visual.head.mlp.", "visual_projection."),
    ("^visual.trunk.head.", "visual_projection."),
    ("^visual.trunk.", "vision_model."),
    ("^visual.", "vision_model."),
    ("^vision_model.transformer.resblocks.", "vision_model.encoder.layers."),
    ("^vision_model.blocks.", "vision_model.encoder.layers."),
    ("^vision_model.class_embedding", "vision_model.embeddings.class_embedding"),
    ("^vision_model.cls_token", "vision_model.embeddings.class_embedding"),
    ("^vision_model.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("^vision_model.pos_embed", "vision_model.embeddings.position_embedding.weight"),
    ("^vision_model.conv1.", "vision_model.embeddings.patch_embedding."),
    ("^vision_model.patch_embed.proj.", "vision_model.embeddings.patch_embedding."),
    ("^vision_model.ln_pre.", "vision_model.pre_layrnorm."),
    ("^vision_model.norm_pre.", "vision_model.pre_layrnorm."),
    ("^vision_model.ln_post.", "vision_model.post_layernorm."),
    ("^vision_model.norm.", "vision_model.post_layernorm."),
    ("^vision_model.attn_pool.latent", "vision_model.head.probe"),
    ("^vision_model.attn_pool.q.", "vision_model.head.attention.q_proj."),
    ("^vision_model.attn_pool.k.", "vision_model.head.attention.k_proj."),
    ("^vision_model.attn_pool.v.", "vision_model.head.attention.v_proj."),
    ("^vision_model.attn_pool.proj.", "vision_model.head.attention.out_proj."),
    ("^vision_model.attn_pool.norm.", "vision_model.head.layernorm."),
    ("^vision_model.attn_pool.mlp.", "vision_model.head.mlp."),
];

/// The blocks of open_clip's own towers and of timm's.
const BLOCKS: &[(&str, &str)] = &[
    (".attn.proj.", ".self_attn.out_proj."),
    (".attn.", ".self_attn."),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
];
