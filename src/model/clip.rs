//! CLIP's two towers, as transformers names and computes them (`CLIPVisionModelWithProjection`,
//! `CLIPTextModelWithProjection`).

use candle_core::{Device, Tensor};

use super::config::TextConfig;
use super::encoder::{Encoder, EncoderSpec, LayerNorm, Mask, project};
use crate::preprocess::Normalizer;
use crate::{Checkpoint, Compute, Pixels, Result};

/// Pixels -> projected image features.
#[derive(Debug)]
pub struct VisionTower {
    class_embedding: Tensor,    // [1, 1, W]
    patch_embedding: Tensor,    // [W, C * P * P]
    position_embedding: Tensor, // [1 + N, W]
    pre_layrnorm: LayerNorm,    // the checkpoints' own spelling
    encoder: Encoder,
    post_layernorm: LayerNorm,
    visual_projection: Tensor, // [D, W]
    image_size: usize,
    patch_size: usize,
    device: Device,
}

impl VisionTower {
    /// Loads `vision_model` and `visual_projection`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint, compute: &Compute) -> Result<Self> {
        let config = &checkpoint.config().vision;
        let device = &compute.device;
        let (width, patch) = (config.hidden_size, config.patch_size);
        let root = checkpoint.weights().root();
        let model = root.pp("vision_model");
        let embeddings = model.pp("embeddings");
        let kernel = embeddings.tensor("patch_embedding.weight", &[width, 3, patch, patch], device)?;
        let positions = [1 + config.grid() * config.grid(), width];
        let spec = EncoderSpec {
            width,
            mlp_width: config.intermediate_size,
            heads: config.num_attention_heads,
            layers: config.num_hidden_layers,
            act: config.hidden_act,
            eps: config.layer_norm_eps,
            mask: Mask::None,
        };
        Ok(Self {
            class_embedding: embeddings.tensor("class_embedding", &[width], device)?.reshape((1, 1, width))?,
            patch_embedding: kernel.reshape((width, 3 * patch * patch))?,
            position_embedding: embeddings.tensor("position_embedding.weight", &positions, device)?,
            pre_layrnorm: LayerNorm::load(width, spec.eps, &model.pp("pre_layrnorm"), device)?,
            encoder: Encoder::load(&spec, &model.pp("encoder"), device)?,
            post_layernorm: LayerNorm::load(width, spec.eps, &model.pp("post_layernorm"), device)?,
            visual_projection: root.tensor(
                "visual_projection.weight",
                &[checkpoint.config().projection_dim, width],
                device,
            )?,
            image_size: config.image_size,
            patch_size: patch,
            device: device.clone(),
        })
    }

    /// The side of the square that it takes, in pixels.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.visual_projection.dims()[0]
    }

    /// Encodes a batch of pixels: [B, D], not yet unit length.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, pixels: &[Pixels], normalizer: &Normalizer) -> Result<Tensor> {
        let (batch, grid, patch) = (pixels.len(), self.image_size / self.patch_size, self.patch_size);
        let patches: Vec<f32> = pixels.iter().flat_map(|p| normalizer.patches(p, patch)).collect();
        let patches = Tensor::from_vec(patches, (batch, grid * grid, 3 * patch * patch), &self.device)?;
        let patches = project(&patches, &self.patch_embedding)?; // [B, N, W]
        let class = self.class_embedding.broadcast_as((batch, 1, patches.dim(2)?))?;
        let x = Tensor::cat(&[&class.contiguous()?, &patches], 1)?; // [B, 1 + N, W]
        let x = self.pre_layrnorm.forward(&x.broadcast_add(&self.position_embedding)?)?;
        let x = self.encoder.forward(&x)?;
        let pooled = self.post_layernorm.forward(&x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)?; // [B, W]
        project(&pooled, &self.visual_projection) // [B, D]
    }
}

/// Token ids -> projected text features.
#[derive(Debug)]
pub struct TextTower {
    token_embedding: Tensor,    // [V, W]
    position_embedding: Tensor, // [T, W]
    encoder: Encoder,
    final_layer_norm: LayerNorm,
    text_projection: Tensor, // [D, W]
    pooling: Pooling,
    device: Device,
}

impl TextTower {
    /// Loads `text_model` and `text_projection`.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the weight that is missing or misshapen.
    pub fn load(checkpoint: &Checkpoint, compute: &Compute) -> Result<Self> {
        let config = &checkpoint.config().text;
        let device = &compute.device;
        let width = config.hidden_size;
        let root = checkpoint.weights().root();
        let model = root.pp("text_model");
        let embeddings = model.pp("embeddings");
        let positions = [config.max_position_embeddings, width];
        let spec = EncoderSpec {
            width,
            mlp_width: config.intermediate_size,
            heads: config.num_attention_heads,
            layers: config.num_hidden_layers,
            act: config.hidden_act,
            eps: config.layer_norm_eps,
            mask: Mask::Causal,
        };
        Ok(Self {
            token_embedding: embeddings.tensor("token_embedding.weight", &[config.vocab_size, width], device)?,
            position_embedding: embeddings.tensor("position_embedding.weight", &positions, device)?,
            encoder: Encoder::load(&spec, &model.pp("encoder"), device)?,
            final_layer_norm: LayerNorm::load(width, spec.eps, &model.pp("final_layer_norm"), device)?,
            text_projection: root.tensor(
                "text_projection.weight",
                &[checkpoint.config().projection_dim, width],
                device,
            )?,
            pooling: Pooling::of(config),
            device: device.clone(),
        })
    }

    /// Positions: the longest prompt in tokens.
    pub fn positions(&self) -> usize {
        self.position_embedding.dims()[0]
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.token_embedding.dims()[0]
    }

    /// Values in an embedding.
    pub fn dim(&self) -> usize {
        self.text_projection.dims()[0]
    }

    /// Encodes prompts of one length: [B, D], not yet unit length. The mask is causal, so what might follow a
    /// prompt's end could not change its features: no padding is needed, and none is done.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, prompts: &[&[u32]]) -> Result<Tensor> {
        let (batch, length) = (prompts.len(), prompts.first().map_or(0, |p| p.len()));
        let ids = Tensor::from_vec(prompts.concat(), batch * length, &self.device)?;
        let x = self.token_embedding.index_select(&ids, 0)?.reshape((batch, length, ()))?; // [B, T, W]
        let x = x.broadcast_add(&self.position_embedding.narrow(0, 0, length)?)?;
        let x = self.encoder.forward(&x)?;
        let ends =
            prompts.iter().enumerate().map(|(row, p)| (row * length + self.pooling.position(p)) as u32).collect();
        let ends = Tensor::from_vec(ends, batch, &self.device)?;
        let pooled = x.flatten(0, 1)?.index_select(&ends, 0)?; // [B, W]
        project(&self.final_layer_norm.forward(&pooled)?, &self.text_projection) // [B, D]
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
}
