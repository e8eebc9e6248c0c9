//! Image towers of timm: vision transformers, by their names (timm 1.0, vision_transformer.py).

use super::super::super::spec::{BlockSpec, HeadSpec, HiddenAct, ImageStem, Pool, TowerSpec};
use super::super::config::Section;
use super::super::{clip, siglip};

/// The head called `mlp`.
const MLP: &[HeadSpec] = &[
    HeadSpec { name: "visual_projection.fc1", bias: true, act: Some(HiddenAct::Gelu) },
    HeadSpec::plain("visual_projection.fc2"),
];

/// Reads the tower called `name`.
pub(super) fn tower(vision: &Section, name: &str) -> Result<TowerSpec<ImageStem>, String> {
    let unknown = || format!("has the image tower {name} of timm, which zsic does not run; it runs plain vit_* towers");
    let parts: Vec<&str> = name.split('_').collect();
    let ["vit", size, patch, kind @ ..] = &parts[..] else { return Err(unknown()) };
    let (width, layers, heads, mlp_width) = match *size {
        "tiny" => (192, 12, 3, 768),
        "small" => (384, 12, 6, 1536),
        "base" => (768, 12, 12, 3072),
        "large" => (1024, 24, 16, 4096),
        "so400m" => (1152, 27, 16, 4304),
        "giantopt" => (1536, 40, 16, 6144),
        _ => return Err(unknown()),
    };
    let patch = patch.strip_prefix("patch").and_then(|patch| patch.parse().ok()).filter(|patch| *patch > 0);
    let patch = patch.ok_or_else(unknown)?;
    let has_side = |side: &str| side.parse::<usize>().is_ok();
    let tanh = matches!(
        (*size, patch, kind),
        ("base", 32, _) | ("large", _, [_, "512"]) | ("so400m", 16, _) | ("giantopt", ..)
    );
    let plain = match kind {
        ["siglip", side] if has_side(side) => TowerSpec {
            blocks: BlockSpec {
                act: if tanh { HiddenAct::GeluPytorchTanh } else { HiddenAct::Gelu },
                ..siglip::IMAGE.blocks
            },
            ..siglip::IMAGE
        },
        ["clip", side] if has_side(side) => {
            TowerSpec { blocks: BlockSpec { act: HiddenAct::Gelu, ..clip::IMAGE.blocks }, ..clip::IMAGE }
        }
        [side] if has_side(side) => TowerSpec {
            stem: ImageStem { class: true, ..siglip::IMAGE.stem },
            blocks: BlockSpec { act: HiddenAct::Gelu, ..siglip::IMAGE.blocks },
            pool: Pool::Row,
            ..siglip::IMAGE
        },
        _ => return Err(unknown()),
    };
    let stem = ImageStem { side: vision.size("image_size", 224)?, patch, ..plain.stem };
    let blocks = BlockSpec { width, layers, heads, mlp_width, ..plain.blocks };
    let pool = match (vision.text("timm_pool")?.unwrap_or("avg"), plain.pool) {
        ("", pool) => pool,
        ("map", Pool::Attention) => Pool::Attention,
        ("token", Pool::Row) => Pool::Row,
        ("avg", Pool::Row) => Pool::Mean { skip: 1, norm_first: true },
        (other, _) => return Err(vision.refuse("timm_pool", format!("\"{other}\""), format!("the pool of {name}"))),
    };
    let head: &[HeadSpec] = match (vision.text("timm_proj")?.unwrap_or("linear"), vision.flag("timm_proj_bias", false)?)
    {
        ("none", _) => &[],
        ("linear", false) => clip::IMAGE.head,
        ("linear", true) | ("", _) => &[HeadSpec { name: "visual_projection", bias: true, act: None }],
        ("mlp", false) => MLP,
        (other, _) => return Err(vision.refuse("timm_proj", format!("\"{other}\""), "none, linear or mlp")),
    };
    Ok(TowerSpec { stem, blocks, pool, head, ..plain })
}
