//! The family of a checkpoint, from its settings. Each family is a file in `families/` that turns settings into data.
//! Nothing is loaded or computed there.

use serde_json::{Map, Value};

use super::families::{FAMILIES, Logits, Model, open_clip};
use super::spec::{ImageStem, Pool, PositionResize, TokenStem, TowerSpec};
use crate::Preprocessor;
use crate::checkpoint::recipe::Recipe;
use crate::checkpoint::{Files, Layout, Weights, file_names};
use crate::preprocess::ProcessorClass;
use crate::score::{Activation, Readout};
use crate::text::{Tokenizer, TokenizerPlan};

/// A checkpoint's family, with what its settings say.
#[derive(Debug, Clone)]
pub struct Family {
    kind: &'static str,
    layout: Layout,
    model: Model,
    recipe: &'static Recipe,
    processor: Processor,
    tokenizer: TokenizerPlan,
    /// The side of images, if it differs from the model's.
    image_size: Option<usize>,
}

/// Other families of this task, and the part of each that zsic does not run.
const OTHERS: [(&str, &str); 12] = [
    ("align", " (ALIGN, whose image tower is an EfficientNet)"),
    ("blip", " (BLIP, whose text tower looks at the image)"),
    ("blip-2", " (BLIP-2, whose text tower looks at the image)"),
    ("tipsv2", " (TIPSv2, whose image tower is a DINOv2)"),
    ("videoprism", " (for videos)"),
    ("clip_vision_model", " (an image tower alone)"),
    ("clip_text_model", " (a text tower alone)"),
    ("siglip_vision_model", " (an image tower alone)"),
    ("siglip2_vision_model", " (an image tower alone)"),
    ("flava", " (FLAVA)"),
    ("jina_clip", " (Jina CLIP, which needs code of its own)"),
    ("owlvit", " (OWL-ViT, which finds objects)"),
];

/// Where the steps of the image processor come from.
#[derive(Debug, Clone)]
enum Processor {
    /// From its own file, or else from the defaults of a class.
    File(ProcessorClass),
    /// From the model's settings.
    Given(Preprocessor),
}

/// What a checkpoint is, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFacts {
    /// The `model_type` of its `config.json`.
    pub kind: &'static str,
    /// The image's side in pixels.
    pub image_size: usize,
    /// A patch's side in pixels.
    pub patch_size: usize,
    /// The most tokens of a prompt.
    pub max_tokens: usize,
    /// Values in an embedding.
    pub embedding: usize,
    /// How logits become scores.
    pub activation: Activation,
}

impl Family {
    /// Reads the settings of a checkpoint called `name`, in a layout.
    ///
    /// # Errors
    /// One line: the family that zsic does not run, or the value that no model of the family has.
    pub fn read(config: &Value, layout: Layout, name: &str) -> Result<Self, String> {
        match layout {
            Layout::Transformers => Self::from_config(config),
            Layout::OpenClip => {
                let model = open_clip::model(config, name)?;
                let processor = Processor::Given(open_clip::preprocessor(config, model.image.stem.side)?);
                let tokenizer = open_clip::tokenizer(config)?;
                Ok(Self {
                    kind: "open_clip",
                    layout,
                    model,
                    recipe: &open_clip::RECIPE,
                    processor,
                    tokenizer,
                    image_size: None,
                })
            }
        }
    }

    /// Reads the JSON of a `config.json` of transformers.
    fn from_config(config: &Value) -> Result<Self, String> {
        let known = FAMILIES.map(|family| format!("`{}`", family.model_type)).join(", ");
        let name = match config.get("model_type") {
            None => return Err(format!("has no model_type; zsic reads {known}")),
            Some(name) => name.as_str().map_or_else(|| name.to_string(), str::to_owned),
        };
        let description = FAMILIES.into_iter().find(|family| family.model_type == name);
        let description = description.ok_or_else(|| {
            let what = OTHERS.iter().find(|(other, _)| *other == name).map_or("", |(_, what)| what);
            format!("model_type `{name}`{what} is not supported; zsic reads {known}")
        })?;
        Ok(Self {
            kind: description.model_type,
            layout: Layout::Transformers,
            model: description.model(config)?,
            recipe: &description.recipe,
            processor: Processor::File(description.processor),
            tokenizer: description.tokenizer,
            image_size: None,
        })
    }

    /// Takes the sizes of towers from the weights, if the settings do not state them.
    ///
    /// # Errors
    /// One line: the size that no model has.
    pub fn measured(self, weights: &Weights) -> Result<Self, String> {
        match self.layout {
            Layout::Transformers => Ok(self),
            Layout::OpenClip => Ok(Self { model: open_clip::measured(self.model, weights)?, ..self }),
        }
    }

    /// Describes what its files do not decide: the layout, and what the repository's name implies.
    pub fn reading(&self) -> Option<String> {
        let (image, text) = (self.model.image.blocks.act, self.model.text.blocks.act);
        (self.layout == Layout::OpenClip).then(|| format!("{} with {image:?}, {text:?}", self.layout.name()))
    }

    /// Takes images of `side` pixels a side: positions are interpolated.
    ///
    /// # Errors
    /// One line, for a tower that cannot.
    pub fn take_images_of(&mut self, side: usize) -> Result<(), String> {
        let stem = &mut self.model.image.stem;
        if !stem.class || self.model.image.pool != Pool::Row {
            return Err("takes only images of its own size; other sizes are for CLIP's image towers".to_owned());
        }
        if side < stem.patch {
            return Err(format!("has patches of {} pixels; images of {side} are smaller", stem.patch));
        }
        stem.resize = Some(PositionResize::Bicubic);
        self.image_size = Some(side);
        Ok(())
    }

    /// Returns what the checkpoint is, in numbers.
    pub fn facts(&self) -> ModelFacts {
        let Model { image, text, logits } = self.model;
        ModelFacts {
            kind: self.kind,
            image_size: self.image_size.unwrap_or(image.stem.side),
            patch_size: image.stem.patch,
            max_tokens: text.stem.length,
            embedding: image.dim,
            activation: logits.activation,
        }
    }

    /// Describes the image tower.
    pub fn image(&self) -> TowerSpec<ImageStem> {
        self.model.image
    }

    /// Describes the text tower.
    pub fn text(&self) -> TowerSpec<TokenStem> {
        self.model.text
    }

    /// Finds the weights.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn weights(&self, files: &Files) -> crate::Result<Weights> {
        Weights::open(files, self.layout.weights(), self.recipe)
    }

    /// Reads how images become pixels: where transformers 5 looks for it, `processor_config.json` under `image_processor`
    /// first, then `preprocessor_config.json`; or in open_clip's own file.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the file and the value that cannot be followed.
    pub fn preprocessor(&self, files: &Files) -> crate::Result<Preprocessor> {
        const NESTED: &str = file_names::NESTED_PROCESSOR;
        const FLAT: &str = file_names::PROCESSOR;
        let default = match &self.processor {
            Processor::Given(preprocessor) => return Ok(preprocessor.clone()),
            Processor::File(default) => *default,
        };
        let nested = if files.contains(NESTED) {
            files.read_json::<Map<String, Value>>(NESTED)?.remove("image_processor")
        } else {
            None
        };
        let (name, settings) = match nested.filter(|settings| !settings.is_null()) {
            Some(settings) => (NESTED, settings),
            None => (FLAT, files.read_json(FLAT)?),
        };
        Preprocessor::from_json(settings, default).map_err(|e| crate::Error::checkpoint(files.path(name), e))
    }

    /// Checks that the settings of an image processor can be followed.
    ///
    /// # Errors
    /// One line: the value that cannot.
    pub fn accept_processor(&self, settings: Value) -> Result<(), String> {
        match self.processor {
            Processor::Given(_) => Ok(()),
            Processor::File(default) => Preprocessor::from_json(settings, default).map(drop),
        }
    }

    /// Returns its plan for the tokenizer.
    pub fn tokenizer_plan(&self) -> &TokenizerPlan {
        &self.tokenizer
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] naming the tokenizer's file.
    pub fn tokenizer(&self, files: &Files) -> crate::Result<Tokenizer> {
        Tokenizer::open(files, &self.tokenizer)
    }

    /// Reads how cosines become scores: a logit is `exp(logit_scale) * cosine`, plus `logit_bias` if there is one. No
    /// tower is loaded.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] if a weight is missing or misshapen.
    pub fn readout(&self, weights: &Weights) -> crate::Result<Readout> {
        let value = |name| weights.root().number(name).map(f64::from);
        let Logits { bias, activation } = self.model.logits;
        let bias = if bias { value("logit_bias")? } else { 0.0 };
        Ok(Readout { scale: value("logit_scale")?.exp(), bias, activation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn other_families_are_refused_by_name() {
        let error = |json| Family::from_config(&json).unwrap_err();
        assert!(
            error(json!({"model_type": "align"}))
                .contains("`align` (ALIGN, whose image tower is an EfficientNet) is not")
        );
        assert!(
            error(json!({"model_type": "gpt2"})).contains("model_type `gpt2` is not supported; zsic reads `clip`, ")
        );
        assert!(error(json!({})).contains("model_type") && error(json!([])).contains("model_type"));
    }

    #[test]
    fn facts_are_those_of_the_towers() {
        let facts = Family::from_config(&json!({"model_type": "clip", "projection_dim": 64})).unwrap().facts();
        let expected = ModelFacts {
            kind: "clip",
            image_size: 224,
            patch_size: 32,
            max_tokens: 77,
            embedding: 64,
            activation: Activation::Softmax,
        };
        assert_eq!(facts, expected);
    }
}
