//! CLIP's two towers, as transformers names them (`CLIPVisionModelWithProjection`, `CLIPTextModelWithProjection`). How
//! they are computed is not here.

use super::config::{TextConfig, VisionConfig};
use super::encoder::{EncoderSpec, Mask};
use super::rows::Prompt;
use super::tower::{Items, LinearSpec, Load, Loaded, Parts, Stem, Tower};
use crate::preprocess::Normalizer;
use crate::{Checkpoint, Compute, Pixels, Result};

/// Pixels -> projected image features.
#[derive(Debug)]
pub struct VisionTower {
    tower: Loaded,
    image_size: usize,
    dim: usize,
}

impl VisionTower {
    /// Loads `vision_model` and `visual_projection`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint, compute: &Compute) -> Result<Self> {
        Ok(Self {
            tower: Loaded::load(&Vision(checkpoint), compute)?,
            image_size: checkpoint.config().vision.image_size,
            dim: checkpoint.config().projection_dim,
        })
    }

    /// The side of the square that it takes, in pixels.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Encodes a batch of pixels: [B, D], row after row, not yet unit length.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, pixels: &[Pixels], normalizer: &Normalizer) -> Result<Vec<f32>> {
        self.tower.encode(Items::Images(pixels, normalizer))
    }
}

/// The image tower of a checkpoint, to be loaded.
struct Vision<'a>(&'a Checkpoint);

impl Load for Vision<'_> {
    fn load<P: Parts>(&self, parts: &P) -> Result<Tower<P>> {
        let config = &self.0.config().vision;
        let (width, patch) = (config.hidden_size, config.patch_size);
        let root = self.0.weights().root();
        let model = root.pp("vision_model");
        let embeddings = model.pp("embeddings");
        let spec = vision_spec(config);
        let kernel =
            LinearSpec { names: &["patch_embedding"], shape: &[width, 3, patch, patch], bias: false, exact: true };
        let projection = [self.0.config().projection_dim, width];
        let projection = LinearSpec { names: &["visual_projection"], shape: &projection, bias: false, exact: true };
        let positions = [1 + config.grid() * config.grid(), width];
        Ok(Tower {
            stem: Stem::Patches {
                class: parts.table(&embeddings, "class_embedding", &[width], width)?,
                kernel: parts.linear(&embeddings, &kernel)?,
                positions: parts.table(&embeddings, "position_embedding.weight", &positions, width)?,
                patch,
            },
            pre_norm: Some(parts.norm(&model.pp("pre_layrnorm"), width, spec.eps)?), // the checkpoints' own spelling
            blocks: spec.load(&model.pp("encoder"), parts)?,
            post_norm: parts.norm(&model.pp("post_layernorm"), width, spec.eps)?,
            projection: parts.linear(&root, &projection)?,
            spec,
        })
    }
}

fn vision_spec(config: &VisionConfig) -> EncoderSpec {
    EncoderSpec {
        width: config.hidden_size,
        mlp_width: config.intermediate_size,
        heads: config.num_attention_heads,
        layers: config.num_hidden_layers,
        act: config.hidden_act,
        eps: config.layer_norm_eps,
        mask: Mask::None,
    }
}

/// Token ids -> projected text features.
#[derive(Debug)]
pub struct TextTower {
    tower: Loaded,
    positions: usize,
    vocabulary: usize,
    dim: usize,
    pooling: Pooling,
}

impl TextTower {
    /// Loads `text_model` and `text_projection`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint, compute: &Compute) -> Result<Self> {
        let config = &checkpoint.config().text;
        Ok(Self {
            tower: Loaded::load(&Text(checkpoint), compute)?,
            positions: config.max_position_embeddings,
            vocabulary: config.vocab_size,
            dim: checkpoint.config().projection_dim,
            pooling: Pooling::of(config),
        })
    }

    /// Positions: the longest prompt in tokens.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns the prompts of `ids` and what stands for each. The mask is causal, so what might follow that cannot change
    /// its features, and nothing is padded: but where `padding` is given, it may stand for prompts that are shorter than
    /// the longest.
    pub fn prompts(&self, ids: &[Vec<u32>], padding: Option<u32>) -> Vec<Prompt> {
        let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
        let prompt = |ids: &Vec<u32>| self.pooling.prompt(ids, padding.filter(|_| ids.len() < longest));
        ids.iter().map(prompt).collect()
    }

    /// Returns true if `padding` behind the tokens `ids` would be taken for their end.
    pub fn ends_at(&self, ids: &[u32], padding: u32) -> bool {
        self.pooling.prompt(ids, Some(padding)).padded
    }

    /// Prompts in batches for [`Self::forward`], as indices.
    pub fn batches(&self, prompts: &[Prompt]) -> Vec<Vec<usize>> {
        self.tower.batches(prompts)
    }

    /// Encodes prompts that [`Self::batches`] puts together: [B, D], row after row, not yet unit length.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, prompts: &[&Prompt]) -> Result<Vec<f32>> {
        self.tower.encode(Items::Prompts(prompts))
    }
}

/// The text tower of a checkpoint, to be loaded.
struct Text<'a>(&'a Checkpoint);

impl Load for Text<'_> {
    fn load<P: Parts>(&self, parts: &P) -> Result<Tower<P>> {
        let config = &self.0.config().text;
        let width = config.hidden_size;
        let root = self.0.weights().root();
        let model = root.pp("text_model");
        let embeddings = model.pp("embeddings");
        let spec = text_spec(config);
        let projection = [self.0.config().projection_dim, width];
        let projection = LinearSpec { names: &["text_projection"], shape: &projection, bias: false, exact: true };
        let positions = [config.max_position_embeddings, width];
        Ok(Tower {
            stem: Stem::Tokens {
                tokens: parts.lookup(&embeddings, "token_embedding.weight", [config.vocab_size, width])?,
                positions: parts.table(&embeddings, "position_embedding.weight", &positions, width)?,
            },
            pre_norm: None,
            blocks: spec.load(&model.pp("encoder"), parts)?,
            post_norm: parts.norm(&model.pp("final_layer_norm"), width, spec.eps)?,
            projection: parts.linear(&root, &projection)?,
            spec,
        })
    }
}

fn text_spec(config: &TextConfig) -> EncoderSpec {
    EncoderSpec {
        width: config.hidden_size,
        mlp_width: config.intermediate_size,
        heads: config.num_attention_heads,
        layers: config.num_hidden_layers,
        act: config.hidden_act,
        eps: config.layer_norm_eps,
        mask: Mask::Causal,
    }
}

/// Which position stands for the whole prompt.
#[derive(Debug, Clone, Copy)]
enum Pooling {
    /// The first of the largest id. Checkpoints from before the end token's id was written down correctly say 2, and
    /// are read so (transformers#24773).
    LargestId,
    /// The first of this id, or the start if it is absent.
    FirstOf(u32),
}

impl Pooling {
    fn of(config: &TextConfig) -> Self {
        match config.eos_token_id {
            2 => Self::LargestId,
            id => Self::FirstOf(id),
        }
    }

    /// The prompt of `ids`, with the `padding` that follows it if any does.
    fn prompt(self, ids: &[u32], padding: Option<u32>) -> Prompt {
        let mut ids = ids.to_vec();
        ids.extend(padding);
        let end = self.position(&ids);
        let padded = padding.is_some() && end + 1 == ids.len();
        if padding.is_some() && !padded {
            ids.pop();
        }
        Prompt { ids, end, padded }
    }

    fn position(self, ids: &[u32]) -> usize {
        let id = match self {
            Self::LargestId => ids.iter().copied().max().unwrap_or(0),
            Self::FirstOf(id) => id,
        };
        ids.iter().position(|&i| i == id).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_rules() {
        let ids = [7, 3, 9, 5, 9, 2];
        assert_eq!(Pooling::LargestId.position(&ids), 2);
        assert_eq!(Pooling::FirstOf(5).position(&ids), 3);
        assert_eq!(Pooling::FirstOf(99).position(&ids), 0);
    }

    #[test]
    fn padding_stands_for_a_prompt_where_the_rule_finds_it_first() {
        let ids = [7, 3, 9, 5];
        let whole = Prompt { ids: ids.to_vec(), end: 2, padded: false };
        let padded = |padding| Prompt { ids: [&ids[..], &[padding]].concat(), end: 4, padded: true };
        assert_eq!(Pooling::LargestId.prompt(&ids, None), whole);
        assert_eq!(Pooling::LargestId.prompt(&ids, Some(9)), whole);
        assert_eq!(Pooling::LargestId.prompt(&ids, Some(10)), padded(10));
        assert_eq!(Pooling::FirstOf(9).prompt(&ids, Some(9)), whole);
        assert_eq!(Pooling::FirstOf(2).prompt(&ids, Some(2)), padded(2));
        assert_eq!(Pooling::FirstOf(2).prompt(&ids, Some(10)).end, 0);
    }
}
