//! The towers against another implementation, candle-transformers' CLIP, on the same quick_gelu checkpoint and pixels.

use std::fs;

use crate::common::{Expected, fixtures, worst};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::{Activation, ClipTextConfig};
use candle_transformers::models::clip::vision_model::ClipVisionConfig;
use candle_transformers::models::clip::{ClipConfig, ClipModel};
use zsic::source::{MAX_PIXELS, decode};
use zsic::{Checkpoint, Compute, Embeddings, ImageEncoder, TextEncoder};

/// candle's model of the same files.
fn other(checkpoint: &Checkpoint) -> ClipModel {
    let (text, image) = (checkpoint.family().text(), checkpoint.family().image());
    let config = ClipConfig {
        text_config: ClipTextConfig {
            vocab_size: text.stem.vocabulary,
            embed_dim: text.blocks.width,
            activation: Activation::QuickGelu,
            intermediate_size: text.blocks.mlp_width,
            max_position_embeddings: text.stem.positions,
            pad_with: None,
            num_hidden_layers: text.blocks.layers,
            num_attention_heads: text.blocks.heads,
            projection_dim: text.dim,
        },
        vision_config: ClipVisionConfig {
            embed_dim: image.blocks.width,
            activation: Activation::QuickGelu,
            intermediate_size: image.blocks.mlp_width,
            num_hidden_layers: image.blocks.layers,
            num_attention_heads: image.blocks.heads,
            projection_dim: image.dim,
            num_channels: 3,
            image_size: image.stem.side,
            patch_size: image.stem.patch,
        },
        logit_scale_init_value: 2.6592,
        image_size: image.stem.side,
    };
    let weights = fs::read(checkpoint.files().path("model.safetensors")).unwrap();
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    ClipModel::new(weights, &config).unwrap()
}

fn assert_alike(what: &str, ours: &Embeddings, theirs: &Tensor) {
    let mut unit = Embeddings::new(ours.dim());
    theirs.to_vec2::<f32>().unwrap().iter().for_each(|row| unit.push(row));
    let off = worst(ours.values().iter().map(|&x| x.into()), unit.values().iter().map(|&x| x.into()));
    assert!(off < 2e-6, "{what} are off by {off}");
}

#[test]
fn both_implementations_agree() {
    let checkpoint = Checkpoint::open(fixtures("checkpoints/quick-gelu")).unwrap();
    let (other, expected) = (other(&checkpoint), Expected::of("quick-gelu"));
    let images = ImageEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint)).unwrap();
    let texts = TextEncoder::load(&checkpoint, &Compute::default().plan(&checkpoint)).unwrap();

    let (normalizer, side) = (checkpoint.preprocessor().normalizer(), checkpoint.family().facts().image_size);
    for name in expected.images() {
        let bytes = fs::read(fixtures("checkpoints/images").join(name)).unwrap();
        let pixels = images.preprocess(&decode(&bytes, MAX_PIXELS).unwrap()).unwrap();
        let values: Vec<[f32; 3]> = pixels.data().chunks(3).map(|p| normalizer.pixel([p[0], p[1], p[2]])).collect();
        let planes: Vec<f32> = (0..3).flat_map(|channel| values.iter().map(move |v| v[channel])).collect();
        let planes = Tensor::from_vec(planes, (1, 3, side, side), &Device::Cpu).unwrap();
        assert_alike("images", &images.embed(&[pixels]).unwrap(), &other.get_image_features(&planes).unwrap());
    }
    for prompt in crate::common::strings(&expected.json["prompts"]) {
        let ids = Tensor::new(vec![texts.tokenize(&prompt).unwrap()], &Device::Cpu).unwrap();
        assert_alike("texts", &texts.embed(&[prompt]).unwrap(), &other.get_text_features(&ids).unwrap());
    }
}
